"""URLs of repositories that may be built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.repositories import GitUrl, Repository, repository_of
from chalicelib.errors import InvalidInput
from tests.support.fields import read

HOSTS = frozenset({"github.com"})


def parse_git_url(value: object, field: str = "git_url") -> Repository:
    return repository_of(read(GitUrl, value, field, git_hosts=HOSTS))


REFUSED = [
    pytest.param("", id="empty"),
    pytest.param(123, id="not a string"),
    pytest.param(None, id="null"),
    pytest.param("ext::sh -c touch% /tmp/pwn", id="remote helper that runs a command"),
    pytest.param("EXT::sh -c id", id="the same in capitals"),
    pytest.param("fd::17/foo", id="remote helper"),
    pytest.param("file:///etc/passwd", id="local file"),
    pytest.param("/etc/passwd", id="local path"),
    pytest.param("../../other-repo", id="relative path"),
    pytest.param("git@github.com:a/b.git", id="scp form"),
    pytest.param("ssh://git@github.com/a/b.git", id="ssh"),
    pytest.param("git://github.com/a/b.git", id="plain git"),
    pytest.param("http://github.com/a/b.git", id="plain http"),
    pytest.param("ftp://github.com/a/b", id="ftp"),
    pytest.param("https://user:ghp_x@github.com/a/b.git", id="password"),
    pytest.param("https://ghp_x@github.com/a/b.git", id="user"),
    pytest.param("https://evil.example#@github.com/a/b", id="fragment"),
    pytest.param("https://github.com\\@evil.example/a/b", id="backslash"),
    pytest.param("https://github.com@evil.example/a/b", id="host as user"),
    pytest.param("https://evil.example/a/b.git", id="other host"),
    pytest.param("https://github.com.evil.example/a/b.git", id="longer host"),
    pytest.param("https://169.254.169.254/a/b.git", id="metadata service"),
    pytest.param("https://[::ffff:169.254.169.254]/a/b.git", id="the same in v6"),
    pytest.param("https://2852039166/a/b.git", id="the same as a number"),
    pytest.param("https://localhost/a/b.git", id="loopback"),
    pytest.param("https://github.com/a/b.git\nhost=evil.example", id="line break"),
    pytest.param("https://github.com/a/b.git\n", id="trailing line break"),
    pytest.param("https://github.com/a/b\0.git", id="NUL"),
    pytest.param("https://github.com/a/b.git?ref=pull/42/head", id="query"),
    pytest.param("https://github.com/a/b.git#main:dir", id="buildkit fragment"),
    pytest.param("https://github.com:22/a/b.git", id="port"),
    pytest.param("https://g\u0456thub.com/a/b.git", id="homoglyph"),
    pytest.param("https://github.com/a/\uff42", id="full-width letter"),
    pytest.param("https://github.com/a/../c/d.git", id="dot segment"),
    pytest.param("https://github.com/a/..", id="dots as the name"),
    pytest.param("https://github.com/a/..git", id="a dot as the name"),
    pytest.param("https://github.com/a/%2e%2e", id="escaped dots"),
    pytest.param("https://github.com/a/.git", id="suffix only"),
    pytest.param("https://github.com/a/b.git.git", id="suffix twice"),
    pytest.param("https://github.com/a", id="owner only"),
    pytest.param("https://github.com//b", id="no owner"),
    pytest.param("https://github.com/-a/b", id="owner with a leading dash"),
    pytest.param("https://github.com/a/b/tree/main", id="page of a repository"),
    pytest.param("https://github.com/a/b/", id="trailing slash"),
    pytest.param(" https://github.com/a/b.git", id="leading space"),
    pytest.param("https://github.com/a/b.git ", id="trailing space"),
    pytest.param("https://github.com./a/b", id="host with a trailing dot"),
    pytest.param("https://github.com/a/" + "b" * 300, id="too long"),
]


@pytest.mark.parametrize("value", REFUSED)
def test_a_url_that_is_not_a_repository_of_an_allowed_host_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_git_url(value)
    assert (refused.value.code, refused.value.field) == ("invalid_git_url", "git_url")


def test_a_password_in_a_url_is_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_git_url("https://user:hunter2@github.com/a/b")
    assert "hunter2" not in refused.value.detail


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("https://github.com/acme/app.git", "app"),
        ("https://github.com/acme/app", "app"),
        ("https://GitHub.com/acme/app", "app"),
        ("https://github.com/acme/.github", ".github"),
        ("https://github.com/acme/app.github.io", "app.github.io"),
        ("https://github.com/acme/My_App-2", "My_App-2"),
    ],
)
def test_a_url_is_accepted_with_and_without_its_suffix(value: str, name: str) -> None:
    assert parse_git_url(value) == Repository("github.com", "acme", name)


def test_the_url_keeps_the_case_of_the_path_and_the_key_does_not() -> None:
    repository = parse_git_url("https://GITHUB.com/Acme/App")
    assert repository.url == "https://github.com/Acme/App.git"
    assert repository.key == "github.com/acme/app"


def test_the_error_names_the_given_field() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_git_url("no", field="repository")
    assert refused.value.field == "repository"


@given(
    owner=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}", fullmatch=True),
    name=st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_-]{0,99}", fullmatch=True),
)
def test_the_url_of_a_repository_is_parsed_as_the_same_repository(owner: str, name: str) -> None:
    repository = Repository("github.com", owner, name)
    assert parse_git_url(repository.url) == repository


@given(st.text() | st.text().map(lambda text: f"https://github.com/{text}"))
def test_an_accepted_url_keeps_its_host_and_path(value: str) -> None:
    try:
        repository = parse_git_url(value)
    except InvalidInput:
        return
    assert repository.url.removesuffix(".git") == value.removesuffix(".git")
    assert repository.url.count("/") == 4
    assert repository.url.isascii()
