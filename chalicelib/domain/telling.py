"""What channels are told of a row, and when a telling that failed is repeated.

What is told is the state that a job or a service has now, never what an event claims. So a telling
that comes late, twice or after a newer one tells nothing that is out of date.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.domain.statuses import BuildStatus, DeploymentStatus

# The schedule tells what the message about a commit has not told by then.
PATIENCE = 60
_LONGEST_PAUSE = 60 * 60
# A receiver that fails for so long is switched off, and a state that fails for so long given up.
GIVE_UP_AFTER = 24 * 60 * 60
# The state of a release that ran, and that another one has replaced. It is no status.
REPLACED = "replaced"
# The state of a deployment that awaits an approval, for GitHub. It is no status either.
AWAITING = "awaiting_approval"


class Event(StrEnum):
    """What a channel can be told. Those of services are told again when they are over."""

    BUILD_QUEUED = "build.queued"
    BUILD_STARTED = "build.started"
    BUILD_SUCCEEDED = "build.succeeded"
    BUILD_FAILED = "build.failed"
    BUILD_CANCELLED = "build.cancelled"
    BUILD_SUPERSEDED = "build.superseded"
    DEPLOYMENT_QUEUED = "deployment.queued"
    DEPLOYMENT_STARTED = "deployment.started"
    # With some strategies both come again before each step.
    DEPLOYMENT_AWAITING = "deployment.awaiting_approval"
    DEPLOYMENT_APPROVED = "deployment.approved"
    DEPLOYMENT_REJECTED = "deployment.rejected"
    DEPLOYMENT_SUCCEEDED = "deployment.succeeded"
    DEPLOYMENT_FAILED = "deployment.failed"
    DEPLOYMENT_CANCELLED = "deployment.cancelled"
    DEPLOYMENT_SUPERSEDED = "deployment.superseded"
    DEPLOYMENT_ROLLED_BACK = "deployment.rolled_back"  # a rollback ended or replaced it
    ROLLBACK_SUCCEEDED = "rollback.succeeded"
    ROLLBACK_FAILED = "rollback.failed"
    SERVICE_DRIFTED = "service.drifted"  # ECS does not run what it should
    SERVICE_PAUSED = "service.auto_deploy_paused"
    SERVICE_ATTENTION = "service.needs_attention"
    SERVICE_UNHEALTHY = "service.unhealthy"  # tasks of the release are missing
    SERVICE_NO_WAY_BACK = "service.rollback_not_ready"  # the release before cannot be restored


# What a channel is told that names no events: what a person may have to act on, and each success.
USUAL_EVENTS = frozenset(
    {
        Event.BUILD_FAILED,
        Event.DEPLOYMENT_AWAITING,
        Event.DEPLOYMENT_REJECTED,
        Event.DEPLOYMENT_SUCCEEDED,
        Event.DEPLOYMENT_FAILED,
        Event.ROLLBACK_SUCCEEDED,
        Event.ROLLBACK_FAILED,
        Event.SERVICE_DRIFTED,
        Event.SERVICE_PAUSED,
        Event.SERVICE_ATTENTION,
        Event.SERVICE_UNHEALTHY,
        Event.SERVICE_NO_WAY_BACK,
    }
)
OF_SERVICES = frozenset(event for event in Event if event.startswith("service."))
_BUILD_EVENTS: Mapping[str, Event] = {
    BuildStatus.QUEUED: Event.BUILD_QUEUED,
    BuildStatus.BUILDING: Event.BUILD_STARTED,
    BuildStatus.SUCCESS: Event.BUILD_SUCCEEDED,
    BuildStatus.FAILED: Event.BUILD_FAILED,
    BuildStatus.CANCELLED: Event.BUILD_CANCELLED,
    BuildStatus.SUPERSEDED: Event.BUILD_SUPERSEDED,
}
_DEPLOYMENT_EVENTS: Mapping[str, Event] = {
    DeploymentStatus.QUEUED: Event.DEPLOYMENT_QUEUED,
    DeploymentStatus.DEPLOYING: Event.DEPLOYMENT_STARTED,
    DeploymentStatus.SUCCESS: Event.DEPLOYMENT_SUCCEEDED,
    DeploymentStatus.FAILED: Event.DEPLOYMENT_FAILED,
    DeploymentStatus.CANCELLED: Event.DEPLOYMENT_CANCELLED,
    DeploymentStatus.SUPERSEDED: Event.DEPLOYMENT_SUPERSEDED,
    DeploymentStatus.ROLLED_BACK: Event.DEPLOYMENT_ROLLED_BACK,
}
_ROLLBACK_EVENTS: Mapping[str, Event] = {
    DeploymentStatus.SUCCESS: Event.ROLLBACK_SUCCEEDED,
    DeploymentStatus.FAILED: Event.ROLLBACK_FAILED,
}


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a channel knows of a row.

    `state` is the last of the `count` states that it got, and `id` the receiver's own number of
    the job. `refused` is why it did not take that state, and never will. `tries` counts the
    failures since then, the first one at `since`, and the next telling is at `next_at`. `tried` is
    the state of the last failure: the channel may have got it, and only its answer was lost.
    """

    state: str = ""
    count: int = 0
    id: int | None = None
    refused: str | None = None
    tries: int = 0
    since: int | None = None
    next_at: int | None = None
    tried: str | None = None

    def knows(self, state: str) -> bool:
        """Whether the channel is sure to know a state, and no other one."""
        return state == self.state and self.tried in {None, state}


def told_of(stored: Mapping[str, Any] | None, channel: int) -> Told:
    """What a channel knows of a row, from the row's attribute `told`."""
    return msgspec.convert((stored or {}).get(str(channel), {}), Told)


def with_told(stored: Mapping[str, Any] | None, channel: int, told: Told) -> dict[str, Any]:
    """The attribute `told` after a telling."""
    return {**(stored or {}), str(channel): msgspec.to_builtins(told)}


def got(told: Told, state: str, *, number: int | None, refused: str | None = None) -> Told:
    """`told` after the channel got a state, or will never get it."""
    return Told(state=state, count=told.count + 1, id=number, refused=refused)


def event_of(kind: str, status: str, *, is_rollback: bool) -> Event:
    """The event of a job that has reached a status; `kind` is "build" or "deploy"."""
    if kind == "build":
        return _BUILD_EVENTS[status]
    own = _ROLLBACK_EVENTS.get(status) if is_rollback else None
    return own or _DEPLOYMENT_EVENTS[status]


def service_state(events: Iterable[Event]) -> str:
    """The state of a service: the events that last, in a fixed order."""
    return ",".join(sorted(events))


def service_changes(told: Told, state: str) -> tuple[list[Event], list[Event]]:
    """The events that have begun, and those that are over, for a channel that is told of a service.

    If it is not sure which of two states the channel knows, events of both may be told again.
    """
    known, now = _lasting(told.state), _lasting(state)
    tried = known if told.tried is None else _lasting(told.tried)
    return sorted(now - (known & tried)), sorted((known | tried) - now)


def _lasting(state: str) -> set[Event]:
    return {Event(each) for each in state.split(",") if each in OF_SERVICES}


def failed(told: Told, state: str, why: str, *, now: int, seconds: int | None = None) -> Told:
    """`told` after a failure to tell a state. The next try is in `seconds`, if the receiver says
    so. Else the pauses double, up to an hour.

    After a day the state is given up, so that rows which can never be told do not pile up. A
    failure counts from the first one only if the tries have followed each other since then.
    """
    since, tries = told.since, told.tries
    if since is None or now - (told.next_at or now) > _LONGEST_PAUSE:
        since, tries = now, 0
    if now - since >= GIVE_UP_AFTER:
        return got(told, state, number=told.id, refused=why)
    pause = min(PATIENCE * 2 ** min(tries, 10), _LONGEST_PAUSE)
    return replace(
        told, tried=state, tries=tries + 1, since=since, next_at=now + (seconds or pause)
    )
