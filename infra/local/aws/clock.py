"""The embedded cloud's clock: real time plus an offset, so that no test waits for a deadline."""

import time

_offset = 0.0


def now() -> float:
    """Seconds since the epoch, as the embedded cloud sees them."""
    return time.time() + _offset


def advance(seconds: float) -> None:
    """Move the clock forward."""
    global _offset
    _offset += seconds


def reset() -> None:
    """Back to real time."""
    global _offset
    _offset = 0.0
