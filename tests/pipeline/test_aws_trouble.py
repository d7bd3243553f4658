"""Limits, refusals, lost answers and dead processes: no work is done twice and none is lost."""

from types import SimpleNamespace

import pytest

from chalicelib import budget
from chalicelib.settings import settings
from chalicelib.store import writes
from tests.support.embedded import MIDNIGHT, MINUTE, Cloud, sha
from tests.support.sdk import Killed, Trouble


def test_a_third_build_waits_until_one_of_two_has_ended(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
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


def test_a_build_starts_once_after_its_token_has_expired(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
    for number in (1, 2, 3):
        cloud.push(sha(number))
    cloud.settle()
    for _ in range(8):
        cloud.tick()
    assert cloud.build(3)["status"] == "queued"
    cloud.finish_build(1)
    for _ in range(2):
        cloud.tick()
    cloud.settle()
    assert cloud.build(3)["status"] == "building"
    assert cloud.builds_in_codebuild() == ["build-1", "build-2", "build-3"]


def test_a_build_that_codebuild_refuses_fails_at_once_with_the_reason(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.push(sha(1))
    with monkeypatch.context() as patch:
        patch.setenv("CODEBUILD_PROJECT", "nowhere")
        settings.cache_clear()
        cloud.settle()
    settings.cache_clear()
    build = cloud.build(1)
    assert (build["status"], build["progress"]) == ("failed", 0)
    assert "Project cannot be found" in build["error"]
    assert cloud.job("build-1")["finished_at"] is not None


@pytest.mark.parametrize("later", [MINUTE, 6 * MINUTE], ids=["token alive", "token dead"])
def test_a_build_starts_once_after_a_lost_answer_to_start_build(
    cloud: Cloud, trouble: Trouble, later: int
) -> None:
    trouble.lose_answers("codebuild.StartBuild")
    cloud.push(sha(1))
    cloud.pump.settle()
    assert cloud.build(1)["status"] == "queued"
    assert "StartBuild" in cloud.build(1)["error"]
    cloud.advance(later)
    cloud.pump.tick()
    cloud.settle()
    assert cloud.build(1)["status"] == "building"
    assert cloud.builds_in_codebuild() == ["build-1"]
    cloud.finish_build(1)
    assert cloud.build(1)["status"] == "success"


def test_a_deployment_with_lost_answers_is_rolled_out_once(cloud: Cloud, trouble: Trouble) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1, settle=False)
    cloud.tick()
    for operation in (
        "ecs.RegisterTaskDefinition",
        "dynamodb.TransactWriteItems",
        "ecs.UpdateService",
    ):
        trouble.lose_answers(operation)
    for _ in range(5):
        cloud.tick()
    assert cloud.rollouts() == 1
    assert cloud.deployment(1)["task_definition"] == cloud.definition_on_ecs()
    cloud.finish_rollout()
    assert cloud.statuses(1) == ["success"]


def test_an_accepted_push_is_built_after_the_process_died_before_the_wake_up(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.kill_before("sqs.SendMessageBatch")
    with pytest.raises(Killed):
        cloud.push(sha(1), pushed_at=int(MIDNIGHT))
    cloud.advance(59)  # the schedule runs just before the build is due
    cloud.pump.tick()
    assert cloud.builds_in_codebuild() == []
    cloud.tick()
    assert cloud.builds_in_codebuild() == ["build-1"]
    assert cloud.push(sha(1), pushed_at=int(MIDNIGHT)).body["duplicate"] is True


FATAL_CALLS = (
    "codebuild.StartBuild",
    "codebuild.BatchGetBuilds",
    "ecs.RegisterTaskDefinition",
    "ecs.UpdateService",
    "sqs.SendMessageBatch",
)


@pytest.mark.parametrize("when", ["before", "after"])
def test_workers_that_die_at_each_kind_of_call_leave_no_work_undone(
    cloud: Cloud, trouble: Trouble, when: str
) -> None:
    cloud.push(sha(1))
    for operation in FATAL_CALLS:
        (trouble.kill_before if when == "before" else trouble.kill_after)(operation)
    deaths = 0
    for act in (lambda: cloud.finish_build(1, settle=False), cloud.finish_rollout, lambda: None):
        for _ in range(4):
            try:
                cloud.tick()
            except Killed:
                deaths += 1
        act()
    assert deaths == len(FATAL_CALLS)
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


def test_a_throttled_build_or_deployment_waits_and_continues(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("codebuild.StartBuild", "ThrottlingException")
    cloud.push(sha(1))
    cloud.settle()
    assert (cloud.build(1)["status"], cloud.job("build-1")["waits"]) == ("queued", 1)
    cloud.tick()
    cloud.settle()
    assert (cloud.build(1)["status"], cloud.job("build-1")["waits"]) == ("building", 0)
    trouble.refuse("ecs.DescribeServices", "ThrottlingException")
    cloud.finish_build(1)
    assert cloud.deployment(1)["status"] == "queued"
    assert "refused" in cloud.deployment(1)["error"]
    assert cloud.job("deploy-1")["waits"] == 1
    cloud.tick()
    assert (cloud.deployment(1)["status"], cloud.deployment(1)["error"]) == ("deploying", None)
    assert cloud.job("deploy-1")["waits"] == 0


def test_a_refused_rollout_fails_with_the_reason_and_is_no_longer_active(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("ecs.RegisterTaskDefinition", "ClientException")
    cloud.begin_release(1)
    assert cloud.deployment(1)["status"] == "failed"
    assert "ECS RegisterTaskDefinition: refused" in cloud.deployment(1)["error"]
    assert cloud.service()["active_deployment_id"] is None


def test_a_request_gets_503_after_two_lost_answers_of_dynamodb(
    cloud: Cloud, trouble: Trouble
) -> None:
    for operation in ("GetItem", "UpdateItem", "TransactWriteItems"):
        trouble.lose_answers(f"dynamodb.{operation}")
        answer = cloud.api.post(f"/v1/cicd/services/{cloud.service_id}/build", {})
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
        assert "the database did not answer" in answer.body["detail"]


def test_an_ended_build_stays_ended_if_the_next_build_cannot_be_woken(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED", settle=False)
    trouble.lose_answers("dynamodb.Query")
    cloud.settle()
    ended = cloud.build(1)
    assert ended["status"] == "failed"
    cloud.tick()
    assert cloud.build(1) == ended


def test_conflicting_transactions_are_tried_again(
    cloud: Cloud, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(writes, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(writes, "random", SimpleNamespace(uniform=max))
    trouble.refuse("dynamodb.TransactWriteItems", "TransactionCanceledException")
    assert cloud.push(sha(1)).status == 202
    assert len(waits) == 2
    assert 0 < waits[0] < waits[1] < 0.5


def test_a_push_gets_503_if_every_transaction_conflicts(
    cloud: Cloud, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "HTTP_SECONDS", 0.3)
    trouble.refuse("dynamodb.TransactWriteItems", "TransactionCanceledException", times=10_000)
    answer = cloud.push(sha(1))
    trouble.end()
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert cloud.push(sha(1)).status == 202
