"""Progress never falls and is below 100 before the end. Steps and expected times are in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.buildkit_steps import is_pushing, read_stages
from chalicelib.domain.progress import (
    build_progress,
    build_step,
    deploy_progress,
    deploy_step,
    expected_seconds,
    is_building_image,
    remaining_seconds,
    steps_progress,
    with_duration,
)
from chalicelib.domain.release_commands import CommandRun

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


STEPS = st.builds(
    lambda stage, step, of: f"#1 [{stage} {min(step, of)}/{of}] RUN make",
    st.sampled_from(["builder", "stage-1", "linux/arm64 test"]),
    st.integers(1, 40),
    st.integers(1, 40),
)
LINES = st.lists(st.one_of(STEPS, st.just("#9 0.1 output"), st.just("#15 pushing layers")))


@given(st.lists(st.one_of(st.sampled_from(PHASES), LINES)))
def test_progress_of_phases_and_steps_never_falls(looks: list[str | list[str]]) -> None:
    """Each look sees a part of the log, or a phase; events come in any order."""
    seen, stages = [0], dict[str, tuple[int, int]]()
    for look in looks:
        if isinstance(look, str):
            seen.append(build_progress(look, seen[-1]))
        elif is_building_image("building", seen[-1]):
            stages = read_stages(look, stages)
            seen.append(steps_progress(stages, pushes=is_pushing(look), previous=seen[-1]))
            assert 40 <= seen[-1] < 85
    assert seen == sorted(seen)
    assert seen[-1] < 100


@pytest.mark.parametrize(
    ("stages", "pushes", "progress"),
    [
        ({}, False, 40),
        ({"": (1, 4)}, False, 40),
        ({"": (3, 4)}, False, 60),
        ({"": (4, 4)}, False, 70),
        ({"a": (4, 4), "b": (1, 4)}, False, 55),
        ({"": (4, 4)}, True, 80),
        ({}, True, 80),
    ],
)
def test_steps_before_the_running_ones_are_progress(
    stages: dict[str, tuple[int, int]], pushes: bool, progress: int
) -> None:
    assert steps_progress(stages, pushes=pushes, previous=40) == progress


@pytest.mark.parametrize(
    ("status", "progress", "in_codebuild", "stages", "step"),
    [
        ("queued", 0, False, {}, "waits in Slipway's line"),
        ("queued", 5, True, {}, "waits for CodeBuild's quota"),
        ("building", 10, True, {}, "waits for its machine"),
        ("building", 30, True, {}, "fetches the source"),
        ("building", 40, True, {}, "builds the image"),
        ("building", 50, True, {"a": (4, 9)}, "building 4/9"),
        ("building", 80, True, {"a": (9, 9)}, "pushes the image"),
        ("building", 90, True, {"a": (9, 9)}, "finishes"),
        ("success", 100, True, {"a": (9, 9)}, None),
        ("failed", 50, True, {"a": (4, 9)}, None),
    ],
)
def test_a_build_says_what_it_does(
    status: str,
    progress: int,
    in_codebuild: bool,
    stages: dict[str, tuple[int, int]],
    step: str | None,
) -> None:
    assert build_step(status, progress, stages=stages, in_codebuild=in_codebuild) == step


RUN = CommandRun(command=("migrate",), minutes=5)
CALLED = CommandRun(command=("migrate",), minutes=5, requested_at=1)
STARTED = CommandRun(command=("migrate",), minutes=5, requested_at=1, started_at=2)
ENDED = CommandRun(
    command=("migrate",), minutes=5, requested_at=1, started_at=2, finished_at=3, exit_code=0
)


@pytest.mark.parametrize(
    ("status", "run", "begun", "rolled_out", "tasks", "step"),
    [
        ("queued", None, False, False, None, "waits for its begin"),
        ("deploying", RUN, False, False, None, "waits for the start of its release command"),
        ("deploying", CALLED, False, False, None, "release command starts"),
        ("deploying", STARTED, False, False, None, "release command runs"),
        ("deploying", ENDED, False, False, None, "rollout begins"),
        ("deploying", STARTED, True, False, None, "rollout begins"),
        ("deploying", None, True, False, (2, 3), "2 of 3 tasks run"),
        ("deploying", None, True, True, (3, 3), "waits until the image is proven"),
        ("success", None, True, False, (3, 3), None),
        ("rolled_back", None, True, False, (3, 3), None),
    ],
)
def test_a_deployment_says_what_it_does(
    status: str,
    run: CommandRun | None,
    begun: bool,
    rolled_out: bool,
    tasks: tuple[int, int] | None,
    step: str | None,
) -> None:
    running, desired = tasks or (None, None)
    found = deploy_step(
        status,
        checking=False,
        run=run,
        begun=begun,
        rolled_out=rolled_out,
        running=running,
        desired=desired,
        shift=None,
    )
    assert found == step


def test_a_queued_deployment_says_that_it_waits_for_checks() -> None:
    found = deploy_step(
        "queued",
        checking=True,
        run=None,
        begun=False,
        rolled_out=False,
        running=None,
        desired=None,
        shift=None,
    )
    assert found == "waits for checks"


def test_the_expected_time_is_the_median_of_the_newest_twenty() -> None:
    durations: list[int] = []
    assert expected_seconds(durations) is None
    for seconds in range(1, 31):
        durations = with_duration(durations, seconds)
    assert durations == list(range(11, 31))
    assert expected_seconds(durations) == 20
    assert expected_seconds([5]) == 5
    assert with_duration(None, -3) == [0]


@given(
    begun_at=st.integers(0, 10_000),
    expected=st.integers(0, 10_000),
    times=st.lists(st.integers(0, 30_000)),
)
def test_the_remaining_time_only_falls_and_is_bounded(
    begun_at: int, expected: int, times: list[int]
) -> None:
    left = [
        remaining_seconds("building", begun_at=begun_at, expected=expected, now=now) or 0
        for now in sorted(times)
    ]
    assert left == sorted(left, reverse=True)
    assert all(0 <= each < expected + 5 and each % 5 == 0 for each in left)


@pytest.mark.parametrize(
    ("status", "begun_at", "expected", "left"),
    [
        ("building", 100, 60, 60),
        ("building", 40, 61, 5),
        ("building", 40, 60, 0),
        ("building", 10, 60, 0),
        ("queued", None, 60, None),
        ("building", 100, None, None),
        ("success", 100, 60, None),
    ],
)
def test_the_remaining_time_is_known_only_while_a_job_runs(
    status: str, begun_at: int | None, expected: int | None, left: int | None
) -> None:
    assert remaining_seconds(status, begun_at=begun_at, expected=expected, now=100) == left
