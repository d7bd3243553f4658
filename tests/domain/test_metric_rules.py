"""What ended jobs add to the sums, and what the sums say."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.domain import metrics
from chalicelib.domain.exposition import exposition
from chalicelib.domain.metrics import BOUNDS, Source, Timing

LONGEST = BOUNDS[-1]


def test_buckets_are_exact_for_seconds_and_then_grow_by_a_fifth() -> None:
    assert BOUNDS[:14] == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16)
    assert all(above <= below * 1.2 for below, above in itertools.pairwise(BOUNDS[10:]))
    assert LONGEST == 90 * 86_400


@given(st.integers(0, LONGEST))
@example(LONGEST)
def test_a_duration_is_in_the_bucket_that_ends_at_it_or_above(seconds: int) -> None:
    bucket = metrics.bucket_of(seconds)
    assert seconds <= BOUNDS[bucket]
    assert bucket == 0 or seconds > BOUNDS[bucket - 1]


def test_a_longer_duration_than_any_bucket_has_is_in_the_last_one() -> None:
    assert metrics.bucket_of(LONGEST + 1) == len(BOUNDS)


@given(st.lists(st.integers(0, LONGEST), min_size=1), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_within_ten_percent_of_the_exact_one(took: list[int], share: float) -> None:
    buckets = [0] * (len(BOUNDS) + 1)
    for seconds in took:
        buckets[metrics.bucket_of(seconds)] += 1
    exact = sorted(took)[math.ceil(len(took) * share) - 1]
    shown = metrics.percentile(buckets, share)
    assert shown is not None
    assert abs(shown - exact) <= exact * 0.1 + 0.5
    assert shown == exact or exact > 10


def test_a_percentile_of_nothing_is_unknown_and_of_very_long_times_ninety_days() -> None:
    buckets = [0] * (len(BOUNDS) + 1)
    assert metrics.percentile(buckets, 0.5) is None
    buckets[-1] = 1
    assert metrics.percentile(buckets, 0.5) == LONGEST


@pytest.mark.parametrize(
    ("status", "started_at", "counts"),
    [
        ("success", 103, {"queue_3": 1, "queue_seconds": 3, "build_5": 1, "build_seconds": 5}),
        ("failed", 103, {"queue_3": 1, "queue_seconds": 3}),
        ("cancelled", 103, {"queue_3": 1, "queue_seconds": 3}),
        ("superseded", None, {}),
        ("failed", 90, {"queue_0": 1}),
    ],
)
def test_an_ended_build_adds_its_status_and_its_times(
    status: str, started_at: int | None, counts: dict[str, int]
) -> None:
    took = metrics.timings_of_build(status, created_at=100, started_at=started_at, finished_at=108)
    assert metrics.build_ended(status, took) == {f"builds_{status}": 1, **counts}


@pytest.mark.parametrize(
    ("status", "is_rollback", "counts"),
    [
        ("success", False, {"changes_released": 1, "deploy_8": 1, "deploy_seconds": 8}),
        ("success", True, {"deploy_8": 1, "deploy_seconds": 8}),
        ("failed", False, {"changes_unfit": 1}),
        ("failed", True, {}),
        ("rolled_back", False, {"changes_unfit": 1}),
        ("cancelled", False, {}),
        ("superseded", False, {}),
    ],
)
def test_an_ended_deployment_adds_its_status_and_whether_a_change_was_fit(
    status: str, is_rollback: bool, counts: dict[str, int]
) -> None:
    took = metrics.timings_of_deployment(
        status, started_at=100, finished_at=108, lead_seconds=None, restore_seconds=None
    )
    ended = metrics.deployment_ended(status, took, is_rollback=is_rollback)
    assert ended == {f"deployments_{status}": 1, **counts}


def test_a_release_that_a_rollback_leaves_is_a_bad_change_unless_it_is_a_rollback() -> None:
    assert metrics.release_left(is_rollback=False) == {
        "deployments_rolled_back": 1,
        "changes_left": 1,
    }
    assert metrics.release_left(is_rollback=True) == {"deployments_rolled_back": 1}


@pytest.mark.parametrize(
    ("release", "before", "lead"),
    [
        (Source(100, 1), None, 50),
        (Source(100, 2), Source(90, 1), 50),
        (Source(100, 2), Source(100, 1), 50),
        (Source(100, 2), Source(None, None), 50),
        (Source(100, 1), Source(100, 1), None),
        (Source(90, 1), Source(100, 2), None),
        (Source(None, 1), None, None),
        (Source(None, 2), Source(100, 1), None),
        (Source(200, 1), None, 0),
    ],
    ids=[
        "the first",
        "a later push",
        "a later push of that second",
        "after one by hand",
        "the same image again",
        "going back",
        "no push",
        "no push after a push",
        "a clock that is ahead",
    ],
)
def test_a_lead_time_belongs_to_the_first_deployment_of_a_push(
    release: Source, before: Source | None, lead: int | None
) -> None:
    assert metrics.lead_time(release, before, finished_at=150) == lead


def test_a_failure_begins_with_the_first_failed_deployment_and_ends_with_a_success() -> None:
    def since(known: int | None, *, created_at: int, ended_at: int, **kind: bool) -> int | None:
        kind = {"is_rollback": False, "rolled_out": True} | kind
        return metrics.failing_since(known, created_at=created_at, ended_at=ended_at, **kind)

    assert since(None, created_at=10, ended_at=20) == 20
    assert since(20, created_at=30, ended_at=40) == 20
    assert since(None, created_at=30, ended_at=40, is_rollback=True) == 30
    assert since(None, created_at=10, ended_at=20, rolled_out=False) is None
    assert since(20, created_at=30, ended_at=40, rolled_out=False) == 20
    assert since(None, created_at=30, ended_at=40, is_rollback=True, rolled_out=False) == 30
    times = {"created_at": 50, "finished_at": 65}
    assert metrics.restore_time(20, is_rollback=False, **times) == 45
    assert metrics.restore_time(20, is_rollback=True, **times) == 45
    assert metrics.restore_time(None, is_rollback=True, **times) == 15
    assert metrics.restore_time(None, is_rollback=False, **times) is None


@pytest.mark.parametrize(
    ("counts", "rate"),
    [
        ({}, None),
        ({"changes_released": 4}, 0.0),
        ({"changes_released": 3, "changes_unfit": 1}, 0.25),
        ({"changes_released": 3, "changes_unfit": 1, "changes_left": 1}, 0.5),
        ({"changes_left": 1}, 1.0),
    ],
)
def test_the_change_failure_rate_is_the_share_of_changes_that_failed_or_were_left(
    counts: dict[str, int], rate: float | None
) -> None:
    assert metrics.change_failure_rate(counts) == rate


def test_the_text_for_prometheus_has_cumulative_buckets() -> None:
    counts = Counter(
        {"builds_success": 2, f"{Timing.BUILD}_3": 1, f"{Timing.BUILD}_11": 1, "build_seconds": 15}
    )
    lines = list(exposition(counts, queued=1, oldest_seconds=7))
    assert 'slipway_builds_total{status="success"} 2' in lines
    assert 'slipway_builds_total{status="failed"} 0' in lines
    assert [line for line in lines if line.startswith("slipway_build_seconds")][:5] == [
        'slipway_build_seconds_bucket{le="0"} 0',
        'slipway_build_seconds_bucket{le="5"} 1',
        'slipway_build_seconds_bucket{le="10"} 1',
        'slipway_build_seconds_bucket{le="22"} 2',
        'slipway_build_seconds_bucket{le="52"} 2',
    ]
    assert lines[lines.index('slipway_build_seconds_bucket{le="+Inf"} 2') + 1 :][:2] == [
        "slipway_build_seconds_sum 15",
        "slipway_build_seconds_count 2",
    ]
    assert lines[-1] == "slipway_queue_oldest_seconds 7"
