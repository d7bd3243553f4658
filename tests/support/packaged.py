"""The package of the application as Lambda gets it, with libraries for this machine.

Nothing is downloaded: the libraries are copies of those in .venv, which have the same versions.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.lean import called_services, make_lean
from infra.package import EXAMPLE, ROOT, package_application, write_application

PROCESS = Path(__file__).with_name("lambda_process.py")


def package(directory: Path) -> Path:
    """Package the application in `directory`; return the zip as Chalice wrote it."""
    application = directory / "application"
    write_application(application, EXAMPLE)
    for distribution in _needed((ROOT / "requirements.txt").read_text()):
        for file in distribution.files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = application / "vendor" / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    package_application(application, directory, stage="dev", region=EXAMPLE.region)
    return directory / "deployment.zip"


def lean(archive: Path) -> Path:
    """A lean copy of the package `archive`."""
    copy = archive.with_name("lean.zip")
    shutil.copy(archive, copy)
    make_lean(copy, called_services((ROOT / ".chalice").glob("policy-*.json")))
    return copy


def unpacked(archive: Path) -> Path:
    """The directory of the unpacked `archive`."""
    root = archive.with_suffix("")
    with zipfile.ZipFile(archive) as package:
        package.extractall(root)
    return root


def _needed(requirements: str) -> Iterator[importlib.metadata.Distribution]:
    """The installed distributions of the lines of `requirements`, and what they need."""
    waiting, seen = requirements.splitlines(), set()
    while waiting:
        line = waiting.pop()
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if name is None or "extra ==" in line or name[0].lower() in seen:
            continue
        seen.add(name[0].lower())
        distribution = importlib.metadata.distribution(name[0])
        waiting += distribution.requires or []
        yield distribution


def environment(cloud: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a function that works in the embedded cloud of `serving`."""
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "AWS_REGION": EXAMPLE.region,
        "AWS_DEFAULT_REGION": EXAMPLE.region,
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "AWS_LAMBDA_FUNCTION_NAME": "slipway-dev-api_handler",
        "AWS_ENDPOINT_URL": cloud["aws"],
        "QUEUE_URL": f"{cloud['aws']}/{EXAMPLE.account}/slipway-wakeups",
        "REGISTRY": f"{EXAMPLE.account}.dkr.ecr.{EXAMPLE.region}.amazonaws.com",
        "WEBHOOK_SECRET": cloud["webhook_secret"],
        # Lambda's directory of code is read-only.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ["PATH"],
    }


def invoke(
    root: Path, handler: str, events: Sequence[Any], variables: Mapping[str, str]
) -> dict[str, Any]:
    """Start the package in a process of its own and give all events to one handler.

    `handler` is `module.function`. Returns `import` and `requests`, in ms of CPU time, the
    `answers`, and what was printed as `log`.
    """
    result, log = run_alone(root, [str(PROCESS), handler], events, variables)
    return result | {"log": log}


def run_alone(
    root: Path,
    command: Sequence[str],
    given: Any,
    variables: Mapping[str, str],
    enter: Callable[[], None] | None = None,
) -> tuple[dict[str, Any], str]:
    """Run a script of Python beside the package, without this environment's libraries.

    It gets `given` as JSON. Returns the JSON of its last line to stderr, and what it printed.
    `enter` runs in the new process before the script.
    """
    done = subprocess.run(
        [sys.executable, "-S", *command],
        cwd=root,
        env=dict(variables),
        input=json.dumps(given),
        preexec_fn=enter,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stderr.splitlines()[-1]), done.stdout
