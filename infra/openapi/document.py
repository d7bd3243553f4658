"""The OpenAPI 3.1 document, made from the same declarations that the routes are made from."""

import copy
import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from chalicelib.api import views
from chalicelib.api.http.endpoints import NUMBERED, Endpoint
from chalicelib.api.http.problems import Problem
from chalicelib.domain.statuses import TRANSITIONS
from chalicelib.domain.tokens import Role
from infra.openapi.examples import BODIES, IDS, OTHER_IDS

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_REFERENCE = "#/components/schemas/{name}"

GROUPS: Mapping[str, str] = {
    "projects": "Groups of services.",
    "services": "What is deployed: repository, image, ECS target and settings.",
    "builds": "Commits becoming images.",
    "logs": "What a build said.",
    "deployments": "Releases, and the way back.",
    "jobs": "Builds and deployments as work: status, progress, cancelling.",
    "webhooks": "What GitHub delivers.",
    "deliveries": "What became of GitHub's deliveries.",
    "tokens": "Who may ask, for what, and for how long.",
    "audit": "Who changed what.",
    "about": "What everybody may ask.",
}

_INTRODUCTION = "\n\n".join(
    [
        "Send a token with every request: `Authorization: Bearer slw_…`. A token is a `viewer` "
        "(reads), a `deployer` (also builds, deploys, rolls back, cancels) or an `admin` (also "
        "projects, services, tokens).",
        "Every refusal is a problem document (RFC 9457) with a `code` for programs, a `detail` for "
        "people and the `field` that is wrong. `X-Request-Id` names a request in its answer and in "
        "the log; send your own (up to 64 letters, digits and . _ -) to find it again.",
        "Lists are newest first. `next_cursor`, and the same as a `Link`, leads to the next page "
        "of that list, and of no other. Accepted work answers `202` with a `Location` to follow. "
        "With an `Idempotency-Key` a request is safe to send again. A single resource has an "
        "`ETag`: send it back as `If-None-Match`, and what has not changed is not sent again "
        "(`304`).",
    ]
)


def _header(meaning: str, **schema: Any) -> dict[str, Any]:
    return {"description": meaning, "schema": {"type": "string", **schema}}


HEADERS: Mapping[str, dict[str, Any]] = {
    "X-Request-Id": _header("The request's name, in the log too."),
    "Location": _header("Where what was made can be seen.", format="uri-reference"),
    "ETag": _header("Stands for this very body.", pattern='^W/"[A-Za-z0-9_=-]+"$'),
    "Link": _header('The next page, as rel="next"; missing on the last.'),
    "Retry-After": _header("In so many seconds it is worth asking again.", pattern="^[0-9]+$"),
    "WWW-Authenticate": _header("How to say who is asking."),
    "Idempotency-Replayed": _header(
        "`true` where this was done before and only its answer is given again.", enum=["true"]
    ),
    "X-Next-Cursor": _header("The next_cursor of an answer in plain text."),
}
_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Names the request: sent again within 24 hours it is answered as before, "
        "and not done again; with another body it is refused.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of an earlier answer: 304 if nothing has changed since.",
        "schema": {"type": "string"},
    },
}
# What is no success, in words that hold wherever it is answered.
_REFUSALS: Mapping[int, str] = {
    400: "Something in the request is wrong; `field` says what.",
    401: "No valid token or signature came with the request.",
    403: "The token does not allow this.",
    404: "There is no such thing, or not for this token.",
    409: "The state of things does not allow it now; `code` says why.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    429: "Too many requests; API Gateway itself answers so.",
    500: "A bug in Slipway, or Lambda failed.",
    503: "AWS says not now; nothing was half-done.",
    504: "Nothing answered in time; API Gateway itself answers so.",
}
_HEADERS_OF_REFUSALS: Mapping[int, str] = {
    401: "WWW-Authenticate",
    429: "Retry-After",
    503: "Retry-After",
}
# What the fields of a type must be together; msgspec knows them one by one.
_TARGET = ("ecs_cluster", "ecs_service", "container")
_TOGETHER: Mapping[str, dict[str, Any]] = {
    "ServiceSettings": {
        "anyOf": [
            {"required": [*_TARGET], "properties": {each: {"type": "string"} for each in _TARGET}},
            {"properties": {each: {"type": "null"} for each in _TARGET}},
        ]
    },
    "ServiceChanges": {
        "anyOf": [
            {"properties": {each: {"type": "string"} for each in _TARGET}},
            {"required": [*_TARGET], "properties": {each: {"type": "null"} for each in _TARGET}},
        ]
    },
}


def document(endpoints: Iterable[Endpoint], *, version: str) -> dict[str, Any]:
    """Describe `endpoints`, with a schema for every body and every answer."""
    order = list(GROUPS)
    listed = sorted(endpoints, key=lambda each: (order.index(each.group), each.path, each.method))
    types = [Problem] + [
        kind for endpoint in listed for kind in (endpoint.body, endpoint.answer) if kind is not None
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    # A generic type is called by its argument: the one page of a list of projects is a ProjectPage.
    schemas, components = _renamed(schemas, components)
    for name, together in _TOGETHER.items():
        components[name] |= together
    for shape in (views.Build, views.Service):
        _complete(components[shape.__name__])
    known = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway",
            "version": version,
            "summary": "From a push to an image to a running ECS service, and back.",
            "description": _INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Relative to this document, which API Gateway serves below its stage's name.
        "servers": [{"url": ".."}],
        "tags": [{"name": name, "description": meaning} for name, meaning in GROUPS.items()],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": dict(HEADERS),
            "parameters": dict(_PARAMETERS),
            "responses": {str(status): _refusal(status, known) for status in _REFUSALS},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _complete(schema: dict[str, Any]) -> None:
    """An answer always has every setting; only a request may leave some of them out."""
    schema["required"] = list(schema["properties"])
    for member in schema["properties"].values():
        member.pop("default", None)


def _renamed(*parts: Any) -> Any:
    text = re.sub(r"\bPage_(\w+?)_(?=\")", r"\1Page", json.dumps(parts))
    return json.loads(re.sub(r"\bPage\[(?:\w+\.)*(\w+)\]", r"\1Page", text))


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    successes = (endpoint.status, *endpoint.documented.other_statuses)
    operation: dict[str, Any] = {
        "operationId": endpoint.view,
        "summary": endpoint.summary,
        "tags": [endpoint.group],
        "responses": {
            **{str(status): _answer(endpoint, status, schemas) for status in successes},
            **({"304": _unchanged()} if endpoint.is_tagged else {}),
            **{str(each): _component("responses", each) for each in refusals_of(endpoint)},
        },
    }
    parameters = [*_path_parameters(endpoint), *_query_parameters(endpoint)]
    if endpoint.repeat is not None:
        parameters.append(_component("parameters", "Idempotency-Key"))
    if endpoint.is_tagged:
        parameters.append(_component("parameters", "If-None-Match"))
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
    operation |= copy.deepcopy(dict(endpoint.documented.details))
    if "requestBody" in operation:
        operation["requestBody"]["content"]["application/json"]["examples"] = BODIES[endpoint.view]
    return operation


def refusals_of(endpoint: Endpoint) -> list[int]:
    """The statuses that an endpoint may refuse with, as its declaration tells."""
    found = {429, 500, 504, *endpoint.documented.refusals}
    if endpoint.role is not None:
        found |= {400, 401, 503}  # an unknown parameter, no token, no database
        if endpoint.role is not Role.VIEWER:
            found.add(403)
        if _VARIABLE.search(endpoint.path):
            found.add(404)
    if endpoint.method != "GET":
        found.add(409)
    if endpoint.body is not None:
        found |= {413, 415}
    return sorted(found)


def _component(kind: str, name: str | int) -> dict[str, Any]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _headers(*names: str) -> dict[str, Any]:
    return {name: _component("headers", name) for name in ("X-Request-Id", *names)}


def _refusal(status: int, schemas: dict[str, Any]) -> dict[str, Any]:
    more = [_HEADERS_OF_REFUSALS[status]] if status in _HEADERS_OF_REFUSALS else []
    return {
        "description": f"{HTTPStatus(status).phrase}. {_REFUSALS[status]}",
        "headers": _headers(*more),
        "content": {"application/problem+json": {"schema": schemas[repr(Problem)]}},
    }


def _unchanged() -> dict[str, Any]:
    return {"description": "It is still what the ETag stands for.", "headers": _headers("ETag")}


def _answer(endpoint: Endpoint, status: int, schemas: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": {201: "Created.", 202: "Accepted.", 204: "Done."}.get(status, "As asked."),
        "headers": _headers(*_headers_of(endpoint, status)),
    }
    content = {kind: {"schema": {"type": "string"}} for kind in endpoint.documented.media_types}
    if endpoint.answer is not None:
        content = {"application/json": {"schema": schemas[repr(endpoint.answer)]}, **content}
    if content:
        answer["content"] = content
    return answer


def _headers_of(endpoint: Endpoint, status: int) -> list[str]:
    names = []
    if status in {201, 202} and endpoint.role is not None:
        names.append("Location")
    if endpoint.repeat is not None:
        names.append("Idempotency-Replayed")
    if endpoint.is_tagged:
        names.append("ETag")
    if any(parameter.name == "cursor" for parameter in endpoint.query):
        names.append("Link")
    return [*names, *endpoint.documented.headers]


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [_path_parameter(endpoint, name) for name in _VARIABLE.findall(endpoint.path)]


def _path_parameter(endpoint: Endpoint, name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
    if name in NUMBERED:
        schema = {"type": "integer", "minimum": 1, "maximum": 2**53}
    elif name == "job_id":
        schema = {"type": "string", "pattern": f"^({'|'.join(TRANSITIONS)})-[1-9][0-9]{{0,15}}$"}
    example = OTHER_IDS.get((endpoint.view, name), IDS[name])
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


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
