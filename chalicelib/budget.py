"""The time budget of an HTTP request, so that it is answered before the caller's time-out.

GitHub waits ten seconds for the answer to a delivery. The budget is checked before each call to
AWS: when it is used up, no further call begins and no work is half done. Looks of preflight have a
part of it, also in a worker: the deployment does not depend on them.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from chalicelib.errors import Unavailable

# A call that begins at the last moment may take five more seconds: two tries, a second each to
# connect and to read, and up to a second between them.
HTTP_SECONDS = 4.0


class Budget(msgspec.Struct, frozen=True):
    """Calls to AWS may begin until `ends_at`, in seconds of the monotonic clock.

    Each has so many tries.
    """

    ends_at: float = math.inf
    tries: int = 2


_UNLIMITED = Budget()
_budget: ContextVar[Budget] = ContextVar("budget", default=_UNLIMITED)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Allow the block to begin calls to AWS for this long; without a budget there is no limit."""
    with spending(Budget(time.monotonic() + seconds)):
        yield


@contextmanager
def spending(part: Budget) -> Iterator[None]:
    """Allow the block to begin calls to AWS within a budget."""
    token = _budget.set(part)
    try:
        yield
    finally:
        _budget.reset(token)


def part(seconds: float, *, keep: float, tries: int) -> Budget:
    """The next `seconds`, but fewer if only `keep` of the budget would be left after them."""
    return Budget(time.monotonic() + min(seconds, left() - keep), tries)


def is_limited() -> bool:
    """Whether there is a budget: an HTTP caller waits for the answer, or a worker for looks."""
    return left() < math.inf


def left() -> float:
    """The seconds that are left; infinite without a budget."""
    return _budget.get().ends_at - time.monotonic()


def tries() -> int:
    """How often a call to AWS is tried."""
    return _budget.get().tries


def check() -> None:
    """Raise Unavailable if the budget is used up."""
    if left() < 0:
        raise Unavailable("AWS is slow to answer; try again")
