"""GitHub's deliveries: who is believed, and what each one leads to."""

import json
from typing import Any

import pytest

from chalicelib.api.webhooks import MAX_BYTES
from chalicelib.settings import settings
from tests.builders import SHA, WEBHOOK_SECRET, delivery_headers, push_payload, signature
from tests.client import Answer, Api
from tests.written import nothing_is_written

PATH = "/v1/webhooks/github"


def deliver(
    api: Api, payload: Any = None, *, raw: bytes | None = None, **headers: str | None
) -> Answer:
    """Deliver a payload; headers are named with _ for -, and None leaves one out."""
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


def test_without_a_configured_secret_nothing_is_accepted(
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


def test_a_malformed_delivery_is_refused_and_writes_nothing(api: Api, service: int) -> None:
    repository = push_payload()["repository"]
    with nothing_is_written():
        for answer, status, code in [
            (deliver(api, X_GitHub_Event=None), 400, "missing_header"),
            (deliver(api, X_GitHub_Delivery=None), 400, "missing_header"),
            (deliver(api, X_GitHub_Delivery="a b"), 400, "invalid_header"),
            (deliver(api, Content_Type="application/x-www-form-urlencoded"), 415, None),
            (deliver(api, raw=b"{bad"), 400, "invalid_json"),
            (deliver(api, raw=b""), 400, "invalid_json"),
            (deliver(api, raw=b"[" * 100_000), 400, "invalid_json"),
            (deliver(api, raw=b"null"), 400, "invalid_payload"),
            (deliver(api, push_payload(ref=None)), 400, "invalid_payload"),
            (deliver(api, push_payload(ref="master")), 400, "invalid_payload"),
            (deliver(api, push_payload(after="x")), 400, "invalid_payload"),
            (deliver(api, push_payload(repository=None)), 400, "invalid_payload"),
            (
                deliver(api, push_payload(repository={**repository, "full_name": "a/../b"})),
                400,
                "invalid_payload",
            ),
            (deliver(api, raw=b" " * (MAX_BYTES + 1)), 413, "body_too_large"),
        ]:
            assert answer.status == status, answer.text
            assert code in {None, answer.body["code"]}


def test_a_delivery_that_concerns_nobody_is_ignored_with_the_reason(api: Api, service: int) -> None:
    stranger = {**push_payload()["repository"], "full_name": "somebody/else"}
    for answer in [
        deliver(api, {"zen": "Keep it logically awesome."}, X_GitHub_Event="ping"),
        deliver(api, X_GitHub_Event="issues"),
        deliver(api, push_payload(ref="refs/tags/v1")),
        deliver(api, push_payload(ref="refs/heads/other")),
        deliver(api, push_payload(deleted=True, after="0" * 40)),
        deliver(api, push_payload(repository=stranger)),
    ]:
        assert answer.status == 200, answer.text
        assert answer.body["ignored"]
        assert "builds" not in answer.body
    assert api.get(f"/v1/cicd/services/{service}/builds").body["items"] == []


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


def test_the_same_delivery_again_names_the_builds_it_started_before(api: Api, service: int) -> None:
    deliver(api, X_GitHub_Delivery="d-1")
    answer = deliver(api, X_GitHub_Delivery="d-1")
    assert answer.status == 200
    assert answer.body["duplicate"] is True
    assert answer.body["builds"][0]["build_id"] == 1
    assert len(api.get(f"/v1/cicd/services/{service}/builds").body["items"]) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"head_commit": None},
        {"repository": {**push_payload()["repository"], "full_name": "CODERTOCAT/hello-WORLD"}},
        {"head_commit": {"message": "half \ud800 a character", "author": {"name": "x"}}},
    ],
    ids=["without a head commit", "in other letters", "with half a character"],
)
def test_a_push_that_only_looks_odd_is_built(
    api: Api, service: int, changes: dict[str, Any]
) -> None:
    assert deliver(api, push_payload(**changes)).status == 202


def test_a_branch_may_have_any_name_that_git_allows(
    api: Api, project: int, new_service: dict[str, Any]
) -> None:
    odd = {**new_service, "branch": "$(id)"}
    assert api.post(f"/v1/projects/{project}/services", odd).status == 201
    answer = deliver(api, push_payload(ref="refs/heads/$(id)"))
    assert answer.status == 202, answer.text
    assert api.get("/v1/cicd/builds/1").body["image_tag"] == f"myapp:id-{SHA[:12]}-1"


def test_headers_are_read_whatever_the_case_of_their_names(api: Api, service: int) -> None:
    body = json.dumps(push_payload()).encode()
    lower = {name.lower(): value for name, value in delivery_headers(body).items()}
    headers = {**lower, "Authorization": None, "Content-Type": None}
    assert api.request("POST", PATH, raw=body, headers=headers).status == 202
