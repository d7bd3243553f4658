"""A wake-up that fails again and again: it ends nothing, somebody is told, and it comes back."""

import json

import pytest

from infra.local.aws.queues import DEAD_LETTERS, QUEUE
from infra.redrive import redrive
from tests.faults.rows import services
from tests.support.embedded import MINUTE, Cloud, client, sha
from tests.support.events import schedule_event
from tests.support.sdk import Trouble

VISIBILITY = 180
RECEIVES = 5


def url(name: str = QUEUE) -> str:
    return str(client("sqs").get_queue_url(QueueName=name)["QueueUrl"])


def count(name: str) -> int:
    attributes = client("sqs").get_queue_attributes(
        QueueUrl=url(name), AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


def exhaust(cloud: Cloud, trouble: Trouble | None = None) -> None:
    """Every receive fails, and one more puts the message away."""
    cloud.handlers_may_fail = True
    for received in range(RECEIVES + 1):
        if trouble and received < RECEIVES:
            trouble.refuse("dynamodb.GetItem", "AccessDeniedException", times=1)
        cloud.pump.deliver_messages()
        cloud.advance(VISIBILITY + 1)
    assert (count(QUEUE), count(DEAD_LETTERS)) == (0, 1)


@pytest.fixture
def stuck(cloud: Cloud, trouble: Trouble) -> Cloud:
    """A build whose wake-up is among the dead letters, though what it failed of is mended."""
    cloud.change_service(queued_minutes=60)
    cloud.push(sha(1))
    exhaust(cloud, trouble)
    return cloud


def mark(cloud: Cloud) -> None:
    """The schedule comes round and cannot move the build either."""
    cloud.app.handler_map["on_schedule"](schedule_event(), _NoTime())


class _NoTime:
    def get_remaining_time_in_millis(self) -> int:
        return 0


def test_a_dead_letter_marks_its_row_and_does_not_end_it(stuck: Cloud) -> None:
    mark(stuck)
    build = stuck.build(1)
    assert build["status"] == "queued"
    assert build["attention"].startswith("its wake-up failed five times")
    assert stuck.job("build-1")["attention"] == build["attention"]
    assert count(DEAD_LETTERS) == 1


def test_a_row_is_marked_once_for_a_letter(stuck: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    mark(stuck)
    mark(stuck)
    assert caplog.text.count("build-1 needs attention") == 1


def test_the_schedule_goes_on_and_the_mark_goes_when_the_work_is_done(stuck: Cloud) -> None:
    mark(stuck)
    stuck.tick()
    assert stuck.build(1)["status"] == "building"
    stuck.finish_build(1)
    assert stuck.build(1)["attention"] is None
    stuck.tick()
    assert stuck.build(1)["attention"] is None


def test_redriving_runs_the_job_once(stuck: Cloud) -> None:
    mark(stuck)
    assert redrive(client("sqs"), url()) == 1
    assert (count(QUEUE), count(DEAD_LETTERS)) == (1, 0)
    stuck.settle()
    assert stuck.build(1)["status"] == "building"
    assert stuck.builds_in_codebuild() == ["build-1"]
    assert redrive(client("sqs"), url()) == 0


def test_a_service_is_marked_until_its_deployment_has_ended(cloud: Cloud, trouble: Trouble) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1, settle=False)
    cloud.pump.deliver_events()
    exhaust(cloud, trouble)
    cloud.handlers_may_fail = True
    mark(cloud)
    assert cloud.service()["attention"].startswith("its wake-up failed five times")
    cloud.tick()
    cloud.settle()
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.statuses(1) == ["success"]
    assert cloud.service()["attention"] is None


@pytest.mark.parametrize("body", ["not JSON", json.dumps({"v": 1, "reconcile": "build-99"})])
def test_a_letter_that_names_nothing_stays_for_people_to_read(cloud: Cloud, body: str) -> None:
    client("sqs").send_message(QueueUrl=url(DEAD_LETTERS), MessageBody=body)
    cloud.push(sha(1))
    cloud.tick()
    assert count(DEAD_LETTERS) == 1
    assert cloud.build(1)["status"] == "building"


def test_poison_stops_nobody(cloud: Cloud) -> None:
    client("sqs").send_message(QueueUrl=url(), MessageBody="not JSON")
    cloud.push(sha(1))
    exhaust(cloud)
    assert cloud.build(1)["status"] == "building"


def test_a_queue_that_does_not_answer_stops_no_schedule(
    cloud: Cloud, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.push(sha(1))
    trouble.refuse("sqs.ReceiveMessage", "AccessDenied", times=1)
    cloud.advance(MINUTE)
    cloud.pump.tick()
    assert "dead letters not read" in caplog.text
    assert cloud.build(1)["status"] == "building"


def test_of_two_letters_for_one_row_each_marks_it_once(cloud: Cloud) -> None:
    cloud.handlers_may_fail = True
    cloud.release(1)
    for _ in range(2):
        client("sqs").send_message(
            QueueUrl=url(DEAD_LETTERS),
            MessageBody=json.dumps({"v": 1, "reconcile": "service-1"}),
        )
    mark(cloud)
    version = services()[1]["version"]
    mark(cloud)
    assert services()[1]["version"] == version
