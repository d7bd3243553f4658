"""Channels: reads of them, and of the rows of which some channel does not know the state yet."""

from collections.abc import Collection, Mapping
from typing import Any

from chalicelib import clock
from chalicelib.domain.approvals import answers_of, rejection_of, unanswered
from chalicelib.domain.channels import ALL_STATES, MOST_CHANNELS, ChannelKind
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.telling import OF_SERVICES, USUAL_EVENTS, Event, event_of
from chalicelib.store.models import DUE, LISTED, Channel, Deployment, Job, Service, type_of
from chalicelib.store.reads import Page, find, find_all, get, page, reading

# A process knows of a new channel after so many seconds at the latest.
_KEEP_SECONDS = 30
_MOST_DUE = 500

_known: tuple[int, list[Channel]] | None = None


def get_channel(number: int) -> Channel:
    """The channel with this number; raises NotFound."""
    return get(Channel, number, missing=f"there is no channel {number}")


def find_channel(number: int) -> Channel | None:
    """The channel with this number, or None."""
    return find(Channel, number)


def list_channels(*, limit: int, before: int | None) -> Page[Channel]:
    """A page of all channels, newest first."""
    return page(Channel.all_index, LISTED, Channel.id, limit=limit, before=before)


def service_id_of(row: Job | Service) -> int:
    """The number of the service itself, or of that of a job."""
    return row.id if isinstance(row, Service) else row.service_id


def channels_of(row: Job | Service) -> list[Channel]:
    """The channels that may be told of a service or a job, as this process knows them."""
    return [
        each
        for each in _channels()
        if each.project_id in {None, row.project_id}
        and each.service_id in {None, service_id_of(row)}
        and each.off_since is None
    ]


def is_deleted(number: int | str) -> bool:
    """Whether a channel is deleted, as this process knows. A number is never used again."""
    numbers = {each.id for each in _channels()}
    return int(number) not in numbers and int(number) < max(numbers, default=0)


def has_github() -> bool:
    """Whether there is a channel to GitHub that is on, as this process knows them."""
    return any(each.kind == ChannelKind.GITHUB and each.off_since is None for each in _channels())


def event_of_job(job: Job, changes: Mapping[str, Any] | None = None) -> Event:
    """The event of a job in its present state; with `changes` of its attributes."""
    status = _value(job, "status", changes)
    event = _approval(job, changes)[0] if status == DeploymentStatus.DEPLOYING else None
    if status == DeploymentStatus.CANCELLED and _is_rejected(job, changes):
        event = Event.DEPLOYMENT_REJECTED
    is_rollback = isinstance(job, Deployment) and job.restores is not None
    return event or event_of(type_of(job), status, is_rollback=is_rollback)


def state_of_job(job: Job, changes: Mapping[str, Any] | None = None) -> str:
    """The event of a job, with the number of the approval if it is about one."""
    event = event_of_job(job, changes)
    own, number = _approval(job, changes)
    return f"{event}.{number}" if event == own else str(event)


def _approval(job: Job, changes: Mapping[str, Any] | None) -> tuple[Event | None, int]:
    """The event about the newest approval that a deployment needs, and its number."""
    if not isinstance(job, Deployment):
        return None, 0
    awaiting = _value(job, "awaiting", changes)
    answers = answers_of(_value(job, "approvals", changes))
    hook = unanswered(awaiting, answers)
    if hook is not None:
        return Event.DEPLOYMENT_AWAITING, hook.number
    return (Event.DEPLOYMENT_APPROVED, answers[-1].number) if answers else (None, 0)


def _is_rejected(job: Job, changes: Mapping[str, Any] | None) -> bool:
    if not isinstance(job, Deployment):
        return False
    return rejection_of(answers_of(_value(job, "approvals", changes))) is not None


def _value(row: Job | Service, name: str, changes: Mapping[str, Any] | None) -> Any:
    return changes[name] if changes and name in changes else getattr(row, name)


def lasting_events(service: Service, changes: Mapping[str, Any] | None = None) -> list[Event]:
    """What lasts on a service, and that a person should know; with `changes` of its attributes."""

    def value(name: str) -> Any:
        return _value(service, name, changes)

    health = value("health")
    found = {
        Event.SERVICE_DRIFTED: value("drift") is not None,
        Event.SERVICE_PAUSED: value("settings").auto_deploy and value("auto_deploy_paused"),
        Event.SERVICE_ATTENTION: value("attention") is not None,
        Event.SERVICE_UNHEALTHY: health is not None and health.reported,
        Event.SERVICE_NO_WAY_BACK: value("rollback_trouble") is not None,
    }
    # After its deletion nothing of a service lasts.
    return [event for event, holds in found.items() if holds and value("deleted_at") is None]


def news_of(row: Job | Service) -> Collection[Event]:
    """The events of which channels may be told now: that of a job, and all of a service."""
    return OF_SERVICES if isinstance(row, Service) else {event_of_job(row)}


def channels_told(row: Job | Service, events: Collection[Event]) -> list[Channel]:
    """The channels that are told of any of the events of a row."""
    return [each for each in channels_of(row) if any(is_told(each, event) for event in events)]


def is_told(channel: Channel, event: Event) -> bool:
    """Whether a channel is told of an event."""
    if channel.kind == ChannelKind.GITHUB:
        return event not in OF_SERVICES
    if channel.kind in ALL_STATES:
        return True
    return event in (channel.events or USUAL_EVENTS)


def forget_channels() -> None:
    """Read the channels again before the next use: this process has changed one."""
    global _known
    _known = None


def _channels() -> list[Channel]:
    global _known
    if _known is None or not 0 <= clock.now() - _known[0] < _KEEP_SECONDS:
        _known = clock.now(), list_channels(limit=MOST_CHANNELS, before=None).rows
    return _known[1]


def rows_to_tell(now: int) -> list[Job | Service]:
    """Rows that are to be told by now, the longest due first; of very many only the first."""
    with reading():
        jobs = [
            row.job_id
            for row in Job.telling_index.query(
                DUE, Job.tell_at <= now, limit=_MOST_DUE, page_size=_MOST_DUE
            )
        ]
        services = [
            row.id
            for row in Service.telling_index.query(
                DUE, Service.tell_at <= now, limit=_MOST_DUE, page_size=_MOST_DUE
            )
        ]
    rows: list[Job | Service] = [
        *find_all(Job, jobs).values(),
        *find_all(Service, services).values(),
    ]
    # A row that was told meanwhile has no time any more.
    return sorted(rows, key=lambda row: (row.tell_at or now, row.created_at))
