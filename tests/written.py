"""All that has been written: what a refused request must not change."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib.aws.clients import client
from chalicelib.store.models import MODELS


def everything_written() -> dict[str, list[Any]]:
    """All rows of all tables, and how many messages wait."""
    rows: dict[str, list[Any]] = {
        model.Meta.table_name: sorted(
            json.dumps(row.serialize(), sort_keys=True) for row in model.scan()
        )
        for model in MODELS
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
