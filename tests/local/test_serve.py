"""`python -m infra.local serve` as a process: it starts or prints why not, and ends on a signal."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Timer

import boto3
import pytest

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


def test_instances_of_ec2_can_join_a_cluster_although_ec2_is_loaded_late() -> None:
    with serving() as (_, ready):
        session = boto3.Session("local", "local", region_name="eu-west-1")
        ec2 = session.client("ec2", endpoint_url=ready["aws"])
        ecs = session.client("ecs", endpoint_url=ready["aws"])
        (machine,) = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"]
        joined = ecs.register_container_instance(
            cluster="default",
            instanceIdentityDocument=json.dumps({"instanceId": machine["InstanceId"]}),
        )
        assert joined["containerInstance"]["ec2InstanceId"] == machine["InstanceId"]


@contextmanager
def shown(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`make run` without make: the process, and the lines that it prints when it is ready."""
    with subprocess.Popen(
        command("--port", "0", "--pretty", *arguments),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    ) as process:
        late = Timer(60, process.kill)  # else a line that never comes would be waited for
        late.start()
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or "export" not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], "it did not start"
            yield process, lines
        finally:
            late.cancel()
            process.terminate()
            process.wait(timeout=60)


def test_the_printed_line_sets_the_variables_that_the_session_of_the_readme_needs() -> None:
    script = (
        'curl -sS --fail-with-body -H "Authorization: Bearer $TOKEN" "$API/v1/projects"\n'
        'curl -sS "$APPS"'
    )
    with shown() as (_, lines):
        done = subprocess.run(
            ["bash", "-euc", f"{lines[-1]}{script}"], capture_output=True, text=True, check=True
        )
    assert done.stdout.startswith('{"items":[]')
    assert '"default/web": "http://127.0.0.1:' in done.stdout


def test_nothing_that_looks_like_an_error_is_shown_when_nothing_is_wrong() -> None:
    with shown() as (process, _):
        assert process.stderr is not None
        line = process.stderr.readline()  # the agent has looked at the service
    assert line.startswith("ecs: service web has no image yet")
    assert "rror" not in line


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs tgkill of Linux")
def test_a_signal_that_the_system_gives_to_another_thread_ends_it_too() -> None:
    """The system chooses the thread of a signal: rarely, it is not the main one."""
    with serving() as (process, _):
        threads = {int(each.name) for each in Path(f"/proc/{process.pid}/task").iterdir()}
        another = min(threads - {process.pid})
        assert ctypes.CDLL(None).tgkill(process.pid, another, signal.SIGTERM) == 0
        assert process.wait(timeout=20) == 0


def test_ctrl_c_says_what_it_does_and_ends_an_idle_server_within_two_seconds() -> None:
    with shown() as (process, _):
        assert process.stderr is not None
        process.stderr.readline()
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith(
            "INFO Stopping: builds end, containers are removed"
        )
        assert process.wait(timeout=60) == 0
        took = time.monotonic() - started
    # Twice the two seconds: other tests use this machine, too.
    assert took < 4


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
    assert "docs/deployed.md lists every variable" in second
