"""The OpenAPI 3.1 document, made from the declarations of the routes."""

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from chalicelib.api import views
from chalicelib.api.http.endpoints import NUMBERED, Endpoint
from chalicelib.api.http.parameters import MAX_ID
from chalicelib.api.http.problems import Problem
from chalicelib.domain.service_settings import BUILDING_DEFAULTS, OF_SOURCE
from chalicelib.domain.statuses import TRANSITIONS
from chalicelib.domain.tokens import Role
from infra.openapi.examples import BODIES, IDS, OTHER_IDS

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_REFERENCE = "#/components/schemas/{name}"

GROUPS: Mapping[str, str] = {
    "projects": "A project is a group of services. A token can be restricted to a project.",
    "services": "A service has a repository, an image repository, an ECS target and settings.",
    "badges": "A picture of a service's state for a README, public where the service says so.",
    "config": "A service's variables, secrets and sizes. A change of them is a release, too.",
    "builds": "A build makes an image from a commit and pushes it to ECR.",
    "logs": "The output of builds and deployments.",
    "deployments": "A deployment brings an image to ECS. A rollback restores an earlier release.",
    "jobs": "A job is a build or a deployment: its status and progress, and how to cancel it.",
    "webhooks": "GitHub delivers pushes here. A push builds every service that follows its branch.",
    "deliveries": "The result of each delivery of GitHub's webhook, for 30 days.",
    "tokens": "API tokens, with a role, an optional restriction and an optional expiry.",
    "channels": "A channel tells GitHub, a chat or a program what happens to builds, deployments "
    "and services.",
    "metrics": "Success rates, times and DORA's four keys, from sums that each end adds to.",
    "audit": "The audit trail: the actor, time and details of each change.",
    "dashboard": "The page for people. It calls the other routes with the token of its user.",
    "about": "Public routes: health and documentation.",
}

_INTRODUCTION = "\n\n".join(
    [
        "Send a token with every request: `Authorization: Bearer slw_…`. Only the public routes "
        "and the webhook need none. A token has a role. A `viewer` reads. A `deployer` also "
        "builds, deploys, rolls back and cancels. An `admin` also manages projects, services, "
        "tokens and channels.",
        "A restricted token sees only its project or service. Hidden resources return the same "
        "`404` as missing ones. Only an unrestricted admin creates and changes projects, creates "
        "services, manages tokens and channels, and changes a service's repository, image "
        "repository, ECS target and webhook secret.",
        "Every error is a problem document (RFC 9457) with a `code` for programs, a `detail` for "
        "people and the `field` that is wrong. Each response has an `X-Request-Id`, which is also "
        "in the log. Send your own (up to 64 letters, digits and . _ -) to find a request again.",
        "Lists are newest first. Send `next_cursor` as `cursor` to get the next page of the same "
        "list with the same filters, or follow the `Link` header. Accepted work returns `202` with "
        "a `Location` to poll. With an `Idempotency-Key` a request is safe to repeat for 24 hours. "
        "A single resource has an `ETag`, and so have the lists of all services, of jobs, and of a "
        "service's builds and deployments. Send it as `If-None-Match`: while the answer is "
        "unchanged, the response is `304` without a body.",
    ]
)


def _header(meaning: str, **schema: Any) -> dict[str, Any]:
    return {"description": meaning, "schema": {"type": "string", **schema}}


HEADERS: Mapping[str, dict[str, Any]] = {
    "X-Request-Id": _header("The id of the request, also in the log."),
    "Location": _header("The path of the created or accepted resource.", format="uri-reference"),
    "ETag": _header(
        "The version of this body, for `If-None-Match`.", pattern='^W/"[A-Za-z0-9_=-]+"$'
    ),
    "Cache-Control": _header("How long the answer may be kept."),
    "Link": _header('The next page, as rel="next". Absent on the last page.'),
    "Retry-After": _header("Wait this many seconds before the next try.", pattern="^[0-9]+$"),
    "WWW-Authenticate": _header("The authentication scheme to use."),
    "Idempotency-Replayed": _header(
        "`true` if an earlier request did the work and this response replays its answer.",
        enum=["true"],
    ),
    "X-Next-Cursor": _header("The `next_cursor` of a response in plain text."),
}
_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A unique key for this request. A repeat within 24 hours does nothing and "
        "gets the first answer again. The same key with another body is refused with 409.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of an earlier response. Returns 304 if nothing has changed.",
        "schema": {"type": "string"},
    },
}
_MEANINGS: Mapping[int, str] = {
    201: "Created.",
    202: "Accepted.",
    204: "Done, without a body.",
    503: "Not ready. `checks` says which check has failed.",
}
_ERRORS: Mapping[int, str] = {
    400: "The request is malformed. `field` names the wrong part.",
    401: "The request has no valid token or signature.",
    403: "The token's role or restriction does not allow this. `detail` says what is required.",
    404: "The resource does not exist, or your token cannot see it.",
    409: "The current state does not allow this. `code` says why.",
    413: "The body is too large.",
    415: "The Content-Type must be application/json.",
    429: "Too many requests. API Gateway itself sends this; wait and try again.",
    500: "An error in Slipway or Lambda. The log has the cause under the request id.",
    503: "AWS cannot serve the request now, and no work was half done. Try again later.",
    504: "No answer in time. API Gateway itself sends this.",
}
_HEADERS_OF_ERRORS: Mapping[int, str] = {
    401: "WWW-Authenticate",
    429: "Retry-After",
    503: "Retry-After",
}
# Rules for combinations of fields: msgspec describes each field only by itself.
_TARGET: Mapping[str, str] = {
    "ecs_cluster": "string",
    "ecs_service": "string",
    "containers": "array",
}
_A_TARGET = {name: {"type": kind} for name, kind in _TARGET.items()}
_NO_TARGET = {each: {"type": "null"} for each in _TARGET} | {"auto_deploy": {"const": False}}
_OF_ANOTHER = {
    "required": ["image_from"],
    "properties": {"image_from": {"type": "integer"}}
    | dict.fromkeys([*OF_SOURCE, *BUILDING_DEFAULTS], False),
}
_COMBINATIONS: Mapping[str, dict[str, Any]] = {
    "NewService": {
        "allOf": [
            {
                "anyOf": [
                    {"required": [*_TARGET], "properties": _A_TARGET},
                    {"properties": _NO_TARGET},
                ]
            },
            {
                "anyOf": [
                    {
                        "required": [*OF_SOURCE],
                        "properties": {"image_from": {"type": "null"}},
                    },
                    _OF_ANOTHER,
                ]
            },
        ]
    },
    "ServiceChanges": {
        "allOf": [
            {
                "anyOf": [
                    {"properties": _A_TARGET},
                    {"required": [*_TARGET], "properties": _NO_TARGET},
                ]
            },
            {"anyOf": [{"properties": {"image_from": {"type": "null"}}}, _OF_ANOTHER]},
        ]
    },
}


def document(endpoints: Iterable[Endpoint], *, version: str) -> dict[str, Any]:
    """The document that describes `endpoints`, with a schema for every body and answer."""
    order = list(GROUPS)
    listed = sorted(endpoints, key=lambda each: (order.index(each.group), each.path, each.method))
    types = [Problem] + [
        kind
        for endpoint in listed
        for kind in (endpoint.body, endpoint.answer, *_other_answers(endpoint))
        if kind is not None
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    # A generic type is named after its argument: a page of projects is a ProjectPage.
    schemas, components = _renamed(schemas, components)
    for name, rule in _COMBINATIONS.items():
        components[name] |= rule
    for component in components.values():
        # msgspec keeps the line breaks of a docstring.
        component["description"] = " ".join(component["description"].split())
    for shape in (views.Build, views.Service):
        _require_all_fields(components[shape.__name__])
    known = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway",
            "version": version,
            "summary": "Build each push, deploy its image to ECS, and roll back with one call.",
            "description": _INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Relative to this document: API Gateway serves it below the stage's name.
        "servers": [{"url": ".."}],
        "tags": [{"name": name, "description": meaning} for name, meaning in GROUPS.items()],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": dict(HEADERS),
            "parameters": dict(_PARAMETERS),
            "responses": {str(status): _error(status, known) for status in _ERRORS},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _other_answers(endpoint: Endpoint) -> Iterator[Any]:
    for answer in endpoint.documented.other_answers.values():
        yield from answer if isinstance(answer, tuple) else (answer,)


def _require_all_fields(schema: dict[str, Any]) -> None:
    """Mark all fields required: an answer has every setting, only a request may omit some."""
    schema["required"] = list(schema["properties"])
    for member in schema["properties"].values():
        member.pop("default", None)


def _renamed(*parts: Any) -> Any:
    text = re.sub(r"\bPage_(\w+?)_(?=\")", r"\1Page", json.dumps(parts))
    return json.loads(re.sub(r"\bPage\[(?:\w+\.)*(\w+)\]", r"\1Page", text))


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    documented = endpoint.documented
    successes = (*documented.other_answers, endpoint.status, *documented.other_statuses)
    operation: dict[str, Any] = {
        "operationId": endpoint.view,
        "summary": endpoint.summary,
        "tags": [endpoint.group],
        "responses": {
            **{str(status): _answer(endpoint, status, schemas) for status in successes},
            **({"304": _unchanged(endpoint)} if endpoint.is_tagged else {}),
            **{str(each): _component("responses", each) for each in _error_statuses(endpoint)},
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
        operation["description"] = f"Requires role {endpoint.role} or higher."
    operation |= copy.deepcopy(dict(endpoint.documented.details))
    if "requestBody" in operation:
        operation["requestBody"]["content"]["application/json"]["examples"] = BODIES[endpoint.view]
    return operation


def _error_statuses(endpoint: Endpoint) -> list[int]:
    """The error statuses of an endpoint, computed from its declaration."""
    found = {429, 500, 504, *endpoint.documented.errors}
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


def _error(status: int, schemas: dict[str, Any]) -> dict[str, Any]:
    more = [_HEADERS_OF_ERRORS[status]] if status in _HEADERS_OF_ERRORS else []
    return {
        "description": f"{HTTPStatus(status).phrase}. {_ERRORS[status]}",
        "headers": _headers(*more),
        "content": {"application/problem+json": {"schema": schemas[repr(Problem)]}},
    }


def _unchanged(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "description": "The answer has not changed; the body is empty.",
        "headers": _headers("ETag", *_links(endpoint)),
    }


def _answer(endpoint: Endpoint, status: int, schemas: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": _MEANINGS.get(status, "Success."),
        "headers": _headers(*_headers_of(endpoint, status)),
    }
    content: dict[str, Any] = {
        kind: {"schema": {"type": "string"}} for kind in endpoint.documented.media_types
    }
    shape = endpoint.documented.other_answers.get(status, endpoint.answer)
    if isinstance(shape, tuple):
        schema = {"anyOf": [schemas[repr(each)] for each in shape]}
        content = {"application/json": {"schema": schema}, **content}
    elif shape is not None:
        content = {"application/json": {"schema": schemas[repr(shape)]}, **content}
    if content:
        answer["content"] = content
    return answer


def _headers_of(endpoint: Endpoint, status: int) -> list[str]:
    names = []
    if status in {201, 202} and endpoint.role is not None:
        names.append("Location")
    if endpoint.repeat is not None and status not in endpoint.documented.other_answers:
        names.append("Idempotency-Replayed")
    if endpoint.is_tagged:
        names.append("ETag")
    return [*names, *_links(endpoint), *endpoint.documented.headers]


def _links(endpoint: Endpoint) -> list[str]:
    return ["Link"] if any(parameter.name == "cursor" for parameter in endpoint.query) else []


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [_path_parameter(endpoint, name) for name in _VARIABLE.findall(endpoint.path)]


def _path_parameter(endpoint: Endpoint, name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
    if name in NUMBERED:
        schema = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
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
