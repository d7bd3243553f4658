"""CloudWatch Logs: logs of builds and of containers, and whether log groups exist."""

from typing import Any

import msgspec

from chalicelib.aws.clients import calling, client
from chalicelib.domain.log_streams import LogStream
from chalicelib.errors import InvalidInput, Rejected

# Bytes after which an answer gets no further page of CloudWatch. A page has at most 1 MB
# (GetLogEvents in the API reference), and Lambda answers with at most 6 MB, in which a quote of a
# line takes four bytes.
ENOUGH = 256 * 1024
_LOOKS_BACK = 2


class LogLine(msgspec.Struct, frozen=True):
    """One line: `at` is milliseconds since 1970."""

    at: int
    message: str


class LogPage(msgspec.Struct, frozen=True):
    """Lines, and the cursor of the next page; it is unchanged if there are no new lines.

    `missing`: CloudWatch has no such log stream.
    """

    lines: list[LogLine]
    cursor: str | None
    missing: bool = False

    @property
    def size(self) -> int:
        """The bytes of its lines."""
        return sum(len(line.message.encode(errors="replace")) for line in self.lines)


def read(stream: LogStream, *, cursor: str | None, limit: int, since: int | None = None) -> LogPage:
    """Lines of a stream, oldest first. A missing stream is an empty page.

    With `since`, in milliseconds since 1970, only newer lines count.

    At the end of a stream CloudWatch returns the same forward token again, so a client can follow
    the log with the cursor. A page may be empty while more follow (GetLogEvents in the API
    reference). Raises InvalidInput for a cursor of another log.
    """
    token: dict[str, Any] = {"nextToken": cursor} if cursor else {}
    begin = {} if since is None else {"startTime": since}
    try:
        answer = _events(stream, startFromHead=True, limit=limit, **token, **begin)
    except Rejected as error:
        if error.code == "ResourceNotFoundException":
            return LogPage([], cursor, missing=True)
        if error.code == "InvalidParameterException" and cursor:
            raise InvalidInput(
                "the cursor does not come from this log", code="invalid_cursor", field="cursor"
            ) from error
        raise
    return LogPage(_lines(answer), answer["nextForwardToken"])


def last(stream: LogStream, *, limit: int, before: int | None = None) -> LogPage:
    """The last `limit` lines of a stream, oldest first, and the cursor that goes on after them.

    With `before`, in milliseconds since 1970, only older lines count. They are fewer if they would
    have more than about 1 MB. A missing stream is an empty page.
    "nextForwardToken" of a page from the tail is the place after its last line. Its reader "must
    specify true for startFromHead", as `read` does (GetLogEvents in the API reference).
    """
    end: dict[str, Any] = {} if before is None else {"endTime": before}
    try:
        answer = _events(stream, startFromHead=False, limit=limit, **end)
    except Rejected as error:
        if error.code == "ResourceNotFoundException":
            return LogPage([], None, missing=True)
        raise
    page = LogPage(_lines(answer), answer["nextForwardToken"])
    for _ in range(_LOOKS_BACK):
        missing, token = limit - len(page.lines), answer["nextBackwardToken"]
        if not missing or page.size > ENOUGH:
            break
        # A page that is empty or not full may have more before it.
        answer = _events(stream, startFromHead=False, limit=missing, nextToken=token, **end)
        page = LogPage(_lines(answer) + page.lines, page.cursor)
        if answer["nextBackwardToken"] == token:
            break
    return page


def is_last(stream: LogStream, page: LogPage) -> bool:
    """Whether the stream has no lines after a page: CloudWatch answers twice in a row without any.

    At the end it returns the same cursor again. A single empty answer does not show the end.
    """
    following = (read(stream, cursor=page.cursor, limit=1) for _ in range(2 if page.lines else 1))
    return all(not each.lines and each.cursor == page.cursor for each in following)


def has_group(name: str) -> bool:
    """Whether there is a log group of this name. Raises Rejected if the look is denied.

    The answer is sorted by name (DescribeLogGroups in the API reference), so of all names that
    begin with this one it comes first.
    """
    with calling("CloudWatch Logs DescribeLogGroups"):
        answer = client("logs").describe_log_groups(logGroupNamePrefix=name, limit=1)
    return [each["logGroupName"] for each in answer["logGroups"]] == [name]


def tail(stream: LogStream, *, limit: int) -> list[str]:
    """The last `limit` lines of a stream, oldest first. Raises Rejected."""
    answer = _events(stream, startFromHead=False, limit=limit)
    if not answer["events"]:
        # An empty page may have more before it (GetLogEvents in the API reference).
        token = answer["nextBackwardToken"]
        answer = _events(stream, startFromHead=False, limit=limit, nextToken=token)
    return [
        line for event in answer["events"] for line in event["message"].rstrip("\n").split("\n")
    ]


def _lines(answer: Any) -> list[LogLine]:
    return [LogLine(event["timestamp"], event["message"]) for event in answer["events"]]


def _events(stream: LogStream, **options: Any) -> Any:
    with calling("CloudWatch Logs GetLogEvents"):
        return client("logs").get_log_events(
            logGroupName=stream.group, logStreamName=stream.name, **options
        )
