"""The embedded cloud's clock: real time plus an offset. Tests advance it instead of waiting."""

import time
from typing import Any

_offset = 0.0


def now() -> float:
    """Seconds since the epoch in the embedded cloud."""
    return time.time() + _offset


def advance(seconds: float) -> None:
    """Move the clock forward."""
    global _offset
    _offset += seconds


def reset() -> None:
    """Return to real time."""
    global _offset
    _offset = 0.0


def forget_old(entries: dict[str, Any], lifetime: float) -> None:
    """Remove the entries that were made `lifetime` seconds ago. Each begins with its time."""
    while entries:
        oldest = next(iter(entries))
        if now() - entries[oldest][0] < lifetime:
            return
        del entries[oldest]
