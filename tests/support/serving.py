"""`python -m infra.local serve --simulate` in a process of its own, as a script would start it."""

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
    """What starts it."""
    return [sys.executable, "-m", "infra.local", "serve", "--simulate", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what the tests have put there."""
    ours = ("AWS_", "WEBHOOK_SECRET", "QUEUE_URL", "REGISTRY")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process on a free port, and the line of JSON that it printed when it was ready."""
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
