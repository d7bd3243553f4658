"""The health of a release after its success: do all its tasks run, and since when not?"""

import msgspec

from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.timing import PERIOD

# Seconds that tasks may be missing until this is news: ECS replaces a single task in less.
GRACE = 2 * PERIOD


class TaskCount(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of an ECS service: how many run and are desired, whatever they run.

    During a rollout the tasks of both releases run, so there may be more than are desired.
    `seen_at` is when Slipway first saw these numbers, in seconds since the epoch.

    This is the fact, and `Health` is the verdict on it: whether the current release misses tasks,
    since when and why. There is no verdict while ECS runs something else.
    """

    running: int
    desired: int
    seen_at: int


def next_count(before: TaskCount | None, rollout: Rollout) -> TaskCount:
    """The count after a look at the service: `before` itself if it shows the same numbers."""
    numbers = (rollout.all_running, rollout.all_desired)
    if before is not None and (before.running, before.desired) == numbers:
        return before
    running, desired = numbers
    return TaskCount(running=running, desired=desired, seen_at=rollout.seen_at)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """A release of which not all tasks run. Times are in seconds since the epoch.

    `since` is when Slipway first saw it, and `recovered_at` when all tasks ran again. `why` is the
    newest reason that ECS gives. `reported` says whether the audit trail has it.
    """

    running: int
    desired: int
    since: int
    why: str | None = None
    recovered_at: int | None = None
    reported: bool = False


def next_health(
    before: Health | None, *, running: int, desired: int, why: str | None, now: int
) -> Health | None:
    """The health after a look at the service; None if all tasks run.

    After a failure all tasks must run in two looks, a period apart: tasks that crash again and
    again all run in between.
    """
    if running >= desired:
        if before is None or (
            before.recovered_at is not None and now - before.recovered_at >= PERIOD
        ):
            return None
        recovered_at = now if before.recovered_at is None else before.recovered_at
        return msgspec.structs.replace(
            before, running=running, desired=desired, recovered_at=recovered_at
        )
    since = now if before is None else before.since
    known = why or (before.why if before else None)
    failed = running == 0 or known is not None
    reported = before is not None and before.reported
    return Health(
        running=running,
        desired=desired,
        since=since,
        why=known,
        reported=reported or (failed and now - since >= GRACE),
    )
