"""One request to a receiver: bounded in time and size, and without redirects."""

import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from urllib3 import HTTPConnectionPool, PoolManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from chalicelib.domain.failures import one_line
from chalicelib.domain.log_text import clean_text
from chalicelib.errors import Rejected, Unavailable
from chalicelib.known_secrets import known_secrets
from chalicelib.outbound.connections import Pool, SecurePool, ending

# Its debug lines have the paths of URLs, which are secret.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

# A receiver must have answered by then. The function lives 30 seconds, and one telling may make
# several requests.
SECONDS = 6.0
_MOST_BYTES = 1_000_000
_LONGEST_WAIT = 6 * 60 * 60
_BUSY = {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class Later(Unavailable):
    """The receiver asks to be told later, after so many `seconds`."""

    def __init__(self, detail: str, seconds: int) -> None:
        super().__init__(detail, code="receiver_busy")
        self.seconds = seconds


class Refused(Unavailable):
    """The receiver has answered with a `status` that is no success."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class Answer(msgspec.Struct, frozen=True):
    """An answer with a status below 300, or 304. `body` is decoded JSON, or None.

    `link` is the header Link, which names the next page of a list.
    """

    status: int
    body: Any
    etag: str = ""
    link: str = ""


def send(
    receiver: str,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: Any = None,
    now: float,
    most_bytes: int = _MOST_BYTES,
) -> Answer:
    """Send a JSON body to a URL of the installation's settings.

    `receiver` is what error texts call the receiver: never a URL, which may be secret. Raises Later
    if the receiver says when to try again, Rejected for a message that it will never take (status
    422), and Unavailable for any other failure, also one that a person must mend.
    """
    content = None if body is None else json.dumps(body).encode()
    return exchange(
        receiver,
        _pool(),
        method,
        url,
        headers=headers,
        content=content,
        now=now,
        most_bytes=most_bytes,
    )


def exchange(
    receiver: str,
    pool: PoolManager | HTTPConnectionPool,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes | None,
    now: float,
    most_bytes: int = _MOST_BYTES,
) -> Answer:
    """Like `send`, with the bytes of a body, through a pool of connections."""
    ends_at = time.monotonic() + SECONDS
    try:
        answer = pool.urlopen(
            method,
            url,
            body=content,
            headers={"User-Agent": "Slipway", "Content-Type": "application/json", **headers},
            timeout=Timeout(total=SECONDS),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            text = _read(answer, ends_at, most_bytes)
        finally:
            answer.close()
    except (HTTPError, OSError, ValueError) as error:
        # Only the name of the error is shown: its text may contain the URL.
        is_late = time.monotonic() > ends_at
        why = f"within {SECONDS:g} seconds" if is_late else f"({type(error).__name__})"
        raise Unavailable(f"{receiver} does not answer {why}") from error
    if answer.status < HTTPStatus.MULTIPLE_CHOICES or answer.status == HTTPStatus.NOT_MODIFIED:
        headers = answer.headers
        etag, link = headers.get("ETag", ""), headers.get("Link", "")
        return Answer(answer.status, _decoded(text), etag, link)
    raise _refusal(receiver, answer.status, answer.headers, _decoded(text), now)


def _read(answer: BaseHTTPResponse, ends_at: float, most_bytes: int) -> bytes:
    """The body. Time-outs of sockets do not bound an answer that comes byte by byte."""
    text = b""
    with ending(answer.shutdown, after=ends_at - time.monotonic()):
        while len(text) <= most_bytes and (chunk := answer.read1(65536)):
            text += chunk
    # The end of a connection may look like the end of the headers, or of the body.
    if len(text) > most_bytes or time.monotonic() > ends_at:
        raise OSError("the answer is too long")
    return text


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _refusal(
    receiver: str, status: int, headers: Mapping[str, str], body: Any, now: float
) -> Exception:
    said = body.get("message") if isinstance(body, dict) else None
    # It may repeat what it was sent: the token, or its own URL.
    shown = (
        f": {one_line(clean_text(said, known_secrets()))[:200]}" if isinstance(said, str) else ""
    )
    detail = f"{receiver} answered {status}{shown}"
    wait = _wait(headers, now) if status in _BUSY else None
    if wait is not None:
        return Later(detail, min(max(wait, 1), _LONGEST_WAIT))
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return Rejected(detail)
    return Refused(detail, status)


def _wait(headers: Mapping[str, str], now: float) -> int | None:
    """The seconds until the receiver takes requests again, if it says so.

    Retry-After is in seconds, or a date (RFC 9110, section 10.2.3). GitHub: "Best practices for
    using the REST API", "Handle rate limit errors appropriately".
    """
    after = headers.get("Retry-After", "")
    if after.isascii() and after.isdigit():
        return int(after[:9])
    with suppress(ValueError, OverflowError):  # it is no date
        return int(parsedate_to_datetime(after).timestamp() - now)
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and reset.isascii() and reset.isdigit():
        return int(int(reset[:12]) - now)
    return None


@cache
def _pool() -> PoolManager:
    pools = PoolManager(num_pools=4, maxsize=2)
    pools.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
    return pools
