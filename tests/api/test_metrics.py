"""The numbers of builds and deployments, as callers read them."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib import budget, clock
from chalicelib.aws.clients import client
from chalicelib.errors import Stale
from chalicelib.pipeline import retries
from chalicelib.store import writes
from chalicelib.store.models import RollUp, Service
from chalicelib.store.writes import change, commit, count
from tests.faults.rows import builds
from tests.support.client import Api
from tests.support.embedded import (
    MINUTE,
    Cloud,
    create_ecs_service,
    register,
    run_on_ecs,
    sha,
)
from tests.support.fixtures import HTTP_SECONDS
from tests.support.sdk import Calls, Trouble

DAY = 86_400


def numbers(cloud: Cloud, query: str = "", scope: str = "") -> Any:
    answer = cloud.api.get(f"/v1/cicd/{scope}metrics{query}")
    assert answer.status == 200, answer.text
    return answer.body


def day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def counts(**known: int) -> dict[str, int]:
    names = ("success", "failed", "cancelled", "superseded", "rolled_back")
    return dict.fromkeys(names, 0) | known


def test_numbers_before_the_first_job_are_zero_or_unknown(cloud: Cloud) -> None:
    body = numbers(cloud)
    today = day(cloud._now)
    assert (body["from"], body["until"], body["days"]) == (day(cloud._now - 6 * DAY), today, 7)
    nothing = {"p50": None, "p95": None, "count": 0}
    assert body["builds"]["success_rate"] is None
    assert body["queue_seconds"] == body["build_seconds"] == body["deploy_seconds"] == nothing
    assert body["queue"] == {"depth": 0, "oldest_seconds": None}
    assert body["dora"] == {
        "deployments_per_day": 0.0,
        "lead_time_seconds": nothing,
        "change_failure_rate": None,
        "time_to_restore_seconds": nothing,
    }
    assert [each["day"] for each in body["per_day"]] == [
        day(cloud._now - ago * DAY) for ago in (6, 5, 4, 3, 2, 1, 0)
    ]


def test_a_release_a_failure_and_a_rollback_are_counted_for_every_scope(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.push(sha(3))
    cloud.settle()
    cloud.end_build(3, "FAILED")
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.push(sha(4)).status == 202
    cloud.settle()
    cloud.finish_build(4)
    cloud.deploy_build(4)
    cloud.settle()
    cloud.fail_rollout()

    for scope in ("", f"projects/{cloud.project}/", f"services/{cloud.service_id}/"):
        body = numbers(cloud, "?days=1", scope)
        assert body["builds"].pop("success_rate") == 0.75
        assert counts(**body["builds"]) == counts(success=3, failed=1)
        assert body["deployments"].pop("success_rate") == 0.75
        assert body["deployments"] == counts(success=3, failed=1, rolled_back=1)
        assert body["per_day"][0]["deployments"] == body["deployments"]
        dora = body["dora"]
        assert body["per_day"][0]["dora"] == dora
        assert dora["deployments_per_day"] == 2.0
        # One change of three has failed, and the rollback has left another one.
        assert dora["change_failure_rate"] == 0.6667
        assert dora["lead_time_seconds"]["count"] == 2
        assert dora["time_to_restore_seconds"]["count"] == 1
        assert [body[f"{each}_seconds"]["count"] for each in ("queue", "build", "deploy")] == [
            4,
            3,
            3,
        ]


def test_each_day_has_its_own_dora_keys(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(DAY)
    cloud.begin_release(2)
    cloud.fail_rollout()
    cloud.advance(DAY)
    cloud.release(3)
    first, second, third = (each["dora"] for each in numbers(cloud)["per_day"][-3:])
    days = (first, second, third)
    assert [each["deployments_per_day"] for each in days] == [1.0, 0.0, 1.0]
    assert [each["change_failure_rate"] for each in days] == [0.0, 1.0, 0.0]
    assert [each["lead_time_seconds"]["count"] for each in days] == [1, 0, 1]
    assert [each["time_to_restore_seconds"]["count"] for each in days] == [0, 0, 1]
    assert third["time_to_restore_seconds"]["p50"] >= DAY * 0.9


def test_a_release_that_two_rollbacks_lead_away_from_is_a_failed_change(cloud: Cloud) -> None:
    """The second rollback leaves the first one, and so the release that it had restored."""
    for number in (1, 2, 3):
        cloud.release(number)
    for _ in range(2):
        cloud.roll_back()
        cloud.settle()
        cloud.finish_rollout()
    assert cloud.statuses(1, 2, 3) == ["success", "rolled_back", "rolled_back"]
    body = numbers(cloud)
    assert body["deployments"].pop("success_rate") == 1.0
    assert body["deployments"] == counts(success=5, rolled_back=3)
    assert body["dora"]["change_failure_rate"] == 0.6667


def test_a_change_that_is_restored_and_left_again_failed_once(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    for target in (1, 2, 1):
        assert cloud.roll_back(deployment_id=target).status == 202
        cloud.settle()
        cloud.finish_rollout()
    assert cloud.statuses(1, 2) == ["success", "rolled_back"]
    assert numbers(cloud)["dora"]["change_failure_rate"] == 0.5
    assert numbers(cloud)["deployments"]["rolled_back"] == 3


def test_a_failed_deployment_is_restored_by_the_next_success(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    cloud.advance(10 * MINUTE)
    cloud.begin_release(3)
    cloud.fail_rollout()
    cloud.advance(10 * MINUTE)
    cloud.release(4)
    restore = numbers(cloud)["dora"]["time_to_restore_seconds"]
    assert restore["count"] == 1
    assert 1200 * 0.9 <= restore["p50"] <= 1500


def test_a_service_is_restored_once(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.fail_rollout()
    cloud.release(2)
    cloud.release(3)
    assert numbers(cloud)["dora"]["time_to_restore_seconds"]["count"] == 1


def test_lead_time_runs_from_the_push_and_an_image_has_it_once(cloud: Cloud) -> None:
    cloud.push(sha(1), pushed_at=int(cloud._now) - 1000)
    cloud.settle()
    cloud.finish_build(1)
    cloud.finish_rollout()
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    body = numbers(cloud)
    assert body["deployments"]["success"] == 2
    lead = body["dora"]["lead_time_seconds"]
    assert lead["count"] == 1
    assert 900 <= lead["p50"] <= 1300


def leads(cloud: Cloud) -> int:
    return int(numbers(cloud, "?days=30")["dora"]["lead_time_seconds"]["count"])


def restores(cloud: Cloud) -> int:
    return int(numbers(cloud, "?days=30")["dora"]["time_to_restore_seconds"]["count"])


def test_a_push_has_one_lead_time_if_it_runs_again_after_a_rollback(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    cloud.advance(3 * DAY)
    again = cloud.deploy_build(2)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(again) == ["success"]
    assert leads(cloud) == 2
    cloud.advance(1)
    cloud.release(3)
    assert leads(cloud) == 3


def move(cloud: Cloud, name: str) -> None:
    """Move the service to another ECS service, once no rollout can be under way."""
    create_ecs_service(name)
    cloud.tick()
    cloud.tick()
    cloud.change_service(ecs_service=name)


def test_a_push_has_one_lead_time_if_it_also_runs_in_another_ecs_service(cloud: Cloud) -> None:
    cloud.release(1)
    move(cloud, "elsewhere")
    again = cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout("elsewhere")
    assert cloud.statuses(again) == ["success"]
    assert leads(cloud) == 1


def test_a_service_from_before_its_newest_push_was_kept_compares_with_its_release(
    cloud: Cloud,
) -> None:
    cloud.release(1)
    commit(change(Service.get(cloud.service_id), newest_source=None))
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    assert leads(cloud) == 1


def failing(cloud: Cloud) -> tuple[int | None, bool]:
    """The service's newest failed deployment, and whether it waits for a success."""
    service = cloud.service()
    return service["failed_deployment_id"], service["failing_since"] is not None


def test_a_failed_release_command_begins_no_time_to_restore(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.change_service(release_command=["migrate"])
    cloud.begin_release(2)
    cloud.end_command(1)
    assert cloud.statuses(2) == ["failed"]
    assert failing(cloud) == (2, False)
    cloud.change_service(release_command=None)
    cloud.release(3)
    assert failing(cloud) == (None, False)
    assert restores(cloud) == 0


def test_a_deployment_that_cannot_begin_begins_no_time_to_restore(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.release(1)
    trouble.refuse("ecs.RegisterTaskDefinition", "ClientException", "no such role", times=1)
    cloud.begin_release(2)
    assert cloud.statuses(2) == ["failed"]
    assert failing(cloud) == (2, False)
    cloud.release(3)
    assert restores(cloud) == 0


def test_a_rollback_that_cannot_begin_does_not_end_the_failure_that_it_was_for(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.release(1)
    cloud.release(2)
    trouble.refuse("ecs.RegisterTaskDefinition", "ClientException", "no such role", times=1)
    cloud.roll_back()
    cloud.settle()
    assert cloud.statuses(3) == ["failed"]
    assert failing(cloud) == (3, True)
    cloud.advance(10 * MINUTE)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    restore = numbers(cloud)["dora"]["time_to_restore_seconds"]
    assert restore["count"] == 1
    assert restore["p50"] >= 540


def test_a_service_that_moves_after_a_failure_is_not_restored_by_its_next_release(
    cloud: Cloud,
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    assert failing(cloud) == (2, True)
    cloud.finish_rollout()
    move(cloud, "elsewhere")
    assert failing(cloud) == (None, False)
    cloud.advance(3 * DAY)
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout("elsewhere")
    assert cloud.statuses(3) == ["success"]
    assert restores(cloud) == 0


def test_a_choice_outside_slipway_ends_the_wait_for_a_success(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    cloud.finish_rollout()
    cloud.advance(MINUTE)
    run_on_ecs(register("hello", "hello:outside"))
    cloud.finish_rollout()
    cloud.tick()
    assert "chosen outside" in cloud.service()["drift"]
    assert failing(cloud) == (2, False)
    cloud.advance(3 * DAY)
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(3) == ["success"]
    assert restores(cloud) == 0


def test_work_counts_on_the_day_of_its_end(cloud: Cloud) -> None:
    first = cloud._now
    cloud.release(1)
    cloud.advance(3 * DAY)
    cloud.release(2)
    body = numbers(cloud)
    shown = {each["day"]: each["builds"]["success"] for each in body["per_day"]}
    assert {name: number for name, number in shown.items() if number} == {
        day(first): 1,
        day(cloud._now): 1,
    }
    earlier = numbers(cloud, f"?days=1&until={day(first)}")
    assert (earlier["from"], earlier["until"]) == (day(first), day(first))
    assert earlier["builds"]["success"] == 1
    assert numbers(cloud, f"?days=1&until={day(first + DAY)}")["builds"]["success"] == 0


def test_the_queue_shows_the_builds_that_wait_now(cloud: Cloud) -> None:
    other = cloud.add_service("other")
    for number in (1, 2, 3):
        cloud.ask_for_build(git_ref=f"ref-{number}")
    cloud.settle()
    cloud.advance(90)
    cloud.api.post(f"/v1/cicd/services/{other}/build", {})
    for scope in ("", f"projects/{cloud.project}/"):
        queue = numbers(cloud, "", scope)["queue"]
        assert queue["depth"] == 2
        assert queue["oldest_seconds"] >= 90
    own = numbers(cloud, "", f"services/{other}/")["queue"]
    assert own["depth"] == 1
    assert own["oldest_seconds"] < 90


@pytest.mark.parametrize("restriction", ["project_id", "service_id"])
def test_a_restricted_token_gets_the_numbers_of_what_it_may_see(
    cloud: Cloud, restriction: str
) -> None:
    cloud.release(1)
    project, service = cloud.project, cloud.service_id
    cloud.project = cloud.api.post("/v1/projects", {"name": "second"}).body["id"]
    other = cloud.add_service("other", branch="spare")
    number = {"project_id": cloud.project, "service_id": other}[restriction]
    body = {"name": "t", "role": "viewer", restriction: number}
    viewer = cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])
    for path in ("metrics", f"projects/{cloud.project}/metrics", f"services/{other}/metrics"):
        assert viewer.get(f"/v1/cicd/{path}").body["builds"]["success"] == 0
    assert 'slipway_builds_total{status="success"} 0' in viewer.get("/v1/metrics").text
    for path in (f"projects/{project}/metrics", f"services/{service}/metrics"):
        assert viewer.get(f"/v1/cicd/{path}").status == 404


def test_a_service_token_sees_only_its_service_in_the_numbers_of_its_project(cloud: Cloud) -> None:
    cloud.release(1)
    other = cloud.add_service("other", branch="spare")
    body = {"name": "t", "role": "viewer", "service_id": other}
    viewer = cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])
    answer = viewer.get(f"/v1/cicd/projects/{cloud.project}/metrics")
    assert (answer.status, answer.body["builds"]["success"]) == (200, 0)


def test_numbers_of_a_deleted_service_stay(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    cloud.tick()
    assert cloud.api.request("DELETE", f"/v1/services/{cloud.service_id}").status == 204
    assert numbers(cloud, "", f"services/{cloud.service_id}/")["builds"]["success"] == 1


def test_prometheus_reads_the_numbers_of_the_month(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.ask_for_build(git_ref="one")
    answer = cloud.api.get("/v1/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = dict(
        line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")
    )
    builds = {name: value for name, value in samples.items() if name.startswith("slipway_builds")}
    assert builds == {
        'slipway_builds_total{status="success"}': "1",
        'slipway_builds_total{status="failed"}': "0",
        'slipway_builds_total{status="cancelled"}': "0",
        'slipway_builds_total{status="superseded"}': "0",
    }
    assert samples["slipway_build_seconds_count"] == "1"
    assert samples["slipway_queue_depth"] == "1"
    assert answer.text.endswith("\n")


class Sleeps:
    """The pauses of commits and of requests pass by themselves, and only they take time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self.number = 0
        passing = SimpleNamespace(sleep=self._sleep, monotonic=lambda: self.seconds)
        for module in (writes, retries, budget):
            monkeypatch.setattr(module, "time", passing)

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.number += 1


@pytest.mark.parametrize("tries", [1, 4, 12])
def test_many_ends_at_once_on_one_sum_cost_a_request_only_time(
    cloud: Cloud, trouble: Trouble, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    Sleeps(monkeypatch)
    cloud.push(sha(1))
    trouble.refuse("dynamodb.TransactWriteItems", "TransactionCanceledException", times=tries)
    assert cloud.api.post("/v1/cicd/jobs/build-1/cancel").status == 202
    assert numbers(cloud)["builds"]["cancelled"] == 1


@pytest.mark.parametrize("tries", [4, 12, 40])
def test_many_ends_at_once_on_one_sum_cost_a_worker_only_time(
    cloud: Cloud, trouble: Trouble, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    """After 15 tries the schedule goes on."""
    Sleeps(monkeypatch)
    cloud.push(sha(1))
    cloud.settle()
    trouble.refuse("dynamodb.TransactWriteItems", "TransactionCanceledException", times=tries)
    cloud.finish_build(1)
    for _ in range(3):
        cloud.tick()
    assert numbers(cloud)["builds"]["success"] == 1


def test_a_request_does_not_wait_longer_than_its_budget_for_other_ends(
    cloud: Cloud, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.push(sha(1))
    sleeps = Sleeps(monkeypatch)
    monkeypatch.setattr(budget, "HTTP_SECONDS", HTTP_SECONDS)
    trouble.refuse("dynamodb.TransactWriteItems", "TransactionCanceledException", times=1000)
    assert cloud.api.post("/v1/cicd/jobs/build-1/cancel").status == 503
    assert HTTP_SECONDS - 0.5 <= sleeps.seconds <= HTTP_SECONDS
    trouble.end()
    assert cloud.api.post("/v1/cicd/jobs/build-1/cancel").status == 202


def test_a_commit_does_not_pause_after_its_last_try(
    cloud: Cloud, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps = Sleeps(monkeypatch)
    trouble.refuse("dynamodb.TransactWriteItems", "TransactionCanceledException", times=5)
    with pytest.raises(Stale):
        commit(count(RollUp("service-1", "2026-11-22"), {"builds_success": 1}))
    assert sleeps.number == 4


def test_an_end_counts_once_if_the_answer_to_its_transaction_is_lost(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    trouble.lose_answers("dynamodb.TransactWriteItems", times=1)
    assert cloud.api.post("/v1/cicd/jobs/build-1/cancel").status == 202
    assert numbers(cloud)["builds"]["cancelled"] == 1


def test_many_builds_that_end_in_one_transaction_are_all_counted(cloud: Cloud) -> None:
    """A transaction has at most 100 writes."""
    cloud.change_service(max_open_builds=100)
    cloud.seconds_before_push = 1
    for number in range(1, 61):
        cloud.push(sha(number))
    cloud.settle()
    cloud.tick()
    cloud.settle()
    statuses = Counter(row["status"] for row in builds().values())
    assert statuses["superseded"] == 59
    assert numbers(cloud)["builds"]["superseded"] == 59


def fill(last: int, days: int) -> None:
    """Roll-ups with many ends of a service, and of all, on each of some days."""
    for scope, part in (("project-1", "#1"), *((f"all-{each}", "") for each in range(8))):
        for ago in range(days):
            row = RollUp(scope, day(last - ago * DAY) + part)
            commit(count(row, {"builds_success": 1000, "queue_5": 900, "queue_30": 100}))


def test_a_request_costs_the_same_however_many_jobs_there_were(cloud: Cloud, calls: Calls) -> None:
    batches = {
        "metrics?days=1": 1,
        "metrics?days=7": 1,
        "metrics?days=30": 3,
        "metrics?days=90": 8,
        "projects/1/metrics?days=90": 0,
        "services/1/metrics?days=90": 2,
    }

    def cost(path: str) -> dict[str, int]:
        calls.clear()
        assert cloud.api.get(f"/v1/cicd/{path}").status == 200
        return dict(calls.counted)

    before = {path: cost(path) for path in batches}
    made = {path: each.get("dynamodb.BatchGetItem", 0) for path, each in before.items()}
    assert made == batches
    cloud.release(1)
    fill(clock.now(), 100)
    assert {path: cost(path) for path in batches} == before
    assert all(sum(each.values()) <= batches[path] + 4 for path, each in before.items())


def test_unchanged_numbers_are_answered_with_304(cloud: Cloud) -> None:
    cloud.release(1)
    first = cloud.api.get("/v1/cicd/metrics")
    again = cloud.api.get("/v1/cicd/metrics", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("days=2", "invalid_days"),
        ("days=", "invalid_days"),
        ("until=2026-02-30", "invalid_until"),
        ("until=yesterday", "invalid_until"),
        ("until=1999-12-31", "invalid_until"),
        ("until=9999-01-01", "invalid_until"),
        ("until=%D9%A2026-01-01", "invalid_until"),
        ("since=2026-01-01", "unknown_parameter"),
    ],
)
def test_a_wrong_window_is_refused(api: Api, query: str, code: str) -> None:
    answer = api.get(f"/v1/cicd/metrics?{query}")
    assert (answer.status, answer.body["code"]) == (400, code)


def test_today_is_a_day_of_the_window_and_tomorrow_is_not(cloud: Cloud) -> None:
    today = datetime.fromtimestamp(cloud._now, UTC).date()
    assert numbers(cloud, f"?until={today}")["until"] == today.isoformat()
    tomorrow = today + timedelta(days=1)
    assert cloud.api.get(f"/v1/cicd/metrics?until={tomorrow}").status == 400


def test_roll_ups_of_earlier_versions_are_added(cloud: Cloud) -> None:
    """They had rows of their own for each service and each project."""
    cloud.release(1)
    today = day(clock.now())
    for scope in ("service-1", "project-1", f"all-{cloud.service_id % 8}"):
        commit(count(RollUp(scope, today), {"builds_success": 2}))
    for scope in ("", "services/1/", "projects/1/"):
        assert numbers(cloud, scope=scope)["builds"]["success"] == 3


def test_a_project_has_the_numbers_of_all_its_services_and_of_no_other_project(
    cloud: Cloud,
) -> None:
    cloud.release(1)
    other = cloud.api.post("/v1/projects", {"name": "other"}).body["id"]
    own, cloud.project = cloud.project, other
    cloud.add_service("elsewhere", branch="develop")
    cloud.project = own
    gone = cloud.add_service("gone", branch="main")
    for branch in ("develop", "main"):
        cloud.push(sha(2), branch=branch)
    for number in (2, 3):
        assert cloud.api.post(f"/v1/cicd/jobs/build-{number}/cancel").status < 300
    assert cloud.api.delete(f"/v1/services/{gone}").status == 204
    of_own = numbers(cloud, scope=f"projects/{own}/")["builds"]
    assert (of_own["success"], of_own["cancelled"]) == (1, 1)
    of_other = numbers(cloud, scope=f"projects/{other}/")["builds"]
    assert (of_other["success"], of_other["cancelled"]) == (0, 1)


def test_the_numbers_of_a_project_of_fifty_services_are_few_pages(
    cloud: Cloud, calls: Calls
) -> None:
    """It has 4,500 rows of 90 days. A page of a query has 1 MB."""
    names = [f"{kind}_{number}" for kind in ("queue", "build", "deploy", "lead") for number in "34"]
    found = {name: {"N": "2"} for name in ("builds_success", "deployments_success", *names)}
    days = [day(clock.now() - ago * DAY) for ago in range(90)]
    keys = [f"{each}#{number}" for each in days for number in range(1, 51)]
    puts = [
        {"PutRequest": {"Item": {"scope": {"S": "project-1"}, "day": {"S": key}, **found}}}
        for key in keys
    ]
    for first in range(0, len(puts), 25):
        some = puts[first : first + 25]
        client("dynamodb").batch_write_item(RequestItems={RollUp.Meta.table_name: some})
    calls.clear()
    assert numbers(cloud, "?days=90", scope="projects/1/")["builds"]["success"] == 2 * len(keys)
    assert calls.counted["dynamodb.Query"] <= 3
