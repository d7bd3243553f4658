"""The lifecycle hooks of the embedded ECS. Each test states AWS's behaviour and its source.

"Workflow" is the guide's page "Amazon ECS blue/green service deployments workflow", "Pause hooks"
is "Pause hooks for Amazon ECS service deployments", and "Troubleshooting" is "Troubleshooting
Amazon ECS blue/green deployments".
"""

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from infra.local.aws import clock, ecs
from infra.local.aws.ecs_stages import SHIFT
from tests.support.ecs_shifts import (
    BLUE_GREEN,
    CANARY,
    DAY,
    FUNCTION,
    HOOKED_STAGES,
    LINEAR,
    begin,
    end,
    function,
    go_on,
    hook_events,
    pause,
    stage,
    stop,
    waiting,
    weights,
)
from tests.support.ecs_world import HERE, World, ecs_world


@pytest.fixture
def world() -> Iterator[World]:
    with ecs_world() as world:
        yield world


@pytest.mark.parametrize("at", HOOKED_STAGES)
def test_a_rollout_pauses_at_its_hook_until_it_is_continued(world: World, at: str) -> None:
    """ "Pause hooks": AWAITING_ACTION with its time, the event, and ContinueServiceDeployment."""
    begin(world, BLUE_GREEN, pause(at, timeoutInMinutes=30))
    ecs.engine().complete("main", "hello")
    clock.advance(10 * 60)
    record = world.record()
    assert (record["status"], record["lifecycleStage"]) == ("IN_PROGRESS", at)
    (hook,) = record["lifecycleHookDetails"]
    assert hook["hookId"].startswith("ecs-pause-")
    assert (hook["targetType"], hook["status"], hook["timeoutAction"]) == (
        "PAUSE",
        "AWAITING_ACTION",
        "ROLLBACK",
    )
    assert "targetArn" not in hook
    assert 19 * 60 < hook["expiresAt"].timestamp() - clock.now() <= 30 * 60
    assert hook_events() == [(at, "AWAITING_ACTION")]
    go_on(world)
    assert hook_events() == [(at, "SUCCEEDED")]
    end(world)
    assert [each["status"] for each in world.record()["lifecycleHookDetails"]] == ["SUCCEEDED"]


def test_the_event_of_a_hook_has_the_documented_fields(world: World) -> None:
    """ "Amazon ECS service deployment hook state change events"."""
    begin(world, BLUE_GREEN, pause("PRE_SCALE_UP"))
    record = world.record()
    (event,) = [
        each
        for each in ecs.engine().drain_events()
        if each["detail-type"] == "ECS Hook State Change"
    ]
    (hook,) = waiting(record)
    arn = record["serviceDeploymentArn"]
    assert event["resources"] == [arn]
    assert event["source"] == "aws.ecs"
    assert event["detail"] == {
        "eventType": "INFO",
        "eventName": "HOOK_AWAITING_ACTION",
        "hookId": hook["hookId"],
        "hookType": "PAUSE",
        "expiresAt": hook["expiresAt"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycleStage": "PRE_SCALE_UP",
        "clusterArn": record["clusterArn"],
        "serviceArn": record["serviceArn"],
        "serviceDeploymentArn": arn,
        "updatedAt": event["time"],
    }


def test_a_paused_rollout_has_no_task_before_its_scale_up(world: World) -> None:
    """ "Workflow", PRE_SCALE_UP: the green service revision has not started."""
    begin(world, BLUE_GREEN, pause("PRE_SCALE_UP"))
    ecs.engine().complete("main", "hello")
    assert stage(world) == ("IN_PROGRESS", "PRE_SCALE_UP")
    assert len(world.tasks()) == 2
    go_on(world, "CONTINUE")
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
    assert len(world.tasks()) == 4


def test_each_step_pauses_with_a_hook_of_its_own(world: World) -> None:
    """ "Pause hooks": "pauses 5 times - once before each step", each with a unique hookId."""
    begin(world, LINEAR, pause("PRE_PRODUCTION_TRAFFIC_SHIFT"))
    ecs.engine().complete("main", "hello")
    ids, seen = set(), []
    for _ in range(4):
        clock.advance(SHIFT + 60)
        assert stage(world) == ("IN_PROGRESS", "PRE_PRODUCTION_TRAFFIC_SHIFT")
        seen.append(weights(world)[0][1])
        ids.add(waiting(world.record())[0]["hookId"])
        go_on(world)
    assert seen == [0, 30, 60, 90]
    assert len(ids) == 4
    end(world)


@pytest.mark.parametrize("at", HOOKED_STAGES)
def test_a_hook_that_is_answered_with_rollback_rolls_back(world: World, at: str) -> None:
    """ "Pause hooks": HOOK_FAILED means ROLLBACK; the rollback has no revision of its own.

    Inferred: the text of the reason.
    """
    begin(world, BLUE_GREEN, pause(at))
    ecs.engine().complete("main", "hello")
    clock.advance(60)
    go_on(world, "ROLLBACK")
    events = ecs.engine().drain_events()
    assert "HOOK_FAILED" in [each["detail"]["eventName"] for each in events]
    record = world.record()
    assert record["status"] == "ROLLBACK_IN_PROGRESS"
    assert record["rollback"]["serviceRevisionArn"] == record["sourceServiceRevisions"][0]["arn"]
    assert record["statusReason"] == (
        f"Service deployment rolled back because {at} pause hook was rolled back."
    )
    assert record["lifecycleHookDetails"][0]["status"] == "FAILED"
    clock.advance(60)
    assert stage(world)[0] == "ROLLBACK_SUCCESSFUL"
    assert weights(world) == [("hello:1", 100, 0)]
    assert len(world.tasks()) == 2
    assert len(world.ecs.list_service_deployments(**HERE)["serviceDeployments"]) == 2


@pytest.mark.parametrize("action", ["ROLLBACK", "CONTINUE"])
def test_a_hook_takes_its_action_when_its_time_is_over(world: World, action: str) -> None:
    """ "Pause hooks", Timeout behavior; "Troubleshooting" has the reason."""
    at = "PRE_PRODUCTION_TRAFFIC_SHIFT"
    begin(world, BLUE_GREEN, pause(at, timeoutInMinutes=10, action=action))
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT + 10 * 60 - 1)
    assert stage(world) == ("IN_PROGRESS", at)
    clock.advance(1)
    record = world.record()
    assert record["lifecycleHookDetails"][0]["status"] == "TIMED_OUT"
    assert hook_events() == [(at, "AWAITING_ACTION"), (at, "TIMED_OUT")]
    if action == "CONTINUE":
        assert stage(world) == ("IN_PROGRESS", "PRODUCTION_TRAFFIC_SHIFT")
        return
    assert (record["status"], record["statusReason"]) == (
        "ROLLBACK_IN_PROGRESS",
        "Service deployment rolled back because PRE_PRODUCTION_TRAFFIC_SHIFT pause hook timed out.",
    )


def test_all_hooks_of_a_stage_must_succeed(world: World) -> None:
    """ "Pause hooks": hooks of a stage run in parallel; paused until all are continued."""
    at = "POST_TEST_TRAFFIC_SHIFT"
    ecs.engine().answer_hook(FUNCTION, "IN_PROGRESS")
    begin(world, BLUE_GREEN, pause(at), function(at), pause(at))
    ecs.engine().complete("main", "hello")
    clock.advance(60)
    statuses = [each["status"] for each in world.record()["lifecycleHookDetails"]]
    assert statuses == ["AWAITING_ACTION", "IN_PROGRESS", "AWAITING_ACTION"]
    first, second = waiting(world.record())
    go_on(world, hook=second)
    go_on(world, hook=first)
    assert stage(world) == ("IN_PROGRESS", at)
    ecs.engine().answer_hook(FUNCTION, "SUCCEEDED")
    assert stage(world) == ("IN_PROGRESS", "PRODUCTION_TRAFFIC_SHIFT")


def test_one_hook_that_rolls_back_rolls_all_back(world: World) -> None:
    """ "Pause hooks": "regardless of the status of other hooks at that stage"."""
    at = "PRE_PRODUCTION_TRAFFIC_SHIFT"
    begin(world, BLUE_GREEN, pause(at), pause(at))
    ecs.engine().complete("main", "hello")
    clock.advance(60)
    first, second = waiting(world.record())
    go_on(world, "ROLLBACK", hook=first)
    assert stage(world)[0] == "ROLLBACK_IN_PROGRESS"
    with pytest.raises(ClientError, match="either completed, unavailable"):
        go_on(world, hook=second)


def test_a_function_that_fails_rolls_back(world: World) -> None:
    """ "Troubleshooting": the text; "Lifecycle hooks": FAILED rolls back."""
    ecs.engine().answer_hook(FUNCTION, "FAILED")
    begin(world, BLUE_GREEN, function("POST_SCALE_UP"))
    ecs.engine().complete("main", "hello")
    record = world.record()
    assert (record["status"], record["statusReason"]) == (
        "ROLLBACK_IN_PROGRESS",
        "Service deployment rolled back because POST_SCALE_UP lifecycle hook(s) failed. Lifecycle "
        f"hook target {FUNCTION} returned FAILED status.",
    )
    (hook,) = record["lifecycleHookDetails"]
    assert (hook["targetType"], hook["targetArn"]) == ("AWS_LAMBDA", FUNCTION)
    assert hook_events() == [("POST_SCALE_UP", "IN_PROGRESS"), ("POST_SCALE_UP", "FAILED")]


def test_functions_run_at_each_shift_and_again_in_a_rollback(world: World) -> None:
    """ "Lifecycle hooks": recurring stages; the two shifts "are also invoked during rollback"."""
    begin(world, CANARY, function("PRODUCTION_TRAFFIC_SHIFT", "TEST_TRAFFIC_SHIFT"))
    ecs.engine().complete("main", "hello")
    clock.advance(2 * SHIFT + 5 * 60)
    assert [at for at, name in hook_events() if name == "SUCCEEDED"] == [
        "TEST_TRAFFIC_SHIFT",
        "PRODUCTION_TRAFFIC_SHIFT",
        "PRODUCTION_TRAFFIC_SHIFT",
    ]
    stop(world)
    clock.advance(60)
    assert stage(world)[0] == "ROLLBACK_SUCCESSFUL"
    assert [at for at, name in hook_events() if name == "SUCCEEDED"] == [
        "PRODUCTION_TRAFFIC_SHIFT",
        "TEST_TRAFFIC_SHIFT",
    ]


def test_a_function_that_fails_in_a_rollback_fails_the_rollback(world: World) -> None:
    """API reference, ServiceDeploymentStatus: ROLLBACK_FAILED. Inferred: that this is its cause."""
    begin(world, CANARY, function("PRODUCTION_TRAFFIC_SHIFT"))
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    assert weights(world)[0][1] == 10
    ecs.engine().answer_hook(FUNCTION, "FAILED")
    stop(world)
    assert stage(world) == ("ROLLBACK_FAILED", "PRODUCTION_TRAFFIC_SHIFT")
    assert world.service()["deployments"][0]["status"] == "PRIMARY"
    assert world.service()["taskDefinition"].endswith("hello:2")


def test_a_function_that_never_ends_times_out(world: World) -> None:
    """API reference, DeploymentLifecycleHookTimeoutConfiguration: 1440 minutes by default."""
    ecs.engine().answer_hook(FUNCTION, "IN_PROGRESS")
    begin(world, BLUE_GREEN, function("PRE_SCALE_UP"))
    assert stage(world) == ("IN_PROGRESS", "PRE_SCALE_UP")
    clock.advance(DAY - 1)
    assert stage(world) == ("IN_PROGRESS", "PRE_SCALE_UP")
    clock.advance(1)
    assert stage(world)[0] == "ROLLBACK_IN_PROGRESS"
    assert hook_events() == [("PRE_SCALE_UP", "IN_PROGRESS"), ("PRE_SCALE_UP", "TIMED_OUT")]


def test_a_paused_rollout_follows_the_desired_count_when_it_starts(world: World) -> None:
    """ "Workflow": the green revision scales up to 100 %."""
    begin(world, CANARY, pause("PRE_SCALE_UP"))
    world.update(desiredCount=3)
    assert [each["desiredCount"] for each in world.service()["deployments"]] == [0, 3]
    go_on(world)
    assert [each["desiredCount"] for each in world.service()["deployments"]] == [3, 3]


def test_only_a_hook_that_awaits_an_action_can_be_continued(world: World) -> None:
    """ "Troubleshooting", Lifecycle hook issues: the texts. Inferred: InvalidParameterException."""
    at = "PRE_PRODUCTION_TRAFFIC_SHIFT"
    begin(world, CANARY, pause(at), function("PRE_SCALE_UP"))
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    record = world.record()
    ran, hook = record["lifecycleHookDetails"]
    arn = record["serviceDeploymentArn"]
    go_on(world)
    unavailable = (
        "Provided hookId is either completed, unavailable, or not associated with the given "
        "Resource ARN"
    )
    refusals = {
        hook["hookId"]: unavailable,
        ran["hookId"]: unavailable,
        "ecs-pause-unknown": unavailable,
        "unknown": "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}",
    }
    for hook_id, message in refusals.items():
        with pytest.raises(ClientError) as caught:
            world.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook_id)
        assert caught.value.response["Error"] == {
            "Code": "InvalidParameterException",
            "Message": message,
        }
    missing = pytest.raises(ClientError, match="service deployment does not exist")
    with missing:
        world.ecs.continue_service_deployment(serviceDeploymentArn=arn + "0", hookId=hook["hookId"])
    with missing:
        world.ecs.stop_service_deployment(serviceDeploymentArn=arn + "0")
    clock.advance(SHIFT + 5 * 60)
    go_on(world)
    end(world)
    with pytest.raises(ClientError, match="terminal states"):
        world.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"])
