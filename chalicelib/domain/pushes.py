"""GitHub's push events: parsing the payload, and the order of pushes.

The source is GitHub's "Webhook events and payloads: push". A valid signature proves the sender, not
that the payload is consistent. Fields that decide something are parsed strictly. URLs are only
compared, never fetched.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.domain.refs import NULL_SHA, branch_of, is_commit_sha, parse_pushed_ref
from chalicelib.domain.repositories import Repository
from chalicelib.errors import InvalidInput

_MAX_TEXT_LENGTH = 200
_MAX_TIME = 253_402_300_800  # the year 10000: Python's dates end before it
_DEFAULT_HOST = "github.com"

_FULL_NAME = re.compile(
    r"(?P<owner>[A-Za-z0-9_.-]{1,100})/(?P<name>[A-Za-z0-9_.-]{1,100})", re.ASCII
)
_PAGE = re.compile(r"https://(?P<host>[A-Za-z0-9.-]{1,253})/[!-~]{1,300}", re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
# Control characters, direction overrides and lone surrogates: they can hide or break text.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Push:
    """One push to one ref. `repository` is a `Repository.key`, `pushed_at` is in unix seconds.

    `contradictory` is true if the payload's clone_url belongs to another repository.
    """

    repository: str
    contradictory: bool
    ref: str
    branch: str | None
    sha: str
    deleted: bool
    pushed_at: int
    message: str
    author: str
    sender: str


def parse_push(payload: object) -> Push:
    """Read the payload of a push event; unknown fields are ignored.

    Raises InvalidInput (invalid_payload); `field` is the dotted path of the wrong value.
    """
    if not isinstance(payload, Mapping):
        raise _refuse("the payload is not an object", "")
    ref = parse_pushed_ref(payload.get("ref"))
    sha = _parse_after(payload.get("after"))
    repository = _object(payload, "repository")
    commit = _object(payload, "head_commit", optional=True)
    author = _object(commit, "author", optional=True, inside="head_commit.")
    key = _parse_repository(repository)
    return Push(
        repository=key,
        contradictory=not _is_clone_url_of(key, repository.get("clone_url")),
        ref=ref,
        branch=branch_of(ref),
        sha=sha,
        deleted=sha == NULL_SHA or payload.get("deleted") is True,
        pushed_at=_parse_pushed_at(repository.get("pushed_at")),
        message=_first_line(commit.get("message")),
        author=_first_line(author.get("name")),
        sender=_first_line(_object(payload, "sender", optional=True).get("login")),
    )


def claimed_repository(payload: object) -> str:
    """The key of the repository that an event's payload names, before the signature is checked.

    Raises InvalidInput (invalid_payload).
    """
    if not isinstance(payload, Mapping):
        raise _refuse("the payload is not an object", "")
    return _parse_repository(_object(payload, "repository"))


def ignored_reason(push: Push) -> str | None:
    """The reason why no service can build this push; None if services can."""
    if push.contradictory:
        return f"its clone_url is not that of {push.repository}"
    if push.branch is None:
        return f"{push.ref} is not a branch"
    if push.deleted:
        return f"branch {push.branch} was deleted"
    return None


def later(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether push `a` is later than push `b`, both as (pushed_at, build id).

    Within one second the build that was accepted later counts as later.
    """
    return a > b


@dataclass(frozen=True)
class PushedBuild:
    """An open build of a push. `order` is (pushed_at, build id) as in `later`.

    `is_queued`: StartBuild was never called for it. `may_replace`: it will not be cancelled.
    """

    number: int
    ref: str
    order: tuple[int, int]
    is_queued: bool
    may_replace: bool = True


def superseded(builds: Collection[PushedBuild]) -> dict[int, int]:
    """The queued builds of a service that a later push to their ref replaces.

    Each comes with the number of the latest push's build.
    """
    latest: dict[str, PushedBuild] = {}
    for build in builds:
        if build.may_replace and (
            build.ref not in latest or later(build.order, latest[build.ref].order)
        ):
            latest[build.ref] = build
    return {
        build.number: latest[build.ref].number
        for build in builds
        if build.is_queued and build.ref in latest and later(latest[build.ref].order, build.order)
    }


def _parse_after(value: object) -> str:
    # `after` is the new commit of the ref. head_commit is null for some pushes that can be built.
    if not isinstance(value, str) or not is_commit_sha(value):
        raise _refuse("this is not a commit's SHA", "after")
    return value.lower()


def _parse_repository(repository: Mapping[str, Any]) -> str:
    """The key of the repository. GitHub Enterprise has its own host in html_url."""
    full_name = repository.get("full_name")
    named = _FULL_NAME.fullmatch(full_name) if isinstance(full_name, str) else None
    if named is None:
        raise _refuse("this is not owner/name", "repository.full_name")
    return Repository(_parse_host(repository), named["owner"], named["name"]).key


def _is_clone_url_of(key: str, url: object) -> bool:
    """Whether a clone_url belongs to the repository `key`, or is missing."""
    if url is None:
        return True
    return isinstance(url, str) and url.lower().removesuffix(".git") == f"https://{key}"


def _parse_host(repository: Mapping[str, Any]) -> str:
    page = repository.get("html_url")
    if page is None:
        return _DEFAULT_HOST
    match = _PAGE.fullmatch(page) if isinstance(page, str) else None
    if match is None:
        raise _refuse("this is not the https address of a repository", "repository.html_url")
    return match["host"]


def _parse_pushed_at(value: object) -> int:
    """Unix seconds. Push events have a number, GitHub's other payloads an RFC 3339 time."""
    seconds = _seconds(value) if isinstance(value, str) else value
    if type(seconds) is not int or not 0 <= seconds < _MAX_TIME:
        raise _refuse("this is not a time", "repository.pushed_at")
    return seconds


def _seconds(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) if _TIME.fullmatch(text) else None
    except ValueError:
        return None


def _object(
    parent: Mapping[str, Any], key: str, *, optional: bool = False, inside: str = ""
) -> Mapping[str, Any]:
    value = parent.get(key)
    if value is None and optional:
        return {}
    if not isinstance(value, Mapping):
        raise _refuse("this is not an object", f"{inside}{key}")
    return value


def _first_line(value: object) -> str:
    """The first line of a text, safe to show; empty if the value is not a text."""
    lines = value.strip().splitlines() if isinstance(value, str) else []
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", lines[0])[:_MAX_TEXT_LENGTH] if lines else ""


def _refuse(detail: str, field: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_payload", field=field)
