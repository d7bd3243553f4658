"""What ECS says of a service, and what is to be done so that it runs what it should."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from chalicelib.domain.timing import WORKER_LIFE


@dataclass(frozen=True)
class Rollout:
    """An ECS service: its PRIMARY deployment, and what it remembers of other rollouts.

    `failed` maps a task definition to why its rollout failed. `moving` names definitions whose
    rollout has not ended though they are not PRIMARY: ECS is about to say which way it went.
    """

    task_definition: str
    state: str
    reason: str = ""
    desired: int = 0
    running: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()
    configuration: Mapping[str, Any] = field(default_factory=dict)


class Step(Enum):
    """The next thing to do for a service."""

    BEGIN = auto()  # the active deployment needs its own task definition
    UPDATE = auto()  # tell ECS to run the wanted definition
    SUCCEED = auto()
    FAIL = auto()
    WAIT = auto()
    DRIFT = auto()  # ECS runs a definition that Slipway did not register
    SHOW = auto()  # the current release does not become healthy, and a retry would not help
    REST = auto()


def decide_active(*, wanted: str | None, rollout: Rollout, now: int, deadline_at: int) -> Step:
    """The step for the active deployment; `wanted` is its task definition once it has one.

    Never retry a failed rollout. Retry a displaced one.
    """
    runs = rollout.task_definition == wanted
    if wanted in rollout.failed or (runs and rollout.state == "FAILED"):
        return Step.FAIL
    if runs and rollout.state == "COMPLETED":
        return Step.SUCCEED  # healthy is healthy, though it may be seen after the deadline
    if now > deadline_at:
        return Step.FAIL
    if wanted is None:
        return Step.BEGIN
    return Step.WAIT if runs or wanted in rollout.moving else Step.UPDATE


def decide_idle(
    *, wanted: str | None, rollout: Rollout, ours: bool, now: int, called_at: int | None
) -> Step:
    """The step for a service without an active deployment.

    `wanted` is the definition of the current release; `ours` says whether Slipway registered the
    one that runs. A late call of a paused worker is undone. A choice of somebody else is shown, and
    so is a release that ECS cannot run any more.
    """
    settled = called_at is None or now - called_at > WORKER_LIFE
    if wanted is None or rollout.task_definition == wanted:
        if rollout.state == "FAILED" and wanted is not None:
            return Step.SHOW if settled else Step.WAIT
        return Step.REST if settled and rollout.state != "IN_PROGRESS" else Step.WAIT
    if not ours:
        return Step.DRIFT if settled else Step.WAIT
    if wanted in rollout.failed:
        return Step.SHOW if settled else Step.WAIT
    return Step.WAIT if wanted in rollout.moving else Step.UPDATE
