"""The strategies of the embedded ECS. Each test states AWS's behaviour and its source.

"Workflow" is the guide's page "Amazon ECS blue/green service deployments workflow", "Pause hooks"
is "Pause hooks for Amazon ECS service deployments", and "Troubleshooting" is "Troubleshooting
Amazon ECS blue/green deployments".
"""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.aws import clock, ecs
from infra.local.aws.ecs_stages import CLEAN_UP, SHIFT
from tests.support.ecs_world import HERE, World, ecs_world

ELB = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/ecs"
BALANCER: dict[str, Any] = {
    "targetGroupArn": f"{ELB}:targetgroup/blue/1",
    "containerName": "web",
    "containerPort": 80,
    "advancedConfiguration": {
        "alternateTargetGroupArn": f"{ELB}:targetgroup/green/2",
        "productionListenerRule": f"{ELB}:listener-rule/app/web/1/2/3",
        "testListenerRule": f"{ELB}:listener-rule/app/web/1/2/4",
        "roleArn": ROLE,
    },
}
CANARY: dict[str, Any] = {
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 5},
    "bakeTimeInMinutes": 3,
}
LINEAR: dict[str, Any] = {
    "strategy": "LINEAR",
    "linearConfiguration": {"stepPercent": 30.0, "stepBakeTimeInMinutes": 1},
}
BLUE_GREEN: dict[str, Any] = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 3}
HOOKED_STAGES = [
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
]
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:check"
DAY = 24 * 3600


@pytest.fixture
def world() -> Iterator[World]:
    with ecs_world() as world:
        yield world


def pause(*stages: str, **timeout: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"targetType": "PAUSE", "lifecycleStages": list(stages)}
    return made | ({"timeoutConfiguration": timeout} if timeout else {})


def function(*stages: str) -> dict[str, Any]:
    return {"hookTargetArn": FUNCTION, "roleArn": ROLE, "lifecycleStages": list(stages)}


def begin(world: World, configuration: Any, *hooks: Any, **more: Any) -> None:
    """Begin a second rollout, after one without hooks that was completed."""
    request = {"loadBalancers": [BALANCER]} | more
    world.register()
    world.create(configuration=configuration, **request)
    end(world)
    world.register("web:2")
    hooked = configuration | ({"lifecycleHooks": list(hooks)} if hooks else {})
    ecs.engine().drain_events()
    world.update(taskDefinition="hello", deploymentConfiguration=hooked)


def end(world: World) -> None:
    """Let the rollout go on to its end."""
    ecs.engine().complete("main", "hello")
    clock.advance(DAY)
    assert world.record()["status"] == "SUCCESSFUL"


def go_on(world: World, action: str | None = None, hook: Any = None) -> None:
    """Answer the hook that awaits an action."""
    record = world.record()
    (awaiting,) = [hook] if hook else waiting(record)
    world.ecs.continue_service_deployment(
        serviceDeploymentArn=record["serviceDeploymentArn"],
        hookId=awaiting["hookId"],
        **({"action": action} if action else {}),
    )


def waiting(record: Any) -> list[Any]:
    return [each for each in record["lifecycleHookDetails"] if each["status"] == "AWAITING_ACTION"]


def stop(world: World, **how: Any) -> None:
    arn = world.record()["serviceDeploymentArn"]
    world.ecs.stop_service_deployment(serviceDeploymentArn=arn, **how)


def stage(world: World) -> tuple[str, str | None]:
    record = world.record()
    return record["status"], record.get("lifecycleStage")


def weights(world: World) -> list[tuple[str, float, float]]:
    """The task definition, production and test traffic of each deployment, newest first."""
    production = ecs.engine().weights("main", "hello")
    test = ecs.engine().test_weights("main", "hello")
    return [
        (
            each["taskDefinition"].rpartition("/")[2],
            production[each["id"]],
            test[each["id"]],
        )
        for each in world.service()["deployments"]
    ]


def hook_events() -> list[tuple[str, str]]:
    drained = ecs.engine().drain_events()
    hooks = [each["detail"] for each in drained if each["detail-type"] == "ECS Hook State Change"]
    return [(each["lifecycleStage"], each["eventName"].removeprefix("HOOK_")) for each in hooks]


def test_blue_green_shifts_all_traffic_at_once_and_bakes(world: World) -> None:
    """ "Workflow": the stages, "an immediate (all-at-once) shift", two revisions in the bake."""
    begin(world, BLUE_GREEN)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
    assert weights(world) == [("hello:2", 0, 0), ("hello:1", 100, 0)]
    ecs.engine().complete("main", "hello")
    assert stage(world) == ("IN_PROGRESS", "TEST_TRAFFIC_SHIFT")
    assert weights(world) == [("hello:2", 0, 100), ("hello:1", 100, 0)]
    clock.advance(SHIFT)
    assert stage(world) == ("IN_PROGRESS", "PRODUCTION_TRAFFIC_SHIFT")
    assert weights(world) == [("hello:2", 100, 100), ("hello:1", 0, 0)]
    clock.advance(SHIFT)
    assert stage(world) == ("IN_PROGRESS", "BAKE_TIME")
    assert world.service()["runningCount"] == 4
    clock.advance(3 * 60 - 1)
    assert stage(world) == ("IN_PROGRESS", "BAKE_TIME")
    clock.advance(1)
    assert stage(world) == ("IN_PROGRESS", "CLEAN_UP")
    assert [each["runningCount"] for each in world.service()["deployments"]] == [2, 0]
    assert len(world.tasks()) == 2
    clock.advance(CLEAN_UP)
    assert stage(world) == ("SUCCESSFUL", "CLEAN_UP")
    assert weights(world) == [("hello:2", 100, 0)]
    (deployment,) = world.service()["deployments"]
    assert (deployment["status"], deployment["rolloutState"]) == ("PRIMARY", "COMPLETED")


def test_canary_shifts_a_part_waits_and_shifts_the_rest(world: World) -> None:
    """ "Amazon ECS canary deployments": two steps, then the deployment bake time."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    assert weights(world) == [("hello:2", 10, 100), ("hello:1", 90, 0)]
    clock.advance(SHIFT + 5 * 60 - 1)
    assert stage(world) == ("IN_PROGRESS", "PRODUCTION_TRAFFIC_SHIFT")
    assert weights(world)[0] == ("hello:2", 10, 100)
    clock.advance(1)
    assert weights(world) == [("hello:2", 100, 100), ("hello:1", 0, 0)]
    clock.advance(SHIFT)
    assert stage(world) == ("IN_PROGRESS", "BAKE_TIME")


def test_linear_shifts_equal_steps_and_the_rest(world: World) -> None:
    """API reference, LinearConfiguration; CloudFormation: the floor of 100 / stepPercent waits."""
    begin(world, LINEAR)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    seen = []
    for _ in range(4):
        seen.append(weights(world)[0][1])
        clock.advance(SHIFT + 60)
    assert seen == [30, 60, 90, 100]
    assert stage(world)[0] == "SUCCESSFUL"


def test_the_record_shows_weights_stage_and_its_own_configuration(world: World) -> None:
    """API reference, ServiceDeployment and ServiceRevisionSummary; Service."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    world.update(deploymentConfiguration=BLUE_GREEN)
    record = world.record()
    assert record["deploymentConfiguration"].items() >= CANARY.items()
    target, (source,) = record["targetServiceRevision"], record["sourceServiceRevisions"]
    assert (
        target["requestedProductionTrafficWeight"],
        target["requestedTestTrafficWeight"],
        source["requestedProductionTrafficWeight"],
        source["requestedTestTrafficWeight"],
    ) == (10, 100, 90, 0)
    assert (target["runningTaskCount"], source["runningTaskCount"]) == (2, 2)
    service = world.service()
    assert service["currentServiceDeployment"] == record["serviceDeploymentArn"]
    assert [each["arn"] for each in service["currentServiceRevisions"]] == [
        target["arn"],
        source["arn"],
    ]
    assert service["loadBalancers"] == [BALANCER]
    assert service["resourceManagementType"] == "CUSTOMER"
    assert service["deploymentConfiguration"]["strategy"] == "BLUE_GREEN"


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
    """ "Pause hooks": HOOK_FAILED means ROLLBACK; the rollback has no revision of its own."""
    begin(world, BLUE_GREEN, pause(at))
    ecs.engine().complete("main", "hello")
    clock.advance(60)
    go_on(world, "ROLLBACK")
    events = ecs.engine().drain_events()
    assert "HOOK_FAILED" in [each["detail"]["eventName"] for each in events]
    record = world.record()
    assert record["status"] == "ROLLBACK_IN_PROGRESS"
    assert record["rollback"]["serviceRevisionArn"] == record["sourceServiceRevisions"][0]["arn"]
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


def test_a_clock_that_jumps_changes_no_duration(world: World) -> None:
    """Each stage begins when the one before it was due, however late somebody looks."""
    hook = pause("POST_PRODUCTION_TRAFFIC_SHIFT", timeoutInMinutes=10, action="CONTINUE")
    begin(world, CANARY, hook)
    ecs.engine().complete("main", "hello")
    clock.advance(3 * SHIFT + (5 + 10 + 3) * 60 - 1)
    assert stage(world) == ("IN_PROGRESS", "BAKE_TIME")
    clock.advance(1)
    assert stage(world) == ("IN_PROGRESS", "CLEAN_UP")


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


@pytest.mark.parametrize(
    "seconds",
    [0, SHIFT, SHIFT + 1, 3 * SHIFT + 5 * 60, 3 * SHIFT + 8 * 60],
    ids=["test shift", "canary", "canary bake", "bake", "clean up"],
)
def test_a_rollout_is_stopped_at_every_stage(world: World, seconds: float) -> None:
    """ "Stopping Amazon ECS service deployments": IN_PROGRESS, then ROLLBACK_REQUESTED."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(seconds)
    before = stage(world)
    assert before[0] == "IN_PROGRESS"
    stop(world, stopType="ROLLBACK")
    record = world.record()
    assert record["status"] == "ROLLBACK_IN_PROGRESS"
    stop(world)
    if before[1] == "CLEAN_UP":  # inferred: the tasks that are gone start again first
        assert stage(world) == ("ROLLBACK_IN_PROGRESS", "SCALE_UP")
        assert weights(world) == [("hello:2", 100, 100), ("hello:1", 0, 0)]
        ecs.engine().complete("main", "hello")
    elif seconds:  # a weight flip: no task starts
        assert weights(world)[1] == ("hello:1", 100, 0)
        assert len(world.tasks()) == 4
    clock.advance(60)
    assert stage(world) == ("ROLLBACK_SUCCESSFUL", "CLEAN_UP")
    assert weights(world) == [("hello:1", 100, 0)]
    with pytest.raises(ClientError) as caught:
        stop(world)
    assert caught.value.response["Error"]["Code"] == "ConflictException"


def test_a_stop_is_a_request_at_first(world: World) -> None:
    """ "Stopping Amazon ECS service deployments": the rollback starts after ROLLBACK_REQUESTED."""
    begin(world, CANARY)
    record = ecs.engine()._services["main", "hello"].records[0]
    world.ecs.stop_service_deployment(serviceDeploymentArn=record.service_deployment_arn)
    assert record.status == "ROLLBACK_REQUESTED"
    assert stage(world)[0] == "ROLLBACK_IN_PROGRESS"


def test_an_alarm_in_the_bake_time_flips_the_traffic_back(world: World) -> None:
    """ "Workflow": monitored throughout the shift and the bake time; rollback without new tasks."""
    alarms = {"alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True}}
    begin(world, CANARY | alarms)
    ecs.engine().complete("main", "hello")
    clock.advance(3 * SHIFT + 5 * 60)
    assert stage(world) == ("IN_PROGRESS", "BAKE_TIME")
    ecs.engine().alarm("errors")
    assert weights(world)[1] == ("hello:1", 100, 0)
    record = world.record()
    assert record["statusReason"] == (
        "Service deployment rolled back because of one or more active alarms."
    )
    assert record["alarms"]["triggeredAlarmNames"] == ["errors"]


def test_tasks_that_never_start_time_the_stage_out(world: World) -> None:
    """ "Workflow": "fails the deployment, and then initiates a rollback" after 24 hours."""
    begin(world, BLUE_GREEN)
    world.report(0, failed=50)
    clock.advance(DAY - 1)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
    clock.advance(1)
    assert world.record()["status"] == "ROLLBACK_IN_PROGRESS"


def test_a_first_rollout_goes_through_the_stages_and_has_nothing_to_return_to(
    world: World,
) -> None:
    """ "Troubleshooting with Amazon ECS Action Logs": no rollback candidate."""
    world.register()
    hook = {"lifecycleHooks": [pause("PRE_PRODUCTION_TRAFFIC_SHIFT")]}
    world.create(configuration=BLUE_GREEN | hook, loadBalancers=[BALANCER])
    clock.advance(SHIFT)
    assert stage(world) == ("IN_PROGRESS", "PRE_PRODUCTION_TRAFFIC_SHIFT")
    assert weights(world) == [("hello:1", 0, 100)]
    go_on(world, "ROLLBACK")
    record = world.record()
    assert (record["status"], record["statusReason"]) == (
        "ROLLBACK_FAILED",
        "No rollback candidate was found to run the rollback.",
    )
    assert world.tasks() == []


def test_a_rollout_that_replaces_one_reconciles_the_service_first(world: World) -> None:
    """ "Workflow", RECONCILE_SERVICE: more than one revision is active at the start.

    "Troubleshooting": a new deployment invalidates the hookIds of the one before it.
    """
    begin(world, CANARY, pause("POST_PRODUCTION_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT"))
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    go_on(world)
    clock.advance(SHIFT + 5 * 60)
    old = world.record()
    assert weights(world)[0] == ("hello:2", 10, 100)
    (hook,) = waiting(old)
    world.register("web:3")
    world.update(taskDefinition="hello")
    assert stage(world) == ("IN_PROGRESS", "RECONCILE_SERVICE")
    assert weights(world) == [("hello:3", 0, 0), ("hello:2", 0, 0), ("hello:1", 100, 0)]
    with pytest.raises(ClientError, match="terminal states"):
        world.ecs.continue_service_deployment(
            serviceDeploymentArn=old["serviceDeploymentArn"], hookId=hook["hookId"]
        )
    with pytest.raises(ClientError, match="not associated"):
        go_on(world, hook=hook)
    clock.advance(SHIFT)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
    assert [each["taskDefinition"][-1] for each in world.service()["deployments"]] == ["3", "1"]
    listed = world.ecs.list_service_deployments(**HERE)["serviceDeployments"]
    assert [each["status"] for each in listed] == ["IN_PROGRESS", "STOPPED", "SUCCESSFUL"]
    stop(world)
    clock.advance(60)
    assert weights(world) == [("hello:1", 100, 0)]


def test_a_forced_deployment_has_stages_too(world: World) -> None:
    """API reference, UpdateService.forceNewDeployment."""
    begin(world, CANARY)
    end(world)
    world.update(forceNewDeployment=True)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
    assert [each[0] for each in weights(world)] == ["hello:2", "hello:2"]


def test_both_revisions_follow_the_desired_count(world: World) -> None:
    """AWS, 2025-11, of rolling updates: scale-out applies to both. Inferred: also here."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    world.update(desiredCount=3)
    assert [each["desiredCount"] for each in world.service()["deployments"]] == [3, 3]
    assert len(world.ecs.list_service_deployments(**HERE)["serviceDeployments"]) == 2


def test_a_paused_rollout_follows_the_desired_count_when_it_starts(world: World) -> None:
    """ "Workflow": the green revision scales up to 100 %."""
    begin(world, CANARY, pause("PRE_SCALE_UP"))
    world.update(desiredCount=3)
    assert [each["desiredCount"] for each in world.service()["deployments"]] == [0, 3]
    go_on(world)
    assert [each["desiredCount"] for each in world.service()["deployments"]] == [3, 3]


def test_a_deleted_service_ends_its_rollout(world: World) -> None:
    """API reference, DeleteService."""
    begin(world, CANARY, pause("PRE_SCALE_UP"))
    record = world.record()
    (hook,) = waiting(record)
    world.ecs.delete_service(**HERE, force=True)
    clock.advance(2 * DAY)
    assert world.service()["status"] == "INACTIVE"
    with pytest.raises(ClientError, match="terminal states"):
        world.ecs.continue_service_deployment(
            serviceDeploymentArn=record["serviceDeploymentArn"], hookId=hook["hookId"]
        )


def test_a_headless_service_has_stages_but_no_weights(world: World) -> None:
    """ "Required resources for Amazon ECS blue/green deployments": no managed traffic shifting."""
    begin(world, BLUE_GREEN, loadBalancers=[])
    ecs.engine().complete("main", "hello")
    assert stage(world) == ("IN_PROGRESS", "TEST_TRAFFIC_SHIFT")
    assert ecs.engine().weights("main", "hello") == {}
    assert "requestedProductionTrafficWeight" not in world.record()["targetServiceRevision"]
    end(world)


def test_service_connect_shifts_traffic_without_a_load_balancer(world: World) -> None:
    """ "Required resources for Amazon ECS canary deployments"."""
    begin(world, CANARY, loadBalancers=[], serviceConnectConfiguration={"enabled": True})
    assert weights(world) == [("hello:2", 0, 0), ("hello:1", 100, 0)]


def test_a_service_changes_its_strategy(world: World) -> None:
    """API reference, UpdateService: the strategy is a part of the deployment configuration."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    rolling = {"strategy": "ROLLING"}
    world.update(deploymentConfiguration=rolling, forceNewDeployment=True)
    assert ecs.engine().weights("main", "hello") == {}
    ecs.engine().complete("main", "hello")
    assert world.record()["status"] == "SUCCESSFUL"
    assert "lifecycleStage" not in world.record()
    world.update(deploymentConfiguration=BLUE_GREEN, forceNewDeployment=True)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
    assert weights(world) == [("hello:2", 0, 0), ("hello:2", 100, 0)]


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
    for call in (
        lambda: world.ecs.continue_service_deployment(
            serviceDeploymentArn=arn + "0", hookId=hook["hookId"]
        ),
        lambda: world.ecs.stop_service_deployment(serviceDeploymentArn=arn + "0"),
    ):
        with pytest.raises(world.ecs.exceptions.ServiceDeploymentNotFoundException):
            call()
    clock.advance(SHIFT + 5 * 60)
    go_on(world)
    end(world)
    with pytest.raises(ClientError, match="terminal states"):
        world.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"])


def linear(**values: Any) -> dict[str, Any]:
    return {"strategy": "LINEAR", "linearConfiguration": values}


def canary(**values: Any) -> dict[str, Any]:
    return {"strategy": "CANARY", "canaryConfiguration": values}


def hooked(*hooks: Any) -> dict[str, Any]:
    return BLUE_GREEN | {"lifecycleHooks": list(hooks)}


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        ({"strategy": "GREEN"}, "Invalid strategy"),
        ({"strategy": "BLUE_GREEN"}, "bakeTimeInMinutes is required"),
        (BLUE_GREEN | {"bakeTimeInMinutes": 1441}, "bakeTimeInMinutes must be between"),
        (linear(stepPercent=2.9), "stepPercent must be between 3.0 and 100.0"),
        (linear(stepPercent=10.05), "stepPercent must be a multiple of 0.1"),
        (linear(stepBakeTimeInMinutes=1441), "stepBakeTimeInMinutes must be between 0 and 1440"),
        (canary(canaryPercent=0.05), "canaryPercent must be between 0.1 and 100.0"),
        (canary(canaryPercent=0.15), "canaryPercent must be a multiple of 0.1"),
        (canary(canaryBakeTimeInMinutes=-1), "canaryBakeTimeInMinutes must be between"),
        (BLUE_GREEN | {"canaryConfiguration": {"canaryPercent": 5.0}}, "canaryConfiguration is"),
        (CANARY | {"linearConfiguration": {"stepPercent": 5.0}}, "linearConfiguration is only"),
        (CANARY | {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}, "breaker"),
        (hooked(pause("TEST_TRAFFIC_SHIFT")), "Invalid lifecycle stage provided for Pause Hook"),
        (hooked(pause("PRODUCTION_TRAFFIC_SHIFT")), "Invalid lifecycle stage provided"),
        (hooked(pause("BAKE_TIME")), "lifecycleStages must have valid values"),
        (hooked(pause()), "lifecycleStages must have valid values"),
        (hooked(pause("PRE_SCALE_UP", timeoutInMinutes=20_161)), "timeoutInMinutes must be"),
        (hooked(pause("PRE_SCALE_UP", action="WAIT")), "Invalid action"),
        (hooked(pause("PRE_SCALE_UP") | {"roleArn": ROLE}), "not valid for a pause hook"),
        (hooked({"lifecycleStages": ["PRE_SCALE_UP"]}), "required for a Lambda hook"),
        (hooked(pause("PRE_SCALE_UP") | {"targetType": "X"}), "Invalid targetType. Valid values"),
        (hooked(*[pause("PRE_SCALE_UP")] * 11), "At most 10 lifecycle hooks of the type PAUSE"),
        (hooked(*[function("PRE_SCALE_UP")] * 11), "At most 10 lifecycle hooks of the type AWS"),
    ],
)
def test_a_configuration_beyond_its_limits_is_refused(
    world: World, configuration: Any, text: str
) -> None:
    """API reference, DeploymentConfiguration and its members; "Pause hooks", Constraints.

    "Troubleshooting" has the texts about hooks. Inferred: the other texts.
    """
    world.register()
    world.create(loadBalancers=[BALANCER])
    before = world.service()["deploymentConfiguration"]
    with pytest.raises(ClientError) as caught:
        world.update(deploymentConfiguration=configuration)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
    assert text in caught.value.response["Error"]["Message"]
    assert world.service()["deploymentConfiguration"] == before


@pytest.mark.parametrize("strategy", ["LINEAR", "CANARY", "BLUE_GREEN"])
def test_traffic_needs_a_load_balancer_with_an_advanced_configuration(
    world: World, strategy: str
) -> None:
    """ "Troubleshooting", Missing advanced configuration; "Required resources" of each strategy."""
    world.register()
    configuration = {"strategy": strategy, "bakeTimeInMinutes": 0}
    plain = {name: each for name, each in BALANCER.items() if name != "advancedConfiguration"}
    with pytest.raises(ClientError, match="advancedConfiguration field is required for all"):
        world.create(configuration=configuration, loadBalancers=[plain])
    with pytest.raises(ClientError, match="Either all or none of the provided loadBalancers"):
        world.create(configuration=configuration, loadBalancers=[BALANCER, plain])
    if strategy == "BLUE_GREEN":
        world.create(configuration=configuration)
        return
    with pytest.raises(ClientError, match="requires a load balancer or Service Connect"):
        world.create(configuration=configuration)


def test_omitted_parts_of_a_step_have_their_defaults(world: World) -> None:
    """API reference, LinearConfiguration and CanaryConfiguration."""
    world.register()
    world.create(configuration={"strategy": "LINEAR"}, loadBalancers=[BALANCER])
    shown = world.service()["deploymentConfiguration"]
    assert shown["linearConfiguration"] == {"stepPercent": 10.0, "stepBakeTimeInMinutes": 6}
    world.update(deploymentConfiguration=canary(canaryPercent=1.5))
    shown = world.service()["deploymentConfiguration"]
    assert shown["canaryConfiguration"] == {"canaryPercent": 1.5, "canaryBakeTimeInMinutes": 10}
    assert "linearConfiguration" not in shown


def test_a_service_of_express_mode_keeps_its_configuration(world: World) -> None:
    """API reference, Service.resourceManagementType. Inferred: the refusal."""
    begin(world, CANARY)
    end(world)
    ecs.engine().manage("main", "hello")
    assert world.service()["resourceManagementType"] == "ECS"
    with pytest.raises(ClientError, match="managed by ECS"):
        world.update(deploymentConfiguration=CANARY)
    world.update(forceNewDeployment=True)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")


def test_a_rolling_service_has_no_weights(world: World) -> None:
    """API reference, ServiceRevisionSummary: the weights are those of traffic that ECS shifts."""
    world.register()
    world.create(loadBalancers=[BALANCER])
    assert ecs.engine().weights("main", "hello") == {}
    assert "lifecycleStage" not in world.record()
    assert world.record()["deploymentConfiguration"]["maximumPercent"] == 200
