"""Connections whose answers must arrive in time as a whole.

A time-out of a socket bounds only the wait for the next byte: a receiver could send its headers
byte by byte for hours.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Timer

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse


@contextmanager
def ending(shutdown: Callable[[], None], *, after: float) -> Iterator[None]:
    """End a connection by its `shutdown` if the block takes longer than `after` seconds.

    To the block this may look like the regular end of the answer: it compares the time itself.
    """

    def end() -> None:
        with suppress(OSError, RuntimeError):  # it has ended just now
            shutdown()

    timer = Timer(max(after, 0), end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Connection(HTTPConnection):
    """Ends when the headers of an answer take longer than the connection's time-out."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        with ending(partial(self.sock.shutdown, socket.SHUT_RDWR), after=self.timeout or 0):
            return super().getresponse()


class _SecureConnection(_Connection, HTTPSConnection):
    """The same with TLS."""


class Pool(HTTPConnectionPool):
    """A pool of such connections."""

    ConnectionCls = _Connection


class SecurePool(HTTPSConnectionPool):
    """A pool of such connections with TLS."""

    ConnectionCls = _SecureConnection
