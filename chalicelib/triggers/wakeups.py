"""The queue: each message names one thing to look at now."""

from typing import Any

from chalice.app import Blueprint

from chalicelib.correlation import working_on
from chalicelib.pipeline.reconcilers.loop import read_message, reconcile
from chalicelib.settings import settings
from chalicelib.triggers.invocations import Invocation, as_invoked

blueprint = Blueprint(__name__)


@as_invoked
@blueprint.on_sqs_message(queue=settings().queue_name, batch_size=1, maximum_concurrency=10)
def on_wakeup(invocation: Invocation) -> None:
    """Reconcile what the message names; raising makes SQS deliver it again, up to five times."""
    for name, body in _messages(invocation.event):
        with working_on(message_id=name):
            reconcile(read_message(body))


def _messages(event: Any) -> list[tuple[str, str]]:
    """Id and body of each message; raises ValueError for what no queue has sent."""
    try:
        return [(record["messageId"], record["body"]) for record in event["Records"]]
    except (KeyError, TypeError) as error:
        raise ValueError("this is no event of a queue: it has no records of messages") from error
