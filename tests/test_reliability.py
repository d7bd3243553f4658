"""docs/reliability.md: its figures are correct, and the tests that it names exist."""

import re
from pathlib import Path

import pytest

from tests.faults.cases import CASES
from tests.faults.injector import KINDS
from tests.faults.test_interleavings import PAIRS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/reliability.md").read_text()
NUMBER_WORDS = {7: "seven", 8: "eight", 9: "nine"}
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_every_failure_names_a_test() -> None:
    table = PAGE.partition("<!-- failures -->")[2].partition("\n\n")[0].strip().splitlines()[2:]
    assert len(table) > 30
    assert all(re.search(r"`tests/[\w/]+\.py::\w+` \|$", line) for line in table)


def test_the_page_states_the_size_of_the_proof() -> None:
    assert f"| {len(CASES)} use cases;" in PAGE
    assert f"| {len(PAIRS)} pairs of things" in PAGE
    assert f"each of {NUMBER_WORDS[len(KINDS)]} faults" in PAGE


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_named_test_exists(file: str, name: str) -> None:
    assert re.search(rf"^(?:def |){name}\b", (ROOT / file).read_text(), re.M)
