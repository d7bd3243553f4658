"""Services: reading them, and the writes that change what they are busy with."""

from chalicelib.store.due import schedule_at
from chalicelib.store.models import Build, Deployment, Service
from chalicelib.store.reads import find, get
from chalicelib.store.writes import Write, add, change, discard


def get_service(number: int) -> Service:
    """The service of this number; raises NotFound."""
    return get(Service, number, missing=f"there is no service {number}")


def find_service(number: int) -> Service | None:
    """The service of this number, or None."""
    return find(Service, number)


def activate_waiting(service: Service, waiting: Deployment | None, *, at: int) -> list[Write]:
    """The active deployment has ended: the waiting one, if any, becomes active.

    Its deadline starts now: the time that it waited does not count.
    """
    if waiting is None:
        return [change(service, active=None, **schedule_at(at))]
    deadline_at = at + service.settings.deploy_minutes * 60
    return [
        change(service, active=waiting.number, waiting=None, **schedule_at(at)),
        change(waiting, deadline_at=deadline_at),
    ]


def open_build(service: Service, number: int) -> Write:
    """Add a new build to the open ones, provided that the service was not deleted meanwhile."""
    return Write(
        service,
        {"open_builds": add(number)},
        condition=Service.id.exists() & Service.deleted_at.does_not_exist(),
        versioned=False,
    )


def close_build(service: Service, build: Build) -> Write:
    """Take an ended build out of the open ones."""
    return change(service, open_builds=discard(build.number))
