"""How long an HTTP caller is kept waiting: an answer comes before anybody hangs up.

GitHub waits ten seconds for the answer to a delivery. The budget is looked at before each call to
AWS, so that what was not begun is refused and nothing is half-done.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from chalicelib.errors import Unavailable

# A call begun at the last moment may take five more: two tries, a second each to connect and read,
# and up to a second between them.
HTTP_SECONDS = 4.0

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let calls to AWS begin for this long; outside of any budget they always may."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


def is_limited() -> bool:
    """Whether somebody waits for the answer."""
    return _ends_at.get() is not None


def check() -> None:
    """Raises Unavailable once the time is up."""
    ends_at = _ends_at.get()
    if ends_at is not None and time.monotonic() > ends_at:
        raise Unavailable("AWS is slow to answer; try again")
