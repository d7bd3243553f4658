"""Services: what is deployed, from which repository, to which ECS service."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib import access
from chalicelib.access import (
    Principal,
    load_project,
    load_project_to_fill,
    load_service,
    require_all,
    require_whole_project,
)
from chalicelib.api import views
from chalicelib.api.fields import (
    Branch,
    BuildArgs,
    ContextPath,
    GitUrl,
    ImageRepository,
    Platforms,
    RepositoryPath,
)
from chalicelib.api.parameters import CURSOR, LIMIT
from chalicelib.api.routing import Reply, Routes
from chalicelib.domain.build_args import parse_build_args
from chalicelib.domain.images import parse_platforms, parse_repository_name
from chalicelib.domain.paths import parse_context_path, parse_dockerfile_path
from chalicelib.domain.refs import parse_branch
from chalicelib.domain.repositories import Repository, parse_git_url
from chalicelib.domain.tokens import Role
from chalicelib.domain.webhook_secrets import parse_own_reference
from chalicelib.errors import InvalidInput
from chalicelib.pipeline import services
from chalicelib.pipeline.once import Once
from chalicelib.settings import settings
from chalicelib.store.models import Service

routes = Routes(__name__)

# `$` alone would let a final line break through.
ServiceName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9-]{0,62}$(?!\n)",
        description="a lower-case letter, then at most 62 lower-case letters, digits and -",
    ),
]
# The ECS API reference: CreateCluster, CreateService, ContainerDefinition.
EcsName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,255}$(?!\n)",
        description="a name of 1 to 255 letters, digits, - and _, not an ARN",
    ),
]
WebhookSecret = Annotated[
    str,
    Meta(
        description="Where a webhook secret of the service's own is kept, ssm:/slipway/… or "
        "secretsmanager:slipway/…, never the secret: then only deliveries signed with it start "
        "its builds. The names begin with the installation's TABLE_PREFIX.",
        extra_json_schema={"format": "secret-reference"},
    ),
]
Minutes = Annotated[int, Meta(ge=1, le=480)]
# CodeBuild takes no time-out of less than five minutes (StartBuild: timeoutInMinutesOverride).
BuildMinutes = Annotated[int, Meta(ge=5, le=480)]


class NewService(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A service to be created; the three names of its ECS target come together or not at all."""

    name: ServiceName
    git_url: GitUrl
    image_repository: ImageRepository
    branch: Branch = "main"
    submodules: bool = False
    context_path: ContextPath = "."
    dockerfile: RepositoryPath = "Dockerfile"
    platforms: Platforms = msgspec.field(default_factory=lambda: ["linux/amd64"])
    build_args: BuildArgs = msgspec.field(default_factory=dict)
    ecs_cluster: EcsName | None = None
    ecs_service: EcsName | None = None
    container: EcsName | None = None
    webhook_secret: WebhookSecret | None = None
    auto_deploy: bool = False
    queued_minutes: Minutes = 60
    build_minutes: BuildMinutes = 30
    deploy_minutes: Minutes = 20


# What may be changed is what may be set, so it is not written down twice.
ServiceChanges = msgspec.defstruct(
    "ServiceChanges",
    [
        (setting.name, setting.type | UnsetType, UNSET)
        for setting in msgspec.structs.fields(NewService)
    ],
    kw_only=True,
    forbid_unknown_fields=True,
    namespace={"__doc__": "Settings to change; what is not named stays as it is."},
)


# What a service builds, pushes to and deploys to: whoever sees one project alone could otherwise
# lead it to what belongs to another.
_BINDINGS = frozenset(
    {"git_url", "image_repository", "ecs_cluster", "ecs_service", "container", "webhook_secret"}
)


def _created(service: Service) -> Reply:
    return Reply(views.service(service), location=f"/v1/services/{service.id}")


@routes.endpoint(
    "POST",
    "/v1/projects/{project_id}/services",
    role=Role.ADMIN,
    body=NewService,
    status=201,
    answer=views.Service,
    repeat=lambda caller, number: _created(load_service(caller, number)),
)
def create_service(
    caller: Principal, project_id: int, body: NewService, once: Once | None
) -> Reply:
    """Create a service in a project."""
    project = load_project_to_fill(caller, project_id)
    values = read_settings(body)
    return _created(services.create_service(project, values, actor=caller.actor, once=once))


@routes.endpoint(
    "GET",
    "/v1/projects/{project_id}/services",
    role=Role.VIEWER,
    query=(LIMIT, CURSOR),
    answer=views.Page[views.Service],
)
def list_services(
    caller: Principal, project_id: int, limit: int, cursor: int | None
) -> views.Page[views.Service]:
    """List a project's services, newest first."""
    project = load_project(caller, project_id)
    found = access.list_services(caller, project, limit=limit, before=cursor)
    return views.page(found.rows, found.before, views.service)


@routes.endpoint("GET", "/v1/services/{service_id}", role=Role.VIEWER, answer=views.Service)
def get_service(caller: Principal, service_id: int) -> views.Service:
    """Show a service."""
    return views.service(load_service(caller, service_id))


@routes.endpoint(
    "PATCH",
    "/v1/services/{service_id}",
    role=Role.ADMIN,
    body=ServiceChanges,
    answer=views.Service,
)
def update_service(caller: Principal, service_id: int, body: msgspec.Struct) -> views.Service:
    """Change a service's settings; work under way keeps those it began with."""
    service = load_service(caller, service_id)
    changes = read_settings(body)
    if changes.keys() & _BINDINGS:
        require_all(caller)
    if "name" in changes:
        require_whole_project(caller)
    return views.service(services.update_service(service, changes, actor=caller.actor))


@routes.endpoint("DELETE", "/v1/services/{service_id}", role=Role.ADMIN, status=204)
def delete_service(caller: Principal, service_id: int) -> None:
    """Delete a service; what runs on ECS keeps running, and its history stays readable."""
    services.delete_service(load_service(caller, service_id), actor=caller.actor)


def read_settings(body: msgspec.Struct) -> dict[str, Any]:
    """The columns of a service that a body sets, each read by its own grammar.

    Raises InvalidInput with the field that is wrong.
    """
    sent = {
        name: value
        for name in body.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }
    values = {
        name: _PARSERS[name](value) if name in _PARSERS else value for name, value in sent.items()
    }
    repository = values.pop("git_url", None)
    if isinstance(repository, Repository):
        values |= {"git_url": repository.url, "repository": repository.key}
    return values


def _parse_git_url(value: str) -> Repository:
    return parse_git_url(value, hosts=settings().git_hosts)


def _parse_branch(value: str) -> str:
    return parse_branch(value.removeprefix("refs/heads/"))


def _parse_image_repository(value: str) -> str:
    """A name in our registry, also with the registry's host before it.

    As docker reads it: a first part with a dot or colon in it, or localhost, is a registry.
    """
    host, slash, name = value.partition("/")
    if slash and host.lower() == settings().registry:
        return parse_repository_name(name)
    if slash and (host == "localhost" or set(host) & {".", ":"}):
        raise InvalidInput(
            f"images are kept in {settings().registry} alone: leave the registry out",
            code="invalid_image",
            field="image_repository",
        )
    return parse_repository_name(value)


def _parse_webhook_secret(value: str | None) -> str | None:
    return None if value is None else parse_own_reference(value, prefix=settings().table_prefix)


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "git_url": _parse_git_url,
    "branch": _parse_branch,
    "context_path": parse_context_path,
    "dockerfile": parse_dockerfile_path,
    "platforms": parse_platforms,
    "build_args": parse_build_args,
    "image_repository": _parse_image_repository,
    "webhook_secret": _parse_webhook_secret,
}
