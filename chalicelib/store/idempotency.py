"""Idempotency keys: a request with a key is processed once, even if it is sent again.

The transaction that does the work also writes the key's outcome.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from chalicelib import clock
from chalicelib.errors import Conflict
from chalicelib.store.models import Receipt
from chalicelib.store.reads import find
from chalicelib.store.receipts import has_expired
from chalicelib.store.writes import Write, change, create

KEEP_KEYS = timedelta(hours=24)


class IdempotencyKey:
    """The `key` of a request ("POST /v1/projects") with a body, sent with the token `token`."""

    def __init__(self, *, token: int, request: str, key: str, body: bytes) -> None:
        used = f"{token} {request} {key}"
        self._id = f"key:{hashlib.sha256(used.encode()).hexdigest()}"
        self._body = hashlib.sha256(body).hexdigest()
        self._expired: Receipt | None = None
        self._tried = False

    def find(self) -> int | None:
        """The number of the resource that an earlier request created; None for a new key.

        Raises Conflict (idempotency_key_reused) if the earlier request had another body.
        """
        receipt = find(Receipt, self._id)
        if receipt is None:
            return None
        if has_expired(receipt):
            self._expired = receipt
            return None
        if receipt.outcome["body"] != self._body:
            raise Conflict(
                "this key was used with another body; use a new key for a new request",
                code="idempotency_key_reused",
                field="Idempotency-Key",
            )
        return int(receipt.outcome["made"])

    def record(self, made: int) -> Write:
        """Store the number of the resource that the request created.

        If two requests use one key at the same time, the second commit fails. Its next try raises
        Conflict (idempotency_key_used), because no further try can succeed.
        """
        if self._tried and self.find() is not None:
            raise Conflict(
                "another request with this key was faster; send this one again for its answer",
                code="idempotency_key_used",
                field="Idempotency-Key",
            )
        self._tried = True
        outcome = {"body": self._body, "made": made}
        until = datetime.fromtimestamp(clock.now(), UTC) + KEEP_KEYS
        if self._expired is not None:
            return change(self._expired, outcome=outcome, expires_at=until)
        row = Receipt(self._id, created_at=clock.now(), expires_at=until, outcome=outcome)
        return create(row)


def record_key(key: IdempotencyKey | None, made: int) -> tuple[Write, ...]:
    """The write for a request with a key; none for a request without one."""
    return () if key is None else (key.record(made),)
