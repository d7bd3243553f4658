"""Texts of people, pushes and AWS are shown on one line, without control characters and secrets."""

import json
from typing import Any

import pytest

from chalicelib.store.models import Service
from chalicelib.store.writes import change, commit
from tests.support.builders import WEBHOOK_SECRET, delivery_headers, push_payload
from tests.support.embedded import Cloud, put_image, sha

TOKEN = f"ghp_{'a' * 36}"
# With an escape sequence, a NUL, a carriage return, a direction override, a token and a secret.
HOSTILE = f"\x1b[31mUse\x1b[0m \x00\u202e{TOKEN}\nof {WEBHOOK_SECRET}"
CLEAN = "Use *** of ***"


def audited(cloud: Cloud, action: str) -> Any:
    entries = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}").body["items"]
    return next(entry["details"] for entry in entries if entry["action"] == action)


@pytest.fixture
def released(cloud: Cloud) -> Cloud:
    cloud.release(1)
    cloud.release(2)
    return cloud


def test_the_reason_of_a_deployment_is_cleaned(released: Cloud) -> None:
    image = f"hello@{put_image('hello', 'by-hand')}"
    path = f"/v1/cicd/services/{released.service_id}"
    answer = released.api.post(f"{path}/deploy", {"image_tag": image, "reason": HOSTILE})
    assert answer.status == 202, answer.text
    assert released.deployment(3)["reason"] == CLEAN
    assert released.api.get(f"{path}/deployments").body["items"][0]["reason"] == CLEAN
    assert audited(released, "deployment.requested")["reason"] == CLEAN


def test_the_reason_of_a_rollback_is_cleaned_wherever_it_is_shown(released: Cloud) -> None:
    assert released.roll_back(reason=HOSTILE).status == 202
    released.settle()
    released.finish_rollout()
    assert released.deployment(3)["reason"] == CLEAN
    assert audited(released, "deployment.requested")["reason"] == CLEAN
    assert TOKEN not in str(released.service())
    released.push(sha(3))
    released.settle()
    released.finish_build(3)
    assert TOKEN not in str(released.build(3))
    released.change_service(auto_deploy=True)
    everything = released.api.get("/v1/audit").text
    assert TOKEN not in everything
    assert WEBHOOK_SECRET not in everything


def test_the_message_of_a_push_is_cleaned_in_the_build_and_in_the_deployment(cloud: Cloud) -> None:
    commit_of = {"id": sha(9), "message": f"Use {TOKEN}", "author": {"name": f"Ada {TOKEN}"}}
    payload = push_payload(after=sha(9), head_commit=commit_of)
    payload["sender"] = {"login": f"ada {WEBHOOK_SECRET}"}
    body = json.dumps(payload).encode()
    assert cloud.api.post("/v1/webhooks/github", raw=body, headers=delivery_headers(body)).status
    cloud.settle()
    cloud.finish_build(1)
    build, deployment = cloud.build(1), cloud.deployment(1)
    assert (build["commit_message"], build["author"]) == ("Use ***", "Ada ***")
    assert build["requested_by"] == deployment["requested_by"] == "github:ada ***"
    assert deployment["reason"] == "Use ***"
    (listed,) = cloud.api.get("/v1/services").body["items"]
    for shown in (deployment, listed["active"], listed["last_build"]):
        assert (shown["commit_message"], shown["author"]) == ("Use ***", "Ada ***")
    assert listed["active"]["requested_by"] == "github:ada ***"
    assert audited(cloud, "deployment.requested")["reason"] == "Use ***"
    delivery = cloud.api.get("/v1/webhooks/github/deliveries").body["items"][0]
    assert delivery["sender"] == "ada ***"
    everything = cloud.api.get("/v1/audit").text + json.dumps(delivery)
    assert TOKEN not in everything
    assert WEBHOOK_SECRET not in everything


def test_drift_and_attention_of_a_service_are_cleaned(cloud: Cloud) -> None:
    texts = {"drift": HOSTILE, "attention": HOSTILE, "auto_deploy_paused": HOSTILE}
    commit(change(Service.get(cloud.service_id), **texts))
    (listed,) = cloud.api.get("/v1/services").body["items"]
    for shown in (cloud.service(), listed):
        assert {name: shown[name] for name in texts} == dict.fromkeys(texts, CLEAN)
