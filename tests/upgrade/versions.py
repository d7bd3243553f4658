"""Two versions of Slipway in one process, against one AWS, as while a stage is updated.

Each version has its own modules. They are in `sys.modules` only while a function of this version
runs, because functions import late, too.
"""

import atexit
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from chalice.test import Client
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table

import chalicelib.clock
from chalicelib import known_secrets
from chalicelib.pipeline import glances
from chalicelib.store import channels
from tests.support.embedded import Functions
from tests.support.environment import ACCOUNT, REGION

ROOT = Path(__file__).parents[2]
# The last version that stages run. CONTRIBUTING.md says when to move it.
BEFORE = "f36e834d7a5122a0ee466807f3b3d9b56921f24e"

Modules = dict[str, ModuleType]
# Chooses the version that AWS invokes: True for the present one. It gets the number of the call.
Choice = Callable[[int], bool]


class Version:
    """The app of one version, with its modules. `client` is a client of its HTTP API."""

    def __init__(self, modules: Modules) -> None:
        self.modules = modules
        self.app: Any = None
        self.client: Any = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make imports find the modules of this version. Blocks of two versions may be nested."""
        global _running
        outer = _running
        outer.modules = _take_modules()
        sys.modules.update(self.modules)
        _running = self
        try:
            yield
        finally:
            self.modules = _take_modules()
            sys.modules.update(outer.modules)
            _running = outer

    def load(self) -> "Version":
        """Import the app."""
        with self.running():
            from app import app

            self.app, self.client = app, Client(app)
        return self


_KEPT = ExitStack()
atexit.register(_KEPT.close)
_PRESENT = _running = Version({})


def _take_modules() -> Modules:
    """Take the product's modules out of `sys.modules`."""
    names = [name for name in sys.modules if name == "app" or name.startswith("chalicelib")]
    return {name: sys.modules.pop(name) for name in names}


@cache
def present() -> Version:
    """The version of this checkout."""
    return _PRESENT.load()


@cache
def before() -> Version:
    """The version before, from git. Skips the test where the checkout lacks its commit."""
    # Until this process ends: functions import late.
    directory = _KEPT.enter_context(TemporaryDirectory(prefix="slipway-before-"))
    _extract(Path(directory))
    version = Version({})
    sys.path.insert(0, directory)
    try:
        version.load()
    finally:
        sys.path.remove(directory)
    clock, budget = version.modules["chalicelib.clock"], version.modules["chalicelib.budget"]
    vars(clock)["now"] = lambda: chalicelib.clock.now()
    vars(clock)["microseconds"] = lambda: chalicelib.clock.microseconds()
    vars(budget)["HTTP_SECONDS"] = 600.0  # a busy machine must not look like a slow AWS
    return version


def _extract(to: Path) -> None:
    git = ["git", "-C", str(ROOT), "archive", BEFORE, "app.py", "chalicelib"]
    try:
        done = subprocess.run(git, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if done.returncode:
        why = done.stderr.decode().strip()
        pytest.skip(f"this checkout lacks the commit of the version before: {why}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(to, filter="data")


@dataclass
class Mix:
    """Passes each call of AWS to one of two versions, as `choice` says.

    A call is a request, a message, an event or a run of the schedule. `meanwhile` runs before each
    call, with its number.
    """

    choice: Choice
    calls: int = 0
    meanwhile: Callable[[int], None] = lambda _: None

    def version(self) -> Version:
        """The version that gets the next call."""
        number, self.calls = self.calls, self.calls + 1
        self.meanwhile(number)
        return present() if self.choice(number) else before()

    def functions(self) -> Functions:
        """The functions of both versions, as if they were one.

        A function that the version before lacks is always that of the present one.
        """
        handlers = {name: self._handler(name) for name in present().app.handler_map}
        http = SimpleNamespace(request=self._request)
        return Functions(SimpleNamespace(handler_map=handlers), SimpleNamespace(http=http))

    def _handler(self, name: str) -> Callable[[Any, Any], Any]:
        def handle(event: Any, context: Any) -> Any:
            version = self.version()
            if name not in version.app.handler_map:
                version = present()
            with version.running():
                return version.app.handler_map[name](event, context)

        return handle

    def _request(self, *words: Any, **options: Any) -> Any:
        version = self.version()
        with version.running():
            return version.client.http.request(*words, **options)


def tells_before() -> bool:
    """Whether the version before knows channels, too."""
    return "on_telling" in before().app.handler_map


def runs_before() -> bool:
    """Whether the version before runs now, and not the present one."""
    return _running is not _PRESENT


def only_before(_: int) -> bool:
    return False


def only_present(_: int) -> bool:
    return True


def chosen_by(chance: Random) -> Choice:
    """Each call goes to either version."""
    return lambda _: chance.random() < 0.5


def changing(chance: Random, *, back: bool) -> Choice:
    """First one version, then both, then the other: an update, or with `back` its undoing.

    In some stories the time with both versions begins late, or never ends.
    """
    first = chance.randrange(40)
    last = first + chance.randrange(60)

    def is_present(call: int) -> bool:
        if first <= call < last:
            return chance.random() < 0.5
        return (call >= last) is not back

    return is_present


def there_and_back(chance: Random) -> Choice:
    """An update that is undone while it is made, or later."""
    there, back = changing(chance, back=False), changing(chance, back=True)
    turn = chance.randrange(20, 100)
    return lambda call: there(call) if call < turn else back(call - turn)


def isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty what a process of the version before keeps, as `Cloud` does for the present one."""
    for module, name in ((known_secrets, "_known"), (glances, "_looks")):
        monkeypatch.setattr(before().modules[module.__name__], name, {})
    if tells_before():
        monkeypatch.setattr(before().modules[channels.__name__], "_known", None)


def keep_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tables have the indexes of both versions, as `make deploy` does meanwhile."""
    for name, old in tables_before().items():
        table = dynamodb_backends[ACCOUNT][REGION].tables[name]
        known = {index.name for index in table.global_indexes}
        missing = [index for index in old.global_indexes if index.name not in known]
        monkeypatch.setattr(table, "global_indexes", [*table.global_indexes, *missing])
        types = [each for each in old.attr if each not in table.attr]
        monkeypatch.setattr(table, "attr", [*table.attr, *types])


@cache
def tables_before() -> dict[str, Table]:
    """The tables of the version before, without rows. Call it outside of `mock_aws` first."""
    with mock_aws(), before().running():
        from chalicelib.store.tables import create_tables

        create_tables()
        return dict(dynamodb_backends[ACCOUNT][REGION].tables)
