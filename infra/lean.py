"""Makes the package that Chalice wrote smaller, and faster to start.

A function that starts has to read its code. Without bytecode Python compiles all of it at each cold
start, because Lambda's directory of code is read-only.
"""

import gzip
import json
import py_compile
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Where Lambda unpacks the code. AWS: "Building Lambda functions with Python".
LAMBDA_ROOT = "/var/task"
# Files of libraries that no function reads: what pip installed, time zones, examples of requests,
# what is needed only to wait for AWS or to page through answers, and all of Powertools that its
# metrics do not import.
UNUSED = (
    "*.dist-info",
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/utilities/[!_j]*",
    "botocore/data/*/*/examples-1.json*",
    "botocore/data/*/*/paginators-1*.json*",
    "botocore/data/*/*/waiters-2.json*",
    "dateutil/zoneinfo/*.tar.gz",
)
# Ours stay readable, so that a traceback in the log shows their lines.
OURS = ("app.py", "chalicelib")
# All files get this time: the same code must give the same package, byte by byte.
TIME = (1980, 1, 1, 0, 0, 0)


def make_lean(archive: Path, services: frozenset[str]) -> None:
    """Rewrite the package `archive` without what no function needs, and with bytecode.

    `services` are the AWS services that the functions call, by their names in policies.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        with zipfile.ZipFile(archive) as old:
            old.extractall(root)
        for pattern in UNUSED:
            _delete(root.glob(pattern))
        data = root / "botocore/data"
        _delete(path for path in data.glob("*/") if path.name not in services)
        for path in data.glob("*/*/*.json.gz"):
            description = _without_documentation(json.loads(gzip.decompress(path.read_bytes())))
            path.with_suffix("").write_text(json.dumps(description, separators=(",", ":")))
            path.unlink()
        for path in data.glob("endpoints.json"):
            _keep_endpoints(path, services)
        _compile(root)
        _write(archive, root)


def called_services(policies: Iterable[Path]) -> frozenset[str]:
    """The AWS services whose actions the policies of the functions allow."""
    called = set()
    for path in policies:
        for statement in json.loads(path.read_text())["Statement"]:
            actions = statement["Action"]
            listed = [actions] if isinstance(actions, str) else actions
            called |= {action.partition(":")[0] for action in listed}
    return frozenset(called)


def _delete(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _without_documentation(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_documentation(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _without_documentation(each)
        for name, each in node.items()
        if not (name == "documentation" and isinstance(each, str))
    }


def _keep_endpoints(path: Path, services: frozenset[str]) -> None:
    """Keep the endpoints of `services`. Some have an endpoint prefix, like api.ecr."""
    endpoints = json.loads(path.read_text())
    for partition in endpoints["partitions"]:
        partition["services"] = {
            name: each
            for name, each in partition["services"].items()
            if name.rpartition(".")[2] in services
        }
    path.write_text(json.dumps(endpoints, separators=(",", ":")))


def _compile(root: Path) -> None:
    """Compile all modules. Libraries are shipped as bytecode only, which is smaller.

    Python must not compare bytecode with the time of its source, which the package does not keep.
    """
    for source in list(root.rglob("*.py")):
        place = source.relative_to(root)
        ours = place.parts[0] in OURS
        name = f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        py_compile.compile(
            str(source),
            str(source.parent / "__pycache__" / name if ours else source.with_suffix(".pyc")),
            dfile=f"{LAMBDA_ROOT}/{place}",
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        if not ours:
            source.unlink()


def _write(archive: Path, root: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(str(path.relative_to(root)), TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                # Lambda's user is another one than the owner of the files.
                entry.external_attr = 0o644 << 16
                new.writestr(entry, path.read_bytes())
