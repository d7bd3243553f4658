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
from chalicelib.store.models import DUE, Build, Job, Service
from chalicelib.store.reads import reading

# Their entries in the index take about 200 KB; a page of a query may have 1 MB.
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
