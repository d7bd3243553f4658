"""Checks of a story that is played to see that everything works: the demo and the rehearsal."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")


class NotSeen(Exception):
    """A step of the story did not end as it should."""


def wait_for(what: str, look: Callable[[], _T | None], *, seconds: float = 120) -> _T:
    """Call `look` until it returns a value. Raises NotSeen after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.15)
    raise NotSeen(f"waited {seconds:.0f} s for {what}")


def check(what: str, seen: object, wanted: object) -> None:
    """Raises NotSeen unless they are equal."""
    if seen != wanted:
        raise NotSeen(f"{what}: saw {seen!r}, not {wanted!r}")


def send(
    url: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    expect: int,
    seconds: float,
) -> Any:
    """Make one call to an API; return the parsed answer. Raises NotSeen for another status."""
    request = urllib.request.Request(url + path, data=body, method=method)
    for name, value in {**headers, "Content-Type": "application/json"}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        status, text = refusal.code, refusal.read()
    if status != expect:
        raise NotSeen(f"{method} {path} answered {status}, not {expect}: {text.decode()}")
    return json.loads(text)


def to_json(body: Any) -> bytes:
    """The body of a request."""
    return json.dumps(body).encode()


def end_process(process: "subprocess.Popen[bytes]", *, seconds: float) -> None:
    """Ask a process to end, and kill it if it has not ended after so many seconds."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
