"""How rollouts of the embedded ECS end. Each test states AWS's behaviour and its source."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from infra.local.aws import ecs
from tests.support.ecs_world import BREAKER, HERE, World, ecs_world

HOOK = "arn:aws:lambda:eu-west-1:123456789012:function:check"


@pytest.fixture
def world() -> Iterator[World]:
    with ecs_world() as world:
        yield world


def alarms(*names: str, rollback: bool = True, enable: bool = True) -> dict[str, Any]:
    return {"alarms": {"alarmNames": list(names), "enable": enable, "rollback": rollback}}


def early(percent: int, cleanup: str = "BLOCKING") -> dict[str, Any]:
    criteria = {
        "enable": True,
        "healthyPercent": percent,
        "sourceServiceRevisionCleanup": cleanup,
    }
    return {"earlySuccessCriteria": criteria}


def begin(world: World, *, desired: int = 2, **configuration: Any) -> None:
    """Begin a second rollout, after one that was completed."""
    world.register()
    world.create(desired=desired, configuration=configuration)
    world.register("web:2")
    world.update(taskDefinition="hello")


def states(world: World) -> list[tuple[str, str, str]]:
    return [
        (each["status"], each["rolloutState"], each["taskDefinition"].split("/")[1])
        for each in world.service()["deployments"]
    ]


def stop(world: World, **how: Any) -> None:
    arn = world.record()["serviceDeploymentArn"]
    answer = world.ecs.stop_service_deployment(serviceDeploymentArn=arn, **how)
    assert answer["serviceDeploymentArn"] == arn


def ending(world: World) -> tuple[str, str | None]:
    record = world.record()
    return record["status"], record.get("statusReason")


def test_an_alarm_rolls_a_rollout_back(world: World) -> None:
    """Deployment alarms: the deployment is FAILED, and the last completed one comes back.

    The texts are from public output.
    """
    begin(world, **alarms("slow", "errors"))
    world.report(1)
    ecs.engine().drain_events()
    ecs.engine().alarm("errors")
    assert states(world) == [
        ("PRIMARY", "IN_PROGRESS", "hello:1"),
        ("ACTIVE", "FAILED", "hello:2"),
        ("ACTIVE", "COMPLETED", "hello:1"),
    ]
    reason = "Service deployment rolled back because of one or more active alarms."
    assert ending(world) == ("ROLLBACK_IN_PROGRESS", reason)
    record = world.record()
    assert record["rollback"]["reason"] == reason
    assert record["alarms"] == {
        "status": "TRIGGERED",
        "alarmNames": ["slow", "errors"],
        "triggeredAlarmNames": ["errors"],
    }
    assert record["deploymentCircuitBreaker"]["status"] == "DISABLED"
    failed = world.service()["deployments"][1]["id"]
    assert f"(deployment {failed}) deployment failed: alarm detected." in world.messages()
    assert not [each for each in world.tasks() if each["startedBy"] == failed]
    names = [each["detail"]["eventName"] for each in ecs.engine().drain_events()]
    assert names == ["SERVICE_DEPLOYMENT_FAILED", "SERVICE_DEPLOYMENT_IN_PROGRESS"]
    ecs.engine().alarm("slow")
    ecs.engine().complete("main", "hello")
    assert ending(world) == ("ROLLBACK_SUCCESSFUL", reason)


def test_alarms_are_ignored_if_one_is_on_when_the_rollout_begins(world: World) -> None:
    """Deployment alarms: ECS does not monitor alarms for the duration of that deployment."""
    ecs.engine().alarm("slow")
    begin(world, **alarms("slow", "errors"))
    assert world.record()["alarms"]["status"] == "DISABLED"
    assert world.record()["alarms"]["alarmNames"] == ["slow", "errors"]
    ecs.engine().alarm("errors")
    ecs.engine().complete("main", "hello")
    assert ending(world) == ("SUCCESSFUL", None)
    ecs.engine().alarm("slow", on=False)
    ecs.engine().alarm("errors", on=False)
    world.update(forceNewDeployment=True)
    assert world.record()["alarms"]["status"] == "MONITORING"


def test_an_alarm_ends_only_a_rollout_that_it_watches(world: World) -> None:
    """API reference, ServiceDeploymentAlarms.status and DeploymentAlarms.enable."""
    begin(world, **alarms("errors"))
    ecs.engine().alarm("other")
    assert world.record()["alarms"]["status"] == "MONITORING"
    ecs.engine().complete("main", "hello")
    ecs.engine().alarm("errors")
    assert world.record()["alarms"] == {
        "status": "MONITORING_COMPLETE",
        "alarmNames": ["errors"],
        "triggeredAlarmNames": [],
    }
    assert ending(world) == ("SUCCESSFUL", None)
    ecs.engine().alarm("errors", on=False)
    for configuration in (alarms("errors", enable=False), {}):
        world.update(deploymentConfiguration=configuration, forceNewDeployment=True)
        ecs.engine().alarm("errors")
        ecs.engine().alarm("errors", on=False)
        assert world.record()["alarms"]["status"] == "DISABLED"
        assert world.record()["status"] == "PENDING"


def test_an_alarm_without_rollback_stops_the_rollout(world: World) -> None:
    """API reference, ServiceDeployment.stoppedAt: rollback is not in use and the service fails."""
    begin(world, **alarms("errors", rollback=False))
    ecs.engine().alarm("errors")
    assert states(world)[0] == ("PRIMARY", "FAILED", "hello:2")
    assert world.record()["status"] == "STOPPED"
    assert world.record()["alarms"]["status"] == "TRIGGERED"


def test_the_breakers_rollback_has_its_own_reason(world: World) -> None:
    """Seen in public output; API reference, ServiceDeployment.statusReason."""
    begin(world, **BREAKER, **alarms("errors"))
    ecs.engine().fail("main", "hello")
    reason = "Service deployment rolled back because the circuit breaker threshold was exceeded."
    assert ending(world) == ("ROLLBACK_IN_PROGRESS", reason)
    assert world.record()["alarms"]["triggeredAlarmNames"] == []
    ecs.engine().fail("main", "hello")
    assert world.record()["status"] == "ROLLBACK_FAILED"
    assert states(world)[0] == ("PRIMARY", "FAILED", "hello:1")


def test_early_success_completes_at_the_healthy_share_and_ends_the_checks(world: World) -> None:
    """ "Complete rolling deployments early": rounded up; breaker and alarms act no longer."""
    begin(world, desired=3, **BREAKER, **alarms("errors"), **early(50))
    world.report(1)
    assert world.record()["status"] == "IN_PROGRESS"
    world.report(2)
    assert ending(world) == ("SUCCESSFUL", None)
    assert states(world) == [("PRIMARY", "COMPLETED", "hello:2")]
    service = world.service()
    assert (service["runningCount"], service["pendingCount"]) == (2, 1)
    assert world.messages()[0].endswith("deployment completed.")
    ecs.engine().alarm("errors")
    world.report(0, failed=5)
    assert ending(world) == ("SUCCESSFUL", None)
    assert states(world) == [("PRIMARY", "COMPLETED", "hello:2")]
    assert [each["lastStatus"] for each in world.tasks()] == ["PENDING"] * 3
    world.report(3)
    assert world.messages()[0] == "has reached a steady state."


def test_deferred_cleanup_leaves_the_old_tasks_after_the_success(world: World) -> None:
    """API reference, DeploymentEarlySuccessCriteria.sourceServiceRevisionCleanup: DEFERRED."""
    begin(world, desired=2, **early(50, "DEFERRED"))
    world.report(1)
    assert ending(world) == ("SUCCESSFUL", None)
    assert states(world) == [
        ("PRIMARY", "COMPLETED", "hello:2"),
        ("ACTIVE", "COMPLETED", "hello:1"),
    ]
    world.report(1)
    assert states(world) == [("PRIMARY", "COMPLETED", "hello:2")]
    assert len(world.tasks()) == 2


def test_a_disabled_early_success_changes_nothing(world: World) -> None:
    """API reference, DeploymentEarlySuccessCriteria.enable."""
    criteria = {"enable": False, "healthyPercent": 50}
    begin(world, earlySuccessCriteria=criteria)
    world.report(1)
    assert world.record()["status"] == "IN_PROGRESS"


@pytest.mark.parametrize("reported", [False, True])
def test_a_rollout_is_rolled_back_by_hand_in_any_configuration(
    world: World, reported: bool
) -> None:
    """ "Stopping Amazon ECS service deployments": from PENDING or IN_PROGRESS."""
    begin(world)
    if reported:
        world.report(1)
    assert world.record()["status"] == ("IN_PROGRESS" if reported else "PENDING")
    stop(world)
    assert world.record()["status"] == "ROLLBACK_REQUESTED"
    world.report(1)
    assert world.record()["status"] == "ROLLBACK_IN_PROGRESS"
    assert [each[::2] for each in states(world)] == [
        ("PRIMARY", "hello:1"),
        ("ACTIVE", "hello:2"),
        ("ACTIVE", "hello:1"),
    ]
    stop(world, stopType="ROLLBACK")
    assert world.record()["status"] == "ROLLBACK_IN_PROGRESS"
    ecs.engine().complete("main", "hello")
    assert world.record()["status"] == "ROLLBACK_SUCCESSFUL"
    assert states(world) == [("PRIMARY", "COMPLETED", "hello:1")]


def test_a_first_rollout_that_is_stopped_has_nothing_to_go_back_to(world: World) -> None:
    """ "Troubleshooting with Amazon ECS Action Logs": no rollback candidate."""
    world.register()
    world.create(complete=False, configuration={})
    stop(world)
    world.report(1)
    expected = "No rollback candidate was found to run the rollback."
    assert ending(world) == ("ROLLBACK_FAILED", expected)


def test_an_aborted_rollout_stays_as_it_is(world: World) -> None:
    """ "View service history": STOP_REQUESTED, then STOPPED. Inferred: no task starts any more."""
    begin(world)
    stop(world, stopType="ABORT")
    assert world.record()["status"] == "STOP_REQUESTED"
    world.report(1)
    assert world.record()["status"] == "STOPPED"
    assert world.service()["deployments"][0]["pendingCount"] == 0
    world.report(2)
    assert world.record()["status"] == "STOPPED"
    assert states(world)[0] == ("PRIMARY", "IN_PROGRESS", "hello:2")


def test_a_new_rollout_ends_one_that_shall_be_stopped(world: World) -> None:
    """ "View service history": one that is replaced is STOPPED."""
    begin(world)
    stop(world)
    world.update(taskDefinition="hello:1")
    listed = world.ecs.list_service_deployments(**HERE)["serviceDeployments"]
    assert [each["status"] for each in listed] == ["PENDING", "STOPPED", "SUCCESSFUL"]


def test_only_a_rollout_that_is_under_way_can_be_stopped(world: World) -> None:
    """API reference, StopServiceDeployment, Errors. Inferred: which one for an ended rollout."""
    begin(world)
    ecs.engine().complete("main", "hello")
    with pytest.raises(world.ecs.exceptions.ConflictException, match="SUCCESSFUL"):
        stop(world)
    arn = world.record()["serviceDeploymentArn"] + "0"
    with pytest.raises(world.ecs.exceptions.ServiceDeploymentNotFoundException):
        world.ecs.stop_service_deployment(serviceDeploymentArn=arn)


def test_a_lifecycle_hook_that_refuses_rolls_back_in_any_configuration(world: World) -> None:
    """The text of the reason is from public output; "Lifecycle hooks": FAILED rolls back."""
    begin(world)
    ecs.engine().refuse("main", "hello", HOOK)
    reason = (
        "Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle"
        f" hook target {HOOK} returned FAILED status."
    )
    assert ending(world) == ("ROLLBACK_IN_PROGRESS", reason)
    assert states(world)[:2] == [
        ("PRIMARY", "IN_PROGRESS", "hello:1"),
        ("ACTIVE", "FAILED", "hello:2"),
    ]
    assert any(each.endswith(f"deployment failed: {reason}") for each in world.messages())
    ecs.engine().complete("main", "hello")
    assert ending(world) == ("ROLLBACK_SUCCESSFUL", reason)
    with pytest.raises(ValueError, match="no rollout"):
        ecs.engine().refuse("main", "hello", HOOK)


@pytest.mark.parametrize(
    ("kind", "value", "desired", "threshold"),
    [
        ("COUNT", 1, 10, 1),
        ("COUNT", 500, 10, 500),
        ("BOUNDED_PERCENT", 10, 10, 3),
        ("BOUNDED_PERCENT", 50, 7, 4),
        ("BOUNDED_PERCENT", 100, 300, 200),
        ("UNBOUNDED_PERCENT", 10, 10, 1),
        ("UNBOUNDED_PERCENT", 100, 300, 300),
    ],
)
def test_the_breakers_threshold_can_be_configured(
    world: World, kind: str, value: int, desired: int, threshold: int
) -> None:
    """API reference, ThresholdConfiguration and ThresholdType."""
    breaker = {
        "enable": True,
        "rollback": True,
        "thresholdConfiguration": {"type": kind, "value": value},
    }
    begin(world, desired=desired, deploymentCircuitBreaker=breaker)
    assert world.record()["deploymentCircuitBreaker"]["threshold"] == threshold
    world.report(0, failed=threshold - 1)
    assert world.record()["status"] == "IN_PROGRESS"
    world.report(0, failed=1)
    assert world.record()["status"] == "ROLLBACK_IN_PROGRESS"


@pytest.mark.parametrize("resets", [True, False])
def test_a_healthy_task_resets_the_failure_count_unless_configured(
    world: World, resets: bool
) -> None:
    """API reference, DeploymentCircuitBreaker.resetOnHealthyTask."""
    breaker = {"enable": True, "rollback": True, "resetOnHealthyTask": resets}
    begin(world, deploymentCircuitBreaker=breaker)
    world.report(0, failed=2)
    world.report(1)
    assert world.service()["deployments"][0]["failedTasks"] == (0 if resets else 2)
    world.report(1, failed=1)
    assert world.record()["status"] == ("IN_PROGRESS" if resets else "ROLLBACK_IN_PROGRESS")


def test_tasks_that_die_after_the_rollout_leave_it_completed(world: World) -> None:
    """API reference, rolloutState: the rollout is over. The scheduler starts other tasks."""
    begin(world, **BREAKER)
    ecs.engine().complete("main", "hello")
    world.report(1, failed=1, exit_code=1)
    assert states(world) == [("PRIMARY", "COMPLETED", "hello:2")]
    service = world.service()
    assert (service["runningCount"], service["pendingCount"]) == (1, 1)
    (pending,) = [each for each in world.tasks() if each["lastStatus"] == "PENDING"]
    task = pending["taskArn"].rpartition("/")[2]
    assert world.messages()[0] == f"has started 1 tasks: (task {task})."
    for _ in range(5):
        world.report(0, failed=2, reason="CannotPullContainerError: gone")
    assert states(world) == [("PRIMARY", "COMPLETED", "hello:2")]
    assert ending(world) == ("SUCCESSFUL", None)
    world.report(2)
    assert world.messages()[0] == "has reached a steady state."


def test_a_service_that_cannot_start_tasks_says_so_once(world: World) -> None:
    """ "Service throttle logic" and "Amazon ECS service action events"."""
    message = "is unable to consistently start tasks successfully."
    begin(world)
    ecs.engine().complete("main", "hello")
    ecs.engine().drain_events()
    world.report(0, failed=5, exit_code=1)
    world.report(0, failed=2, reason="CannotPullContainerError: gone")
    assert not any(each.startswith(message) for each in world.messages())
    assert ecs.engine().drain_events() == []
    for _ in range(3):
        world.report(0, failed=1, reason="CannotPullContainerError: gone")
    assert sum(each.startswith(message) for each in world.messages()) == 1
    (event,) = ecs.engine().drain_events()
    stamp = event["time"]
    assert datetime.fromisoformat(stamp).tzinfo is not None
    assert event.pop("id")
    assert event == {
        "version": "0",
        "detail-type": "ECS Service Action",
        "source": "aws.ecs",
        "account": "123456789012",
        "time": stamp,
        "region": "eu-west-1",
        "resources": ["arn:aws:ecs:eu-west-1:123456789012:service/main/hello"],
        "detail": {
            "eventType": "WARN",
            "eventName": "SERVICE_TASK_START_IMPAIRED",
            "clusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/main",
            "createdAt": stamp,
        },
    }
    world.report(1)
    world.report(1, failed=3, reason="CannotPullContainerError: gone")
    assert sum(each.startswith(message) for each in world.messages()) == 2


def test_a_failed_container_health_check_is_an_event_of_the_service(world: World) -> None:
    """ "Amazon ECS service event messages"; other reasons are only in the stopped tasks."""
    begin(world)
    world.report(0, failed=1, reason="Task failed container health checks")
    (task,) = [each for each in world.tasks("STOPPED") if "health" in each["stoppedReason"]]
    name = task["taskArn"].rpartition("/")[2]
    assert f"(task {name}) failed container health checks." in world.messages()
    world.report(0, failed=1, reason="CannotPullContainerError: gone")
    assert not any("CannotPullContainerError" in each for each in world.messages())
