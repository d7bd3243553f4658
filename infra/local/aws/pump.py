"""Replaces Lambda's event sources: calls the app's handlers for messages, events and schedule.

It starts no thread: the caller runs `step` to make the deliveries that are due.
"""

import logging
import threading
from typing import Any

import boto3
from chalice.app import Chalice
from chalice.local import LambdaContext
from moto.events.models import EventPattern

from chalicelib.settings import settings
from chalicelib.triggers.events import PATTERN
from infra.local.aws import clock, codebuild, ecs

logger = logging.getLogger("slipway.local")
PERIOD = 60.0
_RULE = EventPattern(None, PATTERN)
TIMEOUTS_MS = dict.fromkeys(("on_wakeup", "on_telling", "on_cloud_event", "on_schedule"), 30_000)


class Pump:
    """Delivers messages, EventBridge events and the schedule to one app's handlers."""

    def __init__(self, app: Chalice) -> None:
        self._app = app
        self._sqs = boto3.client("sqs")
        self.ticked_at = clock.now()
        self._ending = threading.Event()

    def end(self) -> None:
        """Stop deliveries. A running handler then sees no remaining time."""
        self._ending.set()

    def step(self) -> int:
        """Deliver everything that is due. Returns the number of deliveries."""
        delivered = self.deliver_messages() + self.deliver_events() + self.deliver_tellings()
        return delivered + self._tick_when_due()

    def settle(self, rounds: int = 50) -> None:
        """Step until no delivery is due."""
        for _ in range(rounds):
            if not self.step():
                return
        raise RuntimeError(f"still busy after {rounds} steps")

    def tick(self) -> None:
        """Fire the schedule."""
        self.ticked_at = clock.now()
        self._invoke("on_schedule", _scheduled_event())

    def deliver_messages(self) -> int:
        """Deliver wake-ups one by one. A failed one returns after its visibility timeout."""
        return self._deliver("on_wakeup", settings().queue_url)

    def deliver_tellings(self) -> int:
        """Deliver what channels are to be told, in the order of the queue."""
        return self._deliver("on_telling", settings().telling_queue_url)

    def _deliver(self, function: str, url: str) -> int:
        received = self._sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=0,
            AttributeNames=["All"],
        )
        messages = received.get("Messages", [])
        for message in messages:
            if self._ending.is_set():
                break
            if self._invoke(function, _sqs_event(message, url)):
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(messages)

    def deliver_events(self) -> int:
        """Deliver those events of CodeBuild and ECS since the last call that match the rule."""
        sent: list[Any] = [*codebuild.engine().drain_events(), *ecs.engine().drain_events()]
        events = [event for event in sent if _RULE.matches_event(event)]
        for event in events:
            if self._ending.is_set():
                break
            self._invoke("on_cloud_event", event)
        return len(events)

    def _tick_when_due(self) -> int:
        if self._ending.is_set() or clock.now() - self.ticked_at < PERIOD:
            return 0
        self.tick()
        return 1

    def _invoke(self, function: str, event: dict[str, Any]) -> bool:
        context = _Context(function, self._ending)
        try:
            self._app.handler_map[function](event, context)
        except Exception:
            logger.exception("%s failed; it is redelivered if AWS would do so", function)
            return False
        return True


class _Context(LambdaContext):
    """Lambda's context. No time remains after the pump's end."""

    def __init__(self, function: str, ending: threading.Event) -> None:
        super().__init__(function, memory_size=512, max_runtime_ms=TIMEOUTS_MS[function])
        self._ending = ending

    def get_remaining_time_in_millis(self) -> int:
        return 0 if self._ending.is_set() else int(super().get_remaining_time_in_millis())


def _sqs_event(message: Any, url: str) -> dict[str, Any]:
    """One record, as Lambda's event source mapping passes it on."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message.get("Attributes", {}),
                "messageAttributes": {},
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:" + url.rpartition("/")[2],
                "awsRegion": "eu-west-1",
            }
        ]
    }


def _scheduled_event() -> dict[str, Any]:
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:events:eu-west-1:123456789012:rule/slipway-on-schedule"],
        "detail": {},
    }
