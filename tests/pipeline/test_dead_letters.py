"""A wake-up that always fails becomes a dead letter.

Its row shows `attention` and does not end. A redrive delivers the wake-up again.
"""

import json

import pytest

from infra.local.aws.queues import DEAD_LETTERS, QUEUE
from infra.redrive import redrive
from tests.faults.rows import services
from tests.support.embedded import MINUTE, Cloud, client, sha
from tests.support.events import schedule_event
from tests.support.sdk import Trouble

VISIBILITY_TIMEOUT = 180  # seconds
MAX_RECEIVES = 5


def url(name: str = QUEUE) -> str:
    return str(client("sqs").get_queue_url(QueueName=name)["QueueUrl"])


def count(name: str) -> int:
    attributes = client("sqs").get_queue_attributes(
        QueueUrl=url(name), AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


def fail_every_receive(cloud: Cloud, trouble: Trouble | None = None) -> None:
    """Every allowed receive fails; the next one moves the message to the dead letters."""
    cloud.handlers_may_fail = True
    for received in range(MAX_RECEIVES + 1):
        if trouble and received < MAX_RECEIVES:
            trouble.refuse("dynamodb.GetItem", "AccessDeniedException", times=1)
        cloud.pump.deliver_messages()
        cloud.advance(VISIBILITY_TIMEOUT + 1)
    assert (count(QUEUE), count(DEAD_LETTERS)) == (0, 1)


@pytest.fixture
def stuck(cloud: Cloud, trouble: Trouble) -> Cloud:
    """A queued build with its wake-up among the dead letters. The cause of the failures is gone."""
    cloud.change_service(queued_minutes=60)
    cloud.push(sha(1))
    fail_every_receive(cloud, trouble)
    return cloud


def read_dead_letters(cloud: Cloud) -> None:
    """Run the schedule: it reads the dead letters and has no time left for due rows.

    The messages by which it gives them to the queue are lost.
    """
    cloud.app.handler_map["on_schedule"](schedule_event(), _NoTimeLeft())
    cloud.lose_messages()


class _NoTimeLeft:
    def get_remaining_time_in_millis(self) -> int:
        return 0


def test_a_row_with_a_dead_letter_shows_attention_and_does_not_end(stuck: Cloud) -> None:
    read_dead_letters(stuck)
    build = stuck.build(1)
    assert build["status"] == "queued"
    assert build["attention"].startswith("its wake-up failed five times")
    assert stuck.job("build-1")["attention"] == build["attention"]
    assert count(DEAD_LETTERS) == 1


def test_a_dead_letter_that_is_read_again_is_logged_once(
    stuck: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    read_dead_letters(stuck)
    read_dead_letters(stuck)
    assert caplog.text.count("build-1 needs attention") == 1


def test_attention_goes_when_the_schedule_has_done_the_work(stuck: Cloud) -> None:
    read_dead_letters(stuck)
    stuck.tick()
    assert stuck.builds_in_codebuild() == ["build-1"]
    stuck.finish_build(1)
    assert stuck.build(1)["attention"] is None
    stuck.tick()
    assert stuck.build(1)["attention"] is None


def test_a_redrive_runs_the_job_once(stuck: Cloud) -> None:
    read_dead_letters(stuck)
    assert redrive(client("sqs"), url()) == 1
    assert (count(QUEUE), count(DEAD_LETTERS)) == (1, 0)
    stuck.settle()
    assert stuck.build(1)["status"] == "building"
    assert stuck.builds_in_codebuild() == ["build-1"]
    assert redrive(client("sqs"), url()) == 0


def test_a_service_shows_attention_until_its_deployment_has_ended(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1, settle=False)
    cloud.pump.deliver_events()
    fail_every_receive(cloud, trouble)
    cloud.handlers_may_fail = True
    read_dead_letters(cloud)
    assert cloud.service()["attention"].startswith("its wake-up failed five times")
    cloud.tick()
    cloud.settle()
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.statuses(1) == ["success"]
    assert cloud.service()["attention"] is None


@pytest.mark.parametrize("body", ["not JSON", json.dumps({"v": 1, "reconcile": "build-99"})])
def test_a_dead_letter_without_a_row_stays_in_its_queue(cloud: Cloud, body: str) -> None:
    client("sqs").send_message(QueueUrl=url(DEAD_LETTERS), MessageBody=body)
    cloud.push(sha(1))
    cloud.tick()
    assert count(DEAD_LETTERS) == 1
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_an_unreadable_message_does_not_stop_other_work(cloud: Cloud) -> None:
    client("sqs").send_message(QueueUrl=url(), MessageBody="not JSON")
    cloud.push(sha(1))
    fail_every_receive(cloud)
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_the_schedule_works_if_the_dead_letters_cannot_be_read(
    cloud: Cloud, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.push(sha(1))
    trouble.refuse("sqs.ReceiveMessage", "AccessDenied", times=1)
    cloud.advance(MINUTE)
    cloud.pump.tick()
    assert "dead letters not read" in caplog.text
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_two_dead_letters_of_one_row_do_not_change_it_again(cloud: Cloud) -> None:
    cloud.handlers_may_fail = True
    cloud.release(1)
    for _ in range(2):
        client("sqs").send_message(
            QueueUrl=url(DEAD_LETTERS),
            MessageBody=json.dumps({"v": 1, "reconcile": "service-1"}),
        )
    read_dead_letters(cloud)
    version = services()[1]["version"]
    read_dead_letters(cloud)
    assert services()[1]["version"] == version
