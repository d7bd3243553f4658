"""What all deliveries of GitHub's webhook have in common, whatever their event.

A delivery sees some followers of its repository, may start builds of them, and leaves a trace with
one verdict for each of them.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.deliveries import Outcome, Verdict
from chalicelib.domain.webhook_secrets import Signers
from chalicelib.pipeline.new_builds import Source, accept_build, new_build
from chalicelib.pipeline.retries import retry_on_conflict
from chalicelib.store.claims import Follower, followers, next_number
from chalicelib.store.models import Build, Receipt, Service
from chalicelib.store.receipts import KEEP_DELIVERIES, note_delivery
from chalicelib.store.writes import MAX_WRITES, ConditionFailed, Write, change, commit, create

logger = logging.getLogger("slipway")

# Why a delivery has no effect on a service.
NOT_SIGNED = "this delivery was not signed with the service's own webhook secret"
CHANGING = "it is being changed or deleted"
# Far more than clocks differ. A push with a time far ahead would be young enough to be accepted
# again after its receipt has expired.
_AHEAD = timedelta(days=1)


class Decision(msgspec.Struct, frozen=True):
    """The result of a delivery.

    `started` are the new builds, `duplicates` the (service, build) numbers that the same push, or
    the same commit of a pull request, had started before. Without builds there is a `reason`.
    """

    delivery: str
    started: tuple[Build, ...] = ()
    duplicates: tuple[tuple[int, int], ...] = ()
    reason: str = ""


def visible_followers(repository: str, signers: Signers) -> dict[int, Follower]:
    """The followers of a repository that a delivery sees, by `visible_of`."""
    return visible_of(followers(repository)[1], signers)


def visible_of(all_followers: dict[int, Follower], signers: Signers) -> dict[int, Follower]:
    """Those of a repository's followers that a delivery sees.

    A delivery signed with a service's own secret sees only services that share it.
    """
    if signers.installation:
        return all_followers
    return {
        number: each
        for number, each in all_followers.items()
        if signers.may_start(each.webhook_secret)
    }


def is_too_old(at: int) -> bool:
    """Whether an event of this time is ignored: its receipt may have expired, so it would look new.

    GitHub redelivers for three days.
    """
    return at < clock.now() - KEEP_DELIVERIES.total_seconds()


def is_ahead(at: int) -> bool:
    """Whether an event has a time so far in the future that it is ignored."""
    return at > clock.now() + _AHEAD.total_seconds()


def known_builds(receipt: Receipt | None) -> dict[int, int]:
    """The builds that a receipt records, by service."""
    return {int(k): int(v) for k, v in receipt.outcome["builds"].items()} if receipt else {}


def record_builds(
    receipt: Receipt | None, receipt_id: str, delivery: str, builds: Mapping[int, int]
) -> Write:
    """Record the builds that a push, or a commit of a pull request, has started, by service."""
    outcome: dict[str, Any] = {
        "delivery": delivery,
        "builds": {str(key): value for key, value in builds.items()},
    }
    if receipt is not None:
        return change(receipt, outcome=outcome)
    now = clock.now()
    return create(
        Receipt(
            receipt_id,
            created_at=now,
            # Twice the time in which deliveries of the event are accepted.
            expires_at=datetime.fromtimestamp(now, UTC) + 2 * KEEP_DELIVERIES,
            outcome=outcome,
        )
    )


def same_for_all(visible: Mapping[int, Follower], reason: str) -> tuple[Verdict, ...]:
    """The verdicts of a delivery that starts no build, with one reason for all services."""
    return tuple(
        Verdict(number, each.project_id, Outcome.IGNORED, reason)
        for number, each in sorted(visible.items())
    )


def explained(verdicts: Iterable[Verdict], started: str) -> tuple[Verdict, ...]:
    """The verdicts, with the words for a started build before the reason of the choice."""
    return tuple(
        replace(each, reason=": ".join(filter(None, (started, each.reason))))
        if each.outcome is Outcome.STARTED
        else each
        for each in verdicts
    )


def note(
    delivery: str, facts: Mapping[str, Any], signers: Signers, verdicts: Collection[Verdict] = ()
) -> None:
    """Record a delivery with its verdicts."""
    _write_trace(note_delivery(delivery, facts, verdicts, replace=signers.installation))


def note_for_all(
    delivery: str, facts: Mapping[str, Any], repository: str, signers: Signers
) -> None:
    """Record a delivery that starts no build, with one reason for all services that it concerns."""
    visible = visible_followers(repository, signers)
    note(delivery, facts, signers, same_for_all(visible, facts["reason"]))


def new_builds(source: Source, services: Sequence[Service], *, sender: str) -> list[Build]:
    """The rows of new builds, one for each service, that the `sender` of an event has started."""
    if not services:
        return []
    first = next_number("builds", len(services))
    return [
        new_build(service, number, source, service.settings.build, actor=f"github:{sender}")
        for number, service in enumerate(services, start=first)
    ]


def accept_builds(
    delivery: str,
    builds: Sequence[tuple[Service, Build]],
    record: Sequence[Write],
    facts: Mapping[str, Any],
    verdicts: Collection[Verdict],
    signers: Signers,
) -> None:
    """Accept new builds and record the delivery, as far as possible in one transaction.

    `verdicts` lack the numbers of these builds. If this runs out of time, a redelivery writes the
    remaining rows.
    """
    numbers = {service.id: build.number for service, build in builds}
    verdicts = [
        replace(each, build_id=numbers.get(each.service_id, each.build_id)) for each in verdicts
    ]
    writes = [write for pair in builds for write in accept_build(*pair)]
    writes += record
    trace = note_delivery(delivery, facts, verdicts, replace=signers.installation)
    room = MAX_WRITES - len(writes)
    _commit(writes, trace[:room])
    queue.wake(*(build.job_id for _, build in builds))
    _write_trace(trace[room:])


def _write_trace(trace: Sequence[Write]) -> None:
    for first in range(0, len(trace), MAX_WRITES):
        retry_on_conflict(partial(_commit, [], trace[first : first + MAX_WRITES]))


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
