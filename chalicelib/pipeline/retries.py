"""Trying again where somebody else moved a row first."""

from collections.abc import Callable
from typing import TypeVar

from chalicelib.errors import Lost, NotFound, Unavailable
from chalicelib.store.models import Service
from chalicelib.store.services import get_service

TRIES = 4
_T = TypeVar("_T")


def again_if_lost(step: Callable[[], _T]) -> _T:
    """Run `step`, which reads before it writes, until nobody else is faster; raises Unavailable."""
    for _ in range(TRIES):
        try:
            return step()
        except Lost:
            continue
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
