"""AWS refuses a call: the reason is shown, no job is stuck, and a running rollout is kept."""

import json
from pathlib import Path

import pytest

from chalicelib import budget
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.timing import TOKEN_LIFE, WORKER_LIFE
from chalicelib.errors import Stale
from chalicelib.store.jobs import get_deployment, transition
from infra.local.aws import ecs
from infra.local.aws.pump import TIMEOUTS_MS
from tests.faults.use_cases import failed_with_no_way_back
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    client,
    ecs_service,
    register,
    run_on_ecs,
    sha,
)
from tests.support.sdk import Trouble

DENIED = "AccessDeniedException"
ALWAYS = 1000


def test_a_build_fails_with_the_reason_if_reading_its_image_is_denied(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    trouble.refuse("ecr.DescribeImages", DENIED)
    cloud.finish_build(1)
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert "ECR DescribeImages: refused" in build["error"]
    assert cloud.api.delete(f"/v1/services/{cloud.service_id}").status == 204


def test_a_build_continues_once_reading_it_is_allowed_again(cloud: Cloud, trouble: Trouble) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1, settle=False)
    trouble.refuse("codebuild.BatchGetBuilds", DENIED, times=3)
    cloud.settle()
    assert cloud.build(1)["status"] == "building"
    assert "refused" in cloud.build(1)["error"]
    for _ in range(3):
        cloud.tick()
    cloud.settle()
    assert (cloud.build(1)["status"], cloud.build(1)["error"]) == ("success", None)


def test_a_concurrent_registration_in_the_family_does_not_fail_a_deployment(
    cloud: Cloud, trouble: Trouble
) -> None:
    message = "Too many concurrent attempts to create a new revision of the specified family."
    trouble.refuse("ecs.RegisterTaskDefinition", "ClientException", message, times=1)
    cloud.begin_release(1)
    assert cloud.statuses(1) == ["queued"]
    assert "Too many concurrent" in cloud.deployment(1)["error"]
    cloud.tick()
    cloud.finish_rollout()
    assert cloud.statuses(1) == ["success"]


def test_a_denied_read_of_an_idle_service_is_shown_and_repeated(
    cloud: Cloud, trouble: Trouble
) -> None:
    first = cloud.release(1)
    cloud.push(sha(2))
    cloud.settle()
    trouble.refuse("ecs.DescribeServices", DENIED, times=2)
    cloud.finish_build(2)
    cloud.settle()
    assert cloud.statuses(first, first + 1) == ["success", "failed"]
    assert "refused" in cloud.service()["drift"]
    cloud.advance(10 * MINUTE)
    cloud.tick()
    cloud.tick()
    assert cloud.service()["drift"] is None


def test_a_deployment_fails_after_its_deadline_if_ecs_cannot_be_read(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    trouble.refuse("ecs.DescribeServices", "ThrottlingException", times=ALWAYS)
    for _ in range(35):
        cloud.tick()
    assert cloud.statuses(2) == ["failed"]
    assert "AWS does not answer" in cloud.deployment(2)["error"]
    assert cloud.service()["active_deployment_id"] is None


def test_a_failed_rollout_is_not_repeated_while_ecs_rolls_back(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout(settle=False)
    cloud.lose_events()
    # The service's list no longer has the failed rollout; only ECS's history still shows it.
    ecs = client("ecs")
    original = ecs.describe_services

    def describe_services(**request: object) -> object:
        answer = original(**request)
        for row in answer["services"]:
            row["deployments"] = [d for d in row["deployments"] if d["rolloutState"] != "FAILED"]
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ecs, "describe_services", describe_services)
        rollouts = cloud.rollouts()
        cloud.tick()
        cloud.tick()
    assert cloud.rollouts() == rollouts
    assert cloud.statuses(2) == ["failed"]


def test_a_rollback_during_a_rollout_also_marks_the_current_release_rolled_back(
    cloud: Cloud,
) -> None:
    first, second = cloud.release(1), cloud.release(2)
    cloud.begin_release(3)
    answer = cloud.roll_back(deployment_id=first)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(first, second, second + 1) == ["success", "rolled_back", "rolled_back"]
    assert cloud.statuses(answer.body["deployment_id"]) == ["success"]


def test_a_service_cannot_be_deleted_while_ecs_returns_to_its_release(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    path = f"/v1/services/{cloud.service_id}"
    refusal = cloud.api.delete(path)
    assert (refusal.status, refusal.body["code"]) == (409, "service_busy")
    cloud.finish_rollout()
    for _ in range(2):
        cloud.tick()
    assert cloud.api.delete(path).status == 204


def test_drift_shows_that_ecs_can_no_longer_run_the_current_release(cloud: Cloud) -> None:
    cloud.release(1)
    arn = register("hello", "hello:strange")
    run_on_ecs(arn)
    ecs = client("ecs")
    ecs.update_service(
        cluster=CLUSTER, service="hello", taskDefinition=cloud.deployment(1)["task_definition"]
    )
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    ecs.update_service(cluster=CLUSTER, service="hello", deploymentConfiguration=breaker)
    cloud.fail_rollout()
    assert ecs_service()["deployments"][0]["rolloutState"] == "FAILED"
    cloud.tick()
    assert "ECS cannot run" in cloud.service()["drift"]


def test_a_transition_from_an_ended_deployment_is_stale(cloud: Cloud) -> None:
    cloud.release(1)
    with pytest.raises(Stale):
        transition(get_deployment(1), DeploymentStatus.DEPLOYING)


def test_a_push_gets_503_when_the_time_for_its_request_is_used_up(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "HTTP_SECONDS", -1.0)
    answer = cloud.push(sha(1))
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"


def test_no_lambda_function_runs_longer_than_the_rules_assume() -> None:
    config = json.loads((Path(__file__).parents[2] / ".chalice/config.json").read_text())
    timeouts = {name: f["lambda_timeout"] for name, f in config["lambda_functions"].items()}
    assert max(timeouts.values()) < WORKER_LIFE
    assert TOKEN_LIFE + WORKER_LIFE < 300
    assert {name: ms // 1000 for name, ms in TIMEOUTS_MS.items()}.items() <= timeouts.items()


@pytest.mark.parametrize("times", [1, 5])
def test_a_healthy_rollout_succeeds_after_denied_reads(
    cloud: Cloud, trouble: Trouble, times: int
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    trouble.refuse("ecs.DescribeServices", DENIED, times=times)
    cloud.tick()
    assert "DescribeServices: refused" in cloud.deployment(2)["error"]
    for _ in range(2 * times):  # each wait is at most a little longer than a minute
        cloud.tick()
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    cloud.tick()
    cloud.tick()
    assert (cloud.statuses(1, 2), cloud.deployment(2)["error"]) == (["success"] * 2, None)


def test_a_cancelled_rollout_is_undone_once_reading_is_allowed_again(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.release(1)
    release = cloud.definition_on_ecs()
    cloud.begin_release(2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.lose_messages()
    trouble.refuse("ecs.DescribeServices", DENIED, times=3)
    for _ in range(3):
        cloud.tick()
    assert "DescribeServices: refused" in cloud.service()["drift"]
    path = f"/v1/services/{cloud.service_id}"
    assert cloud.api.delete(path).body["code"] == "service_busy"
    cloud.tick()
    assert cloud.definition_on_ecs() == release
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.service()["drift"] is None


def test_a_refused_second_try_of_start_build_does_not_fail_the_build(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.lose_answers("codebuild.StartBuild", times=1)
    trouble.refuse("codebuild.StartBuild", DENIED, times=1)
    cloud.push(sha(1))
    cloud.pump.settle()
    assert cloud.build(1)["status"] == "queued"
    cloud.tick()
    cloud.settle()
    assert cloud.build(1)["status"] == "building"
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_a_failed_rollout_without_an_earlier_version_is_not_repeated(
    cloud: Cloud,
) -> None:
    failed_with_no_way_back(cloud)
    failed = cloud.deployment(3)["task_definition"]
    cloud.tick()
    assert cloud.statuses(3) == ["failed"]
    records = ecs.engine().service(CLUSTER, "hello").records
    assert [record.target.task_definition for record in records].count(failed) == 1


def test_a_service_can_be_deleted_after_ecs_has_refused_its_release_for_a_while(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.lose_messages()
    trouble.refuse(
        "ecs.UpdateService", "ClientException", "TaskDefinition is inactive", times=ALWAYS
    )
    path = f"/v1/services/{cloud.service_id}"
    cloud.tick()
    assert "TaskDefinition is inactive" in cloud.service()["drift"]
    assert cloud.api.delete(path).body["code"] == "service_busy"
    for _ in range(12):
        cloud.tick()
    # An event makes Slipway try again. The refused call has no effect, so nothing is under way.
    cloud.wake(f"service-{cloud.service_id}")
    assert cloud.api.delete(path).status == 204
