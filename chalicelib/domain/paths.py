"""Paths inside a repository: the build context and the Dockerfile.

A path may still leave the checkout through a symbolic link. The buildspec checks that.
"""

from typing import Annotated

from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule

_MAX_LENGTH = 200
# Not the characters that hide or reorder text (surrogates are no characters), and not those that a
# shell or docker reads as something else. No segment begins with a dash: that is an option.
_NOT = r"/\\:;$`~|<>*?\"&\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_SEGMENT = rf"(?![ -])(?!\.{{1,2}}(?:/|$))[^{_NOT}]+(?<! )"
_PATH = rf"(?:\./)?{_SEGMENT}(?:/{_SEGMENT})*/?"


def _short(value: str, _installation: Installation) -> str:
    return value if value == "." else value.removeprefix("./").removesuffix("/")


RepositoryPath = Annotated[
    str,
    Meta(
        pattern=rf"^{_PATH}{END}",
        min_length=1,
        max_length=_MAX_LENGTH,
        description=(
            "the path of the Dockerfile from the top of the repository, without .. as a part and "
            f"at most {_MAX_LENGTH} characters. If it is null, the context's own Dockerfile is used"
        ),
        extra_json_schema={"format": "repository-path"},
    ),
    Rule(code="invalid_path", normal=_short),
]
ContextPath = Annotated[
    str,
    Meta(
        pattern=rf"^(?:\.|{_PATH}){END}",
        min_length=1,
        max_length=_MAX_LENGTH,
        description=(
            "the build context: a directory, as its path from the top of the repository without .. "
            f"as a part, at most {_MAX_LENGTH} characters; . is the whole repository"
        ),
        extra_json_schema={"format": "repository-path"},
    ),
    Rule(code="invalid_path", normal=_short),
]
