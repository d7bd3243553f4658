"""Services: making ECS run what each should, one step at a time.

What is wanted is the definition of the deployment that holds the slot, else that of the current
release. Cancel, failure, pre-emption and rollback only change the slot; this loop does the rest.
"""

import random

from chalicelib import clock
from chalicelib.aws import ecr, ecs, queue
from chalicelib.domain.definitions import fingerprint, next_task_definition
from chalicelib.domain.progress import deploy_progress
from chalicelib.domain.releases import rollback_target
from chalicelib.domain.requests import update_service_request
from chalicelib.domain.rollouts import Rollout, Step, decide_deploying, decide_idle
from chalicelib.domain.statuses import DeploymentStatus, has_ended
from chalicelib.domain.timing import PERIOD, SILENCE, SLOW, WATCH
from chalicelib.errors import Lost, Rejected, Unavailable
from chalicelib.store.claims import owner_of, take
from chalicelib.store.due import look_again, rest
from chalicelib.store.jobs import become, end, find_deployments
from chalicelib.store.models import Deployment, Service
from chalicelib.store.moves import Action, Move, change, commit
from chalicelib.store.services import find_service, hand_over

# What ECS says where there is nothing that could run anything of ours.
_NOTHING_RUNS = {"ecs_service_missing", "ecs_controller_unsupported", "ClusterNotFoundException"}
# Seconds from a claim to its call. A worker that was held up looks again: by now another may have
# rolled the same out, and seen it fail.
_PROMPTLY = 5


def reconcile_service(number: int) -> None:
    """Take the next step of a service, whatever happened before.

    Safe at any time, any number of times, by several workers at once. Raises Lost when
    somebody else moved a row meanwhile.
    """
    service = find_service(number)
    if service is None:
        return
    rows = find_deployments(service.deploying, service.current)
    holder, current = rows.get(service.deploying), rows.get(service.current)
    if holder is not None and has_ended(holder.status):
        raise Lost(f"the slot of service {number} has moved on since it was read")
    if service.ecs_service is None and holder is not None:
        return _fail(service, holder, "the service has no ECS target any more")
    idle = holder is None and current is None and service.baseline is None
    if idle or service.deleted_at is not None or service.ecs_service is None:
        return commit(change(service, *rest()))
    try:
        if holder is not None:
            _deploy(service, holder, current)
        else:
            _keep(service, current)
    except Unavailable as trouble:
        _wait(service, holder, trouble.detail)


def reconcile_deployment(number: int) -> None:
    """Take the next step of the service that a deployment is for."""
    deployment = find_deployments(number).get(number)
    if deployment is not None:
        reconcile_service(deployment.service_id)


def _deploy(service: Service, holder: Deployment, current: Deployment | None) -> None:
    """One step for the deployment that holds the slot."""
    try:
        rollout = _observe(service, wanted=holder.task_definition)
    except Rejected as refusal:
        return _cannot_look(service, holder, refusal)
    step = decide_deploying(
        wanted=holder.task_definition,
        rollout=rollout,
        now=clock.now(),
        deadline_at=holder.deadline_at,
    )
    try:
        if step is Step.BEGIN:
            _begin(service, holder, current, rollout)
        elif step is Step.UPDATE:
            _update(service, rollout, holder.task_definition or "")
        elif step is Step.SUCCEED:
            _succeed(service, holder, current)
        elif step is Step.FAIL:
            _fail(service, holder, _why_failed(holder, rollout))
        else:
            _note_progress(service, holder, rollout)
    except Rejected as refusal:
        _fail(service, holder, refusal.detail)


def _cannot_look(service: Service, holder: Deployment, refusal: Rejected) -> None:
    """Nothing that is rolling out is ended because nobody may look; what was never begun is."""
    if holder.task_definition is None or refusal.code in _NOTHING_RUNS:
        return _fail(service, holder, refusal.detail)
    _wait(service, holder, refusal.detail)


def _keep(service: Service, current: Deployment | None) -> None:
    """One step while nothing is under way: ECS should run what ran before, or the release."""
    release = current.task_definition if current else None
    claimed_at = service.claimed_at
    try:
        rollout = _observe(service, wanted=service.baseline or release)
        _keep_step(service, release, rollout)
    except Rejected as refusal:
        _cannot_keep(service, refusal, claimed_at)


def _cannot_keep(service: Service, refusal: Rejected, claimed_at: int | None) -> None:
    """AWS lets nobody look, or refuses what should run: it is shown, and tried again.

    A rollout of an ended deployment that may be under way since `claimed_at` is not forgotten for a
    while. The refused call had no effect, so it does not count as a claim.
    """
    now = clock.now()
    if refusal.code in _NOTHING_RUNS:
        return _watch(service, refusal.detail)
    if claimed_at is None or now - claimed_at > SILENCE:
        return _watch(service, refusal.detail, every=SLOW)
    shown = (Service.drift.set(refusal.detail), Service.claimed_at.set(claimed_at))
    commit(change(service, *shown, *look_again(now + PERIOD)))


def _keep_step(service: Service, release: str | None, rollout: Rollout) -> None:
    now = clock.now()
    # Whoever brought the release back by hand wants it to run.
    back = release is not None and rollout.task_definition == release
    wanted = release if back else service.baseline or release
    step = decide_idle(
        wanted=wanted,
        rollout=rollout,
        ours=rollout.task_definition == wanted or _is_ours(rollout.task_definition),
        now=now,
        claimed_at=service.claimed_at,
    )
    if step is Step.UPDATE:
        _update(service, rollout, wanted or "")
    elif step is Step.DRIFT:
        _watch(service, f"ECS runs {rollout.task_definition}, which was not deployed by Slipway")
    elif step is Step.SHOW:
        why = rollout.failed.get(wanted or "") or rollout.reason
        _watch(service, f"ECS cannot run {wanted} any more: {why}", every=SLOW)
    elif step is Step.REST and wanted != release and release is not None:
        _watch(service, f"ECS runs {wanted}, which was not deployed by Slipway")
    elif step is Step.REST:
        _watch(service, None, released=release is not None)
    elif step is Step.WAIT and (service.due_at or 0) <= now:
        commit(change(service, *look_again(now + PERIOD)))


def _watch(
    service: Service, drift: str | None, *, every: int = WATCH, released: bool = False
) -> None:
    """Nothing is to be done: show what is not as it should be, and look again after a while.

    Where the release runs nothing else is to come back any more.
    """
    now = clock.now()
    forget = released and service.baseline is not None
    known = service.drift == drift and service.claimed_at is None and not forget
    if known and (service.due_at or 0) > now:
        return
    shown = [Service.drift.remove() if drift is None else Service.drift.set(drift)]
    if forget:
        shown.append(Service.baseline.remove())
    at_rest = (Service.claimed_at.remove(), Service.attention.remove())
    commit(change(service, *shown, *at_rest, *look_again(now + every)))


def _begin(
    service: Service, holder: Deployment, current: Deployment | None, rollout: Rollout
) -> None:
    """Give the deployment a task definition of its own, record it, and only then roll it out."""
    if not ecr.exists(holder.image_repository, holder.image_digest or ""):
        raise Rejected(f"the image {holder.image} is gone")
    base = rollout.task_definition
    if holder.restores is not None:
        base = find_deployments(holder.restores)[holder.restores].task_definition or base
    definition = ecs.describe_task_definition(base)
    request = next_task_definition(
        definition,
        container=service.container or "",
        image=holder.image,
        tags=definition["tags"],
    )
    arn = ecs.register_task_definition(request)
    now = clock.now()
    claim = [
        Service.claimed_at.set(now),
        Service.drift.remove(),
        *_way_back(service, current, rollout),
        *look_again(now + PERIOD),
    ]
    commit(
        become(
            holder,
            DeploymentStatus.DEPLOYING,
            Deployment.task_definition.set(arn),
            Deployment.fingerprint.set(fingerprint(request)),
            Deployment.started_at.set(now),
            Deployment.deadline_at.set(now + service.deploy_minutes * 60),
            Deployment.progress.set(deploy_progress(0, 1, holder.progress)),
            Deployment.error.remove(),
            Deployment.waits.set(0),
        ),
        change(service, *claim),
        take(_claim_name(arn), holder.id),
    )
    _call_update(service, rollout, arn, claimed_at=now)


def _way_back(service: Service, current: Deployment | None, rollout: Rollout) -> list[Action]:
    """What comes back should the deployment not succeed: what its owner had put there, if it is
    not the release.
    """
    if current is not None and rollout.task_definition == current.task_definition:
        return [Service.baseline.remove()]
    first = current is None and service.baseline is None
    if first or not _is_ours(rollout.task_definition):
        return [Service.baseline.set(rollout.task_definition)]
    return []


def _update(service: Service, rollout: Rollout, task_definition: str) -> None:
    now = clock.now()
    commit(change(service, Service.claimed_at.set(now), *look_again(now + PERIOD)))
    _call_update(service, rollout, task_definition, claimed_at=now)


def _call_update(
    service: Service, rollout: Rollout, task_definition: str, *, claimed_at: int
) -> None:
    if clock.now() - claimed_at > _PROMPTLY:
        raise Lost(f"service {service.id} was not updated at once, and may have moved on")
    ecs.update_service(
        update_service_request(
            cluster=service.ecs_cluster or "",
            service=service.ecs_service or "",
            task_definition=task_definition,
            deployment_configuration=rollout.configuration,
        )
    )


def _succeed(service: Service, holder: Deployment, current: Deployment | None) -> None:
    """The deployment's end, the slot, the current release and the mark on the one left: at once."""
    now = clock.now()
    restored = find_deployments(holder.restores).get(holder.restores)
    back_to = rollback_target(holder, replaced=current, restored=restored)
    done = [] if back_to is None else [Deployment.rollback_to.set(back_to)]
    if current is not None:
        done.append(Deployment.replaced.set(current.number))
    release = [
        Service.current.set(holder.number),
        Service.baseline.remove(),
        Service.drift.remove(),
    ]
    if holder.trigger == "manual":
        release.append(Service.auto_deploy_paused.remove())
    commit(
        end(holder, DeploymentStatus.SUCCESS, Deployment.error.remove(), *done, at=now),
        *hand_over(service, _waiting(service), at=now),
        change(service, *release),
        *_left(holder, current),
    )
    queue.wake(f"service-{service.id}")


def _left(holder: Deployment, current: Deployment | None) -> list[Move]:
    """A rollback that ended well marks the release that it left."""
    if current is None or holder.restores in {None, current.number}:
        return []
    if current.status != DeploymentStatus.SUCCESS:
        return []
    return [become(current, DeploymentStatus.ROLLED_BACK)]


def _waiting(service: Service) -> Deployment | None:
    return find_deployments(service.waiting).get(service.waiting)


def _fail(service: Service, holder: Deployment, reason: str) -> None:
    now = clock.now()
    commit(
        end(holder, DeploymentStatus.FAILED, at=now, error=reason),
        *hand_over(service, _waiting(service), at=now),
    )
    queue.wake(f"service-{service.id}")


def _why_failed(holder: Deployment, rollout: Rollout) -> str:
    task_definition = holder.task_definition or ""
    if task_definition in rollout.failed:
        return rollout.failed[task_definition]
    if rollout.task_definition == task_definition and rollout.state == "FAILED":
        return rollout.reason or "ECS says that the rollout failed"
    seconds = holder.deadline_at - (holder.started_at or holder.created_at)
    return f"not healthy after {seconds // 60} minutes: {holder.error or rollout.reason}"


def _note_progress(service: Service, holder: Deployment, rollout: Rollout) -> None:
    now = clock.now()
    progress = deploy_progress(rollout.running, rollout.desired, holder.progress)
    moves = []
    if progress != holder.progress or holder.error:
        well = (Deployment.error.remove(), Deployment.waits.set(0))
        moves.append(change(holder, Deployment.progress.set(progress), *well))
    if (service.due_at or 0) <= now:
        moves.append(change(service, *look_again(now + PERIOD)))
    if moves:
        commit(*moves)


def _wait(service: Service, holder: Deployment | None, reason: str) -> None:
    """AWS said "not now": try again, each time a little later; the deployment says why it waits."""
    now = clock.now()
    if holder is None:
        return commit(change(service, *look_again(now + PERIOD)))
    if now > holder.deadline_at + SILENCE:
        return _fail(service, holder, f"its time is up, and AWS does not answer: {reason}")
    delay = min(PERIOD, 10 * 2 ** min(holder.waits, 5)) * random.uniform(0.8, 1.2)
    commit(
        change(holder, Deployment.waits.set(holder.waits + 1), Deployment.error.set(reason[:1000])),
        change(service, *look_again(now + round(delay))),
    )


def _observe(service: Service, *, wanted: str | None) -> Rollout:
    return ecs.observe(service.ecs_cluster or "", service.ecs_service or "", wanted=wanted)


def _is_ours(task_definition: str) -> bool:
    return owner_of(_claim_name(task_definition)) is not None


def _claim_name(task_definition: str) -> str:
    return f"task-definition:{task_definition}"
