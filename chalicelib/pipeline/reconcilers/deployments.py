"""The active deployment of a service, one step at a time."""

import logging
import random

from chalicelib import clock
from chalicelib.aws import ecs, queue
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.failures import Phase
from chalicelib.domain.health import next_count
from chalicelib.domain.lag import next_look
from chalicelib.domain.progress import deploy_progress
from chalicelib.domain.rollouts import (
    LONGEST,
    Origin,
    Rollout,
    Step,
    decide_active,
    decide_idle,
    next_deadline,
    settled_at,
)
from chalicelib.domain.shifts import (
    ShownShift,
    deadline_in,
    minutes_in,
    progress_of,
    shown,
    words_of,
)
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.strategies import rolling_bake_of
from chalicelib.domain.timing import PERIOD, READABLE, RECORDED, SILENCE
from chalicelib.errors import Rejected, Unavailable
from chalicelib.pipeline.config_releases import TRIGGER
from chalicelib.pipeline.preflight import NO_SERVICE
from chalicelib.pipeline.reconcilers.approvals import (
    fail_unapproved,
    follow_approval,
    prove_approval,
    why_unapproved,
)
from chalicelib.pipeline.reconcilers.begins import (
    Situation,
    begin,
    restore_by_ecs,
    restored_by_ecs,
)
from chalicelib.pipeline.reconcilers.ecs_changes import (
    definition_to_keep,
    definition_to_restore,
    find_origin,
    judge_soon,
    look_soon,
    not_recorded,
    note_choice,
    own_shift,
    take_back,
    update_ecs,
    what_runs,
)
from chalicelib.pipeline.reconcilers.ends import end, fail, fail_rollout, succeed
from chalicelib.pipeline.reconcilers.evidence import Proof, find_proof, kept_events, kept_tasks
from chalicelib.pipeline.reconcilers.release_commands import advance
from chalicelib.store.due import schedule_at
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import change, commit

logger = logging.getLogger("slipway")

# Minutes that ECS may need to take a rollout back: ten for each move of the production and the test
# traffic of a Network Load Balancer ("Network Load Balancer resources for Amazon ECS blue/green
# deployments"), and the end of the tasks.
_WAY_BACK = 30
# The steps before a deployment begins.
_EARLY = {Step.BEGIN, Step.TAKE_BACK, Step.WAIT}


def deploy(
    service: Service, target: EcsTarget, active: Deployment, current: Deployment | None
) -> None:
    """One step of the active deployment."""
    wanted = active.task_definition if active.started_at is not None else None
    expected = wanted or definition_to_restore(service, current)
    try:
        rollout = ecs.observe(target, wanted=expected, moves=active.shift is not None)
    except Rejected as refusal:
        return _cannot_observe(service, active, refusal)
    if wanted is None:
        expected = definition_to_keep(service, current, rollout)
    origin = find_origin(service, rollout, expected, begun_at=active.started_at)
    situation = Situation(service, target, active, current, rollout, origin)
    now, own = clock.now(), own_shift(active, rollout)
    step = decide_active(
        wanted=wanted,
        rollout=rollout,
        origin=origin,
        now=now,
        deadline_at=deadline_in(own, active.shift, deadline_at=active.deadline_at, now=now),
        called_at=service.called_at,
        overrules=_overrules(service, active, rollout),
        expected=expected,
    )
    unapproved = why_unapproved(active, target, rollout, failed=step is Step.FAIL)
    if unapproved is not None:
        return fail_unapproved(service, active, rollout, unapproved)
    try:
        if wanted is None and _begins(situation, step, expected):
            return
        _roll_out(situation, step, expected)
    except Rejected as refusal:
        fail(service, active, refusal.detail)


def _begins(situation: Situation, step: Step, expected: str | None) -> bool:
    """Take the step of a deployment whose rollout has not begun. False if it is another one."""
    active = situation.active
    restored = restored_by_ecs(situation) if step in _EARLY else None
    if restored is not None:
        settled = settled_at(situation.service.called_at)
        if situation.rollout.shift is None and clock.now() < settled:
            # The call that began the rollout to take back may still be in flight.
            queue.wake(f"service-{situation.service.id}", delay=settled - clock.now())
            return False
        restore_by_ecs(situation, restored)
    elif step is Step.BEGIN and active.task_definition is None:
        begin(situation)
    elif step in {Step.BEGIN, Step.FAIL} and active.awaits_command:
        _await_command(situation, expected)
    else:
        return False
    return True


def _roll_out(situation: Situation, step: Step, expected: str | None) -> None:
    service, target, active = situation.service, situation.target, situation.active
    rollout, origin = situation.rollout, situation.origin
    if step is Step.TAKE_BACK and take_back(service, rollout):
        return
    if step is Step.TAKE_BACK and active.started_at is None:
        update_ecs(service, target, rollout, expected or "")
    elif step in {Step.TAKE_BACK, Step.UPDATE}:
        update_ecs(
            service,
            target,
            rollout,
            active.task_definition or "",
            desired_count=active.desired_count,
            approval=active.approval_minutes,
            goes_back=active.restores is not None,
        )
    elif step is Step.SUCCEED:
        _verify(service, target, active, situation.current, rollout)
    elif step is Step.FAIL:
        fail_rollout(service, target, active, rollout, _why_failed(service, active, rollout))
    elif step is Step.SUPERSEDE:
        _supersede(service, active, rollout)
    else:
        unknown = origin is Origin.UNKNOWN
        waits_for = follow_approval(active, target, rollout) or _going_back(active, rollout)
        waits_for = not_recorded(what_runs(service, rollout)) if unknown else waits_for
        _note_progress(service, target, active, rollout, waits_for=waits_for)
        judge_soon(service, origin)
        look_soon(service, rollout)


def _going_back(active: Deployment, rollout: Rollout) -> str | None:
    """What a deployment waits for while ECS takes the rollout of another one back."""
    shift = rollout.shift
    if shift is None or not shift.is_ending or shift.task_definition == active.task_definition:
        return None
    return f"ECS takes the rollout of {shift.task_definition} back"


def _cannot_observe(service: Service, active: Deployment, refusal: Rejected) -> None:
    """Denied access fails a rollout only before it starts."""
    if active.task_definition is None or refusal.code in NO_SERVICE:
        return fail(service, active, refusal.detail)
    wait(service, active, refusal.detail)


def _overrules(service: Service, active: Deployment, rollout: Rollout) -> bool:
    """Whether a deployment that has not begun is a decision after the choice of another party.

    An explicit one is if it was requested after the choice, and a push if auto-deploy was resumed
    since then. A change of the config never is: it chooses no image.
    """
    call = rollout.newest
    if active.started_at is not None or call is None or active.trigger == TRIGGER:
        return False
    resumed = service.chosen == call.arn and not service.auto_deploy_paused
    return call.at <= active.created_at and (active.trigger != "push" or resumed)


def _await_command(situation: Situation, expected: str | None) -> None:
    """One step of the release command, which may take long.

    First undo the rollout of an ended deployment. If AWS refuses that, the command runs anyway.
    """
    service, rollout = situation.service, situation.rollout
    idle = decide_idle(
        wanted=expected,
        rollout=rollout,
        origin=situation.origin,
        now=clock.now(),
        called_at=service.called_at,
    )
    if idle is Step.UPDATE:
        try:
            return update_ecs(service, situation.target, rollout, expected or "")
        except Rejected as refusal:
            logger.warning("service-%s is not restored: %s", service.id, refusal.detail)
    advance(situation)


def _supersede(service: Service, active: Deployment, rollout: Rollout) -> None:
    """End the deployment in favour of the choice of another party."""
    runs = what_runs(service, rollout)
    news = note_choice(service, rollout, runs, superseded=active.number)
    error = f"changed outside Slipway: {runs}"
    if active.trigger == TRIGGER:
        error += ". To release the config, deploy an image, which takes the config"
    shown = change(active, events=kept_events(active, rollout.events))
    end(service, active, DeploymentStatus.SUPERSEDED, error, shown, *news)


def _verify(
    service: Service,
    target: EcsTarget,
    active: Deployment,
    current: Deployment | None,
    rollout: Rollout,
) -> None:
    """End the deployment once its tasks prove it: ECS's word alone is not enough."""
    now = clock.now()
    # The first look may be a late one, for instance after an outage.
    ended_at = now if active.rolled_out_at is None else active.rolled_out_at
    overdue = now > max(active.deadline_at, ended_at + RECORDED)
    gives_up = overdue
    try:
        proof = find_proof(active, target, rollout, now=now, overdue=overdue)
    except (Rejected, Unavailable) as trouble:
        # The rollout has begun: AWS may answer later, and may allow the look then.
        proof = Proof(missing=trouble.detail)
        gives_up = now > max(active.deadline_at, ended_at + READABLE)
    if proof.missing is None:
        prove_approval(active)
        return succeed(service, active, current, rollout, proof)
    if gives_up:
        why = f"ECS has ended the rollout, but {proof.missing}"
        return fail_rollout(service, target, active, rollout, why, phase=Phase.VERIFY)
    missing = proof.missing[:1000]
    _note_progress(service, target, active, rollout, waits_for=missing, rolled_out_at=ended_at)
    soon = next_look(now, rollout.updated_at)
    if soon is not None:
        queue.wake(f"service-{service.id}", delay=soon - now)


def _why_failed(service: Service, active: Deployment, rollout: Rollout) -> str:
    task_definition = active.task_definition or ""
    if task_definition in rollout.failed:
        return rollout.failed[task_definition]
    if rollout.task_definition == task_definition and rollout.state == "FAILED":
        return rollout.reason or "ECS reports that the rollout failed"
    minutes = service.settings.deploy_minutes
    why = active.error or rollout.reason
    tasks = f"{rollout.running} of {rollout.desired} tasks run"
    if active.started_at is None:
        return f"not begun within {minutes} minutes (deploy_minutes): {why}"
    own = own_shift(active, rollout)
    if own is not None:
        minutes += minutes_in(own.configuration, own.stage)
        return f"the rollout has not moved for {minutes} minutes: {words_of(shown(own), tasks)}"
    bake = rolling_bake_of(rollout.configuration)
    if active.deadline_at - bake * 60 >= active.started_at + LONGEST * minutes * 60:
        return (
            f"not done after {LONGEST * minutes} minutes ({LONGEST} times deploy_minutes): {tasks}"
        )
    if bake:
        return f"{tasks}, and nothing has changed for {minutes + bake} minutes: {why}"
    return f"{tasks}, and no other has started for {minutes} minutes (deploy_minutes): {why}"


def _note_progress(
    service: Service,
    target: EcsTarget,
    active: Deployment,
    rollout: Rollout,
    *,
    waits_for: str | None = None,
    rolled_out_at: int | None = None,
) -> None:
    """Note how many tasks run, what else the deployment waits for, and ECS's end of it.

    What ECS said so far is noted, too, because ECS may not answer when a cancel or a rollback ends
    the deployment. New events are only a reason to write when the timer is written anyway.
    """
    now = clock.now()
    is_due = (service.due_at or 0) <= now
    # The tasks of another definition are no progress.
    runs = rollout.task_definition == active.task_definition
    before = active.progress
    own = own_shift(active, rollout)
    shift = shown(own) if own is not None else active.shift
    progress = _progress(active, rollout, shift) if runs else before
    counts = {"running_tasks": rollout.running, "desired_tasks": rollout.desired} if runs else {}
    noted = (active.progress, active.error, active.rolled_out_at, active.shift)
    recounted = any(getattr(active, name) != number for name, number in counts.items())
    events = kept_events(active, rollout.events) if active.started_at is not None else None
    has_news = is_due and events != active.events
    if recounted or has_news or noted != (progress, waits_for, rolled_out_at, shift):
        deadline_at = _later_deadline(
            service, active, rollout, progress=progress, waits_for=waits_for, now=now
        )
        moved = {"progress": progress, "deadline_at": deadline_at, "shift": shift}
        said = {"events": events, "task_arns": kept_tasks(active, target, rollout)}
        noted_at = {"error": waits_for, "waits": 0, "rolled_out_at": rolled_out_at}
        commit(change(active, **noted_at, **moved, **counts, **said))
    tasks = next_count(service.tasks, rollout)
    seen = {} if tasks == service.tasks else {"tasks": tasks}
    timer = schedule_at(now + PERIOD) if is_due else {}
    # Alone, and last: a transaction costs twice as much, and until then the service stays due.
    if seen or timer:
        commit(change(service, **seen, **timer))


def _later_deadline(
    service: Service,
    active: Deployment,
    rollout: Rollout,
    *,
    progress: int,
    waits_for: str | None,
    now: int,
) -> int:
    """The deadline after a look. It moves if the rollout has moved, or if ECS takes back another
    one first.
    """
    deadline_at, minutes = active.deadline_at, service.settings.deploy_minutes
    if progress > active.progress and active.started_at is not None:
        later = next_deadline(now=now, started_at=active.started_at, minutes=minutes)
        deadline_at = max(deadline_at, later + rolling_bake_of(rollout.configuration) * 60)
    if waits_for is not None and waits_for == _going_back(active, rollout) != active.error:
        deadline_at = max(deadline_at, now + (minutes + _WAY_BACK) * 60)
    own = own_shift(active, rollout)
    if own is not None and shown(own) != active.shift:
        # ECS has a time-out for each hook, and each stage moves on once: no second limit.
        minutes += minutes_in(own.configuration, own.stage)
        hook_until = own.open_hook.expires_at if own.open_hook is not None else None
        deadline_at = max(now, hook_until or 0) + minutes * 60
    return deadline_at


def _progress(active: Deployment, rollout: Rollout, shift: ShownShift | None) -> int:
    running, desired, before = rollout.running, rollout.desired, active.progress
    if shift is None:
        return deploy_progress(running, desired, before)
    return progress_of(shift, running=running, desired=desired, previous=before)


def wait(service: Service, active: Deployment | None, reason: str) -> None:
    """Try again later, with a growing delay. The deployment shows the reason."""
    now = clock.now()
    if active is None:
        return commit(change(service, **schedule_at(now + PERIOD)))
    if now > active.deadline_at + SILENCE:
        error = f"the deadline has passed, and AWS does not answer: {reason}"
        return fail(service, active, error)
    delay = min(PERIOD, 10 * 2 ** min(active.waits, 5)) * random.uniform(0.8, 1.2)
    commit(
        change(active, waits=active.waits + 1, error=reason[:1000]),
        change(service, **schedule_at(now + round(delay))),
    )
