"""A fixed loopback address that forwards TCP connections to a service's current task.

It replaces a load balancer: the address stays the same while tasks change.
"""

import contextlib
import socket
import threading

Address = tuple[str, int]
CONNECT_SECONDS = 2.0
CHUNK = 65536
_WAITING_CLIENTS = 128


class Forwarder:
    """Forwards to `target`: an address, or the reason for an HTTP 503 if there is no address.

    Its thread sleeps until a client connects: hundreds of services cost nothing while idle.
    """

    def __init__(self) -> None:
        self.target: Address | str = "no task has started yet"
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_WAITING_CLIENTS)
        self._stopping = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The fixed address that it listens on."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        """Accept no more connections. Open connections end with their tasks."""
        self._stopping = True
        with contextlib.suppress(OSError):  # a connection wakes the thread
            socket.create_connection(self._listener.getsockname(), CONNECT_SECONDS).close()
        self._thread.join(CONNECT_SECONDS)
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopping:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the client went away, or too many files are open
                continue
            if self._stopping:
                client.close()
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            target = self.target
            if isinstance(target, str):
                return _refuse(client, target)
            try:
                task = socket.create_connection(target, timeout=CONNECT_SECONDS)
            except OSError as error:
                return _refuse(client, f"the task does not answer: {error}")
            with task:
                task.settimeout(None)
                for each in (client, task):  # pass each part on at once
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
