"""Idempotency keys: a request that names one is done once, however often it is sent.

The key's outcome is written in the transaction that does the work, so neither exists without the
other.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from chalicelib import clock
from chalicelib.errors import Conflict
from chalicelib.store.models import Receipt
from chalicelib.store.reads import find
from chalicelib.store.receipts import is_over
from chalicelib.store.writes import Write, change, create

KEEP_KEYS = timedelta(hours=24)


class IdempotencyKey:
    """A `key` that the owner of a token sent with a request ("POST /v1/projects") and a body."""

    def __init__(self, *, token: int, request: str, key: str, body: bytes) -> None:
        used = f"{token} {request} {key}"
        self._id = f"key:{hashlib.sha256(used.encode()).hexdigest()}"
        self._body = hashlib.sha256(body).hexdigest()
        self._expired: Receipt | None = None

    def find(self) -> int | None:
        """The number of what an earlier request with this key made; None for a new key.

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
                "this key came with another body before; send a new key with a new request",
                code="idempotency_key_reused",
                field="Idempotency-Key",
            )
        return int(receipt.outcome["made"])

    def record(self, made: int) -> Write:
        """Store the number of what the request made.

        Of two requests with one key at the same time, the second commit fails.
        """
        outcome = {"body": self._body, "made": made}
        until = datetime.fromtimestamp(clock.now(), UTC) + KEEP_KEYS
        if self._expired is not None:
            return change(self._expired, outcome=outcome, expires_at=until)
        row = Receipt(self._id, created_at=clock.now(), expires_at=until, outcome=outcome)
        return create(row)


def record_key(key: IdempotencyKey | None, made: int) -> tuple[Write, ...]:
    """The write for a request that sent a key; none for a request without one."""
    return () if key is None else (key.record(made),)
