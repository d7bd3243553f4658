"""The queue of what is told to receivers, and asked of GitHub."""

from chalice.app import Blueprint

from chalicelib.correlation import working_on
from chalicelib.pipeline.telling.loop import follow
from chalicelib.settings import settings
from chalicelib.starting import ready
from chalicelib.triggers.invocations import Invocation, with_raw_event
from chalicelib.triggers.wakeups import messages

blueprint = Blueprint(__name__)


@with_raw_event
@blueprint.on_sqs_message(queue=settings().telling_queue, batch_size=1, maximum_concurrency=10)
def on_telling(invocation: Invocation) -> None:
    """Tell a channel of a job, or look at a head; if this raises, SQS redelivers up to five times.

    A receiver that fails does not raise: the job's row says when it is told again.
    """
    for name, body in messages(invocation.event):
        with working_on(message_id=name):
            follow(body)


ready()
