"""The heads of branches: which pushes the services know, and which push no delivery has told.

GitHub does not repeat a delivery that failed. So Slipway asks GitHub for the heads of the branches
that services follow, and takes a head that a service does not know as a push.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.domain.changed_files import ChangedFiles
from chalicelib.domain.payloads import first_line, skip_in
from chalicelib.domain.pushes import Push
from chalicelib.domain.refs import NULL_SHA

# Seconds after the push. Its delivery may be under way until then.
GRACE = 120
# GitHub's list of activities and its deliveries may differ in the second of a push. It is less than
# GRACE, so that a push whose time is so near is the same push, and not a later one to the commit.
SAME = 60
# Minutes between two looks at the head of a branch.
PERIOD = 5
# Looks in one minute. With more branches than this in each minute of the period, it gets longer.
MOST_LOOKS = 10
# Of a repository. A delivery of one of them that comes later is recognised.
_MOST_FOUND = 20
# GitHub: "Compare two commits" lists at most so many files.
_MOST_FILES = 300
# Of their names in JSON, which writes a character outside ASCII with up to twelve bytes. A message
# of SQS takes 256 KiB.
_MOST_BYTES = 100_000


class Known(msgspec.Struct, frozen=True):
    """The newest push to its branch that a service knows. `pushed_at` is in unix seconds."""

    branch: str
    before: str
    sha: str
    pushed_at: int


class Found(msgspec.Struct, frozen=True):
    """A push that was found without a delivery."""

    ref: str
    before: str
    sha: str
    pushed_at: int


class Heads(msgspec.Struct, frozen=True):
    """What is known of the heads of a repository: by service, and the pushes found last."""

    known: dict[int, Known] = msgspec.field(default_factory=dict)
    found: tuple[Found, ...] = ()


class Activity(msgspec.Struct, frozen=True):
    """A change of a branch, as GitHub lists it. `at` is in unix seconds."""

    before: str
    after: str
    at: int
    actor: str


def is_lost(heads: Heads, service: int, push: Push) -> bool:
    """Whether the service knows an earlier push to the branch, but not this one.

    A service that knows no push yet has begun to follow the branch: no push to it is lost. If it
    knows a later one, that one replaces this push.
    """
    known = heads.known.get(service)
    if known is None or known.branch != push.branch or known.sha == push.sha:
        return False
    return known.pushed_at <= push.pushed_at + SAME


def is_new(heads: Heads, service: int, branch: str) -> bool:
    """Whether no push to the branch is known of the service."""
    known = heads.known.get(service)
    return known is None or known.branch != branch


def noted(
    heads: Heads, push: Push, services: Collection[int], all_services: Collection[int]
) -> Heads:
    """The heads, after these services have learned of a push to a branch.

    A service that knows a later push keeps it. Only `all_services` follow the repository.
    """
    told = Known(str(push.branch), push.before, push.sha, push.pushed_at)
    kept = {number: each for number, each in heads.known.items() if number in all_services}
    learned = {
        number: told
        for number in services
        if is_new(heads, number, told.branch) or not _is_later(heads.known[number], told)
    }
    return replace(heads, known={**kept, **learned})


def with_found(heads: Heads, push: Push) -> Heads:
    """The heads, after a push was found. The oldest of many found pushes are forgotten."""
    found = Found(push.ref, push.before, push.sha, push.pushed_at)
    return replace(heads, found=(found, *heads.found)[:_MOST_FOUND])


def as_found(heads: Heads, push: Push) -> Push:
    """The push, with the time by which it was found if it was found before its delivery."""
    for each in heads.found:
        same = (each.ref, each.before, each.sha) == (push.ref, push.before, push.sha)
        if same and is_same_time(each.pushed_at, push.pushed_at):
            return replace(push, pushed_at=each.pushed_at)
    return push


def is_same_time(one: int, other: int) -> bool:
    """Whether two times may be that of one push."""
    return abs(one - other) <= SAME


def found_push(
    repository: str,
    branch: str,
    activity: Activity,
    commit: tuple[str, str],
    files: ChangedFiles,
) -> Push:
    """The push that moved a branch. `commit` has the message and the author of the head."""
    message, author = commit
    return Push(
        repository=repository,
        contradictory=False,
        ref=f"refs/heads/{branch}",
        branch=branch,
        tag=None,
        before=activity.before,
        sha=activity.after,
        deleted=activity.after == NULL_SHA,
        pushed_at=activity.at,
        message=first_line(message),
        author=first_line(author),
        sender=first_line(activity.actor),
        skip=skip_in(message),
        files=files,
    )


def files_between(comparison: Any) -> ChangedFiles:
    """The changed files of GitHub's "Compare two commits", also the earlier names of renamed ones.

    They are unknown if the head does not follow the base.
    """
    files = comparison.get("files") if isinstance(comparison, dict) else None
    if not isinstance(files, list) or comparison.get("status") != "ahead":
        return ChangedFiles(unknown="the head does not follow the commit that was known before")
    if len(files) >= _MOST_FILES:
        return ChangedFiles(unknown=f"GitHub lists at most {_MOST_FILES} files")
    names = [
        each[name]
        for each in files
        for name in ("filename", "previous_filename")
        if isinstance(each, dict) and isinstance(each.get(name), str)
    ]
    if not names:
        return ChangedFiles(unknown="GitHub lists no changed file")
    if len(json.dumps(names)) > _MOST_BYTES:
        return ChangedFiles(unknown="the names of the changed files are too long")
    return ChangedFiles(tuple(dict.fromkeys(names)))


def due_now(branches: Sequence[tuple[str, str]], minute: int) -> list[tuple[str, str]]:
    """The (repository, branch) pairs to look at in a minute.

    Each is looked at once in a period, and never more than MOST_LOOKS are in one minute. So no row
    has to say when a branch was looked at last.
    """
    period = max(PERIOD, -(-len(branches) // MOST_LOOKS))
    return [each for at, each in enumerate(sorted(branches)) if at % period == minute % period]


def how_late(seconds: int) -> str:
    """The time from a push until it was found, in words."""
    minutes = max(1, round(seconds / 60))
    if minutes < 120:
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{round(minutes / 60)} hours"


def _is_later(known: Known, told: Known) -> bool:
    if known.pushed_at != told.pushed_at:
        return known.pushed_at > told.pushed_at
    return known.before == told.sha
