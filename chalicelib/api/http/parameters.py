"""Request parameters: ids in the path, and the parameters of the query."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any

import msgspec
from chalice.app import Request
from msgspec import Meta

from chalicelib import clock
from chalicelib.api.http import cursors
from chalicelib.domain import deployment_log
from chalicelib.domain.regex import regex
from chalicelib.domain.statuses import TRANSITIONS, BuildStatus, DeploymentStatus, JobStatus
from chalicelib.domain.timing import day_of
from chalicelib.errors import InvalidInput, NotFound

MAX_ID = 2**53  # JavaScript's numbers are exact up to here
# The type of an id in a body.
Id = Annotated[
    int, Meta(ge=1, le=MAX_ID, description="the id of a resource, a whole number of at least 1")
]

# Without leading zeros, as in JSON: a resource has one path.
_NUMBER = regex(r"0|[1-9][0-9]*", re.ASCII)
CURSOR_NAME = "cursor"


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the query. `parse` raises ValueError with what the value must be.

    A filter makes another list, with its own cursors. Other parameters, such as `limit`, may change
    between pages.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    schema: Mapping[str, Any]
    meaning: str
    is_filter: bool = True


class Query(msgspec.Struct, frozen=True):
    """A parsed query: values by name, and the name of the list that the filters select."""

    values: Mapping[str, Any]
    list_name: str


def parse_id(text: str) -> int:
    """Parse an id of a path.

    Raises InvalidInput (invalid_id) for a text that is not a number, and NotFound for a number that
    no resource can have.
    """
    if not _NUMBER.fullmatch(text):
        raise InvalidInput("an id must be a whole number without leading zeros", code="invalid_id")
    if len(text) > len(str(MAX_ID)) or not 0 < int(text) <= MAX_ID:
        raise NotFound("there is no resource with this id")
    return int(text)


def parse_query(request: Request, parameters: Sequence[Parameter], path: str = "") -> Query:
    """Parse the query of a `path`.

    Raises InvalidInput for an unknown parameter, and for one that is repeated or has a wrong value.
    """
    names = sorted(parameter.name for parameter in parameters)
    unknown = set(request.query_params or {}).difference(names)
    if unknown:
        known = f"The parameters are {', '.join(names)}." if names else "It has none."
        raise InvalidInput(
            f"this route has no such query parameter. {known}",
            code="unknown_parameter",
            field=min(unknown),
        )
    plain = [parameter for parameter in parameters if parameter.name != CURSOR_NAME]
    values = {parameter.name: _parse(request, parameter) for parameter in plain}
    name = cursors.name_of(path, {each.name: values[each.name] for each in plain if each.is_filter})
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
            raise ValueError("sent only once")
        return parameter.parse(unseal(values[0]))
    except ValueError as error:
        raise InvalidInput(
            f"{parameter.name} must be {error}",
            code=f"invalid_{parameter.name}",
            field=parameter.name,
        ) from error


def _number_up_to(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not _NUMBER.fullmatch(text) or len(text) > 9 or not 1 <= int(text) <= most:
            raise ValueError(f"a whole number from 1 to {most}")
        return int(text)

    return parse


def _position(text: str) -> int:
    # The seal has no secret, so its content is parsed like any other input.
    try:
        return parse_id(text)
    except (InvalidInput, NotFound) as error:
        raise ValueError(cursors.EXPECTED) from error


def _log_token(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9/+=_-]{1,200}", text, re.ASCII):
        raise ValueError(cursors.EXPECTED)
    return text


def _log_place(text: str) -> deployment_log.Place:
    try:
        return deployment_log.decode(text)
    except ValueError as error:
        raise ValueError(cursors.EXPECTED) from error


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return parse


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("true or false")
    return text == "true"


def _limit(default: int, most: int, meaning: str = "The maximum length of a page.") -> Parameter:
    schema = {**_up_to(most), "default": default}
    return Parameter("limit", _number_up_to(most), default, schema, meaning, is_filter=False)


def _up_to(most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _words(
    name: str, words: Sequence[str], default: str | None, meaning: str, *, is_filter: bool = True
) -> Parameter:
    schema = {"type": "string", "enum": list(words)}
    return Parameter(name, _one_of(words), default, schema, meaning, is_filter)


_CURSOR = {"type": "string", "format": "cursor", "minLength": 1}
_CURSOR_MEANING = "The `next_cursor` of the previous page, with the same filters."
_PER_PAGE = "A page may then have fewer items than `limit`, even none."
_SEARCHED = "A thousand rows are searched for a page: it may have fewer items than `limit`."
_SEARCHED_SUCCESS = f"Only for `success`: {_SEARCHED}"


def _number(name: str, meaning: str) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
    return Parameter(name, _parse_number, None, schema, meaning)


def _parse_number(text: str) -> int:
    try:
        return parse_id(text)
    except (InvalidInput, NotFound) as error:
        raise ValueError(f"an id: a whole number from 1 to {MAX_ID}") from error


def _parse_actor(text: str) -> str:
    if not re.fullmatch(_ACTOR, text):
        raise ValueError("an actor as entries show it: 1 to 200 characters of ASCII")
    return text


def _parse_days(text: str) -> int:
    return int(_one_of(_WINDOWS)(text))


def _parse_day(text: str) -> date:
    expected = ValueError(f"a UTC day from {_FIRST_DAY} to today, such as 2026-11-27")
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        raise expected
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise expected from error
    if not _FIRST_DAY <= day.isoformat() <= day_of(clock.now()):
        raise expected
    return day


_ACTOR = r"^[ -~]{1,200}$"
_WINDOWS = ("1", "7", "30", "90")
_FIRST_DAY = "2020-01-01"
DAYS = Parameter(
    "days",
    _parse_days,
    7,
    {"type": "integer", "enum": [int(each) for each in _WINDOWS], "default": 7},
    "The number of days.",
)
UNTIL = Parameter(
    "until",
    _parse_day,
    None,
    {"type": "string", "format": "past-day", "minLength": 10, "maxLength": 10},
    f"The last of the days, in UTC, from {_FIRST_DAY} to today. Without it: today.",
)
LIMIT = _limit(20, 100)
LIMIT_OF_ALL = _limit(100, 100, f"How many rows are searched for a page. {_PER_PAGE}")
# Each service in the list of all services takes some further rows.
SERVICE_LIMIT = _limit(20, 50)
CURSOR = Parameter(CURSOR_NAME, _position, None, _CURSOR, _CURSOR_MEANING)
BUILD_STATUS = _words(
    "status", list(BuildStatus), None, f"Only builds with this status. {_SEARCHED_SUCCESS}"
)
DEPLOYMENT_STATUS = _words(
    "status",
    list(DeploymentStatus),
    None,
    f"Only deployments with this status. {_SEARCHED_SUCCESS}",
)
PROJECT = _number(
    "project_id",
    "Only changes of this project and its services. "
    "Without `project_id` and `service_id`: all changes, only for an unrestricted admin.",
)
OF_PROJECT = _number("project_id", "Only services of this project.")
SERVICE = _number("service_id", "Only changes of this service.")
CHANNEL_PROJECT = _number("project_id", "The project of the channel. Without it: all projects.")
ACTOR = Parameter(
    "actor",
    _parse_actor,
    None,
    {"type": "string", "pattern": _ACTOR},
    f"Only changes of this actor, such as `token:ci` or `github:octocat`. {_PER_PAGE}",
)
RESTORED = _number(
    "deployment_id",
    "The deployment to restore. Without it: the release before the current one.",
)
DRY_RUN = Parameter(
    "dry_run",
    parse=_flag,
    default=False,
    schema={"type": "boolean", "default": False},
    meaning="Return the plan of the request, with status 200, and change nothing.",
    is_filter=False,
)
JOB_TYPE = _words("type", list(TRANSITIONS), None, f"Only jobs of this type. {_SEARCHED}")
JOB_STATUS = _words(
    "status",
    list(JobStatus),
    None,
    "Only jobs with this status. For `success`, and for `queued` and `running` in an installation "
    f"with a thousand open builds or several thousand services: {_SEARCHED}",
)
# GetLogEvents in the CloudWatch Logs API reference: at most 10,000 events a call.
_MOST_LINES = 10_000
LOG_LIMIT = _limit(1000, _MOST_LINES)
LOG_TAIL = Parameter(
    "tail",
    _number_up_to(_MOST_LINES),
    None,
    _up_to(_MOST_LINES),
    "Begin with so many of the last lines. `next_cursor` goes on after them. "
    "With a `cursor` this has no effect.",
    is_filter=False,
)
LOG_CURSOR = Parameter(CURSOR_NAME, _log_token, None, _CURSOR, _CURSOR_MEANING)
DEPLOYMENT_LOG_CURSOR = Parameter(CURSOR_NAME, _log_place, None, _CURSOR, _CURSOR_MEANING)
LOG_FORMAT = _words(
    "format", ["json", "text"], "json", "The format of the response.", is_filter=False
)
