"""Patches that make moto and botocore fast enough for thousands of calls, here and in tests.

No patch changes a response. What moto leaves in memory for good is left out too.
"""

import copy
import functools
import gc
import string
from collections import deque
from types import SimpleNamespace
from typing import Any

import botocore.useragent
import moto.core.responses
import moto.dynamodb.models.table
import moto.dynamodb.responses
from botocore.auth import SigV4Auth
from botocore.hooks import EventAliaser
from botocore.loaders import JSONFileLoader, Loader
from botocore.parsers import BaseJSONParser
from moto import backend_index
from moto.core.base_backend import BackendDict
from moto.core.common_models import BaseModel
from moto.core.serialize import (
    AttributePicker,
    AttributePickerContext,
    BaseJSONSerializer,
    XFormedAttributePicker,
)
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models import utilities
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.utilities import bytesize
from moto.moto_api._internal.moto_random import MotoRandom

from infra.local import updates

# The services of AWS that the product calls.
SERVICES = ("dynamodb", "codebuild", "ecr", "ecs", "iam", "logs", "secretsmanager", "sqs", "ssm")
# The types of attribute values that contain no bytes and no other attribute values.
PLAIN = frozenset({"S", "N", "BOOL", "NULL", "SS", "NS"})


@functools.cache
def install() -> None:
    """Compute once what moto and botocore compute again in every call."""
    _cache(botocore.useragent, "sanitize_user_agent_string_component")
    _cache(moto.core.responses, "method_names_from_class")
    _cache(moto.core.responses, "camelcase_to_underscores")
    _cache_service_models()
    _list_services_once()
    _skip_signatures()
    updates.install()
    _skip_serializing_attribute_values()
    _convert_attribute_values_by_type()
    _remember_names_of_members()
    _find_the_service_at_once()
    _find_backends_without_a_lock()
    _split_conditions_once()
    _emit_at_once()
    _convert_only_projected_attributes()
    _measure_items_once()
    _answer_without_copies()
    _copy_attribute_values_without_copy()
    _measure_texts_at_once()
    _skip_parsing_plain_attribute_values()
    _draw_request_ids_at_once()
    _send_one_user_agent()
    _keep_no_list_of_instances()
    # AWS's service models fill the heap. With the default thresholds, garbage collection takes
    # an eighth of a run.
    gc.set_threshold(100_000, 50, 100)


def _cache(module: Any, name: str) -> None:
    setattr(module, name, functools.cache(getattr(module, name)))


def _cache_service_models() -> None:
    """PynamoDB makes a session for each of Slipway's models, and each session reads the files."""
    loader: Any = JSONFileLoader
    read: Any = loader.load_file
    cache: dict[str, Any] = {}

    def load_file(self: Any, path: str) -> Any:
        if path not in cache:
            cache[path] = read(self, path)
        return cache[path]

    loader.load_file = load_file


def _list_services_once() -> None:
    """Each session looks into all directories of botocore to know which services there are."""
    loader: Any = Loader
    read: Any = loader.list_available_services
    known: dict[Any, list[str]] = {}

    def list_available_services(self: Any, type_name: str) -> list[str]:
        where = (*self.search_paths, type_name)
        if where not in known:
            known[where] = read(self, type_name)
        return list(known[where])

    loader.list_available_services = list_available_services


def _skip_signatures() -> None:
    """moto verifies no signature. It reads the access key, region and service in the header."""
    signer: Any = SigV4Auth
    sign: Any = signer.add_auth

    def add_auth(self: Any, request: Any) -> None:
        if type(self) is not signer:  # S3's signer also sets how the body is sent
            sign(self, request)
            return
        scope = f"{self._region_name}/{self._service_name}/aws4_request"
        caller = f"Credential={self.credentials.access_key}/20260101/{scope}"
        request.headers["Authorization"] = f"AWS4-HMAC-SHA256 {caller}"

    signer.add_auth = add_auth


def _skip_serializing_attribute_values() -> None:
    """moto stores them in the form of the response, but looks for ten types in each of them."""
    serializer: Any = BaseJSONSerializer
    of_structure, of_map = serializer._serialize_type_structure, serializer._serialize_type_map

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: Any, *more: Any) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict):
            serialized[key] = value
        else:
            of_structure(self, serialized, value, shape, key, *more)

    def serialize_map(self: Any, serialized: Any, value: Any, shape: Any, key: Any) -> None:
        if shape.value.name == "AttributeValue" and type(value) is dict:
            self._default_serialize(serialized, value, shape, key)
        else:
            of_map(self, serialized, value, shape, key)

    serializer._serialize_type_structure = serialize
    serializer._serialize_type_map = serialize_map


def _convert_attribute_values_by_type() -> None:
    """moto asks each part of an answer whether it is a date or has a conversion of its own."""
    original: Any = utilities.dynamo_to_dict

    def convert(obj: Any) -> Any:
        kind = type(obj)
        if kind is str:
            return obj
        if kind is DynamoType and obj.type in ("S", "N", "BOOL", "NULL"):
            return {obj.type: obj.value}
        if kind is DynamoType and obj.type in ("M", "L"):
            return {obj.type: convert(obj.value)}
        if kind is dict:
            return {name: convert(each) for name, each in obj.items()}
        return original(obj)

    for module in (utilities, moto.dynamodb.responses):
        vars(module)["dynamo_to_dict"] = convert


def _remember_names_of_members() -> None:
    """moto finds out again for each value under which names its type may have a member."""
    original: Any = AttributePicker.__call__

    def pick(self: AttributePicker, context: AttributePickerContext) -> Any:
        obj, key = context.obj, context.key
        if type(obj) is not dict or self.response_transformers:
            return original(self, context)
        found = obj.get(key)
        if found is not None:
            return found
        names = self.get_possible_keys(context)
        if any("." in name for name in names):  # a path through several objects
            return original(self, context)
        return next((obj[name] for name in names if name in obj), None)

    AttributePicker.__call__ = pick  # type: ignore[method-assign]
    pickers: tuple[Any, ...] = (AttributePicker, XFormedAttributePicker)
    for picker in pickers:
        picker.get_possible_keys = _remembered(picker.get_possible_keys)


def _remembered(find: Any) -> Any:
    known: dict[Any, tuple[str, ...]] = {}

    def get_possible_keys(self: Any, context: AttributePickerContext) -> tuple[str, ...]:
        where = (type(context.obj), context.key, context.shape, *self.alias_providers)
        if where not in known:
            known[where] = tuple(find(self, context))
        return known[where]

    return get_possible_keys


def _find_the_service_at_once() -> None:
    """moto compares each address with the patterns of all services until one fits."""
    backend_index.backend_url_patterns.sort(key=lambda pattern: pattern[0] not in SERVICES)


def _find_backends_without_a_lock() -> None:
    """moto takes a lock and makes a list of all accounts, in each access to its state."""
    backends: Any = BackendDict
    find: Any = backends.__getitem__

    def get(self: Any, account: str) -> Any:
        return (
            dict.__getitem__(self, account)
            if dict.__contains__(self, account)
            else find(self, account)
        )

    backends.__getitem__ = get


def _split_conditions_once() -> None:
    """moto finds the words of a condition with new patterns for each word, three times a write."""
    parser: Any = ConditionExpressionParser
    split: Any = parser._lex_condition_expression

    @functools.lru_cache(updates.EXPRESSIONS)
    def words_of(condition: str) -> tuple[Any, ...]:
        return tuple(split(parser(condition, None, None)))

    parser._lex_condition_expression = lambda self: deque(words_of(self.condition_expression))


def _emit_at_once() -> None:
    """botocore passes a dozen events per call through three functions, most without a handler."""
    emitter: Any = EventAliaser
    emit: Any = emitter.emit

    def emit_at_once(self: Any, event_name: str, **arguments: Any) -> Any:
        name = self._alias_name_cache.get(event_name)
        if name is None or self._emitter._lookup_cache.get(name) is None:
            return emit(self, event_name, **arguments)
        arguments["event_name"] = name
        return [(each, each(**arguments)) for each in self._emitter._lookup_cache[name]]

    emitter.emit = emit_at_once


def _convert_only_projected_attributes() -> None:
    """moto converts all attributes of an item again for each attribute that an index projects.

    An attribute without numbers or sets is not converted at all: it would stay as it is.
    """
    original: Any = Item.project

    def project(self: Item, projection_expressions: list[list[str]]) -> Item:
        names = [path[0] for path in projection_expressions if path[0] in self.attrs]
        if all(len(path) == 1 and "[" not in path[0] for path in projection_expressions):
            attributes = {name: self.attrs[name] for name in names}
            if all(map(_stays_as_it_is, attributes.values())):
                return _item(self.hash_key, self.range_key, attributes)
        wanted = {path[0].partition("[")[0] for path in projection_expressions}
        part = copy.copy(self)
        part.attrs = {k: v for k, v in self.attrs.items() if k in wanted}  # type: ignore[assignment]
        projected: Item = original(part, projection_expressions)
        return projected

    Item.project = project  # type: ignore[method-assign]


def _stays_as_it_is(value: DynamoType) -> bool:
    return value.type in ("S", "BOOL", "NULL") or (
        value.type == "N" and str(value.value).removeprefix("-").isdigit()
    )


def _item(hash_key: Any, range_key: Any, attributes: dict[str, Any]) -> Item:
    """An item whose size is known to be small enough."""
    item: Any = Item.__new__(Item)
    item.hash_key, item.range_key = hash_key, range_key
    item.attrs = LimitedSizeDict.__new__(LimitedSizeDict)
    dict.update(item.attrs, attributes)
    return item  # type: ignore[no-any-return]


def _measure_items_once() -> None:
    """moto measures all earlier attributes of a new item again for each further one."""
    kind: Any = Item

    def init(self: Any, hash_key: Any, range_key: Any, attrs: dict[str, Any]) -> None:
        values = {name: DynamoType(value) for name, value in attrs.items()}
        size = sum(bytesize(name) + value.size() for name, value in values.items())
        if size > updates.LARGEST_ITEM:
            raise ItemSizeTooLarge
        vars(self).update(vars(_item(hash_key, range_key, values)))

    kind.__init__ = init


def _answer_without_copies() -> None:
    """moto copies all items of an answer. They are written into the response at once."""

    def deepcopy(value: Any) -> Any:
        items = value if type(value) is list else [value]
        return value if items and type(items[0]) is Item else copy.deepcopy(value)

    tables: Any = moto.dynamodb.models.table
    tables.copy = SimpleNamespace(copy=copy.copy, deepcopy=deepcopy)


def _copy_attribute_values_without_copy() -> None:
    """`copy.deepcopy` looks up what it has copied before, but attribute values are trees."""
    value_type: Any = DynamoType

    def copied(self: Any, _memo: Any = None) -> Any:
        result = value_type.__new__(value_type)
        kind, value = self.type, self.value
        result.type = kind
        if kind == "M":
            value = {name: copied(each) for name, each in value.items()}
        elif kind == "L":
            value = [copied(each) for each in value]
        elif kind in ("SS", "NS", "BS"):
            value = list(value)
        result.value = value
        return result

    value_type.__deepcopy__ = copied


def _measure_texts_at_once() -> None:
    """moto measures all attributes of an item again when it changes one, and most are texts."""
    value_type: Any = DynamoType
    original: Any = value_type.size

    def size(self: Any) -> int:
        if self.type == "S" and type(self.value) is str:
            return len(self.value) if self.value.isascii() else len(self.value.encode())
        return int(original(self))

    value_type.size = size


def _skip_parsing_plain_attribute_values() -> None:
    """An attribute value without binary parts is parsed as what it is, after ten look-ups."""
    parser: Any = BaseJSONParser
    of_structure, of_map = parser._handle_structure, parser._handle_map

    def handle_structure(self: Any, shape: Any, value: Any) -> Any:
        if shape.name == "AttributeValue" and type(value) is dict and len(value) == 1:
            ((kind, content),) = value.items()
            if kind in PLAIN and content is not None:
                return value
        return of_structure(self, shape, value)

    def handle_map(self: Any, shape: Any, value: Any) -> Any:
        if shape.value.name == "AttributeValue":
            return {name: handle_structure(self, shape.value, each) for name, each in value.items()}
        return of_map(self, shape, value)

    parser._handle_structure, parser._handle_map = handle_structure, handle_map


def _draw_request_ids_at_once() -> None:
    """Each answer has a request id of 52 random characters."""
    generator: Any = MotoRandom

    def get_random_string(
        self: Any, length: int = 20, include_digits: bool = True, lower_case: bool = False
    ) -> str:
        pool = string.ascii_letters + (string.digits if include_digits else "")
        text = "".join(self.choices(pool, k=length))
        return text.lower() if lower_case else text

    generator.get_random_string = get_random_string


def _send_one_user_agent() -> None:
    """botocore describes itself and the machine anew in each request, and moto does not look."""
    agent: Any = botocore.useragent.UserAgentString
    agent.to_string = lambda _self: "slipway-local"


def _keep_no_list_of_instances() -> None:
    """moto lists every instance for its own dashboard, copies of items too, and forgets none.

    Only its S3 uses the lists: a reset closes the files in them.
    """
    model: Any = BaseModel
    listed = model.__new__

    def new(cls: Any, *arguments: Any, **named: Any) -> Any:
        if cls.__module__.startswith("moto.s3."):
            return listed(cls, *arguments, **named)
        return super(BaseModel, cls).__new__(cls)

    model.__new__ = new
