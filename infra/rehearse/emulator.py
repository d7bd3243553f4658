"""Installs, starts and stops the emulator. It listens on the loopback address only."""

import hashlib
import os
import socket
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.package import ROOT, pip_install
from infra.seeing import end_process

REGION = "eu-west-1"
ACCOUNT = "123456789012"
PLACE = ROOT / "build/rehearse"
LOCKED = Path(__file__).with_name("constraints.txt")
_START = 60.0  # seconds
_STOP = 20.0


class NotInstalled(Exception):
    """The emulator could not be installed. The message has two lines: the cause and the fix."""


def install() -> Path:
    """Install the emulator unless it is there; return the path of its Python.

    Only files with the hashes of `constraints.txt` are installed. Raises NotInstalled.
    """
    home = PLACE / "emulator"
    stamp, wanted = home / "installed", hashlib.sha256(LOCKED.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(home, clear=True, with_pip=True)
        if pip_install(str(home / "bin/python"), "-r", str(LOCKED)):
            raise NotInstalled(
                "pip could not install the emulator: its message is above.\n"
                "The first rehearsal needs the package index, or pip's cache. Later ones do not."
            )
        stamp.write_text(wanted)
    return home / "bin/python"


@contextmanager
def running(python: Path) -> Iterator[str]:
    """Run the emulator; gives its URL. Its files are deleted at the end, except its log.

    All AWS settings of the shell are hidden from this process, so no command can reach an account.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log = PLACE / "emulator.log"
    with tempfile.TemporaryDirectory(prefix="slipway-rehearse-") as work, log.open("wb") as out:
        settings = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            # Each request is checked against the policies of its role.
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "S3_DATA_DIR": f"{work}/s3",
            "STATE_DIR": f"{work}/state",
            "TMPDIR": work,
        }
        _use(url)
        command = [python, Path(__file__).with_name("put_rest_api.py")]
        process = subprocess.Popen(command, env=os.environ | settings, stdout=out, stderr=out)
        try:
            _wait_for(process, log)
            yield url
        finally:
            end_process(process, seconds=_STOP)


def _use(url: str) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ENDPOINT_URL=url,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",  # noqa: S106  # the emulator's root user
        AWS_DEFAULT_REGION=REGION,
        AWS_ACCOUNT_ID_ENDPOINT_MODE="disabled",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )


def _wait_for(process: "subprocess.Popen[bytes]", log: Path) -> None:
    sts = boto3.client("sts", config=Config(retries={"total_max_attempts": 1}))
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            sts.get_caller_identity()
            return
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
    raise NotInstalled(f"The emulator did not start.\nIts log says why: {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
