"""Creates the queue and its dead-letter queue, as `infra/stack.yaml` declares them.

This is separate from the other resources, because Slipway's settings need the queue's URL first.
"""

import json
from typing import Any

import boto3

QUEUE = "slipway-wakeups"
DEAD_LETTERS = "slipway-wakeups-dead"
QUEUE_ATTRIBUTES: Any = {
    "VisibilityTimeout": "180",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "20",
}
DEAD_LETTER_ATTRIBUTES: Any = {
    "VisibilityTimeout": "180",
    "MessageRetentionPeriod": "1209600",
    "ReceiveMessageWaitTimeSeconds": "20",
}
MAX_RECEIVE_COUNT = 5


def create_queues() -> str:
    """Create the queue and its dead-letter queue; return the queue's URL."""
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName=DEAD_LETTERS, Attributes=DEAD_LETTER_ATTRIBUTES)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": MAX_RECEIVE_COUNT}
    attributes = QUEUE_ATTRIBUTES | {"RedrivePolicy": json.dumps(redrive)}
    return sqs.create_queue(QueueName=QUEUE, Attributes=attributes)["QueueUrl"]
