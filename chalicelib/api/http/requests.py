"""A request's id, its source address and the root path of the API."""

import re
from typing import Any
from urllib.parse import quote

from chalice.app import Request

from chalicelib.domain.regex import regex

_REQUEST_ID = regex(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def request_id(request: Request) -> str:
    """The caller's X-Request-Id if it is well formed, else Lambda's request id."""
    sent = request.headers.get("x-request-id", "")
    if _REQUEST_ID.fullmatch(sent):
        return str(sent)
    context: Any = request.lambda_context
    return str(context.aws_request_id)


def source_address(request: Request) -> str | None:
    """The caller's IP address as API Gateway saw it."""
    address: str | None = request.context.get("identity", {}).get("sourceIp")
    return address


def root(request: Request) -> str:
    """The path of the API's root: API Gateway adds the stage's name, a custom domain may not."""
    path = str(request.context.get("path", request.path)).rstrip("/")
    return quote("/".join(path.split("/")[: -request.path.count("/")]))
