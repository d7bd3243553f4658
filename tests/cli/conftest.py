"""A command of `slipway` in this process, against a scripted API."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slipway_cli.main import run

from tests.support.scripted_api import ScriptedApi, scripted_api

TOKEN = "slw_of-a-test"


@dataclass(frozen=True)
class Ran:
    """The end of a command."""

    exit_code: int
    out: str
    err: str


Slipway = Callable[..., Ran]


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration directory, and no variables of the caller."""
    for name in ("SLIPWAY_URL", "SLIPWAY_TOKEN", "SLIPWAY_INSECURE_HTTP", "COLUMNS", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def slipway(
    api: ScriptedApi,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Slipway:
    """Run a command with a login for the scripted API."""
    monkeypatch.setenv("SLIPWAY_URL", api.url)
    monkeypatch.setenv("SLIPWAY_TOKEN", TOKEN)

    def ran(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(arguments)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return ran


def by_method(received: Sequence[Any], method: str) -> list[Any]:
    """The requests with a method."""
    return [each for each in received if each.method == method]
