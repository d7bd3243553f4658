"""The next step of a build, decided from its row and from CodeBuild's report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from chalicelib.domain.timing import TOKEN_LIFE, UNKNOWN_GRACE


@dataclass(frozen=True)
class BuildReport:
    """A CodeBuild build as BatchGetBuilds describes it.

    `failed_phase` is the first phase that did not succeed, and `message` is CodeBuild's text on it.
    `script` is the buildspec. `ended_at` is in seconds since 1970.
    """

    id: str
    status: str
    phase: str
    log_path: str | None = None
    failed_phase: str = ""
    message: str = ""
    script: str = ""
    ended_at: int | None = None
    exported: Mapping[str, str] = field(default_factory=dict)

    @property
    def reached(self) -> str:
        """The last phase that the build entered before it failed, or is in now."""
        return self.failed_phase or self.phase


class Start(Enum):
    """What to do with a build that has no CodeBuild id yet."""

    GIVE_UP = auto()  # no call was made, and the build is late or cancelled: end it
    FIND = auto()  # an earlier call may have started it and must not be repeated: search CodeBuild
    REPEAT = auto()  # an earlier call may have started it, and its token is valid: repeat the call
    BEGIN = auto()  # no call was made yet: make the first one


class Progress(Enum):
    """What to do with a build that CodeBuild knows."""

    WAIT = auto()
    STOP = auto()  # it is late or cancelled, and still runs
    SUCCEED = auto()
    FAIL = auto()
    CANCEL = auto()
    FORGOTTEN = auto()  # CodeBuild does not know the build any more: it fails


def decide_start(
    *, now: int, deadline_at: int, attempt_at: int | None, cancelled: bool = False
) -> Start:
    """`attempt_at` is when the current token was first used; None if no call was made."""
    over = cancelled or now > deadline_at
    if attempt_at is None:
        return Start.GIVE_UP if over else Start.BEGIN
    if over or now - attempt_at > TOKEN_LIFE:
        return Start.FIND
    return Start.REPEAT


def decide_progress(
    report: BuildReport | None, *, now: int, since: int, deadline_at: int, cancelled: bool = False
) -> Progress:
    """`since` is the time of the last StartBuild call.

    A cancelled build ends cancelled, even if CodeBuild reports another end.
    """
    if report is None:
        unknown = Progress.CANCEL if cancelled else Progress.FORGOTTEN
        return unknown if now - since > UNKNOWN_GRACE else Progress.WAIT
    if cancelled:
        return Progress.STOP if report.status == "IN_PROGRESS" else Progress.CANCEL
    if report.status in {"FAILED", "FAULT", "TIMED_OUT"}:
        return Progress.FAIL
    if report.status == "STOPPED":
        return Progress.FAIL if now > deadline_at else Progress.CANCEL
    if report.status == "SUCCEEDED":
        return Progress.SUCCEED
    return Progress.STOP if now > deadline_at else Progress.WAIT
