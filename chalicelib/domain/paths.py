"""Paths inside a repository: the build context and the Dockerfile.

Whether a path leads out of the checkout through a symbolic link can only be seen there; the
buildspec looks.
"""

import re

from chalicelib.errors import InvalidInput

_MAX_LENGTH = 200
_SEGMENT = re.compile(r"(?!-)[A-Za-z0-9._-]+", re.ASCII)


def parse_context_path(value: object, field: str = "context_path") -> str:
    """Read the directory that is the build context; `.` is the repository itself.

    Raises InvalidInput (invalid_path).
    """
    return "." if value == "." else parse_repository_path(value, field=field)


def parse_dockerfile_path(value: object, field: str = "dockerfile") -> str:
    """Read the Dockerfile's path. Raises InvalidInput (invalid_path)."""
    return parse_repository_path(value, field=field)


def parse_repository_path(value: object, *, field: str) -> str:
    """Read a relative path that stays inside the repository and cannot be read as an option.

    No leading dash matters twice: docker takes options anywhere on its command line, and `-` for
    standard input. Raises InvalidInput (invalid_path).
    """
    if (
        not isinstance(value, str)
        or len(value) > _MAX_LENGTH
        or not all(_is_segment(segment) for segment in value.split("/"))
    ):
        raise InvalidInput(
            f"a path is relative to the repository, at most {_MAX_LENGTH} characters of letters, "
            "digits and . _ - /, without . or .. in it and with no part starting with -",
            code="invalid_path",
            field=field,
        )
    return value


def _is_segment(segment: str) -> bool:
    return _SEGMENT.fullmatch(segment) is not None and segment not in {".", ".."}
