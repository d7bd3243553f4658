"""Requests that are done once, however often they are sent: a key of the caller's names each.

What a key led to is written in the transaction that does it, so neither is there without the other.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from chalicelib import clock
from chalicelib.errors import Conflict
from chalicelib.store.models import Receipt
from chalicelib.store.moves import Move, change, create
from chalicelib.store.reads import find
from chalicelib.store.receipts import is_over

KEEP_KEYS = timedelta(hours=24)


class Once:
    """One use of `key` by the holder of a token, for `request` ("POST /v1/projects") and a body."""

    def __init__(self, *, token: int, request: str, key: str, body: bytes) -> None:
        used = f"{token} {request} {key}"
        self._id = f"key:{hashlib.sha256(used.encode()).hexdigest()}"
        self._body = hashlib.sha256(body).hexdigest()
        self._expired: Receipt | None = None

    def recall(self) -> int | None:
        """The number of what this request made before; None where it is new.

        Raises Conflict (idempotency_key_reused) where the key came with another body.
        """
        receipt = find(Receipt, self._id)
        if receipt is None:
            return None
        if is_over(receipt):
            self._expired = receipt
            return None
        if receipt.outcome["body"] != self._body:
            raise Conflict(
                "this key came with another body before; a new request needs a new key",
                code="idempotency_key_reused",
                field="Idempotency-Key",
            )
        return int(receipt.outcome["made"])

    def remember(self, made: int) -> Move:
        """Note what the request made; of two that use one key at once, one cannot be committed."""
        outcome = {"body": self._body, "made": made}
        until = datetime.fromtimestamp(clock.now(), UTC) + KEEP_KEYS
        if self._expired is not None:
            renewed = (Receipt.outcome.set(outcome), Receipt.expires_at.set(until))
            return change(self._expired, *renewed)
        row = Receipt(self._id, created_at=clock.now(), expires_at=until, outcome=outcome)
        return create(row)


def remembered(once: Once | None, made: int) -> tuple[Move, ...]:
    """The move of a request that has a key, and none of one that has not."""
    return () if once is None else (once.remember(made),)
