"""Builds: start, list, show."""

from typing import cast

import msgspec

from chalicelib.access import Principal, load_build, load_service
from chalicelib.api import views
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Routes
from chalicelib.api.http.parameters import BUILD_STATUS, CURSOR, LIMIT
from chalicelib.domain.fields import given, partial
from chalicelib.domain.refs import GitRef, Ref, RefType, read_ref
from chalicelib.domain.repositories import GitUrl, repository_key
from chalicelib.domain.service_settings import BuildOptions
from chalicelib.domain.tokens import Role
from chalicelib.errors import Forbidden
from chalicelib.pipeline.commands.builds import request_build, retry_build
from chalicelib.pipeline.line import place_of
from chalicelib.pipeline.progress import note_steps
from chalicelib.store import models
from chalicelib.store.idempotency import IdempotencyKey
from chalicelib.store.jobs import find_jobs

routes = Routes(__name__)


class _BuildChoices(BuildOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    git_url: GitUrl
    git_ref: GitRef


NewBuild = partial(
    "NewBuild",
    _BuildChoices,
    "A build to start. Omitted fields take the service's settings.",
)


def _accepted(build: models.Build) -> Reply:
    return Reply(views.accepted_build(build), location=f"/v1/cicd/builds/{build.number}")


@routes.endpoint(
    "POST",
    "/v1/cicd/services/{service_id}/build",
    role=Role.DEPLOYER,
    body=NewBuild,
    status=202,
    answer=views.AcceptedBuild,
    repeat=lambda caller, number: _accepted(load_build(caller, number)),
)
def start_build(
    caller: Principal,
    service_id: int,
    body: msgspec.Struct,
    idempotency_key: IdempotencyKey | None,
) -> Reply:
    """Start a build of a branch, a tag or a commit. By default the service's branch is built."""
    service = load_service(caller, service_id)
    sent = given(body)
    _require_own_repository(service, sent.pop("git_url", service.settings.git_url))
    named = sent.pop("git_ref", None)
    build = request_build(
        service,
        actor=caller.actor,
        ref=read_ref(named) if named else Ref(service.settings.branch, RefType.BRANCH),
        options=sent,
        idempotency_key=idempotency_key,
    )
    return _accepted(build)


@routes.endpoint(
    "GET",
    "/v1/cicd/services/{service_id}/builds",
    role=Role.VIEWER,
    query=(LIMIT, CURSOR, BUILD_STATUS),
    answer=views.Page[views.Build],
    is_tagged=True,
)
def list_builds(
    caller: Principal, service_id: int, limit: int, cursor: int | None, status: str | None
) -> views.Page[views.Build]:
    """List a service's builds, newest first."""
    service = load_service(caller, service_id, history=True)
    found = find_jobs("build", service, status=status, limit=limit, before=cursor)
    rows = [cast(models.Build, row) for row in found.rows]
    return views.page(rows, found.before, lambda row: views.build(row, caller.sees_service))


@routes.endpoint(
    "GET", "/v1/cicd/builds/{build_id}", role=Role.VIEWER, answer=views.Build, is_tagged=True
)
def get_build(caller: Principal, build_id: int) -> views.Build:
    """Show a build."""
    build = load_build(caller, build_id)
    note_steps(build)
    return views.build(build, caller.sees_service, place_of(build))


@routes.endpoint(
    "POST",
    "/v1/cicd/builds/{build_id}/retry",
    role=Role.DEPLOYER,
    status=202,
    answer=views.AcceptedBuild,
    repeat=lambda caller, number: _accepted(load_build(caller, number)),
)
def retry(caller: Principal, build_id: int, idempotency_key: IdempotencyKey | None) -> Reply:
    """Build the same commit again, with the trigger and the order of the first build.

    Only a build that has ended without success can be retried. The new build has the service's
    present settings, except those that the first request chose.
    """
    build = load_build(caller, build_id)
    service = load_service(caller, build.service_id)
    return _accepted(
        retry_build(service, build, actor=caller.actor, idempotency_key=idempotency_key)
    )


def _require_own_repository(service: models.Service, git_url: str) -> None:
    """Raise Forbidden (repo_not_allowed) for another repository than the service's own."""
    if repository_key(git_url) != service.settings.repository:
        raise Forbidden(
            f"service {service.id} builds only {service.settings.git_url}; "
            "omit git_url, or change it in the service's settings",
            code="repo_not_allowed",
            field="git_url",
        )
