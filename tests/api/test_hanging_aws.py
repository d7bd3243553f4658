"""If AWS is slow or silent, the caller gets an answer before its own timeout."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.endpoint import Endpoint
from botocore.exceptions import ReadTimeoutError

from chalicelib import budget
from chalicelib.store.connection import CONNECT_TIMEOUT, READ_TIMEOUT
from chalicelib.store.services import get_service
from chalicelib.store.writes import change, commit
from tests.faults.trials import forked
from tests.support.builders import delivery_headers, push_payload
from tests.support.client import Answer
from tests.support.embedded import Cloud, sha
from tests.support.fixtures import HTTP_SECONDS

DELIVERY_SCRIPT = """
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


def test_a_delivery_is_answered_before_the_timeout_of_github() -> None:
    """GitHub waits ten seconds ("Handling failed webhook deliveries")."""
    status, seconds, answer = deliver()
    assert (status, answer["code"]) == (503, "unavailable")
    assert answer["detail"] == "the database did not answer (no answer)"
    assert seconds < 8


def test_an_unreadable_secret_is_a_503_before_the_timeout_of_github() -> None:
    status, seconds, answer = deliver(WEBHOOK_SECRET="secretsmanager:slipway/webhook")
    assert (status, answer["code"]) == (503, "unavailable")
    assert seconds < 9


def deliver(**environment: str) -> tuple[int, float, Any]:
    """Deliver to a new process with a silent AWS; status, seconds and body of the answer."""
    body = json.dumps(push_payload()).encode()
    headers = {name: value for name, value in delivery_headers(body).items() if value is not None}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", DELIVERY_SCRIPT],
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


class HangingAws:
    """AWS hangs after `hangs_from` calls; each hanging call begins when the budget ends.

    The seconds are simulated: no test waits for them.
    """

    TRY = CONNECT_TIMEOUT + READ_TIMEOUT
    PAUSE = 1.0  # botocore's longest before the second try (its "Retries" guide, standard mode)

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, hangs_from: int = 0, late: bool = False
    ) -> None:
        """With `late`, the second try of the first hanging call gets an answer."""
        self.seconds = 0.0
        self.calls = 0
        original: Any = vars(Endpoint)["_get_response"]

        def get_response(endpoint: Any, request: Any, model: Any, context: Any) -> Any:
            again = context.get("tried", False)
            if not again:
                context["tried"] = True
                self.calls += 1
            if self.calls <= hangs_from:
                return original(endpoint, request, model, context)
            self.seconds = max(self.seconds, HTTP_SECONDS) + self.TRY
            if late and again and self.calls == hangs_from + 1:
                return original(endpoint, request, model, context)
            return None, ReadTimeoutError(endpoint_url=request.url)

        def pause(_: float) -> None:
            self.seconds += self.PAUSE

        monkeypatch.setattr(Endpoint, "_get_response", get_response)
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=pause))
        monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: self.seconds))
        monkeypatch.setattr(budget, "HTTP_SECONDS", HTTP_SECONDS)


@pytest.mark.parametrize("late", [False, True], ids=["never answers", "answers late"])
@pytest.mark.parametrize("action", ["push", "build", "deploy", "rollback", "cancel", "change"])
def test_every_request_is_answered_within_nine_seconds_if_aws_hangs(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, action: str, late: bool
) -> None:
    cloud.release(1)
    cloud.release(2)
    image = cloud.build(1)["image_tag"]
    cloud.ask_for_build()
    cloud.advance(2 * 3600)  # each request now also records the use of the token
    path = f"/v1/cicd/services/{cloud.service_id}"
    send: Callable[[], Answer] = {
        "push": lambda: cloud.push(sha(3)),
        "build": lambda: cloud.api.post(f"{path}/build", {}),
        "deploy": lambda: cloud.api.post(f"{path}/deploy", {"image_tag": image}),
        "rollback": lambda: cloud.api.post(f"{path}/rollback", {}),
        "cancel": lambda: cloud.api.post("/v1/cicd/jobs/build-3/cancel"),
        "change": lambda: cloud.api.patch(f"/v1/services/{cloud.service_id}", {"branch": "x"}),
    }[action]

    def trial(hangs_from: int) -> list[float]:
        aws = HangingAws(monkeypatch, hangs_from=hangs_from, late=late)
        status = send().status
        assert status in {200, 202} if aws.calls <= hangs_from else status in {200, 202, 503}
        return [aws.calls, aws.seconds]

    for hangs_from in range(20):
        outcome = forked(partial(trial, hangs_from))
        assert not outcome.trouble, outcome.trouble
        calls, seconds = outcome.answer
        assert seconds <= 9
        if calls <= hangs_from:
            break
    assert calls == hangs_from > 3


class HangingService:
    """One service of AWS hangs, and the others answer. The seconds are simulated."""

    CALL = 0.02

    def __init__(self, monkeypatch: pytest.MonkeyPatch, service: str) -> None:
        self.seconds = 0.0
        original: Any = vars(Endpoint)["_get_response"]

        def get_response(endpoint: Any, request: Any, model: Any, context: Any) -> Any:
            if model.service_model.service_name != service:
                self.seconds += self.CALL
                return original(endpoint, request, model, context)
            self.seconds += HangingAws.TRY
            return None, ReadTimeoutError(endpoint_url=request.url)

        def pause(_: float) -> None:
            self.seconds += HangingAws.PAUSE

        monkeypatch.setattr(Endpoint, "_get_response", get_response)
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=pause))
        monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: self.seconds))
        monkeypatch.setattr(budget, "HTTP_SECONDS", HTTP_SECONDS)


@pytest.mark.parametrize("service", ["ecr", "ecs", "iam"])
@pytest.mark.parametrize("action", ["deploy", "plan", "rollback", "preview"])
def test_one_service_of_aws_that_hangs_stops_no_release(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, service: str, action: str
) -> None:
    cloud.release(1)
    cloud.release(2)
    image = {"image_tag": cloud.build(1)["image_tag"]}
    path = f"/v1/cicd/services/{cloud.service_id}"
    aws = HangingService(monkeypatch, service)
    answer = {
        "deploy": lambda: cloud.api.post(f"{path}/deploy", image),
        "plan": lambda: cloud.api.post(f"{path}/deploy?dry_run=true", image),
        "rollback": lambda: cloud.api.post(f"{path}/rollback", {}),
        "preview": lambda: cloud.api.get(f"{path}/rollback"),
    }[action]()
    assert aws.seconds <= 9
    is_request = action in {"deploy", "rollback"}
    assert answer.status == (202 if is_request else 200), answer.text
    shown = cloud.deployment(3) if is_request else answer.body
    found = shown.get("plan", shown)["findings"]
    assert {each["code"] for each in found} == {"not_checked"}
    assert "AWS did not answer" in found[0]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/cicd/metrics?days=90",
        "/v1/metrics",
        "/v1/services?limit=50",
    ],
)
def test_a_read_of_many_rows_begins_no_call_after_its_budget(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Each call of DynamoDB is answered just before its time-out."""
    begins, seconds = [], 0.0
    original: Any = vars(Endpoint)["_get_response"]

    def get_response(endpoint: Any, request: Any, model: Any, context: Any) -> Any:
        nonlocal seconds
        begins.append(seconds)
        seconds += HangingAws.TRY * 0.9
        return original(endpoint, request, model, context)

    cloud.advance(38 * 86_400)  # Prometheus reads the days of the month
    for number in range(22):
        row = get_service(cloud.add_service(f"other-{number}", branch="spare"))
        first = 10 * number
        names = ("current", "active", "waiting", "last_deployment", "last_build")
        commit(change(row, **{name: first + each for each, name in enumerate(names)}))
    monkeypatch.setattr(Endpoint, "_get_response", get_response)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: seconds))
    monkeypatch.setattr(budget, "HTTP_SECONDS", HTTP_SECONDS)
    assert cloud.api.get(path).status == 503
    assert max(begins) <= HTTP_SECONDS
