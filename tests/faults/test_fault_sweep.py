"""Each call of each use case fails in each way. The end must be the same as without a fault."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from moto import mock_aws

from infra.local.aws import ecs
from tests.faults import injector, receivers
from tests.faults.cases import CASES
from tests.faults.injector import Injector
from tests.faults.invariants import Ledger, check, check_settled
from tests.faults.reach import functions_on_the_stack, functions_that_call_aws
from tests.faults.rows import deployments, rows, services
from tests.faults.traffic import approvals_of
from tests.faults.traffic_cases import TRAFFIC
from tests.faults.trials import forked, recover
from tests.faults.use_cases import CHECKS, PULL_REQUESTS, TELLINGS, USE_CASES, UseCase
from tests.support.client import Answer
from tests.support.embedded import Cloud, cloud
from tests.support.sdk import Killed

__all__ = ["cloud"]

Record = Callable[[str, Any], None]

RETRY_AFTER = 15  # seconds until a caller repeats a request that got no answer
# `make test` injects these kinds in turn into the calls of SAMPLE that change something, and
# `make sweep` every kind into every call. A process that dies after a read leaves the same state as
# one that dies before it.
SAMPLE = tuple(
    case for cases in (USE_CASES, TELLINGS, CHECKS, PULL_REQUESTS, TRAFFIC) for case in cases[::8]
)
IN_TURN = (injector.DIED_AFTER, injector.LOST_AFTER)
READS = re.compile(r"\w+\.(BatchGet|GET|Describe|Get|List|Query|Scan|TransactGet|Filter)")
Plan = Callable[[int, str], tuple[str, ...]]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Injector:
    return Injector(monkeypatch)


def outcome(cloud: Cloud) -> dict[str, Any]:
    """The state at rest as users see it. Numbers are left out: a fault may leave gaps in them."""
    jobs = sorted(rows("jobs").values(), key=lambda row: (row["kind"], row["number"]))
    numbers = sorted(deployments())
    known = {row["image"]: numbers.index(number) for number, row in deployments().items()}
    images = [cloud.image_on_ecs(service.name) for service in ecs.engine().services()]
    return {
        "jobs": [
            [row["kind"], row["status"], "image_digest" in row, row.get("config", {})]
            for row in jobs
        ],
        "images": [known.get(image, image) for image in images],
        "services": [
            [
                row["settings"]["branch"],
                "deleted_at" in row,
                "auto_deploy_paused" in row,
                "drift" in row,
                row.get("config", {}).get("environment", {}),
            ]
            for row in services().values()
        ],
        "current": [
            numbers.index(row["current"]) if "current" in row else None
            for row in services().values()
        ],
        "approvals": [approvals_of(row) for row in jobs if row["kind"] == "deploy"],
        "projects": sorted(row["name"] for row in rows("projects").values()),
        "receivers": receivers.current.known(),
    }


def attempt(case: UseCase, cloud: Cloud) -> bool:
    """Run the use case once. False if the process died or the answer was an error."""
    try:
        answer = case.run(cloud)
    except Killed:
        return False
    return answer is None or answer.status < 300


def trial(case: UseCase, cloud: Cloud, faults: Injector, *plan: tuple[int, str]) -> dict[str, Any]:
    """Run the use case with the planned faults, repeat it if it failed, and return its outcome.

    A fault is planned as the number of a call and a kind.
    """
    ledger = Ledger()
    faults.observe, faults.watch = ledger.observe, ledger.watch
    faults.reset()
    for number, kind in plan:
        faults.fail(number, kind)
    answered = attempt(case, cloud)
    assert len(faults.fired) >= len(plan), "the planned fault did not happen"
    faults.reset()
    check()
    if not answered:
        cloud.advance(RETRY_AFTER)
        repeated = case.run(cloud)
        assert repeated is None or _is_done(repeated), repeated.text
    recover(cloud)
    ledger.raise_first()
    check_settled(set())
    return outcome(cloud)


def _is_done(answer: Answer) -> bool:
    """Whether a repeated request succeeded, or failed because the first one had succeeded.

    A repeated PATCH or DELETE gets 409 or 404 then.
    """
    return answer.status < 300 or answer.status in {404, 409}


def sweep(
    case: UseCase, cloud: Cloud, faults: Injector, kinds: Plan
) -> tuple[str, tuple[int, int]]:
    """Make each call of the use case fail with the kinds for it, and report all problems at once.

    Returns the name for the terminal summary, and the numbers of calls and trials.
    """
    cloud.handlers_may_fail = True
    case.prepare(cloud)
    without_fault = forked(lambda: recorded(case, cloud, faults))
    assert not without_fault.trouble, without_fault.trouble
    calls, expected = without_fault.answer
    assert calls
    planned = [
        (number, name, kind) for number, name in enumerate(calls) for kind in kinds(number, name)
    ]
    problems = []
    for number, name, kind in planned:
        result = forked(partial(trial, case, cloud, faults, (number, kind)))
        where = f"call {number}, {name}: {kind}"
        if result.trouble:
            problems.append(f"{where}\n{result.trouble}")
        elif result.answer != expected and not may_end_otherwise(kind, name, calls, case):
            problems.append(f"{where}\n{result.answer}\ninstead of\n{expected}")
    assert not problems, f"{len(problems)} of {len(planned)}:\n" + "\n".join(problems)
    return "fault sweep", (len({number for number, _, _ in planned}), len(planned))


def in_turn(number: int, name: str) -> tuple[str, ...]:
    """The kind of fault that `make test` injects into a call of this number and name, if any."""
    return () if READS.match(name) else (IN_TURN[number % len(IN_TURN)],)


READS_OF_WORK = {
    "ecr.BatchGetImage",
    "codebuild.BatchGetBuilds",
    "codebuild.ListBuildsForProject",
    "ecs.DescribeServiceDeployments",
    "ecs.DescribeServiceRevisions",
    "ecs.DescribeServices",
    "ecs.DescribeTasks",
    "ecs.ListServiceDeployments",
    "ecs.ListTasks",
}


def may_end_otherwise(kind: str, name: str, calls: list[str], case: UseCase) -> bool:
    """Whether the end may differ from the end without a fault.

    Only access denied may change it, because work that has not begun then fails. A denied read of
    CodeBuild or ECS changes no end after the work has begun. In a use case that registers a task
    definition the rollout has not begun. A receiver that denies a request is asked again.
    """
    begins = case.begins or "ecs.RegisterTaskDefinition" in calls
    if name.startswith(injector.REQUEST):
        return False
    return kind == injector.DENIED and (name not in READS_OF_WORK or begins)


def recorded(case: UseCase, cloud: Cloud, faults: Injector) -> tuple[list[str], dict[str, Any]]:
    """The calls of the use case and its outcome, without a fault."""
    faults.reset()
    case.run(cloud)
    calls = list(faults.names)
    faults.reset()
    recover(cloud)
    check_settled(set())
    return calls, outcome(cloud)


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.name)
def test_a_use_case_ends_the_same_if_an_answer_is_lost_or_the_process_dies(
    case: UseCase, cloud: Cloud, faults: Injector, record_property: Record
) -> None:
    record_property(*sweep(case, cloud, faults, in_turn))


@pytest.mark.sweep
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_use_case_ends_the_same_after_any_fault(
    case: UseCase, cloud: Cloud, faults: Injector, record_property: Record
) -> None:
    record_property(*sweep(case, cloud, faults, lambda _, name: injector.kinds_of(name)))


@pytest.mark.sweep
def test_the_use_cases_reach_every_function_that_calls_aws() -> None:
    reached: set[str] = set()
    for case in CASES:
        with mock_aws(), pytest.MonkeyPatch.context() as monkeypatch:
            cloud = Cloud(monkeypatch)
            case.prepare(cloud)
            faults = Injector(monkeypatch)
            faults.before = lambda *_: reached.update(functions_on_the_stack())
            case.run(cloud)
    assert functions_that_call_aws() - reached == set()
