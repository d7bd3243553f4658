"""The audit trail: who did what, from where, and what was changed."""

from typing import Any

from tests.support.client import Api
from tests.support.embedded import Cloud, sha


def trail(api: Api, query: str = "") -> list[Any]:
    answer = api.get(f"/v1/audit{query}")
    assert answer.status == 200, answer.text
    return list(answer.body["items"])


def test_a_change_says_who_from_where_and_before_and_after(cloud: Cloud) -> None:
    cloud.change_service(branch="main", auto_deploy=False)
    assert trail(cloud.api, f"?service_id={cloud.service_id}")[0] == {
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


def test_a_release_leaves_its_trail_newest_first(cloud: Cloud) -> None:
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


def test_build_arguments_are_named_and_their_values_kept_out(cloud: Cloud) -> None:
    cloud.change_service(build_args={"NPM_TOKEN": "canary-0815"})
    cloud.ask_for_build(build_args={"OTHER": "canary-4711"})
    said = cloud.api.get("/v1/audit").text
    assert "NPM_TOKEN" in said
    assert "canary" not in said


def test_tokens_and_projects_are_in_the_whole_trail(cloud: Cloud) -> None:
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


def test_whoever_is_restricted_sees_their_own_part(cloud: Cloud) -> None:
    cloud.add_service("other")
    body = {"name": "ci", "role": "viewer", "service_id": cloud.service_id}
    caller = cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])
    assert {entry["service_id"] for entry in trail(caller, "?project_id=1")} == {cloud.service_id}
    assert caller.get("/v1/audit").status == 403
    assert caller.get("/v1/audit?service_id=2").body["detail"] == "there is no service 2"


def test_a_service_is_of_its_project(cloud: Cloud) -> None:
    assert trail(cloud.api, "?service_id=1&project_id=1") == trail(cloud.api, "?service_id=1")
    answer = cloud.api.get("/v1/audit?service_id=1&project_id=2")
    assert (answer.status, answer.body["code"]) == (404, "not_found")
    answer = cloud.api.get("/v1/audit?service_id=x")
    assert (answer.status, answer.body["code"]) == (400, "invalid_service_id")


def test_who_sees_one_service_does_not_see_what_tokens_there_are(cloud: Cloud) -> None:
    body = {"name": "ci-prod", "role": "admin", "service_id": cloud.service_id}
    admin = cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])
    actions = {entry["action"] for entry in trail(admin, f"?service_id={cloud.service_id}")}
    assert "service.created" in actions
    assert not {action for action in actions if action.startswith("token.")}
