"""Channels know the present state of each row: after faults, repetitions and slow receivers."""

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from chalicelib.aws import queue
from chalicelib.aws.queue import Telling
from chalicelib.outbound import http
from chalicelib.settings import settings
from chalicelib.store.channels import find_channel
from chalicelib.store.services import find_service
from tests.support.builders import sqs_event
from tests.support.embedded import MINUTE, Cloud, client, keep_secret, sha
from tests.support.receiver import Receiver, receiving
from tests.support.sdk import Calls, Killed, Trouble
from tests.support.shifts import shift_traffic

DAY = 24 * 60 * MINUTE
LINEAR = {"type": "LINEAR", "percent": 50.0, "step_minutes": 1, "bake_minutes": 0}
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def receiver(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setenv("RECEIVER_HOSTS", receiver.host)
        monkeypatch.setenv("PUBLIC_URL", "https://slipway.example/api")
        settings.cache_clear()
        yield receiver
    monkeypatch.undo()
    settings.cache_clear()


def add_channel(cloud: Cloud, kind: str, text: str, **values: Any) -> int:
    """Create a channel with a secret of this text; return its number."""
    name = keep_secret(text, f"slipway/tell/{cloud.project}/{kind}")
    body = {"kind": kind, "name": kind, "project_id": cloud.project, "secret": name, **values}
    answer = cloud.api.post("/v1/channels", body)
    assert answer.status == 201, answer.text
    return int(answer.body["id"])


def channel(cloud: Cloud, number: int = 1) -> Any:
    answer = cloud.api.get(f"/v1/channels/{number}")
    assert answer.status == 200
    return answer.body


def events(receiver: Receiver) -> list[str]:
    return [f"{each['type']} {each['data'].get('number', '')}".strip() for each in receiver.bodies]


def fail_build(cloud: Cloud, number: int) -> None:
    cloud.push(sha(number))
    cloud.settle()
    cloud.end_build(number, "FAILED")


def pass_hours(cloud: Cloud, hours: int) -> None:
    for _ in range(hours):
        cloud.advance(60 * MINUTE)
        cloud.pump.tick()
        cloud.settle()


@pytest.fixture
def hook(cloud: Cloud, receiver: Receiver) -> int:
    return add_channel(cloud, "webhook", f"{receiver.url} {KEY}")


def test_a_webhook_is_told_of_each_end_once_with_a_signature(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    cloud.release(1)
    cloud.push(sha(2))
    cloud.settle()
    cloud.end_build(2, "FAILED")
    assert events(receiver) == ["deployment.succeeded 1", "build.failed 2"]
    for request in receiver.requests:
        named = request.headers
        at = datetime.fromtimestamp(int(named["webhook-timestamp"]), UTC)
        text = request.raw.decode()
        signed = Webhook(KEY).sign(msg_id=named["webhook-id"], timestamp=at, data=text)
        assert named["webhook-signature"] == signed
    data = receiver.bodies[0]["data"]
    assert data["service"] == "shop/hello"
    assert data["commit_sha"] == sha(1)
    assert data["url"] == "https://slipway.example/api/#/deployments/1"
    assert receiver.bodies[1]["data"]["cause"] == cloud.build(2)["failure"]["summary"]


def test_a_channel_is_told_of_each_approval_that_is_needed_once(
    cloud: Cloud, receiver: Receiver
) -> None:
    names = ["deployment.started", "deployment.awaiting_approval", "deployment.approved"]
    shift_traffic(cloud, approval=True, approval_minutes=60, strategy=LINEAR)
    add_channel(cloud, "webhook", f"{receiver.url} {KEY}", events=names)
    cloud.begin_release(2)
    cloud.finish_rollout()
    for _ in range(2):
        for _ in range(3):
            cloud.tick()
            cloud.settle()
        answer = cloud.api.post("/v1/cicd/deployments/2/approve", {"reason": "green"})
        assert answer.status == 202, answer.text
        cloud.settle()
    started, awaiting, approved = (f"{name} 2" for name in names)
    assert events(receiver) == [started, awaiting, approved, awaiting, approved]
    told = receiver.bodies[1]["data"]
    assert told["approve_by"] == "2026-11-22T01:00:02Z"
    assert told["hook_id"].startswith("ecs-pause-")
    assert receiver.bodies[2]["data"]["hook_id"] is None
    assert len({each.headers["webhook-id"] for each in receiver.requests}) == 5


def test_a_chat_is_told_how_to_answer_and_of_a_rejection(cloud: Cloud, receiver: Receiver) -> None:
    shift_traffic(cloud, approval=True, approval_minutes=60, strategy=LINEAR)
    add_channel(cloud, "slack", receiver.url)
    cloud.begin_release(2)
    cloud.finish_rollout()
    for _ in range(3):
        cloud.tick()
        cloud.settle()
    cloud.api.post("/v1/cicd/deployments/2/approve")
    for _ in range(4):
        cloud.tick()
        cloud.settle()
    cloud.api.post("/v1/cicd/deployments/2/reject", {"reason": "<!channel> *Orders* are missing"})
    cloud.settle()
    first, second, rejected = ({**facts_of(body)} for body in receiver.bodies)
    assert first[""] == "shop/hello: deployment 2 awaits approval"
    assert first["Traffic now"] == "0 %"
    assert second["Step"] == "2"
    assert second["Traffic now"] == "50 %"
    assert second["To approve"] == "slipway approve deploy-2 --step 2"
    assert second["To reject"] == "slipway reject deploy-2 --step 2"
    assert rejected[""] == "shop/hello: deployment 2 was rejected"
    assert rejected["Cause"].endswith(": <!channel> *Orders* are missing")
    assert rejected["Traffic at its end"] == "50 %, in the stage PRE_PRODUCTION_TRAFFIC_SHIFT"
    assert "<!channel>" not in receiver.bodies[2]["text"]


def facts_of(body: dict[str, Any]) -> dict[str, str]:
    """The facts of a message in Slack; the title has no name."""
    texts = {"": body["blocks"][0]["text"]["text"]}
    for field in body["blocks"][1]["fields"]:
        assert field["type"] == "plain_text"
        name, _, text = field["text"].partition("\n")
        texts[name] = text
    return texts


def test_a_lost_message_costs_two_minutes_at_most(
    cloud: Cloud, receiver: Receiver, hook: int, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    trouble.refuse("sqs.SendMessageBatch", "ServiceUnavailable", times=20)
    cloud.end_build(1, "FAILED")
    assert receiver.requests == []
    trouble.end()
    cloud.tick()
    cloud.tick()
    cloud.settle()
    assert events(receiver) == ["build.failed 1"]


def test_a_death_after_the_telling_repeats_it_under_the_same_id(
    cloud: Cloud, receiver: Receiver, hook: int, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED", settle=False)
    cloud.pump.deliver_events()
    trouble.kill_before("dynamodb.UpdateItem")
    with pytest.raises(Killed):
        cloud.pump.deliver_tellings()
    cloud.advance(4 * MINUTE)
    cloud.pump.tick()
    cloud.settle()
    assert events(receiver) == ["build.failed 1", "build.failed 1"]
    first, second = (each.headers["webhook-id"] for each in receiver.requests)
    assert first == second


def test_a_slow_receiver_delays_no_deployment(
    cloud: Cloud, receiver: Receiver, hook: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "SECONDS", 0.05)
    receiver.answers.clear()
    first = cloud.release(1)
    second = cloud.release(2)
    assert cloud.statuses(first, second) == ["success", "success"]
    assert channel(cloud)["trouble"] == (
        "the receiver of channel 1 does not answer within 0.05 seconds"
    )
    receiver.answers.set()
    receiver.requests.clear()
    cloud.advance(2 * MINUTE)
    cloud.pump.tick()
    cloud.settle()
    assert sorted(events(receiver)) == ["deployment.succeeded 1", "deployment.succeeded 2"]
    assert channel(cloud)["failing_since"] is None


@pytest.mark.long
def test_nothing_waits_for_a_receiver_that_hangs_for_half_a_minute(
    cloud: Cloud, receiver: Receiver, hook: int, calls: Calls
) -> None:
    """The functions that build and deploy never call it, and the one that tells it gives up."""
    receiver.answers.clear()  # then it waits for 30 seconds
    for number in (1, 2):
        build = int(cloud.push(sha(number)).body["builds"][0]["build_id"])
        deliver_work(cloud)
        cloud.finish_build(build, settle=False)
        deliver_work(cloud)
        cloud.finish_rollout(settle=False)
        deliver_work(cloud)
    assert cloud.statuses(1, 2) == ["success", "success"]
    assert receiver.requests == []
    calls.clear()
    began = time.monotonic()
    body = json.dumps({"v": 1, "tell": "deploy-2", "channel": hook})
    cloud.app.handler_map["on_telling"](sqs_event(body), None)
    assert http.SECONDS <= time.monotonic() - began < http.SECONDS + 4
    assert len(receiver.requests) == 1
    assert channel(cloud)["trouble"] == (
        "the receiver of channel 1 does not answer within 6 seconds"
    )
    # A row is written for the next try, and one for the trouble. Nothing else is touched.
    assert calls.counted["dynamodb.UpdateItem"] == 2


def deliver_work(cloud: Cloud) -> None:
    """Deliver what builds and deploys, and nothing that is to be told."""
    while cloud.pump.deliver_messages() + cloud.pump.deliver_events():
        pass


def test_a_receiver_says_when_it_is_told_again(cloud: Cloud, receiver: Receiver, hook: int) -> None:
    receiver.fail(429, Retry_After="600")
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    for _ in range(8):
        cloud.tick()
        cloud.settle()
    assert len(receiver.requests) == 1
    cloud.advance(3 * MINUTE)
    cloud.pump.tick()
    cloud.settle()
    assert events(receiver) == ["build.failed 1", "build.failed 1"]
    assert channel(cloud)["failing_since"] is None


def test_a_receiver_that_is_gone_is_switched_off_after_a_day_and_on_by_a_test(
    cloud: Cloud,
    receiver: Receiver,
    hook: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "slipway-test-on_telling")
    receiver.fail(410, times=1000)
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    for _ in range(26):
        cloud.advance(60 * MINUTE)
        cloud.pump.tick()
        cloud.settle()
    shown = channel(cloud)
    assert shown["off_since"] is not None
    assert shown["trouble"] == "the receiver of channel 1 answered 410"
    actions = [each["action"] for each in cloud.api.get("/v1/audit").body["items"]]
    assert "channel.switched_off" in actions
    (metric,) = [line for line in capsys.readouterr().out.splitlines() if "ChannelsOff" in line]
    assert json.loads(metric)["ChannelsOff"] == [1.0]
    tried = len(receiver.requests)
    cloud.push(sha(2))
    cloud.settle()
    cloud.end_build(2, "FAILED")
    cloud.tick()
    cloud.settle()
    assert len(receiver.requests) == tried
    receiver.planned.clear()
    assert cloud.api.post("/v1/channels/1/test").status == 202
    cloud.settle()
    assert receiver.bodies[-1]["type"] == "channel.tested"
    assert channel(cloud)["off_since"] is None
    assert cloud.api.get("/v1/audit").body["items"][0]["action"] == "channel.switched_on"
    cloud.push(sha(3))
    cloud.settle()
    cloud.end_build(3, "FAILED")
    assert events(receiver)[-1] == "build.failed 3"


def test_failures_days_apart_do_not_switch_a_channel_off(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    receiver.fail(500)
    assert cloud.api.post("/v1/channels/1/test").status == 202
    cloud.settle()
    cloud.advance(3 * DAY)
    receiver.fail(502)
    fail_build(cloud, 1)
    shown = channel(cloud)
    assert (shown["off_since"], shown["trouble"][-3:]) == (None, "502")
    pass_hours(cloud, 1)
    assert events(receiver)[-1] == "build.failed 1"
    assert channel(cloud)["failing_since"] is None


def test_a_state_that_came_back_is_tried_for_a_day_again(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    cloud.release(1)
    cloud.release(2)
    receiver.fail(500, times=1000)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    cloud.change_service(auto_deploy=True)
    receiver.planned.clear()
    pass_hours(cloud, 48)
    cloud.release(3)
    receiver.requests.clear()
    receiver.fail(500, times=2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    pass_hours(cloud, 2)
    assert events(receiver).count("service.auto_deploy_paused") == 2
    assert channel(cloud)["off_since"] is None


def test_a_new_channel_is_told_nothing_that_is_older(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    receiver.fail(500, times=1000)
    fail_build(cloud, 1)
    cloud.advance(1)
    add_channel(cloud, "slack", receiver.url)
    assert cloud.api.delete("/v1/channels/1").status == 204
    receiver.planned.clear()
    receiver.requests.clear()
    pass_hours(cloud, 2)
    assert receiver.requests == []
    fail_build(cloud, 2)
    assert [each["text"] for each in receiver.bodies] == ["shop/hello: build 2 failed"]


def test_a_channel_that_is_on_again_is_told_nothing_that_is_older(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    receiver.fail(500, times=1000)
    fail_build(cloud, 1)
    pass_hours(cloud, 26)
    assert channel(cloud)["off_since"] is not None
    # The row of the second build waits for another channel when the first one is on again.
    add_channel(cloud, "slack", receiver.url)
    fail_build(cloud, 2)
    receiver.planned.clear()
    cloud.advance(1)
    assert cloud.api.post("/v1/channels/1/test").status == 202
    cloud.settle()
    assert channel(cloud)["off_since"] is None
    receiver.requests.clear()
    receiver.planned.clear()
    pass_hours(cloud, 2)
    assert [each.get("text") for each in receiver.bodies] == ["shop/hello: build 2 failed"]


def test_a_commit_sends_messages_only_for_channels_that_are_told_of_it(
    cloud: Cloud, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        event = "build.failed" if number else "build.queued"
        add_channel(cloud, "slack", receiver.url, name=str(number), events=[event])
    sent: list[Telling] = []
    monkeypatch.setattr(queue, "tell", sent.extend)
    cloud.push(sha(1))
    assert [(each.row_id, each.channel) for each in sent] == [("build-1", 1)]


def test_a_receiver_that_is_always_busy_is_switched_off_after_a_day(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    receiver.fail(429, times=1000, Retry_After="999999999")
    fail_build(cloud, 1)
    pass_hours(cloud, 20)
    assert channel(cloud)["off_since"] is None
    pass_hours(cloud, 12)
    shown = channel(cloud)
    assert shown["off_since"] is not None
    assert shown["trouble"] == "the receiver of channel 1 answered 429"
    # No wait is longer than six hours, whatever the receiver says.
    assert len(receiver.requests) == 5


def test_a_burst_tells_only_the_newest_state(cloud: Cloud, receiver: Receiver) -> None:
    add_channel(
        cloud,
        "webhook",
        f"{receiver.url} {KEY}",
        events=["build.queued", "build.started", "build.failed"],
    )
    cloud.push(sha(1))
    cloud.pump.deliver_messages()
    cloud.pump.deliver_events()
    cloud.end_build(1, "FAILED")
    assert events(receiver) == ["build.failed 1"]


def test_only_the_chosen_service_branch_and_events_are_told(
    cloud: Cloud, receiver: Receiver
) -> None:
    other = cloud.add_service("other", branch="release/1")
    text = f"{receiver.url} {KEY}"
    add_channel(cloud, "webhook", text, service_id=other, events=["build.failed"])
    add_channel(cloud, "webhook", text, branches=["release/**"], events=["build.succeeded"])
    cloud.push(sha(1))
    cloud.push(sha(2), branch="release/1")
    cloud.settle()
    cloud.end_build(1, "FAILED")
    cloud.end_build(2, "FAILED")
    assert events(receiver) == ["build.failed 2"]
    cloud.push(sha(3))
    cloud.push(sha(4), branch="release/1")
    cloud.settle()
    cloud.finish_build(3)
    cloud.finish_build(4)
    assert events(receiver)[1:] == ["build.succeeded 4"]


def test_what_lasts_on_a_service_is_told_when_it_begins_and_when_it_is_over(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    cloud.change_service(auto_deploy=True)
    cloud.settle()
    told = [(each["type"], each["data"].get("over")) for each in receiver.bodies]
    assert ("service.auto_deploy_paused", []) in told
    assert told[-1] == ("service.auto_deploy_paused", ["service.auto_deploy_paused"])
    assert ("rollback.succeeded", None) in told


def test_what_lasts_is_over_without_auto_deploy_and_with_the_service(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    receiver.requests.clear()
    cloud.change_service(auto_deploy=False)
    cloud.settle()
    assert [each["data"]["over"] for each in receiver.bodies] == [["service.auto_deploy_paused"]]
    cloud.change_service(auto_deploy=True)
    cloud.advance(1)
    cloud.release(3)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    pass_hours(cloud, 1)
    receiver.requests.clear()
    assert cloud.api.delete(f"/v1/services/{cloud.service_id}").status == 204
    cloud.settle()
    assert [each["data"]["over"] for each in receiver.bodies] == [["service.auto_deploy_paused"]]


def test_a_state_of_a_service_that_is_told_twice_has_the_same_id(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    cloud.release(1)
    found = []
    for number in (2, 3):
        cloud.release(number)
        receiver.requests.clear()
        receiver.fail(500, times=2)
        cloud.roll_back()
        cloud.settle()
        cloud.finish_rollout()
        pass_hours(cloud, 1)
        pauses = [each for each in receiver.requests if "paused" in each.body["type"]]
        found.append({each.headers["webhook-id"] for each in pauses})
        assert len(pauses) == 2
        cloud.change_service(auto_deploy=True)
        cloud.settle()
    first, second = found
    assert (len(first), len(second)) == (1, 1)
    assert first != second


def test_a_state_whose_answer_was_lost_is_over_for_the_receiver_too(
    cloud: Cloud, receiver: Receiver, hook: int
) -> None:
    cloud.release(1)
    cloud.release(2)
    receiver.requests.clear()
    # The receiver has the first message, but its answer is an error.
    receiver.fail(500)
    cloud.roll_back()
    cloud.settle()
    cloud.change_service(auto_deploy=True)
    cloud.settle()
    pass_hours(cloud, 1)
    pauses = [each["data"] for each in receiver.bodies if "paused" in each["type"]]
    pause = ["service.auto_deploy_paused"]
    assert [(each["begun"], each["over"]) for each in pauses] == [(pause, []), ([], pause)]


def test_a_row_forgets_deleted_channels(cloud: Cloud, receiver: Receiver) -> None:
    cloud.release(1)
    for number in range(1, 5):
        add_channel(cloud, "slack", receiver.url, events=["service.auto_deploy_paused"])
        cloud.release(number + 1)
        cloud.roll_back()
        cloud.settle()
        cloud.finish_rollout()
        cloud.advance(MINUTE)
        assert len(receiver.requests) == number
        if number < 4:
            assert cloud.api.delete(f"/v1/channels/{number}").status == 204
        # Without a channel nobody is told that the pause is over.
        cloud.change_service(auto_deploy=True)
        cloud.advance(MINUTE)
        receiver.requests[number:] = []
    service = find_service(cloud.service_id)
    assert service is not None
    assert sorted(service.told or {}) == ["4"]


def test_the_secret_is_in_no_answer_log_or_error(
    cloud: Cloud, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="slipway")
    caplog.set_level("DEBUG", logger="urllib3")
    number = add_channel(cloud, "slack", f"{receiver.url}/T0CANARY")
    receiver.fail(500, times=3)
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    cloud.api.post(f"/v1/channels/{number}/test")
    cloud.settle()
    shown = json.dumps([channel(cloud, number), cloud.api.get("/v1/audit").body])
    assert receiver.requests[0].path.endswith("T0CANARY")
    assert "T0CANARY" not in shown
    assert not any("T0CANARY" in record.getMessage() for record in caplog.records)


def test_a_secret_that_the_receiver_repeats_is_hidden(
    cloud: Cloud, receiver: Receiver, hook: int, caplog: pytest.LogCaptureFixture
) -> None:
    said = json.dumps({"message": f"\u001b[1mno hook {receiver.url} with {KEY}\u202e\nof Slipway"})
    receiver.fail(500, said=said)
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    row = find_channel(hook)
    assert row is not None
    assert row.trouble == "the receiver of channel 1 answered 500: no hook *** with *** of Slipway"
    assert row.trouble in caplog.text
    assert not any(text in caplog.text for text in (receiver.url, KEY, "\u202e"))


def test_a_missing_secret_is_not_read_for_each_telling(
    cloud: Cloud, receiver: Receiver, calls: Calls
) -> None:
    body = {"kind": "slack", "name": "chat", "secret": "secretsmanager:slipway/tell/all/none"}
    assert cloud.api.post("/v1/channels", body).status == 201
    cloud.change_service(supersede_builds=False)
    for number in (1, 2):
        cloud.push(sha(number))
    cloud.settle()
    for number in (1, 2):
        cloud.end_build(number, "FAILED")
    assert calls.counted["secretsmanager.GetSecretValue"] == 1
    trouble = channel(cloud)["trouble"]
    assert "secretsmanager:slipway/tell/all/none cannot be read" in trouble
    keep_secret(receiver.url, "slipway/tell/all/none")
    cloud.tick()
    cloud.settle()
    assert channel(cloud)["trouble"] is None
    assert len(receiver.requests) == 2


def test_a_test_reads_the_secret_anew(cloud: Cloud, receiver: Receiver) -> None:
    number = add_channel(cloud, "slack", f"{receiver.url}/old")
    for place in ("old", "new"):
        keep_secret(f"{receiver.url}/{place}", f"slipway/tell/{cloud.project}/slack")
        assert cloud.api.post(f"/v1/channels/{number}/test").status == 202
        cloud.settle()
        assert receiver.requests[-1].path.endswith(place)
    # The tellings use what the test has read.
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    assert receiver.requests[-1].path.endswith("new")


def test_a_topic_and_a_bus_of_the_account_are_told(cloud: Cloud, receiver: Receiver) -> None:
    topic = client("sns").create_topic(Name="slipway-news")["TopicArn"]
    queue = client("sqs").create_queue(QueueName="mail")["QueueUrl"]
    arn = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    for kind, target in (("sns", topic), ("eventbridge", "slipway-bus")):
        body = {"kind": kind, "name": kind, "target": target}
        assert cloud.api.post("/v1/channels", body).status == 201
    client("events").create_event_bus(Name="slipway-bus")
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    (message,) = client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(json.loads(message["Body"])["Message"])["data"]["job_id"] == "build-1"
    assert channel(cloud, 2)["trouble"] is None
