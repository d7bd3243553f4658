"""All that has been written: what a refused request must not change."""

import json
import os
from typing import Any

import boto3

from chalicelib.store.models import MODELS


def everything_written() -> dict[str, list[Any]]:
    """All rows of all tables, and how many messages wait."""
    rows: dict[str, list[Any]] = {
        model.Meta.table_name: sorted(
            json.dumps(row.serialize(), sort_keys=True) for row in model.scan()
        )
        for model in MODELS
    }
    sqs = boto3.client("sqs")
    attributes = sqs.get_queue_attributes(
        QueueUrl=os.environ["QUEUE_URL"], AttributeNames=["ApproximateNumberOfMessages"]
    )
    return rows | {"messages": [attributes["Attributes"]["ApproximateNumberOfMessages"]]}
