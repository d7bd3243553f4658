"""The rules of release commands: the next step, the reason of a failure, and what may be asked."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.fields import decode
from chalicelib.domain.release_commands import (
    REPEATABLE,
    CommandRun,
    CommandStep,
    ReleaseCommand,
    client_token,
    crossed,
    decide_command,
    failure_of_command,
    failure_to_start,
    job_of,
    started_by,
)
from chalicelib.domain.tasks import BY_HAND, Container, Task
from chalicelib.domain.timing import SILENCE, UNKNOWN_GRACE, WORKER_LIFE
from chalicelib.errors import InvalidInput

ARN = "arn:aws:ecs:eu-west-1:123456789012:task/main/1"
CALL, WAIT, STOP = CommandStep.CALL, CommandStep.WAIT, CommandStep.STOP
ROLL_OUT, FAIL = CommandStep.ROLL_OUT, CommandStep.FAIL
NEW = CommandRun(command=("migrate",), minutes=15)
ASKED = msgspec.structs.replace(NEW, requested_at=0, called_at=0)
KNOWN = msgspec.structs.replace(ASKED, task=ARN)
DEADLINE = 15 * 60


def task(status: str = "RUNNING", *, exit_code: int | None = None, **values: Any) -> Task:
    containers = (Container("app", "image", exit_code=exit_code), Container("proxy", "proxy:1"))
    return Task(ARN, "definition", status, "UNKNOWN", containers, **values)


def ended(exit_code: int | None, code: str = "EssentialContainerExited", reason: str = "") -> Task:
    return task("STOPPED", exit_code=exit_code, stop_code=code, stopped_reason=reason, stopped_at=9)


RUNNING = task(started_at=3)
STEPS = [
    # (run, task, now, free, step)
    (NEW, None, 0, True, CALL),
    (NEW, None, 0, False, WAIT),
    (NEW, None, DEADLINE + 1, True, FAIL),
    # A call may be in flight, then it may be repeated.
    (ASKED, None, WORKER_LIFE, True, WAIT),
    (ASKED, None, WORKER_LIFE + 1, True, CALL),
    (ASKED, None, DEADLINE, True, CALL),
    (ASKED, None, DEADLINE + 1, True, FAIL),
    # A task that ECS does not show yet, or any more.
    (KNOWN, None, UNKNOWN_GRACE, True, WAIT),
    (KNOWN, None, UNKNOWN_GRACE + 1, True, FAIL),
    (KNOWN, task("PENDING"), DEADLINE, True, WAIT),
    (KNOWN, task("PENDING"), DEADLINE + 1, True, STOP),
    (KNOWN, task(), DEADLINE, True, WAIT),
    (KNOWN, task(), DEADLINE + 1, True, STOP),
    (KNOWN, task(), DEADLINE + SILENCE, True, STOP),
    (KNOWN, task(), DEADLINE + SILENCE + 1, True, FAIL),
    # Only exit code 0 of a command that ended by itself leads to a rollout.
    (KNOWN, ended(0), 9, True, ROLL_OUT),
    (KNOWN, ended(0), DEADLINE + SILENCE + 1, True, ROLL_OUT),
    (KNOWN, ended(1), 9, True, FAIL),
    (KNOWN, ended(None, "TaskFailedToStart"), 9, True, FAIL),
    (KNOWN, ended(None), 9, True, FAIL),
    (KNOWN, ended(0, BY_HAND), 9, True, FAIL),
    (KNOWN, ended(0, "SpotInterruption"), 9, True, FAIL),
    (KNOWN, ended(0, "TerminationNotice"), 9, True, FAIL),
    # The container is not essential, so the task goes on.
    (KNOWN, task(exit_code=0), 9, True, ROLL_OUT),
    (KNOWN, task(exit_code=2), 9, True, FAIL),
]


@pytest.mark.parametrize(("run", "seen", "now", "free", "step"), STEPS)
def test_the_next_step_follows_from_what_ecs_shows(
    run: CommandRun, seen: Task | None, now: int, free: bool, step: CommandStep
) -> None:
    decided = decide_command(
        run, seen, container="app", now=now, deadline_at=DEADLINE, free=free, missing_since=0
    )
    assert decided is step


def test_one_answer_without_the_task_ends_no_command() -> None:
    for missing_since, step in ((None, WAIT), (500, WAIT), (500 - UNKNOWN_GRACE, FAIL)):
        decided = decide_command(
            KNOWN,
            None,
            container="app",
            now=501,
            deadline_at=DEADLINE,
            free=True,
            missing_since=missing_since,
        )
        assert decided is step


@pytest.mark.parametrize(
    ("beside", "step"),
    [
        (Container("proxy", "proxy:1"), ROLL_OUT),
        (Container("proxy", "proxy:1", exit_code=0), ROLL_OUT),
        (Container("proxy", "proxy:1", exit_code=143), ROLL_OUT),
        (Container("proxy", "proxy:1", exit_code=1), FAIL),
        (Container("proxy", "proxy:1", exit_code=137, reason="OutOfMemoryError"), FAIL),
        (Container("proxy", "proxy:1", exit_code=1, essential=False), ROLL_OUT),
    ],
)
def test_an_essential_container_that_failed_beside_the_command_may_have_cut_it_off(
    beside: Container, step: CommandStep
) -> None:
    seen = replace(ended(0), containers=(Container("app", "image", exit_code=0), beside))
    decided = decide_command(
        KNOWN, seen, container="app", now=9, deadline_at=DEADLINE, free=True, missing_since=None
    )
    assert decided is step
    if step is FAIL:
        found = failure_of_command(
            KNOWN, seen, container="app", now=9, deadline_at=DEADLINE, waited_for=None
        )
        assert "the essential container proxy failed beside" in found.summary


def test_no_call_is_repeated_after_its_token_may_have_expired() -> None:
    """The token of a task that ended at once lives for an hour more ("Ensuring idempotency")."""
    late = 120 * 60
    for now, step in ((REPEATABLE, CALL), (REPEATABLE + 1, FAIL)):
        decided = decide_command(
            ASKED, None, container="app", now=now, deadline_at=late, free=True, missing_since=0
        )
        assert decided is step
    assert REPEATABLE + WORKER_LIFE < 3600


@given(
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.booleans(),
    st.sampled_from([None, 0, 1, 137]),
    st.sampled_from(["PENDING", "RUNNING", "STOPPED"]),
    st.sampled_from(["", "EssentialContainerExited", BY_HAND, "SpotInterruption"]),
)
def test_a_command_that_did_not_succeed_never_leads_to_a_rollout(
    now: int, called: int, deadline: int, free: bool, code: int | None, status: str, stop: str
) -> None:
    run = msgspec.structs.replace(KNOWN, called_at=called)
    seen = replace(task(status, exit_code=code), stop_code=stop)
    step = decide_command(
        run, seen, container="app", now=now, deadline_at=deadline, free=free, missing_since=None
    )
    assert step is not CALL
    if step is ROLL_OUT:
        assert code == 0
        assert stop in {"", "EssentialContainerExited"}


def failure(run: CommandRun, seen: Task | None, *, now: int = 9, waited_for: str = "") -> Any:
    return failure_of_command(
        run, seen, container="app", now=now, deadline_at=DEADLINE, waited_for=waited_for
    )


@pytest.mark.parametrize(
    ("run", "seen", "now", "summary", "next_step", "exit_code"),
    [
        (KNOWN, ended(3), 9, "exited with code 3", "Read the end of the container's log", 3),
        (KNOWN, ended(137), 9, "exited with code 137", "more memory", 137),
        (KNOWN, ended(127), 9, "exited with code 127", "command cannot be run", 127),
        (KNOWN, ended(0, BY_HAND, "by Ada"), 9, "code 0 after its task was stopped: by Ada", "", 0),
        (KNOWN, RUNNING, DEADLINE + SILENCE + 1, "not end within 15 minutes", "raise", None),
        (KNOWN, task("PENDING"), DEADLINE + SILENCE + 1, "not start within 15", "room", None),
        (
            KNOWN,
            replace(ended(0, BY_HAND, "Slipway"), started_at=3),
            DEADLINE + 9,
            "not end within 15",
            "raise",
            0,
        ),
        (KNOWN, None, 9999, f"does not show the task {ARN}", "whether the command ran", None),
        (ASKED, None, 9999, "not known whether the command ran", "whether the command ran", None),
        (NEW, None, 9999, "could not begin in time: another", "", None),
        (
            KNOWN,
            ended(None, "TaskFailedToStart", "CannotPullContainerError: pull access denied"),
            9,
            "did not start: CannotPullContainerError",
            "execution role",
            None,
        ),
    ],
)
def test_a_failure_says_why_and_what_to_do(
    run: CommandRun,
    seen: Task | None,
    now: int,
    summary: str,
    next_step: str,
    exit_code: int | None,
) -> None:
    found = failure(run, seen, now=now, waited_for="another")
    assert found.phase == "release_command"
    assert summary in found.summary
    assert next_step in (found.next_step or "")
    assert found.exit_code == exit_code
    assert len(found.tasks) == (seen is not None and seen.stopped_at is not None)


def test_a_refusal_of_ecs_says_what_to_do() -> None:
    text = "ECS cannot place the task: RESOURCE:MEMORY"
    found = failure_to_start(ASKED, text, first=True)
    assert found.phase == "release_command"
    assert "could not be started" in found.summary
    assert "no room" in (found.next_step or "")
    repeated = failure_to_start(ASKED, text, first=False)
    assert "it is not known whether the command ran" in repeated.summary
    assert text in repeated.summary


class Setting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    release_command: ReleaseCommand | None = None


def read(value: Any) -> tuple[str, ...] | None:
    installation: Any = SimpleNamespace()
    return decode(Setting, {"release_command": value}, installation).release_command


@pytest.mark.parametrize(
    "value",
    [
        ["migrate"],
        ["sh", "-c", "set -e\n\tmigrate && echo 'ä'\r\n"],
        ["migrate", ""],
        ["x"] * 50,
        ["x" * 7000],
        None,
    ],
)
def test_a_command_is_kept_as_it_is(value: Any) -> None:
    assert read(value) == (None if value is None else tuple(value))


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("python manage.py migrate", '["sh", "-c", "…"]'),
        ([], "null switches it off"),
        (["x"] * 51, "1 to 50"),
        (["a", 1], "string 2"),
        (["a\x00"], "string 1"),
        (["x" * 7500], "script of the image"),
        (["\\" * 4000], "script of the image"),
    ],
)
def test_a_refused_command_comes_with_advice(value: Any, advice: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(value)
    assert refused.value.field == "release_command"
    assert advice in refused.value.detail


def test_started_by_names_the_installation_and_the_deployment() -> None:
    """At most 128 letters, digits and - / _ (RunTask in the ECS API reference)."""
    text = started_by("slipway-dev", "deploy-12")
    assert job_of(text, "slipway-dev") == "deploy-12"
    assert job_of(text, "slipway") is None
    assert job_of(f"{text}-x", "slipway-dev") is None


def test_a_client_token_fits_and_belongs_to_one_revision() -> None:
    assert len(client_token("a:1")) == 64
    assert client_token("a:1") != client_token("a:2")


@pytest.mark.parametrize(
    ("commands", "target", "names"),
    [
        (None, 1, ""),
        ({1, 2}, 2, ""),
        ({1, 3}, 2, "deployment 3 ran"),
        ({5, 3, 1}, 2, "deployments 3, 5 ran"),
        ({5}, None, ""),
    ],
)
def test_a_rollback_names_the_commands_that_it_crosses(
    commands: set[float] | None, target: int | None, names: str
) -> None:
    found = crossed(commands, target)
    assert [each.message.startswith(names) for each in found] == ([True] if names else [])
