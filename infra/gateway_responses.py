"""Problem documents for errors that API Gateway returns itself, in the format of Slipway's errors.

The types and their statuses are from "Gateway response types" in the developer guide of API
Gateway. No type is called 404. The type for an unknown route depends on the request:
MISSING_AUTHENTICATION_TOKEN, or INVALID_SIGNATURE with an Authorization header.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

STATUSES: Mapping[str, HTTPStatus] = {
    "MISSING_AUTHENTICATION_TOKEN": HTTPStatus.NOT_FOUND,
    "RESOURCE_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "INVALID_SIGNATURE": HTTPStatus.NOT_FOUND,
    "REQUEST_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "UNSUPPORTED_MEDIA_TYPE": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "THROTTLED": HTTPStatus.TOO_MANY_REQUESTS,
    "QUOTA_EXCEEDED": HTTPStatus.TOO_MANY_REQUESTS,
    "INTEGRATION_TIMEOUT": HTTPStatus.GATEWAY_TIMEOUT,
    "DEFAULT_4XX": HTTPStatus.BAD_REQUEST,
    "DEFAULT_5XX": HTTPStatus.INTERNAL_SERVER_ERROR,
}
HEADERS: Mapping[str, str] = {
    "Content-Type": "application/problem+json",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000",
}
# Throttling counts requests per second, a quota per day.
_MORE: Mapping[str, Mapping[str, str]] = {
    "THROTTLED": {"Retry-After": "'1'"},
    "QUOTA_EXCEEDED": {"Retry-After": "'3600'"},
}


def refusal(status: HTTPStatus, *, request_id: str) -> dict[str, Any]:
    """The problem document of an error that API Gateway returns itself."""
    unknown = status is HTTPStatus.NOT_FOUND
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": "GET /v1/openapi.json lists every route" if unknown else status.description,
        "code": status.name.lower(),
        "instance": request_id,
    }


def gateway_responses() -> dict[str, Any]:
    """The value of `x-amazon-apigateway-gateway-responses` in the API's definition."""
    headers = {name: f"'{value}'" for name, value in HEADERS.items()}
    headers["X-Request-Id"] = "context.requestId"
    return {
        kind: {
            "statusCode": str(status.value),
            "responseParameters": {
                f"gatewayresponse.header.{name}": value
                for name, value in {**headers, **_MORE.get(kind, {})}.items()
            },
            # API Gateway falls back to this template for every other Accept header.
            "responseTemplates": {
                "application/json": json.dumps(refusal(status, request_id="$context.requestId"))
            },
        }
        for kind, status in STATUSES.items()
    }
