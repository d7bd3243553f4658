"""Pushes: every service that follows the repository and branch gets its build, once."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.pushes import Push, ignored_reason
from chalicelib.pipeline.builds import accept, new_build
from chalicelib.pipeline.retries import again_if_lost
from chalicelib.store.claims import followers, next_number
from chalicelib.store.models import Build, Receipt, Service
from chalicelib.store.moves import Move, change, commit, create
from chalicelib.store.reads import find, find_all

# GitHub redelivers for three days; longer than that and to spare.
KEEP_DELIVERIES = timedelta(days=30)


@dataclass(frozen=True)
class Decision:
    """What a delivery led to: builds started now, builds it had started before, or the reason."""

    delivery: str
    started: tuple[Build, ...] = ()
    duplicates: tuple[tuple[int, int], ...] = ()
    reason: str = ""


def receive_push(delivery: str, push: Push) -> Decision:
    """Start a build for each service that follows what was pushed, unless that was done before.

    A push is known by what was pushed where and when, not by its delivery: the id of a delivery is
    not signed, and two webhooks of one repository deliver the same push under two ids.
    Raises Unavailable when rows keep changing under it; nothing has been started then.
    """
    reason = ignored_reason(push)
    if reason:
        return Decision(delivery, reason=reason)
    return again_if_lost(lambda: _receive(delivery, push))


def _receive(delivery: str, push: Push) -> Decision:
    receipt = find(Receipt, _receipt_id(push))
    had = {int(k): int(v) for k, v in receipt.outcome["builds"].items()} if receipt else {}
    services, reason = _followers(push)
    fresh = [service for service in services if service.id not in had]
    if not fresh:
        return Decision(delivery, duplicates=tuple(sorted(had.items())), reason=reason)
    first = next_number("builds", len(fresh))
    builds = [
        new_build(
            service,
            first + index,
            actor=f"github:{push.sender}",
            git_ref=push.branch or "",
            git_sha=push.sha,
            push=push,
            delivery=delivery,
        )
        for index, service in enumerate(fresh)
    ]
    started = {build.service_id: build.number for build in builds}
    moves = [move for pair in zip(fresh, builds, strict=True) for move in accept(*pair)]
    commit(_receive_once(receipt, push, delivery, had | started), *moves)
    queue.wake(*(build.id for build in builds))
    return Decision(delivery, tuple(builds), tuple(sorted(had.items())))


def _followers(push: Push) -> tuple[list[Service], str]:
    """Services that follow the branch, as they are now, or why there are none."""
    _, branches = followers(push.repository)
    if not branches:
        return [], f"no service builds {push.repository}"
    numbers = [number for number, branch in branches.items() if branch == push.branch]
    rows = find_all(Service, numbers).values()
    services = [row for row in rows if row.deleted_at is None and row.branch == push.branch]
    if not services:
        return [], f"no service follows branch {push.branch} of {push.repository}"
    return sorted(services, key=lambda service: service.id), ""


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
    return create(
        Receipt(
            _receipt_id(push),
            created_at=clock.now(),
            expires_at=datetime.now(UTC) + KEEP_DELIVERIES,
            outcome=outcome,
        )
    )
