"""Deliveries of the GitHub App's webhook that failed: GitHub is asked to repeat them.

The schedule sends a message, and the function that tells channels asks GitHub, so that a slow
GitHub delays no build. A repeated delivery comes like any other one, and starts nothing twice.
"""

import logging
import time

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.redeliveries import LAST, PERIOD, due
from chalicelib.errors import Rejected, Unavailable
from chalicelib.outbound.github_app import list_attempts, repeat_delivery
from chalicelib.outbound.http import Later
from chalicelib.pipeline.github_app import signed_in
from chalicelib.settings import settings

logger = logging.getLogger("slipway")

# Seconds after which a look begins no more requests: the function lives 30.
_LONGEST = 15


def ask_for_redeliveries() -> None:
    """Send the message for a look, if the installation has a GitHub App and a look is due."""
    if settings().github_app and clock.now() // 60 % PERIOD == 0:
        queue.redeliver()


def redeliver() -> None:
    """Ask GitHub to repeat the deliveries that failed. A failure is only logged: the next period
    looks again.
    """
    if not settings().github_app:
        return
    now, ends_at = clock.now(), time.monotonic() + _LONGEST
    try:
        with signed_in() as jwt:
            for attempt_id in due(list_attempts(jwt, since=now - LAST, ends_at=ends_at), now):
                if time.monotonic() > ends_at:
                    break
                _repeat(jwt, attempt_id)
    except Later as wait:
        logger.info("failed deliveries are repeated later: %s", wait.detail)
    except (Rejected, Unavailable) as trouble:
        logger.warning("failed deliveries are not repeated now: %s", trouble.detail)


def _repeat(jwt: str, attempt_id: int) -> None:
    try:
        repeat_delivery(jwt, attempt_id)
    except Rejected as refusal:
        logger.warning("GitHub does not repeat delivery %s: %s", attempt_id, refusal.detail)
    else:
        logger.info("GitHub is asked to repeat delivery %s, which failed", attempt_id)
