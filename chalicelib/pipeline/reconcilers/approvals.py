"""The approval of a deployment: ECS waits at a hook, a person answers, and ECS goes on.

What ECS shows decides: an answer of a person is kept in the row, and given to ECS as long as ECS
waits at that hook.
"""

import logging

from chalicelib import clock
from chalicelib.aws import ecs
from chalicelib.domain.approvals import (
    BEFORE,
    OUTSIDE,
    Answer,
    Awaiting,
    answers_of,
    approval_of,
    hook_to_answer,
    is_approved_for_good,
    is_doubtful,
    is_guarded,
    still_waits,
    text_of_time_out,
    with_answer,
)
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.failures import Failure, Phase, one_line
from chalicelib.domain.rollouts import Hook, Rollout, Shift
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.strategies import strategy_of
from chalicelib.domain.timing import SOON
from chalicelib.errors import Rejected, Unavailable
from chalicelib.pipeline.reconcilers.ecs_changes import own_shift
from chalicelib.pipeline.reconcilers.ends import end
from chalicelib.pipeline.reconcilers.evidence import kept_events
from chalicelib.store.history import record_answer
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import Write, change, commit

logger = logging.getLogger("slipway")

_DOUBTFUL = (
    f"waits for a PAUSE hook in the stage {BEFORE}, and ECS does not say whether it is the one for "
    "the approval: another party has added a hook at that stage. Answer it in ECS"
)
_UNGUARDED = (
    "ECS does not wait for its approval: another party has changed the hooks or the strategy of "
    "the ECS service"
)
_AFTER_CHANGE = "Look in CloudTrail who has called UpdateService, and deploy the image again."
_AFTER_TIME_OUT = "Deploy the image again, and approve it in time."


def follow_approval(active: Deployment, target: EcsTarget, rollout: Rollout) -> str | None:
    """Note the hook at which ECS waits, and give ECS the answer that a person gave.

    Return why ECS does not go on, if it waits and Slipway cannot change that. Raises Unavailable.
    """
    shift, minutes = own_shift(active, rollout), active.approval_minutes
    if shift is None or shift.is_ending or minutes is None:
        return None
    if active.awaiting is not None and not still_waits(shift, active.awaiting.hook_id):
        _note_answered(active, active.awaiting, shift)
    if is_doubtful(shift, minutes):
        return _DOUBTFUL
    hook = hook_to_answer(shift, minutes)
    if hook is None:
        return None
    _note_waiting(active, shift, hook)
    if approval_of(answers_of(active.approvals), hook.id) is None:
        return None
    return _continue(active, target, shift, hook)


def _continue(active: Deployment, target: EcsTarget, shift: Shift, hook: Hook) -> str | None:
    """Give ECS the approval. Return why ECS does not take it, if it still waits for one.

    ECS refuses a second answer, also the same one. An answer of another worker, one whose response
    was lost, and the end of the time are no trouble of the deployment: the record of ECS shows
    them, whatever the code of the refusal is.
    """
    try:
        ecs.continue_rollout(shift.arn, hook.id)
    except Rejected as refusal:
        logger.info("%s is not continued: %s", active.job_id, refusal.detail)
        now = ecs.observe(target, wanted=active.task_definition, moves=True).shift
        waits = now is not None and now.arn == shift.arn and still_waits(now, hook.id)
        return refusal.detail if waits else None
    return None


def _note_waiting(active: Deployment, shift: Shift, hook: Hook) -> None:
    known = active.awaiting
    if known is not None and (known.hook_id, known.expires_at) == (hook.id, hook.expires_at):
        return
    is_same = known is not None and known.hook_id == hook.id
    number = known.number if known is not None and is_same else _next_number(active)
    since = known.since if known is not None and is_same else clock.now()
    waits = Awaiting(
        hook_id=hook.id,
        number=number,
        since=since,
        expires_at=hook.expires_at,
        rollout=shift.arn,
    )
    commit(change(active, awaiting=waits))


def _next_number(active: Deployment) -> int:
    numbers = [each.number for each in answers_of(active.approvals)]
    return max([*numbers, active.awaiting.number if active.awaiting else 0], default=0) + 1


def _note_answered(active: Deployment, known: Awaiting, shift: Shift) -> None:
    """Forget a hook at which ECS waits no longer, unless ECS takes the rollout back because of it.

    If nobody has told Slipway, somebody else has answered ECS, or has begun another rollout: that
    ends the hooks of the one before.
    """
    if any(h.id == known.hook_id and h.status in {"FAILED", "TIMED_OUT"} for h in shift.hooks):
        return
    is_over = known.rollout != shift.arn
    if is_over or approval_of(answers_of(active.approvals), known.hook_id) is not None:
        return commit(change(active, awaiting=None))
    until = known.expires_at
    if until is not None and until <= clock.now() < until + SOON:
        # ECS may show no hook that has timed out, and begin the way back a little later.
        return
    commit(*_approved_outside(active, known.hook_id, known.number))


def _approved_outside(active: Deployment, hook_id: str, number: int) -> list[Write]:
    answer = Answer(
        action="approve", hook_id=hook_id, number=number, by=OUTSIDE, at=clock.now(), steps="next"
    )
    approvals = with_answer(active.approvals, answer)
    return [
        change(active, awaiting=None, approvals=approvals),
        record_answer(active, "deployment.approved", answer),
    ]


def why_unapproved(
    active: Deployment, target: EcsTarget, rollout: Rollout, *, failed: bool
) -> str | None:
    """Why a deployment ends for want of an approval; None if it does not. ECS has `failed` it.

    Raises Unavailable.
    """
    return _why_not_approved(active) if failed else _why_unguarded(active, target, rollout)


def _why_unguarded(active: Deployment, target: EcsTarget, rollout: Rollout) -> str | None:
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
    # Another party may have changed the strategy, too: an approval of one step is none of all.
    strategy = active.shift.strategy if active.shift is not None else strategy_of(configuration)
    if is_approved_for_good(answers, strategy) or _was_guarded(active, target, rollout, minutes):
        return None
    return _UNGUARDED


def _was_guarded(active: Deployment, target: EcsTarget, rollout: Rollout, minutes: int) -> bool:
    """Whether a rollout that has succeeded had the hook, although the ECS service has it no more.

    A rollout keeps the configuration of its begin.
    """
    if rollout.shift is not None or rollout.state != "COMPLETED":
        return False
    try:
        record = ecs.record_of(target, active.task_definition or "")
    except Rejected as refusal:
        raise Unavailable(refusal.detail, code=refusal.code) from refusal
    return record is not None and is_guarded(record.configuration, minutes)


def prove_approval(active: Deployment) -> None:
    """Record who has approved a deployment that ECS has rolled out, if it was not Slipway.

    ECS had the hook, and takes a rollout back that nobody answers. So somebody has answered ECS
    between two looks.
    """
    known, answers = active.awaiting, answers_of(active.approvals)
    if active.approval_minutes is None:
        return
    if known is not None and approval_of(answers, known.hook_id) is None:
        commit(*_approved_outside(active, known.hook_id, known.number))
    elif known is None and not answers:
        commit(*_approved_outside(active, "", 1))


def _why_not_approved(active: Deployment) -> str | None:
    """Why a rollout ended that waited for an approval until its time was over; else None."""
    known, minutes = active.awaiting, active.approval_minutes
    if known is None or known.expires_at is None or minutes is None:
        return None
    if clock.now() < known.expires_at:
        return None
    late = approval_of(answers_of(active.approvals), known.hook_id)
    if late is None:
        return text_of_time_out(minutes)
    if active.error is not None:
        return f"ECS did not take the approval of {late.by} in time: {active.error}"
    return f"the approval of {late.by} came too late: {text_of_time_out(minutes)}"


def fail_unapproved(service: Service, active: Deployment, rollout: Rollout, reason: str) -> None:
    """End a deployment that nobody has approved. The loop restores the release before."""
    failure = Failure(
        phase=Phase.APPROVAL,
        summary=one_line(reason),
        next_step=_AFTER_CHANGE if reason == _UNGUARDED else _AFTER_TIME_OUT,
    )
    shown = change(active, events=kept_events(active, rollout.events))
    end(service, active, DeploymentStatus.FAILED, reason, shown, failure=failure)
