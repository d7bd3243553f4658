"""Git refs and commits: refs in requests, refs in pushes, and their part in an image tag.

A ref may have any name that git allows, for example `$(id)`. Such a name is compared, shown, used
in a slug and given to a build as a quoted variable, but never evaluated by a shell. A ref in a
request must also not be read as something else: another kind of ref, an option, a hidden text.
"""

import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chalicelib.domain.fields import END, UNSAFE, Installation, Rule
from chalicelib.domain.regex import regex
from chalicelib.errors import InvalidInput

NULL_SHA = "0" * 40

_MAX_LENGTH = 200
MAX_PUSHED_LENGTH = 300
_MAX_SLUG_LENGTH = 60
_BRANCHES = "refs/heads/"
_TAGS = "refs/tags/"

SHA = r"[0-9a-fA-F]{40}"
# git reads these as a commit before it looks for a branch or a tag of that name.
_ABBREVIATED_SHA = r"[0-9a-fA-F]{7,39}"
# Legal names that git or Slipway would read as something else. GitHub has no such branches.
_NOT_MISLEADING = rf"(?!HEAD$)(?!@$)(?!-)(?!{SHA}$)"
# git-check-ref-format(1), for one part of a ref and for the whole.
_PART = r"(?!\.)[^\x00-\x20\x7f~^:?*\[\\/\ud800-\udfff]+(?<!\.lock)"
_PARTS = rf"{_PART}(?:/{_PART})*(?<!\.)"
_LEGAL = rf"(?!.*\.\.)(?!.*@\{{){_PARTS}"
_NAME = rf"(?!refs/)(?!.{{{_MAX_LENGTH + 1}}})(?!.*[{UNSAFE}]){_NOT_MISLEADING}{_LEGAL}"

# The pattern of a full ref, such as a push has.
PUSHED_REF = rf"(?!.*\.\.)(?!.*@\{{)refs/{_PARTS}"
_PUSHED_REF = regex(PUSHED_REF)
_COMMIT = regex(SHA)
_NOT_IN_SLUG = regex(r"[^a-z0-9._-]+", re.ASCII)


class RefType(StrEnum):
    """What a build's ref names."""

    BRANCH = "branch"
    TAG = "tag"
    COMMIT = "commit"


class Ref(msgspec.Struct, frozen=True):
    """A ref to build. Without a `type`, `name` is a branch or, if there is none, a tag."""

    name: str
    type: RefType | None


def is_commit_sha(value: str) -> bool:
    """Whether git reads this as a full SHA-1 and not as a name."""
    return _COMMIT.fullmatch(value) is not None


def branch_of(full_ref: str) -> str | None:
    """The branch of a full ref; None for tags and all other refs."""
    return full_ref.removeprefix(_BRANCHES) if full_ref.startswith(_BRANCHES) else None


def tag_of(full_ref: str) -> str | None:
    """The tag of a full ref; None for branches and all other refs."""
    return full_ref.removeprefix(_TAGS) if full_ref.startswith(_TAGS) else None


def parse_pushed_ref(value: object, field: str = "ref") -> str:
    """Read the full ref of a push by the rules of git-check-ref-format(1).

    Raises InvalidInput (invalid_payload).
    """
    if (
        not isinstance(value, str)
        or len(value) > MAX_PUSHED_LENGTH
        or not _PUSHED_REF.fullmatch(value)
    ):
        raise InvalidInput("this is not a full git ref", code="invalid_payload", field=field)
    return value


def slug(ref: str) -> str:
    """The part of an image tag that shows the ref; never empty."""
    text = _NOT_IN_SLUG.sub("-", ref.lower()).lstrip(".-")[:_MAX_SLUG_LENGTH].rstrip(".-")
    return text or "ref"


def read_ref(text: str) -> Ref:
    """The ref that a `GitRef` names."""
    if is_commit_sha(text):
        return Ref(text.lower(), RefType.COMMIT)
    branch, tag = branch_of(text), tag_of(text)
    if branch is not None:
        return Ref(branch, RefType.BRANCH)
    return Ref(text, None) if tag is None else Ref(tag, RefType.TAG)


def _lower_sha(value: str, _installation: Installation) -> str:
    return value.lower() if is_commit_sha(value) else value


def _explain_ref(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(_ABBREVIATED_SHA, value):
        return (
            f"{value} may be an abbreviated commit: give the 40 digits of the commit, "
            f"or {_BRANCHES}{value} or {_TAGS}{value} for a branch or tag of this name"
        )
    return f"git_ref must be {_REQUESTED}"


def _short_branch(value: str, _installation: Installation) -> str:
    return value.removeprefix(_BRANCHES)


_REQUESTED = (
    "the name of a branch or tag, the same after refs/heads/ or refs/tags/, or the 40 digits of a "
    f"commit's SHA. A name is legal in git, has at most {_MAX_LENGTH} characters and no control or "
    "direction character, begins with no -, and is not HEAD. Of a branch and a tag with one name, "
    "the branch is built"
)
GitRef = Annotated[
    str,
    Meta(
        # No other full refs: `refs/pull/1/head` would build a stranger's code.
        pattern=(
            rf"^(?:(?!{NULL_SHA}$){SHA}"
            rf"|(?:{_BRANCHES}|{_TAGS}|(?!{_ABBREVIATED_SHA}$)){_NAME}){END}"
        ),
        min_length=1,
        max_length=len(_BRANCHES) + _MAX_LENGTH,
        description=_REQUESTED,
        extra_json_schema={"format": "git-ref"},
    ),
    Rule(code="invalid_git_ref", normal=_lower_sha, explain=_explain_ref),
]
Branch = Annotated[
    str,
    Meta(
        pattern=(
            rf"^(?:{_BRANCHES})?(?!{_BRANCHES})(?!.{{{_MAX_LENGTH + 1}}})"
            rf"{_NOT_MISLEADING}{_LEGAL}{END}"
        ),
        min_length=1,
        max_length=len(_BRANCHES) + _MAX_LENGTH,
        description=(
            f"the name of a branch, legal in git, at most {_MAX_LENGTH} characters. Not HEAD, and "
            "not the 40 digits of a commit"
        ),
        extra_json_schema={"format": "git-branch"},
    ),
    Rule(code="invalid_git_ref", normal=_short_branch),
]
