"""Git refs and commits: what may be asked for, what may be pushed, and how a ref looks in a tag.

A ref that somebody asks for is held to an allow-list. A ref that was pushed may be whatever git
allows, `$(id)` included: such a name is compared, shown and slugged, never run.
"""

import re

from chalicelib.errors import InvalidInput

NULL_SHA = "0" * 40

_MAX_LENGTH = 200
_MAX_PUSHED_LENGTH = 300
_MAX_SLUG_LENGTH = 60
_BRANCHES = "refs/heads/"

_SHA = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)
_ASKED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@-]*", re.ASCII)
_COMPONENT = re.compile(r"(?!\.)[^\x00-\x20\x7f~^:?*\[\\/\ud800-\udfff]+(?<!\.lock)")
_NOT_IN_SLUG = re.compile(r"[^a-z0-9._-]+", re.ASCII)


def parse_git_ref(value: object, field: str = "git_ref") -> str:
    """Read the name of a branch or tag, or a commit's full SHA, that somebody wants built.

    `refs/heads/main` is read as `main`. Other full refs are refused: `refs/pull/1/head` would build
    a stranger's code, and a tag goes by its name. Raises InvalidInput (invalid_git_ref).
    """
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_LENGTH:
        raise _refuse(f"a git ref is a string of 1 to {_MAX_LENGTH} characters", field)
    if is_commit_sha(value):
        return parse_commit_sha(value, field)
    name = value.removeprefix(_BRANCHES)
    if name.startswith("refs/"):
        raise _refuse("name the branch or tag alone, without refs/", field)
    if not _ASKED.fullmatch(name) or not _is_legal(name) or _is_misleading(name):
        raise _refuse("this cannot be the name of a branch or tag", field)
    return name


def parse_branch(value: object, field: str = "branch") -> str:
    """Read a branch to watch: any name that `git check-ref-format --branch` allows for one.

    Raises InvalidInput (invalid_git_ref).
    """
    if not isinstance(value, str) or len(value) > _MAX_LENGTH or not _is_legal(value):
        raise _refuse("this cannot be the name of a branch", field)
    if value.startswith("-") or _is_misleading(value):
        raise _refuse("git does not take this as the name of a branch", field)
    return value


def parse_pushed_ref(value: object, field: str = "ref") -> str:
    """Read the full ref of a push by the rules of git-check-ref-format(1).

    Raises InvalidInput (invalid_payload).
    """
    if (
        not isinstance(value, str)
        or len(value) > _MAX_PUSHED_LENGTH
        or not value.startswith("refs/")
        or not _is_legal(value)
    ):
        raise InvalidInput("this is not a full git ref", code="invalid_payload", field=field)
    return value


def branch_of(full_ref: str) -> str | None:
    """The branch that a full ref names; None for tags and everything else."""
    return full_ref.removeprefix(_BRANCHES) if full_ref.startswith(_BRANCHES) else None


def is_commit_sha(value: str) -> bool:
    """Whether git would take this for a full SHA-1 rather than for a name."""
    return _SHA.fullmatch(value) is not None


def parse_commit_sha(value: object, field: str = "git_sha") -> str:
    """Read a full SHA-1 of a commit; the null SHA, git's word for "none", is not one.

    Raises InvalidInput (invalid_git_ref).
    """
    if not isinstance(value, str) or not is_commit_sha(value) or value == NULL_SHA:
        raise _refuse("a commit is named by its 40 hexadecimal digits", field)
    return value.lower()


def slug(ref: str) -> str:
    """The part of an image tag that tells people which ref it came from; never empty."""
    text = _NOT_IN_SLUG.sub("-", ref.lower()).lstrip(".-")[:_MAX_SLUG_LENGTH].rstrip(".-")
    return text or "ref"


def _is_legal(name: str) -> bool:
    return (
        ".." not in name
        and "@{" not in name
        and not name.endswith(".")
        and all(_COMPONENT.fullmatch(component) for component in name.split("/"))
    )


def _is_misleading(name: str) -> bool:
    # Legal, and yet git or we would take it for something else. GitHub has no such branches either.
    return name in {"HEAD", "@"} or is_commit_sha(name)


def _refuse(detail: str, field: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_git_ref", field=field)
