"""`python -m infra.local serve`, from outside: it starts or says why not, and ends when told to."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.domain.tokens import new_token
from infra.package import ROOT


def _environment(**more: str) -> dict[str, str]:
    ours = ("AWS_", "WEBHOOK_SECRET", "QUEUE_URL", "REGISTRY")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | more


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "infra.local", "serve", "--simulate", *arguments]


def _refusal(*arguments: str, **environment: str) -> list[str]:
    """The lines of a start that is refused."""
    done = subprocess.run(
        _command(*arguments),
        cwd=ROOT,
        env=_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.fixture
def started() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any], str]]:
    token = new_token()
    with subprocess.Popen(
        _command("--port", "0", "--token", token),
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline()), token
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGHUP])
def test_a_signal_ends_it_and_nothing_is_left_behind(
    started: tuple[subprocess.Popen[str], dict[str, Any], str], number: signal.Signals
) -> None:
    process, ready, token = started
    assert ready["token"] == token
    process.send_signal(number)
    assert process.wait(timeout=20) == 0
    assert not os.path.exists(ready["data"])


def test_a_token_that_is_none_is_refused_in_two_lines() -> None:
    first, second = _refusal("--port", "0", "--token", "slw_nonsense")
    assert "--token is no token" in first
    assert "Leave it out" in second


def test_a_port_that_is_taken_is_refused_in_two_lines() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first, second = _refusal("--port", str(taken.getsockname()[1]))
    assert "Address already in use" in first
    assert "--port 0" in second


def test_variables_that_do_not_fit_are_all_named_in_two_lines() -> None:
    first, second = _refusal("--port", "0", JOB_WORKERS="many", GIT_HOSTS="git hub.com")
    assert "JOB_WORKERS must be" in first
    assert "GIT_HOSTS must be" in first
    assert "README" in second
