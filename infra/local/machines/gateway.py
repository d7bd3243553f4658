"""The HTTP API on loopback: Chalice's local gateway with API Gateway's routes and error answers.

Chalice itself answers an unknown route with 403 and repeats the Authorization header in the answer.
It cuts the path at a semicolon, and answers OPTIONS and unknown methods of a route.
"""

import gzip
import json
import sys
import uuid
from contextlib import suppress
from functools import cache, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import (
    ChaliceRequestHandler,
    ForbiddenError,
    LocalChalice,
    LocalGateway,
    LocalGatewayException,
    RouteMatcher,
    ThreadedHTTPServer,
    create_local_server,
)

from infra.gateway_responses import HEADERS, refusal
from infra.local.aws import clock

# Amazon API Gateway quotas: the payload of a request.
MAX_BYTES = 10 * 1024 * 1024
_CONFIG = Path(__file__).parents[3] / ".chalice" / "config.json"


def listen(port: int) -> HTTPServer:
    """A listening server on loopback, without the app. Raises OSError or OverflowError."""
    return _Server(("127.0.0.1", port), _Handler)


def attach(server: HTTPServer, app: Chalice) -> None:
    """Make `server` serve `app`."""
    # Called once for its effect on the app: each thread then has a separate request.
    if not isinstance(app, LocalChalice):
        create_local_server(app, Config(), "127.0.0.1", 0).server.server_close()
    handler: Any = partial(_Handler, app_object=app, config=Config())
    server.RequestHandlerClass = handler


class _Server(ThreadedHTTPServer):
    request_queue_size = 128  # the default of 5 resets some of many simultaneous callers

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback if a client goes away: browsers do, when a page is left."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Gateway(LocalGateway):
    def handle_request(self, method: str, path: str, headers: Any, body: Any) -> Any:
        """Pass on only the methods that a route has: to API Gateway others are unknown routes."""
        before, mark, query = path.partition("?")
        whole = before.replace(";", "%3B") + mark + query
        routes = self._app_object.routes
        with suppress(ValueError):  # no route has this path
            if method not in routes[RouteMatcher(list(routes)).match_route(whole).route]:
                raise ForbiddenError({}, b"")
        return super().handle_request(method, whole, headers, body)


class _Handler(ChaliceRequestHandler):
    # TCP_NODELAY: the body would wait until the client acknowledges the headers, often 40 ms.
    disable_nagle_algorithm = True

    def __init__(self, *connection: Any, app_object: Chalice, config: Config) -> None:
        self.local_gateway = _Gateway(app_object, config)
        BaseHTTPRequestHandler.__init__(self, *connection)

    def _generic_handle(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True  # the body was not read
            return self._refuse(refusal)
        try:
            super()._generic_handle()
        except UnicodeError:
            self._refuse(HTTPStatus.BAD_REQUEST)

    do_GET = do_PUT = do_POST = do_DELETE = _generic_handle  # noqa: N815  # http.server's names
    do_HEAD = do_PATCH = do_OPTIONS = _generic_handle  # noqa: N815

    def __getattr__(self, name: str) -> Any:
        """Handle unknown HTTP methods too: they get the answer for a method that no route has."""
        if name.startswith("do_") and name.removeprefix("do_").isalpha():
            return self._generic_handle
        raise AttributeError(name)

    def _refusal(self) -> HTTPStatus | None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            return HTTPStatus.LENGTH_REQUIRED
        if not (length.isascii() and length.isdigit()):
            return HTTPStatus.BAD_REQUEST
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if int(length) > MAX_BYTES else None

    def _send_error_response(self, error: LocalGatewayException) -> None:
        """Answer an unknown route or a method that the route does not have."""
        unknown = error.CODE == HTTPStatus.FORBIDDEN
        self._refuse(HTTPStatus.NOT_FOUND if unknown else HTTPStatus(error.CODE))

    def send_error(self, code: int, *_: Any, **__: Any) -> None:
        """Answer errors of http.server: a broken request line, bad headers, unknown methods."""
        # Until it has read a version, http.server answers as HTTP/0.9: without status and headers.
        self.request_version = self.protocol_version
        self.close_connection = True
        self._refuse(HTTPStatus(code))

    def _refuse(self, status: HTTPStatus) -> None:
        request_id = str(uuid.uuid4())
        headers: dict[str, Any] = {**HEADERS, "X-Request-Id": request_id}
        document = json.dumps(refusal(status, request_id=request_id))
        self._send_http_response(status, headers, document)

    def _send_http_response(self, code: int, headers: Any, body: Any) -> None:
        """Send no body to HEAD and with 204 and 304 (RFC 9110, 6.4.1)."""
        if self.command != "HEAD" and code not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            super()._send_http_response(code, *self._compressed(headers, body))
            return
        self.send_response(code)
        self._send_headers(headers)

    def _compressed(self, headers: Any, body: Any) -> tuple[Any, Any]:
        """The headers and the body, compressed if API Gateway would compress it.

        "Enable payload compression for an API in API Gateway": a body of at least
        minimumCompressionSize bytes, if Accept-Encoding allows it.
        """
        content = body.encode() if isinstance(body, str) else body
        if not content or len(content) < _minimum_compression_size():
            return headers, body
        if "gzip" not in self.headers.get("Accept-Encoding", ""):
            return headers, body
        return {**headers, "Content-Encoding": "gzip"}, gzip.compress(content, mtime=0)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The header Date has the time of the embedded cloud, as API Gateway's has that of AWS."""
        return str(super().date_time_string(clock.now() if timestamp is None else timestamp))

    def log_message(self, *_: Any) -> None:
        """Log no requests: one line per request would hide the important lines."""


@cache
def _minimum_compression_size() -> int:
    return int(json.loads(_CONFIG.read_text())["minimum_compression_size"])
