"""Durations that the rules use, in seconds, and the form of times for readers."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

# Between two steps of open work. The schedule runs with the same period.
PERIOD = 60
# A service with an open deployment takes its next step within this time. A step that waits for AWS
# comes up to 1.2 periods later.
SOON = 2 * PERIOD
# Between two steps of an idle service: ECS sends no event when a task crashes, and the event of a
# change from outside may be lost. Also if only its owner can repair a problem.
WATCH = 600
# The longest life of a worker: every function's time-out is below this. Until then a call that was
# recorded in `called_at` may still be in flight.
WORKER_LIFE = 31
# CodeBuild's idempotencyToken is valid for five minutes (StartBuild in its API reference). A call
# may be repeated while the token is valid longer than the worker lives.
TOKEN_LIFE = 240
# ECS has recorded a call in a service deployment by then.
RECORDED = 600
# A deployment whose rollout has ended waits so long for a look at its tasks that AWS allows.
READABLE = 3600
# BatchGetBuilds may not know a new build yet.
UNKNOWN_GRACE = 120
# A row that is overdue for so long is stuck: every step of a due row sets a new time.
STUCK = 3 * PERIOD
# Work stays open so long after its deadline while AWS does not answer.
SILENCE = 600


# A list has hundreds of times, and clients that poll read the same ones again.
@lru_cache(maxsize=4096)
def rfc3339(seconds: int | float | None) -> str | None:
    """The time as `2026-11-22T22:34:44Z`; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_of(seconds: int) -> str:
    """The UTC day of a time, such as `2026-11-22`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def days_until(last: date, number: int) -> list[str]:
    """So many days that end with `last`, the oldest first."""
    return [(last - timedelta(days=each)).isoformat() for each in reversed(range(number))]
