"""The current time. Tests can set it here."""

import time
from datetime import UTC, datetime


def now() -> int:
    """Whole seconds since 1970, the unit of all times in rows."""
    return int(time.time())


def microseconds() -> int:
    """Microseconds since 1970, to order lists by time.

    They are below 2**53 until the year 2255, so that JSON parsers do not round them.
    """
    return time.time_ns() // 1000


def rfc3339(seconds: int | float | None) -> str | None:
    """The time as `2026-11-22T22:34:44Z`; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
