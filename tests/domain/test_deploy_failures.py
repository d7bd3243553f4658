"""The failure of a deployment, from ECS's own texts.

The texts are from the ECS developer guide ("Amazon ECS stopped tasks error messages", "Amazon ECS
service event messages") and from public issues.
"""

import pytest

from chalicelib.domain.deploy_failures import MAX_EVENTS, MAX_TASKS, Event, failure_of
from chalicelib.domain.failures import Phase, StoppedTask
from chalicelib.domain.tasks import Container, Task

BREAKER = "ECS deployment circuit breaker: tasks failed to start."
DEFINITION = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2"


def stopped(
    code: str,
    reason: str,
    *,
    exit_code: int | None = None,
    container_reason: str = "",
    name: str = "t1",
    at: int = 1_795_305_600,
) -> Task:
    return Task(
        f"arn:aws:ecs:eu-west-1:123456789012:task/main/{name}",
        DEFINITION,
        "STOPPED",
        "UNKNOWN",
        (Container("app", "web", exit_code=exit_code, reason=container_reason),),
        stopped_at=at,
        stop_code=code,
        stopped_reason=reason,
    )


def crashed(code: int) -> Task:
    return stopped("EssentialContainerExited", "Essential container in task exited", exit_code=code)


@pytest.mark.parametrize(
    ("task", "log", "summary", "step"),
    [
        (crashed(1), ["KeyError: 'DATABASE_URL'"], "container app exited with code 1", "push"),
        (crashed(127), [], "container app exited with code 127", "command"),
        (crashed(137), [], "container app exited with code 137", "memory"),
        (
            crashed(1),
            ["exec /usr/bin/app: exec format error"],
            "container app exited with code 1",
            "CPU architecture",
        ),
        (
            stopped(
                "TaskFailedToStart",
                "CannotPullContainerError: failed to resolve ref r/web@sha256:aa: not found",
            ),
            [],
            "CannotPullContainerError: failed to resolve ref r/web@sha256:aa: not found",
            "lifecycle",
        ),
        (
            stopped(
                "TaskFailedToStart",
                "CannotPullContainerError: pull access denied, repository does not allow it",
            ),
            [],
            "CannotPullContainerError: pull access denied, repository does not allow it",
            "execution role",
        ),
        (
            stopped(
                "TaskFailedToStart",
                "CannotPullContainerError: ref pull has been retried 1 time(s): dial tcp "
                "1.2.3.4:443: i/o timeout",
            ),
            [],
            "CannotPullContainerError: ref pull has been retried 1 time(s): dial tcp "
            "1.2.3.4:443: i/o timeout",
            "NAT gateway",
        ),
        (
            stopped(
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth: unable to "
                "retrieve secret from asm: ResourceNotFoundException",
            ),
            [],
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to "
            "retrieve secret from asm: ResourceNotFoundException",
            "secrets and parameters",
        ),
        (
            stopped("ServiceSchedulerInitiated", "Task failed container health checks"),
            [],
            "Task failed container health checks",
            "startPeriod",
        ),
        (
            stopped("UserInitiated", "Task stopped by user"),
            [],
            "a task was stopped by hand: Task stopped by user",
            "Somebody stopped",
        ),
    ],
)
def test_the_newest_task_explains_the_failure_and_what_to_do(
    task: Task, log: list[str], summary: str, step: str
) -> None:
    failure = failure_of(BREAKER, tasks=[task], log_tail=log)
    assert failure.summary == summary
    assert step in (failure.next_step or "")
    assert failure.phase is Phase.ROLL_OUT


@pytest.mark.parametrize(
    "event",
    [
        "(service web) was unable to place a task because no container instance met its needs.",
        "(service web) (task 1) failed container health checks.",
    ],
)
def test_the_next_step_is_about_the_task_and_not_about_an_earlier_event(event: str) -> None:
    failure = failure_of(BREAKER, tasks=[crashed(1)], events=[Event(1, event)])
    assert failure.summary == "container app exited with code 1"
    assert failure.next_step is not None
    assert "the container's log" in failure.next_step


def test_an_event_decides_the_next_step_if_the_task_says_nothing() -> None:
    silent = stopped("TaskFailedToStart", "")
    event = Event(1, "(service web) was unable to place a task: no container instance met …")
    assert "no room" in (failure_of("slow", tasks=[silent], events=[event]).next_step or "")


def test_a_killed_container_is_not_said_to_have_used_too_much_memory() -> None:
    assert "was killed, often" in (failure_of(BREAKER, tasks=[crashed(137)]).next_step or "")
    reason = "OutOfMemoryError: Container killed due to memory usage"
    out_of_memory = stopped("EssentialContainerExited", "x", exit_code=137, container_reason=reason)
    assert "used more memory than" in (failure_of(BREAKER, tasks=[out_of_memory]).next_step or "")


def test_a_failure_lists_its_tasks_and_the_events_that_say_something() -> None:
    tasks = [stopped("UserInitiated", "x", name=f"t{number}") for number in range(9)]
    events = [
        Event(1, "(service web) has reached a steady state."),
        Event(3, "(service web) (deployment ecs-svc/1) deployment failed: tasks failed to start."),
        Event(2, "(service web) has started 1 tasks: (task 1)."),
        *(Event(10 + number, f"(service web) problem {number}") for number in range(20)),
    ]
    failure = failure_of(BREAKER, tasks=[crashed(3), *tasks], events=events)
    assert len(failure.tasks) == MAX_TASKS
    assert failure.exit_code == 3
    assert failure.tasks[0] == StoppedTask(
        task="arn:aws:ecs:eu-west-1:123456789012:task/main/t1",
        container="app",
        exit_code=3,
        reason="container app exited with code 3",
        stopped_at="2026-11-22T00:00:00Z",
    )
    assert failure.events == tuple(
        f"(service web) problem {number}" for number in range(19, 19 - MAX_EVENTS, -1)
    )


def test_without_tasks_an_event_that_names_a_problem_explains_the_failure() -> None:
    no_room = "(service web) was unable to place a task because no container instance met all of "
    events = [
        Event(5, "(service web) has started 2 tasks: (task 1) (task 2)."),
        Event(2, f"{no_room}its requirements."),
        Event(6, "(service web) (deployment ecs-svc/1) deployment failed: tasks failed to start."),
    ]
    failure = failure_of("1 of 2 tasks run", events=events)
    assert failure.summary == f"{no_room}its requirements."
    assert "capacity" in (failure.next_step or "")


@pytest.mark.parametrize(
    "line",
    [
        "GET /health check route registered",
        "HikariPool: capacity 10",
        "resource: loaded",
        "user role loaded",
        "OutOfMemory guard enabled",
    ],
)
def test_words_in_the_containers_own_log_choose_no_next_step(line: str) -> None:
    failure = failure_of(BREAKER, tasks=[crashed(1)], log_tail=[line])
    assert (failure.next_step or "").startswith("Read the end of the container's log")


def test_the_name_of_a_service_is_no_problem_in_an_event() -> None:
    events = [
        Event(5, "(service error-tracker) has changed its mind."),
        Event(4, "(service error-tracker) was unable to place a task."),
        Event(6, "(service error-tracker) deregistered 1 targets in (target-group x)"),
    ]
    assert failure_of(BREAKER, events=events).summary == events[1].message


def test_a_long_line_of_a_log_is_cut() -> None:
    failure = failure_of(BREAKER, tasks=[crashed(1)], log_tail=["x" * 250_000] * 30)
    assert [len(line) for line in failure.log_tail] == [400] * 20


def test_without_anything_else_the_reason_is_the_summary() -> None:
    failure = failure_of(BREAKER)
    assert (failure.summary, failure.tasks, failure.events) == (BREAKER, (), ())


def test_the_end_of_a_long_log_is_kept() -> None:
    failure = failure_of(BREAKER, tasks=[crashed(1)], log_tail=[str(line) for line in range(50)])
    assert failure.log_tail == tuple(str(line) for line in range(30, 50))
