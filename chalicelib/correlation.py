"""What a log line belongs to: the request, message or event that is being worked on.

Each line of the logger "slipway" has the name of its cause as a field of its own, which Lambda's
JSON log format shows like every attribute of a record that is not logging's own ("Using structured
JSON logs with Python" in the AWS Lambda developer guide).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_cause: ContextVar[Mapping[str, str | None] | None] = ContextVar("cause", default=None)


@contextmanager
def working_on(**cause: str | None) -> Iterator[None]:
    """Name the cause of all that is logged inside the block: `working_on(request_id="r-1")`."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


def _stamp(record: logging.LogRecord) -> bool:
    record.__dict__.update(_cause.get() or {})
    return True


logging.getLogger("slipway").addFilter(_stamp)
