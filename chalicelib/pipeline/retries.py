"""Trying again after another request changed the same row."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from chalicelib.errors import NotFound, Stale, Unavailable
from chalicelib.store.models import Service
from chalicelib.store.services import get_service

TRIES = 4
_T = TypeVar("_T")


def retry_on_conflict(step: Callable[[], _T], *, tries: int = TRIES) -> _T:
    """Run `step`, which reads before it writes, until no write is stale; raises Unavailable."""
    for _ in range(tries):
        try:
            return step()
        except Stale:
            time.sleep(random.uniform(0, 0.05))
    raise Unavailable("other requests keep changing the same rows; try again")


def retry_with_fresh_service(service: Service, step: Callable[[Service], _T]) -> _T:
    """Run `step(service)`; after a stale write, run it with the service as it is then."""
    unused = [service]
    return retry_on_conflict(lambda: step(unused.pop() if unused else living_service(service.id)))


def living_service(number: int) -> Service:
    """The service as it is now; raises NotFound when it is missing or deleted."""
    service = get_service(number)
    if service.deleted_at is not None:
        raise NotFound(f"there is no service {number}")
    return service
