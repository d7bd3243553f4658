"""What a rollout that moves traffic shows, its deadline and its progress."""

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.domain.rollouts import Hook, Shift
from chalicelib.domain.shifts import (
    ShownShift,
    deadline_in,
    minutes_in,
    progress_of,
    shown,
    words_of,
)

CANARY: dict[str, Any] = {
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 5.0, "canaryBakeTimeInMinutes": 12},
    "bakeTimeInMinutes": 7,
}
SHIFT = Shift("arn", "IN_PROGRESS", stage="BAKE_TIME", weight=100.0, configuration=CANARY)
PAUSED = Hook("ecs-pause-1", "PAUSE", "AWAITING_ACTION", expires_at=500)
FUNCTION = Hook("ecs-lambda-1", "AWS_LAMBDA", "IN_PROGRESS", expires_at=400)


def test_a_pause_hook_is_shown_before_a_function_and_an_answered_one_is_not() -> None:
    both = replace(SHIFT, hooks=(FUNCTION, PAUSED))
    assert (shown(both).hook, shown(both).until) == ("PAUSE", 500)
    answered = replace(both, hooks=(FUNCTION, replace(PAUSED, status="SUCCEEDED")))
    assert (shown(answered).hook, shown(answered).until) == ("AWS_LAMBDA", 400)
    assert shown(replace(both, status="ROLLBACK_IN_PROGRESS")).hook is None
    assert shown(SHIFT) == ShownShift(strategy="CANARY", stage="BAKE_TIME", weight=100.0)


@pytest.mark.parametrize(
    ("stage", "minutes"),
    [
        ("SCALE_UP", 0),
        ("POST_TEST_TRAFFIC_SHIFT", 0),
        ("PRODUCTION_TRAFFIC_SHIFT", 12),
        ("PRE_PRODUCTION_TRAFFIC_SHIFT", 12),
        ("BAKE_TIME", 12),  # ECS may also show it while it waits after the first step
        ("", 12),
        ("CLEAN_UP", 0),
    ],
)
def test_a_stage_waits_as_long_as_its_owner_says(stage: str, minutes: int) -> None:
    assert minutes_in(CANARY, stage) == minutes


def test_a_deadline_has_not_passed_while_a_rollout_moves_or_waits_for_a_hook() -> None:
    def deadline(shift: Shift | None, before: ShownShift | None) -> int:
        return deadline_in(shift, before, deadline_at=100, now=300)

    assert deadline(None, None) == 100
    assert deadline(SHIFT, shown(SHIFT)) == 100
    assert deadline(SHIFT, shown(replace(SHIFT, weight=5.0))) == 300
    paused = replace(SHIFT, hooks=(PAUSED,))
    assert deadline(paused, shown(paused)) == 300
    # The owner has answered the hook, and nothing else has changed yet.
    assert deadline(SHIFT, shown(paused)) == 300
    assert deadline(replace(SHIFT, status="ROLLBACK_IN_PROGRESS"), None) == 100
    assert deadline_in(paused, shown(paused), deadline_at=900, now=300) == 900


def test_progress_grows_with_tasks_and_then_with_traffic() -> None:
    def progress(stage: str, running: int, weight: float, previous: int = 0) -> int:
        seen = ShownShift(strategy="LINEAR", stage=stage, weight=weight)
        return progress_of(seen, running=running, desired=2, previous=previous)

    found = [
        progress("PRE_SCALE_UP", 0, 0.0),
        progress("SCALE_UP", 1, 0.0),
        progress("POST_SCALE_UP", 2, 0.0),
        progress("PRODUCTION_TRAFFIC_SHIFT", 2, 10.0),
        progress("PRODUCTION_TRAFFIC_SHIFT", 2, 50.0),
        progress("BAKE_TIME", 2, 100.0),
        progress("CLEAN_UP", 2, 100.0),
    ]
    assert found == [10, 25, 40, 45, 65, 90, 95]
    assert progress("SCALE_UP", 0, 0.0, previous=33) == 33


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (ShownShift(strategy="CANARY", stage="SCALE_UP"), "1 of 2 tasks run"),
        (
            ShownShift(strategy="CANARY", stage="BAKE_TIME", weight=12.5),
            "the tasks of the release before stay for the bake time (the new tasks get 12.5 % of "
            "the traffic)",
        ),
        (
            ShownShift(strategy="CANARY", stage="POST_SCALE_UP", hook="AWS_LAMBDA"),
            "waits for a Lambda hook in the stage POST_SCALE_UP",
        ),
        (
            ShownShift(strategy="CANARY", stage="PRE_PRODUCTION_TRAFFIC_SHIFT", test_weight=100),
            "the production traffic is about to move (the new tasks get 100 % of the test traffic)",
        ),
    ],
)
def test_a_rollout_says_what_it_does(seen: ShownShift, words: str) -> None:
    assert words_of(seen, "1 of 2 tasks run") == words
