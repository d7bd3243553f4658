"""Whether the image of a build is deployed automatically."""

from chalicelib.domain.pushes import builds_tag, later
from chalicelib.domain.refs import RefType
from chalicelib.store.models import Build, Service
from chalicelib.store.writes import Write, change


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
    if build.number in (service.overruled or ()):
        return "an image was deployed manually after this push"
    newest = (service.last_pushed_at, service.last_pushed_build)
    if build.push_order == newest:
        return "another build of this push was deployed already"
    if not later(build.push_order, newest):
        return f"build {service.last_pushed_build} of a later push was built already"
    return None


def newest_push(service: Service, build: Build) -> list[Write]:
    """The write that remembers a built push, if it is the newest one of the service.

    It counts also if it was not deployed: no older push may be deployed over it later.
    """
    newest = (service.last_pushed_at, service.last_pushed_build)
    if build.trigger != "push" or _why_not_followed(service, build):
        return []
    if not later(build.push_order, newest):
        return []
    pushed_at, number = build.push_order
    return [change(service, last_pushed_at=pushed_at, last_pushed_build=number)]


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
