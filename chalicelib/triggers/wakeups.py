"""The queue: each message names one thing to look at now."""

import json
from typing import Any

from chalice.app import Blueprint, SQSEvent

from chalicelib.pipeline.reconcile import reconcile
from chalicelib.settings import settings

blueprint = Blueprint(__name__)


@blueprint.on_sqs_message(queue=settings().queue_name, batch_size=1, maximum_concurrency=10)
def on_wakeup(event: SQSEvent) -> None:
    """Reconcile what the message names; raising makes SQS deliver it again, up to five times."""
    for record in event:
        reconcile(read_message(record.body))


def read_message(body: str) -> str:
    """The key in `{"v": 1, "reconcile": "build-123"}`; raises ValueError for anything else."""
    message: Any = json.loads(body)
    if not isinstance(message, dict) or message.get("v") != 1:
        raise ValueError("not a wake-up message of version 1")
    key = message.get("reconcile")
    if not isinstance(key, str):
        raise ValueError("the message does not say what to reconcile")
    return key
