"""AWS that takes a connection and never says a word: the caller hears it before hanging up."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

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
    body = json.dumps(push_payload()).encode()
    headers = {name: value for name, value in delivery_headers(body).items() if value is not None}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            input=json.dumps({"headers": headers, "body": body.decode()}),
            env=os.environ | {"AWS_ENDPOINT_URL": endpoint},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    status, seconds, answer = json.loads(done.stdout)
    assert (status, answer["code"]) == (503, "unavailable")
    assert answer["detail"] == "the database did not answer (no answer)"
    assert seconds < 8
