"""A later push ends the queued builds of earlier pushes, if the service wants it.

So does a later push to a pull request with its own.
"""

from chalicelib import clock
from chalicelib.domain.push_order import superseded
from chalicelib.domain.statuses import BuildStatus, has_ended
from chalicelib.store.history import record
from chalicelib.store.jobs import find_builds, finish
from chalicelib.store.models import Build, Service
from chalicelib.store.rollups import SCOPES
from chalicelib.store.services import close_builds
from chalicelib.store.writes import MAX_WRITES, Write, commit

# Each of them takes two writes. All together take one of the service, and their roll-ups.
AT_ONCE = (MAX_WRITES - 1 - SCOPES) // 2


def may_be_superseded(build: Build) -> bool:
    """Whether the build comes from a push or a pull request, which a later push may replace."""
    return build.trigger in {"push", "pull_request"}


def supersede_builds(service: Service) -> frozenset[int]:
    """End the queued builds of the service that a later push replaces; return their numbers.

    Each worker and each delivery may call it at any time: it decides from the rows of the service's
    open builds. Only builds without a StartBuild call end, on condition of the versions that were
    read. Raises Stale if a row has changed.
    """
    if not service.settings.supersede_builds or len(service.open_builds or ()) < 2:
        return frozenset()
    rows = {row.number: row for row in find_builds(map(int, service.open_builds or ()))}
    pushed = [row.push for row in rows.values() if _is_open(row)]
    ended = sorted(superseded(pushed).items())[:AT_ONCE]
    if ended:
        # One time for all: the roll-ups of two days would be too many writes.
        now = clock.now()
        writes = [write for number, by in ended for write in _end(rows[number], rows[by], now)]
        commit(*writes, close_builds(service, *(number for number, _ in ended)))
    return frozenset(number for number, _ in ended)


def _is_open(build: Build) -> bool:
    return may_be_superseded(build) and not has_ended(build.status)


def _end(build: Build, newer: Build, now: int) -> list[Write]:
    return [
        finish(
            build,
            BuildStatus.SUPERSEDED,
            at=now,
            error=f"superseded by build {newer.number}, of a later push to {build.git_ref}",
            superseded_by=newer.number,
        ),
        record(
            build.job_id,
            "build.superseded",
            at=now,
            actor=newer.requested_by,
            project_id=build.project_id,
            service_id=build.service_id,
            superseded_by=newer.number,
        ),
    ]
