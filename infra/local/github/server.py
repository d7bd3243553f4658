"""GitHub's REST API over HTTP: who may ask what, how often, and what is answered.

Behaves like api.github.com, version 2022-11-28, as docs.github.com/rest and GitHub's OpenAPI
description say. Comments name what only reports of other users show.
"""

import hashlib
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from infra.local.github.app_auth import NOT_DECODED, check_jwt
from infra.local.github.faults import Fault, Faults, Limit, Quota
from infra.local.github.refusals import DOCS, Refusal, not_found
from infra.local.github.routes import AS_APP, ROUTES, Answer, Call, Route
from infra.local.github.shapes import Json
from infra.local.github.state import ANONYMOUS, Repository, State, Token

API_VERSION = "2022-11-28"
# GitHub documents no limit for these routes. A client of this API needs far less.
MAX_BODY = 1 << 20
ACCEPTED = re.compile(r"(\*/\*|application/(\*|json|vnd\.github[a-z0-9.+-]*))", re.IGNORECASE)
# "User agent required": requests without one are rejected.
NO_USER_AGENT = (
    "\r\nRequest forbidden by administrative rules. "
    "Please make sure your request has a User-Agent header.\r\n"
)
Deliver = Callable[[Json, Json], int]


@dataclass
class Exchange:
    """A request and its answer. `status` is 0 until the answer, and if the connection was closed.

    `path` has the query. `headers` lack Authorization. `fault`: the answer is a fault on demand.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int = 0
    answer: str = ""
    answer_headers: dict[str, str] = field(default_factory=dict)
    fault: bool = False


class GitHub(State):
    """A GitHub with its state. `url` is the address of its API.

    `clock` returns seconds since the epoch. A redelivery of a webhook delivery calls `deliver` with
    the delivery's item and payload. It returns the HTTP status of the receiver. The default sends
    nothing and returns 200.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        clock: Callable[[], float] = time.time,
        deliver: Deliver = lambda _item, _payload: 200,
    ) -> None:
        self._server = _Server(("127.0.0.1", port), self)
        super().__init__(f"http://127.0.0.1:{self._server.server_port}", clock)
        self.faults = Faults()
        self.quota = Quota(clock)
        self.stopped = threading.Event()
        self.exchanges: list[Exchange] = []
        self._deliver = deliver
        self._threads = [
            threading.Thread(
                target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
            )
        ]

    def start(self) -> None:
        self._threads[0].start()

    def stop(self) -> None:
        """Hanging requests end, too."""
        self.stopped.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()

    def requests(self) -> list[Exchange]:
        """All exchanges, oldest first."""
        with self.lock:
            return list(self.exchanges)

    def fail(
        self,
        times: int,
        status: int | None = 500,
        *,
        after_effect: bool = False,
        match: str = "",
    ) -> None:
        """Fail the next requests whose method and path match. None closes the connection.

        `after_effect`: the request has its effect, and the answer is lost.
        """
        pattern = re.compile(match)
        self.faults.add(Fault(pattern, times, fails=True, status=status, after_effect=after_effect))

    def hang(self, seconds: float, match: str = "", *, times: int = 1) -> None:
        """Handle and answer the next matching requests late. `stop` closes their connections."""
        self.faults.add(Fault(re.compile(match), times, seconds=seconds))

    def limit(
        self,
        remaining: int,
        reset_at: float,
        *,
        secondary: bool = False,
        retry_after: int | None = None,
        status: int = 403,
    ) -> None:
        """Answer `remaining` more requests, then none until `reset_at`, in epoch seconds.

        GitHub uses 403 and 429. Only a secondary limit can have `retry_after`, in seconds.
        """
        with self.lock:
            self.quota.limit = Limit(remaining, reset_at, secondary, retry_after, status)

    def redeliver(self, item: Json, payload: Json) -> None:
        """Deliver again after the answer, as GitHub does."""

        def deliver() -> None:
            status = self._deliver(item, payload)
            self.add_delivery(
                item["event"],
                payload,
                status_code=status,
                action=item["action"],
                guid=item["guid"],
            )

        thread = threading.Thread(target=deliver, daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish_redeliveries(self) -> None:
        """Wait until the redeliveries that were asked for have their answers."""
        for thread in self._threads[1:]:
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], github: GitHub) -> None:
        super().__init__(address, _Handler)
        self.github = github

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback if a client goes away: clients do so after their timeout."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # TCP_NODELAY: the body would wait until the client acknowledges the headers, often 40 ms.
    disable_nagle_algorithm = True
    server_version = "GitHub.com"
    sys_version = ""
    server: _Server
    _too_long = False

    def do_GET(self) -> None:
        github = self.server.github
        headers = {
            name.lower(): value
            for name, value in self.headers.items()
            if name.lower() != "authorization"
        }
        self._content = self._body()
        text = self._content.decode(errors="replace")
        self._exchange = Exchange(self.command, self.path, headers, text)
        with github.lock:
            github.exchanges.append(self._exchange)
        fault = github.faults.take(f"{self.command} {self.path}")
        if fault and github.stopped.wait(fault.seconds):
            self.close_connection = True
            return
        if fault and fault.fails:
            if fault.after_effect:
                self._handled()
            self._fail(fault.status)
        else:
            self._respond(*self._handled())

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Log no requests: `GitHub.requests` has them."""

    def _body(self) -> bytes:
        """The body. The rest of a longer one is dropped: a client reads no answer before it."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            # An unread body would be parsed as the next request.
            self.close_connection = True
            return b""
        content = self.rfile.read(min(int(length), MAX_BODY))
        rest = int(length) - len(content)
        self._too_long = rest > 0
        while rest > 0 and (dropped := self.rfile.read(min(rest, MAX_BODY))):
            rest -= len(dropped)
        return content

    def _handled(self) -> tuple[int, dict[str, str], bytes]:
        """Let the request have its effect. Returns the status, headers and body of the answer."""
        if not self.headers.get("User-Agent"):
            return 403, {"Content-Type": "text/html"}, NO_USER_AGENT.encode()
        github = self.server.github
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": API_VERSION,
        }
        with github.lock:
            # Whose rate limit counts. Empty without a token, None before it is known.
            self._caller: str | None = None
            self._route: Route | None = None
            try:
                answer = self._answer()
            except Refusal as refusal:
                document = self._route.document if self._route else DOCS
                answer = Answer(refusal.body(document), refusal.status, dict(refusal.headers))
            content = json.dumps(answer.body).encode()
            unchanged = answer.status == 200 and self._unchanged(content, headers)
            if unchanged:
                answer.status, content = 304, b""
            # "Best practices for using the REST API": an authorized request with 304 is free.
            if self._caller is not None and not (unchanged and self._caller):
                github.quota.charge(self._caller)
            headers |= github.quota.headers(self._caller or "")
        if self._route and self._route.needs != AS_APP:
            headers["X-Accepted-GitHub-Permissions"] = self._route.needs
        return answer.status, headers | answer.headers, content

    def _unchanged(self, content: bytes, headers: dict[str, str]) -> bool:
        """Set the ETag, and compare it with the client's.

        An ETag is valid for one token only, which users reported to github/docs. So the first
        request with a new installation token is never answered by 304.
        """
        authorization = self.headers.get("Authorization", "").encode()
        etag = hashlib.sha256(authorization + content).hexdigest()
        headers["ETag"] = f'W/"{etag}"'
        headers["Cache-Control"] = "private, max-age=60, s-maxage=60"
        return etag in self.headers.get("If-None-Match", "")

    def _answer(self) -> Answer:
        url = urlsplit(self.path)
        self._check_headers()
        match = self._find_route(url.path)
        route, github = self._route, self.server.github
        if match is None or route is None:
            raise not_found()
        values = {name: unquote(value) for name, value in match.groupdict().items()}
        by = self._signed_in(route)
        github.quota.check(self._caller or "")
        repository = self._visible(values, by, route) if "repo" in values else None
        body = self._json() if self.command != "GET" else {}
        route.check_body(body)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return route.view(
            Call(github, url.path, values, query, body, by, repository, github.redeliver)
        )

    def _find_route(self, path: str) -> re.Match[str] | None:
        for route in ROUTES:
            if route.method == self.command and (match := route.path.fullmatch(path)):
                self._route = route
                return match
        return None

    def _check_headers(self) -> None:
        """REST API, "Getting started" and "API Versions". The messages are not documented."""
        if self.headers.get("X-GitHub-Api-Version", API_VERSION) != API_VERSION:
            raise Refusal(400, f"This server has version {API_VERSION} only.")
        accept = self.headers.get("Accept", "*/*")
        if not ACCEPTED.search(accept):
            message = f"Unsupported 'Accept' header: '{accept}'. Must accept 'application/json'."
            raise Refusal(415, message)

    def _signed_in(self, route: Route) -> Token:
        """Who asks. Raises Refusal for a wrong token, and for a missing one where it is needed."""
        github = self.server.github
        scheme, _, secret = self.headers.get("Authorization", "").partition(" ")
        if route.needs == AS_APP:
            if scheme.lower() != "bearer":
                raise Refusal(401, NOT_DECODED, document=DOCS)
            check_jwt(secret, github.app, github.clock())
            self._caller = "app"
            return ANONYMOUS
        if not scheme:
            self._caller = ""
            return ANONYMOUS
        token = github.token(secret) if scheme.lower() in ("bearer", "token") else None
        if token is None:
            raise Refusal(401, "Bad credentials", document=DOCS)
        by_app = f"installation ID {token.installation}"
        self._caller = by_app if token.installation else f"user {token.login}"
        return token

    def _visible(self, values: Mapping[str, str], by: Token, route: Route) -> Repository:
        """The repository. Raises Refusal if the caller cannot see it or lacks the permission.

        REST API, "404 Not Found for an existing resource" and "Resource not accessible".
        """
        repository = self.server.github.repository(f"{values['owner']}/{values['repo']}")
        if route.needs == AS_APP:
            return repository
        if not by.sees(repository):
            raise not_found()
        if by.may(repository, route.needs):
            return repository
        if not by.login:
            raise Refusal(401, "Requires authentication")
        kind = "integration" if by.installation else "personal access token"
        raise Refusal(403, f"Resource not accessible by {kind}")

    def _json(self) -> Json:
        """REST API, "Invalid request body". GitHub reads JSON, whatever the Content-Type says."""
        if "Transfer-Encoding" in self.headers:
            raise Refusal(411, "The body needs a Content-Length.")
        if self._too_long:
            raise Refusal(413, "The body is too long.")
        value = None
        with suppress(ValueError, RecursionError):
            value = json.loads(self._content or b"{}")
        if value is None:
            raise Refusal(400, "Problems parsing JSON")
        if not isinstance(value, dict):
            raise Refusal(400, "Body should be a JSON object")
        return value

    def _fail(self, status: int | None) -> None:
        """GitHub's 5xx are web pages, not JSON."""
        self._exchange.fault = True
        self.close_connection = True
        if status is not None:
            page = b"<!DOCTYPE html><title>Unicorn! &middot; GitHub</title>"
            self._respond(status, {"Content-Type": "text/html", "Connection": "close"}, page)

    def _respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        length = {} if status == 304 else {"Content-Length": str(len(body))}
        headers = {**headers, **length, "X-GitHub-Request-Id": uuid.uuid4().hex}
        self._exchange.answer, self._exchange.answer_headers = body.decode(), headers
        self._exchange.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection and "Connection" not in headers:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
