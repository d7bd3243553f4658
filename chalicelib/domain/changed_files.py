"""The files that a push changed, as its payload lists them."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from chalicelib.domain.refs import NULL_SHA

# GitHub: "Webhook events and payloads", push.
_MAX_COMMITS = 2048
_MAX_FILES_OF_A_COMMIT = 3000
_LISTS = ("added", "removed", "modified")


class ChangedFiles(msgspec.Struct, frozen=True):
    """The names of the changed files. If the payload does not list them all, `unknown` says why."""

    names: tuple[str, ...] = ()
    unknown: str = ""


def changed_files(payload: Mapping[str, Any]) -> ChangedFiles:
    """The files that the commits of a push changed, each once.

    They are unknown where the commits in the payload may not be the whole difference between the
    commit that was built before and the pushed one.
    """
    unknown = _why_unknown(payload)
    if unknown:
        return ChangedFiles(unknown=unknown)
    names = tuple(dict.fromkeys(_names(payload["commits"])))
    if not names:
        return ChangedFiles(unknown="its commits list no files")
    return ChangedFiles(names)


def _why_unknown(payload: Mapping[str, Any]) -> str:
    if payload.get("created") is True or payload.get("before") == NULL_SHA:
        return "the push created the branch"
    if payload.get("forced") is True:
        return "the push was forced"
    commits = payload.get("commits")
    if not isinstance(commits, list) or not commits:
        return "the push lists no commits"
    if len(commits) >= _MAX_COMMITS:
        return f"GitHub lists at most {_MAX_COMMITS:,} commits of a push"
    if not all(map(_has_lists, commits)):
        return "a commit has no lists of files"
    if any(len(list(_names([commit]))) >= _MAX_FILES_OF_A_COMMIT for commit in commits):
        return f"GitHub lists at most {_MAX_FILES_OF_A_COMMIT:,} files of a commit"
    if payload.get("after") not in {commit.get("id") for commit in commits}:
        return "the listed commits end before the pushed one"
    return ""


def _has_lists(commit: object) -> bool:
    return (
        isinstance(commit, Mapping)
        and isinstance(commit.get("id"), str)
        and all(
            isinstance(commit.get(name), list)
            and all(isinstance(each, str) for each in commit[name])
            for name in _LISTS
        )
    )


def _names(commits: list[Mapping[str, Any]]) -> Iterator[str]:
    return (each for commit in commits for name in _LISTS for each in commit[name])
