"""The release command: it runs once in a task of the new revision, before the rollout begins.

It is meant for migrations. The task is found by its `startedBy`, and a repeated RunTask call has
the same `clientToken`, so that no deployment runs its command twice.
"""

import hashlib
import json
import re
from collections.abc import Collection
from enum import Enum, auto
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chalicelib.domain.deploy_failures import failure_of
from chalicelib.domain.failures import LINE_LENGTH, TAIL_LINES, Failure, Phase, cut, one_line
from chalicelib.domain.fields import UNSAFE, Installation, Rule
from chalicelib.domain.preflight import Finding, Severity
from chalicelib.domain.regex import regex
from chalicelib.domain.tasks import BY_HAND, Container, Task
from chalicelib.domain.timing import SILENCE, UNKNOWN_GRACE, WORKER_LIFE

_MOST_WORDS = 50
# "A total of 8192 characters are allowed for overrides", with their JSON (RunTask in the ECS API
# reference). The name of the container may have 255 of them.
_MOST_CHARACTERS = 7500
# Like UNSAFE, but tabs and line breaks are allowed: a word may be a script for `sh -c`.
_UNSAFE = UNSAFE.replace(r"\x00-\x1f", r"\x00-\x08\x0b\x0c\x0e-\x1f")
_WORD = rf"^[^{_UNSAFE}]*$"
# startedBy: "Up to 128 letters (uppercase and lowercase), numbers, hyphens (-), forward slash (/),
# and underscores (_) are allowed" (RunTask in the ECS API reference).
STARTED_BY = "slipway/"
# The code of the finding that a release goes back over a command.
STAYS = "release_command_stays"
_STARTED_BY = regex(rf"{STARTED_BY}(?P<prefix>.+)-(?P<job_id>deploy-[0-9]{{1,15}})", re.ASCII)
# The tag with the same text: the policies allow to stop only tasks that have it.
TAG = "StartedBySlipway"
# Seconds after the first RunTask call in which the call may be repeated. A client token lives for
# 24 hours, but at most an hour longer than its task ("Ensuring idempotency" in the ECS API
# reference), so it is still alive if the first call started a task that ended at once.
REPEATABLE = 1800


def _within_size(command: tuple[str, ...], _installation: Installation) -> tuple[str, ...]:
    if len(json.dumps(command)) > _MOST_CHARACTERS:
        raise ValueError(
            f"release_command must have at most {_MOST_CHARACTERS} characters as JSON: ECS takes "
            "no longer one. Put the steps into a script of the image"
        )
    return command


def _explain(value: Any) -> str:
    if isinstance(value, str):
        return (
            'release_command must be a list of strings, such as ["python", "manage.py", '
            '"migrate"]. For a line of shell: ["sh", "-c", "…"]'
        )
    if not isinstance(value, list):
        return "release_command must be a list of strings"
    if not 1 <= len(value) <= _MOST_WORDS:
        return f"release_command must have 1 to {_MOST_WORDS} strings; null switches it off"
    for number, word in enumerate(value, 1):
        if not isinstance(word, str):
            return f"string {number} of release_command is no string"
        if not re.search(_WORD, word):
            return f"string {number} of release_command has a character that is not allowed"
    return "release_command is not allowed"


ReleaseCommand = Annotated[
    tuple[Annotated[str, Meta(pattern=_WORD, extra_json_schema={"format": "command-word"})], ...],
    Meta(
        min_length=1,
        max_length=_MOST_WORDS,
        description=(
            "a command that each deployment runs to its end before its rollout, for instance "
            'migrations: ["python", "manage.py", "migrate"]. It runs in a task of the new '
            "revision, as the command of the service's main container, and its exit code must be "
            "0. Rollbacks do not run it. It is no place for secrets: it is shown with the service"
        ),
    ),
    Rule(normal=_within_size, explain=_explain),
]
ReleaseCommandMinutes = Annotated[
    int,
    Meta(
        ge=1,
        le=120,
        description="a whole number from 1 to 120: the minutes in which the release command must "
        "end, with the start of its task",
    ),
]


class CommandRun(msgspec.Struct, frozen=True, kw_only=True):
    """The release command of a deployment, and the task that runs it.

    Times are in seconds since 1970. `requested_at` is the time of the first RunTask call and
    `called_at` that of the newest one. Both are recorded before the call. `task` is the task's ARN.
    `log_tail` are the last lines of the log after its end.
    """

    command: tuple[str, ...]
    minutes: int
    requested_at: int | None = None
    called_at: int | None = None
    task: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    exit_code: int | None = None
    log_group: str | None = None
    log_stream: str | None = None
    log_tail: tuple[str, ...] = ()


class CommandStep(Enum):
    """The next thing to do for a release command."""

    CALL = auto()  # record a call of RunTask, and make it
    WAIT = auto()
    STOP = auto()  # its time is over: call StopTask, and look again
    ROLL_OUT = auto()  # it has succeeded
    FAIL = auto()  # it has ended otherwise, or it can neither be found nor repeated


def decide_command(
    run: CommandRun,
    task: Task | None,
    *,
    container: str,
    now: int,
    deadline_at: int,
    free: bool,
    missing_since: int | None,
) -> CommandStep:
    """The next step of a release command. `task` is what ECS shows of its task.

    The end of a run is only recorded here after a success. `free` is false while a command of an
    earlier deployment may still run. ECS has not shown the task since `missing_since`. No call is
    repeated while an earlier one may be in flight, or after its client token may have expired.
    """
    if run.finished_at is not None:
        return CommandStep.ROLL_OUT
    if task is not None:
        if has_ended(task, container):
            return CommandStep.ROLL_OUT if has_succeeded(task, container) else CommandStep.FAIL
        if now <= deadline_at:
            return CommandStep.WAIT
        return CommandStep.STOP if now <= deadline_at + SILENCE else CommandStep.FAIL
    if run.requested_at is None:
        if now > deadline_at:
            return CommandStep.FAIL
        return CommandStep.CALL if free else CommandStep.WAIT
    settled = now > (run.called_at or 0) + WORKER_LIFE
    may_repeat = run.task is None and now <= min(run.requested_at + REPEATABLE, deadline_at)
    if settled and may_repeat:
        return CommandStep.CALL
    gone = is_unknown(run, missing_since, now)
    return CommandStep.FAIL if gone else CommandStep.WAIT


def is_unknown(run: CommandRun, missing_since: int | None, now: int) -> bool:
    """Whether a task that ECS has not shown since `missing_since` will not appear any more.

    ECS may show a new task late, and leave a known one out of an answer ("The Amazon ECS API
    follows an eventual consistency model": RunTask in the API reference). Inferred: two minutes
    are enough.
    """
    since = now if missing_since is None else missing_since
    return now > max(run.called_at or 0, since) + UNKNOWN_GRACE


def has_ended(task: Task, container: str) -> bool:
    """Whether the command has ended. Other containers of the task may still run."""
    return task.status == "STOPPED" or exit_code_of(task, container) is not None


def has_succeeded(task: Task, container: str) -> bool:
    """Whether the command ended by itself, with exit code 0.

    A program may answer the signal of a stop with exit code 0, too: of StopTask, and of ECS after
    another essential container has failed.
    """
    alone = _ended_by_itself(task) and _failed_beside(task, container) is None
    return alone and exit_code_of(task, container) == 0


def _failed_beside(task: Task, container: str) -> Container | None:
    """Another essential container that failed. ECS does not say which one ended first."""
    return next(
        (
            each
            for each in task.containers
            if each.name != container and each.essential and (each.failed or each.reason)
        ),
        None,
    )


def _ended_by_itself(task: Task) -> bool:
    return task.stop_code in {"", "EssentialContainerExited"}


def exit_code_of(task: Task, container: str) -> int | None:
    """The exit code of a container of a task; None if it runs or never ran."""
    found = _container(task, container)
    return found.exit_code if found is not None else None


def _container(task: Task, name: str) -> Container | None:
    return next((each for each in task.containers if each.name == name), None)


def failure_of_command(
    run: CommandRun,
    task: Task | None,
    *,
    container: str,
    now: int,
    deadline_at: int,
    waited_for: str | None,
    log_tail: Collection[str] = (),
) -> Failure:
    """The failure of a deployment for a step FAIL.

    `waited_for` is the last reason for which the command could not begin.
    """
    if task is None:
        reason, next_step = _why_not_found(run, waited_for)
    elif now > deadline_at and (not has_ended(task, container) or task.stop_code == BY_HAND):
        reason, next_step = _out_of_time(run, task)
    else:
        reason, next_step = _why_ended(task, container), None
    tasks = [task] if task is not None and task.stopped_at is not None else []
    found = failure_of(reason, tasks=tasks, log_tail=list(log_tail), phase=Phase.RELEASE_COMMAND)
    return msgspec.structs.replace(
        found,
        summary=one_line(reason),
        exit_code=exit_code_of(task, container) if task is not None else None,
        next_step=next_step or found.next_step,
    )


def failure_to_start(run: CommandRun, reason: str, *, first: bool) -> Failure:
    """The failure of a deployment for whose command ECS refuses to start a task.

    After an earlier call whose end is not known, the command may have run.
    """
    if first:
        text = f"the release command could not be started: {reason}"
        return failure_of(text, phase=Phase.RELEASE_COMMAND)
    unknown, next_step = _why_not_found(run, None)
    found = failure_of(f"{unknown}: {reason}", phase=Phase.RELEASE_COMMAND)
    return msgspec.structs.replace(found, next_step=next_step)


def _out_of_time(run: CommandRun, task: Task) -> tuple[str, str]:
    limit = f"within {run.minutes} minutes (release_command_minutes), and was stopped"
    if task.started_at is None:
        reason = f"the task of the release command did not start {limit}"
        step = (
            "Check whether the cluster has room for the task and whether its image can be pulled, "
            "or raise release_command_minutes, and deploy again."
        )
        return reason, step
    reason = f"the release command did not end {limit}"
    step = (
        "Check what the command did until it was stopped. Let it take less time, or raise "
        "release_command_minutes, and deploy again."
    )
    return reason, step


def _why_not_found(run: CommandRun, waited_for: str | None) -> tuple[str, str | None]:
    if run.requested_at is None:
        return f"the release command could not begin in time: {waited_for}", None
    step = "Check in the log of the container whether the command ran. Then deploy again."
    if run.task is not None:
        reason = (
            f"ECS does not show the task {run.task} of the release command any more, so its exit "
            "code is not known. The command is not run a second time"
        )
    else:
        reason = (
            "ECS shows no task of the release command, and it is not known whether the command "
            "ran. It is not run a second time"
        )
    return reason, step


def _why_ended(task: Task, container: str) -> str:
    found = _container(task, container)
    if found is None or found.exit_code is None:
        why = (found.reason if found is not None else "") or task.stopped_reason
        return f"the task of the release command did not start: {why or 'ECS gives no reason'}"
    end = f"the release command exited with code {found.exit_code}"
    beside = _failed_beside(task, container)
    if beside is not None and found.exit_code == 0:
        how = beside.reason or f"exited with code {beside.exit_code}"
        return (
            f"the essential container {beside.name} failed beside the release command ({how}), "
            "and ECS may have stopped the command before its end"
        )
    if not _ended_by_itself(task):
        return f"{end} after its task was stopped: {task.stopped_reason or task.stop_code}"
    return f"{end}: {found.reason}" if found.reason else end


def shown_tail(lines: Collection[str]) -> tuple[str, ...]:
    """The last lines of a log, as a deployment keeps them."""
    return tuple(cut(line, LINE_LENGTH) for line in list(lines)[-TAIL_LINES:])


def started_by(prefix: str, job_id: str) -> str:
    """RunTask's `startedBy` for the command of a deployment. `prefix` names the installation."""
    return f"{STARTED_BY}{prefix}-{job_id}"


def job_of(text: object, prefix: str) -> str | None:
    """The job id in a `startedBy`; None if this installation did not start the task."""
    found = _STARTED_BY.fullmatch(text) if isinstance(text, str) else None
    return found["job_id"] if found and found["prefix"] == prefix else None


def client_token(task_definition: str) -> str:
    """RunTask's `clientToken`, at most 64 characters: unique, as the deployment's revision is."""
    return hashlib.sha256(task_definition.encode()).hexdigest()


def crossed(commands: Collection[float] | None, target: int | None) -> list[Finding]:
    """The warning of a rollback to deployment `target` over release commands.

    `commands` are the newest deployments of the service that ran one. Without a target there is no
    rollback.
    """
    numbers = sorted(int(each) for each in commands or () if target is not None and each > target)
    if not numbers:
        return []
    listed = ", ".join(map(str, numbers))
    which = f"deployment {listed}" if len(numbers) == 1 else f"deployments {listed}"
    text = (
        f"{which} ran a release command after deployment {target}, and a rollback does not undo "
        "it. Check that the earlier release works with what it changed, such as a database schema"
    )
    return [Finding(code=STAYS, severity=Severity.WARNING, message=text)]
