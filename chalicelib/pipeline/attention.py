"""Dead letters: what a wake-up named wants attention when the queue gave that wake-up up.

The work itself is not ended by it: its row is due as before, and the schedule goes on trying.
"""

import logging
from collections.abc import Callable, Mapping

from chalicelib.aws import queue
from chalicelib.errors import Lost, SlipwayError
from chalicelib.pipeline.reconcile import parse_key, read_message
from chalicelib.store.jobs import find_build
from chalicelib.store.models import Build, Service
from chalicelib.store.moves import change, commit
from chalicelib.store.services import find_service

logger = logging.getLogger("slipway")

_ROWS: Mapping[str, Callable[[int], Build | Service | None]] = {
    "build": find_build,
    "service": find_service,
}
_MOST = 100  # letters that one row remembers; the alarm tells of more
_WHY = (
    "its wake-up failed five times and lies among the dead letters: the log of on_wakeup says why; "
    "the schedule tries on, and `make redrive` brings the wake-up back"
)


def mark_dead_letters() -> None:
    """Mark the rows that dead letters name, once for each letter; the letters stay where they are.

    Nothing is raised: the next minute tries again.
    """
    try:
        for letter in queue.dead_letters():
            _mark(letter)
    except SlipwayError as error:
        logger.warning("dead letters not looked at: %s", error.detail)


def _mark(letter: queue.DeadLetter) -> None:
    try:
        kind, number = parse_key(read_message(letter.body))
    except ValueError:
        return  # It names nothing; the alarm on the dead letters tells of it.
    row = _ROWS[kind](number) if kind in _ROWS else None
    if row is None or row.due is None:
        return
    known = row.dead_letters or set()
    if letter.id in known or len(known) >= _MOST:
        return
    logger.error("%s-%s wants attention: %s", kind, number, _WHY)
    try:
        commit(change(row, Service.attention.set(_WHY), Service.dead_letters.add({letter.id})))
    except Lost:
        return  # It moves; the letter is still there in a minute.
