"""Cancelling: whatever a job is doing, it ends, and nothing of it runs on."""

import pytest
from moto.codebuild.models import codebuild_backends

from tests.support.client import Answer
from tests.support.embedded import MINUTE, REGISTRY, Cloud, client, put_image, sha
from tests.support.sdk import Killed, Trouble


def cancel(cloud: Cloud, job: str) -> Answer:
    return cloud.api.post(f"/v1/cicd/jobs/{job}/cancel")


def ask(cloud: Cloud, name: str) -> int:
    """Ask for the deployment of a new image; the deployment's id."""
    return int(cloud.deploy(f"hello@{put_image('hello', name)}").body["deployment_id"])


def release(cloud: Cloud, name: str) -> int:
    """A deployment seen through to its success."""
    number = ask(cloud, name)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(number) == ["success"]
    return number


def image(cloud: Cloud, deployment: int) -> str:
    return f"{REGISTRY}/hello@{cloud.deployment(deployment)['image_digest']}"


def status_in_codebuild(cloud: Cloud, number: int) -> str:
    found = client("codebuild").batch_get_builds(ids=[cloud.build(number)["codebuild_id"]])
    return str(found["builds"][0]["buildStatus"])


def test_a_queued_build_is_never_started(cloud: Cloud) -> None:
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


def test_a_running_build_is_stopped_and_then_ends(cloud: Cloud) -> None:
    number = cloud.push(sha(1)).body["builds"][0]["build_id"]
    cloud.settle()
    cloud.enter_phase(number, "PROVISIONING")
    answer = cancel(cloud, f"build-{number}")
    assert (answer.body["status"], answer.body["cancelled_by"]) == ("running", "token:tests")
    cloud.settle()
    assert status_in_codebuild(cloud, number) == "STOPPED"
    assert cloud.build(number)["status"] == "cancelled"
    assert cloud.service()["active_deployment_id"] is None


def test_a_build_that_is_done_before_it_can_be_stopped_is_not_deployed(cloud: Cloud) -> None:
    number = cloud.push(sha(1)).body["builds"][0]["build_id"]
    cloud.settle()
    cancel(cloud, f"build-{number}")
    cloud.lose_messages()
    cloud.finish_build(number)
    build = cloud.build(number)
    assert (build["status"], build["image_digest"]) == ("cancelled", None)
    assert cloud.service()["active_deployment_id"] is None


def test_a_cancelled_build_makes_room_for_the_next(cloud: Cloud) -> None:
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


def test_a_build_whose_start_was_never_answered_is_found_and_stopped(
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


def test_a_call_that_may_still_be_in_the_air_is_waited_for(cloud: Cloud, trouble: Trouble) -> None:
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


def test_a_cancelled_build_ends_though_stopbuild_is_throttled_for_a_while(
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


def test_a_cancelled_build_that_codebuild_forgot_ends_cancelled(cloud: Cloud) -> None:
    number = cloud.ask_for_build()
    cloud.settle()
    cancel(cloud, f"build-{number}")
    codebuild_backends["123456789012"]["eu-west-1"].reset()
    for _ in range(3):
        cloud.tick()
    assert cloud.build(number)["status"] == "cancelled"


def test_a_waiting_deployment_is_cancelled_and_the_one_under_way_goes_on(cloud: Cloud) -> None:
    first, second = ask(cloud, "a"), ask(cloud, "b")
    cloud.settle()
    assert cancel(cloud, f"deploy-{second}").body["status"] == "cancelled"
    assert cloud.service()["waiting_deployment_id"] is None
    cloud.finish_rollout()
    assert cloud.statuses(first, second) == ["success", "cancelled"]
    assert cloud.image_on_ecs() == image(cloud, first)


def test_a_queued_deployment_is_never_rolled_out(cloud: Cloud) -> None:
    number = ask(cloud, "a")
    cancel(cloud, f"deploy-{number}")
    cloud.settle()
    assert cloud.statuses(number) == ["cancelled"]
    assert cloud.deployment(number)["error"] == "cancelled by token:tests"
    assert cloud.rollouts() == 0


def test_a_rollout_is_cancelled_and_what_ran_before_comes_back(cloud: Cloud) -> None:
    good, bad = release(cloud, "a"), ask(cloud, "b")
    cloud.settle()
    assert cloud.image_on_ecs() == image(cloud, bad)
    cancel(cloud, f"deploy-{bad}")
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(good, bad) == ["success", "cancelled"]
    assert cloud.image_on_ecs() == image(cloud, good)
    assert cloud.service()["current_deployment_id"] == good


def test_a_first_rollout_is_cancelled_and_ops_own_definition_comes_back(cloud: Cloud) -> None:
    number = ask(cloud, "a")
    cloud.settle()
    cancel(cloud, f"deploy-{number}")
    cloud.settle()
    assert cloud.image_on_ecs() == "hello:before"


def test_whoever_waits_begins_when_the_one_before_is_cancelled(cloud: Cloud) -> None:
    first, second = ask(cloud, "a"), ask(cloud, "b")
    cloud.settle()
    cancel(cloud, f"deploy-{first}")
    cloud.settle()
    assert cloud.statuses(first, second) == ["cancelled", "deploying"]
    cloud.finish_rollout()
    assert cloud.image_on_ecs() == image(cloud, second)


def test_a_cancelled_rollback_leaves_what_ran(cloud: Cloud) -> None:
    release(cloud, "a")
    newest = release(cloud, "b")
    rollback = cloud.roll_back().body["deployment_id"]
    cloud.settle()
    cancel(cloud, f"deploy-{rollback}")
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(newest, rollback) == ["success", "cancelled"]
    assert cloud.image_on_ecs() == image(cloud, newest)


def test_a_worker_that_died_before_updateservice_changes_nothing_after_a_cancel(
    cloud: Cloud, trouble: Trouble
) -> None:
    good, bad = release(cloud, "a"), ask(cloud, "b")
    trouble.kill_before("ecs.UpdateService")
    with pytest.raises(Killed):
        cloud.settle()
    cancel(cloud, f"deploy-{bad}")
    cloud.settle()
    cloud.tick()
    assert cloud.image_on_ecs() == image(cloud, good)
    assert cloud.rollouts() == 1


@pytest.mark.parametrize("name", ["build", "deploy"])
def test_cancelling_again_changes_nothing(cloud: Cloud, name: str) -> None:
    number = cloud.ask_for_build() if name == "build" else ask(cloud, "a")
    first = cancel(cloud, f"{name}-{number}")
    cloud.advance(MINUTE)
    assert cancel(cloud, f"{name}-{number}").body == first.body


def test_what_has_ended_otherwise_cannot_be_cancelled(cloud: Cloud) -> None:
    number = cloud.release(1)
    for job in ("build-1", f"deploy-{number}"):
        before = cloud.job(job)
        answer = cancel(cloud, job)
        assert (answer.status, answer.body["code"]) == (409, "job_ended")
        assert answer.body["detail"] == f"{job} has ended: it is success"
        assert cloud.job(job) == before
    assert cloud.definition_on_ecs() == cloud.deployment(number)["task_definition"]


def test_a_job_that_does_not_exist_cannot_be_cancelled(cloud: Cloud) -> None:
    assert cancel(cloud, "build-99").status == 404
    assert cancel(cloud, "service-1").status == 404


def test_a_lost_answer_to_a_cancel_does_not_cancel_twice(cloud: Cloud, trouble: Trouble) -> None:
    number = ask(cloud, "a")
    trouble.lose_answers("dynamodb.TransactWriteItems")
    assert cancel(cloud, f"deploy-{number}").status == 503
    assert cancel(cloud, f"deploy-{number}").status == 202
    assert cloud.statuses(number) == ["cancelled"]
