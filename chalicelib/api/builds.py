"""Builds: starting them, and seeing what became of them."""

from typing import cast

import msgspec

from chalicelib.access import Principal, load_build, load_service
from chalicelib.api import views
from chalicelib.api.fields import BuildArgs, ContextPath, GitRef, GitUrl, Platforms, RepositoryPath
from chalicelib.api.parameters import BUILD_STATUS, CURSOR, LIMIT
from chalicelib.api.routing import Reply, Routes
from chalicelib.domain.build_args import parse_build_args
from chalicelib.domain.images import parse_platforms
from chalicelib.domain.paths import parse_context_path, parse_dockerfile_path
from chalicelib.domain.refs import is_commit_sha, parse_git_ref
from chalicelib.domain.repositories import parse_git_url
from chalicelib.domain.tokens import Role
from chalicelib.errors import Forbidden
from chalicelib.pipeline.builds import request_build
from chalicelib.pipeline.once import Once
from chalicelib.settings import settings
from chalicelib.store import models
from chalicelib.store.jobs import list_jobs

routes = Routes(__name__)


class NewBuild(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A build to be started; what is not given is as the service says."""

    git_url: GitUrl | None = None
    git_ref: GitRef | None = None
    context_path: ContextPath | None = None
    dockerfile: RepositoryPath | None = None
    platforms: Platforms | None = None
    build_args: BuildArgs | None = None


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
def start_build(caller: Principal, service_id: int, body: NewBuild, once: Once | None) -> Reply:
    """Build a branch, a tag or a commit."""
    service = load_service(caller, service_id)
    _require_own_repository(service, body.git_url)
    ref = service.branch if body.git_ref is None else parse_git_ref(body.git_ref)
    build = request_build(
        service,
        actor=caller.actor,
        git_ref=ref,
        git_sha=ref if is_commit_sha(ref) else "",
        context_path=None if body.context_path is None else parse_context_path(body.context_path),
        dockerfile=None if body.dockerfile is None else parse_dockerfile_path(body.dockerfile),
        platforms=None if body.platforms is None else parse_platforms(body.platforms),
        build_args=None if body.build_args is None else parse_build_args(body.build_args),
        once=once,
    )
    return _accepted(build)


@routes.endpoint(
    "GET",
    "/v1/cicd/services/{service_id}/builds",
    role=Role.VIEWER,
    query=(LIMIT, CURSOR, BUILD_STATUS),
    answer=views.Page[views.Build],
)
def list_builds(
    caller: Principal, service_id: int, limit: int, cursor: int | None, status: str | None
) -> views.Page[views.Build]:
    """List a service's builds, newest first."""
    service = load_service(caller, service_id, history=True)
    found = list_jobs("build", service.id, limit=limit, before=cursor)
    rows = [cast(models.Build, row) for row in found.rows if status in {None, row.status}]
    return views.page(rows, found.before, views.build)


@routes.endpoint("GET", "/v1/cicd/builds/{build_id}", role=Role.VIEWER, answer=views.Build)
def get_build(caller: Principal, build_id: int) -> views.Build:
    """Show a build."""
    return views.build(load_build(caller, build_id))


def _require_own_repository(service: models.Service, git_url: str | None) -> None:
    """A build may name its repository, but only the service's own is ever fetched."""
    if git_url is None:
        return
    if parse_git_url(git_url, hosts=settings().git_hosts).key != service.repository:
        raise Forbidden(
            f"service {service.id} builds {service.git_url} alone",
            code="repo_not_allowed",
            field="git_url",
        )
