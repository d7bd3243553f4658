"""The servers on loopback send each part of an answer at once: TCP_NODELAY is set.

Otherwise the system keeps the body back until the client acknowledges the headers, and a client
does that 40 ms later. No test measures this time: each asks for the option of the server's socket.
"""

import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from moto import mock_aws

from infra.local.machines.forwarder import Forwarder, Group
from infra.local.machines.registry import Registry
from tests.support.served import served

REQUEST = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def task() -> Iterator[socket.socket]:
    """A listening socket, as a task of a service has it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


@pytest.fixture(params=["the API", "the registry"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The address of a server that keeps connections open."""
    from app import app

    with ExitStack() as stack:
        if request.param == "the API":
            url = urlsplit(stack.enter_context(served(app)))
            assert url.port is not None
            yield "127.0.0.1", url.port
        else:
            stack.enter_context(mock_aws())
            registry = Registry(tmp_path)
            registry.start()
            stack.callback(registry.stop)
            host, _, port = registry.host.partition(":")
            yield host, int(port)


def is_undelayed(peer: tuple[str, int]) -> bool:
    """Whether this process's socket that is connected to `peer` has TCP_NODELAY."""
    (found,) = (
        each
        for each in gc.get_objects()
        if isinstance(each, socket.socket)
        and each.fileno() >= 0
        and not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        and each.getpeername() == peer
    )
    return bool(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def test_a_server_does_not_wait_between_the_parts_of_an_answer(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(REQUEST)
        assert client.recv(1)
        assert is_undelayed(client.getsockname())


def test_the_address_of_a_service_passes_data_on_at_once(task: socket.socket) -> None:
    forwarder = Forwarder()
    forwarder.share({"": Group(100, [task.getsockname()])}, "no task")
    url = urlsplit(forwarder.url)
    try:
        with socket.create_connection(("127.0.0.1", url.port or 0), timeout=10) as client:
            client.sendall(REQUEST)
            connection, _ = task.accept()
            with connection:
                assert connection.recv(1)
                assert is_undelayed(client.getsockname())
                assert is_undelayed(connection.getsockname())
    finally:
        forwarder.stop()


def test_stopping_the_address_of_a_service_refuses_new_connections() -> None:
    forwarder = Forwarder()
    url = urlsplit(forwarder.url)
    forwarder.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", url.port or 0), timeout=10)
