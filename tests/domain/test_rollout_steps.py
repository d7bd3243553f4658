"""The next step of a service, as complete tables."""

from itertools import product

import pytest
from msgspec.structs import replace

from chalicelib.domain.rollouts import (
    Call,
    Origin,
    Rollout,
    Shift,
    Step,
    decide_active,
    decide_idle,
    origin_of,
)
from chalicelib.domain.timing import WORKER_LIFE

NOW, SOON, PAST = 10_000, 10_001, 9_999
WANTED, OTHER, THIRD = "hello:2", "hello:1", "hello:3"
STATES = ("IN_PROGRESS", "COMPLETED", "FAILED")


def rollout(
    definition: str, state: str, *failed: str, moving: str = "", newest: Call | None = None
) -> Rollout:
    reasons = dict.fromkeys(failed, "tasks failed to start")
    return Rollout(
        definition, state, failed=reasons, moving=frozenset({moving} - {""}), newest=newest
    )


def active(
    seen: Rollout,
    *,
    wanted: str | None = WANTED,
    origin: Origin = Origin.SLIPWAY,
    called_at: int | None = None,
    expected: str | None = None,
) -> list[Step]:
    """The steps at the deadline and after it."""
    return [
        decide_active(
            wanted=wanted,
            rollout=seen,
            origin=origin,
            now=NOW,
            deadline_at=deadline,
            called_at=called_at,
            expected=expected,
        )
        for deadline in (NOW, PAST)
    ]


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
    assert active(rollout(definition, state, *failed)) == [in_time, late]


def test_a_rollout_without_a_reported_end_is_not_repeated() -> None:
    assert active(rollout(OTHER, "IN_PROGRESS", moving=WANTED)) == [Step.WAIT, Step.FAIL]


@pytest.mark.parametrize("state", STATES)
def test_a_deployment_without_a_definition_begins_before_its_deadline(state: str) -> None:
    assert active(rollout(OTHER, state, OTHER), wanted=None) == [Step.BEGIN, Step.FAIL]


@pytest.mark.parametrize("wanted", [WANTED, None])
def test_a_deployment_waits_while_ecs_has_not_recorded_who_changed_the_service(
    wanted: str | None,
) -> None:
    seen = rollout(OTHER, "COMPLETED")
    assert active(seen, wanted=wanted, origin=Origin.UNKNOWN) == [Step.WAIT, Step.FAIL]


# By `called_at`: whether the last call has ended. It may be in flight as long as a worker lives.
SETTLED = {None: True, NOW - WORKER_LIFE - 1: True, NOW - WORKER_LIFE: False, NOW: False}


@pytest.mark.parametrize(("called_at", "settled"), SETTLED.items())
@pytest.mark.parametrize(("wanted", "state"), list(product([WANTED, None], STATES)))
def test_a_choice_of_another_party_ends_a_deployment_once_no_call_is_in_flight(
    wanted: str | None, state: str, called_at: int | None, settled: bool
) -> None:
    for moving in ("", WANTED):
        seen = rollout(OTHER, state, moving=moving)
        steps = active(seen, wanted=wanted, origin=Origin.OUTSIDE, called_at=called_at)
        assert steps == [Step.SUPERSEDE if settled else Step.WAIT] * 2


def test_a_choice_of_another_party_does_not_hide_that_the_rollout_failed_before() -> None:
    seen = rollout(OTHER, "COMPLETED", WANTED)
    assert active(seen, origin=Origin.OUTSIDE) == [Step.FAIL] * 2


def moving_to(definition: str, status: str = "IN_PROGRESS", primary: str | None = None) -> Rollout:
    """A rollout of a definition moves traffic."""
    shift = Shift("arn", status, task_definition=definition)
    return replace(rollout(primary or definition, "IN_PROGRESS"), shift=shift)


ENDING = ("STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")


@pytest.mark.parametrize(("wanted", "expected"), [(WANTED, WANTED), (None, THIRD)])
def test_ecs_takes_a_rollout_of_another_definition_back_before_a_deployment(
    wanted: str | None, expected: str
) -> None:
    def steps(seen: Rollout) -> list[Step]:
        return active(seen, wanted=wanted, expected=expected)

    assert steps(moving_to(OTHER)) == [Step.TAKE_BACK, Step.FAIL]
    for status in ENDING:
        assert steps(moving_to(OTHER, status)) == [Step.WAIT, Step.FAIL]
    # ECS has not made it PRIMARY, so it may be another party's.
    assert steps(moving_to(OTHER, primary=THIRD)) == [Step.WAIT, Step.FAIL]


def test_the_first_deployment_of_a_service_takes_nothing_back() -> None:
    assert active(moving_to(OTHER), wanted=None) == [Step.BEGIN, Step.FAIL]
    for status in ENDING:
        assert active(moving_to(OTHER, status), wanted=None) == [Step.WAIT, Step.FAIL]


def test_a_deployment_begins_over_the_rollout_of_another_party_that_it_overrules() -> None:
    for wanted, step in ((None, Step.BEGIN), (WANTED, Step.UPDATE)):
        found = decide_active(
            wanted=wanted,
            rollout=moving_to(OTHER),
            origin=Origin.OUTSIDE,
            now=NOW,
            deadline_at=NOW,
            called_at=None,
            overrules=True,
        )
        assert found is step


def test_a_deployment_waits_for_the_rollout_of_what_ecs_should_run_no_longer_than_before() -> None:
    found = decide_active(
        wanted=None,
        rollout=moving_to(OTHER),
        origin=Origin.SLIPWAY,
        now=NOW,
        deadline_at=NOW,
        called_at=None,
        expected=OTHER,
    )
    assert found is Step.BEGIN


@pytest.mark.parametrize("called_at", [None, NOW])
def test_without_a_deployment_ecs_takes_a_rollout_back(called_at: int | None) -> None:
    def idle(seen: Rollout, origin: Origin = Origin.SLIPWAY) -> Step:
        return decide_idle(wanted=WANTED, rollout=seen, origin=origin, now=NOW, called_at=called_at)

    assert idle(moving_to(OTHER)) is Step.TAKE_BACK
    assert {idle(moving_to(OTHER, status)) for status in ENDING} == {Step.WAIT}
    assert idle(moving_to(OTHER), Origin.UNKNOWN) is Step.WAIT
    assert idle(moving_to(OTHER), Origin.OUTSIDE) in {Step.SHOW_DRIFT, Step.WAIT}
    assert idle(moving_to(OTHER, primary=WANTED)) in {Step.WATCH, Step.WAIT}


CALLED = NOW - 1000


@pytest.mark.parametrize(
    ("definition", "at", "by_slipway", "called_at", "ended_at", "expected"),
    [
        # A late call of a paused worker.
        (OTHER, CALLED + WORKER_LIFE, True, CALLED, CALLED - 500, Origin.SLIPWAY),
        (OTHER, CALLED + WORKER_LIFE + 1, True, CALLED, CALLED - 500, Origin.OUTSIDE),
        (OTHER, NOW, True, None, CALLED - 500, Origin.OUTSIDE),
        # The rollout of a deployment that ended without success, also if another party forced it.
        (OTHER, NOW - 500, True, CALLED, NOW - 500, Origin.SLIPWAY),
        (OTHER, NOW - 500, True, None, NOW - 500, Origin.SLIPWAY),
        (OTHER, NOW - 499, True, CALLED, NOW - 500, Origin.OUTSIDE),
        # A definition that Slipway did not register and does not restore.
        (OTHER, CALLED, False, CALLED, None, Origin.OUTSIDE),
        (OTHER, CALLED + 1, False, CALLED, None, Origin.OUTSIDE),
        (OTHER, 0, False, None, None, Origin.OUTSIDE),
        # ECS rolled the wanted definition back, or does it now.
        (WANTED, NOW, False, CALLED, None, Origin.SLIPWAY),
        (WANTED, NOW, True, None, None, Origin.SLIPWAY),
        # ECS rolled back what another party chose.
        (THIRD, NOW, False, CALLED, None, Origin.OUTSIDE),
    ],
)
def test_the_record_and_its_time_say_who_changed_the_service(
    definition: str,
    at: int,
    by_slipway: bool,
    called_at: int | None,
    ended_at: int | None,
    expected: Origin,
) -> None:
    seen = rollout(OTHER, "COMPLETED", newest=Call("arn", definition, at))
    found = origin_of(
        seen, wanted=WANTED, by_slipway=by_slipway, called_at=called_at, ended_at=ended_at
    )
    assert found is expected


@pytest.mark.parametrize(
    ("definition", "wanted", "expected"),
    [
        (WANTED, WANTED, Origin.SLIPWAY),
        (OTHER, None, Origin.SLIPWAY),
        (OTHER, WANTED, Origin.UNKNOWN),
    ],
)
def test_without_a_record_only_an_unexpected_definition_has_an_unknown_origin(
    definition: str, wanted: str | None, expected: Origin
) -> None:
    seen = rollout(definition, "COMPLETED")
    found = origin_of(seen, wanted=wanted, by_slipway=True, called_at=NOW, ended_at=NOW)
    assert found is expected


@pytest.mark.parametrize(("called_at", "settled"), SETTLED.items())
@pytest.mark.parametrize("state", ["IN_PROGRESS", "COMPLETED"])
def test_an_idle_service_is_watched_once_all_calls_have_ended(
    state: str, called_at: int | None, settled: bool
) -> None:
    for wanted in (OTHER, None):
        step = decide_idle(
            wanted=wanted,
            rollout=rollout(OTHER, state),
            origin=Origin.SLIPWAY,
            now=NOW,
            called_at=called_at,
        )
        assert step is (Step.WATCH if settled else Step.WAIT)


@pytest.mark.parametrize(("called_at", "settled"), SETTLED.items())
def test_a_failed_current_release_is_shown_once_no_call_is_in_flight(
    called_at: int | None, settled: bool
) -> None:
    failed = rollout(OTHER, "FAILED")
    step = decide_idle(
        wanted=OTHER, rollout=failed, origin=Origin.SLIPWAY, now=NOW, called_at=called_at
    )
    assert step is (Step.SHOW_FAILURE if settled else Step.WAIT)


@pytest.mark.parametrize(("called_at", "settled"), SETTLED.items())
def test_a_choice_of_another_party_is_shown_once_no_call_is_in_flight(
    called_at: int | None, settled: bool
) -> None:
    for state, failed in product(STATES, ((), (WANTED,))):
        step = decide_idle(
            wanted=WANTED,
            rollout=rollout(OTHER, state, *failed),
            origin=Origin.OUTSIDE,
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
    step = decide_idle(
        wanted=WANTED, rollout=seen, origin=Origin.SLIPWAY, now=NOW, called_at=called_at
    )
    assert step is (Step.WAIT if expected is Step.SHOW_FAILURE and not settled else expected)


@pytest.mark.parametrize("called_at", SETTLED)
def test_an_idle_service_waits_while_ecs_has_not_recorded_who_changed_it(
    called_at: int | None,
) -> None:
    for state in STATES:
        step = decide_idle(
            wanted=WANTED,
            rollout=rollout(OTHER, state),
            origin=Origin.UNKNOWN,
            now=NOW,
            called_at=called_at,
        )
        assert step is Step.WAIT
