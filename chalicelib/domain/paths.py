"""Paths inside a repository: the build context and the Dockerfile.

Only the checkout shows whether a path leaves it through a symbolic link; the buildspec checks that.
"""

from typing import Annotated

from msgspec import Meta

from chalicelib.domain.fields import END, Rule

_MAX_LENGTH = 200
# No segment starts with a dash: docker accepts options anywhere on its command line, and `-` means
# standard input.
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
            "a directory inside the repository, which is the build context; . is the repository "
            f"itself; otherwise at most {_MAX_LENGTH} {_FORM}"
        ),
        extra_json_schema={"format": "repository-path"},
    ),
    Rule(code="invalid_path"),
]
