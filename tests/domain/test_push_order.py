"""The order of pushes: ancestry, then time, then arrival. And the builds that it ends."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.push_order import PushedBuild, in_order, superseded


def build_of(number: int, at: int, span: str = "", **more: Any) -> PushedBuild:
    """A queued build. `span` "ab" is a push from commit a to commit b, `at` is its time."""
    before, sha = tuple(span) or (f"{number}-before", f"{number}-after")
    facts = {
        "push_id": number,
        "ref": "main",
        "before": before,
        "sha": sha,
        "sent_at": at,
        "pushed_at": at,
        "is_queued": True,
    }
    return PushedBuild(number, **{**facts, **more})


@pytest.mark.parametrize(
    ("builds", "expected"),
    [
        ([], []),
        ([build_of(1, 5), build_of(2, 6)], [1, 2]),
        ([build_of(1, 6), build_of(2, 5)], [2, 1]),
        # In one second the order is that of the arrival, unless one begins where another ends.
        ([build_of(1, 5), build_of(2, 5)], [1, 2]),
        ([build_of(1, 5, "bc"), build_of(2, 5, "ab")], [2, 1]),
        ([build_of(1, 5, "cd"), build_of(2, 5, "bc"), build_of(3, 5, "ab")], [3, 2, 1]),
        ([build_of(1, 5, "cd"), build_of(2, 5, "ab"), build_of(3, 5, "bc")], [2, 3, 1]),
        # Commits of other refs do not count.
        ([build_of(1, 5, "bc", ref="develop"), build_of(2, 5, "ab")], [1, 2]),
        # Both clocks were ahead, so their pushes count as made when they arrived.
        ([build_of(1, 5, "bc", sent_at=90), build_of(2, 6, "ab", sent_at=80)], [2, 1]),
        # The branch was pushed back from d to a: no later push begins at that a.
        ([build_of(1, 5, "ab"), build_of(2, 9, "da")], [1, 2]),
        # It went back and forth: each begins where the other ends.
        ([build_of(1, 5, "ab"), build_of(2, 5, "ba")], [1, 2]),
        ([build_of(1, 5, "ab"), build_of(2, 5, "bc"), build_of(3, 5, "ca")], [1, 2, 3]),
        # A retry has the place of the first build.
        ([build_of(1, 5), build_of(2, 6), build_of(3, 5, push_id=1)], [1, 2]),
    ],
)
def test_pushes_are_in_the_order_in_which_they_were_made(
    builds: list[PushedBuild], expected: list[int]
) -> None:
    for shuffled in itertools.permutations(builds):
        assert in_order(shuffled) == expected


BUILDS = st.lists(
    st.builds(
        build_of,
        st.integers(1, 99),
        st.integers(0, 3),
        st.sampled_from(["", "ab", "bc", "ca", "ba", "cb"]),
        ref=st.sampled_from(["main", "develop"]),
        is_queued=st.booleans(),
        may_replace=st.booleans(),
    ),
    unique_by=lambda build: build.number,
)


@given(BUILDS)
def test_each_push_has_one_place(builds: list[PushedBuild]) -> None:
    assert sorted(in_order(builds)) == sorted(build.push_id for build in builds)


@pytest.mark.parametrize(
    ("builds", "expected"),
    [
        ([], {}),
        ([build_of(1, 5)], {}),
        ([build_of(1, 5), build_of(2, 6)], {1: 2}),
        ([build_of(1, 5), build_of(2, 6), build_of(3, 7)], {1: 3, 2: 3}),
        # An older push that is delivered late.
        ([build_of(1, 6), build_of(2, 5)], {2: 1}),
        # Within one second the order is not known, unless one push begins where the other ends.
        ([build_of(1, 5), build_of(2, 5)], {}),
        ([build_of(1, 5, "bc"), build_of(2, 5, "ab")], {2: 1}),
        ([build_of(1, 5, is_queued=False), build_of(2, 6)], {}),
        ([build_of(1, 5), build_of(2, 6, is_queued=False)], {1: 2}),
        ([build_of(1, 5), build_of(2, 6, ref="develop")], {}),
        ([build_of(1, 5), build_of(2, 6, may_replace=False)], {}),
        ([build_of(1, 5), build_of(2, 6), build_of(3, 7, may_replace=False)], {1: 2}),
        # Two retries of one push.
        ([build_of(4, 5, push_id=1), build_of(5, 5, push_id=1)], {}),
        # A retry has the order of the first build.
        ([build_of(2, 6), build_of(3, 5, push_id=1)], {3: 2}),
    ],
)
def test_a_later_push_supersedes_the_queued_builds_of_earlier_ones(
    builds: list[PushedBuild], expected: dict[int, int]
) -> None:
    assert superseded(builds) == expected
    assert superseded(builds[::-1]) == expected


@given(BUILDS)
def test_a_superseded_build_was_queued_and_its_successor_is_later(
    builds: list[PushedBuild],
) -> None:
    by_number = {build.number: build for build in builds}
    order = in_order(builds)
    for number, by in superseded(builds).items():
        older, newer = by_number[number], by_number[by]
        assert older.is_queued
        assert newer.may_replace
        assert older.ref == newer.ref
        assert order.index(newer.push_id) > order.index(older.push_id)
