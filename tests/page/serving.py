"""Serves an embedded cloud's API and dashboard on loopback, and finds a Chromium."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.local.machines import gateway

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-gpu")


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve the app on a free port; yield the address of the dashboard."""
    kind = app.__class__
    server = gateway.listen(0)
    gateway.attach(server, app)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        app.__class__ = kind


def browser_path() -> str | None:
    """The path of this machine's Chromium; None if it has none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)
