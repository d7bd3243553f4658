"""Wake-up messages: each one advances one row. An unreadable one becomes a dead letter."""

import logging

import pytest
from moto.sqs.models import sqs_backends

from app import app
from chalicelib.pipeline.reconcilers.loop import read_wakeup
from infra.local.aws.queues import DEAD_LETTERS, QUEUE
from tests.support.builders import sqs_event
from tests.support.embedded import Cloud, client, sha


def waiting(queue: str) -> list[str]:
    """The bodies of the visible messages of a queue."""
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
    return [message["Body"] for message in received.get("Messages", [])]


def deliver(body: str) -> None:
    app.handler_map["on_wakeup"](sqs_event(body), None)


def send(body: str) -> None:
    sqs = client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"], MessageBody=body)


def test_unknown_fields_of_a_message_are_ignored() -> None:
    wakeup = read_wakeup('{"v": 1, "reconcile": "build-1", "since": 3}')
    assert (wakeup.reconcile, wakeup.push) == ("build-1", None)


def test_a_repeated_message_builds_once(cloud: Cloud) -> None:
    cloud.push(sha(1))
    for _ in range(3):
        deliver('{"v": 1, "reconcile": "build-1"}')
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_an_unreadable_message_becomes_a_dead_letter_and_stops_no_other(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.handlers_may_fail = True
    caplog.set_level(logging.CRITICAL, logger="slipway.local")
    send("poison")
    cloud.push(sha(1))
    for _ in range(6):
        cloud.settle()
        make_visible()
    assert waiting(QUEUE) == []
    assert waiting(DEAD_LETTERS) == ["poison"]
    assert cloud.builds_in_codebuild() == ["build-1"]


def make_visible() -> None:
    """End the visibility timeout of every message in flight."""
    for message in sqs_backends["123456789012"]["eu-west-1"].queues[QUEUE]._messages:
        message.visible_at = 0
