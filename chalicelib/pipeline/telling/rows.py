"""What the telling of all kinds of channels reads of a row: its service, its state, its words."""

from typing import TypeAlias

from chalicelib.domain.failures import one_line
from chalicelib.domain.log_text import clean_text
from chalicelib.domain.patterns import selected_by
from chalicelib.domain.telling import service_state
from chalicelib.known_secrets import known_secrets
from chalicelib.settings import settings
from chalicelib.store.channels import event_of_job, is_told, lasting_events, state_of_job
from chalicelib.store.jobs import find_build, find_job
from chalicelib.store.models import Build, Channel, Deployment, Job, Service
from chalicelib.store.projects import get_project
from chalicelib.store.services import find_service, get_service

Row: TypeAlias = Job | Service


def row_id(row: Row) -> str:
    """ "build-123", "deploy-4" or "service-7"."""
    return f"service-{row.id}" if isinstance(row, Service) else row.job_id


def find_row(name: str) -> Row | None:
    """The row with an id of `row_id`, by a consistent read, or None."""
    kind, _, number = name.partition("-")
    return find_service(int(number)) if kind == "service" else find_job(name)


def service_of(row: Row) -> Service:
    """The service itself, or that of a job."""
    return row if isinstance(row, Service) else get_service(row.service_id)


def wanted_state(channel: Channel, row: Row) -> str | None:
    """The state of the row that the channel is to know; None if it is not told of it."""
    if isinstance(row, Service):
        return service_state(each for each in lasting_events(row) if is_told(channel, each))
    if not is_told(channel, event_of_job(row)) or not _is_of_branch(channel, row):
        return None
    return state_of_job(row)


def _is_of_branch(channel: Channel, job: Job) -> bool:
    if not channel.branches:
        return True
    build = build_of(job)
    return build is not None and selected_by(channel.branches, build.git_ref) is not None


def build_of(job: Job) -> Build | None:
    """The build itself, or the one whose image a deployment runs; None if it has none."""
    if isinstance(job, Build):
        return job
    number = job.build_id if isinstance(job, Deployment) else None
    return find_build(number) if number is not None else None


def name_of(service: Service) -> str:
    """The project and the name of a service, such as `shop/web`."""
    return f"{get_project(service.project_id).name}/{service.settings.name}"


def link_to(row: Row) -> str | None:
    """The address of the row on the dashboard, if that is known."""
    kind, _, number = row_id(row).partition("-")
    places = {"build": "builds", "deploy": "deployments", "service": "services"}
    return f"{settings().public_url}/#/{places[kind]}/{number}" if settings().public_url else None


def cleaned(text: str) -> str:
    """A text from outside on one line, without control characters and known secrets."""
    return one_line(clean_text(text, known_secrets()))


def cause_of(job: Job) -> str:
    """Why a job has failed, or ended without a result."""
    return cleaned(job.failure.summary if job.failure is not None else job.error or "Failed")


def duration_of(job: Job) -> str:
    """How long a job took, in words."""
    seconds = (job.finished_at or 0) - (job.started_at or job.finished_at or 0)
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
