"""Cancelling a job: a build or a deployment."""

from collections.abc import Mapping
from typing import Any, Protocol

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus, has_ended
from chalicelib.domain.timing import PERIOD
from chalicelib.errors import Conflict, Stale
from chalicelib.pipeline.config_releases import activate_after_failure
from chalicelib.pipeline.deployment_logs import events_until_now
from chalicelib.pipeline.retries import retry_on_conflict
from chalicelib.store.due import due_by
from chalicelib.store.history import record
from chalicelib.store.jobs import finish, get_build, get_deployment
from chalicelib.store.models import Build, Deployment, Job, Service
from chalicelib.store.services import close_builds, get_service
from chalicelib.store.writes import Write, change, commit


def cancel_job(job: Job, *, actor: str) -> Job:
    """Cancel a job, and return its new row.

    A second cancel has no effect. Raises Conflict (job_ended) for a job with another end, and
    Unavailable if other requests keep changing it.
    """
    cancel = CANCEL[job.job_id.partition("-")[0]]
    return retry_on_conflict(lambda: cancel(job.number, actor=actor))


def _cancel_build(number: int, *, actor: str) -> Build:
    """End a queued build at once. A build in CodeBuild ends after CodeBuild has stopped it."""
    build = get_build(number)
    if build.cancelled_by is not None or build.status == BuildStatus.CANCELLED:
        return build
    _require_open(build)
    now = clock.now()
    audit = _audit(build, "build.cancelled", actor)
    if build.attempt_at is None:
        service = get_service(build.service_id)
        error = f"cancelled by {actor}"
        end = finish(build, BuildStatus.CANCELLED, at=now, error=error, cancelled_by=actor)
        commit(end, close_builds(service, build.number), audit)
    else:
        commit(change(build, cancelled_by=actor, **due_by(build, now + PERIOD)), audit)
        queue.wake(build.job_id)
    return build


def _cancel_deployment(number: int, *, actor: str) -> Deployment:
    """End a deployment. The release before it keeps running or is restored."""
    deployment = get_deployment(number)
    if deployment.status == DeploymentStatus.CANCELLED:
        return deployment
    _require_open(deployment)
    service = get_service(deployment.service_id)
    commit(
        *cancelled(service, deployment, actor=actor, error=f"cancelled by {actor}"),
        _audit(deployment, "deployment.cancelled", actor),
    )
    queue.wake(f"service-{service.id}")
    return deployment


def cancelled(
    service: Service, deployment: Deployment, *, actor: str, error: str, **changes: Any
) -> list[Write]:
    """The writes that end a deployment at the wish of a caller, with further changes of its row.

    Raises Stale if it is not open any more.
    """
    end = finish(
        deployment,
        DeploymentStatus.CANCELLED,
        at=clock.now(),
        error=error,
        cancelled_by=actor,
        **events_until_now(deployment),
        **changes,
    )
    return [end, *_leave(service, deployment)]


def _leave(service: Service, deployment: Deployment) -> list[Write]:
    number = deployment.number
    if service.waiting == number:
        return [change(service, waiting=None, last_deployment=number)]
    if service.checking == number:
        return [change(service, checking=None, last_deployment=number)]
    if service.active == number:
        return activate_after_failure(service, deployment, at=clock.now())
    raise Stale(f"deployment {number} is not open any more")


def _require_open(job: Job) -> None:
    if has_ended(job.status):
        raise Conflict(f"{job.job_id} has ended already ({job.status})", code="job_ended")


def _audit(job: Job, action: str, actor: str) -> Write:
    return record(
        job.job_id,
        action,
        at=clock.now(),
        actor=actor,
        project_id=job.project_id,
        service_id=job.service_id,
    )


class Cancel(Protocol):
    """Cancels the job with a number; raises Conflict (job_ended) and Stale."""

    def __call__(self, number: int, *, actor: str) -> Job: ...


CANCEL: Mapping[str, Cancel] = {"build": _cancel_build, "deploy": _cancel_deployment}
