"""The cause of each log line: the request, message or event that is processed.

Each record of the logger "slipway" gets its cause as additional attributes. Lambda's JSON log
format shows such attributes as fields ("Using structured JSON logs with Python" in the AWS Lambda
developer guide).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_cause: ContextVar[Mapping[str, str | None] | None] = ContextVar("cause", default=None)


@contextmanager
def working_on(**cause: str | None) -> Iterator[None]:
    """Set the cause of log lines inside the block: `working_on(request_id="r-1")`."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


def _stamp(record: logging.LogRecord) -> bool:
    record.__dict__.update(_cause.get() or {})
    return True


logging.getLogger("slipway").addFilter(_stamp)
