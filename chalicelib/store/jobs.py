"""Builds and deployments: reads, and the writes that change their status."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace
from pynamodb.indexes import Index

from chalicelib.domain import metrics
from chalicelib.domain.preflight import Finding
from chalicelib.domain.statuses import (
    OPEN,
    TRANSITIONS,
    BuildStatus,
    DeploymentStatus,
    has_ended,
    job_id,
    job_status,
    may_follow,
    unhappy_end,
    unhappy_ends,
    unhappy_ends_of_jobs,
)
from chalicelib.errors import Stale
from chalicelib.store.due import (
    all_open_builds,
    all_open_deployments,
    open_builds_of,
    open_deployments_of,
    unschedule,
)
from chalicelib.store.models import LISTED, Build, Claim, Deployment, Job, Service, type_of
from chalicelib.store.reads import (
    MOST_KEYS,
    Page,
    find,
    find_all,
    get,
    page_of_few,
    page_of_ids,
    page_of_keys,
    search,
)
from chalicelib.store.reports import timings_of
from chalicelib.store.rollups import roll_up
from chalicelib.store.schema import has_ends
from chalicelib.store.writes import Write, change

_J = TypeVar("_J", bound=Job)


def find_job(name: str) -> Job | None:
    """The job with an id such as "build-123", or None."""
    return find(Job, name)


def get_build(number: int) -> Build:
    """The build with this number; raises NotFound."""
    return get(Build, job_id("build", number), missing=f"there is no build {number}")


def find_build(number: int) -> Build | None:
    """The build with this number, or None."""
    return find(Build, job_id("build", number))


def find_builds(numbers: Iterable[int]) -> list[Build]:
    """The builds with these numbers, in consistent reads."""
    return list(find_all(Build, [job_id("build", number) for number in numbers]).values())


def mark_pull_image(build: Build, digest: str) -> Write:
    """Remember that a pull request has built this image, so that its digest is not deployed."""
    claim = Claim(_pull_image(build.image_repository, digest))
    return Write(claim, {"owner": build.job_id}, versioned=False)


def pull_build_of(repository: str, digest: str) -> Build | None:
    """The build of a pull request that has built the image with this digest, or None."""
    claim = find(Claim, _pull_image(repository, digest))
    return find(Build, claim.owner) if claim is not None else None


def _pull_image(repository: str, digest: str) -> str:
    return f"pull-image:{repository}@{digest}"


def get_deployment(number: int) -> Deployment:
    """The deployment with this number; raises NotFound."""
    return get(Deployment, job_id("deploy", number), missing=f"there is no deployment {number}")


def find_deployments(*numbers: int | None) -> dict[int | None, Deployment]:
    """The deployments with these numbers, in one consistent read; None is ignored."""
    job_ids = [job_id("deploy", number) for number in numbers if number is not None]
    return {row.number: row for row in find_all(Deployment, job_ids).values()}


def find_jobs(
    kind: str, service: Service, *, status: str | None, limit: int, before: int | None
) -> Page[Job]:
    """A page of those builds or deployments of a service that have a status, or of all."""
    service_id = service.id
    if status is None:
        return list_jobs(kind, service_id, limit=limit, before=before)

    def matches(job: Job) -> bool:
        return job.status == status

    if not has_ended(status):
        job_ids = _open_jobs_of(service, kind)
        return page_of_few(Job, job_ids, matches, Job.opened, limit=limit, before=before)
    ends = unhappy_ends(kind, status)
    if ends and has_ends():
        keys = [f"{service_id}#{end}" for end in ends]
        return page_of_keys(
            Job.service_ends_index, Job, keys, Job.opened, limit=limit, before=before
        )
    return search(
        lambda at: list_jobs(kind, service_id, limit=MOST_KEYS, before=at),
        matches,
        Job.opened,
        limit=limit,
        before=before,
    )


def list_jobs(kind: str, service_id: int, *, limit: int, before: int | None) -> Page[Job]:
    """A page of a service's builds ("build") or deployments ("deploy"), newest first."""
    key = service_key(service_id, kind)
    return page_of_ids(Job.service_index, Job, key, Job.opened, limit=limit, before=before)


def find_all_jobs(
    *,
    project_id: int | None,
    service_id: int | None,
    kind: str | None,
    status: str | None,
    limit: int,
    before: int | None,
) -> Page[Job]:
    """A page of those of `list_all_jobs` that are of a type and have a status, a `JobStatus`."""
    if kind is None and status is None:
        return list_all_jobs(
            project_id=project_id, service_id=service_id, limit=limit, before=before
        )
    ends = [] if status is None else unhappy_ends_of_jobs(kind, status)
    if ends and has_ends():
        return _list_ends(
            ends, project_id=project_id, service_id=service_id, limit=limit, before=before
        )

    def matches(job: Job) -> bool:
        is_wanted = kind in {None, type_of(job)} and project_id in {None, job.project_id}
        return is_wanted and status in {None, job_status(job.status, job.progress)}

    job_ids = _open_jobs(kind, service_id) if status in OPEN else None
    if job_ids is not None:
        return page_of_few(Job, job_ids, matches, Job.opened, limit=limit, before=before)
    return search(
        lambda at: list_all_jobs(
            project_id=project_id, service_id=service_id, limit=MOST_KEYS, before=at
        ),
        matches,
        Job.opened,
        limit=limit,
        before=before,
    )


def list_all_jobs(
    *, project_id: int | None, service_id: int | None, limit: int, before: int | None
) -> Page[Job]:
    """A page of the jobs of a service, of a project, or of all, of both types, newest first."""
    if service_id is not None:
        keys = [service_key(service_id, kind) for kind in TRANSITIONS]
        return page_of_keys(Job.service_index, Job, keys, Job.opened, limit=limit, before=before)
    index: Index[Job] = Job.all_index if project_id is None else Job.project_index
    key = LISTED if project_id is None else project_id
    return page_of_ids(index, Job, key, Job.opened, limit=limit, before=before)


def _open_jobs(kind: str | None, service_id: int | None) -> list[str] | None:
    """The job ids of the open jobs of a service, or of all; None if they are too many to know.

    Those of a service are in its row. The others are in indexes that may lag.
    """
    if service_id is not None:
        service = find(Service, service_id)
        return [] if service is None else _open_jobs_of(service, kind)
    builds = [] if kind == "deploy" else all_open_builds()
    deployments = [] if kind == "build" else all_open_deployments()
    return None if builds is None or deployments is None else [*builds, *deployments]


def _open_jobs_of(service: Service, kind: str | None) -> list[str]:
    builds = [] if kind == "deploy" else open_builds_of(service)
    deployments = [] if kind == "build" else open_deployments_of(service)
    return [*builds, *deployments]


def _list_ends(
    ends: Sequence[str],
    *,
    project_id: int | None,
    service_id: int | None,
    limit: int,
    before: int | None,
) -> Page[Job]:
    index: Index[Job] = Job.ends_index
    keys = list(ends)
    if service_id is not None:
        index, keys = Job.service_ends_index, [f"{service_id}#{end}" for end in ends]
    elif project_id is not None:
        index, keys = Job.project_ends_index, [f"{project_id}#{end}" for end in ends]
    return page_of_keys(index, Job, keys, Job.opened, limit=limit, before=before)


def opened(kind: str, number: int, at: int) -> int:
    """A unique number that sorts jobs by their second, then by their number.

    It is below 2**53 until the year 2255, so that JSON parsers do not round it.
    """
    return at * 1_000_000 + number % 100_000 * 10 + list(TRANSITIONS).index(kind)


def service_key(service_id: int, kind: str) -> str:
    """The partition that lists one kind of a service's jobs."""
    return f"{service_id}#{kind}"


def stored_findings(findings: Iterable[Finding]) -> list[dict[str, Any]] | None:
    """Findings as a value of the attribute `findings`; None if there are none."""
    return [msgspec.to_builtins(each) for each in findings] or None


def findings_of(deployment: Deployment) -> list[Finding]:
    """The findings of a deployment's newest preflight."""
    found = deployment.findings
    return msgspec.convert(found, list[Finding]) if found else []


def transition(job: _J, status: BuildStatus | DeploymentStatus, **values: Any) -> Write:
    """Change the status of a job that goes on, and set attributes with it; `finish` ends a job.

    Raises Stale if the transition table does not allow the change: another worker has changed the
    row since it was read.
    """
    if has_ended(status):
        raise ValueError(f"{status} is the end of a job")
    return _change_status(job, status, values)


def finish(
    job: _J, status: BuildStatus | DeploymentStatus, *, at: int, error: str = "", **values: Any
) -> Write:
    """End a job: set its last status and the time, unschedule it, and count it in the roll-ups.

    A success has no error. Raises Stale like `transition`.
    """
    if status in {BuildStatus.SUCCESS, DeploymentStatus.SUCCESS}:
        values |= {"progress": 100, "error": None}
    elif error:
        values["error"] = error[:1000]
    end = _change_status(job, status, {"finished_at": at, **unschedule(), **values})
    return replace(end, also=roll_up(job, _counts(job, end.values), at=at))


def leave(release: Deployment, *, at: int) -> Write:
    """Mark a successful release that a rollback has left, and count it in the roll-ups."""
    mark = _change_status(release, DeploymentStatus.ROLLED_BACK, {})
    counts = metrics.release_left(is_rollback=release.restores is not None)
    return replace(mark, also=roll_up(release, counts, at=at))


def _change_status(
    job: Job, status: BuildStatus | DeploymentStatus, values: Mapping[str, Any]
) -> Write:
    if not may_follow(job.status, status, kind=type_of(job)):
        raise Stale(f"{job.job_id} cannot go from {job.status} to {status}")
    return change(job, status=status, **ends_of(job, status, values), **values)


def ends_of(job: Job, status: str, values: Mapping[str, Any]) -> dict[str, str]:
    """The attributes that put a job into the indexes of ends, if it has ended without success.

    `values` are those that are written with the status.
    """
    end = unhappy_end(type_of(job), status, values.get("progress", job.progress))
    if end is None:
        return {}
    return {
        "end": end,
        "project_end": f"{job.project_id}#{end}",
        "service_end": f"{job.service_id}#{end}",
    }


def _counts(job: Job, end: Mapping[str, Any]) -> Counter[str]:
    """What the end of a job adds to the roll-ups; `end` are the last values of its row."""
    status, took = end["status"], timings_of(job, end)
    if isinstance(job, Deployment):
        return metrics.deployment_ended(status, took, is_rollback=job.restores is not None)
    return metrics.build_ended(status, took)
