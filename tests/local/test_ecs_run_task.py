"""RunTask of the embedded ECS through boto3. Each test states AWS's behaviour and its source."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.aws import clock, ecs
from infra.local.aws.ecs_logs import NO_LOG_GROUP
from tests.support.ecs_world import World, ecs_world

HOUR = 3600
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
SIDECAR = {"name": "proxy", "image": "proxy:1", "memory": 8}


@pytest.fixture
def world() -> Iterator[World]:
    with ecs_world() as world:
        world.register()
        yield world


def run(world: World, **asked: Any) -> Any:
    return world.ecs.run_task(**{"cluster": "main", "taskDefinition": "hello", **asked})


def arn_of(answer: Any) -> str:
    (task,) = answer["tasks"]
    return str(task["taskArn"])


def shown(world: World, arn: str) -> Any:
    (task,) = world.describe(arn)["tasks"]
    return task


def newest() -> Any:
    return ecs.engine().launcher.started[-1]


def command(*words: str, name: str = "web") -> dict[str, Any]:
    return {"containerOverrides": [{"name": name, "command": list(words)}]}


def refused(world: World, **asked: Any) -> str:
    with pytest.raises(ClientError) as error:
        run(world, **asked)
    return str(error.value.response["Error"]["Code"])


def test_a_task_is_pending_then_it_runs_then_it_stops(world: World) -> None:
    """Developer guide, "Amazon ECS task lifecycle"; API reference, Task and Container."""
    arn = arn_of(run(world, startedBy="me", overrides=command("migrate", "-v")))
    task = shown(world, arn)
    assert (task["lastStatus"], task["desiredStatus"]) == ("PENDING", "RUNNING")
    assert (task["group"], task["startedBy"]) == ("family:hello", "me")
    assert task["overrides"]["containerOverrides"][0]["command"] == ["migrate", "-v"]
    ecs.engine().launcher.begin(newest())
    assert shown(world, arn)["lastStatus"] == "RUNNING"
    assert "exitCode" not in shown(world, arn)["containers"][0]
    ecs.engine().launcher.end(newest(), 3)
    task = shown(world, arn)
    assert (task["lastStatus"], task["desiredStatus"]) == ("STOPPED", "STOPPED")
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["containers"][0]["exitCode"] == 3
    assert task["startedAt"] <= task["stoppedAt"]


def test_each_change_of_a_task_is_an_event(world: World) -> None:
    """Developer guide, "Amazon ECS task state change events"."""
    ecs.engine().drain_events()
    arn = arn_of(run(world, startedBy="me"))
    ecs.engine().launcher.begin(newest())
    world.ecs.stop_task(cluster="main", task=arn, reason="enough")
    ecs.engine().launcher.kill(newest())
    events = ecs.engine().drain_events()
    assert {each["detail-type"] for each in events} == {"ECS Task State Change"}
    assert [(e["detail"]["lastStatus"], e["detail"]["desiredStatus"]) for e in events] == [
        ("PENDING", "RUNNING"),
        ("RUNNING", "RUNNING"),
        ("RUNNING", "STOPPED"),
        ("STOPPED", "STOPPED"),
    ]
    assert {each["detail"]["startedBy"] for each in events} == {"me"}
    assert events[-1]["resources"] == [arn]


def test_a_repeated_request_with_its_token_returns_the_first_task(world: World) -> None:
    """API reference, "Ensuring idempotency"."""
    first = arn_of(run(world, clientToken="t", overrides=command("a")))
    assert arn_of(run(world, clientToken="t", overrides=command("a"))) == first
    assert arn_of(run(world, clientToken="u", overrides=command("a"))) != first
    assert len(ecs.engine().launcher.started) == 2


def test_a_token_of_another_request_is_a_conflict(world: World) -> None:
    """API reference, RunTask: ConflictException."""
    run(world, clientToken="t", overrides=command("a"))
    assert refused(world, clientToken="t", overrides=command("b")) == "ConflictException"


@pytest.mark.parametrize(("seconds", "same"), [(HOUR - 60, True), (HOUR + 60, False)])
def test_a_token_lives_for_an_hour_after_the_end_of_its_task(
    world: World, seconds: int, same: bool
) -> None:
    """API reference, "Ensuring idempotency": the time to live of a token of RunTask."""
    first = arn_of(run(world, clientToken="t"))
    ecs.engine().launcher.begin(newest())
    ecs.engine().launcher.end(newest(), 0)
    clock.advance(seconds)
    assert (arn_of(run(world, clientToken="t")) == first) is same


@pytest.mark.parametrize(("hours", "same"), [(23, True), (25, False)])
def test_a_token_lives_for_a_day_at_most(world: World, hours: int, same: bool) -> None:
    """API reference, "Ensuring idempotency"."""
    first = arn_of(run(world, clientToken="t"))
    clock.advance(hours * HOUR)
    assert (arn_of(run(world, clientToken="t")) == first) is same


def test_a_task_that_cannot_be_placed_is_a_failure_and_no_error(world: World) -> None:
    """Developer guide, "API failure reasons": RESOURCE:MEMORY. The answer has the status 200."""
    ecs.engine().launcher.refusal = "RESOURCE:MEMORY"
    answer = run(world)
    assert answer["tasks"] == []
    assert [each["reason"] for each in answer["failures"]] == ["RESOURCE:MEMORY"]
    assert ecs.engine().launcher.started == []


def test_a_new_task_is_shown_late(world: World) -> None:
    """API reference, RunTask: "The Amazon ECS API follows an eventual consistency model"."""
    ecs.engine().launcher.lag = 60
    arn = arn_of(run(world, startedBy="me"))
    assert world.arns(startedBy="me") == []
    assert [each["reason"] for each in world.describe(arn)["failures"]] == ["MISSING"]
    clock.advance(61)
    assert world.arns(startedBy="me") == [arn]
    assert shown(world, arn)["lastStatus"] == "PENDING"


def test_a_stopped_task_is_listed_for_an_hour(world: World) -> None:
    """API reference, DescribeTasks: "at least one hour"."""
    arn = arn_of(run(world, startedBy="me"))
    ecs.engine().launcher.begin(newest())
    ecs.engine().launcher.end(newest(), 0)
    assert world.arns(startedBy="me") == []
    assert world.arns(family="hello", desiredStatus="STOPPED") == [arn]
    clock.advance(HOUR + 60)
    assert world.arns(family="hello", desiredStatus="STOPPED") == []


def test_the_starter_is_the_only_filter_of_a_list(world: World) -> None:
    """API reference, ListTasks: "it must be the only filter that you use"."""
    with pytest.raises(ClientError, match="startedBy must be the only filter"):
        world.arns(startedBy="me", desiredStatus="STOPPED")


def test_a_stopped_task_runs_until_its_program_has_answered_the_signal(world: World) -> None:
    """API reference, StopTask: a signal first, then at most 30 seconds."""
    arn = arn_of(run(world))
    ecs.engine().launcher.begin(newest())
    world.ecs.stop_task(cluster="main", task=arn, reason="enough")
    task = shown(world, arn)
    assert (task["lastStatus"], task["desiredStatus"]) == ("RUNNING", "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    world.ecs.stop_task(cluster="main", task=arn, reason="again")
    ecs.engine().launcher.end(newest(), 0)
    task = shown(world, arn)
    assert (task["lastStatus"], task["stoppedReason"]) == ("STOPPED", "enough")
    assert task["containers"][0]["exitCode"] == 0


def test_a_pending_task_stops_without_an_exit_code(world: World) -> None:
    arn = arn_of(run(world))
    world.ecs.stop_task(cluster="main", task=arn)
    task = shown(world, arn)
    assert (task["lastStatus"], task["stopCode"]) == ("STOPPED", "UserInitiated")
    assert "exitCode" not in task["containers"][0]


def test_a_task_that_fails_to_start_says_why(world: World) -> None:
    """Developer guide, "Stopped tasks error messages"."""
    arn = arn_of(run(world))
    ecs.engine().launcher.fail(newest(), "CannotPullContainerError: denied")
    task = shown(world, arn)
    assert (task["stopCode"], task["stoppedReason"]) == (
        "TaskFailedToStart",
        "CannotPullContainerError: denied",
    )


def test_a_task_without_its_log_group_fails_to_start(world: World) -> None:
    """Developer guide, "Stopped tasks error messages": ResourceInitializationError."""
    options = {"awslogs-group": "/missing", "awslogs-region": "eu-west-1"}
    world.register(logConfiguration={"logDriver": "awslogs", "options": options})
    arn = arn_of(run(world))
    ecs.engine().launcher.begin(newest())
    assert shown(world, arn)["stoppedReason"] == NO_LOG_GROUP


def test_a_container_that_is_not_essential_ends_before_its_task(world: World) -> None:
    """API reference, ContainerDefinition.essential."""
    world.register("web:1", SIDECAR, essential=False)
    arn = arn_of(run(world, overrides=command("migrate")))
    ecs.engine().launcher.begin(newest())
    ecs.engine().launcher.exit_container(newest(), 4)
    task = shown(world, arn)
    codes = {each["name"]: each.get("exitCode") for each in task["containers"]}
    assert (task["lastStatus"], codes) == ("RUNNING", {"web": 4, "proxy": None})
    world.ecs.stop_task(cluster="main", task=arn)
    ecs.engine().launcher.kill(newest())
    assert shown(world, arn)["containers"][0]["exitCode"] == 4


@pytest.mark.parametrize(
    "asked",
    [
        {"startedBy": "x" * 129},
        {"startedBy": "a b"},
        {"startedBy": "deploy.1"},
        {"clientToken": "x" * 65},
        {"clientToken": "ä"},
        {"count": 11},
        {"propagateTags": "SERVICE"},
        {"overrides": command("migrate", name="other")},
        {"overrides": command("x" * 8192)},
        {"networkConfiguration": NETWORK},
        {
            "launchType": "FARGATE",
            "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}],
        },
    ],
)
def test_parameters_that_the_api_reference_excludes_are_refused(
    world: World, asked: dict[str, Any]
) -> None:
    """API reference, RunTask."""
    assert refused(world, **asked) == "InvalidParameterException"
    assert ecs.engine().launcher.started == []


def test_awsvpc_needs_a_network(world: World) -> None:
    """API reference, RunTask: networkConfiguration is required for awsvpc, and only for it."""
    world.ecs.register_task_definition(
        family="hello",
        networkMode="awsvpc",
        containerDefinitions=[{"name": "web", "image": "web:1", "memory": 8}],
    )
    assert refused(world) == "InvalidParameterException"
    assert arn_of(run(world, networkConfiguration=NETWORK))


def test_an_inactive_definition_is_refused(world: World) -> None:
    world.ecs.deregister_task_definition(taskDefinition="hello:1")
    assert refused(world, taskDefinition="hello:1") == "ClientException"


def test_the_tasks_of_services_do_not_change(world: World) -> None:
    world.create()
    run(world)
    world.report(2)
    assert len(world.arns(serviceName="hello")) == 2
    assert len(world.arns()) == 3
