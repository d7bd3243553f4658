"""The strategies of the embedded ECS. Each test states AWS's behaviour and its source.

"Workflow" is the guide's page "Amazon ECS blue/green service deployments workflow", "Pause hooks"
is "Pause hooks for Amazon ECS service deployments", and "Troubleshooting" is "Troubleshooting
Amazon ECS blue/green deployments".
"""

import random
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from botocore.exceptions import ClientError

from infra.local.aws import clock, ecs, ecs_records
from infra.local.aws.ecs_records import OPEN
from infra.local.aws.ecs_rollouts import Service
from infra.local.aws.ecs_stages import CLEAN_UP, SHIFT, forward, steps
from tests.support.ecs_shifts import (
    BALANCER,
    BLUE_GREEN,
    CANARY,
    DAY,
    LINEAR,
    begin,
    end,
    go_on,
    pause,
    stage,
    stop,
    waiting,
    weights,
)
from tests.support.ecs_world import HERE, World, ecs_world
from tests.support.serving import ROOT


@pytest.fixture
def world() -> Iterator[World]:
    with ecs_world() as world:
        yield world


def test_the_page_about_the_embedded_ecs_has_all_stages() -> None:
    """docs/embedded-ecs.md names the source of each stage."""
    lines = (ROOT / "docs/embedded-ecs.md").read_text().splitlines()
    table = [each.split("|")[1].strip(" `") for each in lines if re.match(r"\| `[A-Z_]+` \|", each)]
    assert table == [*dict.fromkeys(each.stage for each in forward(CANARY, reconcile=True))]


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


def test_a_clock_that_jumps_changes_no_duration(world: World) -> None:
    """Each stage begins when the one before it was due, however late somebody looks."""
    hook = pause("POST_PRODUCTION_TRAFFIC_SHIFT", timeoutInMinutes=10, action="CONTINUE")
    begin(world, CANARY, hook)
    ecs.engine().complete("main", "hello")
    clock.advance(3 * SHIFT + (5 + 10 + 3) * 60 - 1)
    assert stage(world) == ("IN_PROGRESS", "BAKE_TIME")
    clock.advance(1)
    assert stage(world) == ("IN_PROGRESS", "CLEAN_UP")


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


def test_a_rollout_that_is_reconciling_is_rolled_back(world: World) -> None:
    """ "Pause hooks": RECONCILE_SERVICE can pause. Inferred: who gets the traffic then."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    hooks = {"lifecycleHooks": [pause("RECONCILE_SERVICE")]}
    world.update(forceNewDeployment=True, deploymentConfiguration=CANARY | hooks)
    clock.advance(60)
    assert stage(world) == ("IN_PROGRESS", "RECONCILE_SERVICE")
    go_on(world, "ROLLBACK")
    assert stage(world)[0] == "ROLLBACK_IN_PROGRESS"
    clock.advance(60)
    assert stage(world)[0] == "ROLLBACK_SUCCESSFUL"
    assert weights(world) == [("hello:1", 100, 0)]
    assert len(world.tasks()) == 2


def test_a_rollout_that_replaces_a_rollback_returns_to_what_was_completed(world: World) -> None:
    """ "View service history": one that is replaced before its end has not succeeded."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    stop(world)
    assert stage(world) == ("ROLLBACK_IN_PROGRESS", "PRODUCTION_TRAFFIC_SHIFT")
    world.update(taskDefinition="hello:1")
    listed = world.ecs.list_service_deployments(**HERE)["serviceDeployments"]
    assert [each["status"] for each in listed] == ["IN_PROGRESS", "ROLLBACK_FAILED", "SUCCESSFUL"]
    clock.advance(SHIFT)
    assert weights(world) == [("hello:1", 0, 0), ("hello:1", 100, 0)]
    end(world)


def test_an_aborted_rollout_keeps_its_weights(world: World) -> None:
    """API reference, StopServiceDeploymentStopType. Inferred: what ABORT does."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    stop(world, stopType="ABORT")
    clock.advance(DAY)
    assert stage(world) == ("STOPPED", "PRODUCTION_TRAFFIC_SHIFT")
    assert weights(world) == [("hello:2", 10, 100), ("hello:1", 90, 0)]


def test_an_alarm_without_rollback_stops_the_rollout_where_it_is(world: World) -> None:
    """API reference, ServiceDeployment.stoppedAt. Inferred: the weights stay."""
    alarms = {"alarms": {"alarmNames": ["errors"], "enable": True, "rollback": False}}
    begin(world, CANARY | alarms)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    ecs.engine().alarm("errors")
    clock.advance(DAY)
    assert world.record()["status"] == "STOPPED"
    assert weights(world) == [("hello:2", 10, 100), ("hello:1", 90, 0)]
    assert world.service()["deployments"][0]["rolloutState"] == "FAILED"


def test_a_task_that_fails_after_its_scale_up_leaves_the_stages_alone(world: World) -> None:
    """API reference, DeploymentCircuitBreaker: for the rolling update only. Tasks are replaced."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    world.report(0, failed=2)
    assert stage(world) == ("IN_PROGRESS", "PRODUCTION_TRAFFIC_SHIFT")
    assert world.service()["deployments"][0]["pendingCount"] == 2
    clock.advance(DAY)
    assert world.record()["status"] == "SUCCESSFUL"


def test_a_forced_deployment_has_stages_too(world: World) -> None:
    """API reference, UpdateService.forceNewDeployment."""
    begin(world, CANARY)
    end(world)
    world.update(forceNewDeployment=True)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
    assert [each[0] for each in weights(world)] == ["hello:2", "hello:2"]


def test_another_load_balancer_starts_a_deployment(world: World) -> None:
    """API reference, UpdateService.loadBalancers: ECS starts new tasks with it."""
    world.register()
    world.create(configuration={})
    world.update(loadBalancers=[BALANCER], deploymentConfiguration=BLUE_GREEN)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
    assert weights(world) == [("hello:1", 0, 0), ("hello:1", 100, 0)]
    end(world)
    world.update(loadBalancers=[BALANCER])
    assert len(world.ecs.list_service_deployments(**HERE)["serviceDeployments"]) == 2


@pytest.mark.parametrize("seed", range(4))
def test_production_traffic_is_whole_and_moves_only_when_continued(world: World, seed: int) -> None:
    """In any order of events: the weights add up, and no step passes the hook before it."""
    chance = random.Random(seed)
    strategy = chance.choice([CANARY, LINEAR, BLUE_GREEN])
    alarms = {"alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True}}
    begin(world, strategy | alarms, pause("PRE_PRODUCTION_TRAFFIC_SHIFT", timeoutInMinutes=60))
    continued: set[str] = set()
    for _ in range(60):
        _do_something(world, chance, continued)
        deployments = world.service()["deployments"]
        assert [each["status"] for each in deployments].index("PRIMARY") == 0
        assert sum(ecs.engine().weights("main", "hello").values()) == 100
        record, new = world.record(), ecs.engine().weights("main", "hello")[deployments[0]["id"]]
        mine = {each["hookId"] for each in record["lifecycleHookDetails"]} & continued
        assert new <= [0, *steps(record["deploymentConfiguration"])][len(mine)] or (
            record["status"] == "SUCCESSFUL" or record["status"].startswith("ROLLBACK_")
        )
    while world.record()["status"] in OPEN:
        for hook in waiting(world.record()):
            go_on(world, hook=hook)
        ecs.engine().complete("main", "hello")
        clock.advance(600)


def _do_something(world: World, chance: random.Random, continued: set[str]) -> None:
    hooks = waiting(world.record()) if world.record()["status"] == "IN_PROGRESS" else []
    happened = chance.randrange(10)
    if happened < 3:
        ecs.engine().complete("main", "hello")
    elif happened < 5:
        clock.advance(chance.choice([1, 10, 100, 1000]))
    elif happened < 8 and hooks:
        action = chance.choice(["CONTINUE", "CONTINUE", "ROLLBACK"])
        continued |= {hooks[0]["hookId"]} if action == "CONTINUE" else set()
        go_on(world, action, hooks[0])
    elif happened == 8:
        world.update(forceNewDeployment=True)
    elif chance.random() < 0.3:
        with suppress(ClientError):  # it has ended
            stop(world)
    elif chance.random() < 0.2:
        ecs.engine().alarm("errors")
        ecs.engine().alarm("errors", on=False)


def test_both_revisions_follow_the_desired_count(world: World) -> None:
    """AWS, 2025-11, of rolling updates: scale-out applies to both. Inferred: also here."""
    begin(world, CANARY)
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    world.update(desiredCount=3)
    assert [each["desiredCount"] for each in world.service()["deployments"]] == [3, 3]
    assert len(world.ecs.list_service_deployments(**HERE)["serviceDeployments"]) == 2


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


def test_answers_may_have_only_what_is_surely_documented(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API reference, Deployment.rolloutState: "only returned for ... the rolling update".

    ServiceDeploymentLifecycleStage lacks PRE_PRODUCTION_TRAFFIC_SHIFT.
    """
    begin(world, CANARY, pause("PRE_PRODUCTION_TRAFFIC_SHIFT"))
    monkeypatch.setattr(ecs_records, "DOCUMENTED_ONLY", True)
    assert not any("rolloutState" in each for each in world.service()["deployments"])
    ecs.engine().complete("main", "hello")
    clock.advance(SHIFT)
    assert stage(world) == ("IN_PROGRESS", "POST_TEST_TRAFFIC_SHIFT")
    go_on(world)
    clock.advance(SHIFT + 5 * 60)
    assert stage(world) == ("IN_PROGRESS", "PRODUCTION_TRAFFIC_SHIFT")
    go_on(world)
    end(world)
    world.update(deploymentConfiguration={}, forceNewDeployment=True)
    assert world.service()["deployments"][0]["rolloutState"] == "IN_PROGRESS"


def test_a_rolling_service_has_no_weights(world: World) -> None:
    """API reference, ServiceRevisionSummary: the weights are those of traffic that ECS shifts."""
    world.register()
    world.create(loadBalancers=[BALANCER])
    assert ecs.engine().weights("main", "hello") == {}
    assert "lifecycleStage" not in world.record()
    assert world.record()["deploymentConfiguration"]["maximumPercent"] == 200


def test_a_report_lets_only_the_stages_of_its_own_service_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step reports each service: with all services in each report it would be quadratic."""
    begin(world, CANARY)
    for number in range(3):
        world.ecs.create_service(
            cluster="main", serviceName=f"other-{number}", taskDefinition="hello:1", desiredCount=1
        )
    advanced: list[str] = []
    advance = Service.advance

    def note(service: Service) -> None:
        advanced.append(service.name)
        advance(service)

    deployment = world.deployment()
    monkeypatch.setattr(Service, "advance", note)
    ecs.engine().report("main", "hello", deployment, running=2)
    assert set(advanced) == {"hello"}
    assert stage(world) == ("IN_PROGRESS", "TEST_TRAFFIC_SHIFT")
