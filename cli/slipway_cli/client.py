"""The HTTP API: one call, repeated safely while Slipway does not answer.

Every request that changes something carries an Idempotency-Key, which its repeats keep: Slipway
does the work once, also if an answer was lost.
"""

import json
import random
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from slipway_cli import VERSION
from slipway_cli.address import is_loopback
from slipway_cli.errors import Failed, Failure, NoAccess, NoAnswer, WrongUsage
from slipway_cli.text import one_line

TRIES = 4
TIMEOUT = 30  # seconds; API Gateway answers after at most 29
MAX_BYTES = 32 * 1024 * 1024
_LONGEST_PAUSE = 30.0
_BUSY = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Answer:
    """An answer: its status, headers and parsed body, which is None if it is no JSON."""

    status: int
    headers: Message
    body: Any

    @property
    def retry_after(self) -> float | None:
        """The seconds of Retry-After, at most 30; None without this header."""
        value = self.headers.get("Retry-After", "")
        return min(float(value), _LONGEST_PAUSE) if value.isascii() and value.isdigit() else None

    @property
    def at(self) -> float:
        """When the server answered, by its own clock, in seconds since 1970."""
        try:
            return parsedate_to_datetime(self.headers.get("Date", "")).timestamp()
        except (TypeError, ValueError):
            return time.time()


class _NoRedirects(HTTPRedirectHandler):
    """Follow no redirect: the token goes only to the address that the user chose."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass
class Client:
    """An address of Slipway with a token. `sleep` and `notice` are replaced in tests."""

    url: str
    token: str = field(repr=False)
    sleep: Callable[[float], None] = time.sleep
    notice: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self._opener = _opener(self.url)
        self._noticed = ""

    def get(self, path: str, **query: Any) -> Any:
        """The body of a resource."""
        return self.read(path, **query).body

    def read(self, path: str, **query: Any) -> Answer:
        """A resource with its headers."""
        return self._call(self._request("GET", path, query, None, {}))

    def post(self, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """The answer to an accepted request."""
        return self._change("POST", path, body, query)

    def patch(self, path: str, body: Mapping[str, Any], **query: Any) -> Any:
        """The answer to an accepted change."""
        return self._change("PATCH", path, body, query)

    def delete(self, path: str) -> None:
        """Delete a resource."""
        self._change("DELETE", path, None, {})

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, newest first, read page by page."""
        cursor = None
        while True:
            page = self.get(path, **query, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _change(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, Any]
    ) -> Any:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self._call(self._request(method, path, query, body, key)).body

    def _call(self, request: Request) -> Answer:
        """Raises NoAnswer after the last try, and other Failures for other refusals."""
        is_change = request.get_method() != "GET"
        uncertain = False
        for tried in range(1, TRIES + 1):
            try:
                answer = _send(self._opener, request)
            except NoAnswer as error:
                uncertain = is_change
                if tried == TRIES:
                    error.uncertain = uncertain
                    raise
                self._pause(str(error), None, tried)
                continue
            if answer.status < 300 and answer.body is not None:
                self._noticed = ""
                return answer
            # A later refusal says nothing about a try before it that may have had an effect.
            uncertain |= is_change and _may_have_effect(answer)
            if tried == TRIES or not _may_repeat(answer):
                failure = refusal(answer, self.url)
                failure.uncertain = uncertain
                raise failure
            self._pause(f"Slipway is busy ({answer.status})", answer.retry_after, tried)
        raise AssertionError("unreachable")

    def _pause(self, why: str, asked: float | None, tried: int) -> None:
        """Wait before the next try: as long as Slipway asks, and a random part more."""
        seconds = 0.5 * 2 ** (tried - 1) if asked is None else asked
        if why != self._noticed:
            self.notice(f"{why}; trying again")
        self._noticed = why
        self.sleep(seconds + random.uniform(0, 0.25 + seconds / 4))

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> Request:
        given = {name: _word(value) for name, value in query.items() if value is not None}
        request = Request(
            f"{self.url}{path}{'?' if given else ''}{urlencode(given)}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/json",
                "User-Agent": f"slipway-cli/{VERSION}",
                **({} if body is None else {"Content-Type": "application/json"}),
                **headers,
            },
        )
        request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        return request


def refusal(answer: Answer, url: str) -> Failure:
    """The error for an answer that is not a success.

    Only a document with a code and a detail is Slipway's. API Gateway and proxies have others.
    """
    problem = answer.body if isinstance(answer.body, dict) else {}
    is_own = all(isinstance(problem.get(name), str) for name in ("code", "detail"))
    code = one_line(problem["code"], 100) if is_own else f"http_{answer.status}"
    detail = (one_line(problem["detail"]) or code) if is_own else f"status {answer.status}"
    if answer.status in range(300, 400):
        to = one_line(answer.headers.get("Location", "another address"))
        return NoAccess(
            f"{url} redirects to {to}. Log in there if you trust it.", code="redirected"
        )
    if answer.status in _BUSY:
        return NoAnswer(f"Slipway cannot answer now: {detail}", code=code)
    if not is_own:
        said = f": {one_line(problem['message'], 100)}" if problem.get("message") else ""
        return NoAccess(
            f"{url} does not answer as Slipway does (status {answer.status}{said}). "
            "Check the address (with its stage, such as https://host/api).",
            code="not_slipway",
        )
    if answer.status == 401:
        return NoAccess(
            f"{url} does not accept the token ({detail}). It may have expired: slipway login {url}",
            code=code,
        )
    if answer.status == 403:
        return NoAccess(f"Not allowed: {detail}", code=code)
    where = f" (field {one_line(problem['field'])})" if problem.get("field") else ""
    wrong = answer.status in {400, 404, 413, 415}
    return (WrongUsage if wrong else Failed)(f"{detail}{where}", code=code)


def path_of(*parts: object) -> str:
    """A path of the API from its parts, each escaped."""
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)


def _may_repeat(answer: Answer) -> bool:
    """Whether the same request may succeed later. A 409 with Retry-After had no effect."""
    return answer.status in _BUSY or (answer.status == 409 and answer.retry_after is not None)


def _may_have_effect(answer: Answer) -> bool:
    """Whether a request with this answer may have been accepted: its answer was lost on the way."""
    return answer.status < 300 or answer.status in _BUSY - {429}


def _opener(url: str) -> OpenerDirector:
    parts = urlsplit(url)
    handlers: list[BaseHandler] = [_NoRedirects()]
    # Reading the system's certificates takes 17 ms.
    if parts.scheme == "https":
        handlers.append(HTTPSHandler(context=ssl.create_default_context()))
    # A proxy must not receive what is sent to this machine.
    if is_loopback(parts.hostname or ""):
        handlers.append(ProxyHandler({}))
    return build_opener(*handlers)


def _send(opener: OpenerDirector, request: Request) -> Answer:
    """Raises NoAnswer, and NoAccess for an answer that no Slipway gives."""
    host = urlsplit(request.full_url).netloc
    try:
        try:
            response = opener.open(request, timeout=TIMEOUT)
        except HTTPError as error:
            response = error
        with response:
            return _parsed(response.status, response.headers, _content(response))
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(host, error) from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _untrusted(host, error.reason) from error
        raise _no_answer(host, error.reason) from error
    except IncompleteRead as error:
        raise _no_answer(host, "the connection ended in the middle of the answer") from error
    except (OSError, HTTPException) as error:
        raise _no_answer(host, error) from error


def _content(response: Any) -> bytes:
    """The body of an answer; raises IncompleteRead. `read` with a limit does not raise it."""
    content: bytes = response.read(MAX_BYTES + 1)
    if response.length and len(content) <= MAX_BYTES:
        raise IncompleteRead(content, response.length)
    return content


def _parsed(status: int, headers: Message, content: bytes) -> Answer:
    if status == 204:  # it has no content
        return Answer(status, headers, {})
    try:
        body = json.loads(content) if len(content) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        body = None
    return Answer(status, headers, body)


def _no_answer(host: str, reason: object) -> NoAnswer:
    words = getattr(reason, "strerror", None) or reason or type(reason).__name__
    return NoAnswer(f"{host} does not answer: {one_line(words)}", code="not_reachable")


def _untrusted(host: str, error: ssl.SSLCertVerificationError) -> NoAccess:
    return NoAccess(
        f"The certificate of {host} is not valid: {one_line(error.verify_message)}",
        code="certificate_not_valid",
    )


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
