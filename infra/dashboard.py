"""The CloudWatch dashboard, and the saved query that follows a push through all functions.

They belong to the application's template, which has the functions. The other stack's template is
sent as text and has no room left: CloudFormation takes 51,200 bytes.
"""

import json
from collections.abc import Sequence
from typing import Any

from chalicelib.cloudwatch import NAMESPACE
from chalicelib.domain.metrics import BUILD_ENDS, DEPLOYMENT_ENDS
from infra.functions import FUNCTIONS, LOG_GROUPS
from infra.tellings import dead_queue_name, queue_name

FOLLOW_A_PUSH = """\
fields @timestamp, @log, level, message, job_id, service_id, delivery, request_id, message_id
| filter commit_sha = "put the commit's full SHA here" and ispresent(message)
| sort @timestamp asc
| limit 1000"""

_HOUR = 3600


def dashboard_and_query(prefix: str) -> dict[str, Any]:
    """The resources for the installation with this name prefix, by logical id."""
    return {
        "Dashboard": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {
                "DashboardName": prefix,
                "DashboardBody": {"Fn::Sub": json.dumps({"widgets": _widgets(prefix)})},
            },
        },
        "FollowAPush": {
            "Type": "AWS::Logs::QueryDefinition",
            "Properties": {
                "Name": f"{prefix}/follow a push",
                "LogGroupNames": [{"Ref": name} for name in LOG_GROUPS],
                "QueryString": FOLLOW_A_PUSH,
            },
        },
    }


def _widgets(prefix: str) -> list[dict[str, Any]]:
    def own(name: str, status: str, **look: Any) -> list[Any]:
        return [NAMESPACE, name, "Installation", prefix, "Status", status, look]

    def times(*names: str) -> list[list[Any]]:
        return [
            own(f"{name}Seconds", "success", stat=stat, label=f"{name} {stat}")
            for name in names
            for stat in ("p50", "p95")
        ]

    def waiting(queue: str, dead: str) -> list[list[Any]]:
        return [
            ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue],
            ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", dead],
        ]

    wakeups = f"{prefix}-wakeups"
    errors = [["AWS/Lambda", "Errors", "FunctionName", f"${{{name}}}"] for name in FUNCTIONS]
    widgets = [
        _widget("Deployments by their end", [own("Deployments", end) for end in DEPLOYMENT_ENDS]),
        _widget("Builds by their end", [own("Builds", end) for end in BUILD_ENDS]),
        _widget("Queue, build and deploy time", times("Queue", "Build", "Deploy")),
        _widget("Lead time and time to restore", times("Lead", "Restore")),
        _widget(
            "Wake-ups: age of the oldest, and dead letters",
            waiting(wakeups, f"{wakeups}-dead"),
            stat="Maximum",
            period=300,
        ),
        _widget(
            "Tellings: age of the oldest, and dead letters",
            waiting(queue_name(prefix), dead_queue_name(prefix)),
            stat="Maximum",
            period=300,
        ),
        _widget("Errors of the functions", errors, period=300),
    ]
    for place, widget in enumerate(widgets):
        widget |= {"x": place % 2 * 12, "y": place // 2 * 6, "width": 12, "height": 6}
    return widgets


def _widget(
    title: str, metrics: Sequence[Any], *, stat: str = "Sum", period: int = _HOUR
) -> dict[str, Any]:
    properties = {
        "title": title,
        "region": "${AWS::Region}",
        "stat": stat,
        "period": period,
        "metrics": metrics,
    }
    return {"type": "metric", "properties": properties}
