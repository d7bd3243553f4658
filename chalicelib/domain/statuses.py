"""Statuses, which may follow which, and how a job's status is read off its subject's."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class BuildStatus(StrEnum):
    """The life of a build."""

    QUEUED = "queued"  # accepted; CodeBuild has not taken it yet
    BUILDING = "building"  # CodeBuild runs it
    SUCCESS = "success"  # pushed; its digest is known
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeploymentStatus(StrEnum):
    """The life of a deployment."""

    QUEUED = "queued"  # holds or awaits its service's slot
    DEPLOYING = "deploying"  # has its own task definition, which ECS is told to run
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"  # a newer request came before it began
    ROLLED_BACK = "rolled_back"  # left by a rollback


class JobStatus(StrEnum):
    """What a job shows: the same words for builds and deployments."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


BUILD_TRANSITIONS: Mapping[BuildStatus, frozenset[BuildStatus]] = {
    BuildStatus.QUEUED: frozenset(
        {BuildStatus.BUILDING, BuildStatus.FAILED, BuildStatus.CANCELLED}
    ),
    BuildStatus.BUILDING: frozenset(
        {BuildStatus.SUCCESS, BuildStatus.FAILED, BuildStatus.CANCELLED}
    ),
    BuildStatus.SUCCESS: frozenset(),
    BuildStatus.FAILED: frozenset(),
    BuildStatus.CANCELLED: frozenset(),
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
            DeploymentStatus.ROLLED_BACK,
        }
    ),
    # The one exception to "what has ended stays as it ended": a rollback marks what it left.
    DeploymentStatus.SUCCESS: frozenset({DeploymentStatus.ROLLED_BACK}),
    DeploymentStatus.FAILED: frozenset(),
    DeploymentStatus.CANCELLED: frozenset(),
    DeploymentStatus.SUPERSEDED: frozenset(),
    DeploymentStatus.ROLLED_BACK: frozenset(),
}

# By type of job, as it stands in a job's id.
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


def may_follow(before: str, after: str, *, kind: str) -> bool:
    """Whether a row of `kind` ("build" or "deploy") may go from one status to the other."""
    status = _STATUSES[kind]
    return status(after) in TRANSITIONS[kind][status(before)]


def has_ended(status: str) -> bool:
    """Whether nothing more will be done for a row of this status."""
    return _JOB_STATUS[status] not in {JobStatus.QUEUED, JobStatus.RUNNING}


def job_status(status: str, progress: int) -> JobStatus:
    """The job's word for a build's or a deployment's status.

    A release that a rollback left had done its work (100); a rollout that a rollback cut short
    had not.
    """
    if status == DeploymentStatus.ROLLED_BACK and progress == 100:
        return JobStatus.SUCCESS
    return _JOB_STATUS[status]


def job_id(kind: str, number: int) -> str:
    """`build-123` or `deploy-45`: derived, so a subject cannot get two jobs."""
    return f"{kind}-{number}"
