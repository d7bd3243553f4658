"""The HTTP API on loopback: Chalice's local gateway, with refusals as they are meant to be on AWS.

Chalice's own answers an unknown route with 403 and repeats the Authorization header in it.
"""

import json
from functools import partial
from http import HTTPStatus
from http.server import HTTPServer
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import (
    ChaliceRequestHandler,
    LocalGatewayException,
    create_local_server,
)

# Amazon API Gateway quotas: the payload of a request.
MAX_BYTES = 10 * 1024 * 1024


def create_gateway(app: Chalice, port: int) -> HTTPServer:
    """A server of `app` on loopback, listening but not serving yet; raises OSError."""
    server: HTTPServer = create_local_server(app, Config(), "127.0.0.1", port).server
    handler: Any = partial(_Handler, app_object=app, config=Config())
    server.RequestHandlerClass = handler
    return server


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

    def _refuse(self, status: HTTPStatus) -> None:
        document = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": "GET /v1/openapi.json lists every route"
            if status is HTTPStatus.NOT_FOUND
            else status.description,
            "code": status.name.lower(),
            "instance": "",
        }
        headers: dict[str, Any] = {"Content-Type": "application/problem+json"}
        self._send_http_response(status, headers, json.dumps(document))

    def log_message(self, *_: Any) -> None:
        """One line a request would drown what matters."""
