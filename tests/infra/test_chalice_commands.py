"""Chalice's own commands in a checkout: they deploy nothing, and say what to run instead."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.package import ROOT


class Aws(HTTPServer):
    """An AWS that fails every request and remembers it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.requests: list[str] = []


class _Refusal(BaseHTTPRequestHandler):
    server: Aws

    def _refuse(self) -> None:
        self.server.requests.append(self.requestline)
        self.send_error(403)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _refuse  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _files_of_chalice() -> set[Path]:
    return set((ROOT / ".chalice").rglob("*"))


def _run(aws: Aws, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws.server_port}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [Path(sys.executable).with_name("chalice"), *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ["deploy", "--stage", "dev"],
        ["deploy", "--stage", "prod"],
        ["deploy"],
        ["package", "--stage", "dev", "OUTPUT"],
        ["local", "--no-autoreload", "--port", "0"],
        ["dev", "plan"],
    ],
    ids=" ".join,
)
def test_chalice_refuses_in_a_checkout_and_says_what_to_run(
    command: list[str], aws: Aws, tmp_path: Path
) -> None:
    before = _files_of_chalice()
    output = tmp_path / "package"
    done = _run(aws, *(str(output) if word == "OUTPUT" else word for word in command))
    assert aws.requests == []
    assert done.stderr.splitlines() == [
        "Nothing was done: .chalice/ describes an example installation, which is not yours.",
        "Run `make deploy STAGE=dev` to deploy to AWS, or `make run` to start Slipway here.",
    ]
    assert done.returncode == 1
    assert not output.exists()
    assert _files_of_chalice() == before
