"""Deliveries of GitHub's webhook: each service that follows the pushed branch gets one build."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.deliveries import Outcome, Verdict, outcome_of
from chalicelib.domain.heads import (
    Heads,
    as_found,
    how_late,
    is_lost,
    is_same_time,
    noted,
    with_found,
)
from chalicelib.domain.payloads import shown
from chalicelib.domain.pushes import Choice, Push, choose, ignored_reason
from chalicelib.domain.refs import Ref, RefType
from chalicelib.domain.service_settings import ServiceSettings
from chalicelib.domain.webhook_secrets import Signers
from chalicelib.errors import InvalidInput
from chalicelib.pipeline.checks import waiting_for
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
    same_for_all,
    visible_followers,
    visible_of,
)
from chalicelib.pipeline.new_builds import Source, has_room_for_push, why_no_room
from chalicelib.pipeline.retries import retry_on_conflict
from chalicelib.store.channels import has_github
from chalicelib.store.claims import Follower, followers, heads_of, set_heads
from chalicelib.store.jobs import list_jobs
from chalicelib.store.models import Build, Claim, Receipt, Service
from chalicelib.store.reads import find, find_all
from chalicelib.store.receipts import KEEP_DELIVERIES
from chalicelib.store.services import find_services
from chalicelib.store.writes import Write, commit

# A build of a push that was found is searched among so many builds of a service.
_NEWEST = 50
_NO_LONGER_FOLLOWING = "the services that it built do not follow the branch any more"


class Judgement(msgspec.Struct, frozen=True):
    """The effect that a push has or would have.

    `verdicts` has the result for each visible service. `services` are those that get a build; their
    verdicts have no number and no reason but that of the choice. `refused` are services with a
    secret that did not sign. `known` are the builds that the push has started before, by service.
    Without a build for a visible service there is a `reason`.
    """

    services: tuple[Service, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    refused: Set[int] = frozenset()
    receipt: Receipt | None = None
    known: Mapping[int, int] = msgspec.field(default_factory=dict)
    reason: str = ""


def receive_push(delivery: str, push: Push, signers: Signers) -> Decision:
    """Start a build for each service that builds the push, unless this push started it before.

    `signers` decides which services the delivery may start: those without a webhook secret, or
    those with a secret that signed it. The result names no build of another service.

    A push is identified by its content and time, not by its delivery: the id of a delivery is not
    signed, and several webhooks deliver one push. Raises Unavailable if rows keep changing; a
    redelivery continues from there.
    """
    reason = _ignored(push)
    if reason:
        note_for_all(delivery, _facts(push, reason), push.repository, signers)
        return Decision(delivery, reason=reason)
    return retry_on_conflict(lambda: _receive(delivery, push, signers))


def receive_found(push: Push) -> None:
    """Take the head of a branch as the push whose delivery has not come, by the same decisions.

    Services that know the push get nothing. Those that know no push to the branch have begun to
    follow it: they only note the head. The record of the push in the list of deliveries says that
    it was found. Raises Unavailable if DynamoDB does not answer; the next look finds it again.
    """
    retry_on_conflict(lambda: _receive_found(push))


def preview_push(push: Push, sees: Callable[[int, int], bool]) -> Judgement:
    """The effect that the push would have if each service's own webhook delivered it now.

    `sees` decides for (project, service) numbers which services are judged. Nothing is written.
    """
    _, all_followers = followers(push.repository)
    visible = {
        number: each for number, each in all_followers.items() if sees(each.project_id, number)
    }
    reason = _ignored(push)
    if reason:
        return Judgement(verdicts=same_for_all(visible, reason), reason=reason)
    judged = _judge(push, _everyone(all_followers), visible)
    return replace(judged, verdicts=explained(judged.verdicts, "a build would be started"))


def _everyone(all_followers: Mapping[int, Follower]) -> Signers:
    """All secrets that can sign a delivery of the repository."""
    secrets = frozenset(each.webhook_secret for each in all_followers.values())
    return Signers(installation=True, own=frozenset(filter(None, secrets)))


def receive_other(delivery: str, event: str, signers: Signers) -> Decision:
    """Record a delivery of an event that has no effect."""
    reason = f"the event {event} has no effect"
    note(delivery, {"event": event, "reason": reason}, signers)
    return Decision(delivery, reason=reason)


def receive_checks(
    delivery: str, event: str, repository: str, sha: str, signers: Signers
) -> Decision:
    """Ask GitHub for the checks of a commit, if a deployment waits for them.

    `repository` and `sha` are those that the delivery names. They only choose what is asked.
    """
    waiting = waiting_for(sha, find_services(visible_followers(repository, signers)))
    queue.ask_checks(*(each.job_id for each in waiting), at=clock.now())
    reason = "GitHub is asked" if waiting else "no deployment waits for the checks of this commit"
    note(delivery, {"event": event, "reason": reason}, signers)
    return Decision(delivery, reason=reason)


def receive_refused(
    delivery: str, event: str, refusal: InvalidInput, repository: str | None, signers: Signers
) -> None:
    """Record a signed delivery that cannot be read, for all services of `repository`."""
    at = f"{refusal.field}: " if refusal.field else ""
    reason = shown(f"refused: {at}{refusal.detail}")
    facts = {"event": event, "reason": reason}
    if repository is None:
        return note(delivery, facts, signers)
    note_for_all(delivery, facts | {"repository": repository}, repository, signers)


def _receive(delivery: str, push: Push, signers: Signers) -> Decision:
    row, all_followers = followers(push.repository)
    heads = heads_of(row)
    delivered = push
    if heads is not None:
        push = as_found(heads, push)
    # Before it was found for some services, others may have built it by the delivery's time.
    had = known_builds(find(Receipt, _receipt_id(delivered))) if push != delivered else {}
    judged = _judge(push, signers, visible_of(all_followers, signers), had)
    learned: list[Write] = []
    if row is not None and heads is not None:
        learned = _learned(row, heads, push, all_followers, judged)
    return _take(delivery, push, signers, judged, learned)


def _receive_found(push: Push) -> None:
    row, all_followers = followers(push.repository)
    if row is None:
        return
    heads = heads_of(row) or Heads()
    following = {
        number: each for number, each in all_followers.items() if each.branch == push.branch
    }
    lost = {
        number: each
        for number, each in following.items()
        if is_lost(heads, number, push) and not _has_built(number, push)
    }
    known = noted(heads, push, following, all_followers)
    if not lost or _ignored(push):
        if known != heads:
            commit(set_heads(row, known))
        return
    signers = _everyone(all_followers)
    _take(
        f"found-{_receipt_id(push).removeprefix('push:')[:32]}",
        push,
        signers,
        _judge(push, signers, lost),
        [set_heads(row, with_found(known, push))],
        found_after=clock.now() - push.pushed_at,
    )


def _has_built(service: int, push: Push) -> bool:
    """Whether a service has a build of the push that its `heads` do not show.

    The version before notes no heads, and an earlier push that is delivered late hides a later one.
    """
    return any(
        isinstance(build, Build)
        and build.pull_request is None
        and (build.commit_sha, build.before_sha) == (push.sha, push.before)
        and is_same_time(build.pushed_at or 0, push.pushed_at)
        for build in list_jobs("build", service, limit=_NEWEST, before=None).rows
    )


def _learned(
    row: Claim,
    heads: Heads,
    push: Push,
    all_followers: Mapping[int, Follower],
    judged: Judgement,
) -> list[Write]:
    """What a delivery adds to the heads that are known of the repository.

    Without a channel to GitHub no head is looked at any more, so nothing is known. The pushes that
    were found stay: their deliveries may still come.
    """
    told = [
        each.service_id
        for each in judged.verdicts
        if all_followers[each.service_id].branch == push.branch
        and each.service_id not in judged.refused
    ]
    if not has_github():
        known = replace(heads, known={})
    elif push.branch is not None:
        known = noted(heads, push, told, all_followers)
    else:
        known = heads
    return [set_heads(row, known)] if known != heads else []


def _take(
    delivery: str,
    push: Push,
    signers: Signers,
    judged: Judgement,
    learned: Sequence[Write],
    *,
    found_after: int | None = None,
) -> Decision:
    """Start the builds of a push that was judged, and record all in one transaction.

    `found_after` are the seconds from the push until it was found without a delivery.
    """
    facts: dict[str, Any] = {}
    words = "a build was started"
    if found_after is not None:
        facts = {"found_after": found_after}
        words += f": found {how_late(found_after)} after the push, before any delivery of it came"
    builds = new_builds(_source(delivery, push), judged.services, sender=push.sender)
    started = {build.service_id: build.number for build in builds}
    visible = {verdict.service_id for verdict in judged.verdicts}
    seen = judged.known.keys() if signers.installation else judged.known.keys() & visible
    had = {service: judged.known[service] for service in seen - judged.refused}
    reason = _NO_LONGER_FOLLOWING if judged.reason and had else judged.reason
    known = {**judged.known, **started}
    record = [record_builds(judged.receipt, _receipt_id(push), delivery, known)] if builds else []
    accept_builds(
        delivery,
        list(zip(judged.services, builds, strict=True)),
        [*record, *learned],
        {**facts, **_facts(push, reason)},
        explained(judged.verdicts, words),
        signers,
    )
    return Decision(delivery, tuple(builds), tuple(sorted(had.items())), reason)


def _judge(
    push: Push,
    signers: Signers,
    visible: Mapping[int, Follower],
    had: Mapping[int, int] | None = None,
) -> Judgement:
    """Decide about each visible follower of the repository; nothing is written.

    `had` are builds of the push, by service, that its receipt may not have.
    """
    receipt = find(Receipt, _receipt_id(push))
    known = {**(had or {}), **known_builds(receipt)}
    rows = find_all(Service, [number for number, each in visible.items() if _may_build(each, push)])
    services = {row.id: row for row in rows.values() if _still_builds(row, push)}
    refused = frozenset(
        number
        for number, row in services.items()
        if not signers.may_start(row.settings.webhook_secret)
    )
    choices = {
        number: _with_room(choose(push, row.settings), row, push)
        for number, row in services.items()
        if number not in refused and number not in known
    }
    verdicts = tuple(_verdicts(push, visible, choices, known, refused))
    reason = ""
    if outcome_of(verdicts) is Outcome.IGNORED:
        declined = {choice.reason for choice in choices.values()}
        reason = _why_none(push, visible, signers, refused, declined)
    return Judgement(
        services=tuple(services[number] for number in sorted(choices) if choices[number].builds),
        verdicts=verdicts,
        refused=refused,
        receipt=receipt,
        known=known,
        reason=reason,
    )


def _with_room(choice: Choice, service: Service, push: Push) -> Choice:
    """The choice, or the reason if the service has too many open builds.

    The newest push to the branch is never refused for that: it replaces the queued builds of
    earlier ones, so at most one more build waits.
    """
    replaces = service.settings.supersede_builds and push.tag is None
    if not choice.builds or replaces or has_room_for_push(service):
        return choice
    return Choice(builds=False, reason=f"{why_no_room(service)}, then redeliver")


def _still_builds(row: Service, push: Push) -> bool:
    """Whether the service builds such pushes now; it may have changed since it was listed."""
    settings = row.settings
    return row.deleted_at is None and settings.image_from is None and _may_build(settings, push)


def _may_build(follower: Follower | ServiceSettings, push: Push) -> bool:
    """Whether the service follows the pushed branch, or builds tags and a tag was pushed."""
    return follower.branch == push.branch if push.tag is None else bool(follower.tags)


def _source(delivery: str, push: Push) -> Source:
    tag = push.tag
    ref = Ref(push.branch or "", RefType.BRANCH) if tag is None else Ref(tag, RefType.TAG)
    return Source(ref, push.sha, push=push, delivery=delivery)


def _verdicts(
    push: Push,
    visible: Mapping[int, Follower],
    choices: Mapping[int, Choice],
    known: Mapping[int, int],
    refused: Set[int],
) -> Iterable[Verdict]:
    for service, follower in sorted(visible.items()):
        outcome, build = Outcome.IGNORED, None
        if service in choices:
            choice = choices[service]
            outcome = Outcome.STARTED if choice.builds else Outcome.IGNORED
            reason = choice.reason
        elif service in refused:
            reason = NOT_SIGNED
        elif service in known:
            outcome, build = Outcome.DUPLICATE, known[service]
            reason = "this push had started its build before"
        elif _may_build(follower, push):
            reason = CHANGING
        elif push.tag is None:
            reason = f"it follows the branch {follower.branch}"
        else:
            reason = "it builds no tags"
        yield Verdict(service, follower.project_id, outcome, reason, build)


def _why_none(
    push: Push,
    visible: Mapping[int, Follower],
    signers: Signers,
    refused: Set[int],
    declined: Set[str],
) -> str:
    of_repository = f"{push.name} of {push.repository}"
    if len(declined) == 1:
        return min(declined)
    if declined:
        return f"no service builds {of_repository}; each has its own reason in the delivery"
    if refused or not signers.installation:
        return f"this delivery's secret starts no service that follows {of_repository}"
    if not visible:
        return f"no service builds {push.repository}"
    return f"no service {'follows' if push.tag is None else 'builds'} {of_repository}"


def _ignored(push: Push) -> str | None:
    """The reason why no service builds the push, whatever its settings; None if one could."""
    return ignored_reason(push) or _out_of_time(push)


def _out_of_time(push: Push) -> str | None:
    if is_too_old(push.pushed_at):
        return f"it was pushed more than {KEEP_DELIVERIES.days} days ago; push again"
    return "its pushed_at is in the future; push again" if is_ahead(push.pushed_at) else None


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
