"""Build arguments: the names and values that a request may pass to `docker buildx build`."""

import re
from typing import Annotated, Any

from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule

_MAX_COUNT = 100
_MAX_BYTES = 16 * 1024

# Names that the shell, the dynamic loader, git, docker or AWS read themselves.
_RESERVED_PREFIXES = ("AWS_", "BUILDKIT_", "CODEBUILD_", "DOCKER_", "ECS_", "GIT_", "LD_")
_RESERVED = ("BASH_ENV", "ENV", "HOME", "IFS", "PATH", "SHELL")
# BuildKit applies these to every step, even if the Dockerfile does not declare them. So a request
# could send all downloads through another host. Set a proxy in the CodeBuild project instead.
_PROXIES = ("ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

# JSON Schema patterns have no flag to ignore case.
_ANY_CASE = ["".join(f"[{c}{c.lower()}]" if c != "_" else c for c in name) for name in _PROXIES]
_NOT_ALLOWED = "|".join([*_RESERVED_PREFIXES, *(f"{name}$" for name in [*_RESERVED, *_ANY_CASE])])
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NAME_PATTERN = rf"^(?!{_NOT_ALLOWED}){_NAME}{END}"
# Values may contain line breaks and tabs (certificates, JSON). Other control characters act on a
# terminal.
_VALUE_PATTERN = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"


def _within_size(args: dict[str, str], _installation: Installation) -> dict[str, str]:
    if sum(len(name.encode()) + len(text.encode()) for name, text in args.items()) > _MAX_BYTES:
        raise ValueError(f"build arguments must be at most {_MAX_BYTES // 1024} KiB in total")
    return args


def _explain(value: Any) -> str:
    if not isinstance(value, dict):
        return "build_args must be an object of strings"
    if len(value) > _MAX_COUNT:
        return f"build_args must have at most {_MAX_COUNT} members"
    reasons = (_explain_one(name, text) for name, text in value.items())
    return next(filter(None, reasons), "an argument in build_args is not allowed")


def _explain_one(name: Any, text: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        return "the name of a build argument must be letters, digits and _, and begin with no digit"
    if not re.search(_NAME_PATTERN, name):
        return f"{name} is reserved and cannot be a build argument"
    if not isinstance(text, str):
        return f"the value of {name} must be a string"
    return "" if re.search(_VALUE_PATTERN, text) else f"the value of {name} has a control character"


BuildArgs = Annotated[
    dict[Annotated[str, Meta(pattern=_NAME_PATTERN)], Annotated[str, Meta(pattern=_VALUE_PATTERN)]],
    Meta(
        max_length=_MAX_COUNT,
        description=(
            "build arguments by name, at most 16 KiB in total. Names that the build itself uses "
            "are reserved. Do not pass secrets: readers of the build and of the image's history "
            "can see them"
        ),
    ),
    Rule(normal=_within_size, explain=_explain),
]
