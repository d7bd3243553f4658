"""Paths of the build context and of the Dockerfile."""

import os.path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.paths import ContextPath, RepositoryPath
from chalicelib.errors import InvalidInput
from tests.support.fields import read


def parse_context_path(value: object) -> str:
    return str(read(ContextPath, value, "context_path"))


def parse_dockerfile_path(value: object) -> str:
    return str(read(RepositoryPath, value, "dockerfile"))


REFUSED = [
    pytest.param("", id="empty"),
    pytest.param(5, id="not a string"),
    pytest.param({"x": 1}, id="an object"),
    pytest.param(None, id="null"),
    pytest.param("../", id="traversal"),
    pytest.param("..", id="parent"),
    pytest.param("a/../b", id="traversal inside"),
    pytest.param("a/..", id="traversal at the end"),
    pytest.param("/etc", id="absolute"),
    pytest.param("/dev/stdin", id="device"),
    pytest.param("/proc/self/environ", id="environment"),
    pytest.param("C:\\x", id="backslash"),
    pytest.param("-", id="standard input"),
    pytest.param("--build-arg=A=b", id="option"),
    pytest.param("--output=type=local,dest=/", id="another option"),
    pytest.param("a/-b", id="option inside"),
    pytest.param("https://evil.example/ctx.tar.gz", id="remote context"),
    pytest.param("https://evil.example/Dockerfile", id="remote Dockerfile"),
    pytest.param("git@github.com:a/b", id="remote repository"),
    pytest.param("a\0b", id="NUL"),
    pytest.param("a\nb", id="line break"),
    pytest.param("a\n", id="trailing line break"),
    pytest.param("a;id", id="shell"),
    pytest.param("$(id)", id="substitution"),
    pytest.param("~/x", id="home"),
    pytest.param("a//b", id="empty segment"),
    pytest.param("Dockerfile ", id="trailing space"),
    pytest.param("a/ b", id="space before a name"),
    pytest.param("a\u202eb", id="reordered"),
    pytest.param(".//a", id="absolute after the dot"),
    pytest.param("a" * 201, id="too long"),
]


@pytest.mark.parametrize("value", REFUSED)
def test_a_context_that_could_lead_out_of_the_repository_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_context_path(value)
    assert (refused.value.code, refused.value.field) == ("invalid_path", "context_path")


@pytest.mark.parametrize("value", [*REFUSED, pytest.param(".", id="a directory")])
def test_a_dockerfile_path_that_could_mean_something_else_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_dockerfile_path(value)
    assert (refused.value.code, refused.value.field) == ("invalid_path", "dockerfile")


@pytest.mark.parametrize(
    ("value", "normal"), [("./a", "a"), ("a/", "a"), ("./a/b/", "a/b"), ("./.", None), ("./", None)]
)
def test_a_path_is_stored_without_the_dot_before_it_and_the_slash_after_it(
    value: str, normal: str | None
) -> None:
    if normal is None:
        with pytest.raises(InvalidInput):
            parse_dockerfile_path(value)
    else:
        assert parse_dockerfile_path(value) == parse_context_path(value) == normal


@pytest.mark.parametrize(
    "value",
    [
        ".",
        "services/api",
        ".docker",
        "a...b",
        "a-b_c.d/e",
        "packages/@acme/web",
        "a b/(c)",
        "caf\xe9",
        "a" * 200,
    ],
)
def test_a_valid_context_is_accepted_unchanged(value: str) -> None:
    assert parse_context_path(value) == value


@pytest.mark.parametrize("value", ["Dockerfile", "docker/Dockerfile.prod", ".docker/Dockerfile"])
def test_a_valid_dockerfile_path_is_accepted_unchanged(value: str) -> None:
    assert parse_dockerfile_path(value) == value


@given(st.text() | st.from_regex(r"[A-Za-z0-9._/-]+", fullmatch=True))
def test_an_accepted_path_is_normal_and_stays_inside(value: str) -> None:
    try:
        path = parse_dockerfile_path(value)
    except InvalidInput:
        return
    joined = os.path.normpath(os.path.join("/checkout", path))
    assert joined == f"/checkout/{path}"
    assert not any(segment.startswith(("-", " ")) for segment in path.split("/"))
