"""Cursors: where to go on in a list, sealed with which list that is.

A cursor of another list would be read as a place in this one and lose or repeat rows without a
word, so it is refused. The seal is a short digest and no secret: it guards against mistakes.
Against malice stands authorisation, which is asked on every page; whoever forges a cursor gets to
a place in a list that they may read anyway.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

EARLIER = "the next_cursor of an earlier answer of this very list"
_SEAL_BYTES = 6  # one mix-up in 2**48 goes unnoticed


def name_of(path: str, filters: Mapping[str, Any]) -> str:
    """What a list is called: its path with its ids, and what was chosen from it."""
    chosen = [f"{name}={value}" for name, value in sorted(filters.items()) if value is not None]
    return f"{path}?{'&'.join(chosen)}"


def seal(place: str, of: str) -> str:
    """The cursor for a `place` in the list that is called `of`."""
    return base64.urlsafe_b64encode(_digest(of) + place.encode()).rstrip(b"=").decode()


def unseal(cursor: str, of: str) -> str:
    """The place that a cursor names; raises ValueError unless `seal` made it for this list."""
    try:
        place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[_SEAL_BYTES:].decode()
        is_ours = seal(place, of) == cursor
    except ValueError:
        is_ours = False
    if not is_ours:
        raise ValueError(EARLIER)
    return place


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:_SEAL_BYTES]
