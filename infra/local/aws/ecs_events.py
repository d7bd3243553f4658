"""The EventBridge events of the embedded ECS about services, their deployments and their hooks."""

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.local.aws.ecs_tasks import now

if TYPE_CHECKING:
    from infra.local.aws.ecs_records import Record
    from infra.local.aws.ecs_shift import Hook

Json = dict[str, Any]
# Inferred: the documents show only INFO, of a hook that awaits an action.
_GOOD = ("IN_PROGRESS", "AWAITING_ACTION", "SUCCEEDED")


def state_change(service_arn: str, deployment_id: str, name: str, reason: str) -> Json:
    """An event as in "Amazon ECS service deployment state change events"."""
    detail = {
        "eventType": "ERROR" if name == "SERVICE_DEPLOYMENT_FAILED" else "INFO",
        "eventName": name,
        "deploymentId": deployment_id,
        "updatedAt": _stamp(),
        "reason": reason,
    }
    return _event("ECS Deployment State Change", service_arn, detail)


def impaired(service_arn: str, cluster_arn: str) -> Json:
    """An event as in "Amazon ECS service action events". The other actions are not emulated."""
    detail = {
        "eventType": "WARN",
        "eventName": "SERVICE_TASK_START_IMPAIRED",
        "clusterArn": cluster_arn,
        "createdAt": _stamp(),
    }
    return _event("ECS Service Action", service_arn, detail)


def hook_change(record: "Record", hook: "Hook") -> Json:
    """An event as in "Amazon ECS service deployment hook state change events"."""
    detail = {
        "eventType": "INFO" if hook.status in _GOOD else "ERROR",
        "eventName": f"HOOK_{hook.status}",
        "hookId": hook.hook_id,
        "hookType": hook.target_type,
        "expiresAt": _stamp(hook.expires_at),
        "lifecycleStage": hook.stage,
        "clusterArn": record.cluster_arn,
        "serviceArn": record.service_arn,
        "serviceDeploymentArn": record.service_deployment_arn,
        "updatedAt": _stamp(),
    }
    return _event("ECS Hook State Change", record.service_deployment_arn, detail)


def _event(kind: str, resource: str, detail: Json) -> Json:
    region, account = resource.split(":")[3:5]
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": "aws.ecs",
        "account": account,
        "time": _stamp(),
        "region": region,
        "resources": [resource],
        "detail": detail,
    }


def _stamp(at: datetime | None = None) -> str:
    return (at or now()).strftime("%Y-%m-%dT%H:%M:%SZ")
