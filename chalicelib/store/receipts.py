"""Receipts: what arrived and what came of it, until it expires.

Deliveries of webhooks have a row each, which says what was decided and decides nothing: their ids
are not signed, so what a push has started is known by a receipt of its own. Whoever sees but a part
has rows that list the deliveries they are shown, so that their list tells nothing of what others
received, not even that it was passed over.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib import clock
from chalicelib.errors import NotFound
from chalicelib.store.models import Receipt
from chalicelib.store.moves import Action, Move
from chalicelib.store.reads import Page, find, find_all, page

# GitHub redelivers for three days; longer than that and to spare.
KEEP_DELIVERIES = timedelta(days=30)
_ALL = "delivery"


def audience(*, project_id: int | None, service_id: int | None) -> str:
    """Whose list of deliveries it is: a service's, a project's, or the one of all."""
    if service_id is not None:
        return f"service-{service_id}"
    return _ALL if project_id is None else f"project-{project_id}"


def note_delivery(
    delivery: str,
    outcome: Mapping[str, Any],
    *,
    before: Receipt | None,
    news: bool,
    audiences: Iterable[str],
) -> list[Move]:
    """Write what a delivery led to, and count it; list it for each audience.

    `before` is the row that there is of it. With `news` that must still be as it was read; without,
    whoever is faster does no harm.
    """
    at, now = clock.microseconds(), clock.now()
    trace = (
        *_listed(_ALL, at, now),
        Receipt.times.add(1),
        Receipt.outcome.set({"delivery": delivery, **outcome}),
    )
    row = Receipt(_row_id(delivery)) if before is None else before
    return [
        Move(row, trace, unless_moved=news),
        *(
            Move(
                Receipt(f"listed:{each}:{delivery}"),
                (*_listed(each, at, now), Receipt.outcome.set({"delivery": delivery})),
                unless_moved=False,
            )
            for each in audiences
        ),
    ]


def find_delivery(delivery: str) -> Receipt | None:
    """The row of a delivery as it is now, or None."""
    return find(Receipt, _row_id(delivery))


def get_delivery(delivery: str) -> Receipt:
    """The row of a delivery; raises NotFound."""
    row = find_delivery(delivery)
    if row is None or is_over(row):
        raise no_delivery()
    return row


def no_delivery() -> NotFound:
    """What to raise for a delivery that is not there."""
    return NotFound("there is no such delivery, or it came more than 30 days ago")


def list_deliveries(audience: str, *, limit: int, before: int | None) -> Page[Receipt]:
    """A page of the deliveries that an audience is shown, the one received last first."""
    found = page(Receipt.delivery_index, audience, Receipt.received, limit=limit, before=before)
    rows = found.rows
    if audience != _ALL:
        keys = [_row_id(row.outcome["delivery"]) for row in rows]
        noted = find_all(Receipt, keys)
        rows = [noted[key] for key in keys if key in noted]
    return Page([row for row in rows if not is_over(row)], found.before)


def is_over(receipt: Receipt) -> bool:
    """Whether a receipt has expired: DynamoDB deletes such rows up to two days late."""
    return bool(receipt.expires_at.timestamp() <= clock.now())


def _listed(audience: str, at: int, now: int) -> tuple[Action, ...]:
    return (
        Receipt.listed.set(audience),
        Receipt.received.set(at),
        Receipt.created_at.set(Receipt.created_at | now),
        Receipt.expires_at.set(datetime.fromtimestamp(now, UTC) + KEEP_DELIVERIES),
    )


def _row_id(delivery: str) -> str:
    return f"delivery:{delivery}"
