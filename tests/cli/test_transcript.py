"""The commands against the embedded cloud: a first release, a rollback, a failure, channels.

Each chapter is a file in `golden/`: the commands with what they print on stdout and, after `! `, on
stderr. SLIPWAY_WRITE_GOLDEN=1 writes the files again.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from infra.local.play.sample import Sample
from tests.support.serving import ROOT, serving

pytestmark = pytest.mark.long

GOLDEN = Path(__file__).parent / "golden"
# What differs between two runs. Lines of progress depend on the moment of the look.
MASKS = (
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\b\d+ (s|min) ago", "… ago"),
    (r"\bfailing for \d+ (s|min)\b", "failing for …"),
    (r"\bin \d+ (h|min)\b", "in …"),
    (r"sha256:[0-9a-f]{64}", "sha256:DIGEST"),
    (r"\b[0-9a-f]{40}\b", "COMMIT"),
    (r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8}\b", "COMMIT8"),
    (r"(failed … ago: Task failed).*…$", r"\1 …"),
)
PROGRESS = re.compile(r"^! (build|deploy)-\d+: ")

CHAPTERS: dict[str, tuple[str, ...]] = {
    "first release": (
        "whoami",
        "services",
        "status shop/web",
        "deploy shop/web",
        "build shop/web",
        "logs build-1 --tail 2",
        "deploy shop/web --plan",
        "deploy web --reason First",
        "services",
        "status",
        "history web",
    ),
    "going back": (
        "config web set LOG_LEVEL=debug --plan",
        "config web set LOG_LEVEL=debug",
        "config web",
        "status web",
        "rollback web",
        "rollback web --yes --reason Broken",
        "rollback web --yes",
        "config web",
        "status web",
    ),
    "what fails": (
        "build web --ref nope",
        "retry build-1",
        "cancel build-1",
        "build web",
        "deploy web",
        "deploy web myapp:never-built",
        "deploy shop/wep",
        "services",
        "status web",
        "history web --limit 3",
    ),
    "channels": (
        "channels",
        "channels test GitHub",
        "channels kinds --project shop",
        "channels create slack --name Team --service web",
        "channels create slack --name Team --service web --secret secretsmanager:slipway/tell/1/it",
        "channels test Team",
        "channels update Team --event build.failed --branch release/**",
        "channels update Team --event build.exploded",
        "channels show Team",
        "channels remove Team",
        "channels remove Team --yes",
        "channels",
    ),
    "approval": (
        "rollout web",
        "rollout web --percent 5",
        "rollout web --strategy linear --bake-minutes 0 --percent 2",
        "rollout web --strategy blue_green --bake-minutes 0 --approval --approval-minutes 60",
        "approve web",
        "deploy web build-1 --no-wait --reason Again",
        "status",
        "status web",
        "approve web",
        "approve web --yes",
        "rollout web --approve-own",
        "approve web --yes --reason Good",
        "approve deploy-5",
        "deploy web build-1 --no-wait",
        "reject --yes --reason Slow",
        "history web --limit 2",
    ),
}


def test_a_session_prints_what_is_written_down(tmp_path: Path) -> None:
    with serving() as (_, ready):
        _create_service(ready)
        written = {}
        for name, commands in CHAPTERS.items():
            if name == "what fails":
                Sample(Path(ready["sample"])).commit("two", healthy=False)
            written[name] = "\n".join(_ran(ready, tmp_path, each) for each in commands)
        # The order of its last lines is that of AWS's clocks.
        assert "[slipway] ended: failed: Task failed" in _ran(ready, tmp_path, "logs deploy-4")
    if os.environ.get("SLIPWAY_WRITE_GOLDEN"):
        for name, text in written.items():
            (GOLDEN / f"{name}.txt").write_text(text)
    for name, text in written.items():
        assert text.splitlines() == (GOLDEN / f"{name}.txt").read_text().splitlines()


def _await_approval(ready: dict[str, Any]) -> None:
    """Wait until the service's deployment awaits approval."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        (service,) = _called(ready, "services")["items"]
        if service["active"] and service["active"]["awaiting"] == "approval":
            return
        time.sleep(0.1)
    raise AssertionError("no deployment awaits approval")


def _ran(ready: dict[str, Any], home: Path, command: str) -> str:
    """A command with what it prints, and its exit code if that is not 0."""
    done = subprocess.run(
        [sys.executable, "-m", "slipway_cli", *command.split()],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "cli"),
            "XDG_CONFIG_HOME": str(home),
            "SLIPWAY_URL": ready["api"],
            "SLIPWAY_TOKEN": ready["token"],
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "--no-wait" in command:
        _await_approval(ready)
    lines = [*done.stdout.splitlines(), *(f"! {line}" for line in done.stderr.splitlines())]
    shown = [line.rstrip() for line in lines if not PROGRESS.match(line)]
    text = "\n".join([f"$ slipway {command}", *shown, *_code(done.returncode), ""])
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text, flags=re.MULTILINE)
    # The age of a row decides how wide its column is.
    has_table = command.startswith(("services", "history")) or command in {"channels", "status"}
    return re.sub(" {2,}", "  ", text) if has_table else text


def _code(number: int) -> list[str]:
    return [f"[exit code {number}]"] if number else []


def _create_service(ready: dict[str, Any]) -> None:
    service = {
        "name": "web",
        "git_url": "https://github.com/example/app.git",
        "image_repository": "myapp",
        "ecs_cluster": "default",
        "ecs_service": "web",
        "containers": ["web"],
    }
    for path, body in (("projects", {"name": "shop"}), ("projects/1/services", service)):
        _called(ready, path, body)


def _called(ready: dict[str, Any], path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer of the API."""
    content = None if body is None else json.dumps(body).encode()
    request = Request(f"{ready['api']}/v1/{path}", content)
    request.add_header("Authorization", f"Bearer {ready['token']}")
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=20) as answer:
        return json.load(answer)
