"""Services: reading them, and the moves on their slot and their open builds."""

from chalicelib.store.due import look_again
from chalicelib.store.models import Build, Deployment, Service
from chalicelib.store.moves import Move, change
from chalicelib.store.reads import find, get


def get_service(number: int) -> Service:
    """The service of this number; raises NotFound."""
    return get(Service, number, missing=f"there is no service {number}")


def find_service(number: int) -> Service | None:
    """The service of this number, or None."""
    return find(Service, number)


def hand_over(service: Service, waiting: Deployment | None, *, at: int) -> tuple[Move, ...]:
    """The slot's holder has ended: the waiting deployment gets the slot, if there is one.

    Its time begins with the slot: what it waited for others is not counted against it.
    """
    if waiting is None:
        return (change(service, Service.deploying.remove(), *look_again(at)),)
    return (
        change(
            service,
            Service.deploying.set(waiting.number),
            Service.waiting.remove(),
            *look_again(at),
        ),
        change(waiting, Deployment.deadline_at.set(at + service.deploy_minutes * 60)),
    )


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
