"""AWS that is slow, or never says a word: the caller hears it before hanging up."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.endpoint import Endpoint
from botocore.exceptions import ReadTimeoutError

from chalicelib import budget
from tests.builders import delivery_headers, push_payload
from tests.conftest import HTTP_SECONDS
from tests.embedded import Cloud, sha

ASK = """
import json, sys, time
from chalice.test import Client
from app import app

request = json.loads(sys.stdin.read())
with Client(app) as client:
    began = time.monotonic()
    answer = client.http.post(
        "/v1/webhooks/github", headers=request["headers"], body=request["body"].encode()
    )
    print(json.dumps([answer.status_code, time.monotonic() - began, answer.json_body]))
"""


def test_a_delivery_is_answered_long_before_github_hangs_up() -> None:
    """GitHub waits ten seconds ("Handling failed webhook deliveries")."""
    status, seconds, answer = deliver()
    assert (status, answer["code"]) == (503, "unavailable")
    assert answer["detail"] == "the database did not answer (no answer)"
    assert seconds < 8


def test_a_secret_that_nobody_hands_out_is_a_refusal_before_github_hangs_up() -> None:
    status, seconds, answer = deliver(WEBHOOK_SECRET="secretsmanager:slipway/webhook")
    assert (status, answer["code"]) == (503, "unavailable")
    assert seconds < 9


def deliver(**environment: str) -> tuple[int, float, Any]:
    """A delivery to a new process whose AWS is silent: status, seconds and body of the answer."""
    body = json.dumps(push_payload()).encode()
    headers = {name: value for name, value in delivery_headers(body).items() if value is not None}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            input=json.dumps({"headers": headers, "body": body.decode()}),
            env=os.environ | {"AWS_ENDPOINT_URL": endpoint} | environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    status, seconds, answer = json.loads(done.stdout)
    return status, seconds, answer


class SlowAws:
    """AWS in seconds that pass only here: a call's first try is lost, its second answers late."""

    LOST, PAUSE, LATE = 1.0, 1.0, 0.9

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self.hanging: set[str] = set()
        self._tried: set[int] = set()
        original: Any = vars(Endpoint)["_get_response"]

        def get_response(endpoint: Any, request: Any, model: Any, context: Any) -> Any:
            if id(context) not in self._tried or model.name in self.hanging:
                self._tried.add(id(context))
                self.seconds += self.LOST
                return None, ReadTimeoutError(endpoint_url=request.url)
            self.seconds += self.LATE
            return original(endpoint, request, model, context)

        def pause(_: float) -> None:
            self.seconds += self.PAUSE

        monkeypatch.setattr(Endpoint, "_get_response", get_response)
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=pause))
        monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: self.seconds))
        monkeypatch.setattr(budget, "HTTP_SECONDS", HTTP_SECONDS)


@pytest.mark.parametrize("hanging", [set(), {"UpdateItem"}, {"TransactWriteItems"}], ids=str)
@pytest.mark.parametrize("what", ["push", "build", "deploy", "cancel"])
def test_whatever_is_slow_there_is_an_answer_within_nine_seconds(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, what: str, hanging: set[str]
) -> None:
    cloud.release(1)
    image = cloud.build(1)["image_tag"]
    cloud.ask_for_build()
    cloud.advance(2 * 3600)  # that a token is used is noted once an hour
    path = f"/v1/cicd/services/{cloud.service_id}"
    ask = {
        "push": lambda: cloud.push(sha(2)),
        "build": lambda: cloud.api.post(f"{path}/build", {}),
        "deploy": lambda: cloud.api.post(f"{path}/deploy", {"image_tag": image}),
        "cancel": lambda: cloud.api.post("/v1/cicd/jobs/build-2/cancel"),
    }
    slow = SlowAws(monkeypatch)
    slow.hanging = hanging
    answer = ask[what]()
    assert slow.seconds <= 9, answer.text
    assert answer.status in {202, 503}
