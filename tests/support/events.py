"""Events as EventBridge and its scheduler pass them to Lambda functions."""

from typing import Any

ACCOUNT, REGION = "123456789012", "eu-west-1"


def codebuild_event(
    kind: str, *, project: str = "slipway-builds", stream: str | None = "build-1/8745a7a9"
) -> dict[str, Any]:
    """A state or phase change (CodeBuild User Guide, "Build notifications input format")."""
    arn = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:build/{project}:8745a7a9-c340-456a-9166"
    detail = {
        "build-status": "SUCCEEDED",
        "project-name": project,
        "build-id": arn,
        "additional-information": {
            "artifact": {"location": ""},
            "environment": {
                "image": "aws/codebuild/standard:4.0",
                "privileged-mode": True,
                "compute-type": "BUILD_GENERAL1_SMALL",
                "type": "LINUX_CONTAINER",
                "environment-variables": [],
            },
            "timeout-in-minutes": 60,
            "build-complete": True,
            "initiator": "slipway",
            "build-start-time": "Sep 1, 2017 4:12:29 PM",
            "source": {"location": "", "type": "NO_SOURCE"},
            "logs": {
                "group-name": "/slipway/builds",
                "stream-name": stream,
                "deep-link": "https://console.aws.amazon.com/cloudwatch/home",
            },
            "phases": [
                {"phase-type": "COMPLETED", "start-time": "Sep 1, 2017 4:14:21 PM"},
            ],
        },
        "current-phase": "COMPLETED",
        "current-phase-context": "[]",
        "version": "1",
    }
    return _event(f"CodeBuild Build {kind} Change", "aws.codebuild", arn, detail)


def ecs_event(service: str, *, cluster: str = "main") -> dict[str, Any]:
    """The end of a rollout ("Amazon ECS service deployment state change events")."""
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{cluster}/{service}"
    detail = {
        "eventType": "INFO",
        "eventName": "SERVICE_DEPLOYMENT_COMPLETED",
        "deploymentId": "ecs-svc/123",
        "updatedAt": "2020-05-23T11:11:11Z",
        "reason": "ECS deployment ecs-svc/123 completed.",
    }
    return _event("ECS Deployment State Change", "aws.ecs", arn, detail)


def task_event(started_by: object) -> dict[str, Any]:
    """A task has stopped ("Amazon ECS task state change events")."""
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/main/0123456789abcdef"
    detail = {"taskArn": arn, "lastStatus": "STOPPED", "startedBy": started_by}
    return _event("ECS Task State Change", "aws.ecs", arn, detail)


def schedule_event() -> dict[str, Any]:
    """The schedule fires (EventBridge User Guide, "Creating a rule that runs on a schedule")."""
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/slipway-on-schedule"
    return _event("Scheduled Event", "aws.events", arn, {})


def _event(kind: str, source: str, resource: str, detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "d030038d-8c4d-6141-9545-00ff7b7153EX",
        "detail-type": kind,
        "source": source,
        "account": ACCOUNT,
        "time": "2026-11-22T16:14:28Z",
        "region": REGION,
        "resources": [resource],
        "detail": detail,
    }
