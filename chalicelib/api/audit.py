"""The audit trail: the actor, the address and the details of each change."""

from typing import Any

import msgspec

from chalicelib.access import Principal, list_history
from chalicelib.api import views
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import ACTOR, CURSOR, LIMIT, PROJECT, SERVICE
from chalicelib.domain.timing import rfc3339
from chalicelib.domain.tokens import Role
from chalicelib.store.models import History

routes = Routes(__name__)


class Entry(msgspec.Struct, kw_only=True):
    """One change. `token_id` and `address` are null when Slipway itself made the change."""

    id: str
    at: str | None
    actor: str
    token_id: int | None
    address: str | None
    action: str
    subject: str
    project_id: int | None
    service_id: int | None
    details: dict[str, Any]


@routes.endpoint(
    "GET",
    "/v1/audit",
    role=Role.VIEWER,
    query=(PROJECT, SERVICE, ACTOR, LIMIT, CURSOR),
    answer=views.Page[Entry],
    documented=Documented(errors=(403, 404)),
)
def list_audit_trail(
    caller: Principal,
    project_id: int | None,
    service_id: int | None,
    actor: str | None,
    limit: int,
    cursor: int | None,
) -> views.Page[Entry]:
    """List the audit trail, newest first: of a project, of a service, or of everything."""
    found = list_history(
        caller, project_id=project_id, service_id=service_id, limit=limit, before=cursor
    )
    page = views.page(found.rows, found.before, _shown)
    page.items = [entry for entry in page.items if actor in {None, entry.actor}]
    return page


def _shown(row: History) -> Entry:
    return Entry(
        id=row.key,
        at=rfc3339(row.at),
        actor=views.text(row.actor),
        token_id=row.token_id,
        address=row.address,
        action=row.action,
        subject=row.subject,
        project_id=row.project_id,
        service_id=row.service_id,
        details=views.texts(row.details),
    )
