"""Build arguments: which names and values a request may hand to `docker buildx build`."""

import re
from collections.abc import Mapping

from chalicelib.errors import InvalidInput

_MAX_COUNT = 100
_MAX_BYTES = 16 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

# Line breaks and tabs are fine in a value (certificates, JSON); what else controls a terminal, or
# cannot be encoded at all, is not.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

# Names with a meaning of their own to the shell, the dynamic loader, git, docker or AWS.
RESERVED_PREFIXES = ("AWS_", "BUILDKIT_", "CODEBUILD_", "DOCKER_", "ECS_", "GIT_", "LD_")
RESERVED = frozenset({"BASH_ENV", "ENV", "HOME", "IFS", "PATH", "SHELL"})

# BuildKit applies these to every step, declared in the Dockerfile or not: whoever may start a build
# could lead all its downloads through a host of their own. A proxy belongs to the build project.
PROXIES = frozenset({"ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})


def parse_build_args(value: object, field: str = "build_args") -> dict[str, str]:
    """Read build arguments: at most 100, 16 KiB of UTF-8 in all, none with a reserved name.

    Raises InvalidInput (invalid_build_args).
    """
    if not isinstance(value, Mapping):
        raise _refuse("build arguments are an object of strings", field)
    if len(value) > _MAX_COUNT:
        raise _refuse(f"at most {_MAX_COUNT} build arguments", field)
    args = dict(_parse_arg(name, text, field) for name, text in value.items())
    if sum(len(name.encode()) + len(text.encode()) for name, text in args.items()) > _MAX_BYTES:
        raise _refuse(f"build arguments take at most {_MAX_BYTES // 1024} KiB together", field)
    return args


def _parse_arg(name: object, text: object, field: str) -> tuple[str, str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _refuse("a build argument is named in letters, digits and _", field)
    if _is_reserved(name):
        raise _refuse(f"{name} is reserved and cannot be a build argument", field)
    if not isinstance(text, str):
        raise _refuse(f"the value of {name} is not a string", field)
    if _UNPRINTABLE.search(text):
        raise _refuse(f"the value of {name} holds a control character", field)
    return name, text


def _is_reserved(name: str) -> bool:
    return name in RESERVED or name.startswith(RESERVED_PREFIXES) or name.upper() in PROXIES


def _refuse(detail: str, field: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_build_args", field=field)
