"""What ECS says of a service, and what is to be done so that it runs what it should."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

# A call may be in the air as long as the worker that made it lives: its function's time-out.
WORKER_LIFE = 31


@dataclass(frozen=True)
class Rollout:
    """An ECS service: its PRIMARY deployment, and the rollouts it remembers as failed.

    `failed` maps a task definition to why its rollout failed.
    """

    task_definition: str
    state: str
    reason: str = ""
    desired: int = 0
    running: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)


class Step(Enum):
    """The next thing to do for a service."""

    BEGIN = auto()  # the slot's holder needs its own task definition
    UPDATE = auto()  # tell ECS to run the wanted definition
    SUCCEED = auto()
    FAIL = auto()
    WAIT = auto()
    DRIFT = auto()  # something of somebody else runs, and nobody asked us for anything else
    REST = auto()


def decide_deploying(*, wanted: str | None, rollout: Rollout, now: int, deadline_at: int) -> Step:
    """The step for a deployment that holds the slot; `wanted` is its definition once it has one."""
    if now > deadline_at:
        return Step.FAIL
    if wanted is None:
        return Step.BEGIN
    if wanted in rollout.failed:
        return Step.FAIL
    if rollout.task_definition != wanted:
        return Step.UPDATE
    return {"COMPLETED": Step.SUCCEED, "FAILED": Step.FAIL}.get(rollout.state, Step.WAIT)


def decide_idle(
    *, wanted: str | None, rollout: Rollout, ours: bool, now: int, claimed_at: int | None
) -> Step:
    """The step for a service whose slot is free.

    `wanted` is the definition of the current release; `ours` says whether the one that runs was
    registered by us. A late call of a paused worker is healed, somebody else's choice is shown.
    """
    settled = claimed_at is None or now - claimed_at > WORKER_LIFE
    if wanted is not None and rollout.task_definition != wanted:
        if not ours:
            return Step.DRIFT if settled else Step.WAIT
        return Step.WAIT if wanted in rollout.failed else Step.UPDATE
    return Step.REST if settled and rollout.state != "IN_PROGRESS" else Step.WAIT
