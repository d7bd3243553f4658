"""Tokens over HTTP: created, shown once, listed, restricted, expired, revoked."""

import logging

import pytest

from chalicelib.domain.tokens import Role, is_token
from chalicelib.store.tokens import create_token
from tests.support.client import Answer, Api
from tests.support.embedded import MINUTE, Cloud
from tests.support.sdk import Calls, Trouble
from tests.support.written import everything_written, nothing_is_written

DAY = 24 * 60 * MINUTE


def create(cloud: Cloud, **body: object) -> Answer:
    return cloud.api.post("/v1/tokens", {"name": "ci", "role": "deployer", **body})


def caller_with(cloud: Cloud, **body: object) -> Api:
    return cloud.api.as_holder_of(create(cloud, **body).body["token"])


def test_a_token_is_shown_once_and_works(cloud: Cloud) -> None:
    answer = create(cloud, expires_in_days=30)
    assert answer.status == 201
    secret = answer.body["token"]
    assert is_token(secret)
    token = answer.body
    token.pop("token")
    assert token == {
        "id": 2,
        "name": "ci",
        "role": "deployer",
        "project_id": None,
        "service_id": None,
        "created_by": "token:tests",
        "created_at": "2026-11-22T00:00:00Z",
        "expires_at": "2026-12-22T00:00:00Z",
        "last_used_at": None,
    }
    assert answer.headers["location"] == "/v1/tokens/2"
    assert cloud.api.get("/v1/tokens/2").body == token
    assert cloud.api.get("/v1/tokens").body["items"][0] == token
    assert secret not in str(everything_written())
    assert cloud.api.as_holder_of(secret).get("/v1/projects").status == 200


def test_each_token_learns_its_role_restriction_and_expiry(cloud: Cloud) -> None:
    for role in Role:
        caller = caller_with(cloud, role=role, service_id=cloud.service_id, expires_in_days=30)
        shown = caller.get("/v1/whoami").body
        token = cloud.api.get(f"/v1/tokens/{shown['token_id']}").body
        assert shown.pop("token_id") == token["id"]
        assert shown == {
            "name": "ci",
            "role": role,
            "project_id": cloud.project,
            "service_id": cloud.service_id,
            "expires_at": token["expires_at"],
        }
    unrestricted = cloud.api.get("/v1/whoami").body
    assert [unrestricted[each] for each in ("project_id", "expires_at")] == [None, None]


def test_the_tokens_that_reach_a_service_are_listed(cloud: Cloud) -> None:
    """Not those of another service or project, and none that is expired or revoked."""
    first, project = cloud.service_id, cloud.project
    second = cloud.add_service("second", branch="develop")
    cloud.project = int(cloud.api.post("/v1/projects", {"name": "other"}).body["id"])
    third = cloud.add_service("third", branch="develop")
    made = {
        name: create(cloud, name=name, **restriction).body["id"]
        for name, restriction in {
            "everywhere": {},
            "project": {"project_id": project},
            "first": {"service_id": first},
            "second": {"service_id": second},
            "other": {"project_id": cloud.project},
            "soon expired": {"service_id": first, "expires_in_days": 1},
            "revoked": {"service_id": first},
        }.items()
    }
    assert cloud.api.delete(f"/v1/tokens/{made['revoked']}").status == 204
    cloud.advance(DAY)

    def reach(service: int) -> list[str]:
        items = cloud.api.get(f"/v1/services/{service}/access").body["items"]
        assert items == [cloud.api.get(f"/v1/tokens/{each['id']}").body for each in items]
        return [each["name"] for each in items]

    assert reach(first) == ["first", "project", "everywhere", "tests"]
    assert reach(second) == ["second", "project", "everywhere", "tests"]
    assert reach(third) == ["other", "everywhere", "tests"]


def test_the_access_to_a_service_is_listed_in_pages(cloud: Cloud) -> None:
    other = cloud.add_service("other", branch="develop")
    for service in (1, other, 1):
        create(cloud, name=f"of {service}", service_id=service)
    names, path = [], "/v1/services/1/access?limit=2"
    answer = cloud.api.get(path)
    names.append([each["name"] for each in answer.body["items"]])
    answer = cloud.api.get(f"{path}&cursor={answer.body['next_cursor']}")
    names.append([each["name"] for each in answer.body["items"]])
    assert (names, answer.body["next_cursor"]) == ([["of 1"], ["of 1", "tests"]], None)


def test_a_revoked_token_is_refused_from_the_next_request_on(cloud: Cloud) -> None:
    caller = caller_with(cloud)
    assert caller.get("/v1/projects").status == 200
    assert cloud.api.request("DELETE", "/v1/tokens/2").status == 204
    assert caller.get("/v1/projects").status == 401
    for answer in (cloud.api.get("/v1/tokens/2"), cloud.api.request("DELETE", "/v1/tokens/2")):
        assert (answer.status, answer.body["detail"]) == (404, "there is no token 2")


def test_a_token_expires(cloud: Cloud) -> None:
    caller = caller_with(cloud, expires_in_days=1)
    cloud.advance(DAY - 1)
    assert caller.get("/v1/projects").status == 200
    cloud.advance(1)
    answer = caller.get("/v1/projects")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert cloud.api.get("/v1/tokens/2").body["expires_at"] == "2026-11-23T00:00:00Z"


def test_a_token_expires_after_90_days_unless_it_is_to_last_longer(cloud: Cloud) -> None:
    assert create(cloud).body["expires_at"] == "2027-02-20T00:00:00Z"
    caller, lasting = caller_with(cloud), caller_with(cloud, expires_in_days=None)
    assert caller.get("/v1/whoami").body["expires_at"] == "2027-02-20T00:00:00Z"
    assert lasting.get("/v1/whoami").body["expires_at"] is None
    cloud.advance(90 * DAY - 1)
    assert caller.get("/v1/projects").status == 200
    cloud.advance(1)
    assert caller.get("/v1/projects").status == 401
    cloud.advance(3650 * DAY)
    assert lasting.get("/v1/projects").status == 200


def test_a_token_that_an_earlier_version_made_without_an_expiry_stays_valid(cloud: Cloud) -> None:
    old = cloud.api.as_holder_of(create_token("old", Role.VIEWER).secret)
    cloud.advance(1000 * DAY)
    assert old.get("/v1/projects").status == 200


def test_the_last_use_of_a_token_is_recorded_at_most_once_an_hour(
    cloud: Cloud, calls: Calls
) -> None:
    caller = caller_with(cloud)
    calls.clear()
    for _ in range(3):
        caller.get("/v1/projects")
        cloud.advance(10 * MINUTE)
    assert calls.counted["dynamodb.UpdateItem"] == 1
    assert cloud.api.get("/v1/tokens/2").body["last_used_at"] == "2026-11-22T00:00:00Z"
    cloud.advance(40 * MINUTE)
    caller.get("/v1/projects")
    assert cloud.api.get("/v1/tokens/2").body["last_used_at"] == "2026-11-22T01:10:00Z"


def test_a_request_succeeds_even_if_the_use_cannot_be_recorded(
    cloud: Cloud, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    caller = caller_with(cloud)
    trouble.refuse("dynamodb.UpdateItem", "ThrottlingException", times=2)
    with caplog.at_level(logging.WARNING):
        assert caller.get("/v1/projects").status == 200
    assert "the use of token 2 was not recorded" in caplog.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"role": "owner"}, "role"),
        ({"role": None}, "role"),
        ({"project_id": 0}, "project_id"),
        ({"project_id": None}, "project_id"),
        ({"service_id": None}, "service_id"),
        ({"project_id": "1"}, "project_id"),
        ({"service_id": 1.5}, "service_id"),
        ({"service_id": True}, "service_id"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 10**9}, "expires_in_days"),
        ({"token": "slw_x"}, "token"),
    ],
)
def test_a_token_with_invalid_fields_is_refused(
    cloud: Cloud, body: dict[str, object], field: str
) -> None:
    with nothing_is_written():
        answer = create(cloud, **body)
    assert (answer.status, answer.body["field"]) == (400, field)


def test_a_restriction_to_a_missing_project_or_service_is_refused(cloud: Cloud) -> None:
    with nothing_is_written():
        assert create(cloud, project_id=99).status == 404
        assert create(cloud, service_id=99).status == 404
        answer = create(cloud, project_id=99, service_id=cloud.service_id)
        assert (answer.status, answer.body["code"]) == (404, "not_found")
        assert answer.body["field"] == "service_id"


def test_a_token_for_a_service_also_names_its_project(cloud: Cloud) -> None:
    token = create(cloud, service_id=cloud.service_id).body
    assert (token["project_id"], token["service_id"]) == (cloud.project, cloud.service_id)


def test_a_restricted_admin_cannot_manage_tokens_or_projects(cloud: Cloud) -> None:
    caller = caller_with(cloud, role="admin", project_id=cloud.project)
    caller.get("/v1/projects")
    with nothing_is_written():
        for answer in (
            caller.post("/v1/tokens", {"name": "mine", "role": "admin"}),
            caller.post("/v1/projects", {"name": "mine"}),
            caller.get("/v1/tokens"),
            caller.get("/v1/tokens/1"),
            caller.get("/v1/audit"),
            caller.request("DELETE", "/v1/tokens/1"),
        ):
            assert (answer.status, answer.body["code"]) == (403, "forbidden")


def test_an_admin_of_one_service_cannot_probe_the_names_of_others(cloud: Cloud) -> None:
    cloud.add_service("neighbour", branch="develop")
    path = f"/v1/services/{cloud.service_id}"
    admin = caller_with(cloud, role="admin", service_id=cloud.service_id)
    answers = [admin.patch(path, {"name": name}) for name in ("neighbour", "unused")]
    assert {answer.status for answer in answers} == {403}
    assert len({answer.body["detail"] for answer in answers}) == 1
    admin = caller_with(cloud, role="admin", project_id=cloud.project)
    assert admin.patch(path, {"name": "unused"}).status == 200


def test_an_admin_of_one_service_can_change_it_but_create_no_other(cloud: Cloud) -> None:
    caller = caller_with(cloud, role="admin", service_id=cloud.service_id)
    answer = caller.request("PATCH", f"/v1/services/{cloud.service_id}", body={"branch": "main"})
    assert (answer.status, answer.body["branch"]) == (200, "main")
    body = {"name": "more", "git_url": "https://github.com/a/b.git", "image_repository": "hello"}
    answer = caller.post(f"/v1/projects/{cloud.project}/services", body)
    assert (answer.status, answer.body["code"]) == (403, "forbidden")


def test_lists_show_only_visible_rows_and_no_trace_of_the_rest(cloud: Cloud) -> None:
    other = cloud.add_service("other", branch="develop")
    cloud.api.post("/v1/projects", {"name": "other"})
    own = cloud.service_id
    for service in (own, other, other, own, other, other):
        assert cloud.api.post(f"/v1/cicd/services/{service}/build", {}).status == 202
    caller = caller_with(cloud, role="viewer", service_id=own)
    page = caller.get("/v1/cicd/jobs?limit=1").body
    assert [job["id"] for job in page["items"]] == ["build-4"]
    page = caller.get(f"/v1/cicd/jobs?limit=1&cursor={page['next_cursor']}").body
    assert [job["id"] for job in page["items"]] == ["build-1"]
    assert page["next_cursor"] is None
    services = caller.get(f"/v1/projects/{cloud.project}/services").body
    assert [service["id"] for service in services["items"]] == [own]
    assert [project["id"] for project in caller.get("/v1/projects").body["items"]] == [1]


def test_a_delivery_shows_a_token_only_the_verdicts_of_its_services(cloud: Cloud) -> None:
    other = cloud.add_service("other", branch="develop")
    cloud.push("a" * 40, delivery="d-1")
    caller = caller_with(cloud, role="viewer", service_id=other)
    delivery = caller.get("/v1/webhooks/github/deliveries/d-1").body
    assert [verdict["service_id"] for verdict in delivery["services"]] == [other]
    assert delivery["outcome"] == "ignored"
    assert caller.get("/v1/webhooks/github/deliveries").body["items"] == [delivery]
    project_viewer = caller_with(cloud, role="viewer", project_id=cloud.project)
    delivery = project_viewer.get("/v1/webhooks/github/deliveries/d-1").body
    assert (len(delivery["services"]), delivery["outcome"]) == (2, "started")


def test_a_token_can_be_created_with_every_role(cloud: Cloud) -> None:
    for role in Role:
        assert create(cloud, role=role).body["role"] == role


@pytest.mark.parametrize(
    "change",
    [
        {"git_url": "https://github.com/other/private.git"},
        {"image_repository": "another"},
        {"ecs_service": "another"},
    ],
)
def test_a_project_admin_cannot_point_a_service_at_other_resources(
    cloud: Cloud, change: dict[str, str]
) -> None:
    body = {"name": "x", "role": "admin", "project_id": cloud.project}
    admin = cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])
    path = f"/v1/services/{cloud.service_id}"
    assert admin.patch(path, {"branch": "main"}).status == 200
    with nothing_is_written():
        assert admin.patch(path, change).status == 403
        service = {"name": "y", "git_url": change.get("git_url", "https://github.com/a/b.git")}
        created = admin.post(
            f"/v1/projects/{cloud.project}/services", {**service, "image_repository": "hello"}
        )
    assert (created.status, created.body["code"]) == (403, "forbidden")


def test_only_an_admin_of_the_whole_project_changes_settings_that_act_on_all_of_it(
    cloud: Cloud,
) -> None:
    path = f"/v1/services/{cloud.service_id}"
    project = caller_with(cloud, role="admin", project_id=cloud.project)
    service = caller_with(cloud, role="admin", service_id=cloud.service_id)
    # This records the use of the token, so that a refused change writes nothing.
    assert service.get(path).status == 200
    for change in (
        {"name": "other"},
        {"secrets": {"npm": "secretsmanager:slipway/build/1/npm"}},
        {"release_command": ["env"]},
        {"release_command": None},
    ):
        with nothing_is_written():
            refused = service.patch(path, change)
        assert (refused.status, refused.body["code"]) == (403, "forbidden"), change
        assert project.patch(path, change).status == 200, change
    assert service.patch(path, {"release_command_minutes": 16}).status == 200
