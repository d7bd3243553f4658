"""Deliveries of GitHub's webhook: the builds that they started, or the reason for none."""

from collections.abc import Sequence

import msgspec

from chalicelib.access import Principal, list_deliveries, load_delivery
from chalicelib.api import views
from chalicelib.api.http.endpoints import Routes
from chalicelib.api.http.parameters import CURSOR, LIMIT
from chalicelib.domain.deliveries import Outcome, Verdict, outcome_of
from chalicelib.domain.timing import rfc3339
from chalicelib.domain.tokens import Role
from chalicelib.store.models import Receipt
from chalicelib.store.receipts import verdicts_of

routes = Routes(__name__)


class ServiceVerdict(msgspec.Struct):
    """The result of a delivery for one service that follows the repository."""

    service_id: int
    outcome: Outcome
    build_id: int | None
    reason: str


class Delivery(msgspec.Struct, kw_only=True):
    """All deliveries with one X-GitHub-Delivery, and their result for the services you can see.
    `reason` says why no build was started. Each service has its own reason. With
    `found_after_seconds` it is a push that Slipway found at GitHub so many seconds after it was
    pushed, before any delivery of it came. Of a `pull_request`, `pull_request` is its number, `ref`
    and `sha` are its branch and head commit, and `pushed_at` is the time of the event.
    """

    id: str
    event: str
    outcome: Outcome
    reason: str | None
    repository: str | None
    ref: str | None
    sha: str | None
    pull_request: int | None
    sender: str | None
    services: list[ServiceVerdict]
    times_received: int
    pushed_at: str | None
    found_after_seconds: int | None
    first_received_at: str | None
    last_received_at: str | None


@routes.endpoint(
    "GET",
    "/v1/webhooks/github/deliveries",
    role=Role.VIEWER,
    query=(LIMIT, CURSOR),
    answer=views.Page[Delivery],
)
def list_all_deliveries(caller: Principal, limit: int, cursor: int | None) -> views.Page[Delivery]:
    """List the deliveries of the last 30 days, latest first."""
    found = list_deliveries(caller, limit=limit, before=cursor)
    return views.page(found.rows, found.before, _shown)


@routes.endpoint(
    "GET",
    "/v1/webhooks/github/deliveries/{delivery_id}",
    role=Role.VIEWER,
    answer=Delivery,
    is_tagged=True,
)
def get_delivery(caller: Principal, delivery_id: str) -> Delivery:
    """Show the result of a delivery by its X-GitHub-Delivery."""
    return _shown(load_delivery(caller, delivery_id))


def _shown(row: Receipt) -> Delivery:
    facts, verdicts = row.outcome, verdicts_of(row)
    outcome = outcome_of(verdicts)
    return Delivery(
        id=facts["delivery"],
        event=facts["event"],
        outcome=outcome,
        reason=views.text(facts["reason"]) or None if outcome == Outcome.IGNORED else None,
        repository=facts.get("repository"),
        ref=views.text(facts.get("ref")),
        sha=facts.get("sha"),
        pull_request=facts.get("pull_request"),
        sender=views.text(facts.get("sender")),
        services=service_verdicts(verdicts),
        times_received=row.times or 0,
        pushed_at=rfc3339(facts.get("pushed_at")),
        found_after_seconds=facts.get("found_after"),
        first_received_at=rfc3339(row.created_at),
        last_received_at=rfc3339((row.received or 0) // 1_000_000),
    )


def service_verdicts(verdicts: Sequence[Verdict]) -> list[ServiceVerdict]:
    """The results of a delivery for services, as the API shows them."""
    reasons = views.each_text(verdict.reason for verdict in verdicts)
    return [
        ServiceVerdict(verdict.service_id, verdict.outcome, verdict.build_id, reason)
        for verdict, reason in zip(verdicts, reasons, strict=True)
    ]
