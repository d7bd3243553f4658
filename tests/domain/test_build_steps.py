"""The next step of a build, as complete tables."""

import pytest

from chalicelib.domain.builds import (
    BuildReport,
    Progress,
    Start,
    decide_progress,
    decide_start,
    why_late,
    why_no_capacity,
)
from chalicelib.domain.service_settings import BuildSettings
from chalicelib.domain.timing import TOKEN_LIFE, UNKNOWN_GRACE

NOW, SOON, PAST = 10_000, 10_001, 9_999


@pytest.mark.parametrize(
    ("deadline_at", "attempt_at", "with_turn", "without_turn"),
    [
        (SOON, None, Start.BEGIN, Start.WAIT),
        (NOW, None, Start.BEGIN, Start.WAIT),
        (PAST, None, Start.BEGIN, Start.BEGIN),
        (SOON, NOW, Start.REPEAT, Start.REPEAT),
        (SOON, NOW - TOKEN_LIFE, Start.REPEAT, Start.REPEAT),
        (SOON, NOW - TOKEN_LIFE - 1, Start.FIND, Start.FIND),
        (PAST, NOW, Start.FIND, Start.FIND),
        (PAST, NOW - TOKEN_LIFE - 1, Start.FIND, Start.FIND),
    ],
)
def test_a_build_is_started_once_and_in_its_turn(
    deadline_at: int, attempt_at: int | None, with_turn: Start, without_turn: Start
) -> None:
    steps = [
        decide_start(now=NOW, deadline_at=deadline_at, attempt_at=attempt_at, has_turn=has_turn)
        for has_turn in (True, False)
    ]
    assert steps == [with_turn, without_turn]


@pytest.mark.parametrize(
    ("status", "in_time", "late"),
    [
        ("IN_PROGRESS", Progress.WAIT, Progress.STOP),
        ("SUCCEEDED", Progress.SUCCEED, Progress.SUCCEED),
        ("FAILED", Progress.FAIL, Progress.FAIL),
        ("FAULT", Progress.FAIL, Progress.FAIL),
        ("TIMED_OUT", Progress.FAIL, Progress.FAIL),
        ("STOPPED", Progress.CANCEL, Progress.FAIL),
    ],
)
def test_a_build_ends_as_codebuild_reports(status: str, in_time: Progress, late: Progress) -> None:
    """StatusType in the CodeBuild API reference has these six values."""
    report = BuildReport(id="project:1", status=status, phase="BUILD")
    steps = [
        decide_progress(report, now=NOW, since=0, deadline_at=deadline) for deadline in (NOW, PAST)
    ]
    assert steps == [in_time, late]


@pytest.mark.parametrize(
    ("attempt_at", "step"),
    [(None, Start.GIVE_UP), (NOW, Start.FIND), (NOW - TOKEN_LIFE - 1, Start.FIND)],
)
@pytest.mark.parametrize("deadline_at", [PAST, SOON])
def test_a_cancelled_build_is_not_started(
    deadline_at: int, attempt_at: int | None, step: Start
) -> None:
    for has_turn in (True, False):
        assert step is decide_start(
            now=NOW,
            deadline_at=deadline_at,
            attempt_at=attempt_at,
            has_turn=has_turn,
            cancelled=True,
        )


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED"])
@pytest.mark.parametrize("deadline_at", [PAST, SOON])
def test_a_cancelled_build_ends_cancelled_with_every_codebuild_status(
    deadline_at: int, status: str
) -> None:
    def step(status: str) -> Progress:
        report = BuildReport(id="project:1", status=status, phase="BUILD")
        return decide_progress(report, now=NOW, since=0, deadline_at=deadline_at, cancelled=True)

    assert step(status) is Progress.CANCEL
    assert step("IN_PROGRESS") is Progress.STOP


def test_a_cancelled_build_that_codebuild_does_not_know_ends_cancelled() -> None:
    def step(since: int) -> Progress:
        return decide_progress(None, now=NOW, since=since, deadline_at=SOON, cancelled=True)

    assert step(NOW - UNKNOWN_GRACE) is Progress.WAIT
    assert step(NOW - UNKNOWN_GRACE - 1) is Progress.CANCEL


@pytest.mark.parametrize("deadline_at", [PAST, SOON])
def test_a_build_that_codebuild_does_not_know_fails_after_two_minutes(deadline_at: int) -> None:
    def step(since: int) -> Progress:
        return decide_progress(None, now=NOW, since=since, deadline_at=deadline_at)

    assert step(NOW - UNKNOWN_GRACE) is Progress.WAIT
    assert step(NOW - UNKNOWN_GRACE - 1) is Progress.FORGOTTEN


def test_a_late_build_names_the_limit_that_it_passed() -> None:
    settings = BuildSettings(git_url="https://github.com/a/b", queued_minutes=2, build_minutes=7)
    queued = BuildReport(id="project:1", status="TIMED_OUT", phase="COMPLETED")
    ran = BuildReport(id="project:1", status="TIMED_OUT", phase="COMPLETED", left_queue_at=NOW)
    assert why_late(queued, settings).startswith("waited 5 minutes in CodeBuild's own queue")
    assert why_late(ran, settings).startswith("ran longer than its build_minutes (7)")


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ([], "The CodeBuild project runs no build: check the account's quotas"),
        (["a", "b"], "The CodeBuild project runs a, b: end these builds"),
        (["a", "b", "c", "d", "e"], "The CodeBuild project runs a, b, c and 2 more: end these"),
    ],
)
def test_a_build_without_capacity_names_the_builds_that_take_it(
    others: list[str], named: str
) -> None:
    settings = BuildSettings(git_url="https://github.com/a/b", queued_minutes=2)
    error = why_no_capacity("refused", others, settings)
    assert error.startswith("waited 2 minutes for CodeBuild while no other build of Slipway ran")
    assert named in error
    assert error.endswith("refused")
