"""A receiver of messages on loopback. It keeps what it gets, and answers as the test says."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request: its path, headers in lower case, and the decoded body."""

    path: str
    headers: dict[str, str]
    body: Any
    raw: bytes


@dataclass
class Receiver:
    """Answers 200. The answers of `planned` come first: each a status, headers and a body."""

    requests: list[Request] = field(default_factory=list)
    planned: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    port: int = 0
    # While it is clear, no request is answered.
    answers: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def host(self) -> str:
        """The entry of the allowed hosts."""
        return f"127.0.0.1:{self.port}"

    def fail(self, status: int, *, times: int = 1, said: str = "", **headers: str) -> None:
        """Answer so many requests with a status, a body, and headers (`Retry_After="30"`)."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.planned += [(status, named, said)] * times

    @property
    def bodies(self) -> list[Any]:
        return [each.body for each in self.requests]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver until the end of the block."""
    receiver = Receiver()
    receiver.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.requests.append(Request(self.path, headers, json.loads(raw), raw))
            receiver.answers.wait(30)
            status, more, said = receiver.planned.pop(0) if receiver.planned else (200, {}, "")
            try:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(said)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.encode())
            except OSError:
                pass  # the caller has not waited

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.answers.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
