"""A fixed loopback address that shares the requests of a service among its healthy tasks.

It replaces a load balancer: the address stays the same while tasks change. As a load balancer for
HTTP does, it chooses a task for each request, not for each connection ("Routing algorithms" in the
user guide for Application Load Balancers). For that it asks the task to close the connection after
one answer. Connections that become something else (an upgrade, HTTP/2, another protocol in which
the client sends first) stay with the task of their first bytes.
"""

import contextlib
import re
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Address = tuple[str, int]
# The address of a task, or what is answered for a simulated task, where no process listens.
Target = Address | str
CONNECT_SECONDS = 2.0
CHUNK = 65536
# "HTTP headers" in the user guide for Application Load Balancers: no longer head is accepted.
LONGEST_HEAD = 65536
_WAITING_CLIENTS = 128
_LINES = rb"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n"
_REQUEST = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]" + _LINES)
_INTERIM = re.compile(rb"HTTP/1\.[01] 10[023]" + _LINES)
_ANSWER = re.compile(rb"HTTP/1\.[01] [2-5]" + _LINES)
_FIRST_LINE = re.compile(rb"(?:[A-Z]+ \S+ HTTP/1\.[01]|HTTP/1\.[01] \d{3}[^\r]*)\r")
_UPGRADE = re.compile(rb"^connection:[^\r\n]*\bupgrade\b", re.IGNORECASE | re.MULTILINE)
_CONNECTION = re.compile(rb"^(?:connection|keep-alive):[^\r\n]*\r\n", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Group:
    """The healthy tasks that share one part of the requests. `weight` is relative to the others."""

    weight: float
    tasks: Sequence[Target]


class Forwarder:
    """Forwards requests to the tasks of `groups`, or answers an HTTP 503 with the `reason`.

    Its thread sleeps until a client connects: hundreds of services cost nothing while idle.
    """

    def __init__(self) -> None:
        self._shares = _Shares({})
        self._reason = "no task has started yet"
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_WAITING_CLIENTS)
        self._stopping = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The fixed address that it listens on."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def share(self, groups: Mapping[str, Group], reason: str) -> None:
        """Share the next requests among these groups.

        A request for a group without tasks gets a 503 with the reason: a load balancer does not
        choose another group for it.
        """
        self._reason = reason
        if groups != self._shares.groups:
            self._shares = _Shares(groups)

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
        with client, contextlib.suppress(OSError):  # the client may disconnect at any time
            # Browsers open connections in advance. Only a connection with a request takes a turn.
            request = _receive_head(client)
            if not request:
                return
            target = self._shares.next()
            if target is None:
                return _answer(client, request, "503 Service Unavailable", self._reason)
            if isinstance(target, str):
                return _answer(client, request, "200 OK", target)
            try:
                task = socket.create_connection(target, timeout=CONNECT_SECONDS)
            except OSError as error:
                reason = f"the task does not answer: {error}"
                return _answer(client, request, "503 Service Unavailable", reason)
            with task:
                task.settimeout(None)
                for each in (client, task):  # pass each part on at once
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                head = _REQUEST.match(request)
                is_single = head is not None and not _UPGRADE.search(head[0])
                task.sendall(_closing(_REQUEST, request) if is_single else request)
                answer = _copy_single_answer if is_single else _copy
                back = threading.Thread(target=answer, args=(task, client), daemon=True)
                back.start()
                _copy(client, task)
                back.join()
            return None


class _Shares:
    """Whose turn is next: smooth weighted round robin, as nginx has it.

    Each group gets its exact share, spread evenly. With the weights 90 and 10 every tenth request
    goes to the second group.
    """

    def __init__(self, groups: Mapping[str, Group]) -> None:
        self.groups = groups
        self._credits = dict.fromkeys(groups, 0.0)
        self._turns = dict.fromkeys(groups, 0)
        self._lock = threading.Lock()

    def next(self) -> Target | None:
        """The task for one request. None if the group whose turn it is has no task."""
        with self._lock:
            for name, group in self.groups.items():
                self._credits[name] += group.weight
            if not any(group.weight for group in self.groups.values()):
                return None
            chosen = max(self._credits, key=self._credits.__getitem__)
            self._credits[chosen] -= sum(group.weight for group in self.groups.values())
            tasks = self.groups[chosen].tasks
            self._turns[chosen] += 1
            return tasks[self._turns[chosen] % len(tasks)] if tasks else None


def _receive_head(source: socket.socket, received: bytes = b"") -> bytes:
    """The head of an HTTP request or answer, with what followed it; else the first bytes.

    Empty if nothing was sent.
    """
    while not received or _is_part_of_head(received):
        more = source.recv(CHUNK)
        if not more:
            break
        received += more
    return received


def _is_part_of_head(received: bytes) -> bool:
    line, end, _ = received.partition(b"\n")
    begins = _FIRST_LINE.fullmatch(line) if end else line[:1].isupper()
    return bool(begins) and b"\r\n\r\n" not in received and len(received) < LONGEST_HEAD


def _closing(kind: re.Pattern[bytes], message: bytes) -> bytes:
    """The same message, saying that the connection ends after the answer."""
    head = kind.match(message)
    if head is None:
        return message
    kept = _CONNECTION.sub(b"", head[0]).removesuffix(b"\r\n")
    return kept + b"Connection: close\r\n\r\n" + message[head.end() :]


def _copy_single_answer(task: socket.socket, client: socket.socket) -> None:
    """Copy an answer. The client learns that it needs a new connection for its next request."""
    with contextlib.suppress(OSError):
        answer = _receive_head(task)
        while interim := _INTERIM.match(answer):
            client.sendall(interim[0])
            answer = _receive_head(task, answer[interim.end() :])
        client.sendall(_closing(_ANSWER, answer))
    _copy(task, client)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may disconnect at any time
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _answer(client: socket.socket, request: bytes, status: str, text: str) -> None:
    body = f"{text}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    client.sendall(head.encode() + (b"" if request.startswith(b"HEAD ") else body))
    # Read the rest of the request: closing with unread data resets the connection.
    client.settimeout(CONNECT_SECONDS)
    client.shutdown(socket.SHUT_WR)
    while client.recv(CHUNK):
        pass
