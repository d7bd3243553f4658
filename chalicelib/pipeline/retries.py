"""Trying again where somebody else moved a row first."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from chalicelib.errors import Lost, NotFound, Unavailable
from chalicelib.store.models import Service
from chalicelib.store.services import get_service

TRIES = 4
_T = TypeVar("_T")


def again_if_lost(step: Callable[[], _T], *, tries: int = TRIES) -> _T:
    """Run `step`, which reads before it writes, until nobody else is faster; raises Unavailable."""
    for _ in range(tries):
        try:
            return step()
        except Lost:
            time.sleep(random.uniform(0, 0.05))
    raise Unavailable("others are changing the same things all the time; try again")


def on_fresh_service(service: Service, accept: Callable[[Service], _T]) -> _T:
    """`accept(service)`, again with the service as it is now whenever somebody moved it first."""
    unused = [service]
    return again_if_lost(lambda: accept(unused.pop() if unused else living_service(service.id)))


def living_service(number: int) -> Service:
    """The service as it is now; raises NotFound when it is missing or deleted."""
    service = get_service(number)
    if service.deleted_at is not None:
        raise NotFound(f"there is no service {number}")
    return service
