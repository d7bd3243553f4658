"""The time budget of an HTTP request, so that it is answered before the caller's time-out.

GitHub waits ten seconds for the answer to a delivery. The budget is checked before each call to
AWS: when it is used up, no further call begins and no work is half done.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from chalicelib.errors import Unavailable

# A call that begins at the last moment may take five more seconds: two tries, a second each to
# connect and to read, and up to a second between them.
HTTP_SECONDS = 4.0

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Allow the block to begin calls to AWS for this long; without a budget there is no limit."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


def is_limited() -> bool:
    """Whether there is a budget: an HTTP caller waits for the answer."""
    return _ends_at.get() is not None


def left() -> float:
    """The seconds that are left; infinite without a budget."""
    ends_at = _ends_at.get()
    return math.inf if ends_at is None else ends_at - time.monotonic()


def check() -> None:
    """Raise Unavailable if the budget is used up."""
    if left() < 0:
        raise Unavailable("AWS is slow to answer; try again")
