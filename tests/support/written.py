"""Check that a request writes neither a row nor a message."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends

from chalicelib.settings import settings

_ACCOUNT, _REGION = "123456789012", "eu-west-1"


def everything_written() -> dict[str, list[str]]:
    """Every row and every waiting message, read directly from moto's memory."""
    rows = {
        name: sorted(
            json.dumps(item.attrs, sort_keys=True, default=_typed) for item in table.all_items()
        )
        for name, table in dynamodb_backends[_ACCOUNT][_REGION].tables.items()
    }
    queue = sqs_backends[_ACCOUNT][_REGION].queues[settings().queue_name]
    return rows | {"messages": [message.body for message in queue.messages]}


def _typed(value: Any) -> dict[str, Any]:
    """An attribute's value in DynamoDB's form."""
    return {value.type: value.value}


@contextmanager
def nothing_is_written() -> Iterator[None]:
    """Fail if rows or messages changed inside the block."""
    before = everything_written()
    yield
    assert everything_written() == before
