"""A deployment succeeds only with the proof that ECS runs it; the proof is kept as its receipt."""

import itertools
from typing import Any

import pytest

from chalicelib.domain.release_receipts import hash_of
from infra.local.aws import ecs
from infra.local.aws.ecs_images import Images
from tests.faults.rows import rows
from tests.support.embedded import (
    CLUSTER,
    CONFIGURATION,
    MINUTE,
    Cloud,
    client,
    ecs_service,
    put_index,
    sha,
)
from tests.support.sdk import Calls, Killed, Trouble

LIST_TASKS = "ecs.ListTasks"


def receipt(cloud: Cloud, number: int) -> Any:
    answer = cloud.api.get(f"/v1/cicd/deployments/{number}/receipt")
    assert answer.status == 200, answer.text
    return answer.body


def tasks_of(definition: str) -> list[Any]:
    arns = client("ecs").list_tasks(cluster=CLUSTER, serviceName="hello")["taskArns"]
    tasks = client("ecs").describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]
    return [task for task in tasks if task["taskDefinitionArn"] == definition]


def test_a_success_has_a_receipt_with_the_evidence_of_ecs(cloud: Cloud) -> None:
    cloud.release(1)
    deployment, found = cloud.deployment(1), receipt(cloud, 1)
    tasks = tasks_of(deployment["task_definition"])
    assert sorted(each["task"] for each in found["tasks"]) == sorted(
        task["taskArn"] for task in tasks
    )
    assert [each["image_digests"] for each in found["tasks"]] == [[deployment["image_digest"]]] * 2
    assert found["containers"] == deployment["containers"]
    (record,) = client("ecs").describe_service_deployments(
        serviceDeploymentArns=[found["service_deployment"]]
    )["serviceDeployments"]
    assert record["status"] == "SUCCESSFUL"
    assert record["targetServiceRevision"]["arn"] == found["service_revision"]
    for name in ("task_definition", "commit_sha", "build_id", "image_digest"):
        assert found[name] == deployment[name]
    assert (found["desired_tasks"], found["warnings"]) == (2, [])
    assert found["previous"] is None


def test_a_receipt_of_a_worker_that_died_belongs_to_no_release(
    cloud: Cloud, trouble: Trouble
) -> None:
    """The receipt is written before the success. The next worker writes one of its own."""
    cloud.begin_release(1)
    cloud.finish_rollout(settle=False)
    trouble.kill_before("dynamodb.TransactWriteItems")
    with pytest.raises(Killed):
        cloud.settle()
    (left,) = (name for name in rows("receipts") if name.startswith("release:1:"))
    answer = cloud.api.get("/v1/cicd/deployments/1/receipt")
    assert (answer.status, answer.body["code"]) == (404, "no_receipt")
    cloud.tick()
    cloud.settle()
    found = receipt(cloud, 1)
    assert found["hash"] not in left
    assert hash_of(found) == found["hash"] == cloud.service()["receipt"]["hash"]


def test_receipts_are_chained_by_their_hashes(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.release(number)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    receipts = [receipt(cloud, number) for number in (1, 2, 3)]
    for found in receipts:
        assert hash_of(found) == found["hash"]
    for earlier, later in itertools.pairwise(receipts):
        assert later["previous"] == {
            "deployment_id": earlier["deployment_id"],
            "hash": earlier["hash"],
        }
    assert receipts[2]["restores"] == 1


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_deployment_without_success_has_no_receipt_and_breaks_no_chain(
    cloud: Cloud, end: str
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    if end == "failed":
        cloud.fail_rollout()
    else:
        assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
        cloud.settle()
    answer = cloud.api.get("/v1/cicd/deployments/2/receipt")
    assert (answer.status, answer.body["code"]) == (404, "no_receipt")
    assert end in answer.body["detail"]
    cloud.finish_rollout()
    cloud.release(3)
    assert receipt(cloud, 3)["previous"]["deployment_id"] == 1


def test_the_manifest_of_the_tasks_platform_proves_an_image_index(cloud: Cloud) -> None:
    digest, manifests = put_index("hello", "multi", "linux/amd64", "linux/arm64")
    ecs.engine().fleet.reports_manifests = True
    assert cloud.deploy(f"hello@{digest}").status == 202
    cloud.settle()
    cloud.finish_rollout()
    found = receipt(cloud, 1)
    assert found["image_digest"] == digest
    reported = {digest for each in found["tasks"] for digest in each["image_digests"]}
    assert reported
    assert reported <= set(manifests.values())


def test_tasks_that_ecs_shows_late_are_waited_for(cloud: Cloud, trouble: Trouble) -> None:
    cloud.begin_release(1)
    trouble.refuse(LIST_TASKS, "ThrottlingException: slow down", times=2 * Trouble.TRIES)
    cloud.finish_rollout()
    assert cloud.statuses(1) == ["deploying"]
    for _ in range(3):
        cloud.tick()
    assert cloud.statuses(1) == ["success"]


def lose_a_task() -> None:
    """A task stops by itself, and the next one has not started yet."""
    primary = ecs.engine().service(CLUSTER, "hello").deployments[0].id
    ecs.engine().report(CLUSTER, "hello", primary, running=1, failed=1)


def test_a_rollout_that_ecs_has_ended_with_too_few_tasks_waits_and_then_fails(
    cloud: Cloud,
) -> None:
    cloud.release(1)
    first = cloud.deployment(1)["task_definition"]
    cloud.begin_release(2)
    cloud.finish_rollout(settle=False)
    lose_a_task()
    cloud.settle()
    deployment = cloud.deployment(2)
    assert deployment["status"] == "deploying"
    assert deployment["error"] == "1 of 2 tasks run"
    for _ in range(30):
        cloud.tick()
    deployment = cloud.deployment(2)
    assert deployment["status"] == "failed"
    assert deployment["failure"]["phase"] == "verify"
    assert "ECS has ended the rollout, but 1 of 2 tasks run" in deployment["error"]
    assert ecs_service()["taskDefinition"] == first


def scale(count: int) -> None:
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=count)


def test_tasks_that_are_desired_only_since_the_rollout_ended_do_not_fail_it(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.finish_rollout(settle=False)
    scale(4)
    cloud.settle()
    assert cloud.deployment(1)["error"] == "2 of 4 tasks run"
    for _ in range(30):
        cloud.tick()
    warning = (
        "2 of 4 tasks run: the ECS service was scaled up after the rollout, and ECS has not "
        "started the others"
    )
    assert (cloud.statuses(1), cloud.deployment(1)["warnings"]) == (["success"], [warning])
    found = receipt(cloud, 1)
    assert (found["desired_tasks"], len(found["tasks"])) == (4, 2)


def test_a_task_that_stops_after_the_rollout_fails_it_also_if_more_are_desired(
    cloud: Cloud,
) -> None:
    cloud.begin_release(1)
    cloud.finish_rollout(settle=False)
    scale(4)
    lose_a_task()
    for _ in range(30):
        cloud.tick()
    assert cloud.statuses(1) == ["failed"]


def test_tasks_that_early_success_left_out_must_run(cloud: Cloud) -> None:
    early = {
        "enable": True,
        "healthyPercent": 50,
        "sourceServiceRevisionCleanup": "BLOCKING",
    }
    client("ecs").update_service(
        cluster=CLUSTER,
        service="hello",
        deploymentConfiguration=CONFIGURATION | {"earlySuccessCriteria": early},
    )
    cloud.begin_release(1)
    primary = ecs.engine().service(CLUSTER, "hello").deployments[0].id
    ecs.engine().report(CLUSTER, "hello", primary, running=1)
    for _ in range(30):
        cloud.tick()
    assert cloud.statuses(1) == ["failed"]
    assert cloud.deployment(1)["failure"]["phase"] == "verify"


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_proof_that_aws_never_lets_slipway_read_takes_no_release_down(
    cloud: Cloud, trouble: Trouble, code: str
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    trouble.refuse(LIST_TASKS, code, times=10_000)
    cloud.finish_rollout()
    for _ in range(15):
        cloud.tick()
    assert cloud.statuses(2) == ["deploying"]
    for _ in range(10):
        cloud.tick()
    deployment = cloud.deployment(2)
    assert deployment["status"] == "success"
    (warning,) = deployment["warnings"]
    assert warning.startswith("not proven: ECS ListTasks")
    found = receipt(cloud, 2)
    assert (found["tasks"], found["warnings"]) == ([], [warning])
    assert ecs_service()["taskDefinition"] == deployment["task_definition"]


def test_a_denied_record_does_not_excuse_tasks_that_run_something_else(
    cloud: Cloud, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    trouble.refuse("ecs.ListServiceDeployments", "AccessDeniedException", times=10_000)
    monkeypatch.setattr(Images, "digest", lambda *_: "sha256:" + "e" * 64)
    cloud.finish_rollout()
    for _ in range(25):
        cloud.tick()
    assert cloud.statuses(2) == ["failed"]
    assert "runs sha256:eeee" in cloud.deployment(2)["error"]


def test_a_denied_record_is_not_said_to_be_missing(cloud: Cloud, trouble: Trouble) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    trouble.refuse("ecs.ListServiceDeployments", "AccessDeniedException", times=10_000)
    cloud.finish_rollout()
    for _ in range(25):
        cloud.tick()
    assert cloud.statuses(2) == ["success"]
    found = receipt(cloud, 2)
    (warning,) = found["warnings"]
    assert warning.startswith("not proven: ECS ListServiceDeployments")
    assert len(found["tasks"]) == 2


def test_one_bad_look_after_an_outage_takes_no_release_down(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.finish_rollout(settle=False)
    cloud.advance(40 * MINUTE)
    lose_a_task()
    cloud.settle()
    cloud.tick()
    assert cloud.statuses(1) == ["deploying"]
    ecs.engine().complete(CLUSTER, "hello")
    cloud.tick()
    assert cloud.statuses(1) == ["success"]


def test_a_record_that_ecs_never_writes_fails_no_release(cloud: Cloud) -> None:
    cloud.change_service(deploy_minutes=5)
    cloud.begin_release(1)
    cloud.finish_rollout(settle=False)
    ecs.engine().service(CLUSTER, "hello").records.clear()
    cloud.settle()
    for _ in range(9):
        cloud.tick()
    assert cloud.statuses(1) == ["deploying"]
    for _ in range(2):
        cloud.tick()
    assert cloud.statuses(1) == ["success"]
    (warning,) = receipt(cloud, 1)["warnings"]
    assert "no record" in warning


def test_a_service_that_wants_no_tasks_succeeds_with_a_warning(cloud: Cloud) -> None:
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=0)
    cloud.settle()
    cloud.release(1)
    warning = "the ECS service wants no tasks, so no task has run this release yet"
    assert cloud.deployment(1)["warnings"] == [warning]
    found = receipt(cloud, 1)
    assert (found["desired_tasks"], found["tasks"], found["warnings"]) == (0, [], [warning])


def test_a_success_costs_five_more_calls_and_an_unchanged_rollout_none(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.begin_release(1)
    calls.clear()
    cloud.wake("service-1")
    assert not {name for name in calls.counted if "Task" in name or "ServiceDeployment" in name}
    cloud.finish_rollout(settle=False)
    calls.clear()
    cloud.wake("service-1")
    proof = (
        "ecs.ListServiceDeployments",
        "ecs.DescribeServiceRevisions",
        "ecs.DescribeServiceDeployments",
        "ecs.ListTasks",
        "ecs.DescribeTasks",
    )
    assert {name: calls.counted[name] for name in proof} == dict.fromkeys(proof, 1)
    assert cloud.statuses(1) == ["success"]


def test_a_success_that_was_committed_before_an_answer_was_lost_has_one_receipt(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.begin_release(1)
    trouble.lose_answers("dynamodb.TransactWriteItems")
    cloud.handlers_may_fail = True
    cloud.finish_rollout()
    cloud.advance(MINUTE)
    for _ in range(3):
        cloud.tick()
    assert cloud.statuses(1) == ["success"]
    assert receipt(cloud, 1)["previous"] is None
    assert cloud.push(sha(2)).status == 202
