"""Why a deployment failed: read from its stopped tasks, its service's events and a log.

Sources of the texts: the ECS developer guide, "Amazon ECS stopped tasks error messages" and
"Amazon ECS service event messages".
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

from chalicelib.domain.failures import (
    LINE_LENGTH,
    TAIL_LINES,
    Failure,
    Phase,
    StoppedTask,
    cut,
    one_line,
)
from chalicelib.domain.regex import regex
from chalicelib.domain.tasks import BY_HAND, Task, failed_container, why_stopped
from chalicelib.domain.timing import rfc3339

MAX_TASKS = 5
MAX_EVENTS = 10

# Events that every service has and that explain no failure.
_NOISE = regex(
    r"has started \d+ tasks|has stopped \d+ running tasks|has reached a steady state"
    r"|has begun draining connections|registered \d+ targets|deployment completed",
)
_PROBLEM = regex(r"unable|fail|unhealthy|insufficient|error", re.IGNORECASE)
# Events that tell how the rollout ended, and not why.
_OUTCOME = regex(r"deployment failed|rolling back")
# Each event begins with the name of the service, which may contain any word.
_SERVICE = regex(r"\(service [^)]*\) ?")
_WRONG_PLATFORM = regex("exec format error")


class Event(msgspec.Struct, frozen=True):
    """A message of an ECS service; `at` is in seconds since the epoch."""

    at: int
    message: str


# What to do about a cause. The first pattern that matches decides: in the newest task's reason,
# then in ECS's reason for the end, then in the newest event. The container's own output may have
# any word: it decides only if the program could not start.
_NEXT_STEPS = tuple(
    (regex(pattern, re.IGNORECASE), step)
    for pattern, step in (
        (
            r"exec format error|image manifest does not contain descriptor matching platform",
            "Build the image for the CPU architecture of the task definition: set the service's "
            "platforms.",
        ),
        (
            r"CannotPullContainer.*(not found|does not exist|manifest unknown)",
            "The image cannot be found in its registry. Build it again, and check the lifecycle "
            "rules of the image repository.",
        ),
        (
            r"CannotPullContainer.*(denied|forbidden|403|no basic auth|not authorized)",
            "Let the task's execution role pull from the registry (AWS's policy "
            "AmazonECSTaskExecutionRolePolicy).",
        ),
        (
            r"(CannotPullContainer|ResourceInitializationError)"
            r".*(time-?d? ?out|dial tcp|deadline exceeded|connection)",
            "The tasks cannot reach the registry or AWS. Give their subnets a NAT gateway or VPC "
            "endpoints, or give the tasks public addresses.",
        ),
        (
            r"ResourceInitializationError.*(log group|logs)",
            "Create the log group that the task definition names, or let the execution role "
            "create it.",
        ),
        (
            r"ResourceInitializationError.*(secret|ssm|parameter|kms)",
            "Check that the secrets and parameters that the task definition names exist, and that "
            "the execution role may read them.",
        ),
        (
            r"OutOfMemory",
            "The container used more memory than it may. Give the task more memory, or let the "
            "program use less.",
        ),
        (
            r"exited with code 137",
            "The container was killed, often because it used more memory than it may. Compare the "
            "task's memory with what the program uses, and read the end of the container's log.",
        ),
        (
            r"exited with code 12[67]",
            "The container's command cannot be run: check the command and entry point of the image "
            "and of the task definition.",
        ),
        (
            r"health check",
            "The container does not pass its health check. Check its path, port and time-outs, "
            "and give a slow start more time (startPeriod or healthCheckGracePeriodSeconds).",
        ),
        (
            r"unable to (consistently )?place|no container instance|RESOURCE:|capacity is unavail",
            "ECS has no room for the tasks: check the cluster's capacity and the size of the "
            "tasks.",
        ),
        (
            r"\bassume (the )?(service linked )?role|is not authorized|AccessDenied",
            "Check the roles of the task definition and of the ECS service.",
        ),
        (
            r"exited with code",
            "Read the end of the container's log, correct the program and push again.",
        ),
    )
)


def failure_of(
    reason: str,
    *,
    tasks: Sequence[Task] = (),
    events: Iterable[Event] = (),
    log_tail: Sequence[str] = (),
    phase: Phase = Phase.ROLL_OUT,
) -> Failure:
    """The failure of a deployment that ended with `reason`.

    `tasks` are stopped tasks that explain it, newest first, and `events` those of the service since
    its rollout began. The summary is the newest task's reason, or the newest event that names a
    problem; `reason` is only repeated if they do not explain it.
    """
    shown = [each for each in events if not _NOISE.search(_said(each))]
    shown.sort(key=lambda each: each.at, reverse=True)
    cause = _cause(tasks, shown)
    summary = one_line(cause or reason)
    newest = failed_container(tasks[0]) if tasks else None
    return Failure(
        phase=phase,
        summary=summary,
        exit_code=newest.exit_code if newest else None,
        tasks=tuple(map(_stopped, tasks[:MAX_TASKS])),
        events=tuple(one_line(each.message) for each in shown[:MAX_EVENTS]),
        log_tail=tuple(cut(line, LINE_LENGTH) for line in log_tail[-TAIL_LINES:]),
        next_step=_next_step(tasks, [summary, reason, *map(_said, shown)], log_tail),
    )


def _cause(tasks: Sequence[Task], events: Sequence[Event]) -> str | None:
    if tasks:
        why = why_stopped(tasks[0])
        return f"a task was stopped by hand: {why}" if tasks[0].stop_code == BY_HAND else why
    causes = (each for each in events if not _OUTCOME.search(_said(each)))
    return next((each.message for each in causes if _PROBLEM.search(_said(each))), None)


def _said(event: Event) -> str:
    """An event without the name of its service."""
    return _SERVICE.sub("", event.message, count=1)


def _stopped(task: Task) -> StoppedTask:
    container = failed_container(task)
    return StoppedTask(
        task=task.arn,
        container=container.name if container else None,
        exit_code=container.exit_code if container else None,
        reason=one_line(why_stopped(task)),
        stopped_at=rfc3339(task.stopped_at),
    )


def _next_step(tasks: Sequence[Task], texts: Iterable[str], log: Iterable[str]) -> str | None:
    if tasks and tasks[0].stop_code == BY_HAND:
        return "Somebody stopped the tasks in ECS. If that was a mistake, deploy again."
    for text in (*filter(_WRONG_PLATFORM.search, log), *texts):
        for pattern, step in _NEXT_STEPS:
            if pattern.search(text):
                return step
    return None
