"""All that has been written: what a refused request must not change."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.dynamodb.models import dynamodb_backends

from chalicelib.aws.clients import client


def everything_written() -> dict[str, list[Any]]:
    """All rows of all tables, and how many messages wait; the tables are read past their API."""
    tables = dynamodb_backends["123456789012"]["eu-west-1"].tables
    rows: dict[str, list[Any]] = {
        name: sorted(json.dumps(item.to_json(), sort_keys=True) for item in table.all_items())
        for name, table in tables.items()
    }
    attributes = client("sqs").get_queue_attributes(
        QueueUrl=os.environ["QUEUE_URL"], AttributeNames=["ApproximateNumberOfMessages"]
    )
    return rows | {"messages": [attributes["Attributes"]["ApproximateNumberOfMessages"]]}


@contextmanager
def nothing_is_written() -> Iterator[None]:
    """Fail if rows or messages changed inside the block."""
    before = everything_written()
    yield
    assert everything_written() == before
