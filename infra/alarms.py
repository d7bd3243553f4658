"""The alarms of the application's stack: functions, API and schedule.

The alarms of the queue of wake-ups are in `infra/stack.yaml`. Each alarm tells `AlarmTopic`, if
there is one.
"""

from typing import Any

from chalicelib.cloudwatch import NAMESPACE
from infra.api_stage import STAGE, WEBHOOK
from infra.functions import FAILED_INVOCATIONS, FUNCTIONS
from infra.shared import only_if
from infra.tellings import DEAD, QUEUE

_FIVE_MINUTES = 300


def alarms(prefix: str) -> dict[str, Any]:
    """The alarms of the installation with this name prefix, by logical id."""
    api = {"ApiName": prefix, "Stage": STAGE}
    found = {}
    for function in FUNCTIONS:
        of_function = {"FunctionName": {"Ref": function}}
        found[f"{function}ErrorsAlarm"] = _alarm(
            f"{prefix}-errors-{function}",
            "The function failed three times in five minutes. Its log has the reason.",
            ("AWS/Lambda", "Errors", of_function),
            at_least=3,
        )
        found[f"{function}ThrottlesAlarm"] = _alarm(
            f"{prefix}-throttles-{function}",
            "Lambda has refused calls for ten minutes: the account's concurrency is used up.",
            ("AWS/Lambda", "Throttles", of_function),
            at_least=1,
            periods=2,
        )
    found["ApiErrorsAlarm"] = _alarm(
        f"{prefix}-api-errors",
        "The API answered five requests in five minutes with a 5xx.",
        ("AWS/ApiGateway", "5XXError", api),
        at_least=5,
    )
    found["RefusedRequestsAlarm"] = _alarm(
        f"{prefix}-refused-requests",
        "The API refused 500 requests in five minutes. The access log has their addresses.",
        ("AWS/ApiGateway", "4XXError", api),
        at_least=500,
    )
    found["WebhookLatencyAlarm"] = _alarm(
        f"{prefix}-webhook-latency",
        "5 % of GitHub's deliveries take over five seconds. GitHub gives up after ten.",
        ("AWS/ApiGateway", "Latency", {**api, "Method": "POST", "Resource": WEBHOOK}),
        at_least=5_000,
        periods=2,
        statistic={"ExtendedStatistic": "p95"},
    )
    found["FailedInvocationsAlarm"] = _alarm(
        f"{prefix}-failed-invocations",
        "An event or a run of the schedule failed. The queue has it, with the reason.",
        (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            {"QueueName": {"Fn::GetAtt": [FAILED_INVOCATIONS, "QueueName"]}},
        ),
        at_least=1,
        statistic={"Statistic": "Maximum"},
    )
    found["DeadTellingAlarm"] = _alarm(
        f"{prefix}-dead-tellings",
        "The message to tell a channel of a job failed five times. The schedule sends another one.",
        (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            {"QueueName": {"Fn::GetAtt": [DEAD, "QueueName"]}},
        ),
        at_least=1,
        statistic={"Statistic": "Maximum"},
    )
    found["StaleTellingAlarm"] = _alarm(
        f"{prefix}-stale-tellings",
        "Channels are not told: messages wait in their queue.",
        (
            "AWS/SQS",
            "ApproximateAgeOfOldestMessage",
            {"QueueName": {"Fn::GetAtt": [QUEUE, "QueueName"]}},
        ),
        at_least=600,
        periods=2,
        statistic={"Statistic": "Maximum"},
    )
    found["ChannelOffAlarm"] = _alarm(
        f"{prefix}-channel-off",
        "A channel is switched off: its receiver has failed for a day.",
        (NAMESPACE, "ChannelsOff", {"Installation": prefix}),
        at_least=1,
    )
    overdue = _alarm(
        f"{prefix}-overdue",
        "Work has waited ten minutes for the schedule, or the schedule does not run. "
        "The log of on_schedule has the reason.",
        (NAMESPACE, "OverdueSeconds", {"Installation": prefix}),
        at_least=600,
        statistic={"Statistic": "Maximum"},
    )
    # No data: the schedule does not run. The state of a new alarm is the same, and tells nobody.
    overdue["Properties"] |= {
        "TreatMissingData": "missing",
        "InsufficientDataActions": overdue["Properties"]["AlarmActions"],
    }
    found["OverdueAlarm"] = overdue
    return found


def _alarm(
    name: str,
    description: str,
    metric: tuple[str, str, dict[str, Any]],
    *,
    at_least: int,
    periods: int = 1,
    statistic: dict[str, str] | None = None,
) -> dict[str, Any]:
    namespace, metric_name, dimensions = metric
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": name,
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric_name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            **(statistic or {"Statistic": "Sum"}),
            "Period": _FIVE_MINUTES,
            "EvaluationPeriods": periods,
            "Threshold": at_least,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": only_if("HasAlarmTopic", [{"Ref": "AlarmTopic"}]),
        },
    }
