"""`python -m infra.local serve` as a process: it starts or prints why not, and ends on a signal."""

import os
import signal
import socket
import subprocess

from chalicelib.domain.tokens import new_token
from tests.support.serving import ROOT, command, environment, serving


def _refusal(*arguments: str, **variables: str) -> list[str]:
    """The lines that a failed start prints."""
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_hangup_ends_it_and_removes_its_data() -> None:
    token = new_token()
    with serving("--token", token) as (process, ready):
        assert ready["token"] == token
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=20) == 0
        assert not os.path.exists(ready["data"])


def test_an_invalid_token_is_refused_in_two_lines() -> None:
    first, second = _refusal("--port", "0", "--token", "slw_nonsense")
    assert "--token is not a token" in first
    assert "Leave it out" in second


def test_a_short_webhook_secret_is_refused_in_two_lines() -> None:
    first, second = _refusal("--port", "0", "--webhook-secret", "fifteen-letters")
    assert "--webhook-secret has fewer than 16 characters" in first
    assert "Leave it out" in second


def test_a_port_in_use_is_refused_in_two_lines() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first, second = _refusal("--port", str(taken.getsockname()[1]))
    assert "Address already in use" in first
    assert "--port 0" in second


def test_all_invalid_variables_are_named_in_two_lines() -> None:
    first, second = _refusal("--port", "0", JOB_WORKERS="many", GIT_HOSTS="git hub.com")
    assert "JOB_WORKERS must be" in first
    assert "GIT_HOSTS must be" in first
    assert "README" in second
