"""The schedule: each minute it reconciles the rows that are due, and tells what was not told.

It also asks for the heads of branches, and for failed deliveries.
"""

from chalice.app import Blueprint, Rate

from chalicelib.correlation import working_on
from chalicelib.pipeline.heads import ask_for_heads
from chalicelib.pipeline.reconcilers.dead_letters import mark_dead_letters
from chalicelib.pipeline.reconcilers.loop import reconcile_due
from chalicelib.pipeline.redeliveries import ask_for_redeliveries
from chalicelib.pipeline.telling.loop import announce_due
from chalicelib.starting import ready
from chalicelib.triggers.invocations import Invocation, with_raw_event

# Time to finish the current step, before Lambda ends the function.
RESERVE_MS = 10_000

blueprint = Blueprint(__name__)


@with_raw_event
@blueprint.schedule(Rate(1, unit=Rate.MINUTES))
def on_schedule(invocation: Invocation) -> None:
    """Reconcile due rows until the function's time is nearly up; the next minute continues.

    Then mark the rows that dead letters name, send what channels are still to be told, and ask for
    the heads of branches and for failed deliveries.
    """
    context = invocation.context

    def is_late() -> bool:
        return bool(context.get_remaining_time_in_millis() < RESERVE_MS)

    with working_on(event_id=invocation.text("id")):
        reconcile_due(until=is_late)
        mark_dead_letters()
        announce_due(until=is_late)
        ask_for_heads(until=is_late)
        ask_for_redeliveries()


ready()
