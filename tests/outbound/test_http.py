"""A receiver has six seconds in all."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from chalicelib.errors import Unavailable
from chalicelib.outbound import http
from chalicelib.outbound.connections import Pool

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC).timestamp()
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
    try:
        with Pool("127.0.0.1", server.getsockname()[1]) as pool:
            yield pool
    finally:
        thread.join(10)
        server.close()
    assert not thread.is_alive()


def ask(pool: Pool) -> http.Answer:
    return http.exchange("it", pool, "POST", "/", headers={}, content=b"{}", now=NOW)


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


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("600", 600),
        ("0", 1),
        ("99999999999999999999", 6 * 60 * 60),
        ("Sat, 28 Nov 2026 10:10:00 GMT", 600),
        ("Sat, 28 Nov 2026 09:00:00 GMT", 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 6 * 60 * 60),
    ],
)
def test_a_receiver_says_when_by_seconds_or_by_a_date(after: str, seconds: int) -> None:
    with answering(busy(after)) as pool, pytest.raises(http.Later) as later:
        ask(pool)
    assert later.value.seconds == seconds


@pytest.mark.parametrize(
    "after", ["-5", "1e9", "soon", "Sat, 99 Foo 2026", "1 Jan 99999999999 0:0:0 GMT"]
)
def test_a_time_that_nobody_understands_is_ignored(after: str) -> None:
    with answering(busy(after)) as pool, pytest.raises(Unavailable) as refused:
        ask(pool)
    assert not isinstance(refused.value, http.Later)


def busy(after: str) -> Script:
    head = f"HTTP/1.1 429 Busy\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n"
    return lambda connection: connection.sendall(head.encode())
