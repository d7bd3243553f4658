"""The line of queued builds as it is now, and the place of one build in it."""

from collections.abc import Iterable

from chalicelib import clock
from chalicelib.domain.line import (
    CODEBUILDS_QUEUE,
    Line,
    OpenBuild,
    Place,
    form_line,
    place_in,
    waiting_services,
)
from chalicelib.domain.statuses import BuildStatus
from chalicelib.settings import settings
from chalicelib.store.due import open_builds, queued_builds
from chalicelib.store.jobs import find_builds
from chalicelib.store.models import Build
from chalicelib.store.services import find_services, get_service, turns


def read_line(*, waiting: Build | None = None, ended: Build | None = None) -> Line:
    """The line, from an index that may lag.

    `waiting` is in the line and `ended` is not, even if the index does not know it yet.
    """
    now = clock.now()
    builds = {build.number: build for build in open_builds()}
    if waiting is not None:
        # Its due time stays, so that after an outage all overdue builds keep their order.
        due_at = builds[waiting.number].due_at if waiting.number in builds else now
        own = OpenBuild(waiting.number, waiting.service_id, due_at, in_codebuild=False)
        builds[waiting.number] = own
    if ended is not None:
        builds.pop(ended.number, None)
    services = waiting_services(builds.values())
    return form_line(
        builds.values(),
        turns(services) if len(services) > 1 else {},
        limit=settings().job_workers,
        now=now,
    )


def place_of(build: Build) -> Place:
    """The place of a queued build; an empty one for any other build."""
    if build.status != BuildStatus.QUEUED:
        return Place()
    if build.codebuild_id is not None:
        return Place(waiting_for=CODEBUILDS_QUEUE)
    if build.cancelled_by is not None:
        return Place(waiting_for="its end: CodeBuild may have got it before it was cancelled")
    return place_in(read_line(waiting=build), build.number, build.error)


def queue_of(*, project_id: int | None, service_id: int | None) -> tuple[int, int | None]:
    """How many builds are queued now, and how many seconds the oldest of them has waited.

    Of a service it is read from its row; of a project, or of everything, from an index that may
    lag, and which shows the first thousand open builds.
    """
    if service_id is not None:
        numbers = [int(each) for each in get_service(service_id).open_builds or ()]
        waiting = [each for each in find_builds(numbers) if each.status == BuildStatus.QUEUED]
        return len(waiting), _waited(waiting)
    queued = queued_builds()
    if project_id is not None:
        rows = find_services({service_id for _, service_id in queued})
        own = {row.id for row in rows if row.project_id == project_id}
        queued = [each for each in queued if each[1] in own]
    return len(queued), _waited(find_builds(sorted(number for number, _ in queued)[:1]))


def _waited(builds: Iterable[Build]) -> int | None:
    since = min((build.created_at for build in builds), default=None)
    return None if since is None else max(0, clock.now() - since)
