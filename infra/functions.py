"""What the functions have besides the parts that Chalice writes: logs, failures, limits, a key."""

from typing import Any

from infra.shared import only_if
from infra.tellings import QUEUE

# The functions' logical ids in the application's template, with their names in Chalice.
HANDLERS = {
    "APIHandler": "api_handler",
    "OnWakeup": "on_wakeup",
    "OnTelling": "on_telling",
    "OnCloudEvent": "on_cloud_event",
    "OnSchedule": "on_schedule",
}
FUNCTIONS = tuple(HANDLERS)
# Logical ids of their log groups and roles.
LOG_GROUPS = tuple(f"{function}LogGroup" for function in FUNCTIONS)
_ROLES = ("ApiHandlerRole", "OnWakeupRole", "OnTellingRole", "OnCloudEventRole", "OnScheduleRole")
FAILED_INVOCATIONS = "FailedInvocations"

LOG_DAYS = 30

# Without this, Lambda logs plain text without fields and drops lines below WARNING
# (AWS Lambda: "Log and application log level filtering").
LOGGING = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO"}

# Executions that no other function can use. The source of each queue has at most ten at once.
# Lambda keeps 100 for functions without a reservation ("Configuring reserved concurrency").
RESERVED = {"OnWakeup": 10, "OnTelling": 10, "OnCloudEvent": 10, "OnSchedule": 2}

# EventBridge invokes these two asynchronously: Lambda repeats a failed invocation. The schedule's
# next minute does the same work. An event that is an hour old says nothing new.
_RETRIES = {
    "OnCloudEvent": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
    "OnSchedule": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
}
_TWO_WEEKS = 14 * 24 * 60 * 60


def function_parts(prefix: str) -> dict[str, Any]:
    """Properties of the functions, and resources beside them, by logical id."""
    return {
        **{f"{function}LogGroup": _log_group(function) for function in FUNCTIONS},
        **{function: _function(function, prefix) for function in FUNCTIONS},
        FAILED_INVOCATIONS: _failed_invocations(prefix),
        "UseOfTheKey": _use_of_the_key(),
    }


def _log_group(function: str) -> dict[str, Any]:
    """Chalice can set the retention of logs, but then writes a wrong function name (1.34)."""
    return {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "LogGroupName": {"Fn::Sub": f"/aws/lambda/${{{function}}}"},
            "RetentionInDays": LOG_DAYS,
            "KmsKeyId": only_if("HasKmsKey", {"Ref": "KmsKey"}),
        },
    }


def function_name(prefix: str, handler: str) -> str:
    """The name that `chalice deploy` looks for (1.34, deploy/appgraph.py)."""
    return prefix if handler == "api_handler" else f"{prefix}-{handler}"


def _function(function: str, prefix: str) -> dict[str, Any]:
    # SAM makes the source of the queue after the function, so the function waits for the queue.
    waits = {"DependsOn": [QUEUE]} if HANDLERS[function] == "on_telling" else {}
    return {"Properties": _properties(function, prefix), **waits}


def _properties(function: str, prefix: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "FunctionName": function_name(prefix, HANDLERS[function]),
        "LoggingConfig": LOGGING,
    }
    if function in RESERVED:
        reserved = only_if("ReservesConcurrency", RESERVED[function])
        properties["ReservedConcurrentExecutions"] = reserved
    if function in _RETRIES:
        queue = {"Fn::GetAtt": [FAILED_INVOCATIONS, "Arn"]}
        failure = {"OnFailure": {"Type": "SQS", "Destination": queue}}
        properties["EventInvokeConfig"] = {**_RETRIES[function], "DestinationConfig": failure}
    return properties


def _failed_invocations(prefix: str) -> dict[str, Any]:
    """The queue of events that on_cloud_event and on_schedule failed at.

    Not the dead letters of the wake-ups: these are wake-ups again, and can be moved back.
    """
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "QueueName": f"{prefix}-failed-invocations",
            "MessageRetentionPeriod": _TWO_WEEKS,
            "SqsManagedSseEnabled": {"Fn::If": ["HasKmsKey", {"Ref": "AWS::NoValue"}, True]},
            "KmsMasterKeyId": only_if("HasKmsKey", {"Ref": "KmsKey"}),
        },
    }


def _use_of_the_key() -> dict[str, Any]:
    """The permission to use `KmsKey`, through the services that store or send what it encrypts."""
    through = [
        {"Fn::Sub": f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}"}
        for service in ("dynamodb", "secretsmanager", "sns", "sqs", "ssm")
    ]
    statement = {
        "Sid": "UseTheKey",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": {"Ref": "KmsKey"},
        "Condition": {"StringEquals": {"kms:ViaService": through}},
    }
    return {
        "Type": "AWS::IAM::Policy",
        "Condition": "HasKmsKey",
        "Properties": {
            "PolicyName": "use-of-the-key",
            "Roles": [{"Ref": role} for role in _ROLES],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        },
    }
