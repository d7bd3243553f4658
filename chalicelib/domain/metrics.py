"""Numbers: what the end of a job adds to the roll-ups, and what the sums of roll-ups say.

A roll-up is the sum of all ends of one scope (a service, a part of the installation) and one UTC
day: counters by name, and a histogram and a sum for each `Timing`. docs/metrics.md defines each
number.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from math import ceil

import msgspec

from chalicelib.domain.statuses import BuildStatus, DeploymentStatus

Counts = Mapping[str, int]

# Each bucket is at most a fifth longer than the one before: see `percentile`.
_GROWTH = 1.2
_LONGEST = 90 * 86_400


class Timing(StrEnum):
    """A duration that has a histogram."""

    QUEUE = "queue"  # of a build, from its request to its start in CodeBuild
    BUILD = "build"  # of a successful build, from its start to its end
    DEPLOY = "deploy"  # of a successful deployment, from the begin of its rollout to its end
    LEAD = "lead"  # from a push to the end of the first deployment that runs it
    RESTORE = "restore"  # from the failure of a deployment to the next success of its service


BUILD_ENDS = (
    BuildStatus.SUCCESS,
    BuildStatus.FAILED,
    BuildStatus.CANCELLED,
    BuildStatus.SUPERSEDED,
)
DEPLOYMENT_ENDS = (
    DeploymentStatus.SUCCESS,
    DeploymentStatus.FAILED,
    DeploymentStatus.CANCELLED,
    DeploymentStatus.SUPERSEDED,
    DeploymentStatus.ROLLED_BACK,
)
# Changes are deployments that are no rollbacks. `released` have succeeded, `unfit` have failed or
# were rolled back before their success, and a rollback has `left` others after their success.
RELEASED, UNFIT, LEFT = "changes_released", "changes_unfit", "changes_left"


def _bounds() -> Iterator[int]:
    bound = 0
    while bound < _LONGEST:
        yield bound
        bound = max(bound + 1, int(bound * _GROWTH))
    yield _LONGEST


# Bucket i has the whole seconds above BOUNDS[i - 1] up to BOUNDS[i]. One more has what is longer.
BOUNDS: tuple[int, ...] = tuple(_bounds())


def bucket_of(seconds: int) -> int:
    """The bucket of a duration that is not negative."""
    return bisect_left(BOUNDS, seconds)


def timings_of_build(
    status: str, *, created_at: int, started_at: int | None, finished_at: int
) -> dict[Timing, int]:
    """The durations, in seconds, that the end of a build with a status adds to the histograms."""
    if started_at is None:
        return {}
    timings = {Timing.QUEUE: started_at - created_at}
    if status == BuildStatus.SUCCESS:
        timings[Timing.BUILD] = finished_at - started_at
    return _not_negative(timings)


def build_ended(status: str, timings: Mapping[Timing, int]) -> Counter[str]:
    """What the end of a build adds to the roll-ups of its day."""
    return Counter({f"builds_{status}": 1}) + _observed(timings)


def timings_of_deployment(
    status: str,
    *,
    started_at: int | None,
    finished_at: int,
    lead_seconds: int | None,
    restore_seconds: int | None,
) -> dict[Timing, int]:
    """The durations, in seconds, that the end of a deployment adds to the histograms."""
    if status != DeploymentStatus.SUCCESS:
        return {}
    timings = {
        Timing.DEPLOY: None if started_at is None else finished_at - started_at,
        Timing.LEAD: lead_seconds,
        Timing.RESTORE: restore_seconds,
    }
    return _not_negative({each: took for each, took in timings.items() if took is not None})


def deployment_ended(
    status: str, timings: Mapping[Timing, int], *, is_rollback: bool
) -> Counter[str]:
    """What the end of a deployment adds to the roll-ups of its day."""
    counts = Counter({f"deployments_{status}": 1})
    if not is_rollback and status == DeploymentStatus.SUCCESS:
        counts[RELEASED] += 1
    if not is_rollback and status in {DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK}:
        counts[UNFIT] += 1
    return counts + _observed(timings)


def _not_negative(timings: Mapping[Timing, int]) -> dict[Timing, int]:
    """AWS and Slipway have different clocks."""
    return {each: max(0, took) for each, took in timings.items()}


def release_left(*, is_rollback: bool) -> Counter[str]:
    """What a rollback of a successful release adds to the roll-ups of its day."""
    counts = Counter({f"deployments_{DeploymentStatus.ROLLED_BACK}": 1})
    return counts if is_rollback else counts + Counter({LEFT: 1})


class Source(msgspec.Struct, frozen=True):
    """The push that a release comes from: its time and the build. None for any other release."""

    pushed_at: int | None = None
    build_id: int | None = None

    def is_later_than(self, other: "Source | None") -> bool:
        """Whether it is a push after the other one, or the other one is no push."""
        if self.pushed_at is None:
            return False
        if other is None or other.pushed_at is None:
            return True
        own = (self.pushed_at, self.build_id or 0)
        return own > (other.pushed_at, other.build_id or 0)


def lead_time(release: Source, newest: Source | None, *, finished_at: int) -> int | None:
    """The seconds from a push to the end of the deployment that is the first to run it.

    None if the deployment comes from no push, or the same push or a later one has run already:
    `newest`. So going back, forward again, or deploying an image again has no lead time.
    """
    if release.pushed_at is None or not release.is_later_than(newest):
        return None
    return max(0, finished_at - release.pushed_at)


def failing_since(
    known: int | None, *, is_rollback: bool, rolled_out: bool, created_at: int, ended_at: int
) -> int | None:
    """Since when a service waits for a success, after the failure of a deployment; None if it runs.

    The first failure counts, `known`. A failure before the rollout changes nothing in ECS. But the
    cause of a rollback was there when it was requested, however the rollback fails.
    """
    if known is not None or not (rolled_out or is_rollback):
        return known
    return created_at if is_rollback else ended_at


def restore_time(
    known: int | None, *, is_rollback: bool, created_at: int, finished_at: int
) -> int | None:
    """The seconds from a failure to the success of a deployment; None if nothing had failed.

    A successful rollback ends a failure that began at the latest when it was requested.
    """
    since = created_at if known is None and is_rollback else known
    return None if since is None else max(0, finished_at - since)


def histogram(counts: Counts, timing: Timing) -> list[int]:
    """The numbers of durations in each bucket, from the counters of a roll-up."""
    return [counts.get(f"{timing}_{each}", 0) for each in range(len(BOUNDS) + 1)]


def sum_of(counts: Counts, timing: Timing) -> int:
    """The sum of all durations, in seconds."""
    return counts.get(f"{timing}_seconds", 0)


def percentile(buckets: list[int], share: float) -> int | None:
    """The duration that `share` of all are not longer than, in seconds; None if there are none.

    It is the middle of the bucket with the duration of this rank (nearest rank), so it differs from
    that duration by at most 10 % (and half a second). Up to 10 seconds it is exact. Beyond 90 days
    it is 90 days.
    """
    rank = ceil(sum(buckets) * share)
    seen = 0
    for number, count in enumerate(buckets):
        seen += count
        if count and seen >= rank:
            return _middle(number)
    return None


def _middle(number: int) -> int:
    if number in {0, len(BOUNDS)}:
        return BOUNDS[min(number, len(BOUNDS) - 1)]
    return (BOUNDS[number - 1] + 1 + BOUNDS[number]) // 2


def share_of(part: int, whole: int) -> float | None:
    """A part of a whole, from 0 to 1, with four digits; None if the whole is 0."""
    return round(part / whole, 4) if whole else None


def change_failure_rate(counts: Counts) -> float | None:
    """The share of changes that failed or were rolled back; None without a change.

    A rollback counts on its own day. So a short window can have more of them than changes: the rate
    is at most 1.
    """
    bad = counts.get(UNFIT, 0) + counts.get(LEFT, 0)
    changes = counts.get(RELEASED, 0) + counts.get(UNFIT, 0)
    return share_of(bad, max(changes, bad))


def _observed(timings: Mapping[Timing, int]) -> Counter[str]:
    """The counters of durations: one more in its bucket, and its seconds in the sum."""
    counts = Counter[str]()
    for timing, seconds in timings.items():
        counts[f"{timing}_{bucket_of(seconds)}"] += 1
        counts[f"{timing}_seconds"] += seconds
    return +counts  # without zeros
