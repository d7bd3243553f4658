"""What makes moto fast enough for thousands of calls; none of it changes an answer."""

import gc
from typing import Any

from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table

from chalicelib.store import tables

_made: dict[str, Table] = {}


def install() -> None:
    """Send DynamoDB's attribute values as they are: they are kept in the form they are sent in.

    moto looks for each of the ten types in each value, which takes a third of a test's time.
    """
    original: Any = BaseJSONSerializer._serialize_type_structure

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: Any, *more: Any) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict):
            serialized[key] = value
        else:
            original(self, serialized, value, shape, key, *more)

    BaseJSONSerializer._serialize_type_structure = serialize  # type: ignore[method-assign]
    # The models of AWS fill the heap: walking it for garbage every few calls is an eighth of a run.
    gc.set_threshold(100_000, 50, 100)


def create_tables(region: str = "eu-west-1", account: str = "123456789012") -> None:
    """Make the product's tables; from the second time on, by emptying the first ones."""
    backend = dynamodb_backends[account][region]
    if not _made:
        tables.create_tables()
        _made.update(backend.tables)
    for table in _made.values():
        table.items.clear()
    backend.tables = dict(_made)
