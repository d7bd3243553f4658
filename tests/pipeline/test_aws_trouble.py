"""Limits, refusals, lost answers and sudden deaths: nothing is done twice, nothing is forgotten."""

import pytest

from chalicelib.settings import settings
from tests.embedded import MINUTE, Cloud, sha
from tests.sdk import Killed, Trouble


def test_a_third_build_waits_until_one_of_two_has_ended(cloud: Cloud) -> None:
    for number in (1, 2, 3, 4):
        cloud.push(sha(number))
    cloud.settle()
    waiting = cloud.build(3)
    assert (waiting["status"], waiting["progress"]) == ("queued", 0)
    assert "Cannot have more than 2 active builds" in waiting["error"]
    assert cloud.job("build-3")["status"] == "queued"
    cloud.finish_build(2)
    assert [cloud.build(number)["status"] for number in (1, 3, 4)] == [
        "building",
        "building",
        "queued",
    ]
    assert cloud.build(3)["error"] is None
    assert cloud.builds_in_codebuild() == ["build-1", "build-2", "build-3"]


def test_a_build_that_waited_longer_than_its_token_lives_is_started_once(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        cloud.push(sha(number))
    cloud.settle()
    for _ in range(8):
        cloud.tick()
    assert cloud.build(3)["status"] == "queued"
    cloud.finish_build(1)
    for _ in range(2):
        cloud.tick()
    assert cloud.build(3)["status"] == "building"
    assert cloud.builds_in_codebuild() == ["build-1", "build-2", "build-3"]


def test_a_build_that_codebuild_refuses_fails_at_once_with_the_reason(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.push(sha(1))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("CODEBUILD_PROJECT", "nowhere")
        settings.cache_clear()
        cloud.settle()
    settings.cache_clear()
    build = cloud.build(1)
    assert (build["status"], build["progress"]) == ("failed", 0)
    assert "Project cannot be found" in build["error"]
    assert cloud.job("build-1")["finished_at"] is not None


@pytest.mark.parametrize("later", [MINUTE, 6 * MINUTE], ids=["token alive", "token dead"])
def test_a_build_whose_start_was_not_answered_is_started_once(
    cloud: Cloud, trouble: Trouble, later: int
) -> None:
    trouble.lose_answers("codebuild.StartBuild")
    cloud.push(sha(1))
    cloud.settle()
    assert cloud.build(1)["status"] == "queued"
    assert "StartBuild" in cloud.build(1)["error"]
    cloud.advance(later)
    cloud.pump.tick()
    assert cloud.build(1)["status"] == "building"
    assert cloud.builds_in_codebuild() == ["build-1"]
    cloud.finish_build(1)
    assert cloud.build(1)["status"] == "success"


@pytest.mark.parametrize(
    "operation",
    ["ecs.RegisterTaskDefinition", "ecs.UpdateService", "dynamodb.TransactWriteItems"],
)
def test_a_deployment_with_lost_answers_is_rolled_out_once(
    cloud: Cloud, trouble: Trouble, operation: str
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1, settle=False)
    cloud.tick()
    trouble.lose_answers(operation)
    cloud.settle()
    for _ in range(2):
        cloud.tick()
    assert cloud.rollouts() == 1
    assert cloud.deployment(1)["task_definition"] == cloud.definition_on_ecs()
    cloud.finish_rollout()
    assert cloud.statuses(1) == ["success"]


def test_an_accepted_push_is_built_though_the_process_died_before_it_said_so(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.kill_before("sqs.SendMessageBatch")
    with pytest.raises(Killed):
        cloud.push(sha(1), delivery="the-one")
    cloud.tick()
    assert cloud.builds_in_codebuild() == ["build-1"]
    assert cloud.push(sha(1), delivery="the-one").body["duplicate"] is True


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "operation",
    [
        "codebuild.StartBuild",
        "codebuild.BatchGetBuilds",
        "ecs.RegisterTaskDefinition",
        "ecs.UpdateService",
        "sqs.SendMessageBatch",
    ],
)
def test_a_worker_that_dies_at_any_call_leaves_nothing_undone(
    cloud: Cloud, trouble: Trouble, operation: str, when: str
) -> None:
    cloud.push(sha(1))
    kill = trouble.kill_before if when == "before" else trouble.kill_after
    kill(operation)
    died = 0

    def minutes(number: int) -> None:
        nonlocal died
        for _ in range(number):
            try:
                cloud.tick()
            except Killed:
                died += 1

    minutes(3)
    cloud.finish_build(1, settle=False)
    minutes(3)
    cloud.finish_rollout(settle=False)
    minutes(3)
    assert died == 1
    assert cloud.build(1)["status"] == "success"
    assert cloud.statuses(1) == ["success"]
    assert cloud.service()["current_deployment_id"] == 1
    assert cloud.builds_in_codebuild() == ["build-1"]
    assert cloud.rollouts() == 1


def test_a_push_is_accepted_while_the_queue_is_down(cloud: Cloud, trouble: Trouble) -> None:
    trouble.refuse("sqs.SendMessageBatch", "ServiceUnavailable")
    assert cloud.push(sha(1)).status == 202
    cloud.settle()
    assert cloud.builds_in_codebuild() == []
    cloud.tick()
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_throttling_is_waited_out(cloud: Cloud, trouble: Trouble) -> None:
    trouble.refuse("codebuild.StartBuild", "ThrottlingException")
    cloud.push(sha(1))
    cloud.settle()
    assert cloud.build(1)["status"] == "queued"
    cloud.tick()
    assert cloud.build(1)["status"] == "building"
    trouble.refuse("ecs.DescribeServices", "ThrottlingException")
    cloud.finish_build(1)
    assert cloud.deployment(1)["status"] == "queued"
    assert "refused" in cloud.deployment(1)["error"]
    cloud.tick()
    assert (cloud.deployment(1)["status"], cloud.deployment(1)["error"]) == ("deploying", None)


def test_a_refused_rollout_fails_with_the_reason_and_frees_the_slot(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("ecs.RegisterTaskDefinition", "ClientException")
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1)
    assert cloud.deployment(1)["status"] == "failed"
    assert "ECS RegisterTaskDefinition: refused" in cloud.deployment(1)["error"]
    assert cloud.service()["deploying_deployment_id"] is None
