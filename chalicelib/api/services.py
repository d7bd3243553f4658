"""Services: create, list, show, change, delete."""

import msgspec

from chalicelib import access
from chalicelib.access import (
    Principal,
    load_project,
    load_project_for_new_service,
    load_service,
    require_unrestricted,
    require_whole_project,
)
from chalicelib.api import views
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import CURSOR, LIMIT, OF_PROJECT, SERVICE_LIMIT
from chalicelib.domain.fields import given, partial
from chalicelib.domain.service_settings import ServiceSettings
from chalicelib.domain.tokens import Role
from chalicelib.pipeline.commands import services
from chalicelib.store.idempotency import IdempotencyKey
from chalicelib.store.models import Service
from chalicelib.store.named import find_named

routes = Routes(__name__)

NewService = partial(
    "NewService",
    ServiceSettings,
    "A service to create. The three parts of its ECS target must be given together. Either give "
    "git_url and image_repository, or image_from: then the service has no builds of its own, and "
    "settings of builds cannot be given.",
    required={"name"},
)
ServiceChanges = partial(
    "ServiceChanges", ServiceSettings, "Settings to change. Omitted settings keep their values."
)

# Settings that reach outside the project. With them a restricted token could point the service to
# another project's repository, image, secret or ECS service, or read more repositories with the
# project's git credential.
_BINDINGS = frozenset(
    {
        "git_url",
        "submodules",
        "image_repository",
        "also_push_to",
        "ecs_cluster",
        "ecs_service",
        "containers",
        "webhook_secret",
    }
)


# A name is unique in the project, and the secrets are those of all services of the project. A
# release command runs with the values behind the references of the config, and can print them.
_PROJECT_WIDE = frozenset({"name", "secrets", "release_command"})


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
    caller: Principal,
    project_id: int,
    body: msgspec.Struct,
    idempotency_key: IdempotencyKey | None,
) -> Reply:
    """Create a service in a project."""
    project = load_project_for_new_service(caller, project_id)
    return _created(
        services.create_service(
            project, given(body), actor=caller.actor, idempotency_key=idempotency_key
        )
    )


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


@routes.endpoint(
    "GET",
    "/v1/services",
    role=Role.VIEWER,
    query=(OF_PROJECT, SERVICE_LIMIT, CURSOR),
    answer=views.Page[views.ServiceOverview],
    is_tagged=True,
    documented=Documented(errors=(404,)),
)
def list_all_services(
    caller: Principal, project_id: int | None, limit: int, cursor: int | None
) -> views.Page[views.ServiceOverview]:
    """List services with their releases, newest first: those of all projects or of one."""
    found = access.list_all_services(caller, project_id=project_id, limit=limit, before=cursor)
    named = find_named(found.rows)
    return views.page(found.rows, found.before, lambda row: views.service_overview(row, named))


@routes.endpoint(
    "GET", "/v1/services/{service_id}", role=Role.VIEWER, answer=views.Service, is_tagged=True
)
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
    """Change a service's settings. Accepted builds keep their own copy of them."""
    service = load_service(caller, service_id)
    changes = given(body)
    if changes.keys() & _BINDINGS:
        require_unrestricted(caller)
    if changes.keys() & _PROJECT_WIDE:
        require_whole_project(caller)
    if changes.get("image_from") is not None:
        load_service(caller, changes["image_from"])
    return views.service(services.update_service(service, changes, actor=caller.actor))


@routes.endpoint("DELETE", "/v1/services/{service_id}", role=Role.ADMIN, status=204)
def delete_service(caller: Principal, service_id: int) -> None:
    """Delete a service. Its containers on ECS keep running, and its history stays readable."""
    service = load_service(caller, service_id)
    if service.dependents:
        require_whole_project(caller)
    services.delete_service(service, actor=caller.actor)
