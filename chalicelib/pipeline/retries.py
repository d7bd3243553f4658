"""Trying again where somebody else moved a row first."""

from collections.abc import Callable
from typing import TypeVar

from chalicelib.errors import Lost, NotFound, Unavailable
from chalicelib.store.models import Service
from chalicelib.store.services import get_service

TRIES = 4
_T = TypeVar("_T")


def on_fresh_service(service: Service, accept: Callable[[Service], _T]) -> _T:
    """`accept(service)`, again with the service as it is now whenever somebody moved it first."""
    for attempt in range(TRIES):
        try:
            return accept(service)
        except Lost:
            if attempt < TRIES - 1:
                service = get_service(service.id)
                if service.deleted_at is not None:
                    raise NotFound(f"there is no service {service.id}") from None
    raise Unavailable(f"service {service.id} is changing all the time; try again")
