"""Whether ECS can run an earlier release again: for a rollback, and to know it before one."""

import logging
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.aws import ecs
from chalicelib.domain.preflight import Unknown, inactive_image
from chalicelib.errors import Conflict, Rejected, Unavailable
from chalicelib.pipeline.preflight import Look, look_at_image
from chalicelib.store.jobs import find_deployments
from chalicelib.store.models import Deployment, Service

logger = logging.getLogger("slipway")

# Seconds between two looks at the release that a rollback would restore.
_EVERY = 6 * 60 * 60


class Target(msgspec.Struct, frozen=True):
    """A release to restore, and the imageStatus of its image."""

    release: Deployment
    image: str | Unknown


def rollback_trouble(service: Service, current: Deployment) -> dict[str, Any]:
    """The attributes that say whether the release before the current one can be restored.

    They are empty if that was looked at some hours ago, for the same current release. A look that
    AWS does not answer, or refuses, changes nothing: the next one is then soon.
    """
    now, checked = clock.now(), service.rollback_checked or {}
    if checked.get("release") == current.number and 0 <= now - checked["at"] < _EVERY:
        return {}
    found = {"rollback_checked": {"release": current.number, "at": now}}
    before = release_before(current)
    if before is None:
        return {**found, "rollback_trouble": None}
    try:
        target = restorable(service, before, Look())
    except (Rejected, Unavailable) as trouble:
        logger.info("service %s: %s cannot be checked: %s", service.id, before.job_id, trouble)
        return {}
    if isinstance(target, Target):
        if isinstance(target.image, Unknown):
            return {}
        return {**found, "rollback_trouble": _why_archived(target)}
    # That a service was moved is no news to the person who has moved it.
    is_moved = target.code == "other_ecs_service"
    return {**found, "rollback_trouble": None if is_moved else target.detail}


def _why_archived(target: Target) -> str | None:
    """Why ECS cannot pull the image of a release now; None if it can, or soon can."""
    if target.image != "ARCHIVED":
        return None
    release = target.release
    return inactive_image(
        release.image_repository, release.image_digest or "", target.image
    ).message


def restorable(service: Service, release: Deployment, look: Look) -> Target | Conflict:
    """The release as a target of a rollback, or why it cannot be restored."""
    number, repository, digest = release.number, release.image_repository, release.image_digest
    instead = f"deploy {repository}@{digest} explicitly"
    elsewhere = _why_elsewhere(service, release)
    if elsewhere is not None:
        return Conflict(f"{elsewhere}, or {instead}", code="other_ecs_service")
    image = look_at_image(look, repository, digest or "")
    if image is None:
        return Conflict(
            f"the image of deployment {number} is gone from {repository}", code="not_deployable"
        )
    is_kept = release.target is not None
    if not is_kept and not ecs.has_task_definition(release.task_definition or ""):
        return Conflict(
            f"the task definition {release.task_definition} of deployment {number} is gone from "
            f"ECS, and Slipway has no copy of it: {instead}",
            code="not_deployable",
        )
    return Target(release, image)


def _why_elsewhere(service: Service, release: Deployment) -> str | None:
    """Why a release does not belong to the service's ECS service; None if it does."""
    number, target = release.number, service.settings.ecs_target
    if target is None:
        return None
    if release.target is None:
        if service.moved_from is None and _is_of_the_family_that_runs(service, release):
            return None
        return (
            f"deployment {number} is older than the service's move to {target.full_name}, and "
            "Slipway does not know where it ran: name a later deployment"
        )
    if release.target.full_name == target.full_name:
        return None
    return (
        f"deployment {number} ran in the ECS service {release.target.full_name}, and service "
        f"{service.id} deploys to {target.full_name} now: change ecs_cluster and ecs_service back"
    )


def _is_of_the_family_that_runs(service: Service, release: Deployment) -> bool:
    """Whether an older release has the family of task definitions of the current one.

    Rows that are as old do not show whether the service moved to another ECS service since.
    """
    current = find_deployments(service.current).get(service.current)
    names = [each.task_definition for each in (release, current) if each is not None]
    families = [(name or "").rpartition(":")[0] for name in names]
    return len(families) == 2 and families[0] == families[1]


def release_before(release: Deployment | None) -> Deployment | None:
    if release is None or release.rollback_to is None:
        return None
    return find_deployments(release.rollback_to).get(release.rollback_to)
