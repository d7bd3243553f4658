"""Rows as the API shows them. The classes are the shapes of answers and their OpenAPI schemas."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

from chalicelib.clock import rfc3339
from chalicelib.domain.log_text import clean_text
from chalicelib.domain.service_settings import BuildSettings, ServiceSettings
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus, JobStatus, job_status
from chalicelib.known_secrets import known_secrets
from chalicelib.settings import settings
from chalicelib.store import models

# What commits, builds and AWS say goes through the same cleaning as a build's output.
_FROM_OUTSIDE = frozenset({"error", "drift", "commit_message", "author"})

_T = TypeVar("_T")
Row = TypeVar("Row")


class Page(msgspec.Struct, Generic[_T]):
    """One page of a list, newest first; `next_cursor` null: this was the last."""

    items: list[_T]
    next_cursor: str | None


class Project(msgspec.Struct, kw_only=True):
    """A group of services."""

    id: int
    name: str
    git_credential: str | None
    created_at: str | None


class Service(ServiceSettings, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A service: its settings, and its current, active and waiting deployments."""

    id: int
    project_id: int
    auto_deploy_paused: str | None
    current_deployment_id: int | None
    active_deployment_id: int | None
    waiting_deployment_id: int | None
    drift: str | None
    attention: str | None
    created_at: str | None
    updated_at: str | None
    simulated: bool


class Build(BuildSettings, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """One commit becoming one image, with its own copy of the settings."""

    id: int
    project_id: int
    service_id: int
    job_id: str
    status: BuildStatus
    progress: int
    error: str | None
    attention: str | None
    trigger: str
    requested_by: str
    git_ref: str
    cancelled_by: str | None
    commit_sha: str | None
    commit_message: str | None
    author: str | None
    image_tag: str
    image_digest: str | None
    codebuild_id: str | None
    log_path: str | None
    deployment_id: int | None
    not_deployed: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    simulated: bool


class Deployment(msgspec.Struct, kw_only=True):
    """One entry of a service's release ledger."""

    id: int
    project_id: int
    service_id: int
    job_id: str
    status: DeploymentStatus
    progress: int
    error: str | None
    cancelled_by: str | None
    reason: str | None
    trigger: str
    requested_by: str
    image_tag: str
    image_digest: str | None
    task_definition: str | None
    build_id: int | None
    commit_sha: str | None
    replaced: int | None
    rollback_to: int | None
    rollback_of: int | None
    restores: int | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    simulated: bool


class Job(msgspec.Struct, kw_only=True):
    """The work behind a build or a deployment; `waits` counts AWS's latest "not now"s."""

    id: str
    type: str
    status: JobStatus
    progress: int
    error: str | None
    attention: str | None
    waits: int
    cancelled_by: str | None
    project_id: int
    service_id: int
    build_id: int | None
    deployment_id: int | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    simulated: bool


class AcceptedBuild(msgspec.Struct, kw_only=True):
    """A build that was accepted; follow it by either id."""

    build_id: int
    job_id: str
    status: BuildStatus


class AcceptedDeployment(msgspec.Struct, kw_only=True):
    """A deployment that was accepted; follow it by either id."""

    deployment_id: int
    job_id: str
    status: DeploymentStatus


def project(row: models.Project) -> Project:
    """A project."""
    return _shown(Project, row)


def service(row: models.Service) -> Service:
    """A service."""
    return _shown(
        Service,
        row,
        **msgspec.structs.asdict(row.settings),
        current_deployment_id=row.current,
        active_deployment_id=row.active,
        waiting_deployment_id=row.waiting,
    )


def build(row: models.Build) -> Build:
    """A build."""
    settings = msgspec.structs.asdict(row.settings)
    return _shown(Build, row, **settings, id=row.number, image_tag=_image(row))


def deployment(row: models.Deployment) -> Deployment:
    """A deployment."""
    return _shown(Deployment, row, id=row.number, image_tag=_image(row))


def job(row: models.Job) -> Job:
    """The job that a build or a deployment is."""
    is_build = isinstance(row, models.Build)
    return _shown(
        Job,
        row,
        id=row.job_id,
        type="build" if is_build else "deploy",
        status=job_status(row.status, row.progress),
        build_id=row.number if is_build else None,
        deployment_id=None if is_build else row.number,
    )


def accepted_build(row: models.Build) -> AcceptedBuild:
    """The answer to whoever asked for a build; the same again however far it has come since."""
    return AcceptedBuild(build_id=row.number, job_id=row.job_id, status=BuildStatus.QUEUED)


def accepted_deployment(row: models.Deployment) -> AcceptedDeployment:
    """The answer to whoever asked for a deployment or a rollback; the same again later."""
    return AcceptedDeployment(
        deployment_id=row.number, job_id=row.job_id, status=DeploymentStatus.QUEUED
    )


def page(rows: Iterable[Row], before: int | None, show: Callable[[Row], _T]) -> Page[_T]:
    """A page of rows, each shown by `show`; the frame makes a cursor of where it goes on."""
    return Page([show(row) for row in rows], None if before is None else str(before))


def _shown(shape: type[_T], row: models.Project | models.Service | models.Job, **own: Any) -> _T:
    """`shape` filled from the row's attributes of the same names, except for those in `own`."""
    values = {"simulated": settings().simulated, **own}
    names = [field.name for field in msgspec.structs.fields(shape)]  # type: ignore[arg-type]
    missing = {name: _plain(name, getattr(row, name)) for name in names if name not in values}
    return shape(**{name: (values | missing)[name] for name in names})


def _plain(name: str, value: Any) -> Any:
    if name in _FROM_OUTSIDE and value is not None:
        return clean_text(value, known_secrets())
    return rfc3339(value) if name.endswith("_at") else value


def _image(row: models.Build | models.Deployment) -> str:
    """The image as a caller names it: by its tag, or by the digest that was deployed."""
    mark = f":{row.image_tag}" if row.image_tag else f"@{row.image_digest}"
    return f"{row.image_repository}{mark}"
