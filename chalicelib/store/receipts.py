"""Receipts: what arrived and what came of it, until it expires.

Deliveries of webhooks have a row each, which says what was decided and decides nothing: their ids
are not signed, so what a push has started is known by a receipt of its own.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib import clock
from chalicelib.errors import NotFound
from chalicelib.store.models import Receipt
from chalicelib.store.moves import Move
from chalicelib.store.reads import Page, find, page

# GitHub redelivers for three days; longer than that and to spare.
KEEP_DELIVERIES = timedelta(days=30)
_LISTED = "delivery"


def note_delivery(delivery: str, outcome: Mapping[str, Any], *, replace: bool) -> Move:
    """Write what a delivery led to; one that came before is counted.

    It shows the newest if it is to `replace` what was there, otherwise the first: the id of a
    delivery is not signed.
    """
    now = clock.now()
    told = {"delivery": delivery, **outcome}
    return Move(
        Receipt(_row_id(delivery)),
        (
            Receipt.times.add(1),
            Receipt.listed.set(_LISTED),
            Receipt.received.set(clock.microseconds()),
            Receipt.created_at.set(Receipt.created_at | now),
            Receipt.expires_at.set(datetime.fromtimestamp(now, UTC) + KEEP_DELIVERIES),
            Receipt.outcome.set(told if replace else Receipt.outcome | told),
        ),
        unless_moved=False,
    )


def get_delivery(delivery: str) -> Receipt:
    """The row of a delivery; raises NotFound."""
    row = find(Receipt, _row_id(delivery))
    if row is None or is_over(row):
        raise no_delivery()
    return row


def no_delivery() -> NotFound:
    """What to raise for a delivery that is not there."""
    return NotFound("there is no such delivery, or it came more than 30 days ago")


def list_deliveries(
    *, limit: int, before: int | None, keep: Callable[[Receipt], bool] | None = None
) -> Page[Receipt]:
    """A page of deliveries, the one received last first."""
    found = page(
        Receipt.delivery_index, _LISTED, Receipt.received, limit=limit, before=before, keep=keep
    )
    return Page([row for row in found.rows if not is_over(row)], found.before)


def is_over(receipt: Receipt) -> bool:
    """Whether a receipt has expired: DynamoDB deletes such rows up to two days late."""
    return bool(receipt.expires_at.timestamp() <= clock.now())


def _row_id(delivery: str) -> str:
    return f"delivery:{delivery}"
