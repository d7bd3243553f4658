"""Slipway's hook for approvals beside the hooks of the ECS service's owner."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.approvals import (
    BEFORE,
    STAGE,
    Answer,
    approval_of,
    hook_conflict,
    hook_to_answer,
    hooks_added,
    is_approved_for_good,
    is_guarded,
    own_hook,
    text_of_time_out,
    with_approval,
)
from chalicelib.domain.rollouts import Hook, Shift

PAUSE: dict[str, Any] = {"targetType": "PAUSE", "lifecycleStages": [STAGE]}
EARLIER: dict[str, Any] = {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]}
RIGHT_BEFORE: dict[str, Any] = {"targetType": "PAUSE", "lifecycleStages": [BEFORE]}
FUNCTION: dict[str, Any] = {
    "hookTargetArn": "arn:aws:lambda:eu-west-1:123456789012:function:check",
    "lifecycleStages": [STAGE],
}
THEIRS = st.lists(st.sampled_from([PAUSE, EARLIER, FUNCTION, own_hook(30)]), max_size=4)
MINUTES = st.sampled_from([None, 60, 90])


def blue_green(*hooks: Any) -> dict[str, Any]:
    return {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, "lifecycleHooks": list(hooks)}


def answer(hook_id: str, **more: Any) -> Answer:
    return Answer(**{"action": "approve", "number": 1, "by": "x", "at": 0, **more}, hook_id=hook_id)


@given(THEIRS, MINUTES, MINUTES)
@pytest.mark.parametrize(("minutes", "words"), [(1, "1 minute ("), (60, "60 minutes (")])
def test_a_time_out_is_said_in_words(minutes: int, words: str) -> None:
    assert words in text_of_time_out(minutes)


def test_the_hooks_of_the_owner_stay_whatever_slipway_adds_and_removes(
    theirs: list[Any], first: int | None, second: int | None
) -> None:
    before = blue_green(*theirs)
    added = hooks_added(before, first, added=()) or set()
    between = with_approval(before, first, added=())
    assert (hooks_added(between, second, added=added) or set()) >= added - {None}
    after = with_approval(between, second, added=added)
    own = [] if second is None else [own_hook(second)]
    assert after == blue_green(*theirs, *own)
    assert with_approval(after, None, added=hooks_added(between, second, added=added) or ()) == (
        before
    )


def test_a_service_without_hooks_gets_no_member_for_them() -> None:
    assert with_approval({"strategy": "ROLLING"}, None, added=()) == {"strategy": "ROLLING"}


def test_a_hook_that_is_seen_to_be_gone_is_not_remembered() -> None:
    assert hooks_added(blue_green(own_hook(60)), None, added={60, 90}) == {60}
    assert hooks_added(blue_green(), None, added={60}) is None
    assert hooks_added(blue_green(), 90, added={60}) == {90}


@pytest.mark.parametrize(
    ("hooks", "added", "conflict"),
    [
        ([], set(), None),
        ([EARLIER, FUNCTION], set(), None),
        ([PAUSE], set(), STAGE),
        ([own_hook(60)], set(), STAGE),
        ([own_hook(60)], {60}, None),
        ([own_hook(60), PAUSE], {60}, STAGE),
        ([{**PAUSE, "lifecycleStages": ["PRE_SCALE_UP", STAGE]}], set(), STAGE),
        ([{**PAUSE, "lifecycleStages": [BEFORE]}], set(), BEFORE),
        ([{**FUNCTION, "lifecycleStages": [BEFORE]}], set(), None),
        ([{**PAUSE, "lifecycleStages": ["POST_PRODUCTION_TRAFFIC_SHIFT"]}], set(), None),
    ],
)
def test_another_pause_at_the_same_stage_or_right_before_is_a_conflict(
    hooks: list[Any], added: set[int], conflict: str | None
) -> None:
    assert hook_conflict(blue_green(*hooks), added=added) == conflict


@pytest.mark.parametrize(
    ("configuration", "guarded"),
    [
        (blue_green(own_hook(60)), True),
        (blue_green(own_hook(60), EARLIER, FUNCTION), True),
        (blue_green(), False),
        (blue_green(own_hook(90)), False),
        (blue_green(own_hook(60), PAUSE), False),
        ({**blue_green(own_hook(60)), "strategy": "ROLLING"}, False),
        ({"lifecycleHooks": [own_hook(60)]}, False),
        (blue_green({**own_hook(60), "lifecycleStages": ["PRE_SCALE_UP"]}), False),
    ],
)
def test_a_rollout_is_guarded_only_by_slipways_hook_alone(
    configuration: dict[str, Any], guarded: bool
) -> None:
    assert is_guarded(configuration, 60) is guarded


@pytest.mark.parametrize(
    ("stage", "hooks", "configured", "found"),
    [
        (STAGE, [("h1", "PAUSE", "AWAITING_ACTION")], [own_hook(60)], "h1"),
        (STAGE, [("h1", "PAUSE", "SUCCEEDED")], [own_hook(60)], None),
        (STAGE, [("h1", "AWS_LAMBDA", "IN_PROGRESS")], [own_hook(60), FUNCTION], None),
        (STAGE, [("h1", "PAUSE", "AWAITING_ACTION")], [PAUSE], None),
        # Another stage that pauses: its hook is not Slipway's.
        ("PRE_SCALE_UP", [("h1", "PAUSE", "AWAITING_ACTION")], [own_hook(60), EARLIER], None),
        # Whatever ECS calls the stage: no other hook can pause the rollout there.
        ("", [("h1", "PAUSE", "AWAITING_ACTION")], [own_hook(60)], "h1"),
        ("", [("h1", "PAUSE", "AWAITING_ACTION")], [own_hook(60), EARLIER], None),
        (BEFORE, [("h1", "PAUSE", "AWAITING_ACTION")], [own_hook(60), EARLIER], "h1"),
        (BEFORE, [("h1", "PAUSE", "AWAITING_ACTION")], [own_hook(60), RIGHT_BEFORE], None),
        (STAGE, [("h1", "PAUSE", "AWAITING_ACTION")], [own_hook(60), RIGHT_BEFORE], "h1"),
        (
            "PRODUCTION_TRAFFIC_SHIFT",
            [("h1", "PAUSE", "AWAITING_ACTION")],
            [own_hook(60), EARLIER],
            "h1",
        ),
        ("POST_TEST_TRAFFIC_SHIFT", [("h1", "PAUSE", "AWAITING_ACTION")], [own_hook(60)], "h1"),
        (
            STAGE,
            [("h1", "PAUSE", "SUCCEEDED"), ("h2", "PAUSE", "AWAITING_ACTION")],
            [own_hook(60)],
            "h2",
        ),
    ],
)
def test_only_a_hook_that_is_surely_slipways_is_answered(
    stage: str, hooks: list[tuple[str, str, str]], configured: list[Any], found: str | None
) -> None:
    shift = Shift(
        "arn",
        "IN_PROGRESS",
        stage=stage,
        hooks=tuple(Hook(*each) for each in hooks),
        configuration=blue_green(*configured),
    )
    hook = hook_to_answer(shift, 60)
    assert (hook.id if hook is not None else None) == found


def test_an_approval_holds_for_its_hook_or_for_all() -> None:
    next_step, all_steps = answer("h1"), answer("h1", steps="all")
    assert approval_of([next_step], "h1") == next_step
    assert approval_of([next_step], "h2") is None
    assert approval_of([all_steps], "h2") == all_steps
    assert approval_of([answer("h1", action="reject")], "h1") is None


def test_a_rollout_with_steps_is_approved_for_good_only_by_an_approval_of_all() -> None:
    assert not is_approved_for_good([answer("h1")], "LINEAR")
    assert is_approved_for_good([answer("h1", steps="all")], "LINEAR")
    assert is_approved_for_good([answer("h1")], "BLUE_GREEN")
    assert not is_approved_for_good([], "BLUE_GREEN")
