"""The line of queued builds as it is now, and the place of one build in it.

To read the line costs a read of each open build and of each service that waits. So the many builds
of a long line share one reading for a few seconds.
"""

from collections.abc import Iterable, Mapping, Set

import msgspec

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
from chalicelib.domain.statuses import BuildStatus, has_ended, job_id
from chalicelib.domain.timing import PERIOD
from chalicelib.settings import settings
from chalicelib.store.due import open_builds
from chalicelib.store.jobs import find_builds
from chalicelib.store.models import Build, Service
from chalicelib.store.services import find_services, get_service

# Builds of a long line share a reading of it for so many seconds.
SHARED = 5
# A shorter line is read at each step of a build in it.
_LONG = 50
# The places of so many builds at its head are always read.
_HEAD = 10


class _Reading(msgspec.Struct, frozen=True):
    """The open builds at a time, and of the services that wait their marks and their builds of
    pull requests.
    """

    at: int
    builds: Mapping[int, OpenBuild]
    marks: Mapping[int, int]
    pulls: Set[int]

    def line(self, now: int) -> Line:
        return form_line(
            self.builds.values(),
            self.marks,
            pulls=self.pulls,
            limit=settings().job_workers,
            now=now,
        )


# This worker's last reading.
_last: dict[str, _Reading] = {}


def line_with(build: Build, service: Service) -> Line:
    """The line with this queued build of `service` in it, to decide whether the build may start.

    If the line is long and the build is not next, the line may be a few seconds old: the end of a
    running build calls the next ones, and `uncalled` finds those whose call was lost.
    """
    now = clock.now()
    shared = None if _is_called(build, now) else _shared(now)
    if shared is not None:
        own = _waiting(build, shared.builds, now)
        marks = {**shared.marks, service.id: service.turn}
        builds = {**shared.builds, build.number: own}
        pulls = shared.pulls | _pulls_of(service)
        _last["line"] = shared = _Reading(shared.at, builds, marks, pulls)
        line = shared.line(now)
        if build.number not in line.next:
            return line
    return read_line(waiting=build)


def _shared(now: int) -> _Reading | None:
    """The last reading if the line is long and it is not too old."""
    last = _last.get("line")
    if last is None or not last.at <= now <= last.at + SHARED:
        return None
    waiting = sum(not build.in_codebuild for build in last.builds.values())
    return last if waiting > _LONG else None


def _is_called(build: Build, now: int) -> bool:
    """Whether the end of another build has woken it: it is neither new nor due."""
    return build.created_at + PERIOD < now < (build.due_at or 0)


def read_line(*, waiting: Build | None = None, ended: Build | None = None) -> Line:
    """The line, from an index that may lag.

    `waiting` is in the line and `ended` is not, even if the index does not know it yet.
    """
    now = clock.now()
    builds = {build.number: build for build in open_builds()}
    if waiting is not None:
        builds[waiting.number] = _waiting(waiting, builds, now)
    if ended is not None:
        builds.pop(ended.number, None)
    return _read_marks(builds, now).line(now)


def _waiting(build: Build, builds: Mapping[int, OpenBuild], now: int) -> OpenBuild:
    # Its due time stays, so that after an outage all overdue builds keep their order.
    due_at = builds[build.number].due_at if build.number in builds else now
    return OpenBuild(build.number, build.service_id, due_at, in_codebuild=False)


def _read_marks(builds: Mapping[int, OpenBuild], now: int) -> _Reading:
    services = waiting_services(builds.values())
    waiting = sum(not build.in_codebuild for build in builds.values())
    # One build that waits has the first place, whatever the row of its service says.
    rows = find_services(services) if waiting > 1 else []
    marks = {row.id: row.turn for row in rows}
    pulls = frozenset[int]().union(*map(_pulls_of, rows))
    _last["line"] = reading = _Reading(now, builds, marks, pulls)
    return reading


def _pulls_of(service: Service) -> Set[int]:
    return frozenset(map(int, service.open_pulls or ()))


def uncalled(found: Iterable[OpenBuild]) -> list[str]:
    """Of all open builds, the job ids of the next ones whose next step is not due within a period.

    Nothing has called them when the builds before them ended: the worker died, or a message was
    lost.
    """
    now = clock.now()
    builds = {build.number: build for build in found}
    if all(build.in_codebuild or build.due_at <= now + PERIOD for build in builds.values()):
        return []
    line = _read_marks(builds, now).line(now)
    return [job_id("build", each) for each in line.next if builds[each].due_at > now + PERIOD]


def place_of(build: Build, line: Line | None = None) -> Place:
    """The place of a queued build, in `line` if it is there; an empty one for any other build.

    Far behind in a long line the place may be a few seconds old.
    """
    if build.status != BuildStatus.QUEUED:
        return Place()
    if build.codebuild_id is not None:
        return Place(waiting_for=CODEBUILDS_QUEUE)
    if build.cancelled_by is not None:
        return Place(waiting_for="its end: CodeBuild may have got it before it was cancelled")
    if line is None:
        line = _shared_far_behind(build)
    if line is None or build.number not in line.waiting:
        line = read_line(waiting=build)
    return place_in(line, build.number, build.error)


def _shared_far_behind(build: Build) -> Line | None:
    now = clock.now()
    shared = _shared(now)
    line = None if shared is None else shared.line(now)
    return line if line is not None and build.number in line.waiting[_HEAD:] else None


def open_builds_of(
    *, project_id: int | None, service_id: int | None, limit: int
) -> tuple[list[tuple[Build, Place]], int]:
    """The open builds of a service, of a project, or of all, and how many there are.

    The first `limit` are listed: those that CodeBuild has, then the line in its order, each with
    its place. An index that may lag says which there are, of the first thousand. In a long line
    that may be a few seconds old.
    """
    now = clock.now()
    reading = _shared(now) or _read_marks({build.number: build for build in open_builds()}, now)
    found, line = reading.builds, reading.line(now)
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
