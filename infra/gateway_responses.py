"""What API Gateway itself answers, without the application: problem documents like the API's own.

The types and their statuses are from "Gateway response types" in its developer guide. An unknown
route is one of several there, by what the request carries (MISSING_AUTHENTICATION_TOKEN, or with an
Authorization header INVALID_SIGNATURE), and none is called 404.
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
}
# Throttling is by the second, quotas by the day.
_MORE: Mapping[str, Mapping[str, str]] = {
    "THROTTLED": {"Retry-After": "'1'"},
    "QUOTA_EXCEEDED": {"Retry-After": "'3600'"},
}


def refusal(status: HTTPStatus, *, request_id: str) -> dict[str, Any]:
    """The problem document of an answer that the application had no part in."""
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
            # Whatever a caller accepts, this is the template that is used when no other fits.
            "responseTemplates": {
                "application/json": json.dumps(refusal(status, request_id="$context.requestId"))
            },
        }
        for kind, status in STATUSES.items()
    }
