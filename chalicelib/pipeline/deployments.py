"""Deployments: asking for one, by a caller or by a build's success."""

from dataclasses import dataclass
from typing import Any

from chalicelib import clock
from chalicelib.aws import ecr, queue
from chalicelib.domain.images import ImageReference, build_id_of_tag
from chalicelib.domain.pushes import later
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus, has_ended, job_id
from chalicelib.errors import Conflict, Forbidden, Lost, NotFound
from chalicelib.pipeline.once import Once, remembered
from chalicelib.pipeline.retries import on_fresh_service
from chalicelib.settings import settings
from chalicelib.store.claims import next_number
from chalicelib.store.due import look_again
from chalicelib.store.history import record
from chalicelib.store.jobs import (
    end,
    find_build,
    find_deployments,
    get_deployment,
    opened,
    service_key,
)
from chalicelib.store.models import Build, Deployment, Service
from chalicelib.store.moves import Action, Move, change, commit, create
from chalicelib.store.services import get_service, hand_over


@dataclass(frozen=True)
class Placed:
    """What a build's success does to its service: moves, what the build notes, whom to wake."""

    moves: tuple[Move, ...] = ()
    noted: tuple[Action, ...] = ()
    wake: tuple[str, ...] = ()


def request_deployment(
    service: Service,
    *,
    actor: str,
    image: ImageReference,
    reason: str | None,
    once: Once | None = None,
) -> Deployment:
    """Accept the deployment of an image that a build of the service made, or of a digest.

    Raises Conflict (service_not_configured), Forbidden (image_not_allowed), NotFound
    (image_not_found).
    """
    require_target(service)
    digest, build = _resolve(service, image)
    number = next_number("deployments")

    def accept(service: Service) -> Deployment:
        require_target(service)
        deployment = new_deployment(
            service,
            number,
            actor=actor,
            trigger="manual",
            repository=service.image_repository,
            digest=digest,
            tag=image.tag or (build.image_tag if build else ""),
            reason=reason,
            build_id=build.number if build else None,
            commit_sha=build.commit_sha if build else None,
        )
        commit(*place(service, deployment), *_overrule(service), *remembered(once, number))
        return deployment

    deployment = on_fresh_service(service, accept)
    queue.wake(f"service-{service.id}")
    return deployment


def deploy_build(service: Service, build: Build) -> Placed:
    """The deployment that a build's success causes by itself, or the reason why there is none."""
    refusal = _why_not(service, build)
    if refusal:
        return Placed(noted=(Build.not_deployed.set(refusal),))
    number = next_number("deployments")
    deployment = new_deployment(
        service,
        number,
        actor=build.requested_by,
        trigger="push",
        repository=build.image_repository,
        digest=build.image_digest or "",
        tag=build.image_tag,
        reason=build.commit_message,
        build_id=build.number,
        commit_sha=build.commit_sha,
    )
    newest = change(
        service,
        Service.last_pushed_at.set(build.pushed_at or 0),
        Service.last_pushed_build.set(build.number),
    )
    return Placed(
        moves=(*place(service, deployment), newest),
        noted=(Build.deployment_id.set(number),),
        wake=(f"service-{service.id}",),
    )


def new_deployment(
    service: Service,
    number: int,
    *,
    actor: str,
    trigger: str,
    repository: str,
    digest: str,
    tag: str,
    reason: str | None,
    build_id: int | None,
    commit_sha: str | None,
    **more: Any,
) -> Deployment:
    """The row of a queued deployment of one exact image."""
    now = clock.now()
    return Deployment(
        job_id("deploy", number),
        number=number,
        project_id=service.project_id,
        service_id=service.id,
        service_key=service_key(service.id, "deploy"),
        opened=opened("deploy", number, now),
        status=DeploymentStatus.QUEUED,
        requested_by=actor,
        trigger=trigger,
        image_repository=repository,
        image_tag=tag,
        image_digest=digest,
        image=f"{settings().registry}/{repository}@{digest}",
        reason=reason,
        build_id=build_id,
        commit_sha=commit_sha,
        created_at=now,
        deadline_at=now + service.deploy_minutes * 60,
        **more,
    )


def place(service: Service, deployment: Deployment) -> tuple[Move, ...]:
    """Give a deployment the slot, or the waiting place of a service that is busy: newest wins."""
    seat = Service.deploying if service.deploying is None else Service.waiting
    return (
        create(deployment),
        change(service, seat.set(deployment.number), *look_again(clock.now())),
        *([supersede(service.waiting, deployment)] if service.waiting is not None else []),
        requested(deployment),
    )


def _overrule(service: Service) -> tuple[Move, ...]:
    """Pushes whose builds are under way came before this deployment: they do not replace it."""
    if not service.open_builds:
        return ()
    return (change(service, Service.overruled.set(set(service.open_builds))),)


def cancel_deployment(number: int, *, actor: str) -> Deployment:
    """End a deployment that has not ended; what ran before it runs on, or comes back.

    Whoever waits gets the slot. Raises Conflict (job_ended), Lost.
    """
    deployment = get_deployment(number)
    if deployment.status == DeploymentStatus.CANCELLED:
        return deployment
    if has_ended(deployment.status):
        raise Conflict(f"{deployment.id} has ended: it is {deployment.status}", code="job_ended")
    service = get_service(deployment.service_id)
    now, why = clock.now(), f"cancelled by {actor}"
    asked = Deployment.cancelled_by.set(actor)
    commit(
        end(deployment, DeploymentStatus.CANCELLED, asked, at=now, error=why),
        *_leave_place(service, number),
        record(
            deployment.id,
            "deployment.cancelled",
            at=now,
            actor=actor,
            project_id=deployment.project_id,
            service_id=deployment.service_id,
        ),
    )
    queue.wake(f"service-{service.id}")
    # What was written is known: reading it again could only fail what is done.
    deployment.status, deployment.finished_at = DeploymentStatus.CANCELLED, now
    deployment.error, deployment.cancelled_by = why, actor
    return deployment


def _leave_place(service: Service, number: int) -> tuple[Move, ...]:
    """The slot goes to whoever waits, the waiting place to nobody."""
    if service.waiting == number:
        return (change(service, Service.waiting.remove()),)
    if service.deploying == number:
        waiting = find_deployments(service.waiting).get(service.waiting)
        return hand_over(service, waiting, at=clock.now())
    raise Lost(f"deployment {number} moved on before this change was written")


def supersede(waiting: int, newer: Deployment) -> Move:
    """End the deployment that waited: a newer request took its place."""
    row = find_deployments(waiting)[waiting]
    error = f"superseded by deployment {newer.number}"
    return end(row, DeploymentStatus.SUPERSEDED, at=clock.now(), error=error)


def requested(deployment: Deployment) -> Move:
    """The audit entry of an accepted deployment."""
    return record(
        deployment.id,
        "deployment.requested",
        at=deployment.created_at,
        actor=deployment.requested_by,
        project_id=deployment.project_id,
        service_id=deployment.service_id,
        image_digest=deployment.image_digest,
        trigger=deployment.trigger,
        reason=deployment.reason,
    )


def require_target(service: Service) -> None:
    """Raises Conflict (service_not_configured) for a service that no ECS service belongs to."""
    if service.ecs_service is None:
        raise Conflict(
            f"service {service.id} has no ECS target: set ecs_cluster, ecs_service and container",
            code="service_not_configured",
        )


def _why_not(service: Service, build: Build) -> str | None:
    if service.deleted_at is not None:
        return "the service was deleted"
    if build.trigger != "push":
        return "builds asked for by hand are deployed by hand"
    if not service.auto_deploy:
        return "auto_deploy is off"
    if service.auto_deploy_paused:
        return f"auto-deploy is paused: {service.auto_deploy_paused}"
    if service.ecs_service is None:
        return "the service has no ECS target"
    if service.branch != build.git_ref:
        return f"the service follows {service.branch} now"
    if build.number in (service.overruled or ()):
        return "an image was deployed by hand after this push"
    newest = (service.last_pushed_at, service.last_pushed_build)
    if not later((build.pushed_at or 0, build.number), newest):
        return f"build {service.last_pushed_build} of a later push was deployed already"
    return None


def _resolve(service: Service, image: ImageReference) -> tuple[str, Build | None]:
    """The digest that is meant, and the build that made it if a tag says so."""
    _require_own_repository(service, image)
    build = _build_of(service, image.tag) if image.tag else None
    if image.tag and build is None:
        if ecr.digest_of(service.image_repository, image.tag) is None:
            raise _missing(service, f":{image.tag}")
        raise Forbidden(
            f"the tag {image.tag} does not come from a build of this service; "
            "name a build's image_tag, or the image by its @sha256: digest",
            code="image_not_allowed",
            field="image_tag",
        )
    digest = (build.image_digest if build else None) or image.digest
    if image.digest and image.digest != digest:
        raise Forbidden(
            f"build {build.number if build else ''} made {digest}, not {image.digest}",
            code="image_not_allowed",
            field="image_tag",
        )
    if not ecr.exists(service.image_repository, digest):
        raise _missing(service, f"@{digest}")
    return digest, build


def _require_own_repository(service: Service, image: ImageReference) -> None:
    # ECR allows `my.team/app`, whose first part reads as a registry where ours is left out.
    name = f"{image.registry}/{image.repository}".lstrip("/")
    if name in {service.image_repository, f"{settings().registry}/{service.image_repository}"}:
        return
    raise Forbidden(
        f"service {service.id} deploys images of {service.image_repository} alone",
        code="image_not_allowed",
        field="image_tag",
    )


def _build_of(service: Service, tag: str) -> Build | None:
    """A tag ends in its build's number, so it leads to the row that says what it made."""
    number = build_id_of_tag(tag)
    build = find_build(number) if number is not None else None
    if build is None or build.service_id != service.id or build.image_tag != tag:
        return None
    return build if build.status == BuildStatus.SUCCESS else None


def _missing(service: Service, what: str) -> NotFound:
    return NotFound(
        f"there is no image {service.image_repository}{what}",
        code="image_not_found",
        field="image_tag",
    )
