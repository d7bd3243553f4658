"""Services: making ECS run the right task definition, one step at a time.

ECS should run the definition of the active deployment, otherwise that of the current release.
Cancel, failure and rollback only change which deployment is active; this loop does the rest.
What another party makes ECS run stays until somebody deploys or rolls back explicitly.
"""

import random
from collections.abc import Sequence
from typing import Any

from chalicelib import clock
from chalicelib.aws import ecs, queue
from chalicelib.domain.definitions import (
    fingerprint,
    next_task_definition,
    same_task_definition,
)
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.failures import Failure, Phase, one_line
from chalicelib.domain.health import GRACE, Health, next_health
from chalicelib.domain.lag import next_look
from chalicelib.domain.log_text import clean_text
from chalicelib.domain.preflight import Finding, Release, errors_as_text, has_errors
from chalicelib.domain.progress import deploy_progress
from chalicelib.domain.release_receipts import sealed
from chalicelib.domain.releases import rollback_target
from chalicelib.domain.requests import update_service_request
from chalicelib.domain.rollouts import (
    LONGEST,
    Origin,
    Rollout,
    Step,
    decide_active,
    decide_idle,
    next_deadline,
    origin_of,
    settled_at,
)
from chalicelib.domain.statuses import DeploymentStatus, has_ended
from chalicelib.domain.timing import PERIOD, READABLE, RECORDED, SILENCE, WATCH
from chalicelib.errors import Rejected, Stale, Unavailable
from chalicelib.known_secrets import known_secrets
from chalicelib.pipeline.preflight import NO_SERVICE, Look, check, look_at_image
from chalicelib.pipeline.reconcilers.rollout_ends import (
    Proof,
    find_crash,
    find_proof,
    find_rollout_failure,
)
from chalicelib.store.definitions import keep_definition, kept_definition, registered_for
from chalicelib.store.due import schedule_at, unschedule
from chalicelib.store.history import record
from chalicelib.store.jobs import find_deployments, finish, stored_findings, transition
from chalicelib.store.models import Deployment, Service
from chalicelib.store.release_receipts import keep_release_receipt
from chalicelib.store.services import activate_waiting, find_service
from chalicelib.store.writes import Write, change, commit

# Seconds between recording a call and making it. A slower worker must decide again: another worker
# may have rolled out the same definition and seen it fail.
_MAX_CALL_DELAY = 5


def reconcile_service(number: int) -> None:
    """Take the next step of a service.

    Several workers may call this at any time, any number of times. Raises Stale if another worker
    has changed a row.
    """
    service = find_service(number)
    if service is None:
        return
    rows = find_deployments(service.active, service.current)
    active, current = rows.get(service.active), rows.get(service.current)
    target = service.settings.ecs_target
    if active is not None and has_ended(active.status):
        raise Stale(f"service {number} was read before its active deployment ended")
    if target is None and active is not None:
        return _fail(service, active, "the service has no ECS target any more")
    idle = active is None and current is None and service.baseline is None
    if idle or service.deleted_at is not None or target is None:
        return commit(change(service, **unschedule()))
    try:
        if active is not None:
            _deploy(service, active.target or target, active, current)
        else:
            _keep(service, target, current)
    except Unavailable as trouble:
        _wait(service, active, trouble.detail)


def reconcile_deployment(number: int) -> None:
    """Take the next step of the service that a deployment belongs to."""
    deployment = find_deployments(number).get(number)
    if deployment is not None:
        reconcile_service(deployment.service_id)


def _deploy(
    service: Service, target: EcsTarget, active: Deployment, current: Deployment | None
) -> None:
    """One step of the active deployment."""
    expected = active.task_definition or _restored(service, current)
    try:
        rollout = ecs.observe(target, wanted=expected)
    except Rejected as refusal:
        return _cannot_observe(service, active, refusal)
    if active.task_definition is None:
        expected = _kept(service, current, rollout)
    begun_at = active.started_at if active.task_definition is not None else None
    origin = _origin(service, rollout, expected, begun_at=begun_at)
    step = decide_active(
        wanted=active.task_definition,
        rollout=rollout,
        origin=Origin.SLIPWAY if _overrules(service, active, rollout) else origin,
        now=clock.now(),
        deadline_at=active.deadline_at,
        called_at=service.called_at,
    )
    try:
        if step is Step.BEGIN:
            _begin(service, target, active, current, rollout, origin)
        elif step is Step.UPDATE:
            _update(service, target, rollout, active.task_definition or "")
        elif step is Step.SUCCEED:
            _verify(service, target, active, current, rollout)
        elif step is Step.FAIL:
            why = _why_failed(service, active, rollout)
            _fail_rollout(service, target, active, rollout, why)
        elif step is Step.SUPERSEDE:
            _supersede(service, active, rollout)
        else:
            _note_progress(service, active, rollout)
            _judge_soon(service, origin)
    except Rejected as refusal:
        _fail(service, active, refusal.detail)


def _cannot_observe(service: Service, active: Deployment, refusal: Rejected) -> None:
    """Denied access fails a rollout only before it starts."""
    if active.task_definition is None or refusal.code in NO_SERVICE:
        return _fail(service, active, refusal.detail)
    _wait(service, active, refusal.detail)


def _keep(service: Service, target: EcsTarget, current: Deployment | None) -> None:
    """One step without an active deployment: ECS should run the baseline or current release."""
    called_at = service.called_at
    try:
        rollout = ecs.observe(target, wanted=_restored(service, current))
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
        return _watch(service, refusal.detail, health=None)
    if called_at is None or now - called_at > SILENCE:
        return _watch(service, refusal.detail, health=service.health, called_at=called_at)
    commit(change(service, drift=refusal.detail, called_at=called_at, **schedule_at(now + PERIOD)))


def _restored(service: Service, current: Deployment | None) -> str | None:
    """The definition that Slipway restores without an active deployment, if ECS runs another."""
    return service.baseline or (current.task_definition if current else None)


def _kept(service: Service, current: Deployment | None, rollout: Rollout) -> str | None:
    """The definition that ECS should run without an active deployment.

    If ECS runs the release, keep it, even if the baseline is another definition: the owner has
    chosen the release again.
    """
    release = current.task_definition if current else None
    back = release is not None and rollout.task_definition == release
    return release if back else _restored(service, current)


def _keep_step(
    service: Service, target: EcsTarget, current: Deployment | None, rollout: Rollout
) -> None:
    now = clock.now()
    wanted = _kept(service, current, rollout)
    origin = _origin(service, rollout, wanted)
    step = decide_idle(
        wanted=wanted,
        rollout=rollout,
        origin=origin,
        now=now,
        called_at=service.called_at,
    )
    if step is Step.UPDATE:
        _update(service, target, rollout, wanted or "")
    elif step is Step.SHOW_DRIFT:
        runs = _runs(service, rollout)
        _watch(service, _drift(runs), health=None, news=_note_choice(service, rollout, runs))
    elif step is Step.SHOW_FAILURE:
        why = rollout.failed.get(wanted or "") or rollout.reason
        _watch(service, f"ECS cannot run {wanted} any more: {why}", health=None)
    elif step is Step.WATCH and current is not None and wanted != current.task_definition:
        _watch(service, _drift(_runs(service, rollout)), health=None)
    elif step is Step.WATCH:
        _watch_release(service, target, current, rollout)
    elif step is Step.WAIT:
        if not now < (service.due_at or 0) <= now + PERIOD:
            commit(change(service, **schedule_at(now + PERIOD)))
        _judge_soon(service, origin)


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
        health=health,
        every=PERIOD if health is not None or is_moving else WATCH,
        released=current is not None and not is_moving,
        called_at=service.called_at if is_moving else None,
        news=_note_health(service, health),
    )


def _note_health(service: Service, health: Health | None) -> list[Write]:
    """The audit entry when tasks of the release have been missing, and when that is over."""
    reported = service.health is not None and service.health.reported
    if reported == (health is not None and health.reported):
        return []
    shown = health or service.health
    return [
        record(
            f"service-{service.id}",
            "service.recovered" if reported else "service.unhealthy",
            at=clock.now(),
            actor="ecs",
            project_id=service.project_id,
            service_id=service.id,
            deployment_id=service.current,
            running=shown and shown.running,
            desired=shown and shown.desired,
            since=shown and shown.since,
            why=shown and shown.why,
        )
    ]


def _judge_soon(service: Service, origin: Origin) -> None:
    """Look at the choice of another party as soon as no call of Slipway can be in flight any more.

    The schedule alone would show it, and pause auto-deploy, up to a minute later.
    """
    if origin is Origin.OUTSIDE:
        delay = max(0, settled_at(service.called_at) - clock.now())
        queue.wake(f"service-{service.id}", delay=delay)


def _watch(
    service: Service,
    drift: str | None,
    *,
    health: Health | None,
    every: int = WATCH,
    released: bool = False,
    called_at: int | None = None,
    news: Sequence[Write] = (),
) -> None:
    """Show drift and missing tasks, and look again later. Forget the baseline if the release runs.

    `health` is None also while ECS runs something else than the release. `news` are writes that
    belong to what is shown.
    """
    now = clock.now()
    forget = released and service.baseline is not None
    shown = (service.drift, service.called_at, service.health) == (drift, called_at, health)
    known = shown and not forget
    if known and not news and (service.due_at or 0) > now:
        return
    baseline: dict[str, Any] = {"baseline": None} if forget else {}
    state = {"drift": drift, "called_at": called_at, "health": health, "attention": None}
    commit(change(service, **state, **baseline, **schedule_at(now + every)), *news)


def _origin(
    service: Service, rollout: Rollout, wanted: str | None, *, begun_at: int | None = None
) -> Origin:
    """Who made ECS run what it runs instead of `wanted`."""
    call = rollout.newest
    is_other = call is not None and wanted not in {rollout.task_definition, call.task_definition}
    called = _deployment_of(service, call.task_definition) if call and is_other else None
    restores = call is not None and call.task_definition == service.baseline
    return origin_of(
        rollout,
        wanted=wanted,
        by_slipway=called is not None or restores,
        called_at=service.called_at,
        ended_at=called.finished_at if called else None,
        begun_at=begun_at,
    )


def _runs(service: Service, rollout: Rollout) -> str:
    """What ECS runs, as text."""
    deployment = _deployment_of(service, rollout.task_definition)
    of = f" of deployment {deployment.number}" if deployment else ""
    return f"ECS runs {rollout.task_definition}{of}"


def _drift(runs: str) -> str:
    """The drift of a service whose ECS service another party changed."""
    return f"{runs}, which was chosen outside Slipway"


def _overrules(service: Service, active: Deployment, rollout: Rollout) -> bool:
    """Whether a deployment that has not begun is a decision after the choice of another party.

    An explicit one is if it was requested after the choice. A push is if auto-deploy was resumed
    since then.
    """
    call = rollout.newest
    if active.task_definition is not None or call is None:
        return False
    resumed = service.chosen == call.arn and not service.auto_deploy_paused
    return call.at <= active.created_at and (active.trigger != "push" or resumed)


def _supersede(service: Service, active: Deployment, rollout: Rollout) -> None:
    """End the deployment in favour of the choice of another party."""
    runs = _runs(service, rollout)
    news = _note_choice(service, rollout, runs, superseded=active.number)
    error = f"changed outside Slipway: {runs}"
    _end(service, active, DeploymentStatus.SUPERSEDED, error, *news)


def _note_choice(
    service: Service, rollout: Rollout, runs: str, *, superseded: int | None = None
) -> list[Write]:
    """The pause of auto-deploy and the audit entry for a new choice of another party.

    Empty if the choice is known. ECS does not say who made it.
    """
    call = rollout.newest
    if call is None or service.chosen == call.arn:
        return []
    pause = (
        f"the ECS service was changed outside Slipway: {runs}; "
        'deploy or roll back explicitly, or resume with PATCH {"auto_deploy": true}'
    )
    return [
        change(service, chosen=call.arn, auto_deploy_paused=pause),
        record(
            f"service-{service.id}",
            "service.changed_outside",
            at=clock.now(),
            actor="outside",
            project_id=service.project_id,
            service_id=service.id,
            task_definition=rollout.task_definition,
            service_deployment=call.arn,
            superseded=superseded,
        ),
    ]


def _begin(
    service: Service,
    target: EcsTarget,
    active: Deployment,
    current: Deployment | None,
    rollout: Rollout,
    origin: Origin,
) -> None:
    """Register a task definition for the deployment, record it, and only then roll it out."""
    content, source = _content(active, rollout)
    findings = _preflight(target, active, rollout, content, source)
    if has_errors(findings):
        shown = change(active, findings=stored_findings(findings))
        return _fail(service, active, errors_as_text(findings), shown)
    request = _request(target, active, content)
    arn = ecs.register_task_definition(request)
    now = clock.now()
    commit(
        transition(
            active,
            DeploymentStatus.DEPLOYING,
            task_definition=arn,
            fingerprint=fingerprint(request),
            started_at=now,
            deadline_at=now + service.settings.deploy_minutes * 60,
            progress=deploy_progress(0, 1, active.progress),
            error=None,
            waits=0,
            findings=stored_findings(findings),
        ),
        change(
            service,
            called_at=now,
            drift=None,
            **_way_back(service, current, rollout, origin),
            **schedule_at(now + PERIOD),
        ),
        keep_definition(arn, request, owner=active.job_id),
    )
    _call_update(service, target, rollout, arn, called_at=now)


def _content(active: Deployment, rollout: Rollout) -> tuple[dict[str, Any], str]:
    """The definition that a deployment starts from, and its ARN: of what runs, or of the release
    that a rollback restores.

    The revision of the restored release is not used: other parties may have deregistered it.
    """
    if active.restores is None:
        return ecs.describe_task_definition(rollout.task_definition), rollout.task_definition
    arn = find_deployments(active.restores)[active.restores].task_definition or ""
    return kept_definition(arn) or ecs.describe_task_definition(arn), arn


def _request(target: EcsTarget, active: Deployment, content: dict[str, Any]) -> dict[str, Any]:
    """The RegisterTaskDefinition request; a rollback repeats that of the release it restores."""
    tags = content.get("tags", [])
    if active.restores is None:
        return next_task_definition(
            content, container=target.container, image=active.image, tags=tags
        )
    return same_task_definition(content, tags=tags)


def _preflight(
    target: EcsTarget, active: Deployment, rollout: Rollout, content: dict[str, Any], source: str
) -> tuple[Finding, ...]:
    """The findings right before the rollout. Raises Unavailable if AWS does not answer."""
    look = Look(waits=True)
    repository, digest = active.image_repository, active.image_digest or ""
    container = target.container if active.restores is None else None
    return check(
        look,
        Release(repository, digest, container, content),
        service=rollout,
        image=look_at_image(look, repository, digest),
        arn=source,
    )


def _way_back(
    service: Service, current: Deployment | None, rollout: Rollout, origin: Origin
) -> dict[str, str | None]:
    """The baseline to restore if the deployment fails.

    It is the definition that ECS runs now, if another party chose it. It is None if ECS runs the
    current release. Otherwise it does not change.
    """
    runs = rollout.task_definition
    if current is not None and runs == current.task_definition:
        return {"baseline": None}
    first = current is None and service.baseline is None
    return {"baseline": runs} if first or origin is Origin.OUTSIDE else {}


def _update(service: Service, target: EcsTarget, rollout: Rollout, task_definition: str) -> None:
    now = clock.now()
    commit(change(service, called_at=now, **schedule_at(now + PERIOD)))
    _call_update(service, target, rollout, task_definition, called_at=now)


def _call_update(
    service: Service, target: EcsTarget, rollout: Rollout, task_definition: str, *, called_at: int
) -> None:
    if clock.now() - called_at > _MAX_CALL_DELAY:
        raise Stale(f"service {service.id} was not updated in time and may have changed")
    ecs.update_service(
        update_service_request(
            target,
            task_definition=task_definition,
            deployment_configuration=rollout.configuration,
        )
    )


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
        return _succeed(service, active, current, proof)
    if gives_up:
        why = f"ECS has ended the rollout, but {proof.missing}"
        return _fail_rollout(service, target, active, rollout, why, phase=Phase.VERIFY)
    _note_progress(service, active, rollout, waits_for=proof.missing[:1000], rolled_out_at=ended_at)
    soon = next_look(now, rollout.updated_at)
    if soon is not None:
        queue.wake(f"service-{service.id}", delay=soon - now)


def _succeed(
    service: Service, active: Deployment, current: Deployment | None, proof: Proof
) -> None:
    """End the deployment, make it current, and activate the waiting one, in one transaction.

    The transaction also writes the receipt, which names the receipt before it.
    """
    now = clock.now()
    receipt = sealed({**_facts(active), **proof.evidence}, service.receipt)
    left = service.moved_from if current is None else None
    rows = find_deployments(active.restores, left)
    before = current or rows.get(left)
    back_to = rollback_target(active, replaced=before, restored=rows.get(active.restores))
    replaced = current.number if current is not None else None
    resumed: dict[str, Any] = {"auto_deploy_paused": None} if active.trigger == "manual" else {}
    commit(
        finish(
            active,
            DeploymentStatus.SUCCESS,
            at=now,
            rollback_to=back_to,
            replaced=replaced,
            warnings="\n".join(proof.evidence["warnings"]) or None,
        ),
        *activate_waiting(service, _waiting(service), at=now),
        change(
            service,
            current=active.number,
            baseline=None,
            drift=None,
            health=None,
            receipt={"deployment_id": active.number, "hash": receipt["hash"]},
            **resumed,
        ),
        keep_release_receipt(active.number, receipt),
        *_note_health(service, None),
        *_mark_left(active, current),
    )
    queue.wake(f"service-{service.id}")


def _facts(active: Deployment) -> dict[str, Any]:
    """The part of a receipt that comes from the deployment."""
    names = (
        "service_id",
        "project_id",
        "image",
        "image_digest",
        "build_id",
        "commit_sha",
        "task_definition",
        "fingerprint",
        "restores",
        "created_at",
        "started_at",
    )
    facts = {name: getattr(active, name) for name in names}
    target = active.target
    return {
        "deployment_id": active.number,
        **facts,
        "ecs_cluster": target and target.cluster,
        "ecs_service": target and target.service,
    }


def _mark_left(active: Deployment, current: Deployment | None) -> list[Write]:
    """A successful rollback marks the release that it left."""
    if current is None or active.restores in {None, current.number}:
        return []
    if current.status != DeploymentStatus.SUCCESS:
        return []
    return [transition(current, DeploymentStatus.ROLLED_BACK)]


def _waiting(service: Service) -> Deployment | None:
    return find_deployments(service.waiting).get(service.waiting)


def _fail(service: Service, active: Deployment, reason: str, *more: Write) -> None:
    """End the active deployment with a reason that needs no look at ECS."""
    begun = active.task_definition is not None
    failure = Failure(phase=Phase.ROLL_OUT if begun else Phase.BEGIN, summary=one_line(reason))
    _end(service, active, DeploymentStatus.FAILED, reason, *more, failure=failure)


def _fail_rollout(
    service: Service,
    target: EcsTarget,
    active: Deployment,
    rollout: Rollout,
    reason: str,
    *,
    phase: Phase = Phase.ROLL_OUT,
) -> None:
    """End the active deployment with the cause that ECS shows."""
    if active.task_definition is None:
        return _fail(service, active, reason)
    reason = clean_text(reason, known_secrets())
    failure = find_rollout_failure(active, target, rollout, reason, phase=phase)
    known = failure.summary == one_line(reason)
    error = reason if known else f"{failure.summary} ({reason})"
    _end(service, active, DeploymentStatus.FAILED, error, failure=failure)


def _end(
    service: Service,
    active: Deployment,
    status: DeploymentStatus,
    error: str,
    *more: Write,
    failure: Failure | None = None,
) -> None:
    """End the active deployment without a success, and activate the waiting one."""
    now = clock.now()
    why: dict[str, Any] = {"failure": failure} if failure is not None else {}
    commit(
        finish(active, status, at=now, error=error, **why),
        *activate_waiting(service, _waiting(service), at=now),
        *more,
    )
    queue.wake(f"service-{service.id}")


def _why_failed(service: Service, active: Deployment, rollout: Rollout) -> str:
    task_definition = active.task_definition or ""
    if task_definition in rollout.failed:
        return rollout.failed[task_definition]
    if rollout.task_definition == task_definition and rollout.state == "FAILED":
        return rollout.reason or "ECS reports that the rollout failed"
    minutes = service.settings.deploy_minutes
    why = active.error or rollout.reason
    if active.started_at is None:
        return f"not begun within {minutes} minutes (deploy_minutes): {why}"
    tasks = f"{rollout.running} of {rollout.desired} tasks are healthy"
    if active.deadline_at >= active.started_at + LONGEST * minutes * 60:
        return (
            f"not done after {LONGEST * minutes} minutes ({LONGEST} times deploy_minutes): {tasks}"
        )
    return f"{tasks}, and no other became healthy for {minutes} minutes (deploy_minutes): {why}"


def _note_progress(
    service: Service,
    active: Deployment,
    rollout: Rollout,
    *,
    waits_for: str | None = None,
    rolled_out_at: int | None = None,
) -> None:
    """Note how many tasks are healthy, what else the deployment waits for, and ECS's end of it."""
    now = clock.now()
    # The tasks of another definition are no progress.
    runs = rollout.task_definition == active.task_definition
    before = active.progress
    progress = deploy_progress(rollout.running, rollout.desired, before) if runs else before
    writes = []
    noted = (active.progress, active.error, active.rolled_out_at)
    if noted != (progress, waits_for, rolled_out_at):
        deadline_at = active.deadline_at
        if progress > before and active.started_at is not None:
            minutes = service.settings.deploy_minutes
            later = next_deadline(now=now, started_at=active.started_at, minutes=minutes)
            deadline_at = max(deadline_at, later)
        moved = {"progress": progress, "deadline_at": deadline_at}
        writes.append(
            change(active, error=waits_for, waits=0, rolled_out_at=rolled_out_at, **moved)
        )
    if (service.due_at or 0) <= now:
        writes.append(change(service, **schedule_at(now + PERIOD)))
    if writes:
        commit(*writes)


def _wait(service: Service, active: Deployment | None, reason: str) -> None:
    """Try again later, with a growing delay. The deployment shows the reason."""
    now = clock.now()
    if active is None:
        return commit(change(service, **schedule_at(now + PERIOD)))
    if now > active.deadline_at + SILENCE:
        error = f"the deadline has passed, and AWS does not answer: {reason}"
        return _fail(service, active, error)
    delay = min(PERIOD, 10 * 2 ** min(active.waits, 5)) * random.uniform(0.8, 1.2)
    commit(
        change(active, waits=active.waits + 1, error=reason[:1000]),
        change(service, **schedule_at(now + round(delay))),
    )


def _deployment_of(service: Service, task_definition: str) -> Deployment | None:
    """The deployment of this service that a task definition was registered for."""
    job_id = registered_for(task_definition)
    if job_id is None:
        return None
    number = int(job_id.rpartition("-")[2])
    deployment = find_deployments(number).get(number)
    is_own = deployment is not None and deployment.service_id == service.id
    return deployment if is_own else None
