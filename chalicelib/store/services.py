"""Services: reads, and the writes that change their active deployment and open builds."""

from chalicelib.store.due import schedule_at
from chalicelib.store.models import Build, Deployment, Service
from chalicelib.store.reads import find, get
from chalicelib.store.writes import Write, add, change, discard


def get_service(number: int) -> Service:
    """The service with this number; raises NotFound."""
    return get(Service, number, missing=f"there is no service {number}")


def find_service(number: int) -> Service | None:
    """The service with this number, or None."""
    return find(Service, number)


def activate_waiting(service: Service, waiting: Deployment | None, *, at: int) -> list[Write]:
    """Make the waiting deployment, if any, active after the end of the active one.

    Its deadline counts from now, without the time that it has waited.
    """
    if waiting is None:
        return [change(service, active=None, **schedule_at(at))]
    deadline_at = at + service.settings.deploy_minutes * 60
    return [
        change(service, active=waiting.number, waiting=None, **schedule_at(at)),
        change(waiting, deadline_at=deadline_at),
    ]


def open_build(service: Service, number: int) -> Write:
    """Add a new build to the open ones, on condition that the service is not deleted."""
    return Write(
        service,
        {"open_builds": add(number)},
        condition=Service.id.exists() & Service.deleted_at.does_not_exist(),
        versioned=False,
    )


def close_build(service: Service, build: Build) -> Write:
    """Remove an ended build from the open ones."""
    return change(service, open_builds=discard(build.number))
