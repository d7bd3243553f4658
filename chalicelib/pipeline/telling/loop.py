"""The loop that tells channels: from a message or a due row to what the channel knows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from chalicelib import clock, cloudwatch
from chalicelib.aws import queue
from chalicelib.aws.queue import Telling
from chalicelib.aws.secrets import read_credential
from chalicelib.correlation import working_on
from chalicelib.domain.channels import ChannelKind
from chalicelib.domain.telling import (
    GIVE_UP_AFTER,
    PATIENCE,
    Told,
    failed,
    got,
    told_of,
    with_told,
)
from chalicelib.domain.timing import rfc3339
from chalicelib.errors import Rejected, SlipwayError, Stale, Unavailable
from chalicelib.outbound.github import OneRepository
from chalicelib.outbound.http import Later
from chalicelib.pipeline.checks import ask_checks
from chalicelib.pipeline.heads import look
from chalicelib.pipeline.redeliveries import redeliver
from chalicelib.pipeline.telling import github
from chalicelib.pipeline.telling.receivers import tell_receiver, test_receiver
from chalicelib.pipeline.telling.rows import Row, find_row, row_id, service_of, wanted_state
from chalicelib.settings import settings
from chalicelib.store import writes
from chalicelib.store.channels import (
    channels_of,
    channels_told,
    find_channel,
    forget_channels,
    is_deleted,
    news_of,
    rows_to_tell,
    service_id_of,
)
from chalicelib.store.history import record
from chalicelib.store.models import DUE, Channel, Service
from chalicelib.store.writes import Write, change, commit, commit_if_possible

logger = logging.getLogger("slipway")


class Receiver(msgspec.Struct, frozen=True):
    """What a kind of channel does.

    `wanted` is the state that the channel is to know of a row, or None. `tell` tells it, and
    returns the receiver's own number of the row, if it has one. `test` tries the channel. The last
    two raise Later, Rejected and Unavailable.
    """

    wanted: Callable[[Channel, Row, Service], str | None]
    tell: Callable[[Channel, Row, Service, str, Told], int | None]
    test: Callable[[Channel], None]


_USUAL = Receiver(lambda channel, row, _: wanted_state(channel, row), tell_receiver, test_receiver)
RECEIVERS: Mapping[ChannelKind, Receiver] = {
    **dict.fromkeys(ChannelKind, _USUAL),
    ChannelKind.GITHUB: Receiver(github.wanted, github.tell, github.test),
}
_TRIES = 5


def announce(rows: Sequence[Row]) -> None:
    """Send a message for each row and channel. Raises nothing: the rows are marked."""
    queue.tell([_telling(row, each) for row in rows for each in channels_told(row, news_of(row))])


writes.tellers.append(announce)


def announce_due(*, until: Callable[[], bool]) -> None:
    """Send messages for the rows that are due, until `until()`; the next minute continues.

    A failure of one row does not stop the others.
    """
    for row in rows_to_tell(clock.now()):
        if until():
            break
        try:
            _announce_again(row)
        except SlipwayError as error:
            logger.warning("%s is not announced: %s", row_id(row), error.detail)
        except Exception:
            logger.exception("%s could not be announced", row_id(row))


def _announce_again(row: Row) -> None:
    """Send a message for each channel that does not know the row's state."""
    service = service_of(row)
    waiting = [each for each in channels_of(row) if _untold(each, row, service) is not None]
    queue.tell([_telling(row, each) for each in waiting])
    if not waiting:
        _settle(row, service)


def tell(name: str, channel_number: int) -> None:
    """Bring a channel to the present state of a row, such as "build-123" or "service-7".

    The state is recorded on condition that the row has not changed since it was read. If it has,
    the newer state is told, too. A failure is recorded with the time of the next try.

    Raises Unavailable if DynamoDB does not answer; the schedule then continues.
    """
    sent: tuple[str, Told] | None = None
    with working_on(row_id=name):
        for _ in range(_TRIES):
            row, channel = find_row(name), find_channel(channel_number)
            if row is None:
                return
            service = service_of(row)
            state = _untold(channel, row, service) if channel is not None else None
            if channel is None or state is None:
                return _settle(row, service)
            if sent is None or sent[0] != state:
                sent = state, _tell(channel, row, service, state)
            # Else the row of a service would grow with each channel that there ever was.
            kept = {key: known for key, known in (row.told or {}).items() if not is_deleted(key)}
            told = with_told(kept, channel.id, sent[1])
            try:
                return commit(change(row, told=told, **_due(row, service, told)))
            except Stale:
                continue
        logger.info("other workers keep changing %s; the schedule tells it", name)


def follow(body: str) -> None:
    """Do what a message asks: `{"v": 1, "tell": "build-123", "channel": 2}`, or `{"v": 1, "test":
    2}` for a test of a channel, or `{"v": 1, "look": 3}` for a look at the head of the branch that
    a service follows, or `{"v": 1, "checks": "deploy-4", "at": 1795305600}` for the checks of a
    commit, or `{"v": 1, "redeliver": true}` for the failed deliveries of the GitHub App's webhook.
    Raises ValueError for anything else, and Unavailable.
    """
    try:
        message = msgspec.json.decode(body, type=_Message)
    except msgspec.DecodeError as error:
        raise ValueError("this is no message about a channel or a commit") from error
    if message.checks is not None and message.at is not None:
        ask_checks(message.checks, wanted_at=message.at)
    elif message.test is not None:
        _test(message.test)
    elif message.look is not None:
        look(message.look)
    elif message.redeliver:
        redeliver()
    elif message.tell is not None and message.channel is not None:
        tell(message.tell, message.channel)
    else:
        raise ValueError("the message names no row and channel, test, service or checks")


class _Message(msgspec.Struct, frozen=True):
    v: Literal[1]
    tell: str | None = None
    channel: int | None = None
    test: int | None = None
    look: int | None = None
    checks: str | None = None
    at: int | None = None
    redeliver: bool = False


def _test(number: int) -> None:
    """Test a channel. A success switches it on again; a failure alone does not switch it off.

    A channel that is changed meanwhile is tested again.
    """
    for _ in range(_TRIES):
        channel = find_channel(number)
        if channel is None:
            return
        trouble, works = None, True
        try:
            if channel.secret is not None:
                # Who tests a channel may have changed its secret just now.
                read_credential(channel.secret, max_age=0)
            RECEIVERS[ChannelKind(channel.kind)].test(channel)
        except (Rejected, Unavailable) as refusal:
            trouble, works = refusal.detail, isinstance(refusal, OneRepository)
        try:
            _note_test(channel, trouble, works=works)
        except Stale:
            continue
        return forget_channels()


def _note_test(channel: Channel, trouble: str | None, *, works: bool) -> None:
    now = clock.now()
    since = None if trouble is None else channel.failing_since or now
    found = change(channel, tested_at=now, failing_since=since, trouble=trouble)
    if channel.off_since is None or not works:
        return commit(found)
    on = change(channel, off_since=None, on_since=now)
    commit(found, on, _audit(channel, "channel.switched_on", tested_at=rfc3339(now)))


def _telling(row: Row, channel: Channel) -> Telling:
    return Telling(row_id(row), service_id_of(row), channel.id)


def _wanted(channel: Channel, row: Row, service: Service) -> str | None:
    """The state that the channel is to know; None if it is told nothing of the row.

    That is so for a state that is older than the channel, unless it knows the row already.
    """
    begun_at = channel.on_since or channel.created_at
    is_older = row.news_at is not None and row.news_at < begun_at
    if is_older and not told_of(row.told, channel.id).state:
        return None
    return RECEIVERS[ChannelKind(channel.kind)].wanted(channel, row, service)


def _untold(channel: Channel, row: Row, service: Service) -> str | None:
    """The state that the channel is to be told now; None if there is nothing to tell now."""
    known = told_of(row.told, channel.id)
    if channel.off_since is not None or (known.next_at or 0) > clock.now():
        return None
    wanted = _wanted(channel, row, service)
    return None if wanted is None or known.knows(wanted) else wanted


def _due(row: Row, service: Service, told: Mapping[str, Any] | None) -> dict[str, Any]:
    """The attributes that say when the row is to be told next, or that all channels know it."""
    times = []
    for channel in channels_of(row):
        known = told_of(told, channel.id)
        wanted = _wanted(channel, row, service)
        if wanted is not None and not known.knows(wanted):
            times.append(known.next_at or clock.now() + PATIENCE)
    return {"telling": DUE, "tell_at": min(times)} if times else {"telling": None, "tell_at": None}


def _settle(row: Row, service: Service) -> None:
    """Note that all channels know the row's state, or when the next one is to be told."""
    due = _due(row, service, row.told)
    if row.telling is None or (row.telling, row.tell_at) == (due["telling"], due["tell_at"]):
        return
    try:
        commit(change(row, **due))
    except Stale:
        logger.info("%s has changed meanwhile: it is told again", row_id(row))


def _tell(channel: Channel, row: Row, service: Service, state: str) -> Told:
    """Tell the state; return what the channel knows afterwards."""
    now, known = clock.now(), told_of(row.told, channel.id)
    try:
        # Before a release is told to run, the one that it replaced is told not to run any more.
        # The row of that one does not change when it is replaced, so no commit has marked it.
        replaced = github.replaced_by(channel, row, state)
        if replaced is not None:
            tell(replaced, channel.id)
        number = RECEIVERS[ChannelKind(channel.kind)].tell(channel, row, service, state, known)
    except Rejected as refusal:
        logger.warning("channel %s refuses %s: %s", channel.id, row_id(row), refusal.detail)
        _note_success(channel)
        return got(known, state, number=known.id, refused=refusal.detail)
    except Unavailable as trouble:
        logger.warning("channel %s is not told of %s: %s", channel.id, row_id(row), trouble.detail)
        wait = trouble.seconds if isinstance(trouble, Later) else None
        told = failed(known, state, trouble.detail, now=now, seconds=wait)
        is_over = told.refused is not None and not isinstance(trouble, OneRepository)
        # To be told later is no failure, unless that goes on for a day.
        if wait is None or is_over:
            since = told.since or known.since or now
            _note_trouble(channel, trouble.detail, since=since, is_over=is_over)
        return told
    _note_success(channel)
    return got(known, state, number=number)


def _note_success(channel: Channel) -> None:
    if channel.failing_since is not None:
        commit_if_possible(change(channel, failing_since=None, trouble=None))


def _note_trouble(channel: Channel, why: str, *, since: int, is_over: bool) -> None:
    """Note since when the receiver fails. The channel is switched off if a row `is_over`, because
    it could not be told for a day, and no other row could be told meanwhile.
    """
    now, since = clock.now(), channel.failing_since or since
    if is_over and now - since >= GIVE_UP_AFTER:
        commit_if_possible(
            change(channel, failing_since=since, off_since=now, trouble=why),
            _audit(channel, "channel.switched_off", since=rfc3339(since), why=why),
        )
        if channel.off_since is not None:
            cloudwatch.put(
                {"Installation": settings().table_prefix},
                counts={"ChannelsOff": 1},
                seconds={},
                facts={"channel_id": channel.id},
            )
        forget_channels()
    elif channel.trouble != why:
        commit_if_possible(change(channel, failing_since=since, trouble=why))


def _audit(channel: Channel, action: str, **details: Any) -> Write:
    return record(
        f"channel-{channel.id}",
        action,
        at=clock.now(),
        actor="slipway",
        project_id=channel.project_id,
        **details,
    )
