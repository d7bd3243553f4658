"""What a request says outside its body: ids in the path, and parameters of the query."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalice.app import Request

from chalicelib.api.http import cursors
from chalicelib.domain.statuses import TRANSITIONS, BuildStatus, DeploymentStatus, JobStatus
from chalicelib.errors import InvalidInput, NotFound

MAX_ID = 2**53  # beyond it, JavaScript's numbers are no longer exact

_DIGITS = re.compile(r"[0-9]+", re.ASCII)
CURSOR_NAME = "cursor"


@dataclass(frozen=True)
class Parameter:
    """One parameter of the query; `parse` raises ValueError saying what it must be.

    One that `chooses` makes another list of it, which then has cursors of its own; the others only
    say how much of it is shown, and how.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    schema: Mapping[str, Any]
    meaning: str
    chooses: bool = True


@dataclass(frozen=True)
class Query:
    """What a query says: values by name, and what the list that they choose is called."""

    values: Mapping[str, Any]
    list_name: str


def parse_id(text: str) -> int:
    """Read an id out of a path.

    Raises InvalidInput (invalid_id) for what is no number at all, and NotFound for a number that
    nothing can have.
    """
    if not _DIGITS.fullmatch(text):
        raise InvalidInput("an id is a whole number", code="invalid_id")
    if len(text) > len(str(MAX_ID)) or not 0 < int(text) <= MAX_ID:
        raise NotFound("nothing has this id")
    return int(text)


def parse_query(request: Request, parameters: Sequence[Parameter], path: str = "") -> Query:
    """Read the query of a `path`, each parameter at most once and no other; raises InvalidInput."""
    unknown = set(request.query_params or {}) - {parameter.name for parameter in parameters}
    if unknown:
        raise InvalidInput(
            "there is no such parameter here", code="unknown_parameter", field=min(unknown)
        )
    plain = [parameter for parameter in parameters if parameter.name != CURSOR_NAME]
    values = {parameter.name: _parse(request, parameter) for parameter in plain}
    name = cursors.name_of(path, {each.name: values[each.name] for each in plain if each.chooses})
    for parameter in parameters:
        if parameter.name == CURSOR_NAME:
            values[CURSOR_NAME] = _parse(
                request, parameter, lambda text: cursors.unseal(text, name)
            )
    return Query(values, name)


def _parse(
    request: Request, parameter: Parameter, unseal: Callable[[str], str] = lambda text: text
) -> Any:
    if request.query_params is None or parameter.name not in request.query_params:
        return parameter.default
    values = request.query_params.getlist(parameter.name)
    try:
        if len(values) > 1:
            raise ValueError("given once")
        return parameter.parse(unseal(values[0]))
    except ValueError as error:
        raise InvalidInput(
            f"{parameter.name} must be {error}",
            code=f"invalid_{parameter.name}",
            field=parameter.name,
        ) from error


def _number_up_to(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not _DIGITS.fullmatch(text) or len(text) > 9 or not 1 <= int(text) <= most:
            raise ValueError(f"a whole number from 1 to {most}")
        return int(text)

    return parse


def _place(text: str) -> int:
    # Anybody can seal anything: what is unsealed is parsed like all that comes from outside.
    try:
        return parse_id(text)
    except (InvalidInput, NotFound) as error:
        raise ValueError(cursors.EARLIER) from error


def _log_token(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9/+=_-]{1,200}", text, re.ASCII):
        raise ValueError(cursors.EARLIER)
    return text


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return parse


def _limit(default: int, most: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter(
        "limit", _number_up_to(most), default, schema, "How many at most.", chooses=False
    )


def _words(
    name: str, words: Sequence[str], default: str | None, meaning: str, *, chooses: bool = True
) -> Parameter:
    schema = {"type": "string", "enum": list(words)}
    return Parameter(name, _one_of(words), default, schema, meaning, chooses)


_CURSOR = {"type": "string", "format": "cursor", "minLength": 1}
_CURSOR_MEANING = "The next_cursor of the page before, of this very list."


def _number(name: str, meaning: str) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
    return Parameter(name, _parse_number, None, schema, meaning)


def _parse_number(text: str) -> int:
    try:
        return parse_id(text)
    except (InvalidInput, NotFound) as error:
        raise ValueError("the number of one that there is") from error


LIMIT = _limit(20, 100)
CURSOR = Parameter(CURSOR_NAME, _place, None, _CURSOR, _CURSOR_MEANING)
BUILD_STATUS = _words("status", list(BuildStatus), None, "Only those of this status on the page.")
DEPLOYMENT_STATUS = _words(
    "status", list(DeploymentStatus), None, "Only those of this status on the page."
)
PROJECT = _number("project_id", "Only what was done to this project and its services.")
SERVICE = _number("service_id", "Only what was done to this service.")
JOB_TYPE = _words("type", list(TRANSITIONS), None, "Only those of this type on the page.")
JOB_STATUS = _words("status", list(JobStatus), None, "Only those of this status on the page.")
# GetLogEvents in the CloudWatch Logs API reference: at most 10,000 events a call.
LOG_LIMIT = _limit(1000, 10_000)
LOG_CURSOR = Parameter(CURSOR_NAME, _log_token, None, _CURSOR, _CURSOR_MEANING)
LOG_FORMAT = _words("format", ["json", "text"], "json", "How the lines are sent.", chooses=False)
