"""The queue of what channels are to be told, and its dead letters.

They belong to the application's template, as the other one has no room left: CloudFormation takes
51,200 bytes. Nothing is lost with the queue, because the jobs' rows say what is to be told.
"""

from typing import Any

from infra.shared import only_if

QUEUE, DEAD = "TellingQueue", "DeadTellingQueue"
_FOUR_DAYS, _TWO_WEEKS = 4 * 24 * 60 * 60, 14 * 24 * 60 * 60
# Six times the function's 30 s, as AWS advises for Lambda event sources.
_HIDDEN_SECONDS = 180


def queue_name(prefix: str) -> str:
    """The name of the queue. `Settings.telling_queue` has the same rule."""
    return f"{prefix}-tellings.fifo"


def dead_queue_name(prefix: str) -> str:
    """The name of its queue of dead letters."""
    return f"{prefix}-tellings-dead.fifo"


def telling_parts(prefix: str) -> dict[str, Any]:
    """The resources for the installation with this name prefix, by logical id."""
    arn = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}"
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": [DEAD, "Arn"]}, "maxReceiveCount": 5}
    allow = {
        "redrivePermission": "byQueue",
        # The queue refers to its dead letters, so they can name it only by its text.
        "sourceQueueArns": [{"Fn::Sub": f"{arn}:{queue_name(prefix)}"}],
    }
    return {
        QUEUE: _queue(
            QueueName=queue_name(prefix),
            MessageRetentionPeriod=_FOUR_DAYS,
            RedrivePolicy=redrive,
        ),
        DEAD: _queue(
            QueueName=dead_queue_name(prefix),
            MessageRetentionPeriod=_TWO_WEEKS,
            RedriveAllowPolicy=allow,
        ),
        "TellingQueuePolicy": _queue_policy(),
    }


def _queue(**properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            **properties,
            "FifoQueue": True,
            # Groups do not wait for each other, and each has its own limit of messages
            # ("High throughput for FIFO queues" in SQS's developer guide).
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
            "VisibilityTimeout": _HIDDEN_SECONDS,
            "ReceiveMessageWaitTimeSeconds": 20,
            "SqsManagedSseEnabled": {"Fn::If": ["HasKmsKey", {"Ref": "AWS::NoValue"}, True]},
            "KmsMasterKeyId": only_if("HasKmsKey", {"Ref": "KmsKey"}),
        },
    }


def _queue_policy() -> dict[str, Any]:
    """Other accounts cannot send, for the reason beside WakeupQueuePolicy in infra/stack.yaml."""
    statement = {
        "Sid": "OnlyThisAccountSends",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": {"Fn::GetAtt": [QUEUE, "Arn"]},
        "Condition": {"StringNotEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}},
    }
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": QUEUE}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        },
    }
