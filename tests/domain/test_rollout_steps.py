"""The next step of a service: full tables."""

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


def test_a_rollout_that_ecs_has_not_judged_yet_is_not_repeated() -> None:
    seen = rollout(OTHER, "IN_PROGRESS", moving=WANTED)
    steps = [
        decide_active(wanted=WANTED, rollout=seen, now=NOW, deadline_at=deadline)
        for deadline in (NOW, PAST)
    ]
    assert steps == [Step.WAIT, Step.FAIL]


@pytest.mark.parametrize("state", STATES)
def test_a_deployment_without_a_definition_begins_unless_its_time_is_up(state: str) -> None:
    seen = rollout(OTHER, state, OTHER)
    steps = [
        decide_active(wanted=None, rollout=seen, now=NOW, deadline_at=deadline)
        for deadline in (SOON, PAST)
    ]
    assert steps == [Step.BEGIN, Step.FAIL]


# A call of ours may still be in the air until a worker's life after the last claim.
CLAIMS = {None: True, NOW - WORKER_LIFE - 1: True, NOW - WORKER_LIFE: False, NOW: False}


@pytest.mark.parametrize(("called_at", "settled"), CLAIMS.items())
@pytest.mark.parametrize("state", ["IN_PROGRESS", "COMPLETED"])
def test_a_free_service_that_runs_what_it_should_rests_once_all_is_still(
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


@pytest.mark.parametrize(("called_at", "settled"), CLAIMS.items())
def test_a_current_release_that_does_not_come_up_is_shown_once_all_is_still(
    called_at: int | None, settled: bool
) -> None:
    failed = rollout(OTHER, "FAILED")
    step = decide_idle(wanted=OTHER, rollout=failed, by_slipway=True, now=NOW, called_at=called_at)
    assert step is (Step.SHOW_FAILURE if settled else Step.WAIT)


@pytest.mark.parametrize(("called_at", "settled"), CLAIMS.items())
def test_a_choice_of_somebody_else_is_shown_once_no_call_of_ours_is_in_the_air(
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


@pytest.mark.parametrize(("called_at", "settled"), CLAIMS.items())
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("failed", "moving", "expected"),
    [((), "", Step.UPDATE), ((WANTED,), "", Step.SHOW_FAILURE), ((), WANTED, Step.WAIT)],
)
def test_a_late_call_of_ours_is_healed_at_once_unless_that_is_known_not_to_help(
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
