"""Task definitions that Slipway registered, with their content.

The content is in a row of its own, which no list reads: it may have 64 KB ("Amazon ECS service
quotas"), and its environment may hold secrets. No answer of the API and no log line shows it.
"""

from collections.abc import Mapping
from typing import Any

from chalicelib.store.claims import owner_of
from chalicelib.store.jobs import find_deployments
from chalicelib.store.models import Claim, Deployment
from chalicelib.store.reads import find
from chalicelib.store.writes import keep


def keep_definition(arn: str, request: Mapping[str, Any], *, owner: str) -> None:
    """Claim a new task definition for a deployment and keep the request that registered it.

    The claim also holds if the deployment gets another definition later.
    """
    keep(Claim(_name(arn), owner=owner, definition=dict(request)))


def kept_definition(arn: str) -> dict[str, Any] | None:
    """The RegisterTaskDefinition request of a task definition; None if it was not kept."""
    row = find(Claim, _name(arn))
    return row.definition if row else None


def registered_for(arn: str) -> str | None:
    """The job id of the deployment that a task definition was registered for, or None."""
    return owner_of(_name(arn))


def deployment_of(service_id: int, arn: str) -> Deployment | None:
    """The deployment of a service that a task definition was registered for, or None."""
    job_id = registered_for(arn)
    if job_id is None:
        return None
    number = int(job_id.rpartition("-")[2])
    deployment = find_deployments(number).get(number)
    is_own = deployment is not None and deployment.service_id == service_id
    return deployment if is_own else None


def _name(arn: str) -> str:
    return f"task-definition:{arn}"
