"""Pushes: every service that follows the repository and branch gets its build, once."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.deliveries import Outcome, Verdict
from chalicelib.domain.pushes import Push, ignored_reason
from chalicelib.domain.webhook_secrets import Signers
from chalicelib.pipeline.builds import accept, new_build
from chalicelib.pipeline.retries import again_if_lost
from chalicelib.pipeline.services import MAX_SECRETS
from chalicelib.store.claims import Follower, followers, next_number
from chalicelib.store.models import Build, Receipt, Service
from chalicelib.store.moves import MAX_MOVES, ConditionFailed, Move, change, commit, create
from chalicelib.store.reads import find, find_all
from chalicelib.store.receipts import KEEP_DELIVERIES, note_delivery

logger = logging.getLogger("slipway")

# All webhooks of a repository are told of a push at once, and each may start builds of its own.
TRIES = 2 * (MAX_SECRETS + 1)
# Clocks apart, and to spare: a later push than any other for ever would be the newest for ever.
_AHEAD = timedelta(days=1)
_LEFT = "it had started builds of services that do not follow it any more"


@dataclass(frozen=True)
class Decision:
    """What a delivery led to: builds started now, builds it had started before, or the reason."""

    delivery: str
    started: tuple[Build, ...] = ()
    duplicates: tuple[tuple[int, int], ...] = ()
    reason: str = ""


def receive_push(delivery: str, push: Push, signers: Signers) -> Decision:
    """Start a build for each service that follows what was pushed, unless that was done before.

    `signers` may start a service with a webhook secret of its own, or all that have none; the
    answer says nothing of others.

    A push is known by what was pushed where and when, not by its delivery: the id of a delivery is
    not signed, and several webhooks deliver one push.
    Raises Unavailable when rows keep changing under it; delivered again it goes on from there.
    """
    reason = ignored_reason(push) or _out_of_time(push)
    if reason:
        _note(delivery, _facts(push, reason), signers)
        return Decision(delivery, reason=reason)
    return again_if_lost(lambda: _receive(delivery, push, signers), tries=TRIES)


def receive_other(delivery: str, event: str, signers: Signers) -> Decision:
    """Note an event that nothing is done for."""
    reason = f"nothing is done for the event {event}"
    _note(delivery, {"event": event, "reason": reason}, signers)
    return Decision(delivery, reason=reason)


def _note(delivery: str, facts: Mapping[str, Any], signers: Signers) -> None:
    trace = note_delivery(delivery, facts, (), replace=signers.installation)
    again_if_lost(lambda: _commit([], trace))


def _commit(moves: Sequence[Move], trace: Sequence[Move]) -> None:
    """Write `moves` and the trace; a record that is full takes no more, and stops nothing."""
    try:
        commit(*moves, *trace)
    except ConditionFailed as lost:
        full = {id(row) for row in lost.rows}
        rest = [move for move in trace if id(move.row) not in full]
        if len(rest) + len(full) != len(trace):
            raise
        logger.warning("%d records of a delivery are full", len(full))
        if moves or rest:
            commit(*moves, *rest)


def _receive(delivery: str, push: Push, signers: Signers) -> Decision:
    receipt = find(Receipt, _receipt_id(push))
    known = {int(k): int(v) for k, v in receipt.outcome["builds"].items()} if receipt else {}
    everybody, services = _followers(push, signers)
    refused = {each.id for each in services if not signers.may_start(each.webhook_secret)}
    theirs = known.keys() if signers.installation else known.keys() & everybody.keys()
    had = {service: known[service] for service in theirs - refused}
    fresh = [each for each in services if each.id not in known and each.id not in refused]
    builds = _new_builds(delivery, push, fresh)
    started = {build.service_id: build.number for build in builds}
    verdicts = list(_verdicts(push, everybody, started, had, refused))
    reason = ""
    if not any(verdict.build_id for verdict in verdicts):
        reason = _LEFT if had else _why_none(push, everybody, signers, refused)
    moves = [move for pair in zip(fresh, builds, strict=True) for move in accept(*pair)]
    if builds:
        moves.append(_receive_once(receipt, push, delivery, known | started))
    trace = note_delivery(
        delivery,
        _facts(push, reason),
        verdicts,
        replace=signers.installation,
    )
    room = MAX_MOVES - len(moves)
    _commit(moves, trace[:room])
    queue.wake(*(build.id for build in builds))
    # Who gets no answer delivers again, and that tells the rest.
    for first in range(room, len(trace), MAX_MOVES):
        again_if_lost(partial(_commit, [], trace[first : first + MAX_MOVES]))
    return Decision(delivery, tuple(builds), tuple(sorted(had.items())), reason)


def _new_builds(delivery: str, push: Push, services: list[Service]) -> list[Build]:
    if not services:
        return []
    first = next_number("builds", len(services))
    return [
        new_build(
            service,
            first + index,
            actor=f"github:{push.sender}",
            git_ref=push.branch or "",
            git_sha=push.sha,
            push=push,
            delivery=delivery,
        )
        for index, service in enumerate(services)
    ]


def _followers(push: Push, signers: Signers) -> tuple[dict[int, Follower], list[Service]]:
    """Followers of the repository, and the services among them that follow this branch of it.

    Whoever signed with a secret of their own is told of nobody who has another.
    """
    _, everybody = followers(push.repository)
    if not signers.installation:
        everybody = {
            number: each
            for number, each in everybody.items()
            if signers.may_start(each.webhook_secret)
        }
    numbers = [number for number, each in everybody.items() if each.branch == push.branch]
    rows = find_all(Service, numbers).values()
    services = [row for row in rows if row.deleted_at is None and row.branch == push.branch]
    return everybody, sorted(services, key=lambda service: service.id)


def _verdicts(
    push: Push,
    everybody: Mapping[int, Follower],
    started: Mapping[int, int],
    had: Mapping[int, int],
    refused: Set[int],
) -> Iterable[Verdict]:
    for service, follower in sorted(everybody.items()):
        outcome, build = Outcome.IGNORED, None
        if service in started:
            outcome, build = Outcome.STARTED, started[service]
            reason = "a build was started"
        elif service in had:
            outcome, build = Outcome.DUPLICATE, had[service]
            reason = "this push had started its build before"
        elif service in refused:
            reason = "it has a webhook secret of its own, and this delivery was not signed with it"
        elif follower.branch != push.branch:
            reason = f"it follows the branch {follower.branch}"
        else:
            reason = "it is being changed or deleted"
        yield Verdict(service, follower.project_id, outcome, reason, build)


def _why_none(
    push: Push, everybody: Mapping[int, Follower], signers: Signers, refused: Set[int]
) -> str:
    if refused or not signers.installation:
        return (
            f"no service that follows branch {push.branch} of {push.repository} is started by "
            "what was signed with this secret"
        )
    if not everybody:
        return f"no service builds {push.repository}"
    return f"no service follows branch {push.branch} of {push.repository}"


def _out_of_time(push: Push) -> str | None:
    """Once a push is forgotten it must not be taken for a new one."""
    if push.pushed_at < clock.now() - KEEP_DELIVERIES.total_seconds():
        return f"it was pushed more than {KEEP_DELIVERIES.days} days ago; push again"
    if push.pushed_at > clock.now() + _AHEAD.total_seconds():
        return "it says that it was pushed in the future; push again"
    return None


def _facts(push: Push, reason: str) -> dict[str, Any]:
    return {
        "event": "push",
        "reason": reason,
        "repository": push.repository,
        "ref": push.ref,
        "sha": push.sha,
        "pushed_at": push.pushed_at,
        "sender": push.sender,
    }


def _receipt_id(push: Push) -> str:
    told = f"{push.repository} {push.ref} {push.sha} {push.pushed_at}"
    return f"push:{hashlib.sha256(told.encode()).hexdigest()}"


def _receive_once(
    receipt: Receipt | None, push: Push, delivery: str, builds: dict[int, int]
) -> Move:
    outcome: dict[str, Any] = {
        "delivery": delivery,
        "builds": {str(key): value for key, value in builds.items()},
    }
    if receipt is not None:
        return change(receipt, Receipt.outcome.set(outcome))
    now = clock.now()
    return create(
        Receipt(
            _receipt_id(push),
            created_at=now,
            # Longer than any delivery of it is listened to.
            expires_at=datetime.fromtimestamp(now, UTC) + 2 * KEEP_DELIVERIES,
            outcome=outcome,
        )
    )
