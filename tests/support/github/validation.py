"""Check what the GitHub on loopback received and answered against GitHub's own description."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import FormatChecker
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT4

from infra.local.github.server import Exchange, GitHub
from tests.support.github.cut import CUT, MULTI_SEGMENT

DOCUMENT: dict[str, Any] = json.loads(CUT.read_text())
BASE = "urn:github"
REGISTRY: Registry[Any] = Registry().with_resource(BASE, DRAFT4.create_resource(DOCUMENT))
FORMATS = FormatChecker()
FORMATS.checkers = dict(oas30_format_checker.checkers)
# The statuses of a request that GitHub refuses for what it says. Such a request may be invalid.
REFUSED = (400, 404, 413, 415, 422)


def _is_uri(value: object) -> bool:
    """GitHub answers empty text for a missing URL."""
    return (
        not isinstance(value, str) or value == "" or re.match(r"https?://\S+$", value) is not None
    )


FORMATS.checkers["uri"] = (_is_uri, ())


@dataclass
class Validations:
    """How many requests and answers were compared with their schema."""

    requests: int = 0
    answers: int = 0


@dataclass
class Operation:
    """One operation, and the values that a request's path has for its parameters."""

    value: dict[str, Any]
    path_values: dict[str, str]


def validated(github: GitHub) -> Validations:
    """Raises AssertionError, which names every invalid request and answer."""
    done = Validations()
    problems: list[str] = []
    for exchange in github.requests():
        name = f"{exchange.method} {exchange.path} -> {exchange.status}"
        operation = _operation(exchange)
        if operation is None:
            problems.append(f"{name}: GitHub has no such operation")
            continue
        if exchange.status not in REFUSED:
            done.requests += 1
            problems += [f"{name}: request: {each}" for each in _wrong_request(operation, exchange)]
        if exchange.status not in (0, 304) and not exchange.fault:
            done.answers += 1
            problems += [f"{name}: answer: {each}" for each in _wrong_answer(operation, exchange)]
    assert not problems, "\n".join(problems)
    return done


def _operation(exchange: Exchange) -> Operation | None:
    path = urlsplit(exchange.path).path
    for template, operations in DOCUMENT["paths"].items():
        operation = operations.get(exchange.method.lower())
        match = operation and re.fullmatch(_pattern(template, operation), path)
        if match:
            return Operation(operation, match.groupdict())
    return None


def _pattern(template: str, operation: dict[str, Any]) -> str:
    long = {each["name"] for each in _parameters(operation) if each.get(MULTI_SEGMENT)}
    return re.sub(
        r"\{(\w+)\}",
        lambda name: f"(?P<{name[1]}>{'.+' if name[1] in long else '[^/]+'})",
        template,
    )


def _wrong_request(operation: Operation, exchange: Exchange) -> Iterator[str]:
    query = dict(parse_qsl(urlsplit(exchange.path).query, keep_blank_values=True))
    for parameter in _parameters(operation.value):
        name, schema = parameter["name"], parameter["schema"]
        values = operation.path_values if parameter["in"] == "path" else query
        if name in values:
            yield from _errors(schema, _parsed(values.pop(name), schema), name)
    for name in query:
        yield f"{name}: not a parameter"
    body = operation.value.get("requestBody")
    if body is None:
        return
    schema = body["content"]["application/json"]["schema"]
    value = json.loads(exchange.body or "{}")
    yield from _errors(schema, value, "body")
    for name in value.keys() - schema["properties"].keys():
        yield f"body: {name}: not a field"


def _wrong_answer(operation: Operation, exchange: Exchange) -> Iterator[str]:
    """Errors that the operation does not list have the schema of GitHub's errors."""
    listed = operation.value["responses"].get(str(exchange.status))
    if listed is None and exchange.status < 400:
        yield "the operation has no such status"
        return
    content = _resolved(listed or {}).get("content", {})
    error = {"$ref": f"{BASE}#/components/schemas/basic-error"}
    if exchange.answer_headers["Content-Type"].startswith("application/json"):
        schema = content.get("application/json", {}).get("schema", error)
        yield from _errors(schema, json.loads(exchange.answer), "body")
    else:
        # Only the answer to a request without a User-Agent is no JSON.
        assert exchange.status == 403


def _parameters(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [_resolved(each) for each in operation.get("parameters", [])]


def _resolved(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: Any = DOCUMENT
    for name in value["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


def _parsed(text: str, schema: dict[str, Any]) -> Any:
    """A parameter as the type of its schema."""
    if schema["type"] == "integer" and text.isdecimal():
        return int(text)
    return text


def _errors(schema: dict[str, Any], value: Any, name: str) -> Iterator[str]:
    validator = OAS30Validator(_absolute(schema), registry=REGISTRY, format_checker=FORMATS)
    for error in validator.iter_errors(value):
        yield f"{name}{error.json_path[1:]}: {error.message}"


def _absolute(schema: Any) -> Any:
    """The schema with references that are valid outside the document."""
    if isinstance(schema, list):
        return [_absolute(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: BASE + each if key == "$ref" and each.startswith("#") else _absolute(each)
        for key, each in schema.items()
    }
