"""Cancelling a job in each of its states: it ends, and neither CodeBuild nor ECS continues it."""

import pytest
from moto.codebuild.models import codebuild_backends

from tests.support.client import Answer
from tests.support.embedded import MINUTE, REGISTRY, Cloud, client, put_image, sha
from tests.support.sdk import Killed, Trouble


def cancel(cloud: Cloud, job_id: str) -> Answer:
    return cloud.api.post(f"/v1/cicd/jobs/{job_id}/cancel")


def request_deployment(cloud: Cloud, tag: str) -> int:
    """Request the deployment of a new image; return the deployment's number."""
    return int(cloud.deploy(f"hello@{put_image('hello', tag)}").body["deployment_id"])


def deploy_image(cloud: Cloud, tag: str) -> int:
    """Deploy a new image with success; return the deployment's number."""
    number = request_deployment(cloud, tag)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(number) == ["success"]
    return number


def image_of_deployment(cloud: Cloud, number: int) -> str:
    return f"{REGISTRY}/hello@{cloud.deployment(number)['image_digest']}"


def status_in_codebuild(cloud: Cloud, number: int) -> str:
    found = client("codebuild").batch_get_builds(ids=[cloud.build(number)["codebuild_id"]])
    return str(found["builds"][0]["buildStatus"])


def test_a_build_cancelled_while_queued_is_never_started(cloud: Cloud) -> None:
    number = cloud.ask_for_build()
    answer = cancel(cloud, f"build-{number}")
    assert answer.status == 202
    assert answer.body["status"] == "cancelled"
    assert answer.headers["location"] == f"/v1/cicd/jobs/build-{number}"
    cloud.settle()
    cloud.tick()
    assert cloud.builds_in_codebuild() == []
    assert cloud.build(number)["error"] == "cancelled by token:tests"
    assert cloud.build(number)["cancelled_by"] == "token:tests"


def test_a_cancelled_running_build_is_stopped_in_codebuild(cloud: Cloud) -> None:
    number = cloud.push(sha(1)).body["builds"][0]["build_id"]
    cloud.settle()
    answer = cancel(cloud, f"build-{number}")
    assert (answer.body["status"], answer.body["cancelled_by"]) == ("running", "token:tests")
    cloud.settle()
    assert status_in_codebuild(cloud, number) == "STOPPED"
    assert cloud.build(number)["status"] == "cancelled"
    assert cloud.service()["active_deployment_id"] is None


def test_a_cancelled_build_that_succeeds_before_its_stop_is_not_deployed(cloud: Cloud) -> None:
    number = cloud.push(sha(1)).body["builds"][0]["build_id"]
    cloud.settle()
    cancel(cloud, f"build-{number}")
    cloud.lose_messages()
    cloud.finish_build(number)
    build = cloud.build(number)
    assert (build["status"], build["image_digest"]) == ("cancelled", None)
    assert cloud.service()["active_deployment_id"] is None


def test_the_next_build_starts_after_one_is_cancelled(cloud: Cloud) -> None:
    numbers = [cloud.ask_for_build(git_ref=name) for name in ("a", "b", "c")]
    cloud.settle()
    assert cloud.build(numbers[2])["status"] == "queued"
    cancel(cloud, f"build-{numbers[0]}")
    cloud.settle()
    assert [cloud.build(number)["status"] for number in numbers] == [
        "cancelled",
        "building",
        "building",
    ]


def test_a_cancelled_build_with_a_lost_answer_to_start_build_is_stopped(
    cloud: Cloud, trouble: Trouble
) -> None:
    number = cloud.ask_for_build()
    trouble.kill_after("codebuild.StartBuild")
    with pytest.raises(Killed):
        cloud.settle()
    assert cancel(cloud, f"build-{number}").body["status"] == "queued"
    cloud.settle()
    assert status_in_codebuild(cloud, number) == "STOPPED"
    assert cloud.build(number)["status"] == "cancelled"
    assert cloud.builds_in_codebuild() == [f"build-{number}"]


def test_a_cancelled_build_stays_queued_while_start_build_may_be_in_flight(
    cloud: Cloud, trouble: Trouble
) -> None:
    number = cloud.ask_for_build()
    trouble.kill_before("codebuild.StartBuild")
    with pytest.raises(Killed):
        cloud.settle()
    cancel(cloud, f"build-{number}")
    cloud.settle()
    assert cloud.build(number)["status"] == "queued"
    cloud.tick()
    assert cloud.build(number)["status"] == "cancelled"
    assert cloud.builds_in_codebuild() == []


def test_a_cancelled_build_ends_after_stop_build_was_throttled(
    cloud: Cloud, trouble: Trouble
) -> None:
    number = cloud.ask_for_build()
    cloud.settle()
    trouble.refuse("codebuild.StopBuild", "ThrottlingException")
    cancel(cloud, f"build-{number}")
    cloud.settle()
    assert cloud.build(number)["status"] == "building"
    cloud.tick()
    cloud.settle()
    assert cloud.build(number)["status"] == "cancelled"


def test_a_cancelled_build_that_codebuild_no_longer_knows_ends_cancelled(cloud: Cloud) -> None:
    number = cloud.ask_for_build()
    cloud.settle()
    cancel(cloud, f"build-{number}")
    codebuild_backends["123456789012"]["eu-west-1"].reset()
    for _ in range(3):
        cloud.tick()
    assert cloud.build(number)["status"] == "cancelled"


def test_the_active_deployment_continues_after_the_waiting_one_is_cancelled(cloud: Cloud) -> None:
    first, second = request_deployment(cloud, "a"), request_deployment(cloud, "b")
    cloud.settle()
    assert cancel(cloud, f"deploy-{second}").body["status"] == "cancelled"
    assert cloud.service()["waiting_deployment_id"] is None
    cloud.finish_rollout()
    assert cloud.statuses(first, second) == ["success", "cancelled"]
    assert cloud.image_on_ecs() == image_of_deployment(cloud, first)


def test_a_deployment_cancelled_while_queued_is_never_rolled_out(cloud: Cloud) -> None:
    number = request_deployment(cloud, "a")
    cancel(cloud, f"deploy-{number}")
    cloud.settle()
    assert cloud.statuses(number) == ["cancelled"]
    assert cloud.deployment(number)["error"] == "cancelled by token:tests"
    assert cloud.rollouts() == 0


def test_the_current_release_comes_back_after_a_cancelled_rollout(cloud: Cloud) -> None:
    good, bad = deploy_image(cloud, "a"), request_deployment(cloud, "b")
    cloud.settle()
    assert cloud.image_on_ecs() == image_of_deployment(cloud, bad)
    cancel(cloud, f"deploy-{bad}")
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(good, bad) == ["success", "cancelled"]
    assert cloud.image_on_ecs() == image_of_deployment(cloud, good)
    assert cloud.service()["current_deployment_id"] == good


def test_the_owners_task_definition_comes_back_after_a_cancelled_first_rollout(
    cloud: Cloud,
) -> None:
    number = request_deployment(cloud, "a")
    cloud.settle()
    cancel(cloud, f"deploy-{number}")
    cloud.settle()
    assert cloud.image_on_ecs() == "hello:before"


def test_the_waiting_deployment_begins_when_the_active_one_is_cancelled(cloud: Cloud) -> None:
    first, second = request_deployment(cloud, "a"), request_deployment(cloud, "b")
    cloud.settle()
    cancel(cloud, f"deploy-{first}")
    cloud.settle()
    assert cloud.statuses(first, second) == ["cancelled", "deploying"]
    cloud.finish_rollout()
    assert cloud.image_on_ecs() == image_of_deployment(cloud, second)


def test_the_current_release_comes_back_after_a_cancelled_rollback(cloud: Cloud) -> None:
    deploy_image(cloud, "a")
    newest = deploy_image(cloud, "b")
    rollback = cloud.roll_back().body["deployment_id"]
    cloud.settle()
    cancel(cloud, f"deploy-{rollback}")
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(newest, rollback) == ["success", "cancelled"]
    assert cloud.image_on_ecs() == image_of_deployment(cloud, newest)


def test_no_rollout_begins_after_a_cancel_if_the_worker_died_before_update_service(
    cloud: Cloud, trouble: Trouble
) -> None:
    good, bad = deploy_image(cloud, "a"), request_deployment(cloud, "b")
    trouble.kill_before("ecs.UpdateService")
    with pytest.raises(Killed):
        cloud.settle()
    cancel(cloud, f"deploy-{bad}")
    cloud.settle()
    cloud.tick()
    assert cloud.image_on_ecs() == image_of_deployment(cloud, good)
    assert cloud.rollouts() == 1


@pytest.mark.parametrize("kind", ["build", "deploy"])
def test_a_second_cancel_changes_nothing(cloud: Cloud, kind: str) -> None:
    number = cloud.ask_for_build() if kind == "build" else request_deployment(cloud, "a")
    first = cancel(cloud, f"{kind}-{number}")
    cloud.advance(MINUTE)
    assert cancel(cloud, f"{kind}-{number}").body == first.body


def test_a_successful_job_cannot_be_cancelled(cloud: Cloud) -> None:
    number = cloud.release(1)
    for job in ("build-1", f"deploy-{number}"):
        before = cloud.job(job)
        answer = cancel(cloud, job)
        assert (answer.status, answer.body["code"]) == (409, "job_ended")
        assert answer.body["detail"] == f"{job} has ended already (success)"
        assert cloud.job(job) == before
    assert cloud.definition_on_ecs() == cloud.deployment(number)["task_definition"]


def test_cancelling_a_missing_job_is_a_404(cloud: Cloud) -> None:
    assert cancel(cloud, "build-99").status == 404
    assert cancel(cloud, "service-1").status == 404


def test_a_cancel_can_be_repeated_after_a_lost_answer(cloud: Cloud, trouble: Trouble) -> None:
    number = request_deployment(cloud, "a")
    trouble.lose_answers("dynamodb.TransactWriteItems")
    assert cancel(cloud, f"deploy-{number}").status == 503
    assert cancel(cloud, f"deploy-{number}").status == 202
    assert cloud.statuses(number) == ["cancelled"]
