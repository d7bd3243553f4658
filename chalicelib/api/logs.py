"""Logs of builds and deployments, one page at a time.

Clients poll, because a waiting Lambda costs money.
"""

from datetime import UTC, datetime

import msgspec

from chalicelib import clock
from chalicelib.access import Principal, load_build, load_deployment
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import (
    DEPLOYMENT_LOG_CURSOR,
    LOG_CURSOR,
    LOG_FORMAT,
    LOG_LIMIT,
    LOG_TAIL,
)
from chalicelib.aws import logs
from chalicelib.domain import deployment_log
from chalicelib.domain.lag import LAG
from chalicelib.domain.log_streams import stream_of_build
from chalicelib.domain.log_text import clean_lines
from chalicelib.domain.progress import has_run_commands
from chalicelib.domain.statuses import has_ended
from chalicelib.domain.tokens import Role
from chalicelib.known_secrets import known_secrets
from chalicelib.pipeline.deployment_logs import read_log
from chalicelib.store import models

routes = Routes(__name__)

POLL_SECONDS = "2"
# CloudWatch keeps lines for at least a day (PutRetentionPolicy).
DAY = 24 * 60 * 60
EXPIRED = "[this log has expired: CloudWatch has deleted its lines]\n"


class LogLine(msgspec.Struct, kw_only=True):
    """One line of a log. That of a deployment begins with its source in brackets."""

    timestamp: str
    message: str


class Log(msgspec.Struct, kw_only=True):
    """A page of a log. `complete`: the build or deployment has ended and has no further lines.
    `expired`: a build had output, but CloudWatch has deleted it.
    """

    lines: list[LogLine]
    next_cursor: str | None
    complete: bool
    expired: bool


_DOCUMENTED = Documented(
    errors=(409,), headers=("Retry-After", "X-Next-Cursor"), media_types=("text/plain",)
)


@routes.endpoint(
    "GET",
    "/v1/cicd/builds/{build_id}/logs",
    role=Role.VIEWER,
    query=(LOG_LIMIT, LOG_CURSOR, LOG_TAIL, LOG_FORMAT),
    answer=Log,
    documented=_DOCUMENTED,
)
def get_build_logs(
    caller: Principal,
    build_id: int,
    limit: int,
    cursor: str | None,
    tail: int | None,
    format: str,  # noqa: A002
) -> Reply:
    """Read a build's output, oldest line first. Repeat with `next_cursor` until `complete`."""
    build = load_build(caller, build_id)
    return _reply(build, _read(build, limit=limit, cursor=cursor, tail=tail), format)


@routes.endpoint(
    "GET",
    "/v1/cicd/deployments/{deployment_id}/logs",
    role=Role.VIEWER,
    query=(LOG_LIMIT, DEPLOYMENT_LOG_CURSOR, LOG_TAIL, LOG_FORMAT),
    answer=Log,
    documented=_DOCUMENTED,
)
def get_deployment_logs(
    caller: Principal,
    deployment_id: int,
    limit: int,
    cursor: deployment_log.Place | None,
    tail: int | None,
    format: str,  # noqa: A002
) -> Reply:
    """Read what Slipway, ECS, the release command and the containers said in a deployment.

    Repeat with `next_cursor` until `complete`. Each message begins with its source.
    """
    deployment = load_deployment(caller, deployment_id)
    tail = tail if cursor is None else None
    part = read_log(deployment, cursor or deployment_log.Place(), limit=limit, tail=tail)
    log = Log(
        lines=[LogLine(timestamp=_time(each.at), message=each.message) for each in part.lines],
        next_cursor=deployment_log.encode(part.place),
        complete=part.complete,
        expired=False,
    )
    return _reply(deployment, log, format)


def _reply(job: models.Job, log: Log, format: str) -> Reply:  # noqa: A002
    now_or_later = log.complete or (has_ended(job.status) and bool(log.lines))
    headers = () if now_or_later else (("Retry-After", POLL_SECONDS),)
    if format == "json":
        return Reply(log, headers=headers)
    text = "".join(f"{line.message}\n" for line in log.lines)
    return Reply(
        EXPIRED if log.expired else text,
        headers=headers,
        next_position=log.next_cursor,
        says_more=not log.complete,
    )


def _read(build: models.Build, *, limit: int, cursor: str | None, tail: int | None) -> Log:
    """A page of the log. CloudWatch returns the same cursor when there are no new lines."""
    settled = has_ended(build.status) and clock.now() - (build.finished_at or 0) >= LAG
    if build.log_path is None:
        return Log(lines=[], next_cursor=None, complete=settled, expired=False)
    stream = stream_of_build(build.log_path)
    tail = tail if cursor is None else None
    if tail is not None:
        page = logs.last(stream, limit=tail)
    else:
        page = logs.read(stream, cursor=cursor, limit=limit)
    may_be_last = tail is not None or len(page.lines) < limit
    complete = settled and (page.missing or (may_be_last and logs.is_last(stream, page)))
    messages = clean_lines((line.message for line in page.lines), known_secrets())
    return Log(
        lines=[
            LogLine(timestamp=_time(line.at), message=message)
            for line, message in zip(page.lines, messages, strict=True)
        ],
        next_cursor=page.cursor,
        complete=complete,
        expired=complete and _is_expired(build, page, cursor),
    )


def _is_expired(build: models.Build, page: logs.LogPage, cursor: str | None) -> bool:
    """Whether the lines of a log that has no further ones are gone.

    CloudWatch deletes lines after the log group's retention time, and keeps the empty stream. A
    stream can also be deleted. Every build that reached its commands has written lines.
    """
    if clock.now() - (build.finished_at or 0) < DAY:
        return False
    if page.missing and cursor is not None:
        return True
    empty = cursor is None and not page.lines
    return empty and has_run_commands(build.progress)


def _time(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")
