"""Deliveries of GitHub's webhook: each service that follows the pushed branch gets one build."""

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
from chalicelib.domain.refs import Ref, RefType
from chalicelib.domain.webhook_secrets import Signers
from chalicelib.pipeline.commands.followers import MAX_SECRETS
from chalicelib.pipeline.new_builds import Source, accept_build, new_build
from chalicelib.pipeline.retries import retry_on_conflict
from chalicelib.store.claims import Follower, followers, next_number
from chalicelib.store.models import Build, Receipt, Service
from chalicelib.store.reads import find, find_all
from chalicelib.store.receipts import KEEP_DELIVERIES, note_delivery
from chalicelib.store.writes import MAX_WRITES, ConditionFailed, Write, change, commit, create

logger = logging.getLogger("slipway")

# GitHub delivers a push to all webhooks of a repository at once. Each delivery may start builds, so
# their writes conflict.
TRIES = 2 * (MAX_SECRETS + 1)
# Far more than clocks differ. A push with a later time would stay the newest for too long.
_AHEAD = timedelta(days=1)
_NO_LONGER_FOLLOWING = "the services that it built do not follow the branch any more"


@dataclass(frozen=True)
class Decision:
    """The result of a delivery.

    `started` are the new builds, `duplicates` the (service, build) numbers that this push had
    started before. Without builds there is a `reason`.
    """

    delivery: str
    started: tuple[Build, ...] = ()
    duplicates: tuple[tuple[int, int], ...] = ()
    reason: str = ""


def receive_push(delivery: str, push: Push, signers: Signers) -> Decision:
    """Start a build for each service that follows the branch, unless this push started it before.

    `signers` decides which services the delivery may start: those without a webhook secret, or
    those with a secret that signed it. The result names no build of another service.

    A push is identified by its content and time, not by its delivery: the id of a delivery is not
    signed, and several webhooks deliver one push. Raises Unavailable if rows keep changing; a
    redelivery continues from there.
    """
    reason = ignored_reason(push) or _out_of_time(push)
    if reason:
        _note(delivery, _facts(push, reason), signers)
        return Decision(delivery, reason=reason)
    return retry_on_conflict(lambda: _receive(delivery, push, signers), tries=TRIES)


def receive_other(delivery: str, event: str, signers: Signers) -> Decision:
    """Record a delivery of an event that has no effect."""
    reason = f"the event {event} has no effect"
    _note(delivery, {"event": event, "reason": reason}, signers)
    return Decision(delivery, reason=reason)


def _note(delivery: str, facts: Mapping[str, Any], signers: Signers) -> None:
    trace = note_delivery(delivery, facts, (), replace=signers.installation)
    retry_on_conflict(lambda: _commit([], trace))


def _commit(writes: Sequence[Write], trace: Sequence[Write]) -> None:
    """Commit `writes` with the trace of the delivery; leave out trace rows that are full."""
    try:
        commit(*writes, *trace)
    except ConditionFailed as failed:
        full = {id(row) for row in failed.rows}
        rest = [write for write in trace if id(write.row) not in full]
        if len(rest) + len(full) != len(trace):
            raise
        logger.warning("%d records of a delivery are full", len(full))
        if writes or rest:
            commit(*writes, *rest)


def _receive(delivery: str, push: Push, signers: Signers) -> Decision:
    receipt = find(Receipt, _receipt_id(push))
    known = {int(k): int(v) for k, v in receipt.outcome["builds"].items()} if receipt else {}
    visible_followers, services = _followers(push, signers)
    refused = {each.id for each in services if not signers.may_start(each.settings.webhook_secret)}
    visible = known.keys() if signers.installation else known.keys() & visible_followers.keys()
    had = {service: known[service] for service in visible - refused}
    fresh = [each for each in services if each.id not in known and each.id not in refused]
    builds = _new_builds(delivery, push, fresh)
    started = {build.service_id: build.number for build in builds}
    verdicts = list(_verdicts(push, visible_followers, started, had, refused))
    reason = ""
    if not any(verdict.build_id for verdict in verdicts):
        reason = (
            _NO_LONGER_FOLLOWING if had else _why_none(push, visible_followers, signers, refused)
        )
    writes = [write for pair in zip(fresh, builds, strict=True) for write in accept_build(*pair)]
    if builds:
        writes.append(_record_push(receipt, push, delivery, known | started))
    trace = note_delivery(delivery, _facts(push, reason), verdicts, replace=signers.installation)
    room = MAX_WRITES - len(writes)
    _commit(writes, trace[:room])
    queue.wake(*(build.job_id for build in builds))
    # If this runs out of time, a redelivery writes the remaining rows.
    for first in range(room, len(trace), MAX_WRITES):
        retry_on_conflict(partial(_commit, [], trace[first : first + MAX_WRITES]))
    return Decision(delivery, tuple(builds), tuple(sorted(had.items())), reason)


def _new_builds(delivery: str, push: Push, services: list[Service]) -> list[Build]:
    if not services:
        return []
    first = next_number("builds", len(services))
    source = Source(Ref(push.branch or "", RefType.BRANCH), push.sha, push, delivery)
    return [
        new_build(service, number, source, service.settings.build, actor=f"github:{push.sender}")
        for number, service in enumerate(services, start=first)
    ]


def _followers(push: Push, signers: Signers) -> tuple[dict[int, Follower], list[Service]]:
    """The followers of the repository, and the services among them that follow this branch.

    A delivery signed with a service's own secret sees only services that share it.
    """
    _, visible = followers(push.repository)
    if not signers.installation:
        visible = {
            number: each
            for number, each in visible.items()
            if signers.may_start(each.webhook_secret)
        }
    numbers = [number for number, each in visible.items() if each.branch == push.branch]
    rows = find_all(Service, numbers).values()
    services = [
        row for row in rows if row.deleted_at is None and row.settings.branch == push.branch
    ]
    return visible, sorted(services, key=lambda service: service.id)


def _verdicts(
    push: Push,
    visible_followers: Mapping[int, Follower],
    started: Mapping[int, int],
    had: Mapping[int, int],
    refused: Set[int],
) -> Iterable[Verdict]:
    for service, follower in sorted(visible_followers.items()):
        outcome, build = Outcome.IGNORED, None
        if service in started:
            outcome, build = Outcome.STARTED, started[service]
            reason = "a build was started"
        elif service in had:
            outcome, build = Outcome.DUPLICATE, had[service]
            reason = "this push had started its build before"
        elif service in refused:
            reason = "this delivery was not signed with the service's own webhook secret"
        elif follower.branch != push.branch:
            reason = f"it follows the branch {follower.branch}"
        else:
            reason = "it is being changed or deleted"
        yield Verdict(service, follower.project_id, outcome, reason, build)


def _why_none(
    push: Push, visible_followers: Mapping[int, Follower], signers: Signers, refused: Set[int]
) -> str:
    if refused or not signers.installation:
        return (
            f"this delivery's secret starts no service that follows branch {push.branch} of "
            f"{push.repository}"
        )
    if not visible_followers:
        return f"no service builds {push.repository}"
    return f"no service follows branch {push.branch} of {push.repository}"


def _out_of_time(push: Push) -> str | None:
    """Ignore old pushes: their receipt may have expired, so they would look new."""
    if push.pushed_at < clock.now() - KEEP_DELIVERIES.total_seconds():
        return f"it was pushed more than {KEEP_DELIVERIES.days} days ago; push again"
    if push.pushed_at > clock.now() + _AHEAD.total_seconds():
        return "its pushed_at is in the future; push again"
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
    content = f"{push.repository} {push.ref} {push.sha} {push.pushed_at}"
    return f"push:{hashlib.sha256(content.encode()).hexdigest()}"


def _record_push(
    receipt: Receipt | None, push: Push, delivery: str, builds: dict[int, int]
) -> Write:
    outcome: dict[str, Any] = {
        "delivery": delivery,
        "builds": {str(key): value for key, value in builds.items()},
    }
    if receipt is not None:
        return change(receipt, outcome=outcome)
    now = clock.now()
    return create(
        Receipt(
            _receipt_id(push),
            created_at=now,
            # Twice the time in which deliveries of the push are accepted.
            expires_at=datetime.fromtimestamp(now, UTC) + 2 * KEEP_DELIVERIES,
            outcome=outcome,
        )
    )
