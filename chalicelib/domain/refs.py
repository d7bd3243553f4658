"""Git refs and commits: refs in requests, refs in pushes, and their part in an image tag.

A ref in a request must match an allow-list. A pushed ref may have any name that git allows, for
example `$(id)`. Such a name is compared, shown and used in a slug, but never in a shell.
"""

import re
from typing import Annotated

from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule
from chalicelib.errors import InvalidInput

NULL_SHA = "0" * 40

_MAX_LENGTH = 200
_MAX_PUSHED_LENGTH = 300
_MAX_SLUG_LENGTH = 60
_BRANCHES = "refs/heads/"

_SHA = r"[0-9a-fA-F]{40}"
# Legal names that git or Slipway would read as something else. GitHub has no such branches.
_NOT_MISLEADING = rf"(?!HEAD$)(?!@$)(?!{_SHA}$)"
# git-check-ref-format(1), for one part of a ref and for the whole.
_PART = r"(?!\.)[^\x00-\x20\x7f~^:?*\[\\/\ud800-\udfff]+(?<!\.lock)"
_LEGAL = rf"(?!.*\.\.)(?!.*@\{{){_PART}(?:/{_PART})*(?<!\.)"
_REQUESTED_PART = r"(?!\.)[A-Za-z0-9._+@-]+(?<!\.lock)"
_REQUESTED = rf"(?!.*\.\.)(?=[A-Za-z0-9]){_REQUESTED_PART}(?:/{_REQUESTED_PART})*(?<!\.)"

_PUSHED_REF = re.compile(rf"(?=refs/){_LEGAL}")
_COMMIT = re.compile(_SHA)
_NOT_IN_SLUG = re.compile(r"[^a-z0-9._-]+", re.ASCII)


def is_commit_sha(value: str) -> bool:
    """Whether git reads this as a full SHA-1 and not as a name."""
    return _COMMIT.fullmatch(value) is not None


def branch_of(full_ref: str) -> str | None:
    """The branch of a full ref; None for tags and all other refs."""
    return full_ref.removeprefix(_BRANCHES) if full_ref.startswith(_BRANCHES) else None


def parse_pushed_ref(value: object, field: str = "ref") -> str:
    """Read the full ref of a push by the rules of git-check-ref-format(1).

    Raises InvalidInput (invalid_payload).
    """
    if (
        not isinstance(value, str)
        or len(value) > _MAX_PUSHED_LENGTH
        or not _PUSHED_REF.fullmatch(value)
    ):
        raise InvalidInput("this is not a full git ref", code="invalid_payload", field=field)
    return value


def slug(ref: str) -> str:
    """The part of an image tag that shows the ref; never empty."""
    text = _NOT_IN_SLUG.sub("-", ref.lower()).lstrip(".-")[:_MAX_SLUG_LENGTH].rstrip(".-")
    return text or "ref"


def _short_ref(value: str, _installation: Installation) -> str:
    name = value.removeprefix(_BRANCHES)
    return name.lower() if is_commit_sha(name) else name


def _short_branch(value: str, _installation: Installation) -> str:
    return value.removeprefix(_BRANCHES)


GitRef = Annotated[
    str,
    Meta(
        # The only full refs are branches: `refs/pull/1/head` would build a stranger's code.
        pattern=(
            rf"^(?:(?!{NULL_SHA}$){_SHA}"
            rf"|(?:{_BRANCHES})?(?!refs/){_NOT_MISLEADING}{_REQUESTED}){END}"
        ),
        min_length=1,
        max_length=_MAX_LENGTH,
        description=(
            "the name of a branch or tag, without refs/tags/ before it, or the 40 digits of a "
            f"commit's SHA. A name has at most {_MAX_LENGTH} letters, digits and . _ / + @ -, "
            "begins with a letter or digit, and is legal in git"
        ),
        extra_json_schema={"format": "git-ref"},
    ),
    Rule(code="invalid_git_ref", normal=_short_ref),
]
Branch = Annotated[
    str,
    Meta(
        pattern=(
            rf"^(?:{_BRANCHES})?(?!{_BRANCHES})(?!-)(?!.{{{_MAX_LENGTH + 1}}})"
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
