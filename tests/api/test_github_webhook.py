"""GitHub's deliveries: signatures, and the build that a push starts."""

import json
from typing import Any

import pytest

from chalicelib.settings import settings
from tests.support.builders import SHA, WEBHOOK_SECRET, delivery_headers, push_payload, signature
from tests.support.client import Answer, Api
from tests.support.written import nothing_is_written

PATH = "/v1/webhooks/github"


def deliver(
    api: Api, payload: Any = None, *, raw: bytes | None = None, **headers: str | None
) -> Answer:
    """Deliver a payload. Header names have _ for -, and None leaves a header out."""
    body = raw if raw is not None else json.dumps(payload or push_payload()).encode()
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.request("POST", PATH, raw=body, headers={**delivery_headers(body), **changed})


def test_a_delivery_without_a_valid_signature_is_refused(api: Api, service: int) -> None:
    body = json.dumps(push_payload()).encode()
    good = signature(body, WEBHOOK_SECRET)
    with nothing_is_written():
        for sent in [
            None,
            "",
            good.replace("sha256", "sha1"),
            signature(body, "other"),
            "sha256=é",
        ]:
            answer = deliver(api, X_Hub_Signature_256=sent)
            assert (answer.status, answer.body["code"]) == (401, "bad_signature")
        answer = deliver(api, raw=body + b" ", X_Hub_Signature_256=good)
        assert (answer.status, answer.body["code"]) == (401, "bad_signature")


def test_without_a_configured_secret_every_delivery_is_refused(
    api: Api, service: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", "")
    settings.cache_clear()
    try:
        with nothing_is_written():
            for secret in ("", WEBHOOK_SECRET):
                body = json.dumps(push_payload()).encode()
                answer = deliver(api, raw=body, X_Hub_Signature_256=signature(body, secret))
                assert answer.status == 401
                assert answer.body["code"] == "webhook_secret_not_configured"
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_a_push_starts_a_build_of_the_pushed_commit(api: Api, service: int) -> None:
    answer = deliver(api, X_GitHub_Delivery="d-1")
    assert answer.status == 202, answer.text
    assert answer.body == {
        "delivery": "d-1",
        "builds": [{"service_id": service, "build_id": 1, "job_id": "build-1", "status": "queued"}],
    }
    build = api.get("/v1/cicd/builds/1").body
    assert (build["commit_sha"], build["git_ref"], build["trigger"]) == (SHA, "master", "push")
    assert (build["commit_message"], build["author"]) == ("Say hello", "Codertocat")
    assert build["image_tag"] == f"myapp:master-{SHA[:12]}-1"


def test_the_names_of_headers_are_case_insensitive(api: Api, service: int) -> None:
    body = json.dumps(push_payload()).encode()
    lower = {name.lower(): value for name, value in delivery_headers(body).items()}
    headers = {**lower, "Authorization": None, "Content-Type": None}
    assert api.request("POST", PATH, raw=body, headers=headers).status == 202


def test_a_delivery_as_a_form_names_the_setting_to_change(api: Api, service: int) -> None:
    answer = deliver(api, raw=b"payload=%7B%7D", Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 415
    assert "set Content type to application/json" in answer.body["detail"]


def test_the_ping_of_an_organisations_webhook_is_answered_well(api: Api) -> None:
    body = {
        "zen": "Design for failure.",
        "hook_id": 1,
        "hook": {"type": "Organization", "id": 1, "name": "web", "active": True},
        "organization": {"login": "acme", "id": 2},
    }
    answer = deliver(api, body, X_GitHub_Event="ping")
    assert answer.status == 200
    assert answer.body["ignored"]


def test_the_webhook_of_a_github_app_starts_builds_and_a_second_one_starts_nothing(
    api: Api, service: int
) -> None:
    """Its deliveries name the installation. The App is told of its installations, too."""
    by_app = push_payload(installation={"id": 7, "node_id": "MDIz"})
    started = deliver(
        api,
        by_app,
        X_GitHub_Delivery="of-the-app",
        X_GitHub_Hook_Installation_Target_Type="integration",
    )
    assert (started.status, len(started.body["builds"])) == (202, 1)
    again = deliver(api, X_GitHub_Delivery="of-the-repository")
    assert [each["build_id"] for each in again.body["builds"]] == [1]
    assert api.get("/v1/cicd/builds/2").status == 404
    installed = {"action": "created", "installation": {"id": 7}}
    other = deliver(api, installed, X_GitHub_Event="installation", X_GitHub_Delivery="installed")
    assert (other.status, "ignored" in other.body) == (200, True)
