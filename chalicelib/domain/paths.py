"""Paths inside a repository: the build context and the Dockerfile.

A path may still leave the checkout through a symbolic link. The buildspec checks that.
"""

from typing import Annotated

from msgspec import Meta

from chalicelib.domain.fields import END, Rule

_MAX_LENGTH = 200
# No segment starts with a dash: docker accepts options anywhere on its command line, and reads `-`
# as standard input.
_SEGMENT = r"(?!-)(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_PATH = rf"{_SEGMENT}(?:/{_SEGMENT})*"
_FORM = "letters, digits and . _ - / without . or .. as a part, and no part starts with -"

RepositoryPath = Annotated[
    str,
    Meta(
        pattern=rf"^{_PATH}{END}",
        min_length=1,
        max_length=_MAX_LENGTH,
        description=f"a path inside the repository: at most {_MAX_LENGTH} {_FORM}",
        extra_json_schema={"format": "repository-path"},
    ),
    Rule(code="invalid_path"),
]
ContextPath = Annotated[
    str,
    Meta(
        pattern=rf"^(?:\.|{_PATH}){END}",
        min_length=1,
        max_length=_MAX_LENGTH,
        description=(
            "the build context, a directory inside the repository: . for the whole repository, or "
            f"at most {_MAX_LENGTH} {_FORM}"
        ),
        extra_json_schema={"format": "repository-path"},
    ),
    Rule(code="invalid_path"),
]
