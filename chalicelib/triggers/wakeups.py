"""The queue: each message names one thing to look at now."""

from chalice.app import Blueprint, SQSEvent

from chalicelib.correlation import working_on
from chalicelib.pipeline.reconcile import read_message, reconcile
from chalicelib.settings import settings

blueprint = Blueprint(__name__)


@blueprint.on_sqs_message(queue=settings().queue_name, batch_size=1, maximum_concurrency=10)
def on_wakeup(event: SQSEvent) -> None:
    """Reconcile what the message names; raising makes SQS deliver it again, up to five times."""
    for record in event:
        with working_on(message_id=record.to_dict().get("messageId")):
            reconcile(read_message(record.body))
