"""Deliveries of the GitHub App's webhook that failed: GitHub is asked to repeat them."""

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from infra.local.github.server import GitHub
from tests.support.embedded import MINUTE, REPOSITORY, Cloud, sha
from tests.support.github.app import APP, register_app
from tests.support.github.connected import connected
from tests.support.sdk import Trouble, record_calls

HOUR = 60 * MINUTE
PERIOD = 5
BUSY = 503


class Webhook:
    """The webhook of the App, which delivers pushes to Slipway.

    While it is `broken`, a delivery has this status, and does not reach Slipway.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.broken = cloud, BUSY
        self.github = GitHub(clock=lambda: cloud._now, deliver=self._deliver)

    def _deliver(self, item: dict[str, Any], payload: dict[str, Any]) -> int:
        if self.broken:
            return self.broken
        return self.send(item["guid"], **payload)

    def send(self, guid: str, number: int, at: int) -> int:
        return self.cloud.push(sha(number), delivery=guid, pushed_at=at).status

    def fail(self, number: int, status: int = BUSY, event: str = "push", **details: Any) -> int:
        """A push whose delivery has failed with a status; return the id of the delivery."""
        payload = {"number": number, "at": int(self.cloud._now)}
        return self.github.add_delivery(event, payload, status_code=status, **details)

    def wait(self, minutes: int = PERIOD) -> None:
        for _ in range(minutes):
            self.cloud.tick()
            self.cloud.settle()
            self.github.finish_redeliveries()
        self.cloud.settle()

    def repeated(self) -> list[int]:
        """The deliveries that GitHub was asked to repeat."""
        paths = [each.path.split("/") for each in self.github.requests() if each.method == "POST"]
        return [int(path[-2]) for path in paths if path[-1] == "attempts"]

    def looks(self) -> int:
        """How many pages of the list were read."""
        asked = [each for each in self.github.requests() if each.method == "GET"]
        return len([each for each in asked if each.path.startswith("/app/hook/deliveries")])

    def attempts(self) -> list[tuple[int, int]]:
        """The minute and the status of each attempt."""
        times = [
            (datetime.fromisoformat(item["delivered_at"]).timestamp(), item["status_code"])
            for item, _ in self.github.deliveries
        ]
        return [(int(at - times[0][0]) // MINUTE, status) for at, status in times]


@pytest.fixture
def webhook(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """The webhook of the App. Each request and answer has the form of GitHub's description."""
    found = Webhook(cloud)
    found.github.add_repository(REPOSITORY, private=True)
    register_app(found.github)
    found.github.install(REPOSITORY.partition("/")[0], [REPOSITORY])
    with connected(found.github, monkeypatch, GITHUB_APP=APP):
        yield found


def commits(cloud: Cloud) -> list[str]:
    """The commits of all builds, the first build first."""
    listed = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/builds").body["items"]
    return [each["commit_sha"] for each in reversed(listed)]


def test_a_push_whose_delivery_failed_is_delivered_again_and_built(
    cloud: Cloud, webhook: Webhook
) -> None:
    number = webhook.fail(1)
    webhook.broken = 0
    webhook.wait(2 * PERIOD)
    assert webhook.repeated() == [number]
    assert commits(cloud) == [sha(1)]
    (record,) = cloud.api.get("/v1/webhooks/github/deliveries").body["items"]
    assert record["outcome"] == "started"
    assert record["id"] == webhook.github.deliveries[0][0]["guid"]


@pytest.mark.parametrize("status", [0, 401, 429, 500, 502, 503, 504])
def test_a_failure_that_may_pass_is_repeated(webhook: Webhook, status: int) -> None:
    number = webhook.fail(1, status)
    webhook.wait()
    assert webhook.repeated() == [number]


@pytest.mark.parametrize("status", [200, 202, 400, 403, 404, 413, 415])
def test_an_answer_that_would_be_the_same_is_not_repeated(webhook: Webhook, status: int) -> None:
    webhook.fail(1, status)
    webhook.wait(2 * PERIOD)
    assert webhook.looks() == 2
    assert webhook.repeated() == []


def test_only_events_that_start_builds_are_repeated(webhook: Webhook) -> None:
    for event in ("check_run", "status", "ping", "installation"):
        webhook.fail(1, event=event)
    wanted = [webhook.fail(2), webhook.fail(3, event="pull_request")]
    webhook.wait()
    assert webhook.repeated() == wanted


def test_a_delivery_is_repeated_four_times_with_growing_pauses(
    cloud: Cloud, webhook: Webhook
) -> None:
    webhook.fail(1)
    for _ in range(14 * 60 // PERIOD):
        cloud.advance((PERIOD - 1) * MINUTE)
        webhook.wait(1)
    assert webhook.attempts() == [(0, BUSY), (5, BUSY), (20, BUSY), (80, BUSY), (560, BUSY)]


def test_a_delivery_that_fails_for_good_the_second_time_is_not_repeated_again(
    webhook: Webhook,
) -> None:
    webhook.fail(1)
    webhook.broken = 413
    webhook.wait(6 * PERIOD)
    assert webhook.attempts() == [(0, BUSY), (5, 413)]


def test_a_delivery_that_a_person_has_repeated_is_left_alone(webhook: Webhook) -> None:
    webhook.fail(1)
    guid = webhook.github.deliveries[0][0]["guid"]
    webhook.fail(1, 202, guid=guid)
    webhook.wait(2 * PERIOD)
    assert webhook.repeated() == []


def test_a_delivery_that_has_just_failed_waits_for_the_next_look(webhook: Webhook) -> None:
    webhook.wait(PERIOD - 1)
    webhook.cloud.advance(30)
    number = webhook.fail(1)
    webhook.cloud.advance(-30)
    webhook.wait(1)
    assert (webhook.looks(), webhook.repeated()) == (1, [])
    webhook.wait()
    assert webhook.repeated() == [number]


def test_a_delivery_of_an_earlier_day_is_not_repeated(cloud: Cloud, webhook: Webhook) -> None:
    webhook.fail(1)
    cloud.advance(13 * HOUR)
    webhook.wait()
    assert webhook.looks() == 1
    assert webhook.repeated() == []


def test_a_delivery_that_timed_out_after_its_effect_builds_nothing_twice(
    cloud: Cloud, webhook: Webhook
) -> None:
    webhook.fail(1, 504)
    webhook.send(webhook.github.deliveries[0][0]["guid"], 1, int(cloud._now))
    webhook.broken = 0
    webhook.wait()
    assert [status for _, status in webhook.attempts()] == [504, 200]
    assert commits(cloud) == [sha(1)]


def test_a_failure_behind_many_deliveries_is_found(webhook: Webhook) -> None:
    number = webhook.fail(1)
    for _ in range(250):
        webhook.fail(2, 200, event="check_run")
    webhook.wait()
    assert (webhook.looks(), webhook.repeated()) == (3, [number])


def test_a_look_reads_no_pages_before_its_time(cloud: Cloud, webhook: Webhook) -> None:
    for _ in range(250):
        webhook.fail(2, 200)
    cloud.advance(13 * HOUR)
    number = webhook.fail(1)
    webhook.wait()
    assert (webhook.looks(), webhook.repeated()) == (1, [number])


def test_a_look_reads_ten_pages_at_most(webhook: Webhook) -> None:
    webhook.fail(1)
    for _ in range(1000):
        webhook.fail(2, 200)
    webhook.wait()
    assert (webhook.looks(), webhook.repeated()) == (10, [])


def test_a_look_repeats_twenty_at_most_and_the_oldest_first(webhook: Webhook) -> None:
    numbers = [webhook.fail(number) for number in range(1, 26)]
    webhook.wait()
    assert webhook.repeated() == numbers[:20]
    webhook.wait()
    assert webhook.repeated() == numbers


def test_github_is_not_asked_before_the_time_that_it_names(
    cloud: Cloud, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="slipway")
    number = webhook.fail(1)
    now = cloud._now
    webhook.github.limit(0, now + HOUR, secondary=True, retry_after=HOUR)
    webhook.wait(60)
    assert len(webhook.github.requests()) == 1
    assert "failed deliveries are repeated later: GitHub answered 403" in caplog.text
    webhook.wait()
    assert webhook.repeated() == [number]


def test_trouble_of_github_is_over_at_the_next_look(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = webhook.fail(1), webhook.fail(2)
    webhook.github.fail(1, 500, match="GET /app/hook")
    webhook.wait()
    assert "failed deliveries are not repeated now: GitHub answered 500" in caplog.text
    assert webhook.repeated() == []
    webhook.github.fail(1, None, after_effect=True, match="attempts")
    webhook.wait()
    assert webhook.repeated() == [first]
    webhook.wait()
    assert webhook.repeated() == [first, second]


@pytest.mark.parametrize("status", [404, 422])
def test_a_delivery_that_github_does_not_repeat_stops_no_other(
    webhook: Webhook, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = webhook.fail(1), webhook.fail(2)
    webhook.github.fail(1, status, match="attempts")
    webhook.wait()
    assert webhook.repeated() == [first, second]
    assert f"GitHub does not repeat delivery {first}: GitHub answered {status}" in caplog.text


def test_a_key_that_cannot_sign_is_named_and_github_is_not_asked(
    webhook: Webhook, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    trouble.refuse("kms.Sign", "AccessDeniedException")
    webhook.wait()
    assert "not repeated now: the key of the GitHub App cannot sign" in caplog.text
    assert webhook.github.requests() == []


def test_an_app_without_a_webhook_is_no_trouble(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.github.fail(1, 404, match="GET /app/hook")
    webhook.wait()
    assert webhook.looks() == 1
    assert "not repeated" not in caplog.text


def test_an_hour_without_failures_costs_twelve_requests_and_signatures(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = record_calls(monkeypatch)
    webhook.wait(60)
    assert len(webhook.github.requests()) == 12
    assert calls.counted["kms.Sign"] == 12
    (sent,) = {len(each["Entries"]) for each in calls.to("sqs.SendMessageBatch")}
    assert (calls.counted["sqs.SendMessageBatch"], sent) == (12, 1)


def test_without_an_app_nothing_is_asked(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_calls(monkeypatch)
    for _ in range(2 * PERIOD):
        cloud.tick()
        cloud.settle()
    assert "sqs.SendMessageBatch" not in calls.counted
    assert "kms.Sign" not in calls.counted
