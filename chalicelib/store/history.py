"""The audit trail: a row for each change, written in the transaction that makes the change."""

import secrets
from typing import Any

from chalicelib.store.models import History
from chalicelib.store.moves import Move, create


def record(
    subject: str,
    action: str,
    *,
    at: int,
    actor: str,
    project_id: int,
    service_id: int | None = None,
    **details: Any,
) -> Move:
    """Who did what to `subject` ("service-7", "build-12"); `details` must hold no secret."""
    return create(
        History(
            subject,
            f"{at:011d}#{secrets.token_hex(4)}",
            at=at,
            actor=actor,
            action=action,
            project_id=project_id,
            service_id=service_id,
            details=details,
        )
    )
