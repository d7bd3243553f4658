"""The queue: each message names one row to reconcile now, or a push that was found."""

from typing import Any

from chalice.app import Blueprint

from chalicelib.correlation import working_on
from chalicelib.pipeline.commands.pushes import receive_found
from chalicelib.pipeline.reconcilers.loop import read_wakeup, reconcile
from chalicelib.settings import settings
from chalicelib.starting import ready
from chalicelib.triggers.invocations import Invocation, with_raw_event

blueprint = Blueprint(__name__)


@with_raw_event
@blueprint.on_sqs_message(queue=settings().queue_name, batch_size=1, maximum_concurrency=10)
def on_wakeup(invocation: Invocation) -> None:
    """Reconcile the row that the message names, or take the push that was found.

    If this raises, SQS redelivers up to five times.
    """
    for name, body in messages(invocation.event):
        with working_on(message_id=name):
            wakeup = read_wakeup(body)
            if wakeup.reconcile is not None:
                reconcile(wakeup.reconcile)
            if wakeup.push is not None:
                receive_found(wakeup.push)


def messages(event: Any) -> list[tuple[str, str]]:
    """The id and body of each message; raises ValueError for an event that SQS did not send."""
    try:
        return [(record["messageId"], record["body"]) for record in event["Records"]]
    except (KeyError, TypeError) as error:
        raise ValueError(
            "this is not an event of SQS: it has no records with messageId and body"
        ) from error


ready()
