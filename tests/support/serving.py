"""Run `python -m infra.local serve --simulate` in a separate process, as a script would."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "infra.local", "serve", "--simulate", *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment of this process without the variables that the tests set."""
    test_only = ("AWS_", "WEBHOOK_SECRET", "QUEUE_URL", "REGISTRY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(test_only)}
    return kept | more


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start it on a free port; yield the process and the JSON line that it prints when ready."""
    with subprocess.Popen(
        command("--port", "0", *arguments),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(timeout=60)
