"""Import rules: the other parts and the SDKs that each part of the code may import."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Small modules at the top of the package. Every part except the pure rules may import them.
COMMON = {
    "budget",
    "clock",
    "cloudwatch",
    "correlation",
    "errors",
    "known_secrets",
    "sdk",
    "settings",
}
MAY_IMPORT = {
    "app": {"api", "checkout", "settings", "starting", "triggers"},
    "api": {"access", "pipeline", "store", "aws", "domain", *COMMON},
    "triggers": {"pipeline", "starting", "store", "domain", *COMMON},
    "access": {"store", "domain", *COMMON},
    "pipeline": {"store", "aws", "outbound", "domain", *COMMON},
    "store": {"domain", *COMMON},
    "aws": {"domain", *COMMON},
    "outbound": {"domain", *COMMON},
    "domain": {"errors"},
    "budget": {"errors"},
    "checkout": set(),
    "clock": set(),
    "cloudwatch": {"settings"},
    "correlation": set(),
    "errors": set(),
    "known_secrets": {"domain", "settings"},
    "sdk": set(),
    "starting": {"settings", "store"},
    "settings": {"domain"},
}
# A subpackage (key) must not import the other one (value).
MUST_NOT_IMPORT = {
    "chalicelib.pipeline.commands": "chalicelib.pipeline.reconcilers",
    "chalicelib.pipeline.reconcilers": "chalicelib.pipeline.commands",
    "chalicelib.api.http": "chalicelib.api.views",
}
ONLY_IN = {
    "aws_lambda_powertools": {"cloudwatch"},
    "pynamodb": {"store"},
    "boto3": set(),
    "botocore": {"aws", "sdk"},
    "moto": set(),
    "urllib3": {"outbound"},
}


def test_each_part_imports_only_the_parts_that_it_may() -> None:
    for part, names in _imports().items():
        parts = {name.split(".")[1] for name in names if name.startswith("chalicelib.")}
        assert parts - {part} <= MAY_IMPORT[part], part


def test_separate_subpackages_do_not_import_each_other() -> None:
    for subpackage, other in MUST_NOT_IMPORT.items():
        for path in (ROOT / subpackage.replace(".", "/")).rglob("*.py"):
            found = [name for name in _names(path) if name.startswith(other)]
            assert not found, f"{path} imports {found}"


def test_only_one_part_imports_each_sdk() -> None:
    for part, names in _imports().items():
        for name in names:
            package = name.partition(".")[0]
            assert part in ONLY_IN.get(package, {part}), f"{part} imports {name}"


def test_the_command_line_imports_nothing_of_the_application() -> None:
    for path in (ROOT / "cli").rglob("*.py"):
        packages = {name.partition(".")[0] for name in _names(path)}
        known = {"slipway_cli", "click", "rich", "keyring"}
        assert packages <= known | sys.stdlib_module_names, path


def test_views_load_neither_the_pipeline_nor_an_aws_client() -> None:
    code = "import sys, chalicelib.api.views; print([m for m in sys.modules if 'chalicelib' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "chalicelib.store.models" in done.stdout
    assert "chalicelib.pipeline" not in done.stdout
    assert "chalicelib.aws" not in done.stdout


def _imports() -> dict[str, set[str]]:
    """The names that each part imports; a part is a package or module of chalicelib, or app."""
    imported: dict[str, set[str]] = defaultdict(set)
    for path in [ROOT / "app.py", *(ROOT / "chalicelib").rglob("*.py")]:
        segments = path.relative_to(ROOT).with_suffix("").parts
        if segments != ("chalicelib", "__init__"):
            imported[segments[min(1, len(segments) - 1)]] |= set(_names(path))
    return imported


def _names(path: Path) -> Iterator[str]:
    """The full name of each import of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
