"""The health of a release, look by look."""

import pytest

from chalicelib.domain.health import GRACE, Health, TaskCount, next_count, next_health
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.timing import PERIOD

Look = tuple[int, int, str | None]  # seconds after the first look, running tasks, the reason


def looks(*each: Look, desired: int = 2) -> list[Health | None]:
    found: list[Health | None] = []
    before = None
    for at, running, why in each:
        before = next_health(before, running=running, desired=desired, why=why, now=1000 + at)
        found.append(before)
    return found


def test_a_release_with_all_its_tasks_is_healthy() -> None:
    assert looks((0, 2, None), (PERIOD, 3, None)) == [None, None]


def test_a_service_that_wants_no_tasks_is_healthy() -> None:
    assert looks((0, 0, None), desired=0) == [None]


@pytest.mark.parametrize(("running", "why"), [(0, None), (1, "container app exited with code 1")])
def test_missing_tasks_are_shown_at_once_and_reported_after_the_grace(
    running: int, why: str | None
) -> None:
    first, soon, later, again = looks(
        (0, running, why),
        (GRACE - 1, running, None),
        (GRACE, running, None),
        (GRACE + 1, running, None),
    )
    assert first == Health(running=running, desired=2, since=1000, why=why)
    assert soon == first
    assert later == Health(running=running, desired=2, since=1000, why=why, reported=True)
    assert again == later


def test_tasks_that_only_start_slowly_are_shown_and_not_reported() -> None:
    *_, last = looks((0, 1, None), (10 * GRACE, 1, None))
    assert last == Health(running=1, desired=2, since=1000)


def test_a_release_has_recovered_after_two_looks_with_all_tasks() -> None:
    first, second, third, fourth = looks(
        (0, 0, "x"), (10, 2, None), (9 + PERIOD, 2, None), (10 + PERIOD, 2, None)
    )
    assert first is not None
    assert second is not None
    assert (second.running, second.recovered_at) == (2, 1010)
    assert third == second
    assert fourth is None


def test_a_crash_loop_does_not_look_like_a_recovery() -> None:
    found = looks((0, 0, "x"), (GRACE, 2, None), (GRACE + 10, 1, None), (3 * GRACE, 2, None))
    assert all(each is not None for each in found)
    assert {each.since for each in found if each} == {1000}


def test_a_count_of_tasks_keeps_the_time_at_which_its_numbers_were_first_seen() -> None:
    def look(before: TaskCount | None, running: int, at: int) -> TaskCount:
        rollout = Rollout("app:1", "COMPLETED", all_running=running, all_desired=2, seen_at=at)
        return next_count(before, rollout)

    first = look(None, 1, 1000)
    assert first == TaskCount(running=1, desired=2, seen_at=1000)
    assert look(first, 1, 1060) is first
    assert look(first, 2, 1060) == TaskCount(running=2, desired=2, seen_at=1060)
