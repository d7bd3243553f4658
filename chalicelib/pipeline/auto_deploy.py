"""The deployments that a successful build leads to by itself.

They are those of its service, and those of the services that deploy its images (`image_from`). Each
of them decides for itself. The order of the pushes is that of the service with the builds.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.domain.checks import AwaitedChecks, awaited
from chalicelib.domain.pull_requests import how_to_deploy
from chalicelib.domain.push_order import in_order
from chalicelib.domain.pushes import builds_tag
from chalicelib.domain.refs import RefType
from chalicelib.domain.statuses import BuildStatus
from chalicelib.pipeline.new_deployments import ReleaseImage, enqueue, new_deployment
from chalicelib.store.claims import next_number
from chalicelib.store.jobs import find_builds, find_deployments
from chalicelib.store.models import Build, Deployment, Service
from chalicelib.store.services import find_service, find_services
from chalicelib.store.writes import Write, change


class Deployed(msgspec.Struct, frozen=True):
    """What a successful build leads to: values for its row, writes, and the services to wake.

    The writes have the versions of all services as their conditions.
    """

    values: dict[str, Any]
    writes: Sequence[Write]
    services: Sequence[int]


def deploy_build(service: Service, build: Build, image: ReleaseImage) -> Deployed:
    """Deploy the image of a successful build wherever it is to be deployed automatically."""
    everyone = [service, *find_services(service.dependents or ())]
    reasons = {each.id: why_not_deployed(each, build, source=service) for each in everyone}
    chosen = [each for each in everyone if reasons[each.id] is None]
    first = next_number("deployments", len(chosen)) if chosen else 0
    numbers = {each.id: first + place for place, each in enumerate(chosen)}
    writes = [change(each) for each in everyone]
    for each in chosen:
        deployment = new_deployment(
            each,
            numbers[each.id],
            image,
            actor=build.requested_by,
            trigger="push",
            reason=build.commit_message,
            checks=_awaited(each, build),
        )
        writes += enqueue(each, deployment)
    effects = {
        number: {"deployment_id": numbers.get(number), "not_deployed": reason}
        for number, reason in reasons.items()
    }
    own = effects.pop(service.id)
    dependents = [{"service_id": number, **effect} for number, effect in effects.items()]
    return Deployed({**own, "dependents": dependents or None}, writes, list(numbers))


def _awaited(service: Service, build: Build) -> AwaitedChecks | None:
    """The checks that the deployment of a build waits for, by the setting of the service."""
    required = service.settings.require_checks
    if required is None:
        return None
    minutes, pushed_at = service.settings.checks_minutes, build.push.pushed_at
    return awaited(required, minutes=minutes, pushed_at=pushed_at, now=clock.now())


def why_no_longer_deployed(service: Service, deployment: Deployment) -> str | None:
    """The reason why the deployment of a push, which has waited, is not made any more; or None.

    A person may have changed the service meanwhile.
    """
    changed = _why_not_automatic(service)
    if changed or deployment.build_id is None:
        return changed
    source = find_service(service.settings.image_from or service.id) or service
    reasons = [_why_not_followed(source, build) for build in find_builds([deployment.build_id])]
    return next(iter(reasons), None)


def why_not_deployed(service: Service, build: Build, *, source: Service) -> str | None:
    """The reason why a successful build is not deployed automatically to a service; None if it is.

    `source` is the service with the builds, often the same one.
    """
    if service.deleted_at is not None:
        return "the service was deleted"
    if build.pull_request is not None:
        return f"builds of pull requests are never deployed: {how_to_deploy(build.pull_request)}"
    if build.trigger != "push":
        return "builds requested manually are deployed manually"
    changed = _why_not_automatic(service)
    if changed:
        return changed
    if service.settings.ecs_target is None:
        return "the service has no ECS target"
    moved = _why_not_followed(source, build)
    if moved:
        return moved
    if build.push.pushed_at <= (service.overruled_at or 0):
        return "a manual deployment or rollback came after this push"
    return _why_too_late(service, build, source)


def _why_not_automatic(service: Service) -> str | None:
    if not service.settings.auto_deploy:
        return "auto_deploy is off"
    paused = service.auto_deploy_paused
    return f"auto-deploy is paused: {paused}" if paused else None


def _why_too_late(service: Service, build: Build, source: Service) -> str | None:
    """The reason if this push or a later one was built already; None otherwise.

    A later push counts also if it was not deployed. Pushes to refs that the service does not build
    any more do not count.
    """
    numbers = set(map(int, source.pushed or ()))
    # The image that runs, or will, counts however long ago it was built.
    own = (service.active, service.waiting, service.checking, service.current)
    deployments = find_deployments(*own).values()
    numbers |= {each.build_id for each in deployments if each.build_id is not None}
    rows = [row for row in find_builds(numbers) if row.trigger == "push"]
    others = [row for row in rows if not _why_not_followed(source, row)]
    order = in_order([row.push for row in (*others, build)])
    place = order.index(build.push.push_id)
    for other in others:
        same = other.push.push_id == build.push.push_id
        if same and other.deployment_of(service) is not None:
            return f"build {other.number} of this push was deployed already"
        if other.status == BuildStatus.SUCCESS and order.index(other.push.push_id) > place:
            return f"build {other.number} of a later push was built already"
    return None


def _why_not_followed(service: Service, build: Build) -> str | None:
    """Why pushes like this build's do not concern the service any more; None if they do."""
    if service.settings.image_from is not None:
        return f"the service deploys the images of service {service.settings.image_from} now"
    if service.settings.repository != build.settings.repository:
        return f"the service builds {service.settings.repository} now"
    if build.ref_type == RefType.TAG:
        if not builds_tag(service.settings, build.git_ref):
            return f"the service does not build the tag {build.git_ref} any more"
    elif service.settings.branch != build.git_ref:
        return f"the service follows {service.settings.branch} now"
    return None
