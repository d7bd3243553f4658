"""Receivers in this account: topics of SNS and event buses of EventBridge."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chalicelib.aws.clients import calling, client
from chalicelib.errors import Rejected, Unavailable

# The source of all events.
SOURCE = "slipway"
# SNS: "Publish", Subject.
_SUBJECT_LENGTH = 99


@contextmanager
def _mendable(operation: str) -> Iterator[None]:
    """A refusal is Unavailable, too: a person can permit the call, or create the receiver."""
    try:
        with calling(operation):
            yield
    except Rejected as refusal:
        raise Unavailable(refusal.detail) from refusal


def publish(topic: str, *, subject: str, text: str, event: str, data: Mapping[str, Any]) -> None:
    """Publish to the topic with this ARN: `text` by e-mail, and `data` to programs.

    Raises Unavailable.
    """
    shown = "".join(each if each.isascii() and each.isprintable() else "?" for each in subject)
    with _mendable("SNS Publish"):
        client("sns").publish(
            TopicArn=topic,
            Subject=shown[:_SUBJECT_LENGTH],
            Message=json.dumps({"default": json.dumps(data), "email": text}),
            MessageStructure="json",
            MessageAttributes={"event": {"DataType": "String", "StringValue": event}},
        )


def put_event(bus: str, *, kind: str, detail: Mapping[str, Any], at: int) -> None:
    """Put an event on the bus with this name. Raises Unavailable."""
    with _mendable("EventBridge PutEvents"):
        answer = client("events").put_events(
            Entries=[
                {
                    "Source": SOURCE,
                    "DetailType": kind,
                    "Detail": json.dumps(detail),
                    "EventBusName": bus,
                    "Time": at,
                }
            ]
        )
    # PutEvents answers 200 also if it has taken no entry (API reference).
    if answer.get("FailedEntryCount"):
        refused = answer["Entries"][0]
        raise Unavailable(f"EventBridge refused the event: {refused.get('ErrorCode')}")
