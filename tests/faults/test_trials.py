"""A trial in a forked copy: what it answers, and what is said if it does not."""

import os
import threading

import pytest

from tests.faults import trials
from tests.faults.trials import Result, forked


def test_the_answer_of_a_trial_comes_back() -> None:
    assert forked(lambda: {"calls": 3}) == Result({"calls": 3})


def test_a_failed_trial_gives_its_traceback() -> None:
    assert "ZeroDivisionError" in forked(lambda: 1 // 0).trouble


def test_a_trial_that_dies_is_reported() -> None:
    assert "without a result" in forked(lambda: os._exit(1)).trouble


def test_a_trial_that_hangs_ends_with_its_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "LONGEST_TRIAL", 0.2)

    def wait_for_ever() -> None:
        threading.Event().wait()

    trouble = forked(wait_for_ever).trouble
    assert "Timeout" in trouble
    assert "wait_for_ever" in trouble
