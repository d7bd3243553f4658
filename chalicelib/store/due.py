"""The timer: which rows to reconcile, and when.

Both indexes are sparse: they contain only open work. They may lag, so each decision reads the row
itself.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Any

from chalicelib import clock
from chalicelib.domain.line import OpenBuild
from chalicelib.domain.statuses import BuildStatus, job_id
from chalicelib.domain.timing import SOON
from chalicelib.store.models import DUE, Build, Job, Service
from chalicelib.store.reads import find_all, reading

# So many entries of an index take about 200 KB; a page of a query may have 1 MB.
_MAX_OPEN = 1000


def schedule_at(at: int) -> dict[str, Any]:
    """The attributes of a build or service that is to be reconciled at a time."""
    return {"due": DUE, "due_at": at}


def due_by(row: Build | Service, at: int) -> dict[str, Any]:
    """The attributes of a row that is to be reconciled by a time.

    A timer that fires earlier, but not yet, stays: moving it costs two written units, and a look
    that comes early only reads.
    """
    is_early_enough = row.due_at is not None and clock.now() < row.due_at <= at
    return {} if is_early_enough else schedule_at(at)


def unschedule() -> dict[str, Any]:
    """The attributes of a row that has no step to take until a new request."""
    return {"due": None, "due_at": None, "attention": None}


def due_rows(builds: Iterable[OpenBuild], now: int) -> Iterator[tuple[int, str]]:
    """When rows were due and their ids ("build-123", "service-7"), the longest overdue first.

    `builds` are `open_builds`. The due services are read.
    """
    with reading():
        services = Service.due_index.query(DUE, Service.due_at <= now, page_size=50)
        rows = (
            ((each.due_at, job_id("build", each.number)) for each in builds if each.due_at <= now),
            ((service.due_at, f"service-{service.id}") for service in services),
        )
        yield from merge(*rows)


def open_builds() -> list[OpenBuild]:
    """The open builds, the first due first; of very many only the first thousand."""
    with reading():
        found = Job.due_index.query(DUE, limit=_MAX_OPEN, page_size=_MAX_OPEN)
        return [
            OpenBuild(
                number=build.number,
                service_id=build.service_id,
                due_at=build.due_at or 0,
                in_codebuild=build.codebuild_id is not None,
                runs=build.status != BuildStatus.QUEUED,
            )
            for build in found
            if isinstance(build, Build)
        ]


def all_open_builds() -> list[str] | None:
    """The job ids of all open builds; None if there may be more than `open_builds` reads."""
    found = open_builds()
    return [job_id("build", each.number) for each in found] if len(found) < _MAX_OPEN else None


def all_open_deployments() -> list[str] | None:
    """The job ids of all open deployments; None if a thousand services or more are due soon.

    A service with an open deployment is due soon. Few of the others are: they are due once in
    `timing.WATCH`.
    """
    soon = Service.due_at <= clock.now() + SOON
    with reading():
        found = Service.due_index.query(DUE, soon, limit=_MAX_OPEN, page_size=_MAX_OPEN)
        numbers = [service.id for service in found]
    if len(numbers) == _MAX_OPEN:
        return None
    rows = find_all(Service, numbers, ["id", "active", "waiting", "checking"])
    return [each for row in rows.values() for each in open_deployments_of(row)]


def open_deployments_of(service: Service) -> list[str]:
    """The job ids of a service's open deployments, from its row."""
    numbers = (service.active, service.waiting, service.checking)
    return [job_id("deploy", number) for number in numbers if number is not None]


def open_builds_of(service: Service) -> list[str]:
    """The job ids of a service's open builds, from its row."""
    return [job_id("build", int(number)) for number in service.open_builds or ()]
