"""Statuses of builds, deployments and jobs, and the allowed transitions."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class BuildStatus(StrEnum):
    """The status of a build."""

    QUEUED = "queued"  # accepted; it waits in Slipway's line or in CodeBuild's own queue
    BUILDING = "building"  # CodeBuild runs it
    SUCCESS = "success"  # the image is pushed and its digest is known
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"  # a later push replaced it before it was started


class DeploymentStatus(StrEnum):
    """The status of a deployment."""

    QUEUED = "queued"  # waiting, or active without a task definition
    # Active: its release command runs, or its task definition is being rolled out.
    DEPLOYING = "deploying"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    # A newer request replaced it while it was waiting, or another party changed the ECS service.
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled_back"  # a rollback ended or replaced it


class JobStatus(StrEnum):
    """The status of a job: the same words for builds and deployments."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})

BUILD_TRANSITIONS: Mapping[BuildStatus, frozenset[BuildStatus]] = {
    BuildStatus.QUEUED: frozenset(
        {
            BuildStatus.BUILDING,
            BuildStatus.FAILED,
            BuildStatus.CANCELLED,
            BuildStatus.SUPERSEDED,
        }
    ),
    BuildStatus.BUILDING: frozenset(
        {BuildStatus.SUCCESS, BuildStatus.FAILED, BuildStatus.CANCELLED}
    ),
    BuildStatus.SUCCESS: frozenset(),
    BuildStatus.FAILED: frozenset(),
    BuildStatus.CANCELLED: frozenset(),
    BuildStatus.SUPERSEDED: frozenset(),
}

DEPLOYMENT_TRANSITIONS: Mapping[DeploymentStatus, frozenset[DeploymentStatus]] = {
    DeploymentStatus.QUEUED: frozenset(
        {
            DeploymentStatus.DEPLOYING,
            DeploymentStatus.FAILED,
            DeploymentStatus.CANCELLED,
            DeploymentStatus.SUPERSEDED,
            DeploymentStatus.ROLLED_BACK,
        }
    ),
    DeploymentStatus.DEPLOYING: frozenset(
        {
            DeploymentStatus.SUCCESS,
            DeploymentStatus.FAILED,
            DeploymentStatus.CANCELLED,
            DeploymentStatus.SUPERSEDED,
            DeploymentStatus.ROLLED_BACK,
        }
    ),
    # The only change after the end: a rollback marks the release that it left.
    DeploymentStatus.SUCCESS: frozenset({DeploymentStatus.ROLLED_BACK}),
    DeploymentStatus.FAILED: frozenset(),
    DeploymentStatus.CANCELLED: frozenset(),
    DeploymentStatus.SUPERSEDED: frozenset(),
    DeploymentStatus.ROLLED_BACK: frozenset(),
}

# By type of job, as in the job id.
TRANSITIONS: Mapping[str, Mapping[Any, frozenset[Any]]] = {
    "build": BUILD_TRANSITIONS,
    "deploy": DEPLOYMENT_TRANSITIONS,
}
_STATUSES: Mapping[str, type[StrEnum]] = {"build": BuildStatus, "deploy": DeploymentStatus}

_JOB_STATUS: Mapping[str, JobStatus] = {
    "queued": JobStatus.QUEUED,
    "building": JobStatus.RUNNING,
    "deploying": JobStatus.RUNNING,
    "success": JobStatus.SUCCESS,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
    "superseded": JobStatus.CANCELLED,
    "rolled_back": JobStatus.CANCELLED,
}

_LEFT = "left"


def may_follow(before: str, after: str, *, kind: str) -> bool:
    """Whether a row of `kind` ("build" or "deploy") may change from one status to the other."""
    status = _STATUSES[kind]
    return status(after) in TRANSITIONS[kind][status(before)]


def has_ended(status: str) -> bool:
    """Whether this status of a build or deployment is final."""
    return _JOB_STATUS[status] not in OPEN


def job_status(status: str, progress: int) -> JobStatus:
    """The job status for the status of a build or deployment.

    A deployment that a rollback left is a success if it had been healthy (progress 100). If the
    rollback interrupted its rollout, it is cancelled.
    """
    if status == DeploymentStatus.ROLLED_BACK and progress == 100:
        return JobStatus.SUCCESS
    return _JOB_STATUS[status]


def unhappy_end(kind: str, status: str, progress: int) -> str | None:
    """The list of ended jobs that a job of this type is in; None for a success and an open job.

    `left` has the releases that a rollback left after their success.
    """
    if status == DeploymentStatus.ROLLED_BACK and progress == 100:
        return f"{kind}#{_LEFT}"
    if not has_ended(status) or _JOB_STATUS[status] == JobStatus.SUCCESS:
        return None
    return f"{kind}#{status}"


def unhappy_ends(kind: str, status: str) -> list[str]:
    """The lists of `unhappy_end` with all jobs of a type that have a status; none for others."""
    ends = [status, _LEFT] if status == DeploymentStatus.ROLLED_BACK else [status]
    is_listed = unhappy_end(kind, status, 0) is not None
    return [f"{kind}#{end}" for end in ends] if is_listed else []


def unhappy_ends_of_jobs(kind: str | None, status: str) -> list[str]:
    """The lists of `unhappy_end` with all jobs that have a `JobStatus`; none for others."""
    return [
        end
        for each, statuses in _STATUSES.items()
        if kind in {None, each}
        for own in statuses
        if _JOB_STATUS[own] == status and (end := unhappy_end(each, own, 0)) is not None
    ]


def job_id(kind: str, number: int) -> str:
    """`build-123` or `deploy-45`. It is derived, so one build or deployment has one job id."""
    return f"{kind}-{number}"
