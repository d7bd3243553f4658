"""Services: reads, and the writes that change their active deployment and open builds."""

from collections.abc import Iterable

from pynamodb.constants import NULL
from pynamodb.expressions.condition import size
from pynamodb.expressions.operand import Path
from pynamodb.indexes import Index

from chalicelib.domain.timing import PERIOD
from chalicelib.store.due import due_by
from chalicelib.store.models import LISTED, Deployment, Service
from chalicelib.store.reads import Page, find, find_all, get, page_of_ids
from chalicelib.store.writes import Write, add, change, discard

# Of the builds of pushes, so many are compared with the next one that ends.
_KEEP_PUSHED = 50


def get_service(number: int) -> Service:
    """The service with this number; raises NotFound."""
    return get(Service, number, missing=f"there is no service {number}")


def find_service(number: int) -> Service | None:
    """The service with this number, or None."""
    return find(Service, number)


def find_services(numbers: Iterable[float]) -> list[Service]:
    """The services with these numbers, in consistent reads, by number."""
    rows = find_all(Service, map(int, numbers)).values()
    return sorted(rows, key=lambda row: row.id)


def list_services(project_id: int | None, *, limit: int, before: int | None) -> Page[Service]:
    """A page of the services of a project, or of all, newest first, without deleted ones."""
    index: Index[Service] = Service.all_index if project_id is None else Service.project_index
    key = LISTED if project_id is None else project_id
    found = page_of_ids(index, Service, key, Service.id, limit=limit, before=before)
    # The index may still list a service that has just been deleted.
    return Page([row for row in found.rows if row.deleted_at is None], found.before)


def activate_waiting(service: Service, waiting: Deployment | None, *, at: int) -> list[Write]:
    """Make the waiting deployment, if any, active after the end of the active one.

    Its deadline counts from now, without the time that it has waited.
    """
    if waiting is None:
        return [change(service, active=None, **due_by(service, at + PERIOD))]
    deadline_at = at + service.settings.deploy_minutes * 60
    return [
        change(service, active=waiting.number, waiting=None, **due_by(service, at + PERIOD)),
        change(waiting, deadline_at=deadline_at),
    ]


def open_build(service: Service, number: int, *, most: int, pushed: bool, pull: bool) -> Write:
    """Add a new build to the open ones, and to those of pushes or of pull requests.

    The conditions are that the service is not deleted, has builds of its own and has fewer than
    `most` open ones.
    """
    has_room = Service.open_builds.does_not_exist() | (size(Service.open_builds) < most)
    exists = Service.id.exists() & Service.deleted_at.does_not_exist()
    source = Path(["settings", "image_from"])
    has_own = source.does_not_exist() | source.is_type(NULL)
    lists = ["open_builds", *(["pushed"] if pushed else []), *(["open_pulls"] if pull else [])]
    return Write(
        service,
        dict.fromkeys(lists, add(number)),
        condition=exists & has_own & has_room,
        versioned=False,
    )


def close_builds(service: Service, *numbers: int) -> Write:
    """Remove ended builds from the open ones, and old ones from those of pushes.

    The newest of `numbers` is the build that ended last. A build of a pull request says nothing
    about the service, so it is never that.
    """
    pulls = set(numbers) & set(map(int, service.open_pulls or ()))
    pushed = set(service.pushed or ())
    still_open = set(service.open_builds or ()) - set(numbers)
    old = pushed - set(sorted(pushed)[-_KEEP_PUSHED:]) - still_open
    values = {
        "open_builds": discard(*numbers),
        **({"open_pulls": discard(*pulls)} if pulls else {}),
        **({"pushed": discard(*old)} if old else {}),
    }
    own = set(numbers) - pulls
    return change(service, **values, **({"last_build": max(own)} if own else {}))


def take_turn(service: Service, mark: int) -> Write:
    """Move the service to the end of the line, in any version of its row."""
    return Write(service, {"turn": mark}, condition=Service.id.exists(), versioned=False)
