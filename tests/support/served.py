"""Serves the API and the dashboard of this process on loopback."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.local.machines import gateway


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve the app of this process on a free port; yield the address of the dashboard."""
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
