"""Creates the queues and their dead-letter queues, as `infra/stack.yaml` declares them.

This is separate from the other resources, because Slipway's settings need the queue's URL first.
"""

import json
from typing import Any

import boto3

QUEUE = "slipway-wakeups"
DEAD_LETTERS = "slipway-wakeups-dead"
TELLINGS = "slipway-tellings.fifo"
DEAD_TELLINGS = "slipway-tellings-dead.fifo"
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
# Groups do not wait for each other, and each has its own limit of messages.
FIFO: Any = {
    "FifoQueue": "true",
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
}
MAX_RECEIVE_COUNT = 5


def create_queues() -> str:
    """Create the queues and their dead-letter queues; return the URL of that of wake-ups."""
    _create(TELLINGS, DEAD_TELLINGS, FIFO)
    return _create(QUEUE, DEAD_LETTERS, {})


def _create(name: str, dead_name: str, more: Any) -> str:
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName=dead_name, Attributes=DEAD_LETTER_ATTRIBUTES | more)
    arn = sqs.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
    redrive = {
        "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
        "maxReceiveCount": MAX_RECEIVE_COUNT,
    }
    attributes = QUEUE_ATTRIBUTES | more | {"RedrivePolicy": json.dumps(redrive)}
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
