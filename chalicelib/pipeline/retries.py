"""Trying again after another request changed the same row."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from chalicelib import budget
from chalicelib.errors import NotFound, Stale, Unavailable
from chalicelib.store.models import Service
from chalicelib.store.services import get_service

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.4
_T = TypeVar("_T")


def retry_on_conflict(step: Callable[[], _T]) -> _T:
    """Run `step` again while it raises Stale, so that many requests at once only take longer.

    Raises Unavailable when the time of the request is used up.
    """
    longest = _FIRST_PAUSE
    while True:
        try:
            return step()
        except Stale as stale:
            pause = random.uniform(0, longest)
            if pause >= budget.left():
                why = "other requests keep changing the same rows; try again"
                raise Unavailable(why) from stale
            time.sleep(pause)
            longest = min(_LONGEST_PAUSE, 2 * longest)


def retry_with_fresh_service(service: Service, step: Callable[[Service], _T]) -> _T:
    """Run `step(service)`; after a stale write, read the service again first."""
    unused = [service]
    return retry_on_conflict(lambda: step(unused.pop() if unused else existing_service(service.id)))


def existing_service(number: int) -> Service:
    """The service, by a consistent read; raises NotFound if it is missing or deleted."""
    service = get_service(number)
    if service.deleted_at is not None:
        raise NotFound(f"there is no service {number}")
    return service
