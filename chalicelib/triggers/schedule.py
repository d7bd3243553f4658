"""The clock: every minute, whatever is due."""

from typing import Any

from chalice.app import Blueprint, CloudWatchEvent, Rate

from chalicelib.correlation import working_on
from chalicelib.pipeline.attention import mark_dead_letters
from chalicelib.pipeline.reconcile import reconcile_due

# Left for the step under way when the time is up.
RESERVE_MS = 10_000

blueprint = Blueprint(__name__)


@blueprint.schedule(Rate(1, unit=Rate.MINUTES))
def on_schedule(event: CloudWatchEvent) -> None:
    """Reconcile what is due until the function's time is nearly up; the next minute goes on.

    What could not be reconciled by message is marked.
    """
    context: Any = event.context
    with working_on(event_id=event.event_id):
        reconcile_due(until=lambda: context.get_remaining_time_in_millis() < RESERVE_MS)
        mark_dead_letters()
