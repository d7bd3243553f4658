"""The current time. Tests can set it here."""

import time


def now() -> int:
    """Whole seconds since 1970, the unit of all times in rows."""
    return int(time.time())


def microseconds() -> int:
    """Microseconds since 1970, to order lists by time.

    They are below 2**53 until the year 2255, so that JSON parsers do not round them.
    """
    return time.time_ns() // 1000
