"""Refs in requests, refs in pushes, branches to follow, and slugs in image tags."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.refs import (
    NULL_SHA,
    Branch,
    GitRef,
    Ref,
    RefType,
    branch_of,
    is_commit_sha,
    parse_pushed_ref,
    read_ref,
    slug,
    tag_of,
)
from chalicelib.errors import InvalidInput
from tests.support.fields import read

SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"


def parse_git_ref(value: object) -> str:
    return str(read(GitRef, value, "git_ref"))


def parse_branch(value: object) -> str:
    return str(read(Branch, value, "branch"))


# Names that git refuses (git-check-ref-format(1)).
ILLEGAL = [
    "",
    " ",
    "a b",
    "a..b",
    "a~1",
    "a^",
    "a:b",
    "a?b",
    "a*b",
    "a[b",
    "a\\b",
    "a.lock",
    "a.lock/b",
    ".a",
    "a/.b",
    "a.",
    "/a",
    "a/",
    "a//b",
    "a@{1}",
    "a\0b",
    "a\nb",
    "a\x7fb",
    "a\ud800b",
]

# The arguments of a program cannot contain a NUL or a lone surrogate.
CHECKABLE_BY_GIT = [name for name in ILLEGAL if not {"\0", "\ud800"} & set(name)]

# Names that git allows and requests may not use: they show as another text.
LEGAL_BUT_NOT_IN_REQUESTS = [
    "a\u202eb",
    "a\u200fb",
    "a\u2028b",
    "a\x85b",
]

REQUESTED = [
    "`id`",
    "$(id)",
    "a;id",
    "a|b",
    "a&b",
    "a'b",
    'a"b',
    "caf\xe9",
    "fix/#123",
    "feature/\u65e5\u672c",
    "a=b",
    "it's",
    "(a),b!",
    "_a",
    "\U0001f469\u200d\U0001f4bb",
    "facade",
    "0" * 41,
    "main",
    "v1.2.3",
    "feature/login-form",
    "release_2026.11",
    "v1.2.3+build.5",
    "dependabot/npm/@types/node-1.2",
    "a" * 200,
]


@pytest.mark.parametrize("name", REQUESTED)
def test_the_name_of_a_branch_or_tag_is_accepted_unchanged(name: str) -> None:
    assert parse_git_ref(name) == name


@pytest.mark.parametrize(
    "value",
    [
        *ILLEGAL,
        *LEGAL_BUT_NOT_IN_REQUESTS,
        7,
        True,
        None,
        "-main",
        "--upload-pack=id",
        "@",
        "HEAD",
        "main\n",
        "refs/pull/42/head",
        "refs/notes/v1",
        "refs/tags/",
        "refs/tags/-v1",
        "refs/tags/refs/heads/main",
        "refs/tags/a\u202eb",
        f"refs/tags/{SHA}",
        "refs/heads/",
        "refs/heads/-main",
        "refs/heads/HEAD",
        "refs/heads/refs/heads/main",
        "refs/heads/refs/tags/v1",
        f"refs/heads/{SHA}",
        NULL_SHA,
        "a" * 201,
        "refs/tags/" + "a" * 201,
    ],
)
def test_an_illegal_or_ambiguous_ref_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_git_ref(value)
    assert (refused.value.code, refused.value.field) == ("invalid_git_ref", "git_ref")


@pytest.mark.parametrize("name", LEGAL_BUT_NOT_IN_REQUESTS)
def test_a_name_with_a_hidden_character_is_not_said_to_be_illegal_in_git(name: str) -> None:
    with pytest.raises(InvalidInput, match="no control or direction character"):
        parse_git_ref(name)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ("v1", Ref("v1", None)),
        ("refs/heads/feature/x", Ref("feature/x", RefType.BRANCH)),
        ("refs/heads/63e9150", Ref("63e9150", RefType.BRANCH)),
        ("refs/tags/v1", Ref("v1", RefType.TAG)),
        ("refs/tags/20261122", Ref("20261122", RefType.TAG)),
        ("refs/heads/" + "a" * 200, Ref("a" * 200, RefType.BRANCH)),
        (SHA.upper(), Ref(SHA, RefType.COMMIT)),
    ],
)
def test_a_full_ref_says_whether_a_branch_or_a_tag_is_meant(requested: str, expected: Ref) -> None:
    assert read_ref(parse_git_ref(requested)) == expected


@pytest.mark.parametrize("value", [SHA[:7], SHA[:39], "DEADBEEF", "20261122"])
def test_an_abbreviated_commit_is_refused_with_what_to_write_instead(value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_git_ref(value)
    assert (refused.value.code, refused.value.field) == ("invalid_git_ref", "git_ref")
    for part in (f"{value} may be an abbreviated commit", "40 digits", f"refs/heads/{value}"):
        assert part in refused.value.detail


def test_a_commit_sha_may_be_in_upper_case() -> None:
    assert parse_git_ref(SHA.upper()) == SHA


@pytest.mark.parametrize("value", [SHA[:39], SHA + "0", "g" * 40, SHA + "\n"])
def test_only_40_hexadecimal_digits_are_a_commit_sha(value: str) -> None:
    assert not is_commit_sha(value)


def test_full_width_digits_are_not_a_sha() -> None:
    assert not is_commit_sha("\uff11" * 40)


@pytest.mark.parametrize("name", [*REQUESTED, *LEGAL_BUT_NOT_IN_REQUESTS])
def test_any_branch_that_git_allows_may_be_followed(name: str) -> None:
    assert parse_branch(name) == name


@pytest.mark.parametrize(
    "value", [*ILLEGAL, "-main", "HEAD", "@", SHA, NULL_SHA, 7, None, "a" * 201]
)
def test_a_branch_that_git_does_not_allow_cannot_be_followed(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_branch(value)
    assert (refused.value.code, refused.value.field) == ("invalid_git_ref", "branch")


@pytest.mark.parametrize("name", [*REQUESTED, *LEGAL_BUT_NOT_IN_REQUESTS, "-main"])
def test_any_ref_that_git_allows_may_be_pushed(name: str) -> None:
    assert branch_of(parse_pushed_ref(f"refs/heads/{name}")) == name


@pytest.mark.parametrize(
    "name", [None, 7, "main", "refs/", *[f"refs/heads/{bad}" for bad in ILLEGAL]]
)
def test_a_pushed_ref_that_is_not_full_and_legal_is_refused(name: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_pushed_ref(name)
    assert (refused.value.code, refused.value.field) == ("invalid_payload", "ref")


@pytest.mark.parametrize("ref", ["refs/tags/v1", "refs/pull/1/head", "refs/notes/heads/x"])
def test_only_refs_under_heads_are_branches(ref: str) -> None:
    assert branch_of(ref) is None


@pytest.mark.parametrize("ref", ["refs/heads/v1", "refs/pull/1/head", "refs/notes/tags/x"])
def test_only_refs_under_tags_are_tags(ref: str) -> None:
    assert tag_of(ref) is None
    assert tag_of("refs/tags/rel/1") == "rel/1"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    "name", [*REQUESTED, *LEGAL_BUT_NOT_IN_REQUESTS, *CHECKABLE_BY_GIT, "-main", "HEAD"]
)
def test_git_agrees_on_what_a_legal_branch_is(name: str) -> None:
    git = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True)
    assert (git.returncode == 0) is _is_branch(name)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@given(st.text(st.sampled_from("aB0./@{}-~^:?*[\\ \x7f\xe9lock"), max_size=12))
def test_git_agrees_on_any_text(text: str) -> None:
    git = subprocess.run(["git", "check-ref-format", "--branch", text], capture_output=True)
    # This command also accepts @, the alias of HEAD.
    assert (git.returncode == 0) is (_is_branch(text) or text == "@")


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("main", "main"),
        ("Feature/Login Form", "feature-login-form"),
        ("$(id)", "id"),
        ("-.main", "main"),
        ("v1.2_3", "v1.2_3"),
        ("\u4f60\u597d", "ref"),
        ("", "ref"),
        ("a" * 59 + "/b", "a" * 59),
    ],
)
def test_a_slug_keeps_readable_characters(ref: str, expected: str) -> None:
    assert slug(ref) == expected


@given(st.text())
def test_a_slug_is_always_the_start_of_a_legal_tag(ref: str) -> None:
    assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,59}", slug(ref))


@given(st.text())
def test_a_slug_of_a_slug_is_the_slug(ref: str) -> None:
    assert slug(slug(ref)) == slug(ref)


NAMES = st.text() | st.from_regex(
    r"(refs/(heads|tags|pull)/)?[A-Za-z0-9._/+@#='()\u65e5-]+", fullmatch=True
)


@given(NAMES)
def test_an_accepted_ref_is_never_an_option_and_is_accepted_again(value: str) -> None:
    try:
        ref = parse_git_ref(value)
    except InvalidInput:
        return
    assert not read_ref(ref).name.startswith(("-", "refs/"))
    assert ".." not in ref
    assert parse_git_ref(ref) == ref


@given(NAMES)
def test_any_name_that_a_request_may_use_may_be_followed(value: str) -> None:
    try:
        ref = read_ref(parse_git_ref(value))
    except InvalidInput:
        return
    assert ref.type is RefType.COMMIT or parse_branch(ref.name) == ref.name


def _is_branch(name: str) -> bool:
    try:
        parse_branch(name)
    except InvalidInput:
        return False
    return True
