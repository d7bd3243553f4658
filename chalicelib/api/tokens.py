"""API tokens: create, list, show, revoke, and the caller's own."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib import access, clock
from chalicelib.access import (
    Principal,
    load_project,
    load_service,
    load_token,
    require_unrestricted,
)
from chalicelib.api import views
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import CURSOR, LIMIT, LIMIT_OF_ALL, Id
from chalicelib.domain.fields import Rule
from chalicelib.domain.names import DisplayName
from chalicelib.domain.timing import rfc3339
from chalicelib.domain.tokens import DEFAULT_DAYS, MAX_DAYS, Role, expiry
from chalicelib.errors import NotFound
from chalicelib.store import models, tokens

routes = Routes(__name__)


class NewToken(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A token to create. `project_id` or `service_id` restricts it to a project or a service.

    It expires after 90 days, or after `expires_in_days`, or never if this is null.
    """

    name: DisplayName
    role: Annotated[
        Role,
        Meta(
            description="a viewer reads; a deployer also builds, deploys, rolls back and cancels; "
            "an admin also manages projects, services and tokens"
        ),
        Rule(explain=lambda _: f"role must be one of {', '.join(Role)}"),
    ]
    # Null would be no restriction: a script that finds no id must not make a token for everything.
    project_id: Id | UnsetType = UNSET
    service_id: Id | UnsetType = UNSET
    expires_in_days: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MAX_DAYS,
                description=(
                    f"a whole number from 1 to {MAX_DAYS}: the days until the token expires. If it "
                    "is null, the token never expires"
                ),
            ),
        ]
        | None
    ) = DEFAULT_DAYS


class Token(msgspec.Struct, kw_only=True):
    """A token without its secret. `expires_at` is null if it never expires; `last_used_at` is exact
    to the hour.
    """

    id: int
    name: str
    role: Role
    project_id: int | None
    service_id: int | None
    created_by: str
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None


class CreatedToken(Token, kw_only=True):
    """A token with its secret `token`, which is shown only once and not stored."""

    token: str


class Caller(msgspec.Struct, kw_only=True):
    """The token of the request. It reaches every project, or only that of `project_id`, and there
    every service, or only that of `service_id`.
    """

    token_id: int
    name: str
    role: Role
    project_id: int | None
    service_id: int | None
    expires_at: str | None


@routes.endpoint("GET", "/v1/whoami", role=Role.VIEWER, answer=Caller)
def who_am_i(caller: Principal) -> Caller:
    """Show your own token: its role, restriction and expiry."""
    return Caller(
        token_id=caller.token_id,
        name=caller.name,
        role=caller.role,
        project_id=caller.project_id,
        service_id=caller.service_id,
        expires_at=rfc3339(caller.expires_at),
    )


@routes.endpoint(
    "POST",
    "/v1/tokens",
    role=Role.ADMIN,
    body=NewToken,
    status=201,
    answer=CreatedToken,
    documented=Documented(errors=(404,)),
)
def create_token(caller: Principal, body: NewToken) -> Reply:
    """Create a token. Only this response contains its secret."""
    require_unrestricted(caller)
    project_id, service_id = _restriction(caller, body)
    row, secret = tokens.create_token(
        body.name,
        body.role,
        created_by=caller.actor,
        project_id=project_id,
        service_id=service_id,
        expires_at=expiry(body.expires_in_days, now=clock.now()),
    )
    created = CreatedToken(token=secret, **msgspec.structs.asdict(_shown(row)))
    return Reply(created, location=f"/v1/tokens/{row.number}")


@routes.endpoint(
    "GET", "/v1/tokens", role=Role.ADMIN, query=(LIMIT, CURSOR), answer=views.Page[Token]
)
def list_tokens(caller: Principal, limit: int, cursor: int | None) -> views.Page[Token]:
    """List all tokens, newest first, including expired ones."""
    found = access.list_tokens(caller, limit=limit, before=cursor)
    return views.page(found.rows, found.before, _shown)


@routes.endpoint(
    "GET",
    "/v1/services/{service_id}/access",
    role=Role.ADMIN,
    query=(LIMIT_OF_ALL, CURSOR),
    answer=views.Page[Token],
)
def list_access(
    caller: Principal, service_id: int, limit: int, cursor: int | None
) -> views.Page[Token]:
    """List the tokens that reach a service, newest first, without expired ones."""
    found = access.list_tokens_of_service(caller, service_id, limit=limit, before=cursor)
    return views.page(found.rows, found.before, _shown)


@routes.endpoint("GET", "/v1/tokens/{token_id}", role=Role.ADMIN, answer=Token, is_tagged=True)
def get_token(caller: Principal, token_id: int) -> Token:
    """Show a token."""
    return _shown(load_token(caller, token_id))


@routes.endpoint("DELETE", "/v1/tokens/{token_id}", role=Role.ADMIN, status=204)
def revoke_token(caller: Principal, token_id: int) -> None:
    """Revoke a token. Requests with it fail from now on."""
    tokens.revoke_token(load_token(caller, token_id), actor=caller.actor)


def _restriction(caller: Principal, body: NewToken) -> tuple[int | None, int | None]:
    """The project and service to which a new token is restricted, if any.

    Raises NotFound for a service of another project than `project_id`.
    """
    if body.service_id is not UNSET:
        service = load_service(caller, body.service_id)
        if body.project_id not in {UNSET, service.project_id}:
            raise NotFound(
                f"there is no service {service.id} in project {body.project_id}", field="service_id"
            )
        return service.project_id, service.id
    if body.project_id is not UNSET:
        return load_project(caller, body.project_id).id, None
    return None, None


def _shown(row: models.Token) -> Token:
    return Token(
        id=row.number,
        name=row.name,
        role=Role(row.role),
        project_id=row.project_id,
        service_id=row.service_id,
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
        expires_at=rfc3339(row.expires_at),
        last_used_at=rfc3339(row.last_used_at),
    )
