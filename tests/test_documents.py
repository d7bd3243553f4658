"""The documents keep their form: narrow lines, dated decisions, links that lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *DECISIONS, ROOT / "tests/README.md"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_lines_are_at_most_100_characters_long_but_for_tables(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_to_files_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [each for each in targets if not (path.parent / each).exists()] == []


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_has_a_number_a_status_and_a_date(path: Path) -> None:
    title, _, status, *_ = path.read_text().splitlines()
    assert title.startswith(f"# {int(path.name[:4])}. ")
    assert re.match(r"Status: (accepted|superseded).* · Date: 20\d\d-\d\d-\d\d$", status)
