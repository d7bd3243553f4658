"""Warm up before the first trial, and print the totals of the sweeps after the last test."""

from collections import Counter
from typing import Any

import pytest

from chalicelib import budget
from tests.faults.trials import warm_up
from tests.support.fixtures import *  # noqa: F403


@pytest.fixture(autouse=True, scope="session")
def _warm() -> None:
    warm_up()


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not look like an AWS that is slow to answer."""
    monkeypatch.setattr(budget, "HTTP_SECONDS", 600)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the totals of what the passed tests recorded: calls and trials."""
    swept: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    trials: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, (sites, runs) in getattr(report, "user_properties", ()):
            swept[name] += 1
            calls[name] += sites
            trials[name] += runs
    for name, count in swept.items():
        terminalreporter.write_line(
            f"{name}: {count} tests, {calls[name]} calls, {trials[name]} trials, no violation"
        )
