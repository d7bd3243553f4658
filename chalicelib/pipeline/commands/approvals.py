"""The answers of people to a deployment that awaits their approval."""

from functools import partial
from typing import Literal

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.approvals import (
    Answer,
    Awaiting,
    answers_of,
    approval_of,
    rejection_of,
    with_answer,
)
from chalicelib.domain.statuses import has_ended
from chalicelib.domain.timing import rfc3339
from chalicelib.errors import Conflict, Forbidden
from chalicelib.pipeline.commands.jobs import cancelled
from chalicelib.pipeline.retries import retry_on_conflict
from chalicelib.store.history import record_answer
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.jobs import get_deployment
from chalicelib.store.models import Deployment
from chalicelib.store.services import get_service
from chalicelib.store.writes import change, commit


def approve(
    number: int,
    *,
    actor: str,
    steps: Literal["next", "all"] = "next",
    hook_id: str | None = None,
    reason: str | None = None,
    idempotency_key: IdempotencyKey | None = None,
) -> Deployment:
    """Approve the traffic for which a deployment waits; with `steps` "all" also that of each later
    step. Return its row.

    The loop then lets ECS go on. A second approval of the same hook has no effect.
    Raises Conflict (job_ended, not_awaiting_approval, other_hook), Forbidden (own_deployment).
    """
    step = partial(_approve, number, actor, steps, hook_id, reason, idempotency_key)
    return retry_on_conflict(step)


def reject(
    number: int,
    *,
    actor: str,
    hook_id: str | None = None,
    reason: str | None = None,
    idempotency_key: IdempotencyKey | None = None,
) -> Deployment:
    """End a deployment that awaits approval, and return its row. The release before it stays.

    A second rejection has no effect. Raises Conflict (job_ended, not_awaiting_approval,
    other_hook).
    """
    step = partial(_reject, number, actor, hook_id, reason, idempotency_key)
    return retry_on_conflict(step)


def _approve(
    number: int,
    actor: str,
    steps: Literal["next", "all"],
    hook_id: str | None,
    reason: str | None,
    idempotency_key: IdempotencyKey | None,
) -> Deployment:
    deployment = get_deployment(number)
    _require_other(deployment, actor)
    _require_open(deployment)
    answers = answers_of(deployment.approvals)
    named = hook_id or (deployment.awaiting.hook_id if deployment.awaiting else "")
    known = approval_of(answers, named)
    if known is not None and known.steps in {steps, "all"}:
        return deployment
    hook = _awaited(deployment, hook_id)
    answer = Answer(
        action="approve",
        hook_id=hook.hook_id,
        number=hook.number,
        by=actor,
        at=clock.now(),
        steps=steps,
        reason=reason,
    )
    commit(
        change(deployment, approvals=with_answer(deployment.approvals, answer)),
        record_answer(deployment, "deployment.approved", answer, reason=reason, steps=answer.steps),
        *record_key(idempotency_key, number),
    )
    queue.wake(f"service-{deployment.service_id}")
    return deployment


def _reject(
    number: int,
    actor: str,
    hook_id: str | None,
    reason: str | None,
    idempotency_key: IdempotencyKey | None,
) -> Deployment:
    deployment = get_deployment(number)
    rejection = rejection_of(answers_of(deployment.approvals))
    if rejection is not None and hook_id in {None, rejection.hook_id}:
        return deployment
    _require_open(deployment)
    hook = _awaited(deployment, hook_id)
    answer = Answer(
        action="reject",
        hook_id=hook.hook_id,
        number=hook.number,
        by=actor,
        at=clock.now(),
        reason=reason,
    )
    error = f"rejected by {actor}" + (f": {reason}" if reason else "")
    service = get_service(deployment.service_id)
    commit(
        *cancelled(
            service,
            deployment,
            actor=actor,
            error=error,
            approvals=with_answer(deployment.approvals, answer),
        ),
        record_answer(deployment, "deployment.rejected", answer, reason=reason),
        *record_key(idempotency_key, number),
    )
    queue.wake(f"service-{service.id}")
    return deployment


def _require_other(deployment: Deployment, actor: str) -> None:
    """Raise Forbidden (own_deployment) if the caller asked for the deployment.

    A token is known by its name. The service may allow it (`approve_own`).
    """
    if deployment.requested_by != actor:
        return
    if not get_service(deployment.service_id).settings.approve_own:
        raise Forbidden(
            f"{actor} asked for deployment {deployment.number}, so another token must approve it. "
            "An admin can allow it with the setting approve_own of the service",
            code="own_deployment",
        )


def _require_open(deployment: Deployment) -> None:
    if has_ended(deployment.status):
        why = f": {deployment.error}" if deployment.error else ""
        raise Conflict(
            f"{deployment.job_id} has ended already ({deployment.status}){why}", code="job_ended"
        )


def _awaited(deployment: Deployment, hook_id: str | None) -> Awaiting:
    """The hook to answer. Raises Conflict (not_awaiting_approval, other_hook)."""
    hook, name = deployment.awaiting, f"deployment {deployment.number}"
    if hook is None:
        raise Conflict(
            f"{name} does not await an approval now: its status is {deployment.status}, and "
            f"`step` says what it does. POST /v1/cicd/jobs/{deployment.job_id}/cancel ends it",
            code="not_awaiting_approval",
        )
    if hook.expires_at is not None and clock.now() >= hook.expires_at:
        raise Conflict(
            f"{name} does not await an approval any more: the time for it ended at "
            f"{rfc3339(hook.expires_at)}, and ECS takes the rollout back",
            code="not_awaiting_approval",
        )
    if hook_id not in {None, hook.hook_id}:
        raise Conflict(
            f"{name} awaits an approval of another hook now: {hook.hook_id}. Read the deployment "
            "again",
            code="other_hook",
            field="hook_id",
        )
    return hook
