"""What has to be looked at again, and when: the only timer there is.

Both indexes are sparse, so they hold open work alone, and they may lag: they remind, and whoever
is reminded reads the row.
"""

from collections.abc import Iterator
from heapq import merge

from pynamodb.expressions.update import Action

from chalicelib.domain.statuses import BuildStatus
from chalicelib.store.models import DUE, Job, Service
from chalicelib.store.reads import reading


def look_again(at: int) -> tuple[Action, ...]:
    """Have a row (a build's or a service's) looked at again at `at`."""
    return (Service.due.set(DUE), Service.due_at.set(at))


def rest() -> tuple[Action, ...]:
    """Nothing is to be done with a row until somebody asks."""
    return (Service.due.remove(), Service.due_at.remove(), Service.attention.remove())


def due_keys(now: int) -> Iterator[str]:
    """The keys ("build-123", "service-7") that are due, the longest due first."""
    with reading():
        builds = Job.due_index.query(DUE, Job.due_at <= now, page_size=50)
        services = Service.due_index.query(DUE, Service.due_at <= now, page_size=50)
        named = (
            ((job.due_at, job.id) for job in builds),
            ((service.due_at, f"service-{service.id}") for service in services),
        )
        for _, key in merge(*named):
            yield key


def oldest_queued_build() -> str | None:
    """The key of the build that has waited longest, as far as one page of the index tells."""
    with reading():
        found = Job.due_index.query(DUE, limit=100, page_size=100)
        queued = (job for job in found if job.status == BuildStatus.QUEUED)
        oldest = min(queued, key=lambda job: job.number, default=None)
    return oldest.id if oldest else None
