"""Roll-ups: sums of ended jobs by scope and UTC day, added to in the transaction of the end.

A job counts for its service, its project and the installation. The installation has a row for each
of some shards, by service, so that not all ends write to one row.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from chalicelib.domain.metrics import Counts
from chalicelib.domain.timing import day_of
from chalicelib.store.models import Job, RollUp
from chalicelib.store.reads import batches
from chalicelib.store.writes import Write, count

_SHARDS = 8
# So many roll-ups count a job.
SCOPES = 3


def roll_up(job: Job, counts: Counts, *, at: int) -> tuple[Write, ...]:
    """Add the end of a job, at a time, to the roll-ups that count it.

    The writes have no condition: the one of the job's row in the same commit allows one end only.
    """
    scopes = (
        *scopes_of(project_id=job.project_id, service_id=job.service_id),
        *scopes_of(project_id=job.project_id, service_id=None),
        _shard(job.service_id % _SHARDS),
    )
    return tuple(count(RollUp(scope, day_of(at)), counts) for scope in scopes)


def scopes_of(*, project_id: int | None, service_id: int | None) -> Sequence[str]:
    """The scopes with the numbers of a service, of a project, or of the installation."""
    if service_id is not None:
        return [f"service-{service_id}"]
    if project_id is not None:
        return [f"project-{project_id}"]
    return [_shard(number) for number in range(_SHARDS)]


def read_roll_ups(scopes: Iterable[str], days: Sequence[str]) -> Mapping[str, Counter[str]]:
    """The counters of each day, summed over the scopes, in consistent reads of a hundred rows.

    A day without an end of a job has none.
    """
    found = {day: Counter[str]() for day in days}
    for row in batches(RollUp, [(scope, day) for scope in scopes for day in days]):
        found[row.day].update(row.counts)
    return found


def _shard(number: int) -> str:
    return f"all-{number}"
