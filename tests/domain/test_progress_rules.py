"""Progress never falls, and is below 100 before the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.progress import build_progress, deploy_progress

PHASES = [
    "SUBMITTED",
    "QUEUED",
    "PROVISIONING",
    "DOWNLOAD_SOURCE",
    "INSTALL",
    "PRE_BUILD",
    "BUILD",
    "POST_BUILD",
    "UPLOAD_ARTIFACTS",
    "FINALIZING",
]

COUNTS = st.tuples(st.integers(-1, 50), st.integers(-1, 50))


def test_progress_grows_with_each_phase_of_codebuild() -> None:
    seen = [build_progress(phase, 0) for phase in PHASES]
    assert seen == sorted(set(seen))
    assert (seen[0], seen[-1]) == (2, 90)


def test_an_unknown_phase_does_not_change_the_progress() -> None:
    assert build_progress("TELEPORTING", 40) == 40


@given(st.lists(st.sampled_from([*PHASES, "COMPLETED", "unknown"])))
def test_build_progress_never_falls_with_events_in_any_order(phases: list[str]) -> None:
    seen = [0]
    for phase in phases:
        seen.append(build_progress(phase, seen[-1]))
    assert seen == sorted(seen)
    assert seen[-1] < 100


@pytest.mark.parametrize(
    ("running", "desired", "expected"),
    [(0, 2, 10), (1, 2, 52), (2, 2, 95), (5, 2, 95), (0, 0, 95), (1, 3, 38)],
)
def test_deploy_progress_is_the_share_of_running_tasks(
    running: int, desired: int, expected: int
) -> None:
    assert deploy_progress(running, desired, 0) == expected


@given(st.lists(COUNTS))
def test_deploy_progress_never_falls_with_any_report_of_ecs(counts: list[tuple[int, int]]) -> None:
    seen = [0]
    for running, desired in counts:
        seen.append(deploy_progress(running, desired, seen[-1]))
    assert seen == sorted(seen)
    assert seen[-1] <= 95
