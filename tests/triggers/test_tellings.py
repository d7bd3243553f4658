"""The queue of tellings: each message tells a channel of one row, or tests a channel."""

import json
import logging
from typing import Any

import pytest
from moto.sqs.models import sqs_backends

from chalicelib.store.jobs import find_build
from chalicelib.store.writes import change, commit
from infra.local.aws.queues import DEAD_TELLINGS, TELLINGS
from tests.faults.invariants import published
from tests.faults.rows import rows
from tests.support.builders import sqs_event
from tests.support.embedded import MINUTE, Cloud, add_topic, client, sha
from tests.support.sdk import Trouble


@pytest.fixture
def failed(cloud: Cloud) -> Cloud:
    """Two builds have failed, and a topic was not told of them yet."""
    add_topic(cloud)
    cloud.change_service(supersede_builds=False)
    for number in (1, 2):
        cloud.push(sha(number))
    cloud.settle()
    for number in (1, 2):
        cloud.advance(1)
        cloud.end_build(number, "FAILED", settle=False)
        cloud.pump.deliver_events()
    return cloud


def told() -> list[str]:
    return [f"{each['job_id']} {each['status']}" for each in published() if "job_id" in each]


def deliver(cloud: Cloud, **message: Any) -> None:
    body = json.dumps({"v": 1, **message})
    cloud.app.handler_map["on_telling"](sqs_event(body), None)


def test_a_repeated_message_tells_once(failed: Cloud) -> None:
    for _ in range(3):
        deliver(failed, tell="build-1", channel=1)
    assert told().count("build-1 failed") == 1


def test_unknown_fields_of_a_message_are_ignored(failed: Cloud) -> None:
    deliver(failed, tell="build-1", channel=1, since=3)
    assert told()[-1] == "build-1 failed"


def test_a_message_for_a_row_or_a_channel_that_is_gone_tells_nothing(failed: Cloud) -> None:
    before = told()
    deliver(failed, tell="build-99", channel=1)
    deliver(failed, tell="service-99", channel=1)
    deliver(failed, tell="build-1", channel=99)
    deliver(failed, test=99)
    assert told() == before


@pytest.mark.parametrize(
    "body",
    [
        "poison",
        "[]",
        "{}",
        '{"v": 2, "tell": "build-1", "channel": 1}',
        '{"v": 1, "tell": "build-1"}',
        '{"v": 1, "channel": 1}',
        '{"v": 1, "redeliver": false}',
        '{"v": 1, "redeliver": 1}',
        '{"v": 1, "tell": "build-1", "channel": "1"}',
        '{"v": 1, "tell": "service-x", "channel": 1}',
    ],
)
def test_an_unreadable_message_becomes_a_dead_letter_and_stops_no_other(
    failed: Cloud, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    failed.handlers_may_fail = True
    caplog.set_level(logging.CRITICAL, logger="slipway.local")
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=TELLINGS)["QueueUrl"]
    sqs.send_message(
        QueueUrl=url, MessageBody=body, MessageGroupId="9-9", MessageDeduplicationId="poison"
    )
    for _ in range(6):
        failed.pump.deliver_tellings()
        for message in sqs_backends["123456789012"]["eu-west-1"].queues[TELLINGS]._messages:
            message.visible_at = 0
    dead = sqs.get_queue_url(QueueName=DEAD_TELLINGS)["QueueUrl"]
    assert [each["Body"] for each in sqs.receive_message(QueueUrl=dead)["Messages"]] == [body]
    assert {"build-1 failed", "build-2 failed"} <= set(told())


def test_a_row_that_the_schedule_cannot_read_does_not_stop_the_next_one(
    failed: Cloud, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    failed.lose_tellings()
    failed.advance(2 * MINUTE)
    trouble.refuse("dynamodb.GetItem", "ProvisionedThroughputExceededException")
    failed.pump.tick()
    assert "build-1 is not announced: the database did not answer" in caplog.text
    failed.pump.deliver_tellings()
    assert told()[-1] == "build-2 failed"
    assert "build-1 failed" not in told()
    failed.tick()
    failed.pump.deliver_tellings()
    assert told()[-1] == "build-1 failed"


def test_a_row_that_the_schedule_cannot_understand_does_not_stop_the_next_one(
    failed: Cloud,
) -> None:
    failed.handlers_may_fail = True
    build = find_build(1)
    assert build is not None
    commit(change(build, told={"1": "no struct"}))
    failed.lose_tellings()
    failed.advance(2 * MINUTE)
    failed.pump.tick()
    failed.pump.deliver_tellings()
    assert told()[-1] == "build-2 failed"
    assert "telling" not in rows("jobs")["build-2"]


def test_a_later_channel_is_not_told_what_was_left_when_the_last_one_was_deleted(
    failed: Cloud,
) -> None:
    failed.lose_tellings()
    assert failed.api.delete("/v1/channels/1").status == 204
    failed.advance(MINUTE)
    failed.tick()
    before = told()
    add_topic(failed)
    for _ in range(3):
        failed.tick()
        failed.pump.deliver_tellings()
    assert told() == before
    assert not [row for row in rows("jobs").values() if "telling" in row]
