"""ECS services: what runs, what failed, and telling them what to run."""

from collections.abc import Mapping
from typing import Any

from chalicelib.aws.clients import calling, client
from chalicelib.domain.rollouts import Rollout
from chalicelib.errors import Rejected

_ROLLED_BACK = {
    "ROLLBACK_REQUESTED",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_FAILED",
}


def observe(cluster: str, service: str, *, wanted: str | None) -> Rollout:
    """The service as it is now.

    When `wanted` is neither PRIMARY nor among the deployments still listed, the service's rollout
    history is asked whether it was rolled out and failed: after a circuit breaker's rollback
    PRIMARY is the old definition again (ListServiceDeployments and DescribeServiceRevisions).
    Raises Rejected when cluster or service are missing or inactive.
    """
    with calling("ECS DescribeServices"):
        answer = client("ecs").describe_services(cluster=cluster, services=[service])
    found = [row for row in answer["services"] if row["status"] == "ACTIVE"]
    if not found:
        raise Rejected(
            f"there is no active ECS service {service} in cluster {cluster}",
            code="ecs_service_missing",
        )
    row = found[0]
    if row.get("deploymentController", {}).get("type", "ECS") != "ECS":
        raise Rejected(
            f"the ECS service {service} is deployed by {row['deploymentController']['type']}; "
            "Slipway needs the ECS deployment controller",
            code="ecs_controller_unsupported",
        )
    primary = next(d for d in row["deployments"] if d["status"] == "PRIMARY")
    failed = {
        d["taskDefinition"]: d.get("rolloutStateReason", "the rollout failed")
        for d in row["deployments"]
        if d.get("rolloutState") == "FAILED"
    }
    if wanted and wanted != primary["taskDefinition"] and wanted not in failed:
        failed |= _failed_in_history(cluster, service)
    return Rollout(
        task_definition=primary["taskDefinition"],
        state=primary.get("rolloutState", "COMPLETED"),
        reason=primary.get("rolloutStateReason", ""),
        desired=primary["desiredCount"],
        running=primary["runningCount"],
        failed=failed,
        configuration=row.get("deploymentConfiguration", {}),
    )


def _failed_in_history(cluster: str, service: str) -> dict[str, str]:
    with calling("ECS ListServiceDeployments"):
        listed = client("ecs").list_service_deployments(cluster=cluster, service=service)
    reasons = {
        row["targetServiceRevisionArn"]: row.get("statusReason") or "the rollout was rolled back"
        for row in listed["serviceDeployments"][:20]
        if row["status"] in _ROLLED_BACK and "targetServiceRevisionArn" in row
    }
    if not reasons:
        return {}
    with calling("ECS DescribeServiceRevisions"):
        described = client("ecs").describe_service_revisions(serviceRevisionArns=list(reasons))
    return {
        revision["taskDefinition"]: reasons[revision["serviceRevisionArn"]]
        for revision in described["serviceRevisions"]
    }


def describe_task_definition(arn: str) -> dict[str, Any]:
    """A task definition with its tags under "tags", as DescribeTaskDefinition gives them."""
    with calling("ECS DescribeTaskDefinition"):
        answer = client("ecs").describe_task_definition(taskDefinition=arn, include=["TAGS"])
    return {**answer["taskDefinition"], "tags": answer.get("tags", [])}


def register_task_definition(request: Mapping[str, Any]) -> str:
    """Register a revision and return its ARN; a lost answer leaves a revision nobody uses."""
    with calling("ECS RegisterTaskDefinition"):
        answer = client("ecs").register_task_definition(**request)
    arn: str = answer["taskDefinition"]["taskDefinitionArn"]
    return arn


def update_service(request: Mapping[str, Any]) -> None:
    """UpdateService; the definition that runs already starts no new rollout."""
    with calling("ECS UpdateService"):
        client("ecs").update_service(**request)
