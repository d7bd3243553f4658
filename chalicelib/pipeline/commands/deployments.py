"""Requests for a deployment, and the plan of one."""

from collections.abc import Collection
from functools import partial

from msgspec import UNSET, UnsetType

from chalicelib import clock
from chalicelib.aws import ecr, queue
from chalicelib.domain.config import Config
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.images import ImageReference, build_id_of_tag
from chalicelib.domain.plan import Plan
from chalicelib.domain.preflight import PreflightFailed, Release, Unknown, has_errors
from chalicelib.domain.pull_requests import how_to_deploy
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.statuses import BuildStatus
from chalicelib.errors import Conflict, Forbidden, NotFound
from chalicelib.pipeline.config_releases import overlay_of
from chalicelib.pipeline.new_deployments import (
    ReleaseImage,
    enqueue,
    new_deployment,
    require_expected,
)
from chalicelib.pipeline.plans import Checked, plan_of_deployment
from chalicelib.pipeline.preflight import (
    Look,
    check,
    look_at_definition,
    look_at_service,
)
from chalicelib.pipeline.retries import retry_with_fresh_service
from chalicelib.settings import settings
from chalicelib.store.claims import next_number
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.jobs import find_build, find_builds, find_deployments, pull_build_of
from chalicelib.store.models import Build, Deployment, Service
from chalicelib.store.writes import change, commit


def request_deployment(
    service: Service,
    *,
    actor: str,
    image: ImageReference,
    reason: str | None,
    expected: int | UnsetType | None = UNSET,
    idempotency_key: IdempotencyKey | None = None,
) -> Deployment:
    """Accept the deployment of an image by the tag of a build of the service, or by its digest.

    `expected` is that of the plan that the caller saw.
    Raises Conflict (service_not_configured, plan_is_old, preflight_failed, pull_request_build),
    Forbidden (image_not_allowed), NotFound (image_not_found).
    """
    require_expected(service, expected)
    checked = _checked(service, image)
    if has_errors(checked.findings):
        raise PreflightFailed(checked.findings)
    number = next_number("deployments")

    def accept(service: Service) -> Deployment:
        # The service may have another target or image repository after a conflict.
        require_target(service)
        require_expected(service, expected)
        _require_own_repository(service, image)
        deployment = new_deployment(
            service,
            number,
            checked.image,
            actor=actor,
            trigger="manual",
            reason=reason,
            findings=checked.findings,
        )
        commit(
            *enqueue(service, deployment),
            change(service, overruled_at=clock.now()),
            *record_key(idempotency_key, number),
        )
        return deployment

    deployment = retry_with_fresh_service(service, accept)
    queue.wake(f"service-{service.id}")
    return deployment


def plan_deployment(service: Service, image: ImageReference) -> Plan:
    """What the deployment of an image would do. Nothing is written.

    Raises the errors of `request_deployment`, except preflight_failed: the plan has the findings.
    """
    return plan_of_deployment(service, _checked(service, image))


def _checked(service: Service, image: ImageReference) -> Checked:
    require_target(service)
    look = Look()
    release, status = _resolve(service, image, look)
    return check_release(service, release, status, service.config, look)


def check_release(
    service: Service,
    image: ReleaseImage,
    status: str | Unknown | None,
    config: Config,
    look: Look,
) -> Checked:
    """An image, of the imageStatus `status`, after its preflight with a config of the service.

    Raises Conflict (service_not_configured).
    """
    target = require_target(service)
    runs = look_at_service(look, target)
    running = look_at_definition(look, runs)
    arn = runs.task_definition if isinstance(runs, Rollout) else None
    current = find_deployments(service.current).get(service.current)
    overlay = overlay_of(service, config, current, runs=arn, containers=target.containers)
    content = running if isinstance(running, Unknown) else overlay.over(running)
    findings = check(
        look,
        Release(
            image.repository, image.digest, target.containers, content, image.registry, overlay
        ),
        service=service,
        runs=runs,
        image=status,
        arn=arn,
    )
    return Checked(image, target.containers, findings, runs, running, overlay)


def require_target(service: Service) -> EcsTarget:
    """The service's ECS target. Raises Conflict (service_not_configured) if it has none."""
    target = service.settings.ecs_target
    if target is None:
        raise Conflict(
            f"service {service.id} has no ECS target: set ecs_cluster, ecs_service and containers",
            code="service_not_configured",
        )
    return target


def _resolve(
    service: Service, image: ImageReference, look: Look
) -> tuple[ReleaseImage, str | Unknown]:
    """The exact image, with its build if a tag names one, and its imageStatus."""
    _require_own_repository(service, image)
    repository = service.settings.image_repository
    build = _build_of(service, image.tag) if image.tag else None
    if image.tag and build is None:
        if ecr.digest_of(repository, image.tag) is None:
            raise _missing(repository, f":{image.tag}")
        raise Forbidden(
            f"the tag {image.tag} does not come from a build of this service, or of the one that "
            "builds its images; name a build's image_tag, or the image by its @sha256: digest",
            code="image_not_allowed",
            field="image_tag",
        )
    if build is not None:
        _require_no_pull_request(build)
    digest = (build.image_digest if build else None) or image.digest
    if image.digest and image.digest != digest:
        raise Forbidden(
            f"build {build.number if build else ''} made {digest}, not {image.digest}",
            code="image_not_allowed",
            field="image_tag",
        )
    found = look(partial(ecr.find_image, repository, digest))
    if found is None:
        raise _missing(repository, f"@{digest}")
    if build is None:
        tags = frozenset[str]() if isinstance(found, Unknown) else found.tags
        _require_no_pull_request(_pull_build_of(repository, digest, tags))
    release = ReleaseImage(
        repository,
        digest,
        image.tag,
        build_id=build.number if build else None,
        commit_sha=build.commit_sha if build else None,
        pushed_at=(build.push.pushed_at or None) if build else None,
        commit_message=build.commit_message if build else None,
        author=build.author if build else None,
    )
    return release, found if isinstance(found, Unknown) else found.status


def _require_own_repository(service: Service, image: ImageReference) -> None:
    # ECR allows `my.team/app`. Without the registry before it, `my.team` is read as a registry.
    repository = service.settings.image_repository
    if image.name in {repository, f"{settings().registry}/{repository}"}:
        return
    raise Forbidden(
        f"service {service.id} deploys only images of {repository}",
        code="image_not_allowed",
        field="image_tag",
    )


def _build_of(service: Service, tag: str) -> Build | None:
    """The successful build of the service, or of the one that builds its images, with this tag.

    A tag ends in the build's number.
    """
    number = build_id_of_tag(tag)
    build = find_build(number) if number is not None else None
    builders = {service.id, service.settings.image_from}
    if build is None or build.service_id not in builders or build.image_tag != tag:
        return None
    return build if build.status == BuildStatus.SUCCESS else None


def _pull_build_of(repository: str, digest: str, tags: Collection[str]) -> Build | None:
    """A build of a pull request that made an image; None if another build made it, too.

    `tags` are those of the image in ECR. A build that was cancelled may have pushed its image, and
    is known only by them. Without them the image is of the pull request that is recorded.
    """
    numbers = filter(None, map(build_id_of_tag, tags))
    builds = [
        build
        for build in find_builds(numbers)
        if build.image_repository == repository and build.image_tag in tags
    ]
    if any(each.pull_request is None and each.image_digest == digest for each in builds):
        return None
    pulls = (each for each in builds if each.pull_request is not None)
    return pull_build_of(repository, digest) or next(pulls, None)


def _require_no_pull_request(build: Build | None) -> None:
    """Raise Conflict (pull_request_build) for a build of a pull request."""
    if build is None or build.pull_request is None:
        return
    raise Conflict(
        f"build {build.number} is of pull request {build.pull_request.number}, and builds of pull "
        f"requests are never deployed: {how_to_deploy(build.pull_request)}",
        code="pull_request_build",
        field="image_tag",
    )


def _missing(repository: str, mark: str) -> NotFound:
    return NotFound(
        f"there is no image {repository}{mark}",
        code="image_not_found",
        field="image_tag",
    )
