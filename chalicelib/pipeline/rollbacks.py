"""Rollbacks: what one would do, and asking for it."""

from dataclasses import dataclass

from chalicelib import clock
from chalicelib.aws import ecr, queue
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.errors import Conflict, NotFound
from chalicelib.pipeline.deployments import (
    new_deployment,
    requested,
    require_target,
    supersede,
)
from chalicelib.pipeline.once import Once, remembered
from chalicelib.pipeline.retries import on_fresh_service
from chalicelib.store.claims import next_number
from chalicelib.store.due import look_again
from chalicelib.store.jobs import end, find_deployments
from chalicelib.store.models import Deployment, Service
from chalicelib.store.moves import Move, change, commit, create

_LONGEST_WALK = 20


@dataclass(frozen=True)
class Preview:
    """What a rollback would bring back; without a target, `reason` says why."""

    target: Deployment | None
    reason: str


def preview(service: Service) -> Preview:
    """What `request_rollback` would do now without a named deployment; changes nothing."""
    try:
        require_target(service)
        return Preview(_target(service, None), "")
    except Conflict as refusal:
        return Preview(None, refusal.detail)


def request_rollback(
    service: Service,
    *,
    actor: str,
    deployment_id: int | None,
    reason: str | None,
    once: Once | None = None,
) -> Deployment:
    """Accept a return to an earlier release: it takes the slot at once, whoever holds it.

    Raises Conflict (nothing_to_roll_back, rollback_in_progress, already_running, not_deployable,
    service_not_configured), NotFound for a deployment of another service.
    """

    def accept(service: Service) -> Deployment:
        require_target(service)
        target = _target(service, deployment_id)
        leaving = service.deploying if service.deploying is not None else service.current
        deployment = new_deployment(
            service,
            next_number("deployments"),
            actor=actor,
            trigger="rollback",
            repository=target.image_repository,
            digest=target.image_digest or "",
            tag=target.image_tag,
            reason=reason,
            build_id=target.build_id,
            commit_sha=target.commit_sha,
            restores=target.number,
            rollback_of=leaving,
        )
        commit(*_take_slot(service, deployment), *remembered(once, deployment.number))
        return deployment

    deployment = on_fresh_service(service, accept)
    queue.wake(f"service-{service.id}")
    return deployment


def _take_slot(service: Service, deployment: Deployment) -> list[Move]:
    """The slot, the end of whoever held it or waited for it, and the pause: all or nothing."""
    pause = (
        f"deployment {deployment.number} rolls back to deployment {deployment.restores}; "
        'resume with PATCH {"auto_deploy": true} or by deploying an image explicitly'
    )
    moves = [
        create(deployment),
        change(
            service,
            Service.deploying.set(deployment.number),
            Service.waiting.remove(),
            Service.auto_deploy_paused.set(pause),
            *look_again(clock.now()),
        ),
        requested(deployment),
    ]
    if service.deploying is not None:
        holder = find_deployments(service.deploying)[service.deploying]
        error = f"rolled back before it was done, by deployment {deployment.number}"
        moves.append(end(holder, DeploymentStatus.ROLLED_BACK, at=clock.now(), error=error))
    if service.waiting is not None:
        moves.append(supersede(service.waiting, deployment))
    return moves


def _target(service: Service, wanted: int | None) -> Deployment:
    rows = find_deployments(service.deploying, service.current, wanted)
    holder = rows.get(service.deploying)
    if holder is not None and holder.restores is not None:
        raise Conflict(
            f"deployment {holder.number} is rolling back already", code="rollback_in_progress"
        )
    if wanted is not None:
        return _named(service, wanted, rows.get(wanted), idle=holder is None)
    current = rows.get(service.current)
    return _nearest(service, current if holder else _before(current))


def _named(service: Service, number: int, target: Deployment | None, *, idle: bool) -> Deployment:
    if target is None or target.service_id != service.id:
        raise NotFound(f"there is no deployment {number}", field="deployment_id")
    if idle and number == service.current:
        raise Conflict(f"deployment {number} is what runs", code="already_running")
    if target.progress != 100 or target.task_definition is None:
        raise Conflict(
            f"deployment {number} never ran well: its status is {target.status}",
            code="not_deployable",
        )
    if not ecr.exists(target.image_repository, target.image_digest or ""):
        raise Conflict(
            f"the image of deployment {number} is gone from {target.image_repository}",
            code="not_deployable",
        )
    return target


def _nearest(service: Service, target: Deployment | None) -> Deployment:
    """The first release on the way back whose image still exists."""
    for _ in range(_LONGEST_WALK):
        if target is None:
            break
        if ecr.exists(target.image_repository, target.image_digest or ""):
            return target
        target = _before(target)
    raise Conflict(
        f"service {service.id} has no earlier release to go back to", code="nothing_to_roll_back"
    )


def _before(release: Deployment | None) -> Deployment | None:
    if release is None or release.rollback_to is None:
        return None
    return find_deployments(release.rollback_to).get(release.rollback_to)
