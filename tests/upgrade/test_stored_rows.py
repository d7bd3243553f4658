"""The rows of the version before are read as it read them, and their open work is finished."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.domain.statuses import BuildStatus, DeploymentStatus, has_ended
from tests.faults.injector import Injector
from tests.faults.invariants import Ledger, check, codebuild_builds
from tests.faults.rows import builds, deployments, history, rows, services
from tests.faults.trials import forked
from tests.support.embedded import Cloud, task_definition
from tests.upgrade.stored import end_all, paths, restored, stored
from tests.upgrade.versions import BEFORE

FILE = stored()


@pytest.fixture(scope="module")
def kept() -> Iterator[Cloud]:
    """A cloud with the rows of the version before. A test changes them only in a fork."""
    with restored() as cloud:
        yield cloud


def test_the_rows_are_those_of_the_version_before() -> None:
    assert FILE["commit"] == BEFORE, "write the rows again: python -m tests.upgrade.stored"


def test_the_rows_are_of_every_kind(kept: Cloud) -> None:
    assert {row["status"] for row in builds().values()} == set(BuildStatus)
    assert {row["status"] for row in deployments().values()} == set(DeploymentStatus)
    everything = [name for row in services().values() for name in row]
    assert set(everything) >= {
        "active",
        "attention",
        "auto_deploy_paused",
        "baseline",
        "command",
        "commands",
        "current",
        "dead_letters",
        "deleted_at",
        "dependents",
        "drift",
        "failed_deployment",
        "open_builds",
        "receipt",
        "waiting",
    }
    assert "codebuild_id" not in builds()[8], "its worker died after StartBuild"
    assert all(FILE["tables"].values())


def test_what_the_rows_name_is_in_aws(kept: Cloud) -> None:
    """Otherwise the story has another end with this version, and the rows do not fit it."""
    known = {build["id"] for build in codebuild_builds()}
    assert {row["codebuild_id"] for row in builds().values() if "codebuild_id" in row} < known
    for row in deployments().values():
        if "task_definition" in row:
            assert row["image"] in str(task_definition(row["task_definition"]))
    check(outside())


def outside() -> set[str]:
    """The service deployment of the other party."""
    return {row["chosen"] for row in services().values() if "chosen" in row}


def includes(answer: Any, before: Any) -> bool:
    """Whether an answer has all that the one of the version before has. It may have new fields."""
    if isinstance(before, dict) and isinstance(answer, dict):
        return all(name in answer and includes(answer[name], before[name]) for name in before)
    if isinstance(before, list) and isinstance(answer, list):
        return len(answer) == len(before) and all(map(includes, answer, before))
    return bool(answer == before)


def test_every_row_is_shown(kept: Cloud) -> None:
    assert paths(FILE["tables"]) == sorted(FILE["answers"])


def test_rows_are_read_as_the_version_before_read_them(kept: Cloud) -> None:
    for path, before in FILE["answers"].items():
        answer = kept.api.get(path)
        assert answer.status == 200, f"{path}: {answer.text}"
        assert includes(answer.body, before), f"{path}: {answer.body}, before: {before}"


def finish(cloud: Cloud) -> dict[str, str]:
    """Let all open work end; return the statuses of all jobs."""
    ledger, accepted, entries = Ledger(), set(rows("jobs")), history()
    with pytest.MonkeyPatch.context() as monkeypatch:
        Injector(monkeypatch).observe = ledger.observe
        end_all(cloud, accepted, outside())
    ledger.raise_first()
    assert all(entry in history() for entry in entries)
    return statuses()


def statuses() -> dict[str, str]:
    return {name: row["status"] for name, row in rows("jobs").items()}


def test_open_work_of_the_version_before_is_finished(kept: Cloud) -> None:
    before = statuses()
    result = forked(lambda: finish(kept))
    assert not result.trouble, result.trouble
    after = result.answer
    ends = {name: after[name] for name, status in before.items() if not has_ended(status)}
    # The image of the tag, pushed later, replaces the deployment that waits.
    assert {name for name, status in ends.items() if status != "success"} == {"deploy-20"}
    assert (len(ends), ends["deploy-20"]) == (7, "superseded")
    ended = [name for name, status in before.items() if has_ended(status)]
    assert [after[name] for name in ended] == [before[name] for name in ended]
