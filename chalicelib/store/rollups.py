"""Roll-ups: sums of ended jobs by scope and UTC day, added to in the transaction of the end.

A job counts for its service and for the installation. The services of a project share a partition,
and the project's sums are those of its services, also of deleted ones. The installation has a row
for each of some shards, by service, so that not all ends write to one row.

Earlier versions wrote rows of their own for each service and each project. Those are added.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from chalicelib.domain.metrics import Counts
from chalicelib.domain.timing import day_of
from chalicelib.store.models import Job, RollUp
from chalicelib.store.reads import batches, reading
from chalicelib.store.writes import Write, count

_SHARDS = 8
# So many roll-ups count a job.
SCOPES = 2


def roll_up(job: Job, counts: Counts, *, at: int) -> tuple[Write, ...]:
    """Add the end of a job, at a time, to the roll-ups that count it.

    The writes have no condition: the one of the job's row in the same commit allows one end only.
    """
    day = day_of(at)
    return (
        count(RollUp(_project(job.project_id), _part(day, job.service_id)), counts),
        count(RollUp(_shard(job.service_id % _SHARDS), day), counts),
    )


def read_roll_ups(
    *, project_id: int | None, service_id: int | None, days: Sequence[str]
) -> Mapping[str, Counter[str]]:
    """The counters of each of some consecutive days, in consistent reads.

    They are those of a service in its project, of a project, or of all. A day without an end of a
    job has none.
    """
    found = {day: Counter[str]() for day in days}
    for row in _rows(project_id, service_id, days):
        found[row.day.partition("#")[0]].update(row.counts)
    return found


def _rows(project_id: int | None, service_id: int | None, days: Sequence[str]) -> Iterator[RollUp]:
    if project_id is None:
        shards = map(_shard, range(_SHARDS))
        yield from batches(RollUp, [(shard, day) for shard in shards for day in days])
    elif service_id is None:
        yield from _rows_of_project(project_id, days)
    else:
        older = [(f"service-{service_id}", day) for day in days]
        own = [(_project(project_id), _part(day, service_id)) for day in days]
        yield from batches(RollUp, [*older, *own])


def _rows_of_project(project_id: int, days: Sequence[str]) -> Iterator[RollUp]:
    window = RollUp.day.between(days[0], f"{days[-1]}~")
    with reading():
        yield from RollUp.query(_project(project_id), window, consistent_read=True)


def _project(number: int) -> str:
    return f"project-{number}"


def _part(day: str, service_id: int) -> str:
    return f"{day}#{service_id}"


def _shard(number: int) -> str:
    return f"all-{number}"
