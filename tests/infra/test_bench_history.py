"""`make bench` keeps its figures and says what has changed."""

import json
from pathlib import Path

import pytest

from tests.bench import history
from tests.bench.figures import Figure


def test_a_run_is_kept_and_compared_with_the_last_one(tmp_path: Path) -> None:
    kept = tmp_path / "bench.jsonl"
    first = [Figure("push", 10, "ms"), Figure("  own code", 2, "ms"), Figure("gone", 1, "MB")]
    second = [Figure("push", 10.2, "ms"), Figure("  own code", 1, "ms"), Figure("more", 1, "MB")]
    assert list(history.add(first, kept)) == ["No earlier run on a machine like this one."]
    _, *changes = history.add(second, kept)
    assert changes == [
        "  gone: no longer measured",
        "  more: new",
        "  push, own code: 2.00 -> 1.00",
    ]
    runs = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [run["figures"]["push"] for run in runs] == [10, 10.2]
    assert all(run["commit"] and run["date"] for run in runs)


def test_the_figures_of_another_machine_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "bench.jsonl"
    list(history.add([Figure("push", 10, "ms")], kept))
    monkeypatch.setattr("platform.machine", lambda: "another")
    assert list(history.add([Figure("push", 1, "ms")], kept)) == [
        "No earlier run on a machine like this one."
    ]
