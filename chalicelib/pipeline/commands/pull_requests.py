"""Deliveries of GitHub's webhook about pull requests: their head commits are built, and no more.

A pull request that is closed ends its queued builds.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.domain.deliveries import Outcome, Verdict, outcome_of
from chalicelib.domain.pull_requests import CLOSED, PullRequest, choose, why_ignored
from chalicelib.domain.pushes import Choice
from chalicelib.domain.refs import Ref, RefType
from chalicelib.domain.statuses import BuildStatus, has_ended
from chalicelib.domain.webhook_secrets import Signers
from chalicelib.pipeline.deliveries import (
    CHANGING,
    NOT_SIGNED,
    Decision,
    accept_builds,
    explained,
    is_ahead,
    is_too_old,
    known_builds,
    new_builds,
    note,
    note_for_all,
    record_builds,
    visible_followers,
)
from chalicelib.pipeline.new_builds import Source, has_room, why_no_room
from chalicelib.pipeline.retries import retry_on_conflict, retry_with_fresh_service
from chalicelib.pipeline.superseding import AT_ONCE
from chalicelib.store.claims import Follower
from chalicelib.store.history import record
from chalicelib.store.jobs import find_builds, finish
from chalicelib.store.models import Build, Receipt, Service
from chalicelib.store.reads import find
from chalicelib.store.receipts import KEEP_DELIVERIES
from chalicelib.store.services import close_builds, find_services
from chalicelib.store.writes import Write, commit


class _Judgement(msgspec.Struct, frozen=True):
    """The effect of an event. `choices` has the services that decide by their settings, `known` the
    builds that the head commit has started before, by service.
    """

    services: Mapping[int, Service]
    choices: Mapping[int, Choice]
    known: Mapping[int, int]
    receipt: Receipt | None

    @property
    def building(self) -> list[Service]:
        return [self.services[number] for number, each in self.choices.items() if each.builds]


def receive_pull_request(delivery: str, pull: PullRequest, signers: Signers) -> Decision:
    """Start a build of the head commit for each service that builds the pull request.

    A service builds each head commit once. It builds one again if the event is later than that of
    its build, and the build was cancelled or superseded: the branch was pushed back, or the pull
    request was closed and opened again. `signers` are as in `receive_push`. Raises Unavailable if
    rows keep changing; a redelivery continues from there.
    """
    reason = why_ignored(pull) or _out_of_time(pull)
    if reason:
        note_for_all(delivery, _facts(pull, reason), pull.repository, signers)
        return Decision(delivery, reason=reason)
    if pull.action == CLOSED:
        return _close(delivery, pull, signers)
    return retry_on_conflict(lambda: _receive(delivery, pull, signers))


def _receive(delivery: str, pull: PullRequest, signers: Signers) -> Decision:
    visible = visible_followers(pull.repository, signers)
    judged = _judge(pull, signers, visible)
    source = Source(Ref(pull.head, RefType.BRANCH), pull.sha, pull=pull, delivery=delivery)
    builds = new_builds(source, judged.building, sender=pull.sender)
    verdicts = list(_verdicts(pull, visible, judged))
    known = {**judged.known, **{build.service_id: build.number for build in builds}}
    reason = ""
    if outcome_of(verdicts) is Outcome.IGNORED:
        reason = _why_none(pull, visible, judged)
    accept_builds(
        delivery,
        list(zip(judged.building, builds, strict=True)),
        [record_builds(judged.receipt, _receipt_id(pull), delivery, known)] if builds else [],
        _facts(pull, reason),
        explained(verdicts, "a build was started"),
        signers,
    )
    had = {each.service_id: each.build_id for each in verdicts if each.build_id is not None}
    return Decision(delivery, tuple(builds), tuple(sorted(had.items())), reason)


def _judge(pull: PullRequest, signers: Signers, visible: Mapping[int, Follower]) -> _Judgement:
    """Decide about each visible service that follows the base; nothing is written."""
    receipt = find(Receipt, _receipt_id(pull))
    known = known_builds(receipt)
    following = [number for number, each in visible.items() if each.branch == pull.base]
    services = {
        row.id: row
        for row in find_services(following)
        if row.deleted_at is None
        and row.settings.image_from is None
        and signers.may_start(row.settings.webhook_secret)
    }
    again = _to_build_again(pull, [known[number] for number in services if number in known])
    choices = {
        number: _with_room(choose(pull, row.settings), row, pull)
        for number, row in services.items()
        if number not in known or known[number] in again
    }
    return _Judgement(services, choices, known, receipt)


def _to_build_again(pull: PullRequest, numbers: Sequence[int]) -> set[int]:
    """Those of the builds of the head commit that ended without a result before this event."""
    without_result = {BuildStatus.CANCELLED, BuildStatus.SUPERSEDED}
    return {
        build.number
        for build in find_builds(numbers)
        if build.status in without_result and (build.pushed_at or 0) < pull.at
    }


def _with_room(choice: Choice, service: Service, pull: PullRequest) -> Choice:
    """The choice, or the reason if the service has too many open builds.

    A push to a pull request is not refused for that if it replaces a queued build.
    """
    if not choice.builds or has_room(service):
        return choice
    if service.settings.supersede_builds and _queued_builds(service, pull):
        return choice
    return Choice(builds=False, reason=f"{why_no_room(service)}, then redeliver")


def _queued_builds(service: Service, pull: PullRequest) -> list[Build]:
    """The builds of a pull request that may not have been started, without retries of people.

    Builds of later events are left out: GitHub may deliver an event days later.
    """
    return [
        build
        for build in find_builds(map(int, service.open_pulls or ()))
        if build.pull_request is not None
        and build.pull_request.number == pull.number
        and build.settings.repository == pull.repository
        and build.push.sent_at <= pull.at
        and build.push.is_queued
        and not has_ended(build.status)
    ]


def _verdicts(
    pull: PullRequest, visible: Mapping[int, Follower], judged: _Judgement
) -> Iterable[Verdict]:
    for number, follower in sorted(visible.items()):
        outcome, build = Outcome.IGNORED, None
        if number in judged.choices:
            choice = judged.choices[number]
            outcome = Outcome.STARTED if choice.builds else Outcome.IGNORED
            reason = choice.reason
        elif number in judged.services:
            outcome, build = Outcome.DUPLICATE, judged.known[number]
            reason = "this commit of the pull request had started its build before"
        elif follower.branch != pull.base:
            reason = f"it follows the branch {follower.branch}"
        elif follower.webhook_secret is not None:
            reason = NOT_SIGNED
        else:
            reason = CHANGING
        yield Verdict(number, follower.project_id, outcome, reason, build)


def _close(delivery: str, pull: PullRequest, signers: Signers) -> Decision:
    """End the queued builds of a closed pull request; those that run finish."""
    visible = visible_followers(pull.repository, signers)
    reasons = {row.id: _end_queued(row, pull, signers) for row in find_services(visible)}
    verdicts = [
        Verdict(number, each.project_id, Outcome.IGNORED, reasons.get(number, CHANGING))
        for number, each in sorted(visible.items())
    ]
    reason = f"pull request {pull.number} was closed"
    note(delivery, _facts(pull, reason), signers, verdicts)
    return Decision(delivery, reason=reason)


def _end_queued(service: Service, pull: PullRequest, signers: Signers) -> str:
    """End the queued builds of a pull request of one service; return what was done, in words."""
    if not signers.may_start(service.settings.webhook_secret):
        return NOT_SIGNED
    ended: list[int] = []
    while numbers := retry_with_fresh_service(service, partial(_cancel_queued, pull)):
        ended += numbers
    if not ended:
        return "the pull request was closed; no build of it was queued"
    return f"the pull request was closed; ended {', '.join(f'build-{each}' for each in ended)}"


def _cancel_queued(pull: PullRequest, service: Service) -> list[int]:
    builds = _queued_builds(service, pull)[:AT_ONCE]
    if builds:
        now = clock.now()
        writes = [write for build in builds for write in _cancel(build, pull, now)]
        commit(*writes, close_builds(service, *(build.number for build in builds)))
    return sorted(build.number for build in builds)


def _cancel(build: Build, pull: PullRequest, now: int) -> list[Write]:
    actor = f"github:{pull.sender}"
    return [
        finish(
            build,
            BuildStatus.CANCELLED,
            at=now,
            error=f"pull request {pull.number} was closed",
            cancelled_by=actor,
        ),
        record(
            build.job_id,
            "build.cancelled",
            at=now,
            actor=actor,
            project_id=build.project_id,
            service_id=build.service_id,
            pull_request=pull.number,
        ),
    ]


def _why_none(pull: PullRequest, visible: Mapping[int, Follower], judged: _Judgement) -> str:
    reasons = {choice.reason for choice in judged.choices.values()}
    if len(reasons) == 1:
        return min(reasons)
    if reasons:
        return (
            f"no service builds pull request {pull.number}; each has its own reason in the delivery"
        )
    if not any(each.branch == pull.base for each in visible.values()):
        return f"no service follows branch {pull.base} of {pull.repository}"
    return f"this delivery starts no service that follows branch {pull.base} of {pull.repository}"


def _out_of_time(pull: PullRequest) -> str | None:
    if is_too_old(pull.at):
        return f"it is more than {KEEP_DELIVERIES.days} days old; push to the pull request again"
    return "its updated_at is in the future" if is_ahead(pull.at) else None


def _facts(pull: PullRequest, reason: str) -> dict[str, Any]:
    return {
        "event": "pull_request",
        "reason": reason,
        "repository": pull.repository,
        "ref": f"refs/heads/{pull.head}",
        "sha": pull.sha,
        "pull_request": pull.number,
        "pushed_at": pull.at,
        "sender": pull.sender,
    }


def _receipt_id(pull: PullRequest) -> str:
    content = f"{pull.repository} {pull.number} {pull.sha}"
    return f"pull:{hashlib.sha256(content.encode()).hexdigest()}"
