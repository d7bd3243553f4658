"""Why a build or a deployment failed: one shape for both."""

from enum import StrEnum

import msgspec

TAIL_LINES = 20
# Characters of a line of a log. A failure must fit into a row, and many rows into an answer.
LINE_LENGTH = 400
_SUMMARY_LENGTH = 600


class Phase(StrEnum):
    """The part of a build or of a deployment that failed."""

    QUEUE = "queue"  # a build: waiting for CodeBuild, or in CodeBuild's queue
    START = "start"  # CodeBuild's start of the build, before the first step
    FETCH = "fetch"
    PREPARE = "prepare"
    LOG_IN = "log_in"
    BUILD = "build"
    PUSH = "push"
    FINISH = "finish"  # CodeBuild's end of the build, after the last step
    CHECKS = "checks"  # a deployment: waiting for the checks of its commit (`require_checks`)
    BEGIN = "begin"  # a deployment: before its release command and UpdateService
    RELEASE_COMMAND = "release_command"  # the command before the rollout
    APPROVAL = "approval"  # a deployment: waiting for the approval of a person
    ROLL_OUT = "roll_out"
    VERIFY = "verify"  # ECS has ended the rollout well, and its tasks do not run the release


class StoppedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task of the release that stopped, with the reason that ECS gives. `exit_code` is that of
    `container`, the container that failed. It is null if the container never ran.
    """

    task: str
    container: str | None
    exit_code: int | None
    reason: str
    stopped_at: str | None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a build or a deployment failed. `summary` is one line. `exit_code` is that of the failed
    command or container. `tasks` are the newest stopped tasks that explain it, and `events` the
    newest events of the ECS service. `log_tail` is the end of the build's output, or of the
    container's log. `next_step` says what to do about a known cause.
    """

    phase: Phase
    summary: str
    exit_code: int | None = None
    tasks: tuple[StoppedTask, ...] = ()
    events: tuple[str, ...] = ()
    log_tail: tuple[str, ...] = ()
    next_step: str | None = None


def one_line(text: str) -> str:
    """A text as a summary: on one line, and not too long."""
    return cut(" ".join(text.split()), _SUMMARY_LENGTH)


def cut(text: str, length: int) -> str:
    """A text of at most `length` characters; an ellipsis replaces the rest."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
