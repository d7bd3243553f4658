"""Telling channels what happened: each channel is brought to the state that the job has now.

A commit marks its jobs as not told, in the same write, and then sends a message for each channel.
If the message is lost, the schedule sends another. The queue delivers one message after another for
each channel and service, so that no older state can overtake a newer one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.aws.queue import Telling
from chalicelib.correlation import working_on
from chalicelib.domain.channels import OFF_AFTER, ChannelKind
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.telling import PATIENCE, REPLACED, Told, failed, state_of, told_of, with_told
from chalicelib.domain.timing import rfc3339
from chalicelib.errors import Rejected, Stale, Unavailable
from chalicelib.outbound.http import Later
from chalicelib.pipeline.reconcilers.telling_github import tell_github, test_github
from chalicelib.store import writes
from chalicelib.store.channels import channels_of, find_channel, forget_channels, jobs_to_tell
from chalicelib.store.history import record
from chalicelib.store.jobs import find_deployments
from chalicelib.store.models import DUE, Build, Channel, Deployment, Job, Service
from chalicelib.store.reads import find
from chalicelib.store.services import get_service
from chalicelib.store.writes import change, commit, commit_if_possible

logger = logging.getLogger("slipway")

TELL: Mapping[ChannelKind, Callable[[Channel, Job, Service, str, Told], int | None]] = {
    ChannelKind.GITHUB: tell_github,
}
TEST: Mapping[ChannelKind, Callable[[Channel], None]] = {ChannelKind.GITHUB: test_github}
_TRIES = 5


def announce(jobs: Sequence[Job]) -> None:
    """Send a message for each job and channel. Raises nothing: the jobs are marked."""
    queue.tell(
        [
            Telling(job.job_id, job.service_id, channel.id)
            for job in jobs
            for channel in channels_of(job.project_id)
        ]
    )


writes.tellers.append(announce)


def announce_due() -> int:
    """Send messages for the jobs that are due; return how many jobs there are."""
    now = clock.now()
    jobs = jobs_to_tell(now)
    for job in jobs:
        channels = [each for each in channels_of(job.project_id) if _is_due(job, each, now)]
        if channels:
            queue.tell([Telling(job.job_id, job.service_id, each.id) for each in channels])
        else:
            _settle(job, get_service(job.service_id))
    return len(jobs)


def tell(job_id: str, channel_number: int) -> None:
    """Bring a channel to the present state of a job.

    The state is recorded on condition that the job has not changed since it was read. If it has,
    the newer state is told, too. A failure is recorded with the time of the next try.

    Raises Unavailable if DynamoDB does not answer; the schedule then continues.
    """
    sent: Told | None = None
    with working_on(row_id=job_id):
        for _ in range(_TRIES):
            job, channel = find(Job, job_id), find_channel(channel_number)
            if job is None:
                return
            service = get_service(job.service_id)
            known = told_of(job.told, channel_number)
            state = _state(job, service)
            if channel is None or channel.off_since is not None or known.state == state:
                return _settle(job, service)
            if sent is None or sent.state != state:
                _tell_replaced(channel, job, state)
                sent = _send(channel, job, service, state, known)
            told = with_told(job.told, channel.id, sent)
            try:
                return commit(change(job, told=told, **_due(job, state, told)))
            except Stale:
                continue
        logger.info("other workers keep changing %s; the schedule tells it", job_id)


def follow(body: str) -> None:
    """Do what a message asks: `{"v": 1, "tell": "build-123", "channel": 2}`, or `{"v": 1, "test":
    2}` for a test of a channel. Raises ValueError for anything else, and Unavailable.
    """
    try:
        message = msgspec.json.decode(body, type=_Message)
    except msgspec.DecodeError as error:
        raise ValueError("this is no message about a channel") from error
    if message.test is not None:
        _test(message.test)
    elif message.tell is not None and message.channel is not None:
        tell(message.tell, message.channel)
    else:
        raise ValueError("the message names neither a job and a channel nor a test")


class _Message(msgspec.Struct, frozen=True):
    v: Literal[1]
    tell: str | None = None
    channel: int | None = None
    test: int | None = None


def _test(number: int) -> None:
    """Test a channel. A success switches it on again; a failure alone does not switch it off."""
    channel = find_channel(number)
    if channel is None:
        return
    trouble = None
    try:
        TEST[ChannelKind(channel.kind)](channel)
    except (Rejected, Unavailable) as refusal:
        trouble = refusal.detail
    now = clock.now()
    well: dict[str, Any] = {"failing_since": None, "trouble": None, "off_since": None}
    bad: dict[str, Any] = {"failing_since": channel.failing_since or now, "trouble": trouble}
    commit(change(channel, tested_at=now, **(well if trouble is None else bad)))
    forget_channels()


def _state(job: Job, service: Service) -> str:
    return state_of(job.status, runs=isinstance(job, Build) or service.current == job.number)


def _is_due(job: Job, channel: Channel, now: int) -> bool:
    known = told_of(job.told, channel.id)
    return known.state not in {job.status, REPLACED} and (known.next_at or 0) <= now


def _due(job: Job, state: str, told: Mapping[str, Any] | None) -> dict[str, Any]:
    """The attributes that say when the job is to be told next, or that all channels know it."""
    now = clock.now()
    known = [told_of(told, each.id) for each in channels_of(job.project_id)]
    times = [each.next_at or now + PATIENCE for each in known if each.state != state]
    return {"telling": DUE, "tell_at": min(times)} if times else {"telling": None, "tell_at": None}


def _settle(job: Job, service: Service) -> None:
    """Note that all channels know the job's state, if they do."""
    due = _due(job, _state(job, service), job.told)
    if job.telling is None or due["telling"] is not None:
        return
    try:
        commit(change(job, **due))
    except Stale:
        logger.info("%s has changed meanwhile: it is told again", job.job_id)


def _tell_replaced(channel: Channel, job: Job, state: str) -> None:
    """Before a release is told to run, the one that it replaced is told not to run any more.

    The row of that one does not change when it is replaced, so no commit has marked it.
    """
    replaced = job.replaced if isinstance(job, Deployment) else None
    if state == DeploymentStatus.SUCCESS and replaced is not None:
        earlier = find_deployments(replaced).get(replaced)
        if earlier is not None and told_of(earlier.told, channel.id).state == state:
            tell(earlier.job_id, channel.id)


def _send(channel: Channel, job: Job, service: Service, state: str, known: Told) -> Told:
    """Tell the state; return what the channel knows afterwards."""
    now = clock.now()
    try:
        number = TELL[ChannelKind(channel.kind)](channel, job, service, state, known)
    except Later as later:
        logger.info("%s is told later: %s", job.job_id, later.detail)
        return failed(known, now=now, wait=later.seconds)
    except Rejected as refusal:
        logger.warning("channel %s refuses %s: %s", channel.id, job.job_id, refusal.detail)
        return Told(state=state, id=known.id, refused=refusal.detail)
    except Unavailable as trouble:
        logger.warning("channel %s is not told of %s: %s", channel.id, job.job_id, trouble.detail)
        _note_trouble(channel, trouble.detail)
        return failed(known, now=now, wait=None)
    _note_success(channel)
    return Told(state=state, id=number)


def _note_success(channel: Channel) -> None:
    if channel.failing_since is not None:
        commit_if_possible(change(channel, failing_since=None, trouble=None))


def _note_trouble(channel: Channel, why: str) -> None:
    """Note since when the receiver fails. After a day the channel is switched off."""
    now = clock.now()
    since = channel.failing_since or now
    if now - since >= OFF_AFTER:
        commit_if_possible(
            change(channel, off_since=now, trouble=why),
            record(
                f"channel-{channel.id}",
                "channel.switched_off",
                at=now,
                actor="slipway",
                project_id=channel.project_id,
                since=rfc3339(since),
                why=why,
            ),
        )
        forget_channels()
    elif channel.trouble != why:
        commit_if_possible(change(channel, failing_since=since, trouble=why))
