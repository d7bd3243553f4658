"""What CodeBuild says of a build, and what that means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from chalicelib.domain.timing import TOKEN_LIFE, UNKNOWN_GRACE


@dataclass(frozen=True)
class BuildReport:
    """A CodeBuild build as BatchGetBuilds describes it."""

    id: str
    status: str
    phase: str
    log_path: str | None = None
    reason: str = ""
    exported: Mapping[str, str] = field(default_factory=dict)


class Start(Enum):
    """What to do with a build that has no CodeBuild id yet."""

    GIVE_UP = auto()  # it has waited past its deadline, and nothing can be running
    FIND = auto()  # an earlier call may have started it, and its token is dead: look
    REPEAT = auto()  # an earlier call may have started it, and its token lives: the same call again
    BEGIN = auto()  # nothing was tried yet


class Progress(Enum):
    """What to do with a build that CodeBuild knows."""

    WAIT = auto()
    STOP = auto()  # it runs past its deadline
    SUCCEED = auto()
    FAIL = auto()
    CANCEL = auto()
    LOSE = auto()  # CodeBuild does not know it any more


def decide_start(*, now: int, deadline_at: int, attempt_at: int | None) -> Start:
    """`attempt_at` is when the current token was first used, None when no call was made."""
    if attempt_at is None:
        return Start.GIVE_UP if now > deadline_at else Start.BEGIN
    if now > deadline_at or now - attempt_at > TOKEN_LIFE:
        return Start.FIND
    return Start.REPEAT


def decide_progress(
    report: BuildReport | None, *, now: int, since: int, deadline_at: int
) -> Progress:
    """`since` is when CodeBuild was last told to start it."""
    if report is None:
        return Progress.LOSE if now - since > UNKNOWN_GRACE else Progress.WAIT
    if report.status in {"FAILED", "FAULT", "TIMED_OUT"}:
        return Progress.FAIL
    if report.status == "STOPPED":
        return Progress.FAIL if now > deadline_at else Progress.CANCEL
    if report.status == "SUCCEEDED":
        return Progress.SUCCEED
    return Progress.STOP if now > deadline_at else Progress.WAIT
