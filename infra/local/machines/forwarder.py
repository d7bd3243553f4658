"""A fixed loopback address that forwards TCP connections to a service's current task.

It replaces a load balancer: the address stays the same while tasks change.
"""

import contextlib
import socket
import socketserver
import threading
from typing import cast

Address = tuple[str, int]
CONNECT_SECONDS = 2.0
CHUNK = 65536


class Forwarder:
    """Forwards to `target`: an address, or the reason for an HTTP 503 if there is no address."""

    def __init__(self) -> None:
        self.target: Address | str = "no task has started yet"
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The fixed address that it listens on."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Accept no more connections. Open connections end with their tasks."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, forwarder: Forwarder) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.forwarder = forwarder


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        client: socket.socket = self.request
        target = cast(_Server, self.server).forwarder.target
        if isinstance(target, str):
            return _refuse(client, target)
        try:
            task = socket.create_connection(target, timeout=CONNECT_SECONDS)
        except OSError as error:
            return _refuse(client, f"the task does not answer: {error}")
        with task:
            task.settimeout(None)
            back = threading.Thread(target=_copy, args=(task, client), daemon=True)
            back.start()
            _copy(client, task)
            back.join()
        return None


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may disconnect at any time
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _refuse(client: socket.socket, reason: str) -> None:
    body = f"{reason}\n".encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    with contextlib.suppress(OSError):
        # Read the request: closing with unread data resets the connection before the answer.
        client.settimeout(CONNECT_SECONDS)
        client.recv(CHUNK)
        client.sendall(head.encode() + body)
