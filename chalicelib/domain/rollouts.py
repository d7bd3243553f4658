"""The next step of a service, decided from the rollout that ECS reports."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

import msgspec

from chalicelib.domain.deploy_failures import Event
from chalicelib.domain.timing import WORKER_LIFE

# A rollout may take so many times its deploy_minutes if it moves all the time.
LONGEST = 6
# The type of a lifecycle hook at which ECS waits for an answer, and not for a function.
PAUSE = "PAUSE"


class Call(msgspec.Struct, frozen=True):
    """The newest call that began a rollout, as ECS recorded it: who made it is not recorded.

    `arn` is that of the service deployment. `at` is in seconds since the epoch.
    """

    arn: str
    task_definition: str
    at: int


class Hook(msgspec.Struct, frozen=True):
    """A lifecycle hook of a rollout that ECS has reached (DeploymentLifecycleHookDetail).

    `kind` is PAUSE or AWS_LAMBDA. ECS waits for it until `expires_at`, in seconds since the epoch.
    It does not say to which configured hook the `id` belongs.
    """

    id: str
    kind: str
    status: str
    expires_at: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the rollout waits for the hook."""
        return self.status in {"AWAITING_ACTION", "IN_PROGRESS"}


class Shift(msgspec.Struct, frozen=True):
    """A rollout under way that moves traffic: blue/green, linear or canary.

    `arn` is that of the service deployment. `weight` and `test_weight` are the percentages of the
    production and test traffic that the new revision was to get at the last look of ECS, None if
    ECS does not say it. `configuration` is the deploymentConfiguration of this rollout. `source` is
    the task definition that ECS goes back to, None if there is none, or more than one.
    `task_definition` is the new one. `reason` says why ECS ends the rollout.
    """

    arn: str
    status: str
    stage: str = ""
    weight: float | None = None
    test_weight: float | None = None
    hooks: tuple[Hook, ...] = ()
    configuration: Mapping[str, Any] = msgspec.field(default_factory=dict)
    source: str | None = None
    task_definition: str = ""
    reason: str = ""

    @property
    def is_ending(self) -> bool:
        """Whether ECS takes the rollout back or stops it, or is about to."""
        return self.status not in {"PENDING", "IN_PROGRESS"}

    @property
    def open_hook(self) -> Hook | None:
        """The hook that the rollout waits for, a PAUSE hook before others."""
        found = sorted((each for each in self.hooks if each.is_open), key=lambda h: h.kind != PAUSE)
        return found[0] if found and not self.is_ending else None


class Rollout(msgspec.Struct, frozen=True):
    """An ECS service: its PRIMARY deployment, with this `id`, and the ends of other rollouts.

    `failed` maps a task definition to the reason why its rollout failed. `moving` are definitions
    that are not PRIMARY and have a rollout that has not ended: ECS has not reported its end yet.
    `newest` is the call that PRIMARY comes from; None if it was not read, or if ECS has not
    recorded it yet. If ECS rolled its definition back, PRIMARY has another one. `events` are the
    newest messages of the service. `placement` says where its tasks run, in the members that
    RunTask takes. `updated_at` is when ECS changed PRIMARY last. `all_desired` and `all_running`
    count the tasks of all its deployments. `is_daemon`: ECS decides how many tasks run.
    `is_express`: ECS manages the service itself (Express Mode). `moves_traffic`: a load balancer or
    Service Connect can give a part of the traffic to a new revision. `has_plain_balancer`: a load
    balancer cannot. `shift` is the newest rollout, if it is under way and not a rolling update. The
    service was read at `seen_at`, and `newest` is for the definition `wanted` then.
    """

    task_definition: str
    state: str
    reason: str = ""
    desired: int = 0
    running: int = 0
    updated_at: int = 0
    all_desired: int = 0
    all_running: int = 0
    is_daemon: bool = False
    failed: Mapping[str, str] = msgspec.field(default_factory=dict)
    moving: frozenset[str] = frozenset()
    newest: Call | None = None
    configuration: Mapping[str, Any] = msgspec.field(default_factory=dict)
    placement: Mapping[str, Any] = msgspec.field(default_factory=dict)
    events: tuple[Event, ...] = ()
    wanted: str | None = None
    seen_at: int = 0
    id: str = ""
    is_express: bool = False
    moves_traffic: bool = False
    has_plain_balancer: bool = False
    shift: Shift | None = None


class Origin(Enum):
    """Who made ECS run its PRIMARY deployment."""

    SLIPWAY = auto()  # or ECS itself, with its rollback of a rollout of Slipway
    OUTSIDE = auto()  # another party: its choice stays
    UNKNOWN = auto()  # ECS has not recorded it yet


class Step(Enum):
    """The next thing to do for a service."""

    BEGIN = auto()  # register a task definition for the active deployment
    UPDATE = auto()  # call UpdateService with the wanted definition
    TAKE_BACK = auto()  # have ECS take back the rollout of another definition
    SUCCEED = auto()
    FAIL = auto()
    SUPERSEDE = auto()  # another party has changed the ECS service
    WAIT = auto()
    SHOW_DRIFT = auto()  # another party has changed the ECS service
    SHOW_FAILURE = auto()  # the current release is not healthy, and a retry would not help
    WATCH = auto()  # ECS runs the wanted definition: look again later


def origin_of(
    rollout: Rollout,
    *,
    wanted: str | None,
    by_slipway: bool,
    called_at: int | None,
    ended_at: int | None,
    begun_at: int | None = None,
) -> Origin:
    """Who made ECS run another definition than `wanted`, by ECS's record and its time.

    `by_slipway` is true if Slipway may have called for the definition of the newest call: it
    registered it for this service, or would restore it. Then the call may be Slipway's own if it
    was made within a worker's life of Slipway's last call, at `called_at`: a paused worker makes it
    late. It may also be Slipway's until the deployment of the definition ended, at `ended_at`.

    An active deployment that has begun, at `begun_at`, can only be displaced by a later call.
    """
    call = rollout.newest
    if wanted is None or rollout.task_definition == wanted:
        return Origin.SLIPWAY
    if call is None:
        return Origin.UNKNOWN
    if call.task_definition == wanted or (begun_at is not None and call.at < begun_at):
        return Origin.SLIPWAY
    until = max((called_at or 0) + WORKER_LIFE, ended_at or 0)
    return Origin.SLIPWAY if by_slipway and call.at <= until else Origin.OUTSIDE


def decide_active(
    *,
    wanted: str | None,
    rollout: Rollout,
    origin: Origin,
    now: int,
    deadline_at: int,
    called_at: int | None,
    overrules: bool = False,
    expected: str | None = None,
) -> Step:
    """The step for the active deployment; `wanted` is its task definition, None before it begins.

    Never retry a failed rollout. Retry a displaced one, unless another party displaced it.
    `expected` is what ECS should run before the deployment begins. It `overrules` a choice of
    another party that is older than its request.
    """
    runs = rollout.task_definition == wanted
    if wanted in rollout.failed or (runs and rollout.state == "FAILED"):
        return Step.FAIL
    if runs and rollout.state == "COMPLETED":
        return Step.SUCCEED  # also after the deadline: the rollout is healthy
    if origin is Origin.OUTSIDE and not overrules:
        return Step.SUPERSEDE if now >= settled_at(called_at) else Step.WAIT
    if now > deadline_at:
        return Step.FAIL
    if origin is Origin.UNKNOWN:
        return Step.WAIT
    if origin is Origin.SLIPWAY and (first := _before_other_steps(rollout, wanted or expected)):
        return first
    if wanted is None:
        return Step.BEGIN
    return Step.WAIT if runs or wanted in rollout.moving else Step.UPDATE


def decide_idle(
    *, wanted: str | None, rollout: Rollout, origin: Origin, now: int, called_at: int | None
) -> Step:
    """The step for a service without an active deployment.

    `wanted` is the definition that ECS should run. A late call of a paused worker, and the rollout
    of an ended deployment, are undone. A choice of another party is shown and not undone. A release
    that ECS cannot run any more is shown, too.
    """
    settled = now >= settled_at(called_at)
    if wanted is None or rollout.task_definition == wanted:
        if rollout.state == "FAILED" and wanted is not None:
            return Step.SHOW_FAILURE if settled else Step.WAIT
        return Step.WATCH if settled else Step.WAIT
    if origin is Origin.OUTSIDE:
        return Step.SHOW_DRIFT if settled else Step.WAIT
    if origin is Origin.SLIPWAY and (first := _before_other_steps(rollout, wanted)):
        return first
    if wanted in rollout.failed:
        return Step.SHOW_FAILURE if settled else Step.WAIT
    if origin is Origin.UNKNOWN or wanted in rollout.moving:
        return Step.WAIT
    return Step.UPDATE


def _before_other_steps(rollout: Rollout, wanted: str | None) -> Step | None:
    """The step while a rollout of another definition than `wanted` moves traffic.

    ECS takes it back in seconds, since the tasks before still run. A new rollout would take as long
    as any other one. Before the first release there is nothing to go back to: the rollout is of the
    service's owner.
    """
    shift = rollout.shift
    if shift is None or shift.task_definition == wanted:
        return None
    is_newest = shift.task_definition == rollout.task_definition
    if shift.is_ending or not is_newest:
        return Step.WAIT
    return None if wanted is None else Step.TAKE_BACK


def next_deadline(*, now: int, started_at: int, minutes: int) -> int:
    """Until when a rollout that has moved now must move again, `minutes` later.

    The end of the longest rollout is a second limit: ECS may replace failing tasks for ever.
    """
    return min(now + minutes * 60, started_at + LONGEST * minutes * 60)


def settled_at(called_at: int | None) -> int:
    """From when on no call of Slipway can be in flight any more."""
    return 0 if called_at is None else called_at + WORKER_LIFE + 1
