"""Services: reading them, and the moves on their slot and their open builds."""

from chalicelib.store.due import look_again
from chalicelib.store.models import Build, Service
from chalicelib.store.moves import Move, change
from chalicelib.store.reads import find, get


def get_service(number: int) -> Service:
    """The service of this number; raises NotFound."""
    return get(Service, number, missing=f"there is no service {number}")


def find_service(number: int) -> Service | None:
    """The service of this number, or None."""
    return find(Service, number)


def hand_over(service: Service, *, at: int) -> Move:
    """The slot's holder has ended: the waiting deployment gets the slot, if there is one."""
    if service.waiting is None:
        slot = (Service.deploying.remove(),)
    else:
        slot = (Service.deploying.set(service.waiting), Service.waiting.remove())
    return change(service, *slot, *look_again(at))


def open_build(service: Service, number: int) -> Move:
    """Count a new build as open, provided the service was not deleted meanwhile."""
    return Move(
        service,
        (Service.open_builds.add({number}),),
        condition=Service.id.exists() & Service.deleted_at.does_not_exist(),
        unless_moved=False,
    )


def close_build(service: Service, build: Build) -> Move:
    """An ended build is no longer open."""
    return change(service, Service.open_builds.delete({build.number}))
