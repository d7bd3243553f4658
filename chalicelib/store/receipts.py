"""Receipts of deliveries: each delivery has one row for each audience that may see it.

An audience is the whole installation, a project or a service. Its row contains only the verdicts
that it may see, so no list or record shows other services. No decision depends on these rows: the
id of a delivery is not signed, and GitHub uses one id for several webhooks. The builds that a push
has started are in another receipt, that of the push.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from pynamodb.expressions.condition import size

from chalicelib import clock
from chalicelib.domain.deliveries import Verdict, merged
from chalicelib.errors import NotFound
from chalicelib.store.models import Receipt
from chalicelib.store.reads import Page, find, page
from chalicelib.store.writes import Write

# Much longer than the three days in which GitHub allows redeliveries.
KEEP_DELIVERIES = timedelta(days=30)
# This many verdicts fit into a DynamoDB row (400 KB), and a repository has at most 100 followers.
MAX_VERDICTS = 200
_VERDICTS = msgspec.json.Decoder(list[Verdict])


def audience(*, project_id: int | None = None, service_id: int | None = None) -> str:
    """The id of the audience that sees a service, a project, or all."""
    if service_id is not None:
        return f"service-{service_id}"
    return "all" if project_id is None else f"project-{project_id}"


def note_delivery(
    delivery: str, facts: Mapping[str, Any], verdicts: Collection[Verdict], *, replace: bool
) -> list[Write]:
    """The writes that record a delivery: for all, then projects, then services, builds first.

    Each write counts the delivery and adds verdicts, on condition that the row has room for them.
    With `replace` the `facts` replace those of an earlier delivery with the same id; otherwise the
    earlier ones stay. A service's row always takes the new facts.
    """
    at, now = clock.microseconds(), clock.now()

    def note(
        audience_id: str, verdicts: Iterable[Verdict], facts: Mapping[str, Any], *, newest: bool
    ) -> Write:
        added = {msgspec.json.encode(each).decode() for each in verdicts}
        return Write(
            Receipt(_row_id(audience_id, delivery)),
            actions=(
                Receipt.listed.set(audience_id),
                Receipt.received.set(at),
                Receipt.created_at.set(Receipt.created_at | now),
                Receipt.expires_at.set(datetime.fromtimestamp(now, UTC) + KEEP_DELIVERIES),
                Receipt.times.add(1),
                Receipt.outcome.set(facts if newest else Receipt.outcome | facts),
                *([Receipt.verdicts.add(added)] if added else []),
            ),
            condition=Receipt.verdicts.does_not_exist() | (size(Receipt.verdicts) < MAX_VERDICTS),
            versioned=False,
        )

    all_facts = {"delivery": delivery, **facts}
    facts_without_reason = {**all_facts, "reason": ""}
    services: dict[str, list[Verdict]] = {}
    projects: dict[str, list[Verdict]] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.build_id is None):
        services[audience(service_id=verdict.service_id)] = [verdict]
        projects.setdefault(audience(project_id=verdict.project_id), []).append(verdict)
    return [
        note(audience(), verdicts, all_facts, newest=replace),
        *(
            note(audience_id, visible, facts_without_reason, newest=replace)
            for audience_id, visible in projects.items()
        ),
        *(
            note(audience_id, visible, facts_without_reason, newest=True)
            for audience_id, visible in services.items()
        ),
    ]


def verdicts_of(row: Receipt) -> list[Verdict]:
    """The verdict of a delivery for each service that the row's audience sees."""
    # In one call: a page of deliveries can have thousands of verdicts.
    return merged(_VERDICTS.decode(f"[{','.join(row.verdicts or ())}]"))


def get_delivery(audience_id: str, delivery: str) -> Receipt:
    """The row of a delivery as an audience sees it; raises NotFound."""
    row = find(Receipt, _row_id(audience_id, delivery))
    if row is None or has_expired(row):
        raise no_delivery()
    return row


def no_delivery() -> NotFound:
    """The error for a missing or hidden delivery."""
    return NotFound("there is no such delivery, or it came more than 30 days ago")


def list_deliveries(audience_id: str, *, limit: int, before: int | None) -> Page[Receipt]:
    """A page of the deliveries that an audience sees, the last received first."""
    found = page(Receipt.delivery_index, audience_id, Receipt.received, limit=limit, before=before)
    return Page([row for row in found.rows if not has_expired(row)], found.before)


def has_expired(receipt: Receipt) -> bool:
    """Whether a receipt has expired. DynamoDB deletes expired rows up to two days late."""
    return bool(receipt.expires_at.timestamp() <= clock.now())


def _row_id(audience_id: str, delivery: str) -> str:
    return f"delivery:{audience_id}:{delivery}"
