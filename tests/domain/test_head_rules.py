"""Heads of branches: whose turn a look is, which push is new, and which files it changed."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.changed_files import ChangedFiles
from chalicelib.domain.heads import (
    MOST_LOOKS,
    PERIOD,
    Activity,
    Found,
    Heads,
    Known,
    as_found,
    due_now,
    files_between,
    found_push,
    how_late,
    is_lost,
    noted,
    with_found,
)
from chalicelib.domain.pushes import Push


def push(sha: str, before: str = "0", at: int = 1000, branch: str = "main") -> Push:
    activity = Activity(before, sha, at, "ada")
    return found_push("github.com/a/b", branch, activity, ("Hi", "Ada"), ChangedFiles())


@given(st.integers(0, 300), st.integers(0, 10**8))
def test_each_branch_has_one_turn_in_a_period_and_few_are_due_at_once(
    number: int, first: int
) -> None:
    branches = [("github.com/a/b", str(each)) for each in range(number)]
    period = max(PERIOD, -(-number // MOST_LOOKS))
    turns: Counter[tuple[str, str]] = Counter()
    for minute in range(first, first + period):
        due = due_now(branches, minute)
        assert len(due) <= MOST_LOOKS
        turns.update(due)
    assert turns == dict.fromkeys(branches, 1)


def test_a_first_push_is_not_lost_and_a_later_unknown_one_is() -> None:
    heads = Heads()
    assert not is_lost(heads, 1, push("b"))
    heads = noted(heads, push("b"), [1], [1, 2])
    assert not is_lost(heads, 1, push("b"))
    assert is_lost(heads, 1, push("c", before="b"))
    assert not is_lost(heads, 2, push("c", before="b"))
    assert not is_lost(heads, 1, push("c", branch="other"))


@pytest.mark.parametrize(
    ("known", "told", "kept"),
    [
        (("b", "a", 10), ("c", "b", 11), "c"),
        (("c", "b", 11), ("b", "a", 10), "c"),
        (("b", "a", 10), ("c", "b", 10), "c"),
        (("c", "b", 10), ("b", "a", 10), "c"),
    ],
)
def test_an_earlier_push_that_is_delivered_late_hides_no_later_one(
    known: tuple[str, str, int], told: tuple[str, str, int], kept: str
) -> None:
    heads = Heads()
    for sha, before, at in (known, told):
        heads = noted(heads, push(sha, before, at), [1], [1])
    assert heads.known[1].sha == kept


def test_what_services_knew_that_follow_no_more_is_forgotten() -> None:
    heads = Heads({1: Known("main", "a", "b", 1), 2: Known("main", "a", "b", 1)})
    assert noted(heads, push("c"), [1], [1]).known.keys() == {1}


def test_a_delivery_of_a_found_push_has_its_time() -> None:
    heads = with_found(Heads(), push("b", before="a", at=1000))
    for at in (940, 1000, 1060):
        assert as_found(heads, push("b", before="a", at=at)).pushed_at == 1000
    assert as_found(heads, push("b", before="a", at=1061)).pushed_at == 1061
    assert as_found(heads, push("b", before="c", at=1001)).pushed_at == 1001
    assert as_found(heads, push("b", before="a", at=1, branch="x")).pushed_at == 1


def test_so_many_found_pushes_are_kept() -> None:
    heads = Heads()
    for number in range(50):
        heads = with_found(heads, push(str(number)))
    assert heads.found[0] == Found("refs/heads/main", "0", "49", 1000)
    assert len(heads.found) == 20


@pytest.mark.parametrize(
    ("comparison", "names"),
    [
        ({"status": "ahead", "files": [{"filename": "a"}]}, ("a",)),
        (
            {"status": "ahead", "files": [{"filename": "b", "previous_filename": "a"}]},
            ("b", "a"),
        ),
    ],
)
def test_the_files_of_a_comparison_are_known(comparison: Any, names: tuple[str, ...]) -> None:
    assert files_between(comparison) == ChangedFiles(names)


@pytest.mark.parametrize(
    ("comparison", "why"),
    [
        (None, "does not follow"),
        ({"status": "diverged", "files": [{"filename": "a"}]}, "does not follow"),
        ({"status": "behind", "files": []}, "does not follow"),
        ({"status": "ahead", "files": None}, "does not follow"),
        ({"status": "ahead", "files": []}, "no changed file"),
        ({"status": "ahead", "files": [{"filename": str(n)} for n in range(300)]}, "at most 300"),
        ({"status": "ahead", "files": [{"filename": "x" * 100_001}]}, "too long"),
        # JSON writes each of these characters with twelve bytes, and SQS takes 256 KiB.
        ({"status": "ahead", "files": [{"filename": "😀" * 29_000}]}, "too long"),
        ({"status": "ahead", "files": [None, {"filename": 3}]}, "no changed file"),
    ],
)
def test_the_files_of_a_comparison_may_be_unknown(comparison: Any, why: str) -> None:
    found = files_between(comparison)
    assert why in found.unknown
    assert found.names == ()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "1 minute"), (240, "4 minutes"), (5400, "90 minutes"), (7200, "2 hours")],
)
def test_how_late_a_push_was_found_is_in_words(seconds: int, words: str) -> None:
    assert how_late(seconds) == words


def test_a_found_push_reads_the_message_of_its_commit() -> None:
    activity = Activity("a", "b", 5, "ada")
    message = "First\n\n[skip ci]"
    found = found_push("github.com/a/b", "main", activity, (message, "Ada"), ChangedFiles())
    assert (found.message, found.skip, found.sender) == ("First", "[skip ci]", "ada")
    assert (found.ref, found.branch, found.tag) == ("refs/heads/main", "main", None)
