"""Build arguments: accepted and refused names and values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.build_args import BuildArgs
from chalicelib.errors import InvalidInput
from tests.support.fields import read


def parse_build_args(value: object) -> dict[str, str]:
    return dict(read(BuildArgs, value, "build_args"))


REFUSED = [
    pytest.param(None, id="null"),
    pytest.param([["A", "b"]], id="a list"),
    pytest.param({"": "x"}, id="no name"),
    pytest.param({"1A": "x"}, id="name with a leading digit"),
    pytest.param({"A B": "x"}, id="name with a space"),
    pytest.param({"A=B": "x"}, id="name with an equals sign"),
    pytest.param({"A\n": "x"}, id="name with a line break"),
    pytest.param({"-A": "x"}, id="name like an option"),
    pytest.param({"\xc4": "x"}, id="name not in ASCII"),
    pytest.param({5: "x"}, id="name not a string"),
    pytest.param({"PATH": "/x"}, id="PATH"),
    pytest.param({"BASH_ENV": "/x"}, id="BASH_ENV"),
    pytest.param({"LD_PRELOAD": "/x.so"}, id="loader"),
    pytest.param({"AWS_ACCESS_KEY_ID": "x"}, id="AWS"),
    pytest.param({"DOCKER_HOST": "tcp://evil"}, id="docker"),
    pytest.param({"GIT_SSH_COMMAND": "sh -c id"}, id="git"),
    pytest.param({"BUILDKIT_SYNTAX": "evil.example/frontend"}, id="another frontend"),
    pytest.param({"CODEBUILD_BUILD_ID": "x"}, id="CodeBuild"),
    pytest.param({"HTTPS_PROXY": "http://evil"}, id="proxy"),
    pytest.param({"https_proxy": "http://evil"}, id="proxy in small letters"),
    pytest.param({"A": 1}, id="value a number"),
    pytest.param({"A": None}, id="value null"),
    pytest.param({"A": ["b"]}, id="value a list"),
    pytest.param({"A": "a\0b"}, id="NUL"),
    pytest.param({"A": "\x1b[2J"}, id="terminal control"),
    pytest.param({"A": "\ud800"}, id="lone surrogate"),
    pytest.param({f"A{i}": "x" for i in range(101)}, id="too many"),
    pytest.param({"A": "x" * (16 * 1024)}, id="too large"),
    pytest.param({"A": "\u20ac" * 6000}, id="too large in UTF-8"),
]


@pytest.mark.parametrize("value", REFUSED)
def test_build_args_that_could_change_the_build_itself_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_build_args(value)
    assert (refused.value.code, refused.value.field) == ("invalid_build_args", "build_args")


def test_the_error_names_the_wrong_argument() -> None:
    with pytest.raises(InvalidInput, match="LD_PRELOAD is reserved"):
        parse_build_args({"VERSION": "1", "LD_PRELOAD": "/x.so"})


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"VERSION": "1.2.3", "_x": "", "pathological": "y", "PATHS": "z", "git_sha": "0"},
        {"SOURCE_DATE_EPOCH": "0"},
        {"MESSAGE": 'it\'s "quoted" $(touch x) `id` \\ \n\t\u20ac'},
        {"A": "x" * (16 * 1024 - 1)},
        {f"A{i}": "x" for i in range(100)},
    ],
)
def test_valid_build_args_are_accepted_unchanged(args: dict[str, str]) -> None:
    assert parse_build_args(args) == args


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=5))
def test_accepted_build_args_are_unchanged_and_can_be_passed_to_a_program(
    args: dict[str, str],
) -> None:
    try:
        parsed = parse_build_args(args)
    except InvalidInput:
        return
    assert parsed == args
    assert all(name.isidentifier() and name.isascii() for name in parsed)
    assert b"\0" not in "".join(parsed.values()).encode()
