"""The line of queued builds as it is now, and the place of one build in it."""

from collections.abc import Collection, Iterable

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
from chalicelib.domain.statuses import BuildStatus, has_ended
from chalicelib.settings import settings
from chalicelib.store.due import open_builds
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
    return _line_of(builds.values(), now)


def _line_of(builds: Collection[OpenBuild], now: int) -> Line:
    services = waiting_services(builds)
    marks = turns(services) if len(services) > 1 else {}
    return form_line(builds, marks, limit=settings().job_workers, now=now)


def place_of(build: Build, line: Line | None = None) -> Place:
    """The place of a queued build, in `line` if it is there; an empty one for any other build."""
    if build.status != BuildStatus.QUEUED:
        return Place()
    if build.codebuild_id is not None:
        return Place(waiting_for=CODEBUILDS_QUEUE)
    if build.cancelled_by is not None:
        return Place(waiting_for="its end: CodeBuild may have got it before it was cancelled")
    if line is None or build.number not in line.waiting:
        line = read_line(waiting=build)
    return place_in(line, build.number, build.error)


def open_builds_of(
    *, project_id: int | None, service_id: int | None, limit: int
) -> tuple[list[tuple[Build, Place]], int]:
    """The open builds of a service, of a project, or of all, and how many there are.

    The first `limit` are listed: those that CodeBuild has, then the line in its order, each with
    its place. An index that may lag says which there are, of the first thousand.
    """
    found = {build.number: build for build in open_builds()}
    line = _line_of(found.values(), clock.now())
    waiting = set(line.waiting)
    order = [*(number for number in sorted(found) if number not in waiting), *line.waiting]
    services = _services_of(
        {build.service_id for build in found.values()},
        project_id=project_id,
        service_id=service_id,
    )
    own = [number for number in order if found[number].service_id in services]
    rows = {row.number: row for row in find_builds(own[:limit])}
    ended = [row for row in rows.values() if has_ended(row.status)]
    shown = [rows[number] for number in own[:limit] if number in rows]
    listed = [(row, place_of(row, line)) for row in shown if row not in ended]
    return listed, len(own) - len(ended)


def _services_of(numbers: set[int], *, project_id: int | None, service_id: int | None) -> set[int]:
    """Those of the services that are this one, or of this project."""
    if service_id is not None:
        return numbers & {service_id}
    if project_id is not None:
        return {row.id for row in find_services(numbers) if row.project_id == project_id}
    return numbers


def queue_of(*, project_id: int | None, service_id: int | None) -> tuple[int, int | None]:
    """How many builds are queued now, and how many seconds the oldest of them has waited.

    Of a service it is read from its row; of a project, or of everything, from an index that may
    lag, and which shows the first thousand open builds.
    """
    if service_id is not None:
        numbers = [int(each) for each in get_service(service_id).open_builds or ()]
        waiting = [each for each in find_builds(numbers) if each.status == BuildStatus.QUEUED]
        return len(waiting), _waited(waiting)
    queued = [build for build in open_builds() if not build.runs]
    services = {build.service_id for build in queued}
    own = _services_of(services, project_id=project_id, service_id=None)
    numbers = sorted(build.number for build in queued if build.service_id in own)
    return len(numbers), _waited(find_builds(numbers[:1]))


def _waited(builds: Iterable[Build]) -> int | None:
    since = min((build.created_at for build in builds), default=None)
    return None if since is None else max(0, clock.now() - since)
