"""The door for API Gateway: events that it would not make are refused before Chalice reads them.

Chalice takes an event's fields as they are and fails on one that is missing or of another type,
before any code of ours runs. What API Gateway sends is in its developer guide, "Input format of a
Lambda function for proxy integration".
"""

from typing import Annotated, Any

import msgspec
from chalice.app import Chalice
from msgspec import Meta

from chalicelib.api.http.answers import HEADERS
from chalicelib.api.http.problems import problem
from chalicelib.errors import InvalidInput, NotFound, SlipwayError


class _Identity(msgspec.Struct):
    # An address, or what the console's test says in its place; it is kept in the audit trail.
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
    """A Chalice application that answers whatever it is invoked with."""

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """The answer to an event, in the format of the proxy integration."""
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
        except (msgspec.ValidationError, UnicodeEncodeError) as error:  # half a character in a key
            raise InvalidInput(f"this is no event of API Gateway: {error}") from error
        if not isinstance(read.body, str | bytes | None):
            raise InvalidInput("this is no event of API Gateway: its body is no text")
        methods = self.routes.get(read.requestContext.resourcePath)
        if methods is None:
            raise NotFound("GET /v1/openapi.json lists every route")
        route = methods.get(read.requestContext.httpMethod)
        if route and not set(route.view_args) <= set(read.pathParameters or {}):
            raise InvalidInput("this is no event of API Gateway: an id of the path is missing")
