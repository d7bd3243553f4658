"""Every call that each use case makes, failing in every way: the end is as it would have been."""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from moto import mock_aws

from infra.local.aws import ecs
from tests.faults import injector
from tests.faults.injector import Injector
from tests.faults.invariants import Ledger, check, check_settled
from tests.faults.reach import functions_that_call_aws, functions_under_way
from tests.faults.rows import deployments, rows, services
from tests.faults.trials import forked, recover
from tests.faults.use_cases import READINGS, USE_CASES, UseCase
from tests.support.client import Answer
from tests.support.embedded import Cloud, cloud
from tests.support.sdk import Killed

__all__ = ["cloud"]

Record = Callable[[str, Any], None]

CASES = (*USE_CASES, *READINGS)
AGAIN = 15  # seconds until somebody who got no answer asks again
ALWAYS = (injector.DIED_AFTER, injector.LOST_AFTER)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Injector:
    return Injector(monkeypatch)


def outcome(cloud: Cloud) -> dict[str, Any]:
    """What users would notice, once everything is at rest; gaps between numbers are no matter."""
    jobs = sorted(rows("jobs").values(), key=lambda row: (row["kind"], row["number"]))
    numbers = sorted(deployments())
    known = {row["image"]: numbers.index(number) for number, row in deployments().items()}
    images = [cloud.image_on_ecs(service.name) for service in ecs.engine().services()]
    return {
        "jobs": [[row["kind"], row["status"], "image_digest" in row] for row in jobs],
        "images": [known.get(image, image) for image in images],
        "services": [
            [
                row["settings"]["branch"],
                "deleted_at" in row,
                "auto_deploy_paused" in row,
                "drift" in row,
            ]
            for row in services().values()
        ],
        "current": [
            numbers.index(row["current"]) if "current" in row else None
            for row in services().values()
        ],
        "projects": sorted(row["name"] for row in rows("projects").values()),
    }


def attempt(case: UseCase, cloud: Cloud) -> bool:
    """Take the step; whether it was answered, where it was to be answered."""
    try:
        answer = case.run(cloud)
    except Killed:
        return False
    return answer is None or answer.status < 300


def trial(case: UseCase, cloud: Cloud, faults: Injector, *plan: tuple[int, str]) -> dict[str, Any]:
    """The use case with faults, what follows them, and where it ends."""
    ledger = Ledger()
    faults.observe = ledger.observe
    faults.reset()
    for number, kind in plan:
        faults.fail(number, kind)
    answered = attempt(case, cloud)
    assert len(faults.fired) >= len(plan), "the planned fault did not happen"
    faults.reset()
    check()
    if not answered:
        cloud.advance(AGAIN)
        again = case.run(cloud)
        assert again is None or _is_settled(again), again.text
    recover(cloud)
    ledger.verdict()
    check_settled(set())
    return outcome(cloud)


def _is_settled(answer: Answer) -> bool:
    """Done, or refused because it was done: a repeated PATCH or DELETE finds it so."""
    return answer.status < 300 or answer.status in {404, 409}


def sweep(
    case: UseCase, cloud: Cloud, faults: Injector, kinds: tuple[str, ...]
) -> tuple[str, tuple[int, int]]:
    """Each call of the use case with each kind of fault; all that went wrong is told at once.

    The answer is how many calls there are, and how many trials there were.
    """
    cloud.handlers_may_fail = True
    case.prepare(cloud)
    gc.freeze()  # a copy that need not look through the heap need not copy it
    without = forked(lambda: recorded(case, cloud, faults))
    assert not without.trouble, without.trouble
    calls, expected = without.answer
    assert calls
    problems = []
    for number, name in enumerate(calls):
        for kind in kinds:
            told = forked(partial(trial, case, cloud, faults, (number, kind)))
            where = f"call {number}, {name}: {kind}"
            if told.trouble:
                problems.append(f"{where}\n{told.trouble}")
            elif told.answer != expected and not may_end_otherwise(kind, name, calls):
                problems.append(f"{where}\n{told.answer}\ninstead of\n{expected}")
    assert not problems, f"{len(problems)} of {len(calls) * len(kinds)}:\n" + "\n".join(problems)
    return "fault sweep", (len(calls), len(calls) * len(kinds))


LOOKS = {
    "codebuild.BatchGetBuilds",
    "codebuild.ListBuildsForProject",
    "ecs.DescribeServiceDeployments",
    "ecs.DescribeServiceRevisions",
    "ecs.DescribeServices",
    "ecs.ListServiceDeployments",
}


def may_end_otherwise(kind: str, name: str, calls: list[str]) -> bool:
    """Who is denied what they need to begin does not begin; what was begun is not given up."""
    begins = "ecs.RegisterTaskDefinition" in calls
    return kind == injector.DENIED and (name not in LOOKS or begins)


def recorded(case: UseCase, cloud: Cloud, faults: Injector) -> tuple[list[str], dict[str, Any]]:
    """The calls that the use case makes, and where it ends, without any fault."""
    faults.reset()
    case.run(cloud)
    calls = list(faults.names)
    faults.reset()
    recover(cloud)
    check_settled(set())
    return calls, outcome(cloud)


@pytest.mark.parametrize("case", USE_CASES, ids=lambda case: case.name)
def test_a_lost_answer_or_a_death_anywhere_changes_no_end(
    case: UseCase, cloud: Cloud, faults: Injector, record_property: Record
) -> None:
    record_property(*sweep(case, cloud, faults, ALWAYS))


@pytest.mark.sweep
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_anywhere_changes_no_end(
    case: UseCase, cloud: Cloud, faults: Injector, record_property: Record
) -> None:
    done = ALWAYS if case in USE_CASES else ()
    others = tuple(kind for kind in injector.KINDS if kind not in done)
    record_property(*sweep(case, cloud, faults, others))


@pytest.mark.sweep
def test_every_function_that_calls_aws_is_reached() -> None:
    reached: set[str] = set()
    for case in CASES:
        with mock_aws(), pytest.MonkeyPatch.context() as each:
            cloud = Cloud(each)
            case.prepare(cloud)
            faults = Injector(each)
            faults.before = lambda *_: reached.update(functions_under_way())
            case.run(cloud)
    assert functions_that_call_aws() - reached == set()
