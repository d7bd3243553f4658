"""The audit trail: actor, address, action, and the values before and after."""

from typing import Any

import pytest

from chalicelib import clock
from chalicelib.store.history import record
from chalicelib.store.jobs import get_build, get_deployment
from chalicelib.store.models import History
from chalicelib.store.writes import commit
from tests.faults.rows import history
from tests.support.client import Api
from tests.support.embedded import Cloud, sha
from tests.support.sdk import Calls


def trail(api: Api, query: str = "") -> list[Any]:
    answer = api.get(f"/v1/audit{query}")
    assert answer.status == 200, answer.text
    return list(answer.body["items"])


def test_a_change_is_recorded_with_actor_address_and_both_values(cloud: Cloud) -> None:
    cloud.change_service(branch="main", auto_deploy=False)
    (entry,) = trail(cloud.api, f"?service_id={cloud.service_id}&limit=1")
    assert entry.pop("id")
    assert entry == {
        "at": "2026-11-22T00:00:00Z",
        "actor": "token:tests",
        "token_id": 1,
        "address": "127.0.0.1",
        "action": "service.updated",
        "subject": "service-1",
        "project_id": 1,
        "service_id": 1,
        "details": {
            "before": {"branch": "master", "auto_deploy": True},
            "after": {"branch": "main", "auto_deploy": False},
        },
    }


def test_each_entry_has_its_own_id(cloud: Cloud) -> None:
    for minutes in range(10, 15):
        cloud.change_service(build_minutes=minutes)
    entries = trail(cloud.api)
    assert len({entry["id"] for entry in entries}) == len(entries)
    assert entries == trail(cloud.api)


def test_the_entries_of_a_release_are_listed_newest_first(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    entries = trail(cloud.api, f"?service_id={cloud.service_id}")
    actions = [entry["action"] for entry in entries]
    release = ["deployment.requested", "build.requested"]
    assert actions == ["deployment.requested", *release, *release, "service.created"]
    assert entries[0]["details"]["trigger"] == "rollback"
    pushed = next(entry for entry in entries if entry["subject"] == "build-1")
    assert (pushed["actor"], pushed["token_id"]) == ("github:Codertocat", None)


def test_build_arguments_are_recorded_without_their_values(cloud: Cloud) -> None:
    cloud.change_service(build_args={"NPM_TOKEN": "canary-0815"})
    cloud.ask_for_build(build_args={"OTHER": "canary-4711"})
    text = cloud.api.get("/v1/audit").text
    assert "NPM_TOKEN" in text
    assert "canary" not in text


def test_the_unfiltered_trail_includes_tokens_and_projects(cloud: Cloud) -> None:
    cloud.api.post("/v1/tokens", {"name": "ci", "role": "viewer", "expires_in_days": 1})
    cloud.api.request("DELETE", "/v1/tokens/2")
    revoked, created, *_ = trail(cloud.api)
    assert (revoked["action"], created["action"]) == ("token.revoked", "token.created")
    assert created["details"] == {
        "name": "ci",
        "role": "viewer",
        "expires_at": "2026-11-23T00:00:00Z",
        "for_project": None,
        "for_service": None,
    }
    assert "project.created" in [entry["action"] for entry in trail(cloud.api)]


def test_the_trail_of_an_actor_costs_the_same_reads(cloud: Cloud, calls: Calls) -> None:
    cloud.release(1)
    cloud.change_service(build_minutes=11)
    cloud.push(sha(2))

    def asked(query: str) -> list[str]:
        calls.clear()
        found = trail(cloud.api, query)
        assert calls.counted == {
            "dynamodb.GetItem": 1,
            "dynamodb.Query": 2,
            "dynamodb.BatchGetItem": 2,
        }
        return [entry["actor"] for entry in found]

    everyone = asked("")
    for actor in ("token:tests", "github:Codertocat", "nobody"):
        quoted = actor.replace(":", "%3A")
        assert asked(f"?actor={quoted}") == [each for each in everyone if each == actor]
    assert len(set(everyone)) > 1


def test_the_pages_of_an_actors_trail_have_each_entry_once(cloud: Cloud) -> None:
    cloud.release(1)
    for minutes in (11, 12):
        cloud.change_service(build_minutes=minutes)
    path, shown = "/v1/audit?actor=token:tests&limit=1", []
    cursor: str | None = ""
    while cursor is not None:
        page = cloud.api.get(f"{path}&cursor={cursor}" if cursor else path).body
        shown += page["items"]
        cursor = page["next_cursor"]
    assert shown == trail(cloud.api, "?actor=token:tests&limit=100")


@pytest.mark.parametrize("actor", ["", "x" * 201, "%00", "%C3%A9", "a%0A"])
def test_no_actor_is_a_wrong_actor(api: Api, actor: str) -> None:
    answer = api.get(f"/v1/audit?actor={actor}")
    assert (answer.status, answer.body["code"], answer.body["field"]) == (
        400,
        "invalid_actor",
        "actor",
    )


def test_the_trail_is_paged(cloud: Cloud) -> None:
    for number in range(5):
        cloud.push(sha(number))
    whole = trail(cloud.api, "?limit=100")
    seen, cursor = [], ""
    while True:
        page = cloud.api.get(f"/v1/audit?limit=2{cursor}").body
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == whole


def test_a_restricted_token_sees_only_entries_of_its_service(cloud: Cloud) -> None:
    cloud.add_service("other")
    body = {"name": "ci", "role": "viewer", "service_id": cloud.service_id}
    caller = cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])
    assert {entry["service_id"] for entry in trail(caller, "?project_id=1")} == {cloud.service_id}
    assert caller.get("/v1/audit").status == 403
    assert caller.get("/v1/audit?service_id=2").body["detail"] == "there is no service 2"


def test_a_service_filter_must_fit_the_project_filter(cloud: Cloud) -> None:
    assert trail(cloud.api, "?service_id=1&project_id=1") == trail(cloud.api, "?service_id=1")
    answer = cloud.api.get("/v1/audit?service_id=1&project_id=2")
    assert (answer.status, answer.body["code"]) == (404, "not_found")
    answer = cloud.api.get("/v1/audit?service_id=x")
    assert (answer.status, answer.body["code"]) == (400, "invalid_service_id")


def test_an_admin_of_one_service_sees_no_entries_about_tokens(cloud: Cloud) -> None:
    body = {"name": "ci-prod", "role": "admin", "service_id": cloud.service_id}
    admin = cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])
    actions = {entry["action"] for entry in trail(admin, f"?service_id={cloud.service_id}")}
    assert "service.created" in actions
    assert not {action for action in actions if action.startswith("token.")}


def walked(cloud: Cloud) -> list[Any]:
    """The trail, read with one entry a page."""
    seen, cursor = [], ""
    while True:
        page = cloud.api.get(f"/v1/audit?limit=1{cursor}").body
        seen += page["items"]
        if page["next_cursor"] is None:
            return seen
        cursor = f"&cursor={page['next_cursor']}"


def test_the_entry_of_a_requested_job_is_listed_without_a_copy_in_an_index(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.ask_for_build()
    subjects = [entry["subject"] for entry in trail(cloud.api)]
    assert [each for each in subjects if each.startswith(("build", "deploy"))] == [
        "build-2",
        "deploy-1",
        "build-1",
    ]
    entries = [each for each in history() if each["subject"].startswith(("build", "deploy"))]
    assert len(entries) == 3
    assert not {"listed", "project_id", "service_id"} & {name for each in entries for name in each}
    asked = trail(cloud.api, f"?service_id={cloud.service_id}")[0]
    assert (asked["actor"], asked["token_id"], asked["address"]) == ("token:tests", 1, "127.0.0.1")


def test_jobs_of_an_earlier_version_have_the_entries_that_it_wrote(cloud: Cloud) -> None:
    cloud.release(1)
    before = trail(cloud.api)
    for row in (get_build(1), get_deployment(1)):
        entry = next(each for each in before if each["subject"] == row.job_id)
        stored = next(each for each in history() if each["subject"] == row.job_id)
        History(row.job_id, stored["key"]).delete()
        names = ("actor", "project_id", "service_id")
        same = {name: entry[name] for name in names} | entry["details"]
        commit(record(row.job_id, entry["action"], at=row.created_at, **same))
    after = walked(cloud)
    assert [each["subject"] for each in after].count("build-1") == 1
    assert {(each["subject"], each["action"]) for each in after} == {
        (each["subject"], each["action"]) for each in before
    }
    assert len(after) == len(before)


def test_no_entry_is_lost_between_pages_if_two_have_one_number(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.push(sha(1))
    number = get_build(1).opened
    monkeypatch.setattr(clock, "microseconds", lambda: number)
    cloud.change_service(build_minutes=11)
    subjects = [entry["subject"] for entry in walked(cloud)]
    assert {"build-1", "service-1"} <= set(subjects)
    assert len(subjects) == len(trail(cloud.api))
