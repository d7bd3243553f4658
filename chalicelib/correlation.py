"""The cause of each log line: the request, message or event, and the row that is worked on.

Each record of the logger "slipway" gets its cause as additional attributes. Lambda's JSON log
format shows such attributes as fields ("Using structured JSON logs with Python" in the AWS Lambda
developer guide).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_cause: ContextVar[dict[str, Any] | None] = ContextVar("cause", default=None)


@contextmanager
def working_on(**cause: Any) -> Iterator[None]:
    """Add to the cause of log lines inside the block: `working_on(request_id="r-1")`."""
    token = _cause.set({**(_cause.get() or {}), **cause})
    try:
        yield
    finally:
        _cause.reset(token)


def note(**facts: Any) -> None:
    """Add facts that became known to the cause of the present block."""
    cause = _cause.get()
    if cause is not None:
        cause.update(facts)


def _stamp(record: logging.LogRecord) -> bool:
    for name, value in (_cause.get() or {}).items():
        record.__dict__.setdefault(name, value)  # what a line says itself is closer
    return True


logging.getLogger("slipway").addFilter(_stamp)
