"""Whether the image of a build is deployed automatically."""

from chalicelib.domain.pushes import builds_tag, later
from chalicelib.domain.refs import RefType
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
    if not _follows(service, build):
        return (
            f"the service does not build the tag {build.git_ref} any more"
            if build.ref_type == RefType.TAG
            else f"the service follows {service.settings.branch} now"
        )
    if build.number in (service.overruled or ()):
        return "an image was deployed manually after this push"
    newest = (service.last_pushed_at, service.last_pushed_build)
    if build.push_order == newest:
        return "another build of this push was deployed already"
    if not later(build.push_order, newest):
        return f"build {service.last_pushed_build} of a later push was deployed already"
    return None


def _follows(service: Service, build: Build) -> bool:
    """Whether the service still builds the ref of a build. Older rows have no type of ref."""
    if build.ref_type == RefType.TAG:
        return builds_tag(service.settings, build.git_ref)
    return service.settings.branch == build.git_ref
