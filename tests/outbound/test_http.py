"""A receiver has six seconds in all."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from chalicelib.errors import Unavailable
from chalicelib.outbound import http
from chalicelib.outbound.connections import Pool

Script = Callable[[socket.socket], None]


@contextmanager
def answering(script: Script) -> Iterator[Pool]:
    """A server that reads a request and then writes what `script` writes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            with suppress(OSError):  # the caller has gone
                script(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with Pool("127.0.0.1", server.getsockname()[1]) as pool:
        yield pool
    thread.join(10)
    server.close()
    assert not thread.is_alive()


def ask(pool: Pool) -> http.Answer:
    return http.exchange("it", pool, "POST", "/", headers={}, content=b"{}", now=0)


def drip(before: bytes, each: bytes) -> Script:
    """Writes `before` and then `each` again and again, for three seconds."""

    def script(connection: socket.socket) -> None:
        connection.sendall(before)
        for _ in range(60):
            connection.sendall(each)
            time.sleep(0.05)

    return script


@pytest.mark.parametrize(
    ("before", "each"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
    ],
    ids=["status", "headers", "header", "chunk", "body"],
)
def test_an_answer_that_comes_byte_by_byte_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, before: bytes, each: bytes
) -> None:
    monkeypatch.setattr(http, "SECONDS", 0.3)
    with answering(drip(before, each)) as pool:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="it does not answer"):
            ask(pool)
        assert time.monotonic() - begun < 1
