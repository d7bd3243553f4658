"""The trace of deliveries: what came, which services it meant, and what said no."""

import json
from contextlib import suppress
from typing import Any

import pytest

from chalicelib.domain.deliveries import Outcome, Verdict
from chalicelib.store.receipts import MAX_VERDICTS, note_delivery
from chalicelib.store.writes import ConditionFailed, commit
from tests.faults.rows import rows
from tests.support.builders import delivery_headers, push_payload
from tests.support.client import Answer
from tests.support.embedded import MIDNIGHT, MINUTE, REPOSITORY, Cloud, sha
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


def test_a_delivery_says_service_by_service_what_it_led_to(cloud: Cloud) -> None:
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
        "first_received_at": "2026-11-22T00:00:00Z",
        "last_received_at": "2026-11-22T00:00:00Z",
    }


def test_a_redelivery_is_counted_and_names_the_build_of_the_first(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.advance(MINUTE)
    cloud.push(sha(1), delivery="d-1")
    delivery = shown(cloud, "d-1")
    assert (delivery["outcome"], delivery["times_received"]) == ("started", 2)
    assert delivery["services"][0]["build_id"] == 1
    assert delivery["services"][0]["reason"] == "a build was started"
    assert delivery["first_received_at"] == "2026-11-22T00:00:00Z"
    assert delivery["last_received_at"] == "2026-11-22T00:01:00Z"


def test_a_copy_under_another_id_names_the_build_of_the_first(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.push(sha(1), delivery="d-2")
    delivery = shown(cloud, "d-2")
    assert (delivery["outcome"], delivery["reason"]) == ("duplicate", None)
    assert delivery["services"][0]["build_id"] == 1
    assert delivery["services"][0]["reason"] == "this push had started its build before"


def test_an_ignored_delivery_says_why_and_is_judged_again(cloud: Cloud) -> None:
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


def test_an_ignored_delivery_that_comes_again_has_every_reason_there_was(cloud: Cloud) -> None:
    cloud.push(sha(1), branch="other", delivery="d-1")
    cloud.change_service(branch="develop")
    cloud.push(sha(1), branch="other", delivery="d-1")
    assert shown(cloud, "d-1")["services"][0]["reason"] == (
        "it follows the branch develop; it follows the branch master"
    )


def test_other_events_and_other_refs_leave_their_reason(cloud: Cloud) -> None:
    deliver(cloud, {"zen": "Keep it logically awesome."}, "d-ping", **{"X-GitHub-Event": "ping"})
    deliver(cloud, push_payload(ref="refs/tags/v1"), "d-tag")
    assert shown(cloud, "d-ping")["reason"] == "the event ping has no effect"
    assert shown(cloud, "d-ping")["repository"] is None
    assert shown(cloud, "d-tag")["reason"] == "refs/tags/v1 is not a branch"


def test_what_is_not_signed_or_cannot_be_read_leaves_nothing(cloud: Cloud) -> None:
    body = json.dumps(push_payload()).encode()
    unsigned = {**delivery_headers(body, delivery="d-1"), "X-Hub-Signature-256": "sha256=00"}
    assert cloud.api.post("/v1/webhooks/github", raw=body, headers=unsigned).status == 401
    assert deliver(cloud, {"ref": 7}, "d-2").status == 400
    assert rows("receipts") == {}
    assert cloud.api.get(f"{PATH}/d-1").status == 404


def test_deliveries_are_listed_the_last_received_first(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        cloud.push(sha(number), delivery=f"d-{number}")
        cloud.advance(1)
    cloud.push(sha(1), delivery="d-1")
    first = cloud.api.get(f"{PATH}?limit=2").body
    assert [item["id"] for item in first["items"]] == ["d-1", "d-3"]
    rest = cloud.api.get(f"{PATH}?limit=2&cursor={first['next_cursor']}").body
    assert [item["id"] for item in rest["items"]] == ["d-2"]
    assert first["items"][0] == shown(cloud, "d-1")


def test_a_delivery_is_forgotten_after_thirty_days_though_its_row_is_still_there(
    cloud: Cloud,
) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.advance(30 * DAY)
    assert cloud.api.get(f"{PATH}/d-1").status == 404
    assert cloud.api.get(PATH).body["items"] == []
    assert "delivery:all:d-1" in rows("receipts")


def test_a_push_that_is_older_than_what_is_remembered_builds_nothing(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.advance(31 * DAY)
    answer = cloud.push(sha(1), delivery="d-1")
    assert answer.status == 200
    assert answer.body["ignored"] == "it was pushed more than 30 days ago; push again"
    assert list(rows("jobs")) == ["build-1"]


@pytest.mark.parametrize("ahead", [DAY + 1, 253_402_300_799 - int(MIDNIGHT)])
def test_a_push_of_the_future_builds_nothing_and_can_be_shown(cloud: Cloud, ahead: int) -> None:
    """It would be the newest push for as long."""
    answer = cloud.push(sha(1), delivery="d-1", pushed_at=int(MIDNIGHT) + ahead)
    assert answer.body["ignored"] == "its pushed_at is in the future; push again"
    assert rows("jobs") == {}
    assert shown(cloud, "d-1") == cloud.api.get(PATH).body["items"][0]


def test_a_time_that_no_date_can_show_is_no_time(cloud: Cloud) -> None:
    answer = cloud.push(sha(1), pushed_at=253_402_300_800)
    assert (answer.status, answer.body["field"]) == (400, "repository.pushed_at")


def test_a_record_that_is_full_stops_no_build(cloud: Cloud) -> None:
    """Whoever signs with a secret of their own writes in it too, and may write much."""
    reason = "x" * 900
    for first in range(0, MAX_VERDICTS + 99, 99):
        several = range(first, first + 99)
        verdicts = [Verdict(1, 1, Outcome.IGNORED, f"{reason}{number}") for number in several]
        whole = note_delivery("d-1", {"event": "push"}, verdicts, replace=True)[0]
        with suppress(ConditionFailed):
            commit(whole)
    answer = cloud.push(sha(1), delivery="d-1")
    assert (answer.status, len(answer.body["builds"])) == (202, 1)
    assert list(rows("jobs")) == ["build-1"]
    assert len(rows("receipts")["delivery:all:d-1"]["verdicts"]) == 3 * 99
    (said,) = rows("receipts")[f"delivery:service-{cloud.service_id}:d-1"]["verdicts"]
    assert json.loads(said)["build_id"] == 1


def test_a_copy_of_a_push_that_built_for_who_has_left_says_so(cloud: Cloud) -> None:
    build = cloud.push(sha(1), delivery="d-1").body["builds"][0]["job_id"]
    cloud.api.post(f"/v1/cicd/jobs/{build}/cancel")
    cloud.change_service(git_url="https://github.com/Ada/other.git")
    assert cloud.push(sha(1), delivery="d-2").body["duplicate"]
    delivery = shown(cloud, "d-2")
    assert (delivery["outcome"], delivery["services"]) == ("ignored", [])
    assert delivery["reason"] == "the services that it built do not follow the branch any more"


def test_builds_and_their_trace_are_written_together_or_not_at_all(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("dynamodb.TransactWriteItems", "ThrottlingException")
    assert cloud.push(sha(1), delivery="d-1").status == 503
    assert rows("receipts") == {}
    assert rows("jobs") == {}


@pytest.mark.parametrize("name", ["none", "d-1/x", "%00", "x" * 200])
def test_a_delivery_that_there_is_not_is_not_found(cloud: Cloud, name: str) -> None:
    assert cloud.api.get(f"{PATH}/{name}").status in {403, 404}


def test_an_id_that_no_delivery_can_have_is_not_looked_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB refuses keys of more than 2,048 bytes ("Constraints in Amazon DynamoDB")."""
    calls = record_calls(monkeypatch)
    for name in ("x" * 101, "x" * 3000, "a.b"):
        answer = cloud.api.get(f"/v1/webhooks/github/deliveries/{name}")
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert all(read["TableName"] == "slipway-tokens" for read in calls.to("dynamodb.GetItem"))
