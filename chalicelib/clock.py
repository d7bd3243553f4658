"""The time, from one place, so that tests can move it."""

import time
from datetime import UTC, datetime


def now() -> int:
    """Whole seconds since 1970, the unit of every time in a row."""
    return int(time.time())


def microseconds() -> int:
    """Since 1970: the place of something that happens now in a list that is ordered by time.

    Below 2**53 until the year 2255, so that no reader of JSON rounds it.
    """
    return time.time_ns() // 1000


def rfc3339(seconds: int | float | None) -> str | None:
    """`2026-11-22T22:34:44Z` for people and programs; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
