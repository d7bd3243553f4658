"""The queue that wakes the pipeline: a message names a row, and a lost one costs a minute."""

import json
import logging
from dataclasses import dataclass

from chalicelib.aws.clients import calling, client
from chalicelib.errors import SlipwayError
from chalicelib.settings import settings

logger = logging.getLogger("slipway")


def wake(*row_ids: str) -> None:
    """Have these rows ("build-123", "service-7") reconciled now.

    They are due already, so a failure to send is logged and not raised: the schedule finds them
    within a minute.
    """
    for start in range(0, len(row_ids), 10):
        entries = [
            {"Id": str(index), "MessageBody": json.dumps({"v": 1, "reconcile": row_id})}
            for index, row_id in enumerate(row_ids[start : start + 10])
        ]
        try:
            with calling("SQS SendMessageBatch"):
                client("sqs").send_message_batch(QueueUrl=settings().queue_url, Entries=entries)
        except SlipwayError as error:
            logger.warning("wake-up not sent, the schedule will find it: %s", error.detail)


@dataclass(frozen=True)
class DeadLetter:
    """A message that was received too often; `id` is SQS's, the same each time it is looked at."""

    id: str
    body: str


def dead_letters() -> list[DeadLetter]:
    """Some of the dead letters, up to ten. They stay, and stay visible: to be looked at again, and
    to be redriven. Raises Rejected and Unavailable.
    """
    with calling("SQS ReceiveMessage"):
        answer = client("sqs").receive_message(
            QueueUrl=settings().dead_letter_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            WaitTimeSeconds=0,
        )
    return [DeadLetter(each["MessageId"], each["Body"]) for each in answer.get("Messages", [])]
