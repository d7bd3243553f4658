"""Projects: groups of services."""

import msgspec

from chalicelib import access
from chalicelib.access import Principal, load_project, require_unrestricted
from chalicelib.api import views
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Routes
from chalicelib.api.http.parameters import CURSOR, LIMIT
from chalicelib.domain.credentials import GitCredential
from chalicelib.domain.fields import given, partial
from chalicelib.domain.names import DisplayName
from chalicelib.domain.tokens import Role
from chalicelib.pipeline.commands import projects
from chalicelib.store.idempotency import IdempotencyKey
from chalicelib.store.models import Project

routes = Routes(__name__)


class NewProject(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A project to create."""

    name: DisplayName


class _ProjectSettings(NewProject, kw_only=True, forbid_unknown_fields=True):
    # Not part of a new project: the secret's name contains the project's id.
    git_credential: GitCredential | None = None


ProjectChanges = partial(
    "ProjectChanges",
    _ProjectSettings,
    "Fields to change. Omitted fields keep their values. Null removes `git_credential`.",
)


def _created(project: Project) -> Reply:
    return Reply(views.project(project), location=f"/v1/projects/{project.id}")


@routes.endpoint(
    "POST",
    "/v1/projects",
    role=Role.ADMIN,
    body=NewProject,
    status=201,
    answer=views.Project,
    repeat=lambda caller, number: _created(load_project(caller, number)),
)
def create_project(
    caller: Principal, body: NewProject, idempotency_key: IdempotencyKey | None
) -> Reply:
    """Create a project."""
    require_unrestricted(caller)
    return _created(
        projects.create_project(**given(body), actor=caller.actor, idempotency_key=idempotency_key)
    )


@routes.endpoint(
    "GET",
    "/v1/projects",
    role=Role.VIEWER,
    query=(LIMIT, CURSOR),
    answer=views.Page[views.Project],
)
def list_projects(caller: Principal, limit: int, cursor: int | None) -> views.Page[views.Project]:
    """List projects, newest first."""
    found = access.list_projects(caller, limit=limit, before=cursor)
    return views.page(found.rows, found.before, views.project)


@routes.endpoint(
    "GET", "/v1/projects/{project_id}", role=Role.VIEWER, answer=views.Project, is_tagged=True
)
def get_project(caller: Principal, project_id: int) -> views.Project:
    """Show a project."""
    return views.project(load_project(caller, project_id))


@routes.endpoint(
    "PATCH",
    "/v1/projects/{project_id}",
    role=Role.ADMIN,
    body=ProjectChanges,
    answer=views.Project,
)
def update_project(caller: Principal, project_id: int, body: msgspec.Struct) -> views.Project:
    """Change a project. Running builds keep the git credential that they started with."""
    require_unrestricted(caller)
    project = load_project(caller, project_id)
    return views.project(projects.update_project(project, given(body), actor=caller.actor))
