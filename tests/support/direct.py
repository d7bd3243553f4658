"""Give a request of botocore to moto as it is, and answer it with fewer steps.

moto makes a WSGI request of each request, and reads that again as if a server had received it. The
services here have one address and JSON bodies, so moto needs the headers and the body only. No
patch changes a response.
"""

import functools
import importlib
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlparse

from botocore.regions import EndpointRulesetResolver
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.parse import BaseJSONParser
from moto.core.responses import BaseResponse
from moto.core.serialize import AttributePickerContext, JSONSerializer
from moto.utilities.utils import get_partition
from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date

from infra.local.speed import PLAIN

SERVICES = ("dynamodb", "codebuild", "ecr", "ecs", "logs", "secretsmanager", "sqs", "ssm")
_ADDRESS = re.compile(r"https://(?:api\.)?([a-z]+)\.([a-z0-9-]+)\.amazonaws\.com/")
_ACCESS_KEY = BaseResponse.access_key_regex
# What a JSON serializer writes as it is, by the type in the service's model.
_WRITTEN_AS_IS = {"string": str, "boolean": bool, "integer": int, "long": int}


def install() -> None:
    """Patch moto and botocore in this process."""
    _dispatch_at_once()
    _resolve_endpoints_once()
    _skip_parsing_plain_attribute_values()
    _serialize_structures_at_once()
    _look_for_request_ids_in_xml_only()


class _Headers(dict[str, str]):
    """Headers by their names in lower case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


@dataclass(slots=True)
class _Request:
    """The attributes of moto's request that the services here use."""

    url: str
    headers: _Headers
    data: bytes
    content_type: str | None
    method: str = "POST"
    path: str = "/"
    values: dict[str, str] = field(default_factory=dict)


def _dispatch_at_once() -> None:
    stubber: Any = BotocoreStubber
    original: Any = stubber.process_request

    def process_request(self: Any, request: Any) -> Any:
        found = _responder(request.url)
        if found is None or type(request.body) is not bytes:
            return original(self, request)
        headers = _Headers()
        for name, value in request.headers.items():
            headers[name.lower()] = value.decode() if isinstance(value, bytes) else value
        # moto derives the account from an access key that looks like one of AWS.
        if "x-amz-target" not in headers or _ACCESS_KEY.search(headers["authorization"]):
            return original(self, request)
        responder, region = found
        content_type = headers.get("content-type")
        arrived = _Request(request.url, headers, request.body, content_type)
        response = _prepared(responder(), region, arrived)
        try:
            return response.call_action()
        except HTTPException as error:
            return error.code, error.get_headers(), error.get_body()

    stubber.process_request = process_request


@functools.cache
def _responder(url: str) -> tuple[Any, str] | None:
    """The class that answers the requests to an address, and its region."""
    match = _ADDRESS.fullmatch(url)
    if match is None or match[1] not in SERVICES:
        return None
    paths = importlib.import_module(f"moto.{match[1]}.urls").url_paths
    return next(iter(paths.values())).__self__, match[2]


def _prepared(response: Any, region: str, request: _Request) -> Any:
    """Do what `BaseResponse.setup_class` does with a JSON request of the account of the tests."""
    response.is_werkzeug_request = False
    response.normalized_request = request
    response.parsed_url = urlparse(request.url)
    response.form_data = {}
    response.raw_body = request.data
    response.body = request.data.decode()
    response.uri = request.url
    response.path = response.raw_path = request.path
    response.querystring = response.data = {}
    response.method = request.method
    response.region = region
    response.partition = get_partition(region)
    response.uri_match = {}
    response.headers = request.headers
    response.response_headers = {"server": "amazon.com", "date": _date(int(time.time()))}
    if response.automated_parameter_parsing:
        response.parse_parameters(request)
    response.access_key = response.get_access_key()
    response.current_account = DEFAULT_ACCOUNT_ID
    return response


@functools.lru_cache(1)
def _date(seconds: int) -> str:
    """The date of an answer. It does not show parts of a second."""
    return http_date(seconds)


def _resolve_endpoints_once() -> None:
    """Resolve the endpoint once per operation: here no parameter of an operation changes it."""
    resolver: Any = EndpointRulesetResolver
    original: Any = resolver.construct_endpoint

    def construct_endpoint(
        self: Any, operation_model: Any, call_args: Any, request_context: Any
    ) -> Any:
        if operation_model.service_model.service_name not in SERVICES:
            return original(self, operation_model, call_args, request_context)
        known = vars(self).setdefault("known_endpoints", {})
        if operation_model.name not in known:
            known[operation_model.name] = original(
                self, operation_model, call_args, request_context
            )
        found = known[operation_model.name]
        return found._replace(headers=dict(found.headers))

    resolver.construct_endpoint = construct_endpoint


def _skip_parsing_plain_attribute_values() -> None:
    """moto looks for ten types in each attribute value of a request."""
    parser: Any = BaseJSONParser
    original: Any = parser._parse_structure

    def parse_structure(self: Any, shape: Any, value: Any) -> Any:
        if shape.name == "AttributeValue" and type(value) is dict and len(value) == 1:
            ((kind, content),) = value.items()
            if kind in PLAIN and content is not None:
                return value
        return original(self, shape, value)

    parser._parse_structure = parse_structure


def _serialize_structures_at_once() -> None:
    """moto makes an object per member of a structure to find the member's value."""
    serializer: Any = JSONSerializer
    original: Any = serializer._serialize_type_structure

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if (
            type(value) is not dict
            or type(self) is not serializer
            or self._value_picker.response_transformers
            or shape.is_document_type
            or shape.name == "AttributeValue"
        ):
            original(self, serialized, value, shape, key)
            return
        wrapper: dict[str, Any] = {} if key else serialized
        for member_key, name, member, names, plain in _members(self, shape):
            found = value.get(member_key)
            if found is None:
                if names is None:
                    found = self.get_value(value, member_key, member)
                elif not names.keys().isdisjoint(value):
                    found = next((value[each] for each in names if each in value), None)
            if found is None:
                continue
            if plain is type(found):
                wrapper[name] = found
            else:
                self._serialize(wrapper, found, member, member_key)
        if key:
            self._default_serialize(serialized, wrapper, shape, key)

    serializer._serialize_type_structure = serialize


def _members(serializer: Any, shape: Any) -> list[tuple[Any, ...]]:
    """Of each member: its key, its name in the answer, its shape, its other names, its type.

    The names are None if one of them is a path through several objects.
    """
    found: list[tuple[Any, ...]] | None = vars(shape).get("listed_members")
    if found is None:
        found = []
        for key, member in shape.members.items():
            member.parent = shape
            context = AttributePickerContext(obj={}, key=key, shape=member)
            names = serializer._value_picker.get_possible_keys(context)
            found.append(
                (
                    key,
                    serializer.get_serialized_name(member, key),
                    member,
                    None if any("." in name for name in names) else dict.fromkeys(names),
                    _WRITTEN_AS_IS.get(member.type_name),
                )
            )
        shape.listed_members = found
    return found


def _look_for_request_ids_in_xml_only() -> None:
    """moto searches each answer for the XML element that has the request's id."""
    responses: Any = BaseResponse
    original: Any = responses._enrich_response

    def enrich(headers: Any, body: Any) -> Any:
        if type(body) is str and "<RequestId>" not in body:
            return original(headers, "")[0], body
        return original(headers, body)

    responses._enrich_response = staticmethod(enrich)
