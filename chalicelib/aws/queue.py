"""The queue of wake-ups, and that of what is told to channels and asked of GitHub.

A message is only a hint: if it is lost, the schedule finds what is to be done.
"""

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chalicelib.aws.clients import calling, client
from chalicelib.errors import SlipwayError
from chalicelib.settings import settings

logger = logging.getLogger("slipway")


def wake(*row_ids: str, delay: int = 0) -> None:
    """Send wake-ups for rows ("build-123", "service-7"), so that they are reconciled now.

    With `delay` SQS delivers them so many seconds later, at most 900. A failure is only logged: the
    rows are due within a minute, and the schedule finds them within two.
    """
    entries = [
        {"MessageBody": json.dumps({"v": 1, "reconcile": row_id}), "DelaySeconds": delay}
        for row_id in row_ids
    ]
    _send(settings().queue_url, entries, failure="wake-up not sent; the schedule finds the rows")


class Telling(msgspec.Struct, frozen=True):
    """A row that a channel is to be told of, with its service."""

    row_id: str
    service_id: int
    channel: int


def tell(tellings: Sequence[Telling]) -> None:
    """Send what is to be told. A failure is only logged: the schedule finds the rows.

    The queue delivers one message after another for each channel and service. So no two workers
    tell a channel of the same service at once, and a slow receiver delays only its own messages.
    """
    entries = [
        _in_group(
            f"{each.channel}-{each.service_id}", {"tell": each.row_id, "channel": each.channel}
        )
        for each in tellings
    ]
    failure = "not sent to be told; the schedule finds the rows"
    _send(settings().telling_queue_url, entries, failure=failure)


def look(*services: int) -> None:
    """Send the requests to look at the heads of the branches that services follow.

    A failure is only logged: the next period asks again.
    """
    entries = [_in_group(f"{number}-head", {"look": number}) for number in services]
    failure = "heads of branches are not looked at; the next period asks again"
    _send(settings().telling_queue_url, entries, failure=failure)


def redeliver() -> None:
    """Send the request to have GitHub repeat the failed deliveries of the GitHub App's webhook.

    A failure is only logged: the next period asks again. The queue delivers one such message after
    another.
    """
    entry = _in_group("redeliveries", {"redeliver": True})
    failure = "failed deliveries are not looked at; the next period asks again"
    _send(settings().telling_queue_url, [entry], failure=failure)


def report_push(push: Any) -> None:
    """Send a push that was found, as JSON, to be taken like a delivered one.

    A failure is only logged: the next period finds the push again.
    """
    entry = {"MessageBody": json.dumps({"v": 1, "push": push})}
    failure = "a push that was found is not taken; the next period finds it again"
    _send(settings().queue_url, [entry], failure=failure)


def ask_checks(*job_ids: str, at: int) -> None:
    """Send the request to ask GitHub for the checks of the commits of deployments.

    `at` is the time since when the answer may be new. A failure is only logged: the next step of
    the deployment's service asks again. The queue delivers one message after another for each
    deployment.
    """
    entries = [_in_group(f"checks-{job_id}", {"checks": job_id, "at": at}) for job_id in job_ids]
    failure = "checks are not asked for; the next minute asks"
    _send(settings().telling_queue_url, entries, failure=failure)


def _in_group(group: str, message: Mapping[str, Any]) -> dict[str, str]:
    """A message of the FIFO queue, which delivers those of a group one after another."""
    return {
        "MessageBody": json.dumps({"v": 1, **message}),
        "MessageGroupId": group,
        # Each message is delivered: an equal one before it may have told an older state.
        "MessageDeduplicationId": secrets.token_hex(16),
    }


def _send(url: str, entries: Sequence[Mapping[str, Any]], *, failure: str) -> None:
    """Send messages in batches of ten, the most that SQS takes. A failure is only logged."""
    for start in range(0, len(entries), 10):
        batch = [
            {"Id": str(index), **entry} for index, entry in enumerate(entries[start : start + 10])
        ]
        try:
            with calling("SQS SendMessageBatch"):
                client("sqs").send_message_batch(QueueUrl=url, Entries=batch)
        except SlipwayError as error:
            logger.warning("%s: %s", failure, error.detail)


def test_channel(number: int) -> None:
    """Send the request to test a channel. Raises Rejected and Unavailable."""
    with calling("SQS SendMessage"):
        client("sqs").send_message(
            QueueUrl=settings().telling_queue_url, **_in_group(f"{number}-test", {"test": number})
        )


def check() -> None:
    """Check that the queue answers; raises Rejected and Unavailable."""
    with calling("SQS GetQueueAttributes"):
        client("sqs").get_queue_attributes(
            QueueUrl=settings().queue_url, AttributeNames=["QueueArn"]
        )


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that failed too often. `id` is SQS's MessageId, the same at each receive."""

    id: str
    body: str


def dead_letters() -> list[DeadLetter]:
    """Up to ten dead letters. They stay in the queue and visible, so that they can be redriven.

    Raises Rejected and Unavailable.
    """
    with calling("SQS ReceiveMessage"):
        answer = client("sqs").receive_message(
            QueueUrl=settings().dead_letter_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            WaitTimeSeconds=0,
        )
    return [DeadLetter(each["MessageId"], each["Body"]) for each in answer.get("Messages", [])]
