"""Projects: groups of services."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib import access
from chalicelib.access import Principal, load_project, require_all
from chalicelib.api import views
from chalicelib.api.fields import GitCredential
from chalicelib.api.parameters import CURSOR, LIMIT
from chalicelib.api.routing import Reply, Routes
from chalicelib.domain.credentials import parse_git_credential
from chalicelib.domain.tokens import Role
from chalicelib.pipeline import services
from chalicelib.pipeline.once import Once
from chalicelib.store.models import Project

routes = Routes(__name__)

# `$` alone would let a final line break through.
ProjectName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?$(?!\n)",
        description="1 to 63 letters, digits, spaces and . _ -, with a letter or digit at each end",
    ),
]


class NewProject(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A project to be created; builds fetch with the secret whose ARN is its `git_credential`."""

    name: ProjectName
    git_credential: GitCredential | None = None


class ProjectChanges(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is not named stays as it is, and a null credential is none."""

    name: ProjectName | UnsetType = UNSET
    git_credential: GitCredential | UnsetType | None = UNSET


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
def create_project(caller: Principal, body: NewProject, once: Once | None) -> Reply:
    """Create a project."""
    require_all(caller)
    values = _read(body)
    return _created(services.create_project(**values, actor=caller.actor, once=once))


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


@routes.endpoint("GET", "/v1/projects/{project_id}", role=Role.VIEWER, answer=views.Project)
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
def update_project(caller: Principal, project_id: int, body: ProjectChanges) -> views.Project:
    """Change a project; builds under way keep the git credential that they began with."""
    require_all(caller)
    project = load_project(caller, project_id)
    return views.project(services.update_project(project, _read(body), actor=caller.actor))


def _read(body: NewProject | ProjectChanges) -> dict[str, Any]:
    """The columns of a project that a body sets; raises InvalidInput with the field."""
    sent = msgspec.structs.asdict(body)
    values = {name: value for name, value in sent.items() if value is not UNSET}
    if values.get("git_credential") is not None:
        values["git_credential"] = parse_git_credential(values["git_credential"])
    return values
