"""Parsing push payloads, ignored pushes, and the order of pushes."""

import copy
import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.changed_files import ChangedFiles
from chalicelib.domain.pushes import (
    Choice,
    Push,
    choose,
    claimed_repository,
    ignored_reason,
    parse_push,
)
from chalicelib.domain.refs import NULL_SHA
from chalicelib.errors import InvalidInput

SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"

PAYLOAD: dict[str, Any] = {
    "ref": "refs/heads/master",
    "before": NULL_SHA,
    "after": SHA,
    "deleted": False,
    "repository": {
        "id": 186853002,
        "full_name": "Codertocat/Hello-World",
        "html_url": "https://github.com/Codertocat/Hello-World",
        "clone_url": "https://github.com/Codertocat/Hello-World.git",
        "pushed_at": 1557933657,
    },
    "sender": {"login": "octocat"},
    "commits": [],
    "head_commit": {
        "id": SHA,
        "message": "Initial commit\n\nWith more to say.",
        "author": {"name": "Coder To Cat", "username": "Codertocat"},
    },
}

PAIRS = st.tuples(st.integers(0, 3), st.integers(0, 3))


def payload(**changes: Any) -> dict[str, Any]:
    """PAYLOAD with changes; `repository__pushed_at` is the field `pushed_at` in `repository`."""
    changed = copy.deepcopy(PAYLOAD)
    for path, value in changes.items():
        *parents, key = path.split("__")
        inner = changed
        for parent in parents:
            inner = inner[parent]
        inner[key] = value
    return changed


def without(*path: str) -> dict[str, Any]:
    """PAYLOAD without the field at `path`."""
    changed = copy.deepcopy(PAYLOAD)
    inner = changed
    for parent in path[:-1]:
        inner = inner[parent]
    del inner[path[-1]]
    return changed


def test_a_push_is_read_from_the_payload() -> None:
    assert parse_push(PAYLOAD) == Push(
        repository="github.com/codertocat/hello-world",
        contradictory=False,
        ref="refs/heads/master",
        branch="master",
        tag=None,
        before=PAYLOAD["before"],
        sha=SHA,
        deleted=False,
        pushed_at=1557933657,
        message="Initial commit",
        author="Coder To Cat",
        sender="octocat",
        files=ChangedFiles(unknown="the push created the branch"),
    )


def test_repositories_are_matched_without_case() -> None:
    push = parse_push(payload(repository__full_name="CODERTOCAT/hello-world"))
    assert push.repository == "github.com/codertocat/hello-world"


def test_a_repository_of_github_enterprise_keeps_its_host() -> None:
    page = "https://git.acme.example/codertocat/x"
    clone = "https://git.acme.example/Codertocat/Hello-World.git"
    push = parse_push(payload(repository__html_url=page, repository__clone_url=clone))
    assert push.repository == "git.acme.example/codertocat/hello-world"
    assert ignored_reason(push) is None


def test_a_repository_without_an_html_url_is_on_github_com() -> None:
    assert parse_push(without("repository", "html_url")) == parse_push(PAYLOAD)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/evil/other.git",
        "https://evil.example/Codertocat/Hello-World.git",
        "http://github.com/Codertocat/Hello-World.git",
        "https://github.com/Codertocat/Hello-World.git?x",
        "",
        5,
        ["https://github.com/Codertocat/Hello-World.git"],
    ],
)
def test_a_push_with_the_clone_url_of_another_repository_is_ignored(url: object) -> None:
    push = parse_push(payload(repository__clone_url=url))
    assert ignored_reason(push) == "its clone_url is not that of github.com/codertocat/hello-world"
    assert replace(push, contradictory=False) == parse_push(PAYLOAD)


@pytest.mark.parametrize("url", [None, "https://GitHub.com/codertocat/hello-world"])
def test_the_clone_url_may_be_missing_or_in_another_case(url: str | None) -> None:
    assert parse_push(payload(repository__clone_url=url)) == parse_push(PAYLOAD)


def test_a_push_without_commits_builds_the_commit_in_after() -> None:
    push = parse_push(payload(commits=[], head_commit=None))
    assert (push.sha, push.message, push.author) == (SHA, "", "")


def test_the_head_commit_does_not_change_the_commit_to_build() -> None:
    assert parse_push(payload(head_commit__id="f" * 40)).sha == SHA


def test_a_branch_may_have_any_name_that_git_allows() -> None:
    assert parse_push(payload(ref="refs/heads/$(id)")).branch == "$(id)"


def test_unknown_fields_are_ignored() -> None:
    assert parse_push(payload(installation={"id": 1}, sparkle=[1])) == parse_push(PAYLOAD)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1557933657, 1557933657),
        ("2019-05-15T15:20:57Z", 1557933657),
        ("2019-05-15T17:20:57+02:00", 1557933657),
        (0, 0),
    ],
)
def test_pushed_at_may_be_a_number_or_an_rfc_3339_time(value: object, expected: int) -> None:
    assert parse_push(payload(repository__pushed_at=value)).pushed_at == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("\n\n  Fix it \n more", "Fix it "),
        ("x" * 300, "x" * 200),
        ("a\ud800b", "a\ufffdb"),
        ("a\x1b[2Jb", "a\ufffd[2Jb"),
        ("a\u202eb", "a\ufffdb"),
        ("\U0001f469\u200d\U0001f4bb ships", "\U0001f469\u200d\U0001f4bb ships"),
        ("  \n ", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_a_message_is_cut_to_its_first_line_and_is_safe_to_show(
    message: object, expected: str
) -> None:
    assert parse_push(payload(head_commit__message=message)).message == expected


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (None, ""),
        ([], ""),
        ("push", ""),
        (without("ref"), "ref"),
        (payload(ref=None), "ref"),
        (payload(ref="master"), "ref"),
        (payload(ref="refs/heads/a..b"), "ref"),
        (without("after"), "after"),
        (payload(after=SHA[:7]), "after"),
        (payload(after=SHA + "\n"), "after"),
        (payload(after=5), "after"),
        (without("repository"), "repository"),
        (payload(repository=[]), "repository"),
        (without("repository", "full_name"), "repository.full_name"),
        (payload(repository__full_name="a/b/c"), "repository.full_name"),
        (payload(repository__full_name="a b/c"), "repository.full_name"),
        (payload(repository__full_name=5), "repository.full_name"),
        (payload(repository__html_url="http://github.com/a/b"), "repository.html_url"),
        (payload(repository__html_url="https://u:p@github.com/a/b"), "repository.html_url"),
        (payload(repository__html_url=5), "repository.html_url"),
        (without("repository", "pushed_at"), "repository.pushed_at"),
        (payload(repository__pushed_at=None), "repository.pushed_at"),
        (payload(repository__pushed_at=True), "repository.pushed_at"),
        (payload(repository__pushed_at=-1), "repository.pushed_at"),
        (payload(repository__pushed_at=1e9), "repository.pushed_at"),
        (payload(repository__pushed_at=10**40), "repository.pushed_at"),
        (payload(repository__pushed_at="yesterday"), "repository.pushed_at"),
        (payload(repository__pushed_at="2019-05-15T15:20:57"), "repository.pushed_at"),
        (payload(repository__pushed_at="2019-13-15T15:20:57Z"), "repository.pushed_at"),
        (payload(repository__pushed_at="0001-01-01T00:00:00+23:59"), "repository.pushed_at"),
        (payload(head_commit=5), "head_commit"),
        (payload(head_commit__author="me"), "head_commit.author"),
        (payload(head_commit__id="main"), "head_commit.id"),
        (payload(ref="refs/tags/v1", head_commit__id=7), "head_commit.id"),
        (payload(sender=[]), "sender"),
    ],
)
def test_the_error_for_a_wrong_payload_has_the_path_of_the_field(
    broken: object, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_push(broken)
    assert (refused.value.code, refused.value.field) == ("invalid_payload", field)


@pytest.mark.parametrize("key", sorted(PAYLOAD))
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=4,
    )
)
def test_any_payload_is_a_push_or_refused(key: str, value: object) -> None:
    try:
        push = parse_push({**PAYLOAD, key: value})
    except InvalidInput:
        return
    assert len(push.sha) == 40
    assert "".join([push.ref, push.message, push.author, push.sender]).encode()


def test_a_push_to_a_branch_is_not_ignored() -> None:
    assert ignored_reason(parse_push(PAYLOAD)) is None


def test_a_deleted_branch_is_ignored() -> None:
    push = parse_push(payload(deleted=True, after=NULL_SHA, head_commit=None))
    assert ignored_reason(push) == "branch master was deleted"


def test_a_push_of_the_null_sha_is_a_deletion_even_if_deleted_is_false() -> None:
    assert parse_push(payload(after=NULL_SHA)).deleted


def test_a_push_of_neither_a_branch_nor_a_tag_is_ignored() -> None:
    push = parse_push(payload(ref="refs/notes/commits"))
    assert ignored_reason(push) == "refs/notes/commits is neither a branch nor a tag"


def test_the_commit_of_an_annotated_tag_is_the_one_that_it_names() -> None:
    push = parse_push(payload(ref="refs/tags/v1", after="a" * 40))
    assert (push.branch, push.tag, push.sha) == (None, "v1", SHA)
    assert ignored_reason(push) is None


def test_a_deleted_tag_and_a_tag_without_a_commit_are_ignored() -> None:
    deleted = payload(ref="refs/tags/v1", after=NULL_SHA, deleted=True, head_commit=None)
    assert ignored_reason(parse_push(deleted)) == "tag v1 was deleted"
    for head_commit in (None, {}, {"message": "v1"}, {"id": None}):
        of_a_tree = payload(ref="refs/tags/v1", head_commit=head_commit)
        assert ignored_reason(parse_push(of_a_tree)) == "tag v1 names no commit"


@pytest.mark.parametrize(
    ("message", "marker"),
    [
        ("Fix it [skip ci]", "[skip ci]"),
        ("[ci skip] Fix it", "[ci skip]"),
        ("Fix it\n\nMore about it\n\n[no ci]", "[no ci]"),
        ("x" * 10_000 + "[skip actions]", "[skip actions]"),
        ("a[actions skip]b", "[actions skip]"),
        ("[SKIP CI] [no ci]", "[SKIP CI]"),
        ("Fix it", ""),
        ("skip ci", ""),
        ("[skip  ci] [skipci] (skip ci) [ci-skip]", ""),
        ("Do not [skip\nci]", ""),
        (None, ""),
        (5, ""),
    ],
)
def test_a_message_may_ask_for_no_build_anywhere_in_it(message: object, marker: str) -> None:
    assert parse_push(payload(head_commit__message=message)).skip == marker


@dataclass(frozen=True)
class Service:
    """The settings of a service that decide which pushes it builds."""

    branch: str = "master"
    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    auto_build: bool = True


FILES = ChangedFiles(("docs/a.md", "src/app.py", "src/more.py"))
UNKNOWN = ChangedFiles(unknown="the push was forced")


@pytest.mark.parametrize(
    ("service", "changes", "builds", "reason"),
    [
        (Service(), {}, True, ""),
        (Service("main"), {}, False, "it follows the branch main"),
        (Service(auto_build=False), {}, False, "auto_build is off"),
        (Service(paths=("src/**",)), {}, True, "src/app.py matches src/**"),
        (Service(paths=("!docs/**",)), {}, True, "src/app.py matches **"),
        (
            Service(paths=("web/**",)),
            {},
            False,
            "no changed file matches its paths (docs/a.md and 2 more)",
        ),
        (
            Service(paths=("src/**", "!src/**")),
            {"files": ChangedFiles(("src/app.py",))},
            False,
            "no changed file matches its paths (src/app.py)",
        ),
        (
            Service(paths=("web/**",)),
            {"files": UNKNOWN},
            True,
            "paths were not compared: the push was forced",
        ),
        (Service(), {"files": UNKNOWN}, True, ""),
        (
            Service(paths=("x" * 100,)),
            {"files": ChangedFiles(("a" * 500_001,))},
            True,
            "paths were not compared: it changed too many files",
        ),
        (
            Service(paths=("x" * 100,)),
            {"files": ChangedFiles(("a" * 500_000,))},
            False,
            f"no changed file matches its paths ({'a' * 100})",
        ),
        (Service(), {"skip": "[no ci]"}, False, "the head commit's message has [no ci]"),
        (
            Service(paths=("src/**",)),
            {"skip": "[no ci]"},
            False,
            "the head commit's message has [no ci]",
        ),
        (Service("main"), {"skip": "[no ci]"}, False, "it follows the branch main"),
        (Service("v1"), {"branch": None, "tag": "v1"}, False, "it does not build the tag v1"),
        (
            Service(tags=("v*",), paths=("web/**",)),
            {"branch": None, "tag": "v1"},
            True,
            "the tag matches v*",
        ),
        (
            Service(tags=("v*", "!v1")),
            {"branch": None, "tag": "v1"},
            False,
            "it does not build the tag v1",
        ),
        (Service(tags=("!v1",)), {"branch": None, "tag": "v2"}, True, "the tag matches **"),
        (
            Service(tags=("v*",)),
            {"branch": None, "tag": "v1", "skip": "[no ci]"},
            False,
            "the head commit's message has [no ci]",
        ),
        (Service("main", tags=("master",)), {}, False, "it follows the branch main"),
    ],
)
def test_a_service_builds_what_its_settings_select_and_says_why(
    service: Service, changes: dict[str, Any], builds: bool, reason: str
) -> None:
    push = replace(parse_push(PAYLOAD), **{"files": FILES, **changes})
    assert choose(push, service) == Choice(builds, reason)


def test_the_name_of_a_file_in_a_reason_is_short_and_safe_to_store() -> None:
    push = replace(parse_push(PAYLOAD), files=ChangedFiles(("\ud800\u202e" + "x" * 5000,)))
    reason = choose(push, Service(paths=("docs/**",))).reason
    assert reason == f"no changed file matches its paths (\ufffd\ufffd{'x' * 98})"


@pytest.mark.parametrize(
    ("body", "repository"),
    [
        (json.dumps(PAYLOAD), "github.com/codertocat/hello-world"),
        ('{"repository": {"full_name": "a/b"}, "x": [[{}]]}', "github.com/a/b"),
        ('{"repository": {"full_name": "a/b", "html_url": null}}', "github.com/a/b"),
        (
            '{"repository": {"full_name": "a/b", "html_url": "https://g.example/a/b"}}',
            "g.example/a/b",
        ),
        ('{"repository": {"full_name": "a/b", "html_url": 5}}', None),
        ('{"repository": {"full_name": 5}}', None),
        ('{"repository": {"full_name": "a b/c"}}', None),
        ('{"repository": null}', None),
        ('{"zen": "Half measures are as bad"}', None),
        ("[[{}], [{}]]", None),
        ('{"a": ' + "[" * 100_000, None),
        ('"\ud800"', None),
        ("", None),
        ("{", None),
    ],
)
def test_the_repository_is_read_from_a_body_without_its_other_fields(
    body: str, repository: str | None
) -> None:
    assert claimed_repository(body.encode(errors="surrogatepass")) == repository


@given(st.binary())
def test_any_body_names_a_repository_or_none(body: bytes) -> None:
    assert claimed_repository(body) is None
    named = claimed_repository(b'{"repository":{"full_name":"a/b"}' + body)
    assert named in {None, "github.com/a/b"}
