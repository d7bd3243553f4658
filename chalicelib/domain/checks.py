"""The checks of a commit on GitHub, for which an automatic deployment may wait.

GitHub knows two kinds: check runs of apps, such as the jobs of GitHub Actions, and commit statuses.
A check suite holds the check runs that belong together, such as those of a workflow. Sources:
GitHub's REST API, "Check runs", "Check suites" and "Commit statuses"; "Getting started with the
Checks API" for the meaning of each conclusion.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from chalicelib.domain.failures import Failure, Phase, cut, one_line
from chalicelib.domain.fields import UNSAFE, Installation, Rule
from chalicelib.domain.refs import is_commit_sha
from chalicelib.domain.regex import regex

# With "all" nothing passes earlier than so many seconds after the push: GitHub creates check suites
# a moment after it.
GRACE = 120
# Slipway's own statuses have contexts like `slipway/shop/web`.
_OWN = "slipway/"
_MOST_NAMES = 20
_NAME = rf"^[^\s{UNSAFE}](?:[^{UNSAFE}]*[^\s{UNSAFE}])?$(?!\n)"
# Seconds between two questions. The timer of the service has a period of 60 seconds.
_SOON, _LATER = 50, 110
_PATIENCE = 15 * 60
# The conclusion of a suite without check runs: GitHub cannot read the workflow.
_NO_RESULT = "startup_failure"
_LINK = regex(r"https?://[!-~]{1,300}")
_MOST_SHOWN = 5


def _chosen(value: Any, _installation: Installation) -> Any:
    if value == "all":
        return value
    own = next((each for each in value if each.casefold().startswith(_OWN)), None)
    if own is not None:
        raise ValueError(f"require_checks cannot name {own}: Slipway sets that status itself")
    twice = next((each for each in value if value.count(each) > 1), None)
    if twice is not None:
        raise ValueError(f"require_checks names {twice} twice")
    return value


def _explain(value: Any) -> str:
    if isinstance(value, list) and 1 <= len(value) <= _MOST_NAMES:
        return (
            "each name in require_checks must be a string of 1 to 200 characters, without line "
            "breaks, and without spaces at its ends"
        )
    return f'require_checks must be "all", a list of 1 to {_MOST_NAMES} names of checks, or null'


CheckName = Annotated[
    str,
    Meta(
        pattern=_NAME,
        min_length=1,
        max_length=200,
        extra_json_schema={"format": "check-name"},
    ),
]
RequireChecks = Annotated[
    Literal["all"] | Annotated[tuple[CheckName, ...], Meta(min_length=1, max_length=_MOST_NAMES)],
    Meta(
        description=(
            "the checks of a commit on GitHub that must have passed before the image of a push is "
            'deployed automatically: "all", or a list of 1 to 20 names. It needs a channel of kind '
            "github. Other deployments do not wait"
        )
    ),
    Rule(normal=_chosen, explain=_explain),
]
ChecksMinutes = Annotated[
    int,
    Meta(
        ge=1,
        le=480,
        description="a whole number from 1 to 480: the minutes that a deployment waits for "
        "`require_checks` before it ends as failed",
    ),
]


class CheckState(Enum):
    """What a check says. A check that was skipped has passed."""

    RUNNING = auto()
    PASSED = auto()
    FAILED = auto()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A check run, a status, or a suite of check runs.

    `number` orders those of one `source`, which is a suite or the statuses. `link` leads to its
    page, if it has one.
    """

    name: str
    source: str
    number: int
    state: CheckState
    link: str | None = None


class Result(msgspec.Struct, frozen=True):
    """What the checks of a commit say together: names that run or are missing, or one that failed.

    They have passed if nothing of this holds and `too_early` is false.
    """

    running: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    failed: Check | None = None
    too_early: bool = False

    @property
    def passed(self) -> bool:
        """Whether the deployment may begin."""
        return not (self.running or self.missing or self.failed or self.too_early)


class AwaitedChecks(msgspec.Struct, frozen=True, kw_only=True):
    """The checks that a deployment waits for, and what GitHub last said about them.

    `names` is None for all checks. Times are in seconds since 1970. Nothing passes before
    `earliest_at`. `running` and `missing` are names, and `failed` is one, with its `link`.
    `asked_at` is the begin of the last question, the next one is due at `next_at`, and GitHub takes
    none before `busy_until`. `trouble` is why there is no answer.
    """

    names: tuple[str, ...] | None = None
    since: int
    minutes: int
    earliest_at: int
    running: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    failed: str | None = None
    link: str | None = None
    passed: bool = False
    asked_at: int | None = None
    next_at: int = 0
    busy_until: int = 0
    trouble: str | None = None

    @property
    def deadline_at(self) -> int:
        """Until when the deployment waits."""
        return self.since + self.minutes * 60


class ChecksStep(Enum):
    """What to do next with a deployment that waits for checks."""

    BEGIN = auto()  # they have passed
    END = auto()  # one has failed, or the deadline has passed
    ASK = auto()
    WAIT = auto()


def awaited(
    required: Literal["all"] | tuple[str, ...], *, minutes: int, pushed_at: int | None, now: int
) -> AwaitedChecks:
    """The checks that a new deployment waits for. `pushed_at` may be ahead of this clock."""
    return AwaitedChecks(
        names=None if required == "all" else required,
        since=now,
        minutes=minutes,
        earliest_at=min(pushed_at or now, now) + GRACE if required == "all" else now,
    )


def decide_checks(checks: AwaitedChecks, *, now: int) -> ChecksStep:
    """The next step. A result that came before the deadline counts, also if it is read later."""
    if checks.failed is not None:
        return ChecksStep.END
    if checks.passed:
        return ChecksStep.BEGIN
    if now > checks.deadline_at:
        return ChecksStep.END
    return ChecksStep.ASK if now >= max(checks.next_at, checks.busy_until) else ChecksStep.WAIT


def may_ask(checks: AwaitedChecks, *, wanted_at: int, now: int) -> bool:
    """Whether a question that was wanted at a time is still to be asked.

    It is not if a later question has begun, or if GitHub takes none yet.
    """
    is_open = checks.failed is None and not checks.passed
    return is_open and now >= checks.busy_until and wanted_at >= (checks.asked_at or 0)


def answered(checks: AwaitedChecks, result: Result, *, asked_at: int) -> AwaitedChecks:
    """The row's value after GitHub has answered."""
    failed = result.failed
    return replace(
        _asked(checks, asked_at),
        running=result.running[:_MOST_NAMES],
        missing=result.missing[:_MOST_NAMES],
        failed=failed.name if failed is not None else None,
        link=failed.link if failed is not None else None,
        passed=result.passed,
    )


def unanswered(
    checks: AwaitedChecks, why: str, *, asked_at: int, busy_for: int = 0
) -> AwaitedChecks:
    """The row's value after GitHub has not answered, or has asked to wait `busy_for` seconds."""
    busy_until = asked_at + busy_for if busy_for else 0
    return replace(_asked(checks, asked_at), trouble=one_line(why), busy_until=busy_until)


def _asked(checks: AwaitedChecks, at: int) -> AwaitedChecks:
    pause = _SOON if at - checks.since < _PATIENCE else _LATER
    return replace(checks, asked_at=at, next_at=at + pause, trouble=None, busy_until=0)


def judge(checks: AwaitedChecks, found: Iterable[Check], *, now: int) -> Result:
    """What the checks of a commit say, of which only the newest of each name and source counts.

    `found` are all checks of the commit, with those of Slipway, which do not count.
    """
    newest = _newest(each for each in found if not each.name.casefold().startswith(_OWN))
    missing: tuple[str, ...] = ()
    if checks.names is not None:
        wanted = {name.casefold(): name for name in checks.names}
        newest = [each for each in newest if each.name.casefold() in wanted]
        known = {each.name.casefold() for each in newest}
        missing = tuple(name for folded, name in wanted.items() if folded not in known)
    failed = (each for each in newest if each.state is CheckState.FAILED)
    running = {each.name for each in newest if each.state is CheckState.RUNNING}
    return Result(
        running=tuple(sorted(running)),
        missing=missing,
        failed=next(failed, None),
        too_early=now < checks.earliest_at,
    )


def _newest(checks: Iterable[Check]) -> list[Check]:
    found: dict[tuple[str, str], Check] = {}
    for each in sorted(checks, key=lambda each: each.number):
        found[each.name.casefold(), each.source] = each
    return sorted(found.values(), key=lambda each: (each.name, each.source))


_PASSED = frozenset({"success", "neutral", "skipped"})


def check_run(value: Mapping[str, Any]) -> Check:
    """A check run, as GitHub's API has it. Raises KeyError, TypeError and ValueError."""
    app, suite = value.get("app") or {}, value.get("check_suite") or {}
    state = CheckState.RUNNING
    if value["status"] == "completed":
        state = CheckState.PASSED if value.get("conclusion") in _PASSED else CheckState.FAILED
    return Check(
        name=_name(value["name"]),
        # Two workflows are one app, and may have jobs of one name. Each run of one has a suite.
        source=f"app {app.get('id')} suite {suite.get('id')}",
        number=int(value["id"]),
        state=state,
        link=_link(value.get("html_url")),
    )


def check_suite(value: Mapping[str, Any]) -> Check | None:
    """A suite of check runs that has not ended, or whose workflow could not start.

    None for any other: its check runs have its result. GitHub creates a suite for each app that may
    write checks, also if the app never does. Such a suite stays queued without check runs, and is
    not waited for.
    """
    name = _name((value.get("app") or {}).get("name") or "a check suite")
    is_over = value["status"] == "completed"
    is_unused = value["status"] == "queued" and not value["latest_check_runs_count"]
    could_not_start = is_over and value.get("conclusion") == _NO_RESULT
    if is_unused or (is_over and not could_not_start):
        return None
    number = int(value["id"])
    state = CheckState.FAILED if could_not_start else CheckState.RUNNING
    return Check(name=name, source=f"suite {number}", number=number, state=state)


def commit_status(value: Mapping[str, Any]) -> Check:
    """A commit status, as GitHub's API has it. Raises KeyError, TypeError and ValueError."""
    states = {"success": CheckState.PASSED, "pending": CheckState.RUNNING}
    return Check(
        name=_name(value["context"]),
        source="statuses",
        number=int(value["id"]),
        state=states.get(value["state"], CheckState.FAILED),
        link=_link(value.get("target_url")),
    )


def _name(text: object) -> str:
    return cut(one_line(str(text)), 200)


def _link(text: object) -> str | None:
    return text if isinstance(text, str) and _LINK.fullmatch(text) else None


def shown_checks(checks: AwaitedChecks) -> str:
    """What the deployment waits for, in words."""
    parts = []
    if checks.running:
        parts.append(f"checks of the commit that run: {_list(checks.running)}")
    if checks.missing:
        parts.append(f"checks that GitHub does not show yet: {_list(checks.missing)}")
    text = ", and ".join(parts) or "the checks of the commit"
    return f"{text} ({checks.trouble})" if checks.trouble else text


def why_ended(checks: AwaitedChecks) -> Failure:
    """Why a deployment that waited for checks is not made."""
    if checks.failed is not None:
        see = f"Read {checks.link}. " if checks.link else ""
        return Failure(
            phase=Phase.CHECKS,
            summary=one_line(f"not deployed: the check {checks.failed} of the commit has failed"),
            next_step=f"{see}Push a commit that mends it, or deploy the image manually.",
        )
    return Failure(
        phase=Phase.CHECKS,
        summary=one_line(
            f"not deployed: after {checks.minutes} minutes (checks_minutes) it still waits for "
            f"{shown_checks(checks)}"
        ),
        next_step=(
            "Compare the names in require_checks with those on GitHub, or raise checks_minutes. "
            "To release the image now, deploy it manually."
        ),
    )


def _list(names: Sequence[str]) -> str:
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


# The events of GitHub's webhook after which the checks of a commit may have changed, with the
# place of the commit. GitHub: "Webhook events and payloads".
_PLACES: Mapping[str, tuple[str, ...]] = {
    "check_run": ("check_run", "head_sha"),
    "check_suite": ("check_suite", "head_sha"),
    "status": ("sha",),
    "workflow_run": ("workflow_run", "head_sha"),
}


def commit_of_event(event: str, payload: object) -> str | None:
    """The commit whose checks may have changed by an event; None for any other event.

    Nothing else of the payload is used: GitHub is asked.
    """
    place = _PLACES.get(event)
    if place is None:
        return None
    value: Any = payload
    for name in place:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and is_commit_sha(value) else None
