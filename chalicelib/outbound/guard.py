"""Which receivers may be called: https to public addresses of allowed hosts.

The address of a receiver is a secret that a person has stored, and may name any host. A call from
inside AWS could reach what the internet cannot.
"""

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

import msgspec

from chalicelib.errors import Unavailable

# An entry of the allowed hosts that permits plain http: a receiver on this machine.
_LOOPBACK = "127.0.0.1"


class Place(msgspec.Struct, frozen=True):
    """Where to connect: a checked `address`, so that no later look-up can change it."""

    scheme: str
    host: str
    address: str
    port: int
    path: str


def place_of(url: str, allowed: Collection[str], *, receiver: str) -> Place:
    """The place that a URL names. Raises Unavailable, which never contains the URL."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port, parts = "", None, SplitResult("", "", "", "", "")
    if not host or parts.username is not None or not url.isascii() or not url.isprintable():
        raise Unavailable(f"the secret of {receiver} is not a URL")
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    if host == _LOOPBACK and f"{host}:{port}" in allowed and port is not None:
        return Place("http", host, host, port, path)
    if parts.scheme != "https":
        raise Unavailable(f"the URL of {receiver} must begin with https://")
    if not any(_matches(host, each) for each in allowed):
        raise Unavailable(
            f"the host {host} is not allowed to receive messages; the parameter ReceiverHosts "
            "names those that are"
        )
    return Place("https", host, _public_address(host, receiver), port or 443, path)


def _matches(host: str, allowed: str) -> bool:
    """Whether a host is an allowed one; `*.example.com` allows each host below example.com."""
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed


def _public_address(host: str, receiver: str) -> str:
    """An IPv4 address of the host. All of them must be public.

    IPv6 is not used: some of its ranges lead to private IPv4 addresses.
    """
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # a label is empty or too long
        raise Unavailable(f"the host {host} of {receiver} is not known") from error
    addresses = sorted({str(entry[4][0]) for entry in found})
    if not all(_is_public(address) for address in addresses):
        raise Unavailable(f"the host {host} of {receiver} has an address that is not public")
    return addresses[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_global and not parsed.is_multicast
