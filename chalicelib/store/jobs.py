"""Builds and deployments: reading them, and the moves that change them."""

from collections.abc import Sequence
from typing import TypeVar

from pynamodb.expressions.update import Action
from pynamodb.indexes import Index

from chalicelib.domain.statuses import (
    TRANSITIONS,
    BuildStatus,
    DeploymentStatus,
    job_id,
    may_follow,
)
from chalicelib.errors import Lost
from chalicelib.store.due import rest
from chalicelib.store.models import Build, Deployment, Job
from chalicelib.store.moves import Move, change
from chalicelib.store.reads import Page, find, find_all, get, page

_J = TypeVar("_J", bound=Job)


def get_build(number: int) -> Build:
    """The build of this number; raises NotFound."""
    return get(Build, job_id("build", number), missing=f"there is no build {number}")


def find_build(number: int) -> Build | None:
    """The build of this number, or None."""
    return find(Build, job_id("build", number))


def get_deployment(number: int) -> Deployment:
    """The deployment of this number; raises NotFound."""
    return get(Deployment, job_id("deploy", number), missing=f"there is no deployment {number}")


def find_deployments(*numbers: int | None) -> dict[int | None, Deployment]:
    """The deployments of these numbers as they are now, in one read; None is passed over."""
    keys = [job_id("deploy", number) for number in numbers if number is not None]
    return {row.number: row for row in find_all(Deployment, keys).values()}


def list_jobs(kind: str, service_id: int, *, limit: int, before: int | None) -> Page[Job]:
    """A page of a service's builds ("build") or deployments ("deploy"), newest first."""
    return page(
        Job.service_index, service_key(service_id, kind), Job.opened, limit=limit, before=before
    )


def list_all_jobs(
    *, project_id: int | None, service_id: int | None, limit: int, before: int | None
) -> Page[Job]:
    """A page of the jobs of a service, a project, or all, whatever their type, newest first."""
    if service_id is not None:
        kinds = (list_jobs(kind, service_id, limit=limit, before=before) for kind in TRANSITIONS)
        return _merged(list(kinds), limit)
    index: Index[Job] = Job.all_index if project_id is None else Job.project_index
    key = "y" if project_id is None else project_id
    return page(index, key, Job.opened, limit=limit, before=before)


def _merged(pages: Sequence[Page[Job]], limit: int) -> Page[Job]:
    rows = sorted((row for each in pages for row in each.rows), key=_opened, reverse=True)
    more = len(rows) > limit or any(each.before is not None for each in pages)
    kept = rows[:limit]
    return Page(kept, kept[-1].opened if more else None)


def _opened(job: Job) -> int:
    return job.opened


def opened(kind: str, number: int, at: int) -> int:
    """The place of a job among all jobs: by second, then by number; no two have the same.

    Below 2**53 until the year 2255, so that no reader of JSON rounds it.
    """
    return at * 1_000_000 + number % 100_000 * 10 + list(TRANSITIONS).index(kind)


def service_key(service_id: int, kind: str) -> str:
    """The partition that lists one kind of a service's jobs."""
    return f"{service_id}#{kind}"


def become(job: _J, status: BuildStatus | DeploymentStatus, *actions: Action) -> Move:
    """Move a job to another status.

    Raises Lost where its table does not allow the step: the row was read before somebody else
    moved it on.
    """
    kind = "build" if isinstance(job, Build) else "deploy"
    if not may_follow(job.status, status, kind=kind):
        raise Lost(f"{job.id} cannot go from {job.status} to {status}")
    return change(job, Job.status.set(status), *actions)


def end(
    job: _J, status: BuildStatus | DeploymentStatus, *actions: Action, at: int, error: str = ""
) -> Move:
    """End a job: its last status, when, why if it did not succeed, and nothing due any more."""
    last: list[Action] = [Job.finished_at.set(at), *rest()]
    if error:
        last.append(Job.error.set(error[:1000]))
    if status in {BuildStatus.SUCCESS, DeploymentStatus.SUCCESS}:
        last.append(Job.progress.set(100))
    return become(job, status, *last, *actions)
