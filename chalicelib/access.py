"""Authentication and authorisation.

A token is stored only as its SHA-256. Each `load_*` function loads a row and authorises the caller
in one step, so a view cannot skip the check. Hidden resources return the same 404 as missing ones.
"""

import re

import msgspec

from chalicelib import clock
from chalicelib.correlation import note
from chalicelib.domain.regex import regex
from chalicelib.domain.statuses import TRANSITIONS
from chalicelib.domain.tokens import Role, digest, is_token
from chalicelib.errors import Forbidden, NotFound, Unauthorized
from chalicelib.store import channels, history, receipts, services, tokens
from chalicelib.store.jobs import find_all_jobs, get_build, get_deployment
from chalicelib.store.models import (
    LISTED,
    Build,
    Channel,
    Deployment,
    History,
    Job,
    Project,
    Receipt,
    Service,
    Token,
)
from chalicelib.store.projects import get_project
from chalicelib.store.reads import Page, find, get, page
from chalicelib.store.reports import facts_of
from chalicelib.store.services import get_service

# RFC 6750, section 2.1; RFC 9110, section 11.1: the scheme is compared without case.
_BEARER = regex(r"(?i:bearer) +(?P<token>[A-Za-z0-9_-]+)", re.ASCII)
_JOB_ID = regex(rf"(?:{'|'.join(TRANSITIONS)})-[1-9][0-9]{{0,15}}", re.ASCII)

# The webhook accepts only these values of X-GitHub-Delivery.
_DELIVERY_ID = regex(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_RANK = {role: rank for rank, role in enumerate(Role)}


class Principal(msgspec.Struct, frozen=True):
    """A caller with a valid token; `actor` is the caller's name in the audit trail.

    With a `project_id` the token is restricted to that project. With a `service_id` too, it is
    restricted to that service of the project.
    """

    token_id: int
    role: Role
    actor: str
    project_id: int | None = None
    service_id: int | None = None
    expires_at: int | None = None

    @property
    def name(self) -> str:
        """The name of the token."""
        return self.actor.removeprefix("token:")

    def sees_project(self, number: int | None) -> bool:
        """Whether the caller may see a project."""
        return self.project_id in {None, number}

    def sees(self, row: Service | Job | History) -> bool:
        """Whether the caller may see a service, or a job or audit entry."""
        number = row.id if isinstance(row, Service) else row.service_id
        return self.sees_service(row.project_id, number)

    def sees_service(self, project_id: int | None, number: int | None) -> bool:
        """Whether the caller may see the service with this number, of this project."""
        return self.sees_project(project_id) and self.service_id in {None, number}

    @property
    def is_restricted(self) -> bool:
        """Whether the token is restricted to a project or a service."""
        return self.project_id is not None


def principal(authorization: str | None) -> Principal:
    """The caller that the Authorization header identifies; raises Unauthorized.

    The read is consistent, so a revoked token is refused at once.
    """
    match = _BEARER.fullmatch(authorization or "")
    if match is None or not is_token(match["token"]):
        raise Unauthorized(
            "the Authorization header has no well-formed token; "
            "send a token as Authorization: Bearer slw_…"
        )
    row = find(Token, digest(match["token"]))
    if row is None or _is_expired(row):
        raise Unauthorized("the token is unknown, revoked or expired; request a new one")
    tokens.note_use(row)
    return _holder_of(row)


def _holder_of(row: Token) -> Principal:
    return Principal(
        row.number,
        Role(row.role),
        f"token:{row.name}",
        row.project_id,
        row.service_id,
        row.expires_at,
    )


def _is_expired(row: Token) -> bool:
    return row.expires_at is not None and row.expires_at <= clock.now()


def require(caller: Principal, role: Role) -> None:
    """Raise Forbidden unless the caller has at least this role."""
    if _RANK[caller.role] < _RANK[role]:
        raise Forbidden(f"requires role {role}; your token has role {caller.role}")


def require_unrestricted(caller: Principal) -> None:
    """Raise Forbidden for a caller with a restricted token."""
    if caller.is_restricted:
        raise Forbidden(
            "requires an unrestricted token; your token is restricted to a project or a service"
        )


def require_whole_project(caller: Principal) -> None:
    """Raise Forbidden for a caller with a token that is restricted to a service.

    Changing a name needs this: the error `name_taken` would reveal a hidden service's name.
    """
    if caller.service_id is not None:
        raise Forbidden(
            "requires a token for the whole project; your token is restricted to a service"
        )


def list_tokens(caller: Principal, *, limit: int, before: int | None) -> Page[Token]:
    """A page of all tokens, newest first.

    Raises Forbidden unless the caller is an unrestricted admin.
    """
    require(caller, Role.ADMIN)
    require_unrestricted(caller)
    return tokens.list_tokens(limit=limit, before=before)


def list_tokens_of_service(
    caller: Principal, number: int, *, limit: int, before: int | None
) -> Page[Token]:
    """The tokens on a page of all tokens that reach a service and have not expired.

    Raises NotFound, and Forbidden unless the caller is an unrestricted admin.
    """
    found = list_tokens(caller, limit=limit, before=before)
    service = load_service(caller, number)
    rows = [row for row in found.rows if _holder_of(row).sees(service) and not _is_expired(row)]
    return Page(rows, found.before)


def load_token(caller: Principal, number: int) -> Token:
    """A token by its number.

    Raises NotFound, and Forbidden unless the caller is an unrestricted admin.
    """
    require(caller, Role.ADMIN)
    require_unrestricted(caller)
    return tokens.get_token(number)


def list_channels(caller: Principal, *, limit: int, before: int | None) -> Page[Channel]:
    """A page of all channels, newest first.

    Raises Forbidden unless the caller is an unrestricted admin: a channel sees other projects.
    """
    require(caller, Role.ADMIN)
    require_unrestricted(caller)
    return channels.list_channels(limit=limit, before=before)


def load_channel(caller: Principal, number: int) -> Channel:
    """A channel by its number.

    Raises NotFound, and Forbidden unless the caller is an unrestricted admin.
    """
    require(caller, Role.ADMIN)
    require_unrestricted(caller)
    return channels.get_channel(number)


def list_projects(caller: Principal, *, limit: int, before: int | None) -> Page[Project]:
    """A page of the projects that the caller may see, newest first."""
    require(caller, Role.VIEWER)
    if caller.project_id is None:
        return page(Project.all_index, LISTED, Project.id, limit=limit, before=before)
    own = find(Project, caller.project_id) if before is None or before > caller.project_id else None
    return Page([] if own is None else [own], None)


def load_project(caller: Principal, number: int) -> Project:
    """A project that the caller may see; raises NotFound."""
    require(caller, Role.VIEWER)
    project = get_project(number)
    if not caller.sees_project(project.id):
        raise NotFound(f"there is no project {number}")
    return project


def load_project_for_new_service(caller: Principal, number: int) -> Project:
    """A project in which the caller may create services; raises NotFound, Forbidden.

    The caller must be unrestricted: a service may name any repository, image and ECS service,
    which no project owns.
    """
    require(caller, Role.ADMIN)
    project = load_project(caller, number)
    require_unrestricted(caller)
    return project


def list_services(
    caller: Principal, project: Project, *, limit: int, before: int | None
) -> Page[Service]:
    """A page of a project's services that the caller may see, newest first."""
    require(caller, Role.VIEWER)
    return _services(caller, project.id, limit=limit, before=before)


def list_all_services(
    caller: Principal, *, project_id: int | None, limit: int, before: int | None
) -> Page[Service]:
    """A page of the services that the caller may see, of one project or of all, newest first.

    Raises NotFound for a project that is missing or hidden.
    """
    require(caller, Role.VIEWER)
    if project_id is not None:
        load_project(caller, project_id)
    return _services(caller, project_id or caller.project_id, limit=limit, before=before)


def _services(
    caller: Principal, project_id: int | None, *, limit: int, before: int | None
) -> Page[Service]:
    number = caller.service_id
    if number is not None:
        own = find(Service, number) if before is None or before > number else None
        return Page([] if own is None or own.deleted_at is not None else [own], None)
    return services.list_services(project_id, limit=limit, before=before)


def load_service(caller: Principal, number: int, *, history: bool = False) -> Service:
    """A service that the caller may see; raises NotFound.

    A deleted service is found only when its `history` is to be read.
    """
    require(caller, Role.VIEWER)
    service = get_service(number)
    if not caller.sees(service) or (service.deleted_at is not None and not history):
        raise NotFound(f"there is no service {number}")
    note(service_id=number)
    return service


def load_build(caller: Principal, number: int) -> Build:
    """A build that the caller may see, also of a deleted service; raises NotFound."""
    require(caller, Role.VIEWER)
    build = get_build(number)
    if not caller.sees(build):
        raise NotFound(f"there is no build {number}")
    note(**facts_of(build))
    return build


def load_deployment(caller: Principal, number: int) -> Deployment:
    """A deployment that the caller may see, also of a deleted service; raises NotFound."""
    require(caller, Role.VIEWER)
    deployment = get_deployment(number)
    if not caller.sees(deployment):
        raise NotFound(f"there is no deployment {number}")
    note(**facts_of(deployment))
    return deployment


def find_jobs(
    caller: Principal, *, kind: str | None, status: str | None, limit: int, before: int | None
) -> Page[Job]:
    """A page of the jobs that the caller may see, of a type and with a status, newest first."""
    require(caller, Role.VIEWER)
    return find_all_jobs(
        project_id=caller.project_id,
        service_id=caller.service_id,
        kind=kind,
        status=status,
        limit=limit,
        before=before,
    )


def load_job(caller: Principal, job_id: str) -> Job:
    """The build or deployment with this job id, if the caller may see it; raises NotFound."""
    require(caller, Role.VIEWER)
    if not _JOB_ID.fullmatch(job_id):
        raise NotFound("there is no such job; a job id is build-<number> or deploy-<number>")
    missing = f"there is no job {job_id}"
    job = get(Job, job_id, missing=missing)
    if not caller.sees(job):
        raise NotFound(missing)
    note(**facts_of(job))
    return job


def list_deliveries(caller: Principal, *, limit: int, before: int | None) -> Page[Receipt]:
    """A page of the deliveries that the caller may see, latest first."""
    require(caller, Role.VIEWER)
    return receipts.list_deliveries(_audience(caller), limit=limit, before=before)


def load_delivery(caller: Principal, delivery_id: str) -> Receipt:
    """A delivery that the caller may see; raises NotFound."""
    require(caller, Role.VIEWER)
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise receipts.no_delivery()
    return receipts.get_delivery(_audience(caller), delivery_id)


def _audience(caller: Principal) -> str:
    return receipts.audience(project_id=caller.project_id, service_id=caller.service_id)


def list_history(
    caller: Principal,
    *,
    project_id: int | None,
    service_id: int | None,
    limit: int,
    before: int | None,
) -> Page[History]:
    """A page of the audit trail, newest first: of a service, of a project, or the whole trail.

    Raises NotFound for a project or service that is missing or hidden, and for a service of another
    project. Raises Forbidden for the whole trail unless the caller is an unrestricted admin.
    """
    require(caller, Role.VIEWER)
    if service_id is not None:
        service = load_service(caller, service_id, history=True)
        if project_id not in {None, service.project_id}:
            raise NotFound(f"there is no service {service_id} in project {project_id}")
        project_id = None
    elif project_id is not None:
        load_project(caller, project_id)
        service_id = caller.service_id
    else:
        require(caller, Role.ADMIN)
        require_unrestricted(caller)
    return history.list_history(
        project_id=project_id, service_id=service_id, limit=limit, before=before
    )
