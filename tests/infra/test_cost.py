"""The figures of cost in `docs/operate.md` are those of the code."""

import re

import pytest

from tests.bench import cost, memory, prices

# What a change may move without a new table: a tenth, or less than a cent or a unit.
TENTH, LEAST = 0.1, 0.01


def test_the_tables_of_cost_have_the_figures_of_the_code() -> None:
    page = cost.OPERATE.read_text()
    for name, rows in cost.tables(*cost.count()).items():
        found = re.findall(r"^\| (.*?) \| (.*) \|$", _table(page, name), re.M)
        assert [what for what, _ in found] == [what for what, _ in rows], name
        for (what, shown), (_, now) in zip(found, rows, strict=True):
            assert _numbers(shown) == pytest.approx(_numbers(now), rel=TENTH, abs=LEAST), (
                f"{name}: {what}: write the tables again with python -m tests.bench.cost"
            )


def test_a_figure_that_moves_much_is_noticed() -> None:
    assert _numbers("30 | 38") != pytest.approx(_numbers("26 | 38"), rel=TENTH, abs=LEAST)
    assert _numbers("**0.211**") != pytest.approx(_numbers("**0.181**"), rel=TENTH, abs=LEAST)


def test_the_functions_have_the_memory_that_the_rule_chooses() -> None:
    push, hour, _ = cost.count()
    api, pipeline = (
        memory.api_size(prices.WAIT_MS["dynamodb"]),
        memory.pipeline_size(cost.runs(push, hour)),
    )
    assert cost.sizes() == {
        "api_handler": api,
        "on_wakeup": pipeline,
        "on_telling": pipeline,
        "on_cloud_event": pipeline,
        "on_schedule": pipeline,
    }


def test_the_page_names_the_month_of_the_prices() -> None:
    assert prices.AS_OF == "2025-12"
    assert "us-east-1 in December 2025" in cost.OPERATE.read_text()


def _table(page: str, name: str) -> str:
    """The rows of a table, without its head."""
    return page.partition(f"<!-- {name} -->\n")[2].partition("\n\n")[0].split("\n", 2)[2]


def _numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)]
