"""All that has been written: what a refused request must not change."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends

from chalicelib.settings import settings

_PLACE = "123456789012", "eu-west-1"


def everything_written() -> dict[str, list[str]]:
    """All rows of all tables and all messages that wait, read past the API of either."""
    account, region = _PLACE
    rows = {
        name: sorted(json.dumps(item.to_json(), sort_keys=True) for item in table.all_items())
        for name, table in dynamodb_backends[account][region].tables.items()
    }
    queue = sqs_backends[account][region].queues[settings().queue_name]
    return rows | {"messages": [message.body for message in queue.messages]}


@contextmanager
def nothing_is_written() -> Iterator[None]:
    """Fail if rows or messages changed inside the block."""
    before = everything_written()
    yield
    assert everything_written() == before
