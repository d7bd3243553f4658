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

    GIVE_UP = auto()  # its time is up or it is not wanted, and nothing can be running
    FIND = auto()  # an earlier call may have started it, and must not be repeated: look
    REPEAT = auto()  # an earlier call may have started it, and its token lives: the same call again
    BEGIN = auto()  # nothing was tried yet


class Progress(Enum):
    """What to do with a build that CodeBuild knows."""

    WAIT = auto()
    STOP = auto()  # it runs past its deadline, or is not wanted any more
    SUCCEED = auto()
    FAIL = auto()
    CANCEL = auto()
    LOSE = auto()  # CodeBuild does not know it any more


def decide_start(
    *, now: int, deadline_at: int, attempt_at: int | None, cancelled: bool = False
) -> Start:
    """`attempt_at` is when the current token was first used, None when no call was made."""
    over = cancelled or now > deadline_at
    if attempt_at is None:
        return Start.GIVE_UP if over else Start.BEGIN
    if over or now - attempt_at > TOKEN_LIFE:
        return Start.FIND
    return Start.REPEAT


def decide_progress(
    report: BuildReport | None, *, now: int, since: int, deadline_at: int, cancelled: bool = False
) -> Progress:
    """`since` is when CodeBuild was last told to start it.

    One that was cancelled ends cancelled however CodeBuild ended it: nobody wants its image.
    """
    if report is None:
        lost = Progress.CANCEL if cancelled else Progress.LOSE
        return lost if now - since > UNKNOWN_GRACE else Progress.WAIT
    if cancelled:
        return Progress.STOP if report.status == "IN_PROGRESS" else Progress.CANCEL
    if report.status in {"FAILED", "FAULT", "TIMED_OUT"}:
        return Progress.FAIL
    if report.status == "STOPPED":
        return Progress.FAIL if now > deadline_at else Progress.CANCEL
    if report.status == "SUCCEEDED":
        return Progress.SUCCEED
    return Progress.STOP if now > deadline_at else Progress.WAIT
