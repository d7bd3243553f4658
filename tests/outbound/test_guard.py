"""Receivers are public: no URL of a channel reaches what only AWS or this machine can reach."""

import socket
from typing import Any

import pytest

from chalicelib.errors import Unavailable
from chalicelib.outbound.guard import place_of

ALLOWED = {"hooks.slack.com", "*.logic.azure.com", "127.0.0.1:8123", "localhost"}


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The addresses of hosts; others are not known."""
    known: dict[str, list[str]] = {"hooks.slack.com": ["52.1.2.3"]}

    def getaddrinfo(host: str, *_: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror("not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def test_a_public_host_is_called_at_the_address_that_was_checked(
    resolve: dict[str, list[str]],
) -> None:
    place = place_of("https://Hooks.Slack.com/services/T/B?x=1", ALLOWED, receiver="it")
    assert (place.scheme, place.host, place.address) == ("https", "hooks.slack.com", "52.1.2.3")
    assert (place.port, place.path) == (443, "/services/T/B?x=1")


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.9",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - it is a value to refuse
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
    ],
)
def test_a_host_with_an_address_that_is_not_public_is_refused(
    resolve: dict[str, list[str]], address: str
) -> None:
    resolve["hooks.slack.com"] = ["52.1.2.3", address]
    with pytest.raises(Unavailable, match="not public"):
        place_of("https://hooks.slack.com/x", ALLOWED, receiver="it")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.slack.com/x", "must begin with https"),
        ("https://evil.example/x", "host evil.example is not allowed"),
        ("https://hooks.slack.com.evil.example/x", "is not allowed"),
        ("https://evil-hooks.slack.com/x", "is not allowed"),
        ("https://logic.azure.com/x", "is not allowed"),
        ("https://xlogic.azure.com/x", "is not allowed"),
        ("https://prod.logic.azure.com/x", "is not known"),
        ("https://user:pass@hooks.slack.com/x", "is not a URL"),
        ("https://hooks.slack.com@evil.example/", "is not a URL"),
        ("https://hooks.slack.com:99999/x", "is not a URL"),
        ("https://[::1]/x", "is not allowed"),
        ("https://0x7f000001/x", "is not allowed"),
        ("http://127.0.0.1:9999/x", "must begin with https"),
        ("https://127.0.0.1/x", "is not allowed"),
        ("http://localhost:8123/x", "must begin with https"),
        ("https://hooks.slack.com/\n", "is not a URL"),
        ("https://hooks.slack.com/ä", "is not a URL"),
        ("file:///etc/passwd", "is not a URL"),
        ("", "is not a URL"),
    ],
)
def test_other_urls_are_refused_and_not_repeated(
    resolve: dict[str, list[str]], url: str, why: str
) -> None:
    with pytest.raises(Unavailable, match=why) as refused:
        place_of(url, ALLOWED, receiver="it")
    assert "/x" not in refused.value.detail


def test_plain_http_is_only_for_a_port_of_this_machine_that_is_allowed() -> None:
    place = place_of("http://127.0.0.1:8123/hook", ALLOWED, receiver="it")
    assert (place.scheme, place.address, place.port) == ("http", "127.0.0.1", 8123)


@pytest.mark.parametrize("host", ["a..logic.azure.com", f"{'a' * 64}.logic.azure.com"])
def test_a_host_that_no_name_server_can_know_is_refused(host: str) -> None:
    with pytest.raises(Unavailable, match="is not known"):
        place_of(f"https://{host}/x", ALLOWED, receiver="it")
