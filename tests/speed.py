"""What makes moto and botocore fast enough for thousands of calls; none of it changes an answer."""

import functools
import gc
from typing import Any

import botocore.useragent
import moto.core.responses
from moto.core.serialize import AttributePicker, AttributePickerContext, BaseJSONSerializer
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table

from chalicelib.store import tables

_made: dict[str, Table] = {}


def install() -> None:
    """Make what is computed anew in every call, and is always the same, only once."""
    _remember(botocore.useragent, "sanitize_user_agent_string_component")
    _remember(moto.core.responses, "method_names_from_class")
    _remember(moto.core.responses, "camelcase_to_underscores")
    _send_attribute_values_as_they_are()
    _take_what_is_named_alike()
    # The models of AWS fill the heap: walking it for garbage every few calls is an eighth of a run.
    gc.set_threshold(100_000, 50, 100)


def _remember(module: Any, name: str) -> None:
    setattr(module, name, functools.cache(getattr(module, name)))


def _send_attribute_values_as_they_are() -> None:
    """They are kept in the form they are sent in; moto looks for ten types in each of them."""
    original: Any = BaseJSONSerializer._serialize_type_structure

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: Any, *more: Any) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict):
            serialized[key] = value
        else:
            original(self, serialized, value, shape, key, *more)

    BaseJSONSerializer._serialize_type_structure = serialize  # type: ignore[method-assign]


def _take_what_is_named_alike() -> None:
    """A dict that has the member itself needs no search under other spellings of its name."""
    original: Any = AttributePicker.__call__

    def pick(self: AttributePicker, context: AttributePickerContext) -> Any:
        if type(context.obj) is dict and not self.response_transformers:
            found = context.obj.get(context.key)
            if found is not None:
                return found
        return original(self, context)

    AttributePicker.__call__ = pick  # type: ignore[method-assign]


def create_tables(region: str = "eu-west-1", account: str = "123456789012") -> None:
    """Make the product's tables; from the second time on, by emptying the first ones."""
    backend = dynamodb_backends[account][region]
    if not _made:
        tables.create_tables()
        _made.update(backend.tables)
    for table in _made.values():
        table.items.clear()
    backend.tables = dict(_made)
