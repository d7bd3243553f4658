"""The loop's door: a key says what to look at, a registry knows how.

Level-triggered: each step is computed from what is true now. A key may be given at any time, any
number of times, by several workers at once.
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib import clock
from chalicelib.errors import Lost, SlipwayError
from chalicelib.pipeline.jobs import JOB_TYPES
from chalicelib.pipeline.rollouts import reconcile_service
from chalicelib.store.due import due_keys

logger = logging.getLogger("slipway")

KINDS: Mapping[str, Callable[[int], None]] = {
    **{name: kind.reconcile for name, kind in JOB_TYPES.items()},
    "service": reconcile_service,
}
TRIES = 3


def reconcile(key: str) -> None:
    """Take the next step for "build-123" or "service-7".

    Where somebody else moved first the step is taken again from what is true then; a key that
    keeps losing is left to its next trigger. Raises ValueError for what is not a key.
    """
    kind, number = parse_key(key)
    for _ in range(TRIES):
        try:
            return KINDS[kind](number)
        except Lost:
            continue
    logger.info("%s is moved by others; its next trigger goes on", key)


def reconcile_due(*, until: Callable[[], bool]) -> int:
    """Take a step for everything that is due until `until()`; one that fails stops no other."""
    done = 0
    for key in due_keys(clock.now()):
        if until():
            break
        try:
            reconcile(key)
        except SlipwayError as error:
            logger.warning("%s: %s", key, error.detail)
        except Exception:
            logger.exception("%s could not be reconciled", key)
        done += 1
    return done


def parse_key(key: str) -> tuple[str, int]:
    """Split "build-123"; raises ValueError for anything else."""
    kind, _, number = key.partition("-")
    if kind not in KINDS or not (number.isascii() and number.isdigit()) or len(number) > 15:
        raise ValueError(f"not a key: {key[:100]!r}")
    return kind, int(number)


def read_message(body: str) -> str:
    """The key in `{"v": 1, "reconcile": "build-123"}`; raises ValueError for anything else."""
    try:
        message: Any = json.loads(body)
    except (RecursionError, TypeError) as error:
        raise ValueError("the message is not JSON") from error
    if not isinstance(message, dict) or message.get("v") != 1:
        raise ValueError("not a wake-up message of version 1")
    key = message.get("reconcile")
    if not isinstance(key, str):
        raise ValueError("the message does not say what to reconcile")
    return key
