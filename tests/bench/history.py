"""The figures of earlier runs, one JSON line each, in `docs/bench.jsonl`.

The file is committed: a figure is of use beside those of the commits before it, also in another
clone. Processor times depend on the machine, so the file names it, and a run is compared with the
last one of the same machine.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.package import ROOT
from tests.bench.figures import Figure

HISTORY = ROOT / "docs/bench.jsonl"
# Smaller changes are noise.
NOTABLE = 0.05


def add(figures: Iterable[Figure], path: Path = HISTORY) -> Iterator[str]:
    """Append a run; give a line for each figure that differs from the last run here."""
    # Parts of a figure are indented, and belong to the figure before them.
    now: dict[str, float] = {}
    whole = ""
    for figure in figures:
        part = figure.name.startswith(" ")
        whole = whole if part else figure.name
        name = f"{whole}, {figure.name.strip()}" if part else whole
        now[name] = round(figure.value, 4)
    run = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python "
        f"{platform.python_version()}",
        "figures": now,
    }
    before = _last(path, run["machine"])
    with path.open("a") as history:
        history.write(json.dumps(run) + "\n")
    if before is None:
        yield "No earlier run on a machine like this one."
        return
    yield f"Changes of at least {NOTABLE:.0%} since {before['date']}, commit {before['commit']}:"
    yield from _changes(before["figures"], now)


def _changes(before: Mapping[str, float], now: Mapping[str, float]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            yield f"  {name}: {'new' if old is None else 'no longer measured'}"
        elif abs(new - old) > NOTABLE * abs(old):
            yield f"  {name}: {old:.2f} -> {new:.2f}"


def _last(path: Path, machine: Any) -> dict[str, Any] | None:
    lines = path.read_text().splitlines() if path.exists() else []
    runs: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return next((run for run in reversed(runs) if run["machine"] == machine), None)


def _commit() -> str:
    """The commit, with a plus if files have changed since."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
