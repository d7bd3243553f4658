"""The buildspec's text: hostile values are quoted, and no value can become an option."""

import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise

import pytest
import yaml

from infra.package import ROOT

SPEC = yaml.safe_load((ROOT / "infra/buildspec.yml").read_text())
STEPS = {
    command.strip().splitlines()[0]: command
    for phase in SPEC["phases"].values()
    for command in phase["commands"]
}
FIRST = next(iter(STEPS.values()))
# The file that every other step reads first.
TOOLS = re.search(r"<<'TOOLS'\n(.*?)^TOOLS$", FIRST, re.DOTALL | re.MULTILINE)[1]  # type: ignore[index]
COMMANDS = {**STEPS, "the tools": TOOLS}
# Lists of complete options that the buildspec builds itself.
OPTIONS = {"${options[@]}", "${build_args[@]}", "${depth[@]}", "${tags[@]}", "${sbom[@]}"}
# Options whose value is the next word.
TAKES_VALUE = {
    "-C", "--builder", "--driver", "--driver-opt", "--file", "--label", "--metadata-file", "--name",
    "--platform", "--progress", "--tag", "--username",
}  # fmt: skip


def calls(command: str) -> Iterator[list[str]]:
    """The words of each git and docker call, without quotes and with expansions as written."""
    text = re.sub(r"\\\n", " ", command)
    for match in re.finditer(r"(?m)(?:^ *|[({!|&;] *)(?:try_again )?(?=(?:git|docker) )", text):
        yield list(words(text[match.end() :]))


def words(text: str) -> Iterator[str]:
    """The words of the simple command at the start of `text`."""
    word, quoted, depth = "", False, 0
    for last, char in pairwise(f" {text}"):
        if depth or (char == "(" and last == "$"):
            depth += {"(": 1, ")": -1}.get(char, 0)
            word += char
        elif char == '"':
            quoted = not quoted
        elif quoted or char not in " \n;|&)":
            word += char
        else:
            yield from [word] if word else []
            word = ""
            if char != " ":
                return


def test_the_buildspec_takes_its_values_only_from_the_request() -> None:
    assert set(SPEC["env"]) == {"shell", "exported-variables"}


@pytest.mark.parametrize("name", COMMANDS)
def test_shellcheck_finds_no_problem(name: str) -> None:
    """It finds missing quotes. SC2153 and SC2154 are off: variables come from the request.
    SC1091 and SC2034 are off: the tools are a file, and the steps use their variables.
    """
    checked = subprocess.run(
        ["shellcheck", "--shell", "bash", "--exclude", "SC1091,SC2034,SC2153,SC2154", "-"],
        input=COMMANDS[name],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_call_of_git_and_docker_ends_its_options_before_a_value(name: str) -> None:
    for words in calls(COMMANDS[name]):
        before = words[: words.index("--")] if "--" in words else words
        for last, word in pairwise(before):
            could_be_an_option = word.startswith("$") and word not in OPTIONS
            assert not could_be_an_option or last in TAKES_VALUE, words


def test_the_check_sees_the_calls_that_matter() -> None:
    seen = [" ".join(words) for command in COMMANDS.values() for words in calls(command)]
    assert "git -C $checkout config -- remote.origin.url $GIT_URL" in seen
    for part in (
        "fetch --quiet", "ls-remote", "checkout --quiet", "submodule --quiet update", "git init",
        "login", "docker run", "--bootstrap", "buildx build",
    ):  # fmt: skip
        assert [call for call in seen if part in call], (part, seen)


def test_only_the_step_that_fetches_reads_the_git_credential() -> None:
    reading = [name for name, step in STEPS.items() if "$GIT_CREDENTIAL" in step]
    assert reading == ['echo "Fetching the source"']
    assert "set -x" not in "".join(STEPS.values())


def test_git_and_docker_run_only_with_the_variables_in_their_lists() -> None:
    for program in ("git", "docker"):
        (definition,) = re.findall(rf"^{program}\(\) .*$", TOOLS, re.MULTILINE)
        arguments = f'"${{for_all[@]}}" "${{for_{program}[@]}}" {program} "$@"'
        assert f"env -i {arguments}" in definition
    for step in STEPS.values():
        assert step is FIRST or '\n. "$CODEBUILD_SRC_DIR/private/tools"\n' in step
        # A program that is found by its path, or through another one, would get everything.
        assert not re.search(
            r"(?:command(?! -v)|exec|env|sudo|xargs) +(?:-\S+ +)*(?:git|docker)\b", step
        )


def test_the_title_of_each_step_is_one_line_of_words() -> None:
    for title in STEPS:
        assert re.fullmatch(r'echo "[A-Z][A-Za-z ]+"', title), title
