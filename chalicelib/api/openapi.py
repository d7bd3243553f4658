"""The OpenAPI 3.1 document, made from the same declarations that the routes are made from."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from chalicelib.api.problems import Problem
from chalicelib.api.routing import NUMBERED, Endpoint

_VARIABLE = re.compile(r"\{([a-z_]+)\}")


def document(endpoints: Iterable[Endpoint], *, version: str) -> dict[str, Any]:
    """Describe `endpoints`, with a schema for every body and every answer."""
    listed = sorted(endpoints, key=lambda endpoint: (endpoint.path, endpoint.method))
    types = [Problem] + [
        kind for endpoint in listed for kind in (endpoint.body, endpoint.answer) if kind is not None
    ]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    known = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Slipway", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.view,
        "summary": endpoint.summary,
        "responses": {
            **{
                str(status): _answer(endpoint, status, schemas)
                for status in (endpoint.status, *endpoint.other_statuses)
            },
            "default": {
                "description": "The request was not done; the problem says why.",
                "content": {"application/problem+json": {"schema": schemas[repr(Problem)]}},
            },
        },
    }
    parameters = [*_path_parameters(endpoint), *_query_parameters(endpoint)]
    if endpoint.repeat is not None:
        parameters.append(_IDEMPOTENCY_KEY)
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": not endpoint.body_is_optional,
            "content": {"application/json": {"schema": schemas[repr(endpoint.body)]}},
        }
    if endpoint.role is None:
        operation["security"] = []
    else:
        operation["description"] = f"Needs a token of role {endpoint.role} or above."
    return {**operation, **endpoint.details}


_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Names the request: sent again within 24 hours it is answered as before, and "
    "not done again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def _answer(endpoint: Endpoint, status: int, schemas: dict[str, Any]) -> dict[str, Any]:
    if endpoint.answer is None:
        return {"description": "Done."}
    return {
        "description": "Accepted." if status == 202 else "Done.",
        "content": {"application/json": {"schema": schemas[repr(endpoint.answer)]}},
    }


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1} if name in NUMBERED else {"type": "string"},
        }
        for name in _VARIABLE.findall(endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.meaning,
            "schema": dict(parameter.schema),
        }
        for parameter in endpoint.query
    ]
