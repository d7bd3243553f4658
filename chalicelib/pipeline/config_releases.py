"""The config of a service in its releases: which names were set, and what a failed image leaves."""

from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.domain.config import Config, Overlay, rebased
from chalicelib.domain.plan import config_changes
from chalicelib.domain.preflight import Finding
from chalicelib.domain.release_commands import STAYS, crossed
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.pipeline.new_deployments import image_of
from chalicelib.store.definitions import deployment_of
from chalicelib.store.history import record
from chalicelib.store.jobs import find_deployments, findings_of, finish
from chalicelib.store.models import Deployment, Service
from chalicelib.store.services import activate_waiting
from chalicelib.store.writes import Write, change

# The trigger of a deployment that a change of the config has made.
TRIGGER = "config"


def overlay_of(
    service: Service,
    config: Config,
    current: Deployment | None,
    *,
    runs: str | None,
    containers: tuple[str, ...],
) -> Overlay:
    """A config of the service, to be put over the task definition `runs`.

    Slipway has set the names of the current release there, and those of the deployment that the
    definition was registered for: another party may have chosen an earlier one. Each has set them
    in the containers of its own target.
    """
    registrant = None
    if runs is not None and (current is None or current.task_definition != runs):
        registrant = deployment_of(service.id, runs)
    before: dict[str, frozenset[str]] = {}
    for row in (current, registrant):
        if row is not None and row.target is not None:
            for container in row.target.containers:
                before[container] = before.get(container, frozenset()) | row.own_config.names
    return Overlay(config, before, containers)


def commands_that_stay(
    service: Service, image_digest: str | None, current: Deployment | None
) -> list[Finding]:
    """The warning that a change of the config is rolled out with code older than a release command.

    `image_digest` is that of its image, which the current release has. A later image may have run a
    command and failed, or the current release itself has gone back over one. A command of the older
    code may damage what the newer one has made.
    """
    if current is None or current.image_digest != image_digest:
        return []
    known = [each for each in findings_of(current) if each.code == STAYS]
    if known:
        return known
    later = [int(each) for each in service.commands or () if each > current.number]
    rows = find_deployments(*later).values() if later else ()
    others = [row.number for row in rows if row.image_digest != image_digest]
    return crossed(others, current.number)


def set_config(
    service: Service,
    after: Config,
    *,
    actor: str,
    reason: str | None,
    deployment: int | None,
) -> list[Write]:
    """Set the service's config, with the audit entry, which has names and sizes but no value.

    Empty if it is the same. `deployment` is the number of the one that brings it, if there is one.
    """
    before, now = service.config, clock.now()
    if after == before:
        return []
    changes = config_changes(before, after)
    return [
        change(service, config=after, updated_at=now),
        record(
            f"service-{service.id}",
            "service.config_changed",
            at=now,
            actor=actor,
            project_id=service.project_id,
            service_id=service.id,
            environment=msgspec.to_builtins(changes.environment),
            secrets=msgspec.to_builtins(changes.secrets),
            before={name: getattr(before, name) for name in changes.sizes},
            after={name: getattr(after, name) for name in changes.sizes},
            deployment_id=deployment,
            reason=reason,
        ),
    ]


def activate_after_failure(service: Service, active: Deployment, *, at: int) -> list[Write]:
    """Make the waiting deployment, if any, active after the `active` one ended without success.

    If that was a rollback, the service gets the config of the current release back.
    """
    ended = change(service, last_deployment=active.number)
    if service.waiting is None and active.restores is None:
        return [ended, *activate_waiting(service, None, at=at)]
    rows = find_deployments(service.waiting, service.current)
    waiting, current = rows.get(service.waiting), rows.get(service.current)
    return [
        ended,
        *_activate(service, waiting, current, at=at),
        *_bring_config_back(service, active, current),
    ]


def _bring_config_back(
    service: Service, active: Deployment, current: Deployment | None
) -> list[Write]:
    """Undo the change of the config with which a rollback was accepted.

    What was changed after that stays. So does the number of tasks, which a rollback does not
    change.
    """
    if active.restores is None or current is None:
        return []
    before, now = active.own_config, service.config
    after = rebased(current.own_config, before=before, after=now)
    after = msgspec.structs.replace(after, desired_count=now.desired_count)
    reason = f"deployment {active.number} has not rolled back: the release before it stays"
    return set_config(service, after, actor="slipway", reason=reason, deployment=None)


def _activate(
    service: Service, waiting: Deployment | None, current: Deployment | None, *, at: int
) -> list[Write]:
    """Make the waiting deployment, if any, active after one that did not succeed.

    A deployment of the trigger `config` has the image of the one that did not succeed. A change of
    the config must not roll that image out again: it gets the image of the current release, which
    runs again. If another party chose what ECS returns to, no image of Slipway runs: it ends.
    Without a current release it keeps its image, and the new config may be what was missing.
    """
    if waiting is None or waiting.trigger != TRIGGER or current is None:
        return activate_waiting(service, waiting, at=at)
    if service.baseline is not None:
        error = (
            f"the deployment before it did not succeed, and ECS returns to {service.baseline}, "
            "which was chosen outside Slipway: deploy an image, which takes the config"
        )
        return [
            *activate_waiting(service, None, at=at),
            change(service, waiting=None),
            finish(waiting, DeploymentStatus.SUPERSEDED, at=at, error=error),
        ]
    return [
        *activate_waiting(service, waiting, at=at),
        change(waiting, findings=None, **_image(current)),
    ]


def _image(release: Deployment) -> dict[str, Any]:
    """The attributes of a deployment that name its image."""
    image = image_of(release)
    return {
        "image_repository": image.repository,
        "image_tag": image.tag,
        "image_digest": image.digest,
        "image": image.full_name,
        "build_id": image.build_id,
        "commit_sha": image.commit_sha,
        "commit_message": image.commit_message,
        "author": image.author,
    }
