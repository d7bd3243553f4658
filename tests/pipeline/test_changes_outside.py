"""A change of the ECS service outside Slipway stays until somebody deploys explicitly."""

from typing import Any

import pytest

from infra.local.aws import ecs
from infra.local.aws.ecs_records import Record
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    client,
    put_image,
    register,
    run_on_ecs,
    sha,
    task_definition,
)
from tests.support.sdk import Calls, Trouble


def definition_of(cloud: Cloud, number: int) -> str:
    return str(cloud.deployment(number)["task_definition"])


def entries(cloud: Cloud) -> list[Any]:
    """The audit entries of changes outside Slipway."""
    answer = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}")
    assert answer.status == 200, answer.text
    return [each for each in answer.body["items"] if each["action"] == "service.changed_outside"]


def records() -> list[Record]:
    """ECS's own records, newest first. A test may change them."""
    return ecs.engine().service(CLUSTER, "hello").records


def two_releases(cloud: Cloud) -> tuple[str, str]:
    """Two releases, 90 minutes ago; their definitions."""
    for number in (1, 2):
        cloud.release(number)
    cloud.advance(90 * MINUTE)
    cloud.tick()
    return definition_of(cloud, 1), definition_of(cloud, 2)


def deploy_by_hand(cloud: Cloud, tag: str) -> int:
    answer = cloud.deploy(f"hello@{put_image('hello', tag)}")
    assert answer.status == 202, answer.text
    return int(answer.body["deployment_id"])


def hear_twice_and_settle(cloud: Cloud) -> None:
    """Every event of ECS arrives twice, and its rollout ends well."""
    for event in cloud.take_events() * 2:
        cloud.hear(event)
    cloud.finish_rollout()
    for _ in range(3):
        cloud.tick()


def test_an_older_release_that_somebody_runs_on_ecs_stays(cloud: Cloud) -> None:
    older, _ = two_releases(cloud)
    run_on_ecs(older)
    hear_twice_and_settle(cloud)
    cloud.advance(61 * MINUTE)
    cloud.tick()
    runs = f"ECS runs {older} of deployment 1"
    assert cloud.definition_on_ecs() == older
    assert cloud.service()["drift"] == f"{runs}, which was chosen outside Slipway"
    assert cloud.service()["auto_deploy_paused"] == (
        f"the ECS service was changed outside Slipway: {runs}; "
        "deploy or roll back explicitly, or resume auto-deploy"
    )
    (entry,) = entries(cloud)
    assert entry["details"]["task_definition"] == older
    assert cloud.statuses(1, 2) == ["success", "success"]


@pytest.mark.parametrize("seconds", [0, 31, 32])
def test_a_change_outside_after_a_cancelled_deployment_is_shown_in_time(
    cloud: Cloud, seconds: int
) -> None:
    """Less than 32 seconds after Slipway's own call, a late call of Slipway may still come."""
    two_releases(cloud)
    number = deploy_by_hand(cloud, "cancelled")
    cloud.settle()
    assert cloud.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel").status == 202
    cloud.settle()
    cloud.finish_rollout()
    cloud.advance(seconds)
    run_on_ecs(register("hello", "theirs:1"))
    cloud.settle()
    assert (cloud.service()["drift"] is not None) == (seconds == 32)
    cloud.tick()
    cloud.tick()
    assert "chosen outside Slipway" in cloud.service()["drift"]


def test_after_a_change_outside_a_push_is_built_and_not_deployed(cloud: Cloud) -> None:
    older, _ = two_releases(cloud)
    run_on_ecs(older)
    cloud.finish_rollout()
    cloud.begin_release(3)
    assert cloud.build(3)["not_deployed"].startswith("auto-deploy is paused: the ECS service was")
    assert cloud.definition_on_ecs() == older


def test_an_explicit_deployment_ends_the_drift_and_the_pause(cloud: Cloud) -> None:
    older, _ = two_releases(cloud)
    run_on_ecs(older)
    cloud.finish_rollout()
    number = cloud.deploy_build(2)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(number) == ["success"]
    assert cloud.definition_on_ecs() == definition_of(cloud, number)
    assert cloud.service()["drift"] is None
    assert cloud.service()["auto_deploy_paused"] is None


def test_a_rollback_goes_on_from_a_change_outside(cloud: Cloud) -> None:
    older, _ = two_releases(cloud)
    run_on_ecs(older)
    cloud.finish_rollout()
    assert cloud.roll_back().status == 202
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(1, 2, 3) == ["success", "rolled_back", "success"]
    assert cloud.service()["drift"] is None


@pytest.mark.parametrize("how", ["breaker", "cancel", "deadline"])
def test_a_choice_comes_back_when_the_next_deployment_does_not_succeed(
    cloud: Cloud, how: str
) -> None:
    older, _ = two_releases(cloud)
    run_on_ecs(older)
    cloud.finish_rollout()
    number = deploy_by_hand(cloud, "bad")
    cloud.settle()
    if how == "breaker":
        cloud.fail_rollout()
    elif how == "cancel":
        assert cloud.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel").status == 202
        cloud.settle()
    for _ in range(23):
        cloud.tick()
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.statuses(number) == ["cancelled" if how == "cancel" else "failed"]
    assert cloud.definition_on_ecs() == older
    assert "of deployment 1, which was chosen outside" in cloud.service()["drift"]
    assert len(entries(cloud)) == 1


def test_auto_deploy_stays_paused_when_the_release_runs_again(cloud: Cloud) -> None:
    older, newer = two_releases(cloud)
    for definition in (older, newer):
        run_on_ecs(definition)
        cloud.finish_rollout()
    cloud.tick()
    assert cloud.service()["drift"] is None
    assert cloud.service()["auto_deploy_paused"] is not None
    cloud.change_service(auto_deploy=True)
    cloud.release(3)
    assert cloud.service()["current_deployment_id"] == 3


def test_a_resumed_auto_deploy_is_not_paused_again_by_the_same_change(
    cloud: Cloud, trouble: Trouble
) -> None:
    older, _ = two_releases(cloud)
    run_on_ecs(older)
    cloud.finish_rollout()
    cloud.change_service(auto_deploy=True)
    trouble.refuse("ecs.DescribeServices", "AccessDeniedException", times=1)
    cloud.wake(f"service-{cloud.service_id}")
    assert "refused" in cloud.service()["drift"]
    cloud.advance(61 * MINUTE)
    cloud.tick()
    assert "chosen outside Slipway" in cloud.service()["drift"]
    assert cloud.service()["auto_deploy_paused"] is None
    assert len(entries(cloud)) == 1
    run_on_ecs(register("hello", "hello:by-hand"))
    cloud.finish_rollout()
    assert cloud.service()["auto_deploy_paused"] is not None
    assert len(entries(cloud)) == 2


def start_rollout(cloud: Cloud) -> None:
    """Two releases, and a third one that has been rolling out for two minutes."""
    two_releases(cloud)
    cloud.begin_release(3)
    for _ in range(2):
        cloud.tick()


@pytest.mark.parametrize("number", [1, 2, None], ids=["older", "current", "own"])
def test_a_rollout_is_superseded_by_a_change_outside(cloud: Cloud, number: int | None) -> None:
    start_rollout(cloud)
    chosen = definition_of(cloud, number) if number else register("hello", "hello:by-hand")
    run_on_ecs(chosen)
    hear_twice_and_settle(cloud)
    ended = cloud.deployment(3)
    assert ended["status"] == "superseded"
    of = f" of deployment {number}" if number else ""
    assert ended["error"] == f"changed outside Slipway: ECS runs {chosen}{of}"
    assert cloud.job("deploy-3")["status"] == "cancelled"
    assert cloud.definition_on_ecs() == chosen
    assert (cloud.service()["drift"] is None) == (number == 2)
    assert "changed outside Slipway" in cloud.service()["auto_deploy_paused"]
    (entry,) = entries(cloud)
    assert entry["details"]["superseded"] == 3
    assert records()[0].target.task_definition == chosen


def test_a_change_outside_also_ends_the_deployments_that_were_requested_before_it(
    cloud: Cloud,
) -> None:
    start_rollout(cloud)
    waiting = deploy_by_hand(cloud, "waits")
    cloud.tick()
    run_on_ecs(definition_of(cloud, 1))
    cloud.settle()
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.statuses(3, waiting) == ["superseded", "superseded"]
    assert cloud.definition_on_ecs() == definition_of(cloud, 1)
    assert len(entries(cloud)) == 1


def test_an_explicit_deployment_that_was_requested_after_the_change_begins(cloud: Cloud) -> None:
    start_rollout(cloud)
    run_on_ecs(definition_of(cloud, 1))
    cloud.lose_events()
    cloud.advance(20)
    later = deploy_by_hand(cloud, "later")
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(3, later) == ["superseded", "success"]
    assert cloud.service()["drift"] is None


def test_a_push_does_not_replace_a_change_that_slipway_has_not_seen(cloud: Cloud) -> None:
    older, _ = two_releases(cloud)
    cloud.push(sha(3))
    cloud.settle()
    run_on_ecs(older)
    cloud.lose_events()
    cloud.advance(MINUTE)
    cloud.finish_build(3)
    cloud.finish_rollout()
    assert cloud.statuses(3) == ["superseded"]
    assert cloud.definition_on_ecs() == older
    assert len(entries(cloud)) == 1


def test_a_push_waiting_behind_a_superseded_rollout_is_superseded_too(cloud: Cloud) -> None:
    start_rollout(cloud)
    cloud.push(sha(4))
    cloud.settle()
    run_on_ecs(definition_of(cloud, 1))
    cloud.lose_events()
    cloud.advance(20)
    cloud.finish_build(4)
    assert cloud.statuses(3, 4) == ["superseded", "superseded"]
    assert cloud.definition_on_ecs() == definition_of(cloud, 1)
    assert len(entries(cloud)) == 1


def test_a_change_within_a_workers_life_waits_and_then_stays(cloud: Cloud, calls: Calls) -> None:
    two_releases(cloud)
    cloud.begin_release(3)
    by_hand = register("hello", "hello:by-hand")
    cloud.advance(10)
    run_on_ecs(by_hand)
    calls.clear()
    cloud.settle()
    assert cloud.statuses(3) == ["deploying"]
    assert cloud.definition_on_ecs() == by_hand
    wakes = [entry for call in calls.to("sqs.SendMessageBatch") for entry in call["Entries"]]
    assert {entry["DelaySeconds"] for entry in wakes} == {22}
    cloud.advance(22)
    cloud.wake("service-1")
    assert cloud.statuses(3) == ["superseded"]
    assert cloud.definition_on_ecs() == by_hand


def test_a_late_call_is_undone_also_if_it_is_seen_later(cloud: Cloud) -> None:
    older, newer = two_releases(cloud)
    cloud.begin_release(3)
    cloud.advance(31)
    run_on_ecs(older)
    cloud.lose_events()
    cloud.tick()
    assert cloud.definition_on_ecs() == definition_of(cloud, 3)
    assert cloud.api.post("/v1/cicd/jobs/deploy-3/cancel").status == 202
    cloud.settle()
    cloud.advance(31)
    run_on_ecs(definition_of(cloud, 3))
    cloud.lose_events()
    for _ in range(2):
        cloud.tick()
    assert cloud.definition_on_ecs() == newer
    cloud.finish_rollout()
    cloud.tick()
    assert (cloud.service()["drift"], entries(cloud)) == (None, [])


@pytest.mark.parametrize("how", ["event", "late", "lost"])
def test_a_rollback_by_the_circuit_breaker_is_no_change_outside(cloud: Cloud, how: str) -> None:
    _, newer = two_releases(cloud)
    cloud.begin_release(3)
    for _ in range(5):
        cloud.tick()
    cloud.fail_rollout(settle=False)
    events = cloud.take_events()
    assert cloud.definition_on_ecs() == newer
    record = records()[0]
    if how == "late":
        cloud.finish_rollout(settle=False)
        ended = record.status
        record.status = "IN_PROGRESS"
        for event in events * 2:
            cloud.hear(event)
        cloud.tick()
        assert cloud.statuses(3) == ["deploying"]
        record.status = ended
    if how != "lost":
        for event in events * 2:
            cloud.hear(event)
    for _ in range(2):
        cloud.tick()
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.statuses(3) == ["failed"]
    assert cloud.definition_on_ecs() == newer
    assert entries(cloud) == []
    assert cloud.service()["auto_deploy_paused"] is None
    assert cloud.service()["drift"] is None


def test_a_rollback_by_ecs_to_another_definition_than_the_release_is_no_change_outside(
    cloud: Cloud,
) -> None:
    """ECS completes the rollout of a cancelled deployment, and cannot run the release again."""
    two_releases(cloud)
    cloud.begin_release(3)
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    assert cloud.api.post("/v1/cicd/jobs/deploy-3/cancel").status == 202
    cloud.settle()
    cloud.fail_rollout()
    cloud.finish_rollout()
    for _ in range(3):
        cloud.tick()
    assert cloud.definition_on_ecs() == definition_of(cloud, 3)
    assert "ECS cannot run" in cloud.service()["drift"]
    assert entries(cloud) == []


def test_a_choice_that_ecs_has_not_recorded_yet_is_not_overwritten(cloud: Cloud) -> None:
    start_rollout(cloud)
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    older = definition_of(cloud, 1)
    run_on_ecs(older)
    late = records().pop(0)
    cloud.settle()
    cloud.tick()
    assert cloud.statuses(3) == ["deploying"]
    assert "has not recorded yet" in cloud.deployment(3)["error"]
    assert cloud.definition_on_ecs() == older
    records().insert(0, late)
    cloud.tick()
    assert cloud.statuses(3) == ["superseded"]
    assert cloud.definition_on_ecs() == older


def test_a_change_that_ecs_has_not_recorded_yet_is_shown_later(cloud: Cloud) -> None:
    older, _ = two_releases(cloud)
    run_on_ecs(older)
    late = records().pop(0)
    cloud.settle()
    for _ in range(2):
        cloud.tick()
    assert cloud.definition_on_ecs() == older
    assert cloud.service()["drift"] == (
        f"ECS runs {older} of deployment 1, and has not recorded yet who chose that"
    )
    assert entries(cloud) == []
    records().insert(0, late)
    cloud.tick()
    assert "chosen outside Slipway" in cloud.service()["drift"]


def test_a_choice_that_fails_and_what_ecs_went_back_to_are_both_shown(cloud: Cloud) -> None:
    start_rollout(cloud)
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    theirs = register("hello", "hello:theirs")
    run_on_ecs(theirs)
    cloud.settle()
    cloud.tick()
    assert cloud.statuses(3) == ["superseded"]
    cloud.fail_rollout()
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.service()["drift"] == (
        f"ECS runs {definition_of(cloud, 3)} of deployment 3, to which it went back from {theirs}, "
        "which was chosen outside Slipway"
    )
    assert [each["details"]["task_definition"] for each in entries(cloud)] == [theirs]


def test_a_change_that_ecs_keeps_no_record_of_is_shown(cloud: Cloud) -> None:
    """ECS keeps the records of service deployments for 90 days."""
    older, _ = two_releases(cloud)
    run_on_ecs(older)
    records().clear()
    cloud.settle()
    cloud.tick()
    # ECS may list the record of a young change later.
    assert "has not recorded yet" in cloud.service()["drift"]
    for _ in range(10):
        cloud.tick()
    assert cloud.definition_on_ecs() == older
    assert "chosen outside Slipway" in cloud.service()["drift"]
    assert len(entries(cloud)) == 1


def rolled_back_by_ecs(cloud: Cloud) -> None:
    """Another party's rollout fails, and ECS goes back to the release. A day passes."""
    two_releases(cloud)
    run_on_ecs(register("hello", "hello:by-hand"))
    cloud.settle()
    cloud.fail_rollout()
    cloud.finish_rollout()
    cloud.tick()
    cloud.change_service(auto_deploy=True)
    cloud.advance(24 * 60 * MINUTE)


@pytest.mark.parametrize("kind", ["deployment", "rollback"])
def test_an_earlier_change_outside_does_not_end_a_deployment_whose_first_call_failed(
    cloud: Cloud, trouble: Trouble, kind: str
) -> None:
    rolled_back_by_ecs(cloud)
    trouble.refuse("ecs.UpdateService", "ServerException")
    if kind == "rollback":
        cloud.roll_back()
    else:
        cloud.deploy(f"hello@{put_image('hello', 'x')}")
    cloud.settle()
    for _ in range(3):
        cloud.tick()
    cloud.finish_rollout()
    assert cloud.statuses(3) == ["success"]


def test_a_choice_after_a_failed_release_is_not_overwritten_before_ecs_has_recorded_it(
    cloud: Cloud,
) -> None:
    older, _ = two_releases(cloud)
    cloud.begin_release(3)
    cloud.fail_rollout()
    cloud.finish_rollout()
    cloud.tick()
    cloud.advance(60 * MINUTE)
    run_on_ecs(older)
    late = records().pop(0)
    cloud.settle()
    cloud.tick()
    assert cloud.definition_on_ecs() == older
    records().insert(0, late)
    cloud.tick()
    assert cloud.definition_on_ecs() == older
    assert "chosen outside Slipway" in cloud.service()["drift"]


def test_a_cancelled_rollout_is_undone_however_long_it_took(cloud: Cloud) -> None:
    _, newer = two_releases(cloud)
    cloud.begin_release(3)
    for _ in range(15):
        cloud.tick()
    assert cloud.api.post("/v1/cicd/jobs/deploy-3/cancel").status == 202
    cloud.lose_messages()
    for _ in range(2):
        cloud.tick()
    assert cloud.definition_on_ecs() == newer
    assert entries(cloud) == []


def force_new_deployment() -> None:
    client("ecs").update_service(cluster=CLUSTER, service="hello", forceNewDeployment=True)


def test_a_forced_new_deployment_of_the_release_is_no_drift(cloud: Cloud) -> None:
    _, newer = two_releases(cloud)
    force_new_deployment()
    cloud.settle()
    cloud.finish_rollout()
    for _ in range(2):
        cloud.tick()
    assert cloud.definition_on_ecs() == newer
    assert (cloud.service()["drift"], entries(cloud)) == (None, [])


def test_a_forced_new_deployment_does_not_keep_a_cancelled_rollout(cloud: Cloud) -> None:
    start_rollout(cloud)
    force_new_deployment()
    cloud.settle()
    assert cloud.statuses(3) == ["deploying"]
    assert cloud.api.post("/v1/cicd/jobs/deploy-3/cancel").status == 202
    cloud.settle()
    assert cloud.definition_on_ecs() == definition_of(cloud, 2)
    assert entries(cloud) == []


def test_a_change_of_the_number_of_tasks_is_no_drift(cloud: Cloud) -> None:
    start_rollout(cloud)
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=0)
    cloud.finish_rollout()
    for _ in range(2):
        cloud.tick()
    assert cloud.statuses(3) == ["success"]
    assert (cloud.service()["drift"], entries(cloud)) == (None, [])


def test_an_ecs_service_that_was_created_again_stays_as_it_is(cloud: Cloud) -> None:
    start_rollout(cloud)
    older = definition_of(cloud, 1)
    ecs_client = client("ecs")
    ecs_client.delete_service(cluster=CLUSTER, service="hello", force=True)
    ecs_client.create_service(
        cluster=CLUSTER, serviceName="hello", taskDefinition=older, desiredCount=2
    )
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.statuses(3) == ["superseded"]
    assert cloud.definition_on_ecs() == older
    assert "chosen outside Slipway" in cloud.service()["drift"]


def test_a_definition_of_another_service_of_slipway_is_a_change_outside(cloud: Cloud) -> None:
    two_releases(cloud)
    first, other = cloud.service_id, cloud.add_service("other")
    cloud.service_id = other
    number = cloud.deploy(f"other@{put_image('other', 'x')}").body["deployment_id"]
    cloud.settle()
    cloud.finish_rollout("other")
    cloud.service_id = first
    foreign = definition_of(cloud, number)
    cloud.begin_release(3)
    run_on_ecs(foreign)
    cloud.settle()
    for _ in range(2):
        cloud.tick()
    assert cloud.definition_on_ecs() == foreign
    assert len(entries(cloud)) == 1


def test_a_deployment_after_a_change_outside_has_the_configuration_that_runs(cloud: Cloud) -> None:
    two_releases(cloud)
    run_on_ecs(register("hello", "hello:by-hand", COLOUR="blue"))
    cloud.finish_rollout()
    number = deploy_by_hand(cloud, "next")
    cloud.settle()
    cloud.finish_rollout()
    container = task_definition(definition_of(cloud, number))["containerDefinitions"][0]
    assert container["environment"] == [{"name": "COLOUR", "value": "blue"}]
