"""AWS that takes a connection and never says a word: the caller hears it before hanging up."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.builders import delivery_headers, push_payload

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
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            input=json.dumps({"headers": delivery_headers(body), "body": body.decode()}),
            env=os.environ | {"AWS_ENDPOINT_URL": endpoint} | environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    status, seconds, answer = json.loads(done.stdout)
    return status, seconds, answer
