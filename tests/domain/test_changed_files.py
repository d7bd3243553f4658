"""The changed files of a push, and where its lists do not tell them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.changed_files import ChangedFiles, changed_files
from chalicelib.domain.refs import NULL_SHA

HEAD = "f" * 40


def commit(sha: str = HEAD, **lists: Any) -> dict[str, Any]:
    return {"id": sha, "added": [], "removed": [], "modified": [], **lists}


def payload(*commits: Any, **changes: Any) -> dict[str, Any]:
    """A push of commits to a branch that exists."""
    return {
        "before": "a" * 40,
        "after": HEAD,
        "created": False,
        "forced": False,
        "commits": list(commits),
        **changes,
    }


def test_the_files_of_all_commits_and_lists_are_changed_files_each_once() -> None:
    first = commit("1" * 40, added=["a", "b"], modified=["c"])
    assert changed_files(payload(first, commit(removed=["d", "a"]))) == ChangedFiles(
        ("a", "b", "c", "d")
    )


MANY = [commit(f"{number:040x}", added=["x"]) for number in range(2047)]


@pytest.mark.parametrize(
    ("push", "reason"),
    [
        (payload(commit(added=["a"]), created=True), "the push created the branch"),
        (payload(commit(added=["a"]), before=NULL_SHA), "the push created the branch"),
        (payload(commit(added=["a"]), forced=True), "the push was forced"),
        (payload(), "the push lists no commits"),
        (payload(commits=None), "the push lists no commits"),
        (payload(commits={"id": HEAD}), "the push lists no commits"),
        ({"after": HEAD}, "the push lists no commits"),
        (payload(*MANY, commit()), "GitHub lists at most 2,048 commits of a push"),
        (payload({"id": HEAD}), "a commit has no lists of files"),
        (payload(commit(added=None)), "a commit has no lists of files"),
        (payload(commit(modified=["a", 5])), "a commit has no lists of files"),
        (payload(commit(removed="a")), "a commit has no lists of files"),
        (payload(commit(id=None)), "a commit has no lists of files"),
        (payload(commit(added=["a"]), "x"), "a commit has no lists of files"),
        (
            payload(commit(added=[str(n) for n in range(2000)], removed=["x"] * 1000)),
            "GitHub lists at most 3,000 files of a commit",
        ),
        (payload(commit("1" * 40, added=["a"])), "the listed commits end before the pushed one"),
        (payload(commit()), "its commits list no files"),
    ],
)
def test_where_the_lists_may_be_cut_the_files_are_unknown(push: Any, reason: str) -> None:
    assert changed_files(push) == ChangedFiles(unknown=reason)


def test_just_below_the_limits_the_files_are_known() -> None:
    full = commit("1" * 40, added=[f"{number:0150}" for number in range(2999)])
    known = changed_files(payload(full, *MANY[:2045], commit()))
    assert len(known.names) == 3000
    assert not known.unknown


@given(
    st.dictionaries(
        st.sampled_from(["before", "after", "created", "forced", "commits"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["id", "added", "removed", "modified"]), inner)
            ),
            max_leaves=8,
        ),
    )
)
def test_any_payload_has_changed_files_or_a_reason(push: dict[str, Any]) -> None:
    files = changed_files(push)
    assert bool(files.names) is not bool(files.unknown)
