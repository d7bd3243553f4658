"""The rooms of the code: which room may import which, and who may import an SDK."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Small modules at the top of the package that any room but the pure rules may use.
COMMON = {"budget", "clock", "correlation", "errors", "known_secrets", "settings"}
MAY_IMPORT = {
    "app": {"api", "triggers"},
    "api": {"access", "pipeline", "store", "aws", "domain", *COMMON},
    "triggers": {"pipeline", "store", *COMMON},
    "access": {"store", "domain", *COMMON},
    "pipeline": {"store", "aws", "domain", *COMMON},
    "store": {"domain", *COMMON},
    "aws": {"domain", *COMMON},
    "domain": {"errors"},
    "budget": {"errors"},
    "clock": set(),
    "correlation": set(),
    "errors": set(),
    "known_secrets": {"domain", "settings"},
    "settings": {"domain"},
}
# Parts of a room that must not import other parts of it.
APART = {
    "chalicelib.pipeline.commands": "chalicelib.pipeline.reconcilers",
    "chalicelib.pipeline.reconcilers": "chalicelib.pipeline.commands",
    "chalicelib.api.http": "chalicelib.api.views",
}
ONLY_IN = {"pynamodb": {"store"}, "boto3": {"aws"}, "botocore": {"aws"}, "moto": set()}


def test_rooms_import_only_those_below_them() -> None:
    for room, imported in _imports().items():
        ours = {name.split(".")[1] for name in imported if name.startswith("chalicelib.")}
        assert ours - {room} <= MAY_IMPORT[room], room


def test_commands_and_reconcilers_do_not_import_each_other() -> None:
    for part, other in APART.items():
        for path in (ROOT / part.replace(".", "/")).rglob("*.py"):
            found = [name for name in _names(path) if name.startswith(other)]
            assert not found, f"{path} imports {found}"


def test_each_sdk_has_one_importer() -> None:
    for room, imported in _imports().items():
        for name in imported:
            package = name.partition(".")[0]
            assert room in ONLY_IN.get(package, {room}), f"{room} imports {name}"


def test_showing_a_row_loads_neither_the_pipeline_nor_an_aws_client() -> None:
    code = "import sys, chalicelib.api.views; print([m for m in sys.modules if 'chalicelib' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "chalicelib.store.models" in done.stdout
    assert "chalicelib.pipeline" not in done.stdout
    assert "chalicelib.aws" not in done.stdout


def _imports() -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = defaultdict(set)
    for path in [ROOT / "app.py", *(ROOT / "chalicelib").rglob("*.py")]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts != ("chalicelib", "__init__"):
            rooms[parts[min(1, len(parts) - 1)]] |= set(_names(path))
    return rooms


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
