"""Build logs, read from CloudWatch in pages."""

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
    """Lines, and the cursor of the next page; it is unchanged if there are no new lines."""

    lines: list[LogLine]
    cursor: str | None


def read(log_path: str, *, cursor: str | None, limit: int) -> LogPage:
    """Lines of `<log group>/<log stream>`, oldest first. A missing stream is an empty page.

    At the end of a stream CloudWatch returns the same forward token again (GetLogEvents in its API
    reference), so a client can follow the log with the cursor. Raises InvalidInput for a bad one.
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
                "the cursor does not come from this log", code="invalid_cursor", field="cursor"
            ) from error
        raise
    lines = [LogLine(event["timestamp"], event["message"]) for event in answer["events"]]
    return LogPage(lines, answer["nextForwardToken"])
