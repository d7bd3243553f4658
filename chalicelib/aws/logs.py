"""CloudWatch Logs: logs of builds and of containers, and whether log groups exist."""

from dataclasses import dataclass
from typing import Any

from chalicelib.aws.clients import calling, client
from chalicelib.domain.log_streams import LogStream
from chalicelib.errors import InvalidInput, Rejected


@dataclass(frozen=True)
class LogLine:
    """One line: `at` is milliseconds since 1970."""

    at: int
    message: str


@dataclass(frozen=True)
class LogPage:
    """Lines, and the cursor of the next page; it is unchanged if there are no new lines.

    `missing`: CloudWatch has no such log stream.
    """

    lines: list[LogLine]
    cursor: str | None
    missing: bool = False


def read(stream: LogStream, *, cursor: str | None, limit: int) -> LogPage:
    """Lines of a stream, oldest first. A missing stream is an empty page.

    At the end of a stream CloudWatch returns the same forward token again, so a client can follow
    the log with the cursor. A page may be empty while more follow (GetLogEvents in the API
    reference). Raises InvalidInput for a cursor of another log.
    """
    token = {"nextToken": cursor} if cursor else {}
    try:
        answer = _events(stream, startFromHead=True, limit=limit, **token)
    except Rejected as error:
        if error.code == "ResourceNotFoundException":
            return LogPage([], cursor, missing=True)
        if error.code == "InvalidParameterException" and cursor:
            raise InvalidInput(
                "the cursor does not come from this log", code="invalid_cursor", field="cursor"
            ) from error
        raise
    lines = [LogLine(event["timestamp"], event["message"]) for event in answer["events"]]
    return LogPage(lines, answer["nextForwardToken"])


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


def _events(stream: LogStream, **options: Any) -> Any:
    with calling("CloudWatch Logs GetLogEvents"):
        return client("logs").get_log_events(
            logGroupName=stream.group, logStreamName=stream.name, **options
        )
