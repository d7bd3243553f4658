"""The record of deliveries: their content, and the outcome and reason for each service."""

import json
from contextlib import suppress
from typing import Any

import pytest

from chalicelib.domain.deliveries import Outcome, Verdict
from chalicelib.store.receipts import MAX_VERDICTS, note_delivery
from chalicelib.store.writes import ConditionFailed, commit
from tests.faults.rows import rows
from tests.support.builders import WEBHOOK_SECRET, delivery_headers, push_payload
from tests.support.client import Answer
from tests.support.embedded import MIDNIGHT, MINUTE, REPOSITORY, Cloud, keep_secret, sha
from tests.support.sdk import Trouble, record_calls

DAY = 24 * 60 * MINUTE
PATH = "/v1/webhooks/github/deliveries"


def shown(cloud: Cloud, name: str) -> Any:
    answer = cloud.api.get(f"{PATH}/{name}")
    assert answer.status == 200, answer.text
    return answer.body


def deliver(cloud: Cloud, payload: dict[str, Any], name: str, **headers: str) -> Answer:
    body = json.dumps(payload).encode()
    sent = delivery_headers(body, delivery=name) | headers
    return cloud.api.post("/v1/webhooks/github", raw=body, headers=sent)


def deliver_signed(cloud: Cloud, payload: dict[str, Any], name: str, secret: str) -> Answer:
    body = json.dumps(payload).encode()
    headers = delivery_headers(body, delivery=name, secret=secret)
    return cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)


def test_a_delivery_shows_the_outcome_for_each_service(cloud: Cloud) -> None:
    other = cloud.add_service("other", branch="develop")
    cloud.push(sha(1), delivery="d-1")
    assert shown(cloud, "d-1") == {
        "id": "d-1",
        "event": "push",
        "outcome": "started",
        "reason": None,
        "repository": f"github.com/{REPOSITORY.lower()}",
        "ref": "refs/heads/master",
        "sha": sha(1),
        "pull_request": None,
        "sender": "Codertocat",
        "services": [
            {
                "service_id": cloud.service_id,
                "outcome": "started",
                "build_id": 1,
                "reason": "a build was started",
            },
            {
                "service_id": other,
                "outcome": "ignored",
                "build_id": None,
                "reason": "it follows the branch develop",
            },
        ],
        "times_received": 1,
        "pushed_at": "2026-11-22T00:00:00Z",
        "found_after_seconds": None,
        "first_received_at": "2026-11-22T00:00:00Z",
        "last_received_at": "2026-11-22T00:00:00Z",
    }


def test_a_redelivery_is_counted_and_names_the_first_build(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.advance(MINUTE)
    cloud.push(sha(1), delivery="d-1")
    delivery = shown(cloud, "d-1")
    assert (delivery["outcome"], delivery["times_received"]) == ("started", 2)
    assert delivery["services"][0]["build_id"] == 1
    assert delivery["services"][0]["reason"] == "a build was started"
    assert delivery["first_received_at"] == "2026-11-22T00:00:00Z"
    assert delivery["last_received_at"] == "2026-11-22T00:01:00Z"


def test_the_same_push_under_another_id_names_the_first_build(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.push(sha(1), delivery="d-2")
    delivery = shown(cloud, "d-2")
    assert (delivery["outcome"], delivery["reason"]) == ("duplicate", None)
    assert delivery["services"][0]["build_id"] == 1
    assert delivery["services"][0]["reason"] == "this push had started its build before"


def test_an_ignored_delivery_shows_its_reason_and_can_be_redelivered(cloud: Cloud) -> None:
    cloud.push(sha(1), branch="develop", delivery="d-1")
    delivery = shown(cloud, "d-1")
    assert delivery["outcome"] == "ignored"
    repository = f"github.com/{REPOSITORY.lower()}"
    assert delivery["reason"] == f"no service follows branch develop of {repository}"
    assert delivery["services"][0]["reason"] == "it follows the branch master"
    cloud.change_service(branch="develop")
    cloud.push(sha(1), branch="develop", delivery="d-1")
    delivery = shown(cloud, "d-1")
    assert (delivery["outcome"], delivery["reason"]) == ("started", None)
    assert delivery["services"][0]["reason"] == "a build was started"


def test_redelivery_of_an_ignored_delivery_keeps_its_earlier_reasons(cloud: Cloud) -> None:
    cloud.push(sha(1), branch="other", delivery="d-1")
    cloud.change_service(branch="develop")
    cloud.push(sha(1), branch="other", delivery="d-1")
    assert shown(cloud, "d-1")["services"][0]["reason"] == (
        "it follows the branch develop; it follows the branch master"
    )


def test_other_events_and_tags_are_recorded_with_a_reason(cloud: Cloud) -> None:
    deliver(cloud, {"zen": "Keep it logically awesome."}, "d-ping", **{"X-GitHub-Event": "ping"})
    deliver(cloud, push_payload(ref="refs/tags/v1"), "d-tag")
    assert shown(cloud, "d-ping")["reason"] == "the event ping has no effect"
    assert shown(cloud, "d-ping")["repository"] is None
    repository = f"github.com/{REPOSITORY.lower()}"
    assert shown(cloud, "d-tag")["reason"] == f"no service builds tag v1 of {repository}"
    assert shown(cloud, "d-tag")["services"][0]["reason"] == "it builds no tags"


@pytest.mark.parametrize("body", [json.dumps(push_payload()).encode(), b"{", b" " * 5_242_881])
def test_unsigned_deliveries_are_not_recorded(cloud: Cloud, body: bytes) -> None:
    for forged in ("sha256=00", "sha256=" + "0" * 64):
        unsigned = {**delivery_headers(body, delivery="d-1"), "X-Hub-Signature-256": forged}
        assert cloud.api.post("/v1/webhooks/github", raw=body, headers=unsigned).status == 401
    assert rows("receipts") == {}
    assert cloud.api.get(f"{PATH}/d-1").status == 404


def test_a_signed_delivery_that_cannot_be_read_is_recorded_for_the_repositorys_services(
    cloud: Cloud,
) -> None:
    own = cloud.add_service("own", branch="other", webhook_secret=keep_secret("the-secret-of-own"))
    body = json.dumps(push_payload()).encode().ljust(5 * 1024 * 1024 + 1)
    too_large = "refused: the body is too large: at most 5120 KiB are allowed here"
    for secret, services in (
        (WEBHOOK_SECRET, [cloud.service_id, own]),
        ("the-secret-of-own", [own]),
    ):
        headers = delivery_headers(body, delivery=f"d-{secret[:2]}", secret=secret)
        answer = cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)
        assert (answer.status, answer.body["code"]) == (413, "body_too_large")
        delivery = shown(cloud, f"d-{secret[:2]}")
        assert (delivery["outcome"], delivery["reason"]) == ("ignored", too_large)
        assert delivery["repository"] == f"github.com/{REPOSITORY.lower()}"
        assert [each["service_id"] for each in delivery["services"]] == services
        assert {each["reason"] for each in delivery["services"]} == {too_large}
    assert rows("jobs") == {}


def test_a_malformed_delivery_signed_with_a_services_own_secret_is_recorded_for_it_alone(
    cloud: Cloud,
) -> None:
    own = cloud.add_service("own", webhook_secret=keep_secret("the-secret-of-own"))
    answer = deliver_signed(cloud, push_payload(ref="master"), "d-1", "the-secret-of-own")
    assert (answer.status, answer.body["field"]) == (400, "ref")
    assert [each["service_id"] for each in shown(cloud, "d-1")["services"]] == [own]


def test_a_delivery_that_names_two_repositories_is_refused(cloud: Cloud) -> None:
    """A service's own secret is good only for the repository that was looked up."""
    cloud.add_service("own", webhook_secret=keep_secret("the-secret-of-own"))
    theirs = json.dumps(push_payload())[1:-1].replace(REPOSITORY, "Ada/other")
    ours = json.dumps({"full_name": REPOSITORY})
    for body in (
        f'{{{theirs}, "repository": {ours}}}',
        f'{{"repository": {ours}, {theirs}}}',
        f'{{{theirs}, "\\u0072epository": {ours}}}',
    ):
        headers = delivery_headers(body.encode(), secret="the-secret-of-own")
        answer = cloud.api.post("/v1/webhooks/github", raw=body.encode(), headers=headers)
        assert answer.status in {400, 401}, answer.text
    assert rows("jobs") == {}


def test_a_body_that_the_two_parsers_read_differently_is_refused(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_service("own", webhook_secret=keep_secret("the-secret-of-own"))
    claimed = "github.com/ada/other"
    monkeypatch.setattr("chalicelib.api.webhooks.claimed_repository", lambda _: claimed)
    answer = deliver_signed(cloud, push_payload(), "d-1", "the-secret-of-own")
    assert (answer.status, answer.body["field"]) == (400, "repository")
    assert rows("jobs") == {}


def test_the_last_received_delivery_is_listed_first(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        cloud.push(sha(number), delivery=f"d-{number}")
        cloud.advance(1)
    cloud.push(sha(1), delivery="d-1")
    first = cloud.api.get(f"{PATH}?limit=2").body
    assert [item["id"] for item in first["items"]] == ["d-1", "d-3"]
    rest = cloud.api.get(f"{PATH}?limit=2&cursor={first['next_cursor']}").body
    assert [item["id"] for item in rest["items"]] == ["d-2"]
    assert first["items"][0] == shown(cloud, "d-1")


def test_a_delivery_expires_after_thirty_days_even_if_its_row_still_exists(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.advance(30 * DAY)
    assert cloud.api.get(f"{PATH}/d-1").status == 404
    assert cloud.api.get(PATH).body["items"] == []
    assert "delivery:all:d-1" in rows("receipts")


def test_a_push_older_than_thirty_days_builds_nothing(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.advance(31 * DAY)
    answer = cloud.push(sha(1), delivery="d-1")
    assert answer.status == 200
    assert answer.body["ignored"] == "it was pushed more than 30 days ago; push again"
    assert list(rows("jobs")) == ["build-1"]


@pytest.mark.parametrize("ahead", [DAY + 1, 253_402_300_799 - int(MIDNIGHT)])
def test_a_push_dated_in_the_future_builds_nothing_and_can_be_shown(
    cloud: Cloud, ahead: int
) -> None:
    """Otherwise it would stay the newest push of its branch until that time."""
    answer = cloud.push(sha(1), delivery="d-1", pushed_at=int(MIDNIGHT) + ahead)
    assert answer.body["ignored"] == "its pushed_at is in the future; push again"
    assert rows("jobs") == {}
    assert shown(cloud, "d-1") == cloud.api.get(PATH).body["items"][0]


def test_a_push_dated_in_the_year_10000_is_refused(cloud: Cloud) -> None:
    answer = cloud.push(sha(1), pushed_at=253_402_300_800)
    assert (answer.status, answer.body["field"]) == (400, "repository.pushed_at")


def test_a_full_delivery_record_does_not_stop_a_build(cloud: Cloud) -> None:
    """A team with its own webhook secret also writes to this record, and could fill it."""
    reason = "x" * 900
    for first in range(0, MAX_VERDICTS + 99, 99):
        several = range(first, first + 99)
        verdicts = [Verdict(1, 1, Outcome.IGNORED, f"{reason}{number}") for number in several]
        write = note_delivery("d-1", {"event": "push"}, verdicts, replace=True)[0]
        with suppress(ConditionFailed):
            commit(write)
    answer = cloud.push(sha(1), delivery="d-1")
    assert (answer.status, len(answer.body["builds"])) == (202, 1)
    assert list(rows("jobs")) == ["build-1"]
    assert len(rows("receipts")["delivery:all:d-1"]["verdicts"]) == 3 * 99
    (verdict,) = rows("receipts")[f"delivery:service-{cloud.service_id}:d-1"]["verdicts"]
    assert json.loads(verdict)["build_id"] == 1


def test_a_duplicate_push_explains_that_its_services_have_left(cloud: Cloud) -> None:
    build = cloud.push(sha(1), delivery="d-1").body["builds"][0]["job_id"]
    cloud.api.post(f"/v1/cicd/jobs/{build}/cancel")
    cloud.change_service(git_url="https://github.com/Ada/other.git")
    assert cloud.push(sha(1), delivery="d-2").body["duplicate"]
    delivery = shown(cloud, "d-2")
    assert (delivery["outcome"], delivery["services"]) == ("ignored", [])
    assert delivery["reason"] == "the services that it built do not follow the branch any more"


def test_builds_and_the_record_of_their_delivery_are_written_together(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("dynamodb.TransactWriteItems", "ThrottlingException")
    assert cloud.push(sha(1), delivery="d-1").status == 503
    assert rows("receipts") == {}
    assert rows("jobs") == {}


@pytest.mark.parametrize("name", ["none", "d-1/x", "%00", "x" * 200])
def test_a_missing_delivery_is_not_found(cloud: Cloud, name: str) -> None:
    assert cloud.api.get(f"{PATH}/{name}").status in {403, 404}


def test_an_impossible_delivery_id_is_404_without_a_read(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB refuses keys of more than 2,048 bytes ("Constraints in Amazon DynamoDB")."""
    calls = record_calls(monkeypatch)
    for name in ("x" * 101, "x" * 3000, "a.b"):
        answer = cloud.api.get(f"/v1/webhooks/github/deliveries/{name}")
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert all(read["TableName"] == "slipway-tokens" for read in calls.to("dynamodb.GetItem"))
