"""The audit trail: a row for each change, written in the transaction of the change."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec
from pynamodb.indexes import Index

from chalicelib import clock
from chalicelib.store.models import LISTED, History
from chalicelib.store.reads import Page, page
from chalicelib.store.writes import Write, create


class Origin(msgspec.Struct, frozen=True):
    """The origin of a request: the number of its token, and the sender's IP address."""

    token_id: int | None = None
    address: str | None = None


_origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 - it is frozen


@contextmanager
def asked_from(origin: Origin) -> Iterator[None]:
    """Set the origin of the audit entries that the block makes."""
    before = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(before)


def record(
    subject: str,
    action: str,
    *,
    at: int,
    actor: str,
    project_id: int | None = None,
    service_id: int | None = None,
    **details: Any,
) -> Write:
    """An audit entry on `subject` ("service-7", "build-12"). `details` must not contain secrets."""
    origin = _origin.get()
    sequence = clock.microseconds()
    return create(
        History(
            subject,
            f"{sequence:017d}#{secrets.token_hex(4)}",
            sequence=sequence,
            at=at,
            actor=actor,
            token_id=origin.token_id,
            address=origin.address,
            action=action,
            project_id=project_id,
            service_id=service_id,
            details=details,
        )
    )


def list_history(
    *,
    project_id: int | None,
    service_id: int | None,
    limit: int,
    before: int | None,
) -> Page[History]:
    """A page of the audit trail of a service, of a project with its services, or of all."""
    index: Index[History] = History.all_index
    key: int | str = LISTED
    if service_id is not None:
        index, key = History.service_index, service_id
    elif project_id is not None:
        index, key = History.project_index, project_id
    return page(index, key, History.sequence, limit=limit, before=before)
