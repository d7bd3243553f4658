"""GitHub's pull_request events: parsing the payload, and what a service builds.

The source is GitHub's "Webhook events and payloads: pull_request". Fields that decide something are
parsed strictly. Whether the commits are of the same repository is decided by its id and its name,
both of which the signature covers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

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
from chalicelib.domain.pushes import Choice
from chalicelib.domain.refs import branch_of, parse_pushed_ref
from chalicelib.domain.regex import regex

# The actions after which a pull request has a head commit to build.
BUILDING = frozenset({"opened", "synchronize", "reopened"})
CLOSED = "closed"
# Settings that builds of pull requests do not have.
WITHHELD = ("secrets", "also_push_to")

_ACTION = regex(r"[a-z_]{1,50}")
# JSON numbers are exact up to here.
_MAX_NUMBER = 2**53 - 1
_MAX_NAME_LENGTH = 201


class PullRequestOfBuild(msgspec.Struct, frozen=True):
    """What a build keeps of its pull request.

    `withheld` names the settings that the service has and the build does not.
    """

    number: int
    title: str = ""
    withheld: tuple[str, ...] = ()


class PullRequest(msgspec.Struct, frozen=True):
    """One event of a pull request. `repository` is a `Repository.key`, `at` is in unix seconds.

    `head` and `base` are branches. `sha` is the head commit and `before` the head commit before the
    event, the null SHA if that is not known. `unfit` says why no service can build the head; empty
    if services can. `skip` is the text in the title that asks for no build.
    """

    repository: str
    action: str
    number: int
    title: str
    author: str
    sender: str
    head: str
    base: str
    before: str
    sha: str
    at: int
    unfit: str = ""
    skip: str = ""


class Filters(Protocol):
    """The settings of a service that decide which pull requests it builds."""

    @property
    def branch(self) -> str: ...

    @property
    def auto_build(self) -> bool: ...

    @property
    def build_pull_requests(self) -> bool: ...

    @property
    def paths(self) -> Sequence[str]: ...


def parse_pull_request(payload: object) -> PullRequest:
    """Read the payload of a pull_request event; unknown fields are ignored.

    Raises InvalidInput (invalid_payload); `field` is the dotted path of the wrong value.
    """
    if not isinstance(payload, Mapping):
        raise refusal("the payload is not an object", "")
    action = payload.get("action")
    if not isinstance(action, str) or not _ACTION.fullmatch(action):
        raise refusal("this is not an action", "action")
    repository = object_of(payload, "repository")
    pull = object_of(payload, "pull_request")
    head, base = (object_of(pull, end, inside="pull_request.") for end in ("head", "base"))
    key = parse_repository(repository)
    title = pull.get("title")
    return PullRequest(
        repository=key,
        action=action,
        number=_parse_number(pull.get("number"), "pull_request.number"),
        title=first_line(title),
        author=_login(pull, "user", inside="pull_request."),
        sender=_login(payload, "sender"),
        head=_parse_branch(head.get("ref"), "pull_request.head.ref"),
        base=_parse_branch(base.get("ref"), "pull_request.base.ref"),
        before=parse_optional_sha(payload.get("before"), "before"),
        sha=parse_sha(head.get("sha"), "pull_request.head.sha"),
        at=parse_time(pull.get("updated_at"), "pull_request.updated_at"),
        unfit=_why_unfit(key, repository, head, base),
        skip=skip_in(title),
    )


def how_to_deploy(pull: PullRequestOfBuild) -> str:
    """The advice for a person who wants to deploy what a build of a pull request has built."""
    return f"merge pull request {pull.number}, or build its branch by hand"


def why_ignored(pull: PullRequest) -> str | None:
    """The reason why an event has no effect, whatever a service's settings; None if it can have."""
    if pull.action != CLOSED and pull.action not in BUILDING:
        return f"the action {pull.action} of a pull request has no effect"
    # The builds of a closed one came from this repository.
    return pull.unfit or None if pull.action in BUILDING else None


def choose(pull: PullRequest, service: Filters) -> Choice:
    """Whether a service builds the head commit of a pull request, and why.

    `paths` are not compared: the event lists no files.
    """
    if pull.base != service.branch:
        return Choice(builds=False, reason=f"it follows the branch {service.branch}")
    if not service.build_pull_requests:
        return Choice(builds=False, reason="build_pull_requests is off")
    if not service.auto_build:
        return Choice(builds=False, reason="auto_build is off")
    if pull.skip:
        return Choice(builds=False, reason=f"the title of the pull request has {pull.skip}")
    why = "paths were not compared: the event of a pull request lists no files"
    return Choice(builds=True, reason=why if service.paths else "")


def _why_unfit(
    key: str, repository: Mapping[str, Any], head: Mapping[str, Any], base: Mapping[str, Any]
) -> str:
    if not is_clone_url_of(key, repository.get("clone_url")):
        return f"its clone_url is not that of {key}"
    branch = str(head.get("ref"))
    if branch != shown(branch, most=len(branch)):
        return "the name of its branch has control or direction characters"
    own = _parse_identity(repository, "repository.")
    inside = "pull_request.base."
    target = _parse_identity(object_of(base, "repo", inside=inside), f"{inside}repo.")
    if target != own:
        return f"it is a pull request of {shown(target[1])}, and not of {shown(own[1])}"
    if head.get("repo") is None:
        return "the repository of its branch was deleted"
    inside = "pull_request.head."
    source = _parse_identity(object_of(head, "repo", inside=inside), f"{inside}repo.")
    if source != own:
        return f"its branch is in the fork {shown(source[1])}: pull requests of forks are not built"
    return ""


def _parse_identity(repository: Mapping[str, Any], inside: str) -> tuple[int, str]:
    """The id and the name of a repository. GitHub's names are not case-sensitive."""
    name = repository.get("full_name")
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME_LENGTH:
        raise refusal("this is not owner/name", f"{inside}full_name")
    return _parse_number(repository.get("id"), f"{inside}id"), name.lower()


def _parse_number(value: object, field: str) -> int:
    if type(value) is not int or not 0 < value <= _MAX_NUMBER:
        raise refusal("this is not a positive whole number", field)
    return value


def _parse_branch(value: object, field: str) -> str:
    full = f"refs/heads/{value}" if isinstance(value, str) else None
    return branch_of(parse_pushed_ref(full, field)) or ""


def _login(parent: Mapping[str, Any], key: str, *, inside: str = "") -> str:
    return first_line(object_of(parent, key, optional=True, inside=inside).get("login"))
