"""The clock: every minute, whatever is due."""

from chalice.app import Blueprint, Rate

from chalicelib.correlation import working_on
from chalicelib.pipeline.reconcilers.dead_letters import mark_dead_letters
from chalicelib.pipeline.reconcilers.loop import reconcile_due
from chalicelib.triggers.invocations import Invocation, as_invoked

# Left for the step under way when the time is up.
RESERVE_MS = 10_000

blueprint = Blueprint(__name__)


@as_invoked
@blueprint.schedule(Rate(1, unit=Rate.MINUTES))
def on_schedule(invocation: Invocation) -> None:
    """Reconcile what is due until the function's time is nearly up; the next minute goes on.

    What could not be reconciled by message is marked.
    """
    context = invocation.context
    with working_on(event_id=invocation.text("id")):
        reconcile_due(until=lambda: context.get_remaining_time_in_millis() < RESERVE_MS)
        mark_dead_letters()
