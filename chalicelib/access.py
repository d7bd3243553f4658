"""Who asks, and what they may touch.

Of a token only its SHA-256 is kept. `load_*` loads a row and authorises in one step: a view cannot
do the one without the other.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from chalicelib import clock
from chalicelib.domain.statuses import TRANSITIONS
from chalicelib.domain.tokens import digest, is_token, new_token
from chalicelib.errors import Forbidden, InvalidInput, NotFound, Unauthorized
from chalicelib.store import receipts
from chalicelib.store.jobs import get_build, get_deployment, list_all_jobs
from chalicelib.store.models import Build, Deployment, Job, Project, Receipt, Service, Token
from chalicelib.store.moves import commit, create
from chalicelib.store.reads import Page, find, get, page
from chalicelib.store.services import get_service

# RFC 6750, section 2.1; RFC 9110, section 11.1: the scheme is compared without case.
_BEARER = re.compile(r"(?i:bearer) +(?P<token>[A-Za-z0-9_-]+)", re.ASCII)
_JOB_ID = re.compile(rf"(?:{'|'.join(TRANSITIONS)})-[1-9][0-9]{{0,15}}", re.ASCII)


class Role(StrEnum):
    """What a token may do; each may also do what those before it may."""

    VIEWER = "viewer"  # reads
    DEPLOYER = "deployer"  # builds, deploys, rolls back
    ADMIN = "admin"  # creates and changes projects and services


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Principal:
    """Whoever holds a valid token; `actor` is how the audit trail names them."""

    token_id: str
    role: Role
    actor: str


def create_token(name: str, role: Role, *, token: str | None = None) -> str:
    """Accept `token`, or a new one, from now on; it can never be read again.

    Raises InvalidInput for a given token that is not one, checksum included.
    """
    token = token or new_token()
    if not is_token(token):
        raise InvalidInput("not a token: slw_, 43 random characters and their checksum")
    commit(create(Token(digest(token), name=name, role=role, created_at=clock.now())))
    return token


def principal(authorization: str | None) -> Principal:
    """Who the Authorization header speaks for; raises Unauthorized.

    The read is consistent, so a revoked token is refused at once.
    """
    match = _BEARER.fullmatch(authorization or "")
    if match is None or not is_token(match["token"]):
        raise Unauthorized("send a token of this API: Authorization: Bearer slw_…")
    row = find(Token, digest(match["token"]))
    if row is None or (row.expires_at is not None and row.expires_at <= clock.now()):
        raise Unauthorized("this token is unknown, revoked or expired")
    return Principal(row.id, Role(row.role), f"token:{row.name}")


def require(caller: Principal, role: Role) -> None:
    """Raise Forbidden unless the caller has at least this role."""
    if _RANK[caller.role] < _RANK[role]:
        raise Forbidden(f"this needs a token of role {role}; yours is of role {caller.role}")


def list_projects(caller: Principal, *, limit: int, before: int | None) -> Page[Project]:
    """A page of the projects that the caller may read, newest first."""
    require(caller, Role.VIEWER)
    return page(Project.all_index, "y", Project.id, limit=limit, before=before)


def load_project(caller: Principal, number: int) -> Project:
    """The project, for a caller who may read; raises NotFound."""
    require(caller, Role.VIEWER)
    return get(Project, number, missing=f"there is no project {number}")


def load_service(caller: Principal, number: int, *, history: bool = False) -> Service:
    """The service, for a caller who may read; raises NotFound.

    A deleted service is found for its `history` alone.
    """
    require(caller, Role.VIEWER)
    service = get_service(number)
    if service.deleted_at is not None and not history:
        raise NotFound(f"there is no service {number}")
    return service


def load_build(caller: Principal, number: int) -> Build:
    """The build, for a caller who may read; it outlives its service. Raises NotFound."""
    require(caller, Role.VIEWER)
    return get_build(number)


def load_deployment(caller: Principal, number: int) -> Deployment:
    """The deployment, for a caller who may read; it outlives its service. Raises NotFound."""
    require(caller, Role.VIEWER)
    return get_deployment(number)


def list_jobs(caller: Principal, *, limit: int, before: int | None) -> Page[Job]:
    """A page of the jobs that the caller may read, newest first."""
    require(caller, Role.VIEWER)
    return list_all_jobs(limit=limit, before=before)


def list_deliveries(caller: Principal, *, limit: int, before: int | None) -> Page[Receipt]:
    """A page of the deliveries that the caller may read, newest first."""
    require(caller, Role.VIEWER)
    return receipts.list_deliveries(limit=limit, before=before)


def load_delivery(caller: Principal, delivery_id: str) -> Receipt:
    """The delivery of this id, for a caller who may read; raises NotFound."""
    require(caller, Role.VIEWER)
    return receipts.get_delivery(delivery_id)


def load_job(caller: Principal, job_id: str) -> Job:
    """The build or deployment behind a job's id, for a caller who may read; raises NotFound."""
    require(caller, Role.VIEWER)
    if not _JOB_ID.fullmatch(job_id):
        raise NotFound("there is no such job: a job is named build-<number> or deploy-<number>")
    return get(Job, job_id, missing=f"there is no job {job_id}")
