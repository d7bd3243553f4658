"""Receipts: what arrived and what came of it, until it expires.

Deliveries of webhooks have a row each, which says what was decided and decides nothing: their ids
are not signed, so what a push has started is known by a receipt of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib import clock
from chalicelib.errors import NotFound
from chalicelib.store.models import Receipt
from chalicelib.store.moves import Move
from chalicelib.store.reads import Page, find, find_all, page

# GitHub redelivers for three days; longer than that and to spare.
KEEP_DELIVERIES = timedelta(days=30)
_ALL = "delivery"


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
            Receipt.listed.set(_ALL),
            Receipt.received.set(clock.microseconds()),
            Receipt.created_at.set(Receipt.created_at | now),
            Receipt.expires_at.set(datetime.fromtimestamp(now, UTC) + KEEP_DELIVERIES),
            Receipt.outcome.set(told if replace else Receipt.outcome | told),
        ),
        unless_moved=False,
    )


def list_delivery(delivery: str, audiences: Iterable[str]) -> Iterator[Move]:
    """Show a delivery in the list of each audience ("project-3", "service-7") from now on.

    Each has rows of its own, so that a list of theirs shows nothing of what others received, not
    even that it was passed over. Lists leave out what was never noted.
    """
    now = clock.now()
    for audience in audiences:
        yield Move(
            Receipt(f"listed:{audience}:{delivery}"),
            (
                Receipt.listed.set(audience),
                Receipt.received.set(clock.microseconds()),
                Receipt.created_at.set(Receipt.created_at | now),
                Receipt.expires_at.set(datetime.fromtimestamp(now, UTC) + KEEP_DELIVERIES),
                Receipt.outcome.set({"delivery": delivery}),
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


def list_deliveries(audience: str | None, *, limit: int, before: int | None) -> Page[Receipt]:
    """A page of the deliveries that an audience is shown, or of all; the last received first."""
    found = page(
        Receipt.delivery_index, audience or _ALL, Receipt.received, limit=limit, before=before
    )
    rows = found.rows
    if audience is not None:
        keys = [_row_id(row.outcome["delivery"]) for row in rows]
        noted = find_all(Receipt, keys)
        rows = [noted[key] for key in keys if key in noted]
    return Page([row for row in rows if not is_over(row)], found.before)


def is_over(receipt: Receipt) -> bool:
    """Whether a receipt has expired: DynamoDB deletes such rows up to two days late."""
    return bool(receipt.expires_at.timestamp() <= clock.now())


def _row_id(delivery: str) -> str:
    return f"delivery:{delivery}"
