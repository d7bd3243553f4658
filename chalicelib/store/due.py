"""The timer: which rows to reconcile, and when.

Both indexes are sparse: they contain only open work. They may lag, so each decision reads the row
itself.
"""

from collections.abc import Iterator
from heapq import merge
from typing import Any

from chalicelib.domain.statuses import BuildStatus
from chalicelib.store.models import DUE, Job, Service
from chalicelib.store.reads import reading


def schedule_at(at: int) -> dict[str, Any]:
    """The attributes of a build or service that is to be reconciled at a time."""
    return {"due": DUE, "due_at": at}


def unschedule() -> dict[str, Any]:
    """The attributes of a row that has no step to take until a new request."""
    return {"due": None, "due_at": None, "attention": None}


def due_row_ids(now: int) -> Iterator[str]:
    """The ids of due rows ("build-123", "service-7"), the longest overdue first."""
    with reading():
        builds = Job.due_index.query(DUE, Job.due_at <= now, page_size=50)
        services = Service.due_index.query(DUE, Service.due_at <= now, page_size=50)
        rows = (
            ((job.due_at, job.job_id) for job in builds),
            ((service.due_at, f"service-{service.id}") for service in services),
        )
        for _, row_id in merge(*rows):
            yield row_id


def oldest_queued_build() -> str | None:
    """The job id of the oldest queued build on the first page of the index, if any."""
    with reading():
        found = Job.due_index.query(DUE, limit=100, page_size=100)
        queued = (job for job in found if job.status == BuildStatus.QUEUED)
        oldest = min(queued, key=lambda job: job.number, default=None)
    return oldest.job_id if oldest else None
