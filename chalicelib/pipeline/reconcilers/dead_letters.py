"""Dead letters: the row that a dead wake-up names gets `attention`.

The work does not end: its row stays due, and the schedule keeps trying.
"""

import logging
from collections.abc import Callable, Mapping

from chalicelib.aws import queue
from chalicelib.errors import SlipwayError, Stale
from chalicelib.pipeline.reconcilers.loop import parse_row_id, read_wakeup
from chalicelib.store.jobs import find_build
from chalicelib.store.models import Build, Service
from chalicelib.store.services import find_service
from chalicelib.store.writes import add, change, commit

logger = logging.getLogger("slipway")

_ROWS: Mapping[str, Callable[[int], Build | Service | None]] = {
    "build": find_build,
    "service": find_service,
}
_MAX_LETTERS = 100  # of one row; the alarm reports further ones
_WHY = (
    "its wake-up failed five times and is among the dead letters: the log of on_wakeup has the "
    "reason; the schedule keeps trying, and `make redrive` sends the wake-up again"
)


def mark_dead_letters() -> None:
    """Mark the rows that dead letters name, once for each letter. The letters stay in the queue.

    Failures are only logged: the next minute tries again.
    """
    try:
        for letter in queue.dead_letters():
            _mark(letter)
    except SlipwayError as error:
        logger.warning("dead letters not read: %s", error.detail)


def _mark(letter: queue.DeadLetter) -> None:
    try:
        kind, number = parse_row_id(read_wakeup(letter.body).reconcile or "")
    except ValueError:
        return  # It names no row; the alarm on the dead letters reports it.
    row = _ROWS[kind](number) if kind in _ROWS else None
    if row is None or row.due is None:
        return
    known = row.dead_letters or set()
    if letter.id in known or len(known) >= _MAX_LETTERS:
        return
    logger.error("%s-%s needs attention: %s", kind, number, _WHY)
    try:
        commit(change(row, attention=_WHY, dead_letters=add(letter.id)))
    except Stale:
        return  # Another worker changed the row; the next minute marks it.
