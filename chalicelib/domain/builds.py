"""The next step of a build, decided from its row and from CodeBuild's report."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto

import msgspec

from chalicelib.domain.service_settings import BuildSettings
from chalicelib.domain.timing import TOKEN_LIFE, UNKNOWN_GRACE

# Of the builds of another party, in an error message.
_NAMED = 3


class BuildReport(msgspec.Struct, frozen=True):
    """A CodeBuild build as BatchGetBuilds describes it.

    `left_queue_at` is when its phase QUEUED ended well, in unix seconds; None if it has not left
    CodeBuild's own queue. `failed_phase` is the first phase that did not succeed, and `message` is
    CodeBuild's text on it. `script` is the buildspec. `ended_at` is in unix seconds.
    """

    id: str
    status: str
    phase: str
    log_path: str | None = None
    left_queue_at: int | None = None
    failed_phase: str = ""
    message: str = ""
    script: str = ""
    ended_at: int | None = None
    exported: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def reached(self) -> str:
        """The last phase that the build entered before it failed, or is in now."""
        return self.failed_phase or self.phase


class Start(Enum):
    """What to do with a build that has no CodeBuild id yet."""

    GIVE_UP = auto()  # no call was made, and the build is cancelled: end it
    WAIT = auto()  # other builds come first
    FIND = auto()  # an earlier call may have started it and must not be repeated: search CodeBuild
    REPEAT = auto()  # an earlier call may have started it, and its token is valid: repeat the call
    BEGIN = auto()  # it is its turn, or it is late: make the first call


class Progress(Enum):
    """What to do with a build that CodeBuild knows."""

    WAIT = auto()
    STOP = auto()  # it is late or cancelled, and still runs
    SUCCEED = auto()
    FAIL = auto()
    CANCEL = auto()
    FORGOTTEN = auto()  # CodeBuild does not know the build any more: it fails


def decide_start(
    *,
    now: int,
    deadline_at: int,
    attempt_at: int | None,
    has_turn: bool,
    cancelled: bool = False,
) -> Start:
    """`attempt_at` is when the current token was first used; None if no call was made.

    A late build without a call tries at once, whether it has its turn or not: the answer is a
    start, or the reason why it fails.
    """
    late = now > deadline_at
    if attempt_at is None:
        if cancelled:
            return Start.GIVE_UP
        return Start.BEGIN if has_turn or late else Start.WAIT
    if cancelled or late or now - attempt_at > TOKEN_LIFE:
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
        # Slipway stops a build only after its deadline. Before it, somebody else did.
        return Progress.FAIL if (report.ended_at or now) > deadline_at else Progress.CANCEL
    if report.status == "SUCCEEDED":
        return Progress.SUCCEED
    return Progress.STOP if now > deadline_at else Progress.WAIT


def why_late(report: BuildReport, settings: BuildSettings) -> str:
    """Why CodeBuild ended a build: the limit that it passed."""
    if report.left_queue_at is None:
        return (
            f"waited {settings.codebuild_queued_minutes} minutes in CodeBuild's own queue, because "
            "the account runs as many builds at once as its quota allows"
        )
    return f"ran longer than its build_minutes ({settings.build_minutes}) and was stopped"


def waited_in_vain(settings: BuildSettings) -> str:
    """How long a build waited. The time in which other builds of Slipway ran does not count."""
    minutes = settings.queued_minutes
    return f"waited {minutes} minutes for CodeBuild while no other build of Slipway ran"


def why_no_capacity(refusal: str, others: Sequence[str], settings: BuildSettings) -> str:
    """Why a build has failed that CodeBuild refused although no other build of Slipway ran.

    `others` are the builds in progress in the CodeBuild project.
    """
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    taken = (
        f"The CodeBuild project runs {', '.join(others[:_NAMED])}{more}: end these builds"
        if others
        else "The CodeBuild project runs no build: check the account's quotas for CodeBuild"
    )
    waited = waited_in_vain(settings)
    return f"{waited}. {taken}, or raise JOB_WORKERS, then retry the build. {refusal}"
