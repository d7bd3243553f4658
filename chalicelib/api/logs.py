"""A build's output, one page at a time. Clients poll, because a waiting Lambda costs money."""

from datetime import UTC, datetime

import msgspec

from chalicelib.access import Principal, load_build
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import LOG_CURSOR, LOG_FORMAT, LOG_LIMIT
from chalicelib.aws import logs
from chalicelib.domain.log_text import clean_lines
from chalicelib.domain.statuses import has_ended
from chalicelib.domain.tokens import Role
from chalicelib.known_secrets import known_secrets
from chalicelib.store import models

routes = Routes(__name__)

POLL_SECONDS = "2"


class LogLine(msgspec.Struct, kw_only=True):
    """One line of a build's output."""

    timestamp: str
    message: str


class Log(msgspec.Struct, kw_only=True):
    """A page of a build's output. `complete`: the build has ended and has no further lines."""

    lines: list[LogLine]
    next_cursor: str | None
    complete: bool


@routes.endpoint(
    "GET",
    "/v1/cicd/builds/{build_id}/logs",
    role=Role.VIEWER,
    query=(LOG_LIMIT, LOG_CURSOR, LOG_FORMAT),
    answer=Log,
    documented=Documented(
        errors=(409,), headers=("Retry-After", "X-Next-Cursor"), media_types=("text/plain",)
    ),
)
def get_build_logs(
    caller: Principal,
    build_id: int,
    limit: int,
    cursor: str | None,
    format: str,  # noqa: A002
) -> Reply:
    """Read a build's output, oldest line first. Repeat with `next_cursor` until `complete`."""
    build = load_build(caller, build_id)
    log = _read(build, limit=limit, cursor=cursor)
    headers = () if has_ended(build.status) else (("Retry-After", POLL_SECONDS),)
    if format == "json":
        return Reply(log, headers=headers)
    text = "".join(f"{line.message}\n" for line in log.lines)
    return Reply(text, headers=headers, next_position=log.next_cursor)


def _read(build: models.Build, *, limit: int, cursor: str | None) -> Log:
    """A page of the log. CloudWatch returns the same cursor when there are no new lines."""
    if build.log_path is None:
        return Log(lines=[], next_cursor=None, complete=has_ended(build.status))
    page = logs.read(build.log_path, cursor=cursor, limit=limit)
    messages = clean_lines((line.message for line in page.lines), known_secrets())
    return Log(
        lines=[
            LogLine(timestamp=_time(line), message=message)
            for line, message in zip(page.lines, messages, strict=True)
        ],
        next_cursor=page.cursor,
        complete=has_ended(build.status) and page.cursor == cursor,
    )


def _time(line: logs.LogLine) -> str:
    at = datetime.fromtimestamp(line.at / 1000, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")
