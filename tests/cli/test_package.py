"""The package `cli/` and its page in the documents agree with the code."""

import re
import tomllib

from packaging.requirements import Requirement
from slipway_cli import VERSION, errors
from slipway_cli.main import cli

from tests.support.serving import ROOT

PAGE = (ROOT / "docs/cli.md").read_text()
PACKAGE = tomllib.loads((ROOT / "cli/pyproject.toml").read_text())["project"]


def test_the_page_lists_exactly_the_commands() -> None:
    rows = re.findall(r"^\| (`.*?) \| ", PAGE.partition("<!-- commands -->")[2], re.M)
    named = {name for row in rows for name in re.findall(r"`([a-z]+)", row)}
    assert named == set(cli.commands)


def test_the_page_lists_exactly_the_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| ", PAGE.partition("<!-- exit codes -->")[2], re.M)
    failures = [errors.Failed, errors.WrongUsage, errors.NoAccess]
    expected = [0, *(each.exit_code for each in failures), errors.INTERRUPTED]
    assert [int(code) for code in rows] == expected


def test_the_package_has_the_version_and_requirements_that_are_tested() -> None:
    assert PACKAGE["version"] == VERSION
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", (ROOT / "constraints.txt").read_text(), re.M))
    for line in PACKAGE["dependencies"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[requirement.name])
