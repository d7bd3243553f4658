"""The HTTP API on loopback: Chalice's local gateway, refusing as API Gateway does for us on AWS.

Chalice's own answers an unknown route with 403 and repeats the Authorization header in it.
"""

import json
import uuid
from functools import partial
from http import HTTPStatus
from http.server import HTTPServer
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import (
    ChaliceRequestHandler,
    LocalChalice,
    LocalGatewayException,
    ThreadedHTTPServer,
    create_local_server,
)

from infra.gateway_responses import HEADERS, refusal

# Amazon API Gateway quotas: the payload of a request.
MAX_BYTES = 10 * 1024 * 1024


def listen(port: int) -> HTTPServer:
    """A server on loopback that answers nothing yet; raises OSError or OverflowError."""
    return _Server(("127.0.0.1", port), _Handler)


def attach(server: HTTPServer, app: Chalice) -> None:
    """Have `server` answer as `app`, once it serves."""
    # For what this does to the app, once: each thread then has a request of its own.
    if not isinstance(app, LocalChalice):
        create_local_server(app, Config(), "127.0.0.1", 0).server.server_close()
    handler: Any = partial(_Handler, app_object=app, config=Config())
    server.RequestHandlerClass = handler


class _Server(ThreadedHTTPServer):
    request_queue_size = 128  # of five, some of many callers at once would be reset


class _Handler(ChaliceRequestHandler):
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
        """A method of any other name is one that no route has, and answered as such."""
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
        """An unknown route, or a method that it does not have."""
        unknown = error.CODE == HTTPStatus.FORBIDDEN
        self._refuse(HTTPStatus.NOT_FOUND if unknown else HTTPStatus(error.CODE))

    def send_error(self, code: int, *_: Any, **__: Any) -> None:
        """What http.server refuses by itself: a broken request line, headers, unknown methods."""
        # Before it has read a version it would answer as HTTP/0.9 did, without status and headers.
        self.request_version = self.protocol_version
        self.close_connection = True
        self._refuse(HTTPStatus(code))

    def _refuse(self, status: HTTPStatus) -> None:
        request_id = str(uuid.uuid4())
        headers: dict[str, Any] = {**HEADERS, "X-Request-Id": request_id}
        document = json.dumps(refusal(status, request_id=request_id))
        self._send_http_response(status, headers, document)

    def _send_http_response(self, code: int, headers: Any, body: Any) -> None:
        """Without a body where HTTP has none: to HEAD, with 204 and 304 (RFC 9110, 6.4.1)."""
        if self.command != "HEAD" and code not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            super()._send_http_response(code, headers, body)
            return
        self.send_response(code)
        self._send_headers(headers)

    def log_message(self, *_: Any) -> None:
        """One line a request would drown what matters."""
