"""A POST to the URL of a webhook that a person has stored, by way of `guard`."""

from collections.abc import Mapping

from chalicelib import clock
from chalicelib.outbound.connections import Pool, SecurePool
from chalicelib.outbound.guard import place_of
from chalicelib.outbound.http import exchange
from chalicelib.settings import settings


def post(receiver: str, url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Send a JSON body. The connection goes to the address that was checked.

    Raises Later, Rejected and Unavailable like `outbound.http.send`.
    """
    place = place_of(url, settings().receiver_hosts, receiver=receiver)
    pool: Pool | SecurePool
    if place.scheme == "https":
        pool = SecurePool(
            place.address, place.port, server_hostname=place.host, assert_hostname=place.host
        )
    else:
        pool = Pool(place.address, place.port)
    shown = place.host if place.port in {80, 443} else f"{place.host}:{place.port}"
    with pool:
        exchange(
            receiver,
            pool,
            "POST",
            place.path,
            headers={**headers, "Host": shown},
            content=body,
            now=clock.now(),
        )
