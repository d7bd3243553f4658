"""The approval of a deployment: ECS waits at a hook, a person answers, and ECS goes on.

What ECS shows decides: an answer of a person is kept in the row, and given to ECS as long as ECS
waits at that hook.
"""

import logging

from chalicelib import clock
from chalicelib.aws import ecs
from chalicelib.domain.approvals import (
    OUTSIDE,
    Answer,
    Awaiting,
    answers_of,
    approval_of,
    hook_to_answer,
    is_approved_for_good,
    is_guarded,
    text_of_time_out,
    with_answer,
)
from chalicelib.domain.failures import Failure, Phase, one_line
from chalicelib.domain.rollouts import Hook, Rollout
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.errors import Rejected
from chalicelib.pipeline.reconcilers.ends import end
from chalicelib.pipeline.reconcilers.evidence import kept_events
from chalicelib.store.history import record
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import Write, change, commit

logger = logging.getLogger("slipway")

_UNGUARDED = (
    "ECS does not wait for its approval: another party has changed the hooks or the strategy of "
    "the ECS service"
)


def follow_approval(active: Deployment, rollout: Rollout) -> str | None:
    """Note the hook at which ECS waits, and give ECS the answer that a person gave.

    Return why ECS does not take the answer, if that is so. Raises Unavailable.
    """
    if active.approval_minutes is None:
        return None
    hook = _hook(active, rollout)
    if active.awaiting is not None and (hook is None or hook.id != active.awaiting.hook_id):
        _note_answered(active, active.awaiting, rollout)
    if hook is None or rollout.shift is None:
        return None
    if approval_of(answers_of(active.approvals), hook.id) is None:
        _note_waiting(active, hook)
        return None
    try:
        ecs.continue_rollout(rollout.shift.arn, hook.id)
    except Rejected as refusal:
        # Another worker may have been faster, or the time is over. The next look shows that.
        logger.info("%s is not continued: %s", active.job_id, refusal.detail)
        return refusal.detail
    return None


def _hook(active: Deployment, rollout: Rollout) -> Hook | None:
    """Slipway's hook, if ECS waits at it."""
    shift, minutes = rollout.shift, active.approval_minutes
    is_own = shift is not None and shift.task_definition == active.task_definition
    if shift is None or minutes is None or not is_own or shift.is_ending:
        return None
    return hook_to_answer(shift, minutes)


def _note_waiting(active: Deployment, hook: Hook) -> None:
    known = active.awaiting
    if known is not None and (known.hook_id, known.expires_at) == (hook.id, hook.expires_at):
        return
    is_same = known is not None and known.hook_id == hook.id
    number = known.number if known is not None and is_same else _next_number(active)
    since = known.since if known is not None and is_same else clock.now()
    waits = Awaiting(hook_id=hook.id, number=number, since=since, expires_at=hook.expires_at)
    commit(change(active, awaiting=waits))


def _next_number(active: Deployment) -> int:
    numbers = [each.number for each in answers_of(active.approvals)]
    return max([*numbers, active.awaiting.number if active.awaiting else 0], default=0) + 1


def _note_answered(active: Deployment, known: Awaiting, rollout: Rollout) -> None:
    """Forget a hook at which ECS waits no longer, unless ECS takes the rollout back because of it.

    If nobody has told Slipway, somebody else has answered ECS.
    """
    shift = rollout.shift
    ends = {"FAILED", "TIMED_OUT"}
    if shift is not None and (
        shift.is_ending or any(h.id == known.hook_id and h.status in ends for h in shift.hooks)
    ):
        return
    if approval_of(answers_of(active.approvals), known.hook_id) is not None:
        return commit(change(active, awaiting=None))
    commit(*_approved_outside(active, known.hook_id, known.number))


def _approved_outside(active: Deployment, hook_id: str, number: int) -> list[Write]:
    answer = Answer(
        action="approve", hook_id=hook_id, number=number, by=OUTSIDE, at=clock.now(), steps="next"
    )
    approvals = with_answer(active.approvals, answer)
    return [
        change(active, awaiting=None, approvals=approvals),
        record(
            active.job_id,
            "deployment.approved",
            at=answer.at,
            actor=OUTSIDE,
            project_id=active.project_id,
            service_id=active.service_id,
            hook_id=hook_id,
            number=number,
            image_digest=active.image_digest,
            task_definition=active.task_definition,
        ),
    ]


def why_unapproved(active: Deployment, rollout: Rollout, *, failed: bool) -> str | None:
    """Why a deployment ends for want of an approval; None if it does not. ECS has `failed` it."""
    return _why_not_approved(active) if failed else _why_unguarded(active, rollout)


def _why_unguarded(active: Deployment, rollout: Rollout) -> str | None:
    """Why production traffic may reach a deployment that nobody has approved; None if it cannot.

    Another party may have removed the hook, or have begun a rollout of the revision without it.
    """
    minutes, shift = active.approval_minutes, rollout.shift
    if minutes is None or active.started_at is None:
        return None
    if shift is not None:
        runs, configuration = shift.task_definition, shift.configuration
    else:
        runs, configuration = rollout.task_definition, rollout.configuration
    if runs != active.task_definition or is_guarded(configuration, minutes):
        return None
    answers = answers_of(active.approvals)
    return None if is_approved_for_good(answers, configuration) else _UNGUARDED


def prove_approval(active: Deployment) -> None:
    """Record who has approved a deployment that ECS has rolled out, if it was not Slipway.

    ECS had the hook, and takes a rollout back that nobody answers. So somebody has answered ECS
    between two looks.
    """
    if active.approval_minutes is None or answers_of(active.approvals):
        return
    known = active.awaiting
    hook_id, number = (known.hook_id, known.number) if known is not None else ("", 1)
    commit(*_approved_outside(active, hook_id, number))


def _why_not_approved(active: Deployment) -> str | None:
    """Why a rollout ended that waited for an approval until its time was over; else None."""
    known, minutes = active.awaiting, active.approval_minutes
    is_over = known is not None and known.expires_at is not None
    if known is None or minutes is None or not is_over or clock.now() < (known.expires_at or 0):
        return None
    late = approval_of(answers_of(active.approvals), known.hook_id)
    if late is None:
        return text_of_time_out(minutes)
    return f"the approval of {late.by} came too late: {text_of_time_out(minutes)}"


def fail_unapproved(service: Service, active: Deployment, rollout: Rollout, reason: str) -> None:
    """End a deployment that nobody has approved. The loop restores the release before."""
    failure = Failure(
        phase=Phase.APPROVAL,
        summary=one_line(reason),
        next_step="Deploy the image again, and approve it in time.",
    )
    shown = change(active, events=kept_events(active, rollout.events))
    end(service, active, DeploymentStatus.FAILED, reason, shown, failure=failure)
