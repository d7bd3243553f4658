"""Every response gets the common headers and a log line; every error is a problem document."""

import logging
from collections.abc import Callable

from chalice.app import Request, Response

from chalicelib import correlation
from chalicelib.api.http.answers import HEADERS
from chalicelib.api.http.problems import plain_problem
from chalicelib.api.http.requests import request_id

logger = logging.getLogger("slipway")


def complete(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """HTTP middleware: add the headers, and turn Chalice's own errors into problem documents."""
    name = request_id(request)
    with correlation.working_on(request_id=name):
        response = get_response(request)
        _log(request, response.status_code)
    if response.status_code >= 400 and not isinstance(response.body, str):
        refusal = plain_problem(
            response.status_code, detail=str(response.body.get("Message", "")), request_id=name
        )
        refusal.headers.update(response.headers)
        refusal.headers["Content-Type"] = "application/problem+json"
        response = refusal
    response.headers["X-Request-Id"] = name
    response.headers = {**HEADERS, **response.headers}
    return response


def _log(request: Request, status: int) -> None:
    """Log changes and errors. Clients that poll would fill the log with successful reads.

    The path is that of the route, with variables for ids, so no input of a caller is logged.
    """
    if request.method != "GET" or status >= 400:
        level = logging.WARNING if status >= 500 else logging.INFO
        logger.log(level, "%s %s: %d", request.method, request.path, status)
