"""Log lines name their request, message or event, and contain no secrets."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.local import LambdaContext

from chalicelib.store import writes
from tests.support.builders import WEBHOOK_SECRET, delivery_headers, wakeup_event
from tests.support.client import Api
from tests.support.embedded import Cloud, sha
from tests.support.events import codebuild_event, schedule_event
from tests.support.sdk import Trouble

# The attributes that the logging module sets on every record.
PLAIN = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Slipway's records, with the fields of Lambda's JSON format."""
    return [
        {
            "level": record.levelname,
            "message": record.getMessage(),
            **{name: value for name, value in record.__dict__.items() if name not in PLAIN},
        }
        for record in caplog.records
        if record.name == "slipway"
    ]


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    """Keep INFO, as Lambda does."""
    caplog.set_level(logging.INFO, logger="slipway")


def test_changes_and_errors_are_logged_with_the_request_id(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.post("/v1/projects", {"name": "shop"}, headers={"X-Request-Id": "mine-1"})
    api.get("/v1/projects/1", headers={"X-Request-Id": "mine-2"})
    unknown = api.get("/v1/projects/4711")
    assert lines(caplog) == [
        {"level": "INFO", "message": "POST /v1/projects: 201", "request_id": "mine-1"},
        {
            "level": "INFO",
            "message": "GET /v1/projects/{project_id}: 404",
            "request_id": unknown.body["instance"],
        },
    ]


def test_warnings_inside_a_request_have_its_request_id(
    cloud: Cloud, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    trouble.refuse("sqs.SendMessageBatch", "ServiceUnavailable")
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    assert cloud.api.post(path, {}, headers={"X-Request-Id": "mine-3"}).status == 202
    assert [(line["level"], line["request_id"]) for line in lines(caplog)] == [
        ("INFO", "mine-3"),
        ("WARNING", "mine-3"),
        ("INFO", "mine-3"),
    ]


def test_the_log_lines_of_a_trigger_name_its_message_or_event(
    cloud: Cloud,
    trouble: Trouble,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(writes, "time", SimpleNamespace(sleep=lambda _: None))
    cloud.push(sha(1))
    message, event, minute = wakeup_event("build-1"), codebuild_event("State"), schedule_event()
    logged = {}
    for name, sent in [("on_wakeup", message), ("on_cloud_event", event), ("on_schedule", minute)]:
        trouble.refuse("dynamodb.UpdateItem", "TransactionConflictException", times=15)
        trouble.refuse("sqs.ReceiveMessage", "ServiceUnavailable")
        caplog.clear()
        cloud.app.handler_map[name](sent, LambdaContext(name, 512, 30_000))
        logged[name] = lines(caplog)
    assert logged["on_wakeup"][0]["message"].startswith("other workers keep changing build-1")
    assert logged["on_schedule"][-1]["level"] == "WARNING"
    for name, field, value in [
        ("on_wakeup", "message_id", message["Records"][0]["messageId"]),
        ("on_cloud_event", "event_id", event["id"]),
        ("on_schedule", "event_id", minute["id"]),
    ]:
        assert {line[field] for line in logged[name]} == {value}


def test_a_bug_is_logged_with_the_request_id_and_the_traceback(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chalicelib.api.views.project", None)
    assert api.post("/v1/projects", {"name": "shop"}).status == 500
    bug, note = caplog.records[-2:]
    assert (bug.levelname, note.levelname) == ("ERROR", "WARNING")
    assert bug.exc_info
    assert {line["request_id"] for line in lines(caplog)} == {vars(bug)["request_id"]}


def test_no_log_line_contains_a_token_a_secret_or_a_body(
    api: Api, service: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="slipway")
    marked = {"name": "hidden-body", "hidden-body": 1}
    made = api.post("/v1/tokens", {"name": "ci", "role": "viewer"}).body["token"]
    anonymous = api.as_holder_of("slw_hidden-token")
    push = b'{"hidden-body": NaN}'
    for answer in (
        anonymous.post("/v1/projects", marked),
        api.as_holder_of(made).post("/v1/projects", marked),
        api.post("/v1/projects", marked),
        api.post("/v1/projects", raw=b'{"hidden-body'),
        api.get("/v1/projects/hidden-body?hidden-body=1"),
        api.get("/v1/cicd/jobs/hidden-body"),
        api.post("/v1/webhooks/github", raw=push, headers=delivery_headers(push)),
        api.post("/v1/webhooks/github", raw=push, headers=delivery_headers(push, secret="hidden")),
        api.post(f"/v1/cicd/services/{service}/build", {"git_url": "https://u:hidden-token@x/y"}),
    ):
        assert 400 <= answer.status < 500, answer.text
    logged = caplog.text + str(lines(caplog))
    assert len(lines(caplog)) > 9
    for secret in (api.token, made, WEBHOOK_SECRET, "hidden"):
        assert secret not in logged
