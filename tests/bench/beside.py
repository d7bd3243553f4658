"""What an accepted push costs Buildbot, beside Slipway: the same push, to the same kind of hook.

Buildbot is a process that keeps running, with a database on its own disk. Slipway is a function
with DynamoDB. So only the processor's time for a push is compared, and what is durable when the
answer comes. Buildbot gets an environment of its own below `build/`, with pinned files. Its figure
includes its own database and HTTP server. Slipway's (`warm push`) includes its calls of AWS, but
not what AWS does for them.
"""

import hashlib
import hmac
import os
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
import uuid
import venv
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from infra.package import ROOT, pip_install
from infra.seeing import end_process
from tests.bench.figures import Figure
from tests.bench.sample import push_body
from tests.support.builders import WEBHOOK_SECRET, delivery_headers

HERE = Path(__file__).parent / "buildbot"
HOME = ROOT / "build/buildbot"
ROUNDS, PUSHES, WARM = 5, 20, 10
# Seconds to start, and until all pushes of a round are in the line.
PATIENCE = 60.0


def measure() -> Iterator[Figure | str]:
    """The processor's time of a push, and what Buildbot's database has when it answers."""
    if install():
        yield "Buildbot could not be installed: pip's message is above. It is left out."
        return
    with _master() as master:
        _round(master, WARM)
        costs, durable = [], []
        for _ in range(ROUNDS):
            cost, kept = _round(master, PUSHES)
            costs.append(cost)
            durable.append(kept)
    yield Figure("Buildbot push: all code", statistics.median(costs), "ms")
    yield Figure("  fastest round", min(costs), "ms")
    yield Figure("  slowest round", max(costs), "ms")
    for number, what in enumerate(("change", "request for a build")):
        share = 100 * sum(each[number] for each in durable) / (ROUNDS * PUSHES)
        yield Figure(f"Buildbot: {what} is durable when it answers", share, "%")


def install() -> int:
    """Install Buildbot unless it is there; return pip's exit status."""
    locked = HERE / "constraints.txt"
    stamp, wanted = HOME / "installed", hashlib.sha256(locked.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return 0
    venv.create(HOME, clear=True, with_pip=True)
    failed = pip_install(str(HOME / "bin/python"), "-r", str(locked))
    if not failed:
        stamp.write_text(wanted)
    return failed


class Master:
    """A running master."""

    def __init__(self, process: "subprocess.Popen[bytes]", directory: Path, port: int) -> None:
        self._process = process
        self._log = directory / "twistd.log"
        self._database = directory / "state.sqlite"
        self._hook = f"http://127.0.0.1:{port}/change_hook/github"

    def push(self) -> int:
        """Deliver a new push; return the status of the answer."""
        body = push_body(uuid.uuid4().hex + "0" * 8)
        headers = delivery_headers(body, secret=WEBHOOK_SECRET, delivery=str(uuid.uuid4()))
        sent = {name: text for name, text in headers.items() if text}
        # Buildbot 4.3 reads this one. GitHub sends both.
        signed = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha1).hexdigest()
        sent["X-Hub-Signature"] = f"sha1={signed}"
        with urlopen(Request(self._hook, body, sent), timeout=10) as answer:
            answer.read()
            return int(answer.status)

    def rows(self) -> tuple[int, int]:
        """The changes and the requests for builds that are committed."""
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            count = "select (select count(*) from changes), (select count(*) from buildrequests)"
            changes, requests = database.execute(count).fetchone()
            return changes, requests

    def milliseconds(self) -> float:
        """The processor's time of all its threads until now (proc(5): `schedstat`)."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in tasks) / 1e6

    def answers(self) -> bool:
        """Whether its hook is up; raises RuntimeError if the process has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"Buildbot has ended:\n{self._log.read_text()[-2000:]}")
        try:
            self.push()
        except (URLError, ConnectionError):
            return False
        return True


def _round(master: Master, pushes: int) -> tuple[float, tuple[int, int]]:
    """The milliseconds of a push, and how many rows of each kind were there at the answers."""
    start, began = master.rows(), master.milliseconds()
    durable = [0, 0]
    for number in range(1, pushes + 1):
        master.push()
        for kind, (now, before) in enumerate(zip(master.rows(), start, strict=True)):
            durable[kind] += now - before >= number
    _wait(lambda: master.rows()[1] - start[1] >= pushes)
    return (master.milliseconds() - began) / pushes, (durable[0], durable[1])


@contextmanager
def _master() -> Iterator[Master]:
    with tempfile.TemporaryDirectory(prefix="slipway-buildbot-") as directory, _port() as port:
        command, root = str(HOME / "bin/buildbot"), Path(directory)
        settings = {"BENCH_PORT": str(port), "BENCH_SECRET": WEBHOOK_SECRET}
        environment = {"PATH": os.environ["PATH"], "HOME": directory, **settings}
        make = [command, "create-master", "--relocatable", directory]
        subprocess.run(make, env=environment, check=True, capture_output=True)
        (root / "master.cfg").write_bytes((HERE / "master.cfg").read_bytes())
        process = subprocess.Popen(
            [command, "start", "--nodaemon", directory],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            master = Master(process, root, port)
            _wait(master.answers)
            _wait(lambda: master.rows()[1] > 0)
            yield master
        finally:
            end_process(process, seconds=PATIENCE)


@contextmanager
def _port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    yield port


def _wait(is_done: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not done after {PATIENCE:.0f} s")
        time.sleep(0.02)
