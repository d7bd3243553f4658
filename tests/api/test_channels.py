"""Channels: what each kind needs, whose secrets and topics they may use, and who may see them."""

from typing import Any

import pytest

from chalicelib.domain.channels import ChannelKind
from chalicelib.domain.telling import Event
from chalicelib.settings import settings
from tests.support.client import Api
from tests.support.github.app import APP

TOPIC = "arn:aws:sns:eu-west-1:123456789012:slipway-news"


def github(project: int | None = None, **changes: Any) -> dict[str, Any]:
    path = "all" if project is None else project
    body = {"kind": "github", "name": "GitHub", "secret": f"secretsmanager:slipway/tell/{path}/it"}
    return {**body, **({} if project is None else {"project_id": project}), **changes}


def test_a_channel_is_created_shown_listed_changed_and_deleted(api: Api, project: int) -> None:
    made = api.post("/v1/channels", github(project))
    assert made.status == 201
    assert made.headers["location"] == "/v1/channels/1"
    assert made.body["secret"] == f"secretsmanager:slipway/tell/{project}/it"
    assert made.body["trouble"] is made.body["off_since"] is made.body["tested_at"] is None
    changed = api.patch("/v1/channels/1", {"name": "Builds", "branches": ["release/**"]})
    assert (changed.body["name"], changed.body["branches"]) == ("Builds", ["release/**"])
    assert api.get("/v1/channels").body["items"] == [changed.body]
    assert api.delete("/v1/channels/1").status == 204
    assert api.get("/v1/channels/1").status == 404
    assert api.delete("/v1/channels/1").status == 404
    actions = [each["action"] for each in api.get("/v1/audit").body["items"]][:3]
    assert actions == ["channel.deleted", "channel.updated", "channel.created"]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"kind": "github", "name": "x"}, 400, "missing_field", "secret"),
        (github(target="slipway-bus"), 400, "invalid_target", "target"),
        (github(events=["build.failed"]), 400, "invalid_events", "events"),
        (github(events=["build.exploded"]), 400, "invalid_events", "events"),
        (github(kind="pager"), 400, "invalid_kind", "kind"),
        (github(secret="https://hooks.slack.com/services/T"), 400, "invalid_secret", "secret"),
        (github(secret="secretsmanager:other/tell/all/it"), 400, "invalid_secret", "secret"),
        (github(secret="secretsmanager:slipway/git/1/it"), 400, "invalid_secret", "secret"),
        (github(secret="secretsmanager:slipway/tell/2/it"), 403, "secret_not_allowed", "secret"),
        (github(branches=["a?"]), 400, "invalid_branches", "branches"),
        (github(project_id=99), 404, "not_found", None),
        (github(service_id=99), 404, "not_found", None),
        ({"kind": "sns", "name": "x"}, 400, "missing_field", "target"),
        ({"kind": "sns", "name": "x", "target": "slipway-news"}, 400, "invalid_target", "target"),
        (
            {"kind": "sns", "name": "x", "target": TOPIC.replace("slipway-", "other-")},
            403,
            "target_not_allowed",
            "target",
        ),
        ({"kind": "eventbridge", "name": "x", "target": TOPIC}, 400, "invalid_target", "target"),
        (
            {"kind": "eventbridge", "name": "x", "target": "default"},
            403,
            "target_not_allowed",
            "target",
        ),
        ({"kind": "sns", "name": "x", "target": TOPIC, "url": "x"}, 400, "unknown_field", "url"),
    ],
)
def test_a_channel_that_cannot_work_is_refused(
    api: Api, project: int, body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    answer = api.post("/v1/channels", body)
    assert (answer.status, answer.body["code"], answer.body.get("field")) == (status, code, field)
    assert api.get("/v1/channels").body["items"] == []


def test_a_change_is_judged_with_what_it_leaves(api: Api) -> None:
    assert api.post("/v1/channels", github()).status == 201
    refused = api.patch("/v1/channels/1", {"secret": None})
    assert (refused.status, refused.body["code"]) == (409, "missing_field")
    moved = api.patch("/v1/channels/1", {"secret": "secretsmanager:slipway/tell/1/it"})
    assert (moved.status, moved.body["code"]) == (403, "secret_not_allowed")


def test_the_kinds_say_what_a_channel_needs_and_each_example_is_accepted(
    api: Api, project: int
) -> None:
    for own in ({}, {"project_id": project}):
        query = f"?project_id={project}" if own else ""
        shown = api.get(f"/v1/channels/kinds{query}").body
        assert [each["kind"] for each in shown["items"]] == list(ChannelKind)
        for each in shown["items"]:
            example = TOPIC if each["kind"] == "sns" else each["example"]
            assert ("<" in each["example"]) == (each["kind"] == "sns")
            body = {"kind": each["kind"], "name": "x", each["field"]: example, **own}
            assert api.post("/v1/channels", {"kind": each["kind"], "name": "x"}).status == 400
            assert api.post("/v1/channels", body).status == 201, each
            told = api.post("/v1/channels", {**body, "events": shown["usual_events"]})
            assert (told.status == 201) == each["takes_events"]
    assert set(shown["usual_events"]) < set(shown["events"]) == set(Event)


@pytest.mark.parametrize(("app", "status"), [("", 400), (APP, 201)])
def test_the_kinds_say_whether_github_needs_a_token(
    api: Api, monkeypatch: pytest.MonkeyPatch, app: str, status: int
) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("GITHUB_APP", app)
        settings.cache_clear()
        items = api.get("/v1/channels/kinds").body["items"]
        without = {each["kind"]: each["without"] for each in items if each["without"] is not None}
        assert without == ({"github": "the GitHub App of this installation"} if app else {})
        assert api.post("/v1/channels", {"kind": "github", "name": "x"}).status == status
    settings.cache_clear()


def test_the_kinds_name_the_command_for_the_secrets_of_a_project(api: Api, project: int) -> None:
    def command(query: str) -> str:
        items = api.get(f"/v1/channels/kinds{query}").body["items"]
        return next(str(each["command"]) for each in items if each["kind"] == "slack")

    created = "aws secretsmanager create-secret --name slipway/tell"
    assert command("").startswith(f"{created}/all/slack --secret-string ")
    assert command(f"?project_id={project}").startswith(f"{created}/{project}/slack ")
    assert api.get("/v1/channels/kinds?project_id=99").status == 404
    assert api.get("/v1/channels/kinds?project_id=x").body["field"] == "project_id"


def test_a_list_that_has_not_changed_is_not_sent_again(api: Api) -> None:
    assert api.post("/v1/channels", github()).status == 201
    tag = {"If-None-Match": api.get("/v1/channels").headers.get("etag", "")}
    assert api.get("/v1/channels", headers=tag).status == 304
    assert api.patch("/v1/channels/1", {"name": "Builds"}).status == 200
    assert api.get("/v1/channels", headers=tag).status == 200


def test_the_same_events_in_another_order_are_no_change(api: Api) -> None:
    own: dict[str, Any] = {
        "kind": "slack",
        "events": ["build.queued", "build.failed", "build.queued"],
    }
    assert api.post("/v1/channels", github(**own)).body["events"] == [
        "build.failed",
        "build.queued",
    ]
    assert api.patch("/v1/channels/1", {"events": own["events"]}).status == 200
    (created,) = api.get("/v1/audit").body["items"][:-1]
    assert created["details"]["events"] == ["build.failed", "build.queued"]


def test_a_repeated_request_creates_one_channel(api: Api) -> None:
    key: dict[str, str | None] = {"Idempotency-Key": "once"}
    first, second = (api.post("/v1/channels", github(), headers=key) for _ in range(2))
    assert (first.status, second.status) == (201, 201)
    assert first.body["id"] == second.body["id"]
    assert len(api.get("/v1/channels").body["items"]) == 1
