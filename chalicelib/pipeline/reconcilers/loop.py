"""The entry of the loop: a row id names the row, and its type selects the reconciler.

The loop is level-triggered: each step is computed from the present state. Several workers may call
it for a row at any time, any number of times.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from chalicelib import clock, cloudwatch
from chalicelib.aws import queue
from chalicelib.correlation import working_on
from chalicelib.domain.pushes import Push
from chalicelib.errors import SlipwayError, Stale
from chalicelib.pipeline.line import uncalled
from chalicelib.pipeline.reconcilers.builds import reconcile_build
from chalicelib.pipeline.reconcilers.services import reconcile_deployment, reconcile_service
from chalicelib.settings import settings
from chalicelib.store.due import due_rows, open_builds

logger = logging.getLogger("slipway")

RECONCILERS: Mapping[str, Callable[[int], None]] = {
    "build": reconcile_build,
    "deploy": reconcile_deployment,
    "service": reconcile_service,
}
TRIES = 3
# So many messages take about two seconds.
_MOST_WOKEN = 1000


def reconcile(row_id: str) -> None:
    """Take the next step for "build-123" or "service-7".

    After a stale write the step is computed again. After several stale writes the next trigger
    continues. Raises ValueError for a text that is not a row id.
    """
    kind, number = parse_row_id(row_id)
    with working_on(row_id=row_id):
        for _ in range(TRIES):
            try:
                return RECONCILERS[kind](number)
            except Stale:
                continue
        logger.info("other workers keep changing %s; its next trigger continues", row_id)


def reconcile_due(*, until: Callable[[], bool]) -> int:
    """Take a step for each due row until `until()`. A failure of one row does not stop others.

    Then the queue gets the rest: its workers take ten steps at a time, and this function only one.
    The builds at the head of the line take a step even if they are not due: their call may be lost.
    Each call reports for how long the first row was due, to an alarm on rows whose steps fail.
    """
    now = clock.now()
    done, overdue = 0, 0
    rest: list[str] = []
    builds = open_builds()
    for row_id in uncalled(builds):
        if until():
            break
        _reconcile_safely(row_id)
    for due_at, row_id in due_rows(builds, now):
        overdue = max(overdue, now - due_at)
        if until():
            rest.append(row_id)
            if len(rest) == _MOST_WOKEN:
                break
            continue
        _reconcile_safely(row_id)
        done += 1
    queue.wake(*rest)
    installation = {"Installation": settings().table_prefix}
    cloudwatch.put(installation, counts={}, seconds={"OverdueSeconds": overdue}, facts={})
    return done


def _reconcile_safely(row_id: str) -> None:
    try:
        reconcile(row_id)
    except SlipwayError as error:
        logger.warning("%s: %s", row_id, error.detail)
    except Exception:
        logger.exception("%s could not be reconciled", row_id)


def parse_row_id(row_id: str) -> tuple[str, int]:
    """Split "build-123"; raises ValueError for anything else."""
    kind, _, number = row_id.partition("-")
    is_number = number.isascii() and number.isdigit() and len(number) <= 15
    if kind not in RECONCILERS or not is_number:
        raise ValueError(f"not a row id: {row_id[:100]!r}")
    return kind, int(number)


class Wakeup(msgspec.Struct, frozen=True):
    """A message of the queue. It names a row to reconcile, or has a push that was found."""

    v: Literal[1]
    reconcile: str | None = None
    push: Push | None = None


def read_wakeup(body: str) -> Wakeup:
    """Read `{"v": 1, "reconcile": "build-123"}` or `{"v": 1, "push": {…}}`.

    Raises ValueError for anything else.
    """
    try:
        wakeup = msgspec.json.decode(body, type=Wakeup)
    except (msgspec.DecodeError, TypeError, RecursionError) as error:
        raise ValueError("this is no wake-up message of version 1") from error
    if wakeup.reconcile is None and wakeup.push is None:
        raise ValueError("the wake-up message has no row to reconcile and no push")
    return wakeup
