"""The queue that wakes the pipeline: a message says where to look, a lost one costs a minute."""

import json
import logging

from chalicelib.aws.clients import calling, client
from chalicelib.errors import SlipwayError
from chalicelib.settings import settings

logger = logging.getLogger("slipway")


def wake(*keys: str) -> None:
    """Have these ("build-123", "service-7") looked at now.

    The rows are due already, so a failure to send is reported and not raised: the schedule finds
    them within a minute.
    """
    for start in range(0, len(keys), 10):
        entries = [
            {"Id": str(index), "MessageBody": json.dumps({"v": 1, "reconcile": key})}
            for index, key in enumerate(keys[start : start + 10])
        ]
        try:
            with calling("SQS SendMessageBatch"):
                client("sqs").send_message_batch(QueueUrl=settings().queue_url, Entries=entries)
        except SlipwayError as error:
            logger.warning("wake-up not sent, the schedule will find it: %s", error.detail)
