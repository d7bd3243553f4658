"""Reading the payloads of GitHub's webhook: values that decide something are parsed strictly.

The functions that parse raise InvalidInput (invalid_payload); `field` is the dotted path of the
wrong value.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.domain.fields import UNSAFE
from chalicelib.domain.refs import NULL_SHA, is_commit_sha
from chalicelib.domain.regex import regex
from chalicelib.domain.repositories import Repository
from chalicelib.errors import InvalidInput

_MAX_TEXT_LENGTH = 200
MAX_TIME = 253_402_300_800  # the year 10000: Python's dates end before it
_DEFAULT_HOST = "github.com"

# The patterns of an owner and of a repository, of a host, and of the rest of an address.
NAME = r"[A-Za-z0-9_.-]{1,100}"
HOST = r"[A-Za-z0-9.-]{1,253}"
PATH = r"[!-~]{1,300}"
_FULL_NAME = regex(rf"(?P<owner>{NAME})/(?P<name>{NAME})", re.ASCII)
_PAGE = regex(rf"https://(?P<host>{HOST})/{PATH}", re.ASCII)
_TIME = regex(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_UNSAFE = regex(f"[{UNSAFE}]")
# GitHub: "Skipping workflow runs". GitHub does not document the case; people write all of them.
_SKIP = regex(r"\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]", re.IGNORECASE)


def parse_sha(value: object, field: str) -> str:
    """A commit's full SHA-1, in lower case."""
    if not isinstance(value, str) or not is_commit_sha(value):
        raise refusal("this is not a commit's SHA", field)
    return value.lower()


def parse_optional_sha(value: object, field: str) -> str:
    """The same; the null SHA if there is none."""
    return NULL_SHA if value is None else parse_sha(value, field)


def parse_repository(repository: Mapping[str, Any]) -> str:
    """The key of the repository. GitHub Enterprise has its own host in html_url."""
    full_name = repository.get("full_name")
    named = _FULL_NAME.fullmatch(full_name) if isinstance(full_name, str) else None
    if named is None:
        raise refusal("this is not owner/name", "repository.full_name")
    return Repository(_parse_host(repository), named["owner"], named["name"]).key


def parse_time(value: object, field: str) -> int:
    """Unix seconds. Push events have a number, GitHub's other payloads an RFC 3339 time."""
    seconds = seconds_of(value) if isinstance(value, str) else value
    if type(seconds) is not int or not 0 <= seconds < MAX_TIME:
        raise refusal("this is not a time", field)
    return seconds


def object_of(
    parent: Mapping[str, Any], key: str, *, optional: bool = False, inside: str = ""
) -> Mapping[str, Any]:
    """The object in a field; an empty one if it is optional and missing or null.

    `inside` is the dotted path of the parent, with a dot at its end.
    """
    value = parent.get(key)
    if value is None and optional:
        return {}
    if not isinstance(value, Mapping):
        raise refusal("this is not an object", f"{inside}{key}")
    return value


def is_clone_url_of(key: str, url: object) -> bool:
    """Whether a clone_url belongs to the repository `key`, or is missing."""
    if url is None:
        return True
    return isinstance(url, str) and url.lower().removesuffix(".git") == f"https://{key}"


def skip_in(text: object) -> str:
    """The first part of a text that asks for no build, such as `[skip ci]`; empty without one."""
    found = _SKIP.search(text) if isinstance(text, str) else None
    return found[0] if found else ""


def shown(value: object, *, most: int = _MAX_TEXT_LENGTH) -> str:
    """A text from outside that is safe to store and show, cut to `most` characters."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", str(value))[:most]


def first_line(value: object) -> str:
    """The first line of a text, safe to show; empty if the value is not a text."""
    lines = value.strip().splitlines() if isinstance(value, str) else []
    return shown(lines[0]) if lines else ""


def refusal(detail: str, field: str) -> InvalidInput:
    """The error for a payload with a wrong value in a field."""
    return InvalidInput(detail, code="invalid_payload", field=field)


def _parse_host(repository: Mapping[str, Any]) -> str:
    page = repository.get("html_url")
    if page is None:
        return _DEFAULT_HOST
    match = _PAGE.fullmatch(page) if isinstance(page, str) else None
    if match is None:
        raise refusal("this is not the https address of a repository", "repository.html_url")
    return match["host"]


def seconds_of(text: str) -> int | None:
    """An RFC 3339 time in unix seconds; None for any other text."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) if _TIME.fullmatch(text) else None
    except ValueError:
        return None
