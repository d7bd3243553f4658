"""What is shown of a rollout that moves traffic: its stage, its weights and what it waits for.

The stages are those of ServiceDeployment.lifecycleStage in the ECS API reference.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from chalicelib.domain.rollouts import PAUSE, Shift
from chalicelib.domain.strategies import bake_of, steps_of, strategy_of

_CLEANS = "CLEAN_UP"
# The stages before production traffic moves and at the end: ECS waits in none of them.
_WITHOUT_WAIT = {
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    _CLEANS,
}
# What a rollout does in a stage. The other stages start tasks, which are counted.
_WORDS: Mapping[str, str] = {
    "RECONCILE_SERVICE": "ECS ends the rollout before this one",
    "PRE_SCALE_UP": "the new tasks are about to start",
    "TEST_TRAFFIC_SHIFT": "the test traffic moves",
    "POST_TEST_TRAFFIC_SHIFT": "the test traffic has moved",
    "PRE_PRODUCTION_TRAFFIC_SHIFT": "the production traffic is about to move",
    "PRODUCTION_TRAFFIC_SHIFT": "the production traffic moves",
    "POST_PRODUCTION_TRAFFIC_SHIFT": "the production traffic has moved",
    "BAKE_TIME": "the tasks of the release before stay for the bake time",
    _CLEANS: "the tasks of the release before stop",
}
# The parts of a deployment's progress, in percent.
_TASKS_RUN, _TRAFFIC_MOVED, _CLEANING = 40, 90, 95
_STARTED = 10


class ShownShift(msgspec.Struct, frozen=True):
    """What a deployment shows of its rollout. `weight` and `test_weight` are percentages of the
    traffic, None if ECS does not say them. `hook` is the kind of the hook that it waits for, and
    `until` when ECS waits no longer for it, in seconds since the epoch.
    """

    strategy: str
    stage: str = ""
    weight: float | None = None
    test_weight: float | None = None
    hook: str | None = None
    until: int | None = None


def shown(shift: Shift) -> ShownShift:
    """What is shown of a rollout that is under way."""
    hook = shift.open_hook
    return ShownShift(
        strategy=strategy_of(shift.configuration),
        stage=shift.stage,
        weight=shift.weight,
        test_weight=shift.test_weight,
        hook=hook.kind if hook is not None else None,
        until=hook.expires_at if hook is not None else None,
    )


def minutes_in(configuration: Mapping[str, Any], stage: str) -> int:
    """The minutes for which a rollout may stand still in a stage because of its configuration.

    No source says which stage ECS shows while it waits after a step.
    """
    if stage in _WITHOUT_WAIT:
        return 0
    return max(steps_of(configuration)[1], bake_of(configuration))


def deadline_in(
    shift: Shift | None, before: ShownShift | None, *, deadline_at: int, now: int
) -> int:
    """The deadline of a deployment with the rollout `shift`: it has not passed while the rollout
    waits for a hook, which has a time-out of its own in ECS, or if it has moved since `before`.
    """
    if shift is None or shift.is_ending:
        return deadline_at
    stands_still = shift.open_hook is not None
    return max(deadline_at, now) if stands_still or shown(shift) != before else deadline_at


def progress_of(shift: ShownShift, *, running: int, desired: int, previous: int) -> int:
    """Progress of a rollout that moves traffic. It never falls."""
    if shift.stage == _CLEANS:
        return max(previous, _CLEANING)
    started = min(running, desired) / desired if desired > 0 else 0.0
    tasks = _STARTED + int(started * (_TASKS_RUN - _STARTED))
    moved = _TASKS_RUN + int((_TRAFFIC_MOVED - _TASKS_RUN) * (shift.weight or 0) / 100)
    return max(previous, moved if shift.weight else tasks)


def words_of(shift: ShownShift, tasks: str) -> str:
    """What a rollout does now. `tasks` says how many of its tasks run."""
    if shift.hook is not None:
        kind = "a PAUSE hook" if shift.hook == PAUSE else "a Lambda hook"
        doing = f"waits for {kind} in the stage {shift.stage}"
    else:
        doing = _WORDS.get(shift.stage, tasks)
    weights = ((shift.weight, "traffic"), (shift.test_weight, "test traffic"))
    parts = [f"{weight:g} % of the {name}" for weight, name in weights if weight]
    return f"{doing} (the new tasks get {' and '.join(parts)})" if parts else doing
