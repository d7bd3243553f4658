"""What has to be looked at again, and when: the only timer there is.

Both indexes are sparse, so they hold open work alone, and they may lag: they remind, and whoever
is reminded reads the row.
"""

from collections.abc import Iterator

from pynamodb.expressions.update import Action

from chalicelib.domain.statuses import BuildStatus
from chalicelib.store.models import DUE, Job, Service
from chalicelib.store.reads import reading


def look_again(at: int) -> tuple[Action, ...]:
    """Have a row (a build's or a service's) looked at again at `at`."""
    return (Service.due.set(DUE), Service.due_at.set(at))


def rest() -> tuple[Action, ...]:
    """Nothing is to be done with a row until somebody asks."""
    return (Service.due.remove(), Service.due_at.remove())


def due_keys(now: int) -> Iterator[str]:
    """ "build-123" and "service-7" keys that are due, the longest due of each kind first."""
    with reading():
        for job in Job.due_index.query(DUE, Job.due_at <= now, page_size=50):
            yield job.id
        for service in Service.due_index.query(DUE, Service.due_at <= now, page_size=50):
            yield f"service-{service.id}"


def oldest_queued_build() -> str | None:
    """The key of the build that has waited longest, as far as one page of the index tells."""
    with reading():
        queued = Job.due_index.query(
            DUE, filter_condition=Job.status == BuildStatus.QUEUED, limit=100, page_size=100
        )
        oldest = min(queued, key=lambda row: row.number, default=None)
    return oldest.id if oldest else None
