"""Receipts: what arrived and what came of it, until it expires.

What a delivery of the webhook led to is written once for each audience that may see it, with what
is theirs to see, so that nobody's list or record tells of others. It decides nothing: the id of a
delivery is not signed, and GitHub gives one id to what it delivers to several webhooks. What a push
has started is known by a receipt of its own.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from pynamodb.expressions.condition import size

from chalicelib import clock
from chalicelib.domain.deliveries import Outcome, Verdict, merged
from chalicelib.errors import NotFound
from chalicelib.store.models import Receipt
from chalicelib.store.reads import Page, find, page
from chalicelib.store.writes import Write

# GitHub redelivers for three days; longer than that and to spare.
KEEP_DELIVERIES = timedelta(days=30)
# A row has room for 400 KB: for so many verdicts, and as many as may follow a repository.
MAX_VERDICTS = 200


def audience(*, project_id: int | None = None, service_id: int | None = None) -> str:
    """Who sees a service, a project, or everything."""
    if service_id is not None:
        return f"service-{service_id}"
    return "all" if project_id is None else f"project-{project_id}"


def note_delivery(
    delivery: str, facts: Mapping[str, Any], verdicts: Collection[Verdict], *, replace: bool
) -> list[Write]:
    """Write what a delivery led to, for all, then projects, then services; builds first.

    Each time counts, and adds its verdicts, on the one condition that there is room for them. The
    `facts` are the newest if they are to `replace` what was there, and otherwise the first; to a
    service those of whoever may start it.
    """
    at, now = clock.microseconds(), clock.now()

    def note(who: str, seen: Iterable[Verdict], facts: Mapping[str, Any], *, newest: bool) -> Write:
        added = {json.dumps(asdict(each), ensure_ascii=False) for each in seen}
        return Write(
            Receipt(_row_id(who, delivery)),
            actions=(
                Receipt.listed.set(who),
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

    whole = {"delivery": delivery, **facts}
    part = {**whole, "reason": ""}
    services: dict[str, list[Verdict]] = {}
    projects: dict[str, list[Verdict]] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.build_id is None):
        services[audience(service_id=verdict.service_id)] = [verdict]
        projects.setdefault(audience(project_id=verdict.project_id), []).append(verdict)
    return [
        note(audience(), verdicts, whole, newest=replace),
        *(note(who, theirs, part, newest=replace) for who, theirs in projects.items()),
        *(note(who, theirs, part, newest=True) for who, theirs in services.items()),
    ]


def verdicts_of(row: Receipt) -> list[Verdict]:
    """What a delivery meant to each of the services that the row's audience sees."""
    said = (json.loads(verdict) for verdict in row.verdicts or ())
    return merged(Verdict(**{**each, "outcome": Outcome(each["outcome"])}) for each in said)


def get_delivery(who: str, delivery: str) -> Receipt:
    """The row of a delivery as an audience sees it; raises NotFound."""
    row = find(Receipt, _row_id(who, delivery))
    if row is None or is_over(row):
        raise no_delivery()
    return row


def no_delivery() -> NotFound:
    """What to raise for a delivery that is not there."""
    return NotFound("there is no such delivery, or it came more than 30 days ago")


def list_deliveries(who: str, *, limit: int, before: int | None) -> Page[Receipt]:
    """A page of the deliveries that an audience sees, the one received last first."""
    found = page(Receipt.delivery_index, who, Receipt.received, limit=limit, before=before)
    return Page([row for row in found.rows if not is_over(row)], found.before)


def is_over(receipt: Receipt) -> bool:
    """Whether a receipt has expired: DynamoDB deletes such rows up to two days late."""
    return bool(receipt.expires_at.timestamp() <= clock.now())


def _row_id(who: str, delivery: str) -> str:
    return f"delivery:{who}:{delivery}"
