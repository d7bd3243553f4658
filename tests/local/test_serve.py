"""`python -m infra.local serve`, from outside: it starts or says why not, and ends when told to."""

import os
import signal
import socket
import subprocess

from chalicelib.domain.tokens import new_token
from tests.support.serving import ROOT, command, environment, serving


def _refusal(*arguments: str, **variables: str) -> list[str]:
    """The lines of a start that is refused."""
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


def test_a_hangup_ends_it_and_nothing_is_left_behind() -> None:
    token = new_token()
    with serving("--token", token) as (process, ready):
        assert ready["token"] == token
        process.send_signal(signal.SIGHUP)
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
