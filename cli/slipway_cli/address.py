"""The address of Slipway's API."""

import ipaddress
from urllib.parse import urlsplit

from slipway_cli.errors import WrongUsage


def read_address(text: str, *, insecure_http: bool = False) -> str:
    """The base URL in `text`, without a `/v1` at its end. It may have a path, as API Gateway's has.

    Raises WrongUsage for another text, and for http to another machine unless that is allowed.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as sockets do it
    except ValueError:
        raise _no_address("it cannot be read") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise _no_address("it must begin with https:// and a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise _no_address("it has no user, no ? and no #")
    if not (parts.geturl().isascii() and parts.geturl().isprintable() and " " not in parts.path):
        raise _no_address("it must be ASCII without spaces")
    if parts.scheme == "http" and not (is_loopback(host) or insecure_http):
        raise WrongUsage(
            f"http://{host} would send the token unprotected. Use https, or in a network that you "
            "trust: slipway --insecure-http COMMAND",
            code="insecure_http",
        )
    shown = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{path}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _no_address(why: str) -> WrongUsage:
    return WrongUsage(
        f"This is no address of Slipway: {why}. Example: https://slipway.example.com/api",
        code="wrong_address",
    )
