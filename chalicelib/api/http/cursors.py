"""Cursors: the position in a list where the next page starts, sealed with the list's name.

In another list the same position would silently skip or repeat rows, so `unseal` refuses a cursor
of another list. The seal is a short digest without a secret, so it only prevents mistakes. A forged
cursor gives no access: every page is authorised, and the cursor only selects a position in it.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

EXPECTED = "a next_cursor of this list, with the same filters"
_SEAL_BYTES = 6  # a cursor of another list passes by chance once in 2**48


def name_of(path: str, filters: Mapping[str, Any]) -> str:
    """The name of a list: its path with its ids, and its filters."""
    used = [f"{name}={value}" for name, value in sorted(filters.items()) if value is not None]
    return f"{path}?{'&'.join(used)}"


def seal(position: str, list_name: str) -> str:
    """The cursor of a position in a list."""
    return base64.urlsafe_b64encode(_digest(list_name) + position.encode()).rstrip(b"=").decode()


def unseal(cursor: str, list_name: str) -> str:
    """The position in a cursor; raises ValueError unless the cursor belongs to this list."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        position = base64.urlsafe_b64decode(padded)[_SEAL_BYTES:].decode()
        is_valid = seal(position, list_name) == cursor
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError(EXPECTED)
    return position


def _digest(list_name: str) -> bytes:
    return hashlib.sha256(list_name.encode()).digest()[:_SEAL_BYTES]
