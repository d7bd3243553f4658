"""Events that API Gateway would not send are refused before Chalice reads them.

Chalice reads an event's fields unchecked. It fails on a missing field or another type before any
code of Slipway runs. The format of the events is in API Gateway's developer guide, "Input format
of a Lambda function for proxy integration".
"""

from typing import Annotated, Any

import msgspec
from chalice.app import Chalice
from msgspec import Meta

from chalicelib.api.http.answers import HEADERS
from chalicelib.api.http.problems import problem
from chalicelib.errors import InvalidInput, NotFound, SlipwayError


class _Identity(msgspec.Struct):
    # An IP address, or the text that a test in the console sends. The audit trail stores it.
    sourceIp: Annotated[str, Meta(pattern=r"^[!-~]{1,64}$(?!\n)")] | None = None  # noqa: N815


class _Context(msgspec.Struct):
    httpMethod: str  # noqa: N815
    resourcePath: str  # noqa: N815
    path: str = ""
    identity: _Identity = msgspec.field(default_factory=_Identity)


class _Event(msgspec.Struct):
    requestContext: _Context  # noqa: N815
    headers: dict[str, str] | None
    multiValueQueryStringParameters: dict[str, list[str]] | None  # noqa: N815
    pathParameters: dict[str, str] | None  # noqa: N815
    stageVariables: dict[str, str] | None  # noqa: N815
    body: Any
    isBase64Encoded: bool = False  # noqa: N815


class GatewayApp(Chalice):
    """A Chalice application that answers any event, also a malformed one."""

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """The response to an event, in the format of the proxy integration."""
        try:
            self._check(event)
        except SlipwayError as error:
            name = str(context.aws_request_id)
            refusal = problem(error, request_id=name)
            refusal.headers.update({**HEADERS, "X-Request-Id": name})
            return refusal.to_dict()
        return super().__call__(event, context)

    def _check(self, event: Any) -> None:
        try:
            read = msgspec.convert(event, _Event)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:  # a lone surrogate in a key
            raise InvalidInput(f"this is not an event of API Gateway: {error}") from error
        if not isinstance(read.body, str | bytes | None):
            raise InvalidInput("this is not an event of API Gateway: its body is not text")
        methods = self.routes.get(read.requestContext.resourcePath)
        if methods is None:
            raise NotFound("GET /v1/openapi.json lists every route")
        route = methods.get(read.requestContext.httpMethod)
        if route and not set(route.view_args) <= set(read.pathParameters or {}):
            raise InvalidInput("this is not an event of API Gateway: an id of the path is missing")
