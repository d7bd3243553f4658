"""What GitHub is told of builds and deployments, as data.

The forms are from GitHub's REST API, version 2022-11-28: "Commit statuses", "Deployments" and
"Deployment statuses".
"""

from typing import Any

from chalicelib.domain.failures import cut
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus
from chalicelib.domain.telling import AWAITING, REPLACED

# GitHub refuses a longer description.
_DESCRIPTION_LENGTH = 140
# The last character that UTF-8 writes in three bytes.
_BASIC_PLANE = 0xFFFF
_STATUS = {
    BuildStatus.QUEUED: "pending",
    BuildStatus.BUILDING: "pending",
    BuildStatus.SUCCESS: "success",
    BuildStatus.FAILED: "failure",
    # GitHub has no other word for a build that ended without a result.
    BuildStatus.CANCELLED: "error",
    BuildStatus.SUPERSEDED: "error",
}
_DEPLOYMENT_STATUS = {
    DeploymentStatus.QUEUED: "queued",
    DeploymentStatus.DEPLOYING: "in_progress",
    AWAITING: "in_progress",
    DeploymentStatus.SUCCESS: "success",
    DeploymentStatus.FAILED: "failure",
    DeploymentStatus.CANCELLED: "error",
    DeploymentStatus.SUPERSEDED: "inactive",
    DeploymentStatus.ROLLED_BACK: "inactive",
    REPLACED: "inactive",
}


def commit_status(state: str, *, context: str, description: str, url: str | None) -> dict[str, Any]:
    """The body that sets the status of a commit; `state` is that of a build."""
    return {
        "state": _STATUS[BuildStatus(state)],
        "context": context,
        "description": _short(description),
        **({"target_url": url} if url else {}),
    }


def deployment(
    *, sha: str, environment: str, description: str, mark: dict[str, str]
) -> dict[str, Any]:
    """The body that creates a deployment. By its `mark` it is found again."""
    return {
        "ref": sha,
        "task": "deploy",
        "environment": environment,
        "description": _short(description),
        "payload": mark,
        # It has begun already: GitHub must neither merge into the branch nor wait for checks.
        "auto_merge": False,
        "required_contexts": [],
        "production_environment": True,
    }


def deployment_status(
    state: str, *, environment: str, description: str, log_url: str | None, url: str | None
) -> dict[str, Any]:
    """The body that sets the status of a deployment; `url` is where the service is reached.

    A number may follow the state, after a full stop.
    """
    return {
        "state": _DEPLOYMENT_STATUS[state.partition(".")[0]],
        "environment": environment,
        "description": _short(description),
        # GitHub would mark only deployments that are not of production.
        "auto_inactive": False,
        **({"log_url": log_url} if log_url else {}),
        **({"environment_url": url} if url else {}),
    }


def is_marked(found: Any, mark: dict[str, str]) -> bool:
    """Whether a deployment that GitHub lists has the mark."""
    return isinstance(found, dict) and found.get("payload") == mark


def _short(text: str) -> str:
    """A description as GitHub takes it: users report that it refuses emojis in a status."""
    plain = "".join(each if ord(each) <= _BASIC_PLANE else "?" for each in text)
    return cut(" ".join(plain.split()), _DESCRIPTION_LENGTH)
