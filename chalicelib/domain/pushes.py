"""GitHub's push events: parsing the payload, and what a service builds.

The source is GitHub's "Webhook events and payloads: push". A valid signature proves the sender, not
that the payload is consistent. Fields that decide something are parsed strictly. URLs are only
compared, never fetched.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from chalicelib.domain.changed_files import ChangedFiles, changed_files
from chalicelib.domain.patterns import selected_by
from chalicelib.domain.payloads import (
    first_line,
    is_clone_url_of,
    object_of,
    parse_optional_sha,
    parse_repository,
    parse_sha,
    parse_time,
    refusal,
    shown,
    skip_in,
)
from chalicelib.domain.refs import NULL_SHA, branch_of, parse_pushed_ref, tag_of
from chalicelib.errors import InvalidInput

_MAX_FILE_LENGTH = 100
# Characters of file names times characters of patterns: in the worst case some tenths of a second.
# With patterns of 100 characters that is about 10,000 files.
_MAX_COMPARISONS = 50_000_000


class Push(msgspec.Struct, frozen=True):
    """One push to one ref. `repository` is a `Repository.key`, `pushed_at` is in unix seconds.

    `contradictory` is true if the payload's clone_url belongs to another repository. `before` is
    the ref's commit before the push, and `sha` is the commit to build; the null SHA if there is
    none. `skip` is the text in the head commit's message that asks for no build.
    """

    repository: str
    contradictory: bool
    ref: str
    branch: str | None
    tag: str | None
    before: str
    sha: str
    deleted: bool
    pushed_at: int
    message: str
    author: str
    sender: str
    skip: str = ""
    files: ChangedFiles = msgspec.field(default_factory=ChangedFiles)

    @property
    def name(self) -> str:
        """What was pushed, such as "branch main" or "tag v1"; else the full ref."""
        if self.branch is not None:
            return f"branch {self.branch}"
        return self.ref if self.tag is None else f"tag {self.tag}"


class Filters(Protocol):
    """The settings of a service that decide which pushes it builds."""

    @property
    def branch(self) -> str: ...

    @property
    def auto_build(self) -> bool: ...

    @property
    def tags(self) -> Sequence[str]: ...

    @property
    def paths(self) -> Sequence[str]: ...


class Choice(msgspec.Struct, frozen=True):
    """Whether a service builds a push. Without a build there is a `reason`."""

    builds: bool
    reason: str = ""


def parse_push(payload: object) -> Push:
    """Read the payload of a push event; unknown fields are ignored.

    Raises InvalidInput (invalid_payload); `field` is the dotted path of the wrong value.
    """
    if not isinstance(payload, Mapping):
        raise refusal("the payload is not an object", "")
    ref = parse_pushed_ref(payload.get("ref"))
    after = parse_sha(payload.get("after"), "after")
    repository = object_of(payload, "repository")
    commit = object_of(payload, "head_commit", optional=True)
    head = parse_optional_sha(commit.get("id"), "head_commit.id")
    author = object_of(commit, "author", optional=True, inside="head_commit.")
    key = parse_repository(repository)
    message = commit.get("message")
    tag = tag_of(ref)
    return Push(
        repository=key,
        contradictory=not is_clone_url_of(key, repository.get("clone_url")),
        ref=ref,
        branch=branch_of(ref),
        tag=tag,
        before=parse_optional_sha(payload.get("before"), "before"),
        # For a branch `after` is the commit, and head_commit is null for some pushes that can be
        # built. For an annotated tag `after` is the tag object's SHA.
        sha=after if tag is None else head,
        deleted=after == NULL_SHA or payload.get("deleted") is True,
        pushed_at=parse_time(repository.get("pushed_at"), "repository.pushed_at"),
        message=first_line(message),
        author=first_line(author.get("name")),
        sender=first_line(object_of(payload, "sender", optional=True).get("login")),
        skip=skip_in(message),
        files=changed_files(payload) if tag is None else ChangedFiles(),
    )


class _NamedRepository(msgspec.Struct):
    full_name: str
    html_url: str | None = None


class _Payload(msgspec.Struct):
    repository: _NamedRepository


def claimed_repository(body: bytes) -> str | None:
    """The key of the repository that a delivery names, before the signature is checked.

    None if the body names no repository. Anyone can send the body, so it is not decoded as a whole:
    msgspec skips all other fields without making objects of them.
    """
    try:
        repository = msgspec.json.decode(body, type=_Payload).repository
        return parse_repository(msgspec.structs.asdict(repository))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidInput):
        return None


def ignored_reason(push: Push) -> str | None:
    """The reason why no service can build this push; None if services can."""
    if push.contradictory:
        return f"its clone_url is not that of {push.repository}"
    if push.branch is None and push.tag is None:
        return f"{push.ref} is neither a branch nor a tag"
    if push.deleted:
        return f"{push.name} was deleted"
    if push.sha == NULL_SHA:
        return f"{push.name} names no commit"
    return None


def choose(push: Push, service: Filters) -> Choice:
    """Whether a service builds this push, and why.

    As in GitHub's workflows, `paths` do not apply to tags, and a skipped commit is not built for a
    tag either.
    """
    if push.tag is not None and not builds_tag(service, push.tag):
        return Choice(builds=False, reason=f"it does not build the tag {shown(push.tag)}")
    if push.tag is None and push.branch != service.branch:
        return Choice(builds=False, reason=f"it follows the branch {service.branch}")
    if not service.auto_build:
        return Choice(builds=False, reason="auto_build is off")
    if push.skip:
        return Choice(builds=False, reason=f"the head commit's message has {push.skip}")
    if push.tag is not None:
        return Choice(builds=True, reason=f"the tag matches {selected_by(service.tags, push.tag)}")
    return _by_paths(push.files, service.paths)


def builds_tag(service: Filters, tag: str) -> bool:
    """Whether a service builds this tag."""
    return bool(service.tags) and selected_by(service.tags, tag) is not None


def _by_paths(files: ChangedFiles, paths: Sequence[str]) -> Choice:
    if not paths:
        return Choice(builds=True)
    if files.unknown:
        return Choice(builds=True, reason=f"paths were not compared: {files.unknown}")
    if sum(map(len, files.names)) * sum(map(len, paths)) > _MAX_COMPARISONS:
        return Choice(builds=True, reason="paths were not compared: it changed too many files")
    for name in files.names:
        pattern = selected_by(paths, name)
        if pattern is not None:
            return Choice(builds=True, reason=f"{_file(name)} matches {pattern}")
    first, others = _file(files.names[0]), len(files.names) - 1
    changed = f"{first} and {others} more" if others else first
    return Choice(builds=False, reason=f"no changed file matches its paths ({changed})")


def _file(name: str) -> str:
    return shown(name, most=_MAX_FILE_LENGTH)
