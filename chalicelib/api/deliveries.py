"""What became of GitHub's deliveries: which services they meant, and what said no."""

import msgspec

from chalicelib.access import Principal, list_deliveries, load_delivery
from chalicelib.api import views
from chalicelib.api.parameters import CURSOR, LIMIT
from chalicelib.api.routing import Routes
from chalicelib.clock import rfc3339
from chalicelib.domain.tokens import Role
from chalicelib.store.models import Receipt

routes = Routes(__name__)


class Verdict(msgspec.Struct, kw_only=True):
    """What the delivery meant to one service that follows the repository."""

    service_id: int
    build_id: int | None
    reason: str


class Delivery(msgspec.Struct, kw_only=True):
    """A correctly signed delivery. `outcome` is "started", "duplicate" or "ignored"; where it came
    several times, that of the last time.
    """

    id: str
    event: str
    outcome: str
    reason: str | None
    repository: str | None
    ref: str | None
    sha: str | None
    sender: str | None
    services: list[Verdict]
    times_received: int
    pushed_at: str | None
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
    """List deliveries of the last 30 days, the newest first."""
    found = list_deliveries(caller, limit=limit, before=cursor)
    return views.page(found.rows, found.before, _shown)


@routes.endpoint(
    "GET", "/v1/webhooks/github/deliveries/{delivery_id}", role=Role.VIEWER, answer=Delivery
)
def get_delivery(caller: Principal, delivery_id: str) -> Delivery:
    """Show what a delivery led to, by its X-GitHub-Delivery."""
    return _shown(load_delivery(caller, delivery_id))


def _shown(row: Receipt) -> Delivery:
    told = row.outcome
    return Delivery(
        id=told["delivery"],
        event=told["event"],
        outcome=told["outcome"],
        reason=told["reason"] or None,
        repository=told.get("repository"),
        ref=told.get("ref"),
        sha=told.get("sha"),
        sender=told.get("sender"),
        services=msgspec.convert(told.get("services", []), list[Verdict]),
        times_received=row.times or 0,
        pushed_at=rfc3339(told.get("pushed_at")),
        first_received_at=rfc3339(row.created_at),
        last_received_at=rfc3339((row.received or 0) // 1_000_000),
    )
