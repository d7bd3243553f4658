"""Whether the image of a build is deployed automatically."""

from chalicelib.domain.push_order import in_order
from chalicelib.domain.pushes import builds_tag
from chalicelib.domain.refs import RefType
from chalicelib.domain.statuses import BuildStatus
from chalicelib.store.jobs import find_builds, find_deployments
from chalicelib.store.models import Build, Service


def why_not_deployed(service: Service, build: Build) -> str | None:
    """The reason why a successful build is not deployed automatically; None if it is."""
    if service.deleted_at is not None:
        return "the service was deleted"
    if build.trigger != "push":
        return "builds requested manually are deployed manually"
    if not service.settings.auto_deploy:
        return "auto_deploy is off"
    if service.auto_deploy_paused:
        return f"auto-deploy is paused: {service.auto_deploy_paused}"
    if service.settings.ecs_target is None:
        return "the service has no ECS target"
    moved = _why_not_followed(service, build)
    if moved:
        return moved
    if build.push.pushed_at <= (service.overruled_at or 0):
        return "a manual deployment or rollback came after this push"
    return _why_too_late(service, build)


def _why_too_late(service: Service, build: Build) -> str | None:
    """The reason if this push or a later one was built already; None otherwise.

    A later push counts also if it was not deployed. Pushes to refs that the service does not build
    any more do not count.
    """
    numbers = set(map(int, service.pushed or ()))
    # The image that runs, or will, counts however long ago it was built.
    deployments = find_deployments(service.active, service.waiting, service.current).values()
    numbers |= {each.build_id for each in deployments if each.build_id is not None}
    rows = [row for row in find_builds(numbers) if row.trigger == "push"]
    others = [row for row in rows if not _why_not_followed(service, row)]
    order = in_order([row.push for row in (*others, build)])
    place = order.index(build.push.push_id)
    for other in others:
        if other.push.push_id == build.push.push_id and other.deployment_id is not None:
            return f"build {other.number} of this push was deployed already"
        if other.status == BuildStatus.SUCCESS and order.index(other.push.push_id) > place:
            return f"build {other.number} of a later push was built already"
    return None


def _why_not_followed(service: Service, build: Build) -> str | None:
    """Why pushes like this build's do not concern the service any more; None if they do."""
    if service.settings.repository != build.settings.repository:
        return f"the service builds {service.settings.repository} now"
    if build.ref_type == RefType.TAG:
        if not builds_tag(service.settings, build.git_ref):
            return f"the service does not build the tag {build.git_ref} any more"
    elif service.settings.branch != build.git_ref:
        return f"the service follows {service.settings.branch} now"
    return None
