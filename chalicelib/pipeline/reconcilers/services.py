"""Services: making ECS run the right task definition, one step at a time.

ECS should run the definition of the active deployment, otherwise that of the current release.
Cancel, failure and rollback only change which deployment is active; this loop does the rest.
What another party makes ECS run stays until somebody deploys or rolls back explicitly.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib import clock
from chalicelib.aws import ecs
from chalicelib.correlation import note
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.health import GRACE, Health, TaskCount, next_count, next_health
from chalicelib.domain.rollouts import Origin, Rollout, Step, decide_idle
from chalicelib.domain.statuses import has_ended
from chalicelib.domain.timing import PERIOD, SILENCE, WATCH
from chalicelib.errors import Rejected, Stale, Unavailable
from chalicelib.pipeline.preflight import NO_SERVICE
from chalicelib.pipeline.reconcilers.checks import follow_checks
from chalicelib.pipeline.reconcilers.deployments import deploy, wait
from chalicelib.pipeline.reconcilers.ecs_changes import (
    definition_to_keep,
    definition_to_restore,
    drift_of,
    find_origin,
    judge_soon,
    look_soon,
    not_recorded,
    note_choice,
    take_back,
    update_ecs,
    what_runs,
)
from chalicelib.pipeline.reconcilers.ends import fail, note_health
from chalicelib.pipeline.reconcilers.evidence import find_crash
from chalicelib.pipeline.reconcilers.release_commands import stop_leftover
from chalicelib.pipeline.restoring import rollback_trouble
from chalicelib.store.due import due_by, schedule_at, unschedule
from chalicelib.store.jobs import find_deployments
from chalicelib.store.models import Deployment, Service
from chalicelib.store.reports import facts_of
from chalicelib.store.services import find_service
from chalicelib.store.writes import Write, change, commit


def reconcile_service(number: int) -> None:
    """Take the next step of a service.

    Several workers may call this at any time, any number of times. Raises Stale if another worker
    has changed a row.
    """
    service = find_service(number)
    if service is None:
        return
    rows = find_deployments(service.active, service.current, service.command, service.checking)
    active, current = rows.get(service.active), rows.get(service.current)
    checking = rows.get(service.checking)
    note(service_id=number)
    if active is not None:
        note(**facts_of(active))
    target = service.settings.ecs_target
    if any(each is not None and has_ended(each.status) for each in (active, checking)):
        raise Stale(f"service {number} was read before its deployment ended")
    if checking is not None and checking.checks is None:
        raise Stale(f"service {number} was read before its deployment began after the checks")
    if checking is not None and follow_checks(service, checking):
        return
    stop_leftover(service, rows.get(service.command))
    if target is None and active is not None:
        return fail(service, active, "the service has no ECS target any more")
    idle = active is None and current is None and service.baseline is None
    if idle or service.deleted_at is not None or target is None:
        goes_on = service.command is not None or service.checking is not None
        timer = schedule_at(clock.now() + PERIOD) if goes_on else unschedule()
        return commit(change(service, **timer))
    try:
        if active is not None:
            deploy(service, active.target or target, active, current)
        else:
            _keep(service, target, current)
    except Unavailable as trouble:
        wait(service, active, trouble.detail)


def reconcile_deployment(number: int) -> None:
    """Take the next step of the service that a deployment belongs to."""
    deployment = find_deployments(number).get(number)
    if deployment is not None:
        reconcile_service(deployment.service_id)


def _keep(service: Service, target: EcsTarget, current: Deployment | None) -> None:
    """One step without an active deployment: ECS should run the baseline or current release."""
    called_at = service.called_at
    try:
        rollout = ecs.observe(target, wanted=definition_to_restore(service, current))
        _keep_step(service, target, current, rollout)
    except Rejected as refusal:
        _cannot_keep(service, refusal, called_at)


def _cannot_keep(service: Service, refusal: Rejected, called_at: int | None) -> None:
    """AWS refuses to show the service or to run the definition: show the reason and try again.

    Keep the earlier `called_at`: the rollout of an ended deployment may still continue, and is
    undone later. The refused call had no effect, so its time is not kept.
    """
    now = clock.now()
    if refusal.code in NO_SERVICE:
        return _watch(service, refusal.detail, tasks=None, health=None)
    if called_at is None or now - called_at > SILENCE:
        seen: dict[str, Any] = {"tasks": service.tasks, "health": service.health}
        return _watch(service, refusal.detail, **seen, called_at=called_at)
    commit(
        change(service, drift=refusal.detail, called_at=called_at, **due_by(service, now + PERIOD))
    )


def _keep_step(
    service: Service, target: EcsTarget, current: Deployment | None, rollout: Rollout
) -> None:
    now, tasks = clock.now(), next_count(service.tasks, rollout)
    wanted = definition_to_keep(service, current, rollout)
    origin = find_origin(service, rollout, wanted)
    step = decide_idle(
        wanted=wanted,
        rollout=rollout,
        origin=origin,
        now=now,
        called_at=service.called_at,
    )
    if step is Step.TAKE_BACK and take_back(service, rollout):
        return
    if step in {Step.TAKE_BACK, Step.UPDATE}:
        update_ecs(service, target, rollout, wanted or "")
    elif step is Step.SHOW_DRIFT:
        runs = what_runs(service, rollout)
        news = note_choice(service, rollout, runs)
        _watch(service, drift_of(service, rollout), tasks=tasks, health=None, news=news)
    elif step is Step.SHOW_FAILURE:
        why = rollout.failed.get(wanted or "") or rollout.reason
        shown = f"ECS cannot run {wanted} any more: {why}"
        _watch(service, shown, tasks=tasks, health=None)
    elif step is Step.WATCH and current is not None and wanted != current.task_definition:
        _watch(service, drift_of(service, rollout), tasks=tasks, health=None)
    elif step is Step.WATCH:
        _watch_release(service, target, current, rollout)
    elif step is Step.WAIT and origin is Origin.UNKNOWN:
        shown = not_recorded(what_runs(service, rollout))
        called_at = service.called_at
        _watch(service, shown, tasks=tasks, health=None, every=PERIOD, called_at=called_at)
    elif step is Step.WAIT:
        if timer := due_by(service, now + PERIOD):
            commit(change(service, **timer))
        judge_soon(service, origin)
        look_soon(service, rollout)


def _watch_release(
    service: Service, target: EcsTarget, current: Deployment | None, rollout: Rollout
) -> None:
    """Look at the tasks of what ECS should run, and look again soon while some are missing.

    Another party may have started a new rollout of the same definition.
    """
    now, is_moving = clock.now(), rollout.state == "IN_PROGRESS"
    health = None
    if current is not None:
        before = service.health
        missing = rollout.all_running < rollout.all_desired
        since = max(current.finished_at or 0, (before.since if before else now) - GRACE)
        health = next_health(
            before,
            running=rollout.all_running,
            desired=rollout.all_desired,
            why=find_crash(current, target, since=since) if missing else None,
            now=now,
        )
    _watch(
        service,
        None,
        tasks=next_count(service.tasks, rollout),
        health=health,
        every=PERIOD if health is not None or is_moving else WATCH,
        released=current is not None and not is_moving,
        readiness=rollback_trouble(service, current) if current is not None else {},
        called_at=service.called_at if is_moving else None,
        news=note_health(
            service,
            health,
            release=service.current,
            running=rollout.all_running,
            desired=rollout.all_desired,
        ),
    )


def _watch(
    service: Service,
    drift: str | None,
    *,
    tasks: TaskCount | None,
    health: Health | None,
    every: int = WATCH,
    released: bool = False,
    readiness: Mapping[str, Any] | None = None,
    called_at: int | None = None,
    news: Sequence[Write] = (),
) -> None:
    """Show drift and tasks, and look again later. Forget the baseline if the release runs.

    `health` is None also while ECS runs something else than the release. `readiness` has the
    attributes of `rollback_trouble`. `news` are writes that belong to what is shown.
    """
    now = clock.now()
    if service.command is not None or service.checking is not None:
        every = PERIOD
    forget = released and service.baseline is not None
    state = {"drift": drift, "called_at": called_at, "health": health, "tasks": tasks}
    state |= readiness or {}
    known = not forget and all(getattr(service, name) == each for name, each in state.items())
    if known and not news and (service.due_at or 0) > now:
        return
    baseline: dict[str, Any] = {"baseline": None} if forget else {}
    commit(change(service, attention=None, **state, **baseline, **schedule_at(now + every)), *news)
