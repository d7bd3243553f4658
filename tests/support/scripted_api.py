"""An HTTP server on loopback that answers with what a test has written down, for the command line.

It shows what the served API cannot show on demand: failures, hostile texts, a job that never ends.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Response:
    """An answer. A body of bytes is sent as it is; with `dropped` the connection ends without."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    dropped: bool = False


@dataclass(frozen=True)
class Received:
    """A request that arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


DROPPED = Response(dropped=True)
Script = Response | Callable[[Received], Response]


class ScriptedApi:
    """Answers by method and path. Of several answers for one request the last one stays."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self._scripts: dict[str, list[Script]] = {}

    def on(self, request: str, *scripts: Any) -> None:
        """Set the answers to `GET /v1/…`: a Response, a function, or the body of a 200."""
        self._scripts[request] = [
            each if callable(each) or isinstance(each, Response) else Response(each)
            for each in scripts
        ]

    def answer(self, request: Received) -> Response:
        """The next answer."""
        self.received.append(request)
        scripts = self._scripts.get(f"{request.method} {request.path}")
        if scripts is None:
            return problem(404, "not_found", f"nothing is written for {request.path}")
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return script if isinstance(script, Response) else script(request)


def problem(status: int, code: str, detail: str, **headers: str) -> Response:
    """A problem document."""
    body = {"status": status, "code": code, "detail": detail, "title": code, "instance": "x"}
    return Response(body, status, {name.replace("_", "-"): each for name, each in headers.items()})


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """Run the server in a thread."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            parts = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            headers = dict(self.headers.items())
            body = json.loads(content) if content else None
            response = api.answer(Received(self.command, parts.path, query, headers, body))
            if response.dropped:
                self.close_connection = True
                return
            sent = response.body
            sent = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            self.send_response(response.status)
            for name, value in {"Content-Length": str(len(sent)), **response.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815  # http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that was interrupted closes its connection."""

    with Server(("127.0.0.1", 0), Handler) as server:
        api = ScriptedApi(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
