"""The next step of a service, decided from the rollout that ECS reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from chalicelib.domain.timing import WORKER_LIFE


@dataclass(frozen=True)
class Rollout:
    """An ECS service: its PRIMARY deployment, and the ends of other rollouts.

    `failed` maps a task definition to the reason why its rollout failed. `moving` are definitions
    that are not PRIMARY and have a rollout that has not ended: ECS has not reported its end yet.
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

    BEGIN = auto()  # register a task definition for the active deployment
    UPDATE = auto()  # call UpdateService with the wanted definition
    SUCCEED = auto()
    FAIL = auto()
    WAIT = auto()
    SHOW_DRIFT = auto()  # ECS runs a definition that Slipway did not register
    SHOW_FAILURE = auto()  # the current release is not healthy, and a retry would not help
    WATCH = auto()  # ECS runs the wanted definition: look again later


def decide_active(*, wanted: str | None, rollout: Rollout, now: int, deadline_at: int) -> Step:
    """The step for the active deployment; `wanted` is its task definition, None before it begins.

    Never retry a failed rollout. Retry a displaced one.
    """
    runs = rollout.task_definition == wanted
    if wanted in rollout.failed or (runs and rollout.state == "FAILED"):
        return Step.FAIL
    if runs and rollout.state == "COMPLETED":
        return Step.SUCCEED  # also after the deadline: the rollout is healthy
    if now > deadline_at:
        return Step.FAIL
    if wanted is None:
        return Step.BEGIN
    return Step.WAIT if runs or wanted in rollout.moving else Step.UPDATE


def decide_idle(
    *, wanted: str | None, rollout: Rollout, by_slipway: bool, now: int, called_at: int | None
) -> Step:
    """The step for a service without an active deployment.

    `wanted` is the definition that ECS should run. `by_slipway` is true if Slipway registered the
    one that runs: then a late call of a paused worker is undone. A definition of another party is
    shown and not undone. A release that ECS cannot run any more is shown, too.
    """
    settled = called_at is None or now - called_at > WORKER_LIFE
    if wanted is None or rollout.task_definition == wanted:
        if rollout.state == "FAILED" and wanted is not None:
            return Step.SHOW_FAILURE if settled else Step.WAIT
        return Step.WATCH if settled and rollout.state != "IN_PROGRESS" else Step.WAIT
    if not by_slipway:
        return Step.SHOW_DRIFT if settled else Step.WAIT
    if wanted in rollout.failed:
        return Step.SHOW_FAILURE if settled else Step.WAIT
    return Step.WAIT if wanted in rollout.moving else Step.UPDATE
