"""Build logs, read from CloudWatch a page at a time."""

from dataclasses import dataclass

from chalicelib.aws.clients import calling, client
from chalicelib.errors import InvalidInput, Rejected


@dataclass(frozen=True)
class LogLine:
    """One line: `at` is milliseconds since 1970."""

    at: int
    message: str


@dataclass(frozen=True)
class LogPage:
    """Some lines, and the cursor that reads on from there (the same again where nothing is new)."""

    lines: list[LogLine]
    cursor: str | None


def read(log_path: str, *, cursor: str | None, limit: int) -> LogPage:
    """Lines of `<log group>/<log stream>`, oldest first; a log not begun yet is an empty page.

    CloudWatch gives the same forward token again at the end of a stream, which makes it a cursor
    to follow with (GetLogEvents in its API reference). Raises InvalidInput for a bad cursor.
    """
    group, job, stream = log_path.rsplit("/", 2)  # a stream is `build-123/<uuid>`
    token = {"nextToken": cursor} if cursor else {}
    try:
        with calling("CloudWatch Logs GetLogEvents"):
            answer = client("logs").get_log_events(
                logGroupName=group,
                logStreamName=f"{job}/{stream}",
                startFromHead=True,
                limit=limit,
                **token,
            )
    except Rejected as error:
        if error.code == "ResourceNotFoundException":
            return LogPage([], cursor)
        if error.code == "InvalidParameterException" and cursor:
            raise InvalidInput(
                "cursor is not one that this log gave", code="invalid_cursor", field="cursor"
            ) from error
        raise
    lines = [LogLine(event["timestamp"], event["message"]) for event in answer["events"]]
    return LogPage(lines, answer["nextForwardToken"])
