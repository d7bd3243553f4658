"""The next step of a service, as complete tables."""

from itertools import product

import pytest

from chalicelib.domain.rollouts import Rollout, Step, decide_active, decide_idle
from chalicelib.domain.timing import WORKER_LIFE

NOW, SOON, PAST = 10_000, 10_001, 9_999
WANTED, OTHER = "hello:2", "hello:1"
STATES = ("IN_PROGRESS", "COMPLETED", "FAILED")


def rollout(definition: str, state: str, *failed: str, moving: str = "") -> Rollout:
    reasons = dict.fromkeys(failed, "tasks failed to start")
    return Rollout(definition, state, failed=reasons, moving=frozenset({moving} - {""}))


@pytest.mark.parametrize(
    ("definition", "state", "failed", "in_time", "late"),
    [
        (WANTED, "IN_PROGRESS", (), Step.WAIT, Step.FAIL),
        (WANTED, "COMPLETED", (), Step.SUCCEED, Step.SUCCEED),
        (WANTED, "FAILED", (), Step.FAIL, Step.FAIL),
        (OTHER, "IN_PROGRESS", (), Step.UPDATE, Step.FAIL),
        (OTHER, "COMPLETED", (), Step.UPDATE, Step.FAIL),
        (OTHER, "FAILED", (), Step.UPDATE, Step.FAIL),
        (OTHER, "IN_PROGRESS", (WANTED,), Step.FAIL, Step.FAIL),
        (OTHER, "COMPLETED", (WANTED,), Step.FAIL, Step.FAIL),
        (OTHER, "COMPLETED", (OTHER,), Step.UPDATE, Step.FAIL),
        (WANTED, "IN_PROGRESS", (OTHER,), Step.WAIT, Step.FAIL),
    ],
)
def test_a_deployment_with_its_definition_is_rolled_out_once(
    definition: str, state: str, failed: tuple[str, ...], in_time: Step, late: Step
) -> None:
    seen = rollout(definition, state, *failed)
    steps = [
        decide_active(wanted=WANTED, rollout=seen, now=NOW, deadline_at=deadline)
        for deadline in (NOW, PAST)
    ]
    assert steps == [in_time, late]


def test_a_rollout_without_a_reported_end_is_not_repeated() -> None:
    seen = rollout(OTHER, "IN_PROGRESS", moving=WANTED)
    steps = [
        decide_active(wanted=WANTED, rollout=seen, now=NOW, deadline_at=deadline)
        for deadline in (NOW, PAST)
    ]
    assert steps == [Step.WAIT, Step.FAIL]


@pytest.mark.parametrize("state", STATES)
def test_a_deployment_without_a_definition_begins_before_its_deadline(state: str) -> None:
    seen = rollout(OTHER, state, OTHER)
    steps = [
        decide_active(wanted=None, rollout=seen, now=NOW, deadline_at=deadline)
        for deadline in (SOON, PAST)
    ]
    assert steps == [Step.BEGIN, Step.FAIL]


# By `called_at`: whether the last call has ended. It may be in flight as long as a worker lives.
SETTLED = {None: True, NOW - WORKER_LIFE - 1: True, NOW - WORKER_LIFE: False, NOW: False}


@pytest.mark.parametrize(("called_at", "settled"), SETTLED.items())
@pytest.mark.parametrize("state", ["IN_PROGRESS", "COMPLETED"])
def test_an_idle_service_is_watched_once_its_rollout_and_all_calls_have_ended(
    state: str, called_at: int | None, settled: bool
) -> None:
    for wanted in (OTHER, None):
        step = decide_idle(
            wanted=wanted,
            rollout=rollout(OTHER, state),
            by_slipway=True,
            now=NOW,
            called_at=called_at,
        )
        assert step is (Step.WATCH if settled and state == "COMPLETED" else Step.WAIT)


@pytest.mark.parametrize(("called_at", "settled"), SETTLED.items())
def test_a_failed_current_release_is_shown_once_no_call_is_in_flight(
    called_at: int | None, settled: bool
) -> None:
    failed = rollout(OTHER, "FAILED")
    step = decide_idle(wanted=OTHER, rollout=failed, by_slipway=True, now=NOW, called_at=called_at)
    assert step is (Step.SHOW_FAILURE if settled else Step.WAIT)


@pytest.mark.parametrize(("called_at", "settled"), SETTLED.items())
def test_a_definition_of_another_party_is_shown_once_no_call_is_in_flight(
    called_at: int | None, settled: bool
) -> None:
    for state, failed in product(STATES, ((), (WANTED,))):
        step = decide_idle(
            wanted=WANTED,
            rollout=rollout(OTHER, state, *failed),
            by_slipway=False,
            now=NOW,
            called_at=called_at,
        )
        assert step is (Step.SHOW_DRIFT if settled else Step.WAIT)


@pytest.mark.parametrize(("called_at", "settled"), SETTLED.items())
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("failed", "moving", "expected"),
    [((), "", Step.UPDATE), ((WANTED,), "", Step.SHOW_FAILURE), ((), WANTED, Step.WAIT)],
)
def test_a_late_call_is_undone_at_once_unless_the_wanted_definition_failed_before(
    state: str,
    called_at: int | None,
    settled: bool,
    failed: tuple[str, ...],
    moving: str,
    expected: Step,
) -> None:
    seen = rollout(OTHER, state, *failed, moving=moving)
    step = decide_idle(wanted=WANTED, rollout=seen, by_slipway=True, now=NOW, called_at=called_at)
    assert step is (Step.WAIT if expected is Step.SHOW_FAILURE and not settled else expected)
