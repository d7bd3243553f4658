"""The line of queued builds as it is now, and the place of one build in it."""

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
from chalicelib.store.due import open_builds
from chalicelib.store.models import Build
from chalicelib.store.services import turns


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
