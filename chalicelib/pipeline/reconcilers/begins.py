"""The begin of a rollout: its task definition, preflight, and the way back."""

from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.aws import ecs, queue
from chalicelib.domain.config import Overlay
from chalicelib.domain.definitions import fingerprint, next_task_definition, same_task_definition
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.preflight import Finding, Release, errors_as_text, has_errors
from chalicelib.domain.progress import COMMAND_STARTED, deploy_progress
from chalicelib.domain.release_commands import CommandRun, crossed
from chalicelib.domain.rollouts import Origin, Rollout
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.strategies import ROLLING, strategy_of
from chalicelib.domain.timing import PERIOD, SILENCE
from chalicelib.errors import Stale
from chalicelib.pipeline.config_releases import TRIGGER, commands_that_stay, overlay_of
from chalicelib.pipeline.preflight import Look, check, look_at_image
from chalicelib.pipeline.reconcilers.ecs_changes import (
    MAX_CALL_DELAY,
    call_update,
    hooks_for,
    take_back,
    update_ecs,
)
from chalicelib.pipeline.reconcilers.ends import fail
from chalicelib.pipeline.reconcilers.evidence import PATIENCE
from chalicelib.settings import settings
from chalicelib.store.definitions import keep_definition, kept_definition
from chalicelib.store.due import due_by
from chalicelib.store.jobs import find_deployments, stored_findings, transition
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import Write, change, commit


class Situation(msgspec.Struct, frozen=True):
    """What a step before a rollout decides from: the rows, and what ECS runs, as they were read.

    `origin` is who made ECS run that.
    """

    service: Service
    target: EcsTarget
    active: Deployment
    current: Deployment | None
    rollout: Rollout
    origin: Origin


def begin(situation: Situation) -> None:
    """Register a task definition for the deployment, record it, and only then roll it out.

    A release command runs before the rollout. Raises the errors of `roll_out`.
    """
    service, target, active = situation.service, situation.target, situation.active
    current, rollout = situation.current, situation.rollout
    content, source = _content(active, rollout)
    overlay = _overlay(service, target, active, current, rollout)
    content = overlay.over(content) if overlay is not None else content
    stays = _commands_that_stay(service, active, current)
    findings = (*_preflight(situation, content, source, overlay), *stays)
    if has_errors(findings):
        shown = change(active, findings=stored_findings(findings))
        return fail(service, active, errors_as_text(findings), shown)
    request = _request(target, active, content)
    arn = ecs.register_task_definition(request)
    keep_definition(arn, request, owner=active.job_id)
    registered = transition(
        active,
        DeploymentStatus.DEPLOYING,
        task_definition=arn,
        fingerprint=fingerprint(request),
        findings=stored_findings(findings),
        **({} if overlay is None else {"config": overlay.config}),
    )
    command = service.settings.release_command
    if command is not None and active.restores is None and not stays:
        return _await_command(situation, command, registered)
    roll_out(situation, registered, definition=arn)


def _await_command(situation: Situation, command: tuple[str, ...], *more: Write) -> None:
    """Record the release command that must succeed before the rollout.

    What ECS runs must stay meanwhile, so the way back is recorded, too.
    """
    service, active = situation.service, situation.active
    now, minutes = clock.now(), service.settings.release_command_minutes
    commit(
        change(
            active,
            release_command=CommandRun(command=command, minutes=minutes),
            # The command of an earlier deployment may have to be stopped first.
            deadline_at=now + max(minutes * 60, SILENCE),
            progress=max(active.progress, COMMAND_STARTED),
            error=None,
            waits=0,
        ),
        # The service must not have changed since its command was read.
        change(service, **_way_back(situation), **due_by(service, now + PERIOD)),
        *more,
    )
    queue.wake(f"service-{service.id}")


def roll_out(situation: Situation, *more: Write, definition: str) -> None:
    """Record that the rollout of `definition` begins, and begin it.

    `more` are further changes of the deployment.
    Raises Stale if ECS does not run any more what it ran when the service was read.
    """
    service, target = situation.service, situation.target
    active, rollout = situation.active, situation.rollout
    if clock.now() - rollout.seen_at > MAX_CALL_DELAY:
        _require_unchanged(service, target, rollout)
    goes_back = active.restores is not None
    now, approval = clock.now(), service.settings.approval_for(is_rollback=goes_back)
    hooks = hooks_for(service, rollout, approval)
    # Two changes of one row each cost half of a transaction. If the worker dies between them, the
    # next step begins again: the service only says that a call may be in flight. A change of the
    # config that the deployment is to take changes both rows, so this step fails and is repeated.
    commit(
        change(
            service,
            called_at=now,
            drift=None,
            **hooks,
            **_way_back(situation),
            **due_by(service, now + PERIOD),
        )
    )
    commit(
        change(
            active,
            started_at=now,
            deadline_at=now + service.settings.deploy_minutes * 60,
            progress=deploy_progress(0, 1, active.progress),
            approval_minutes=approval,
            error=None,
            waits=0,
        ),
        *more,
    )
    call_update(
        service,
        target,
        rollout,
        definition,
        called_at=now,
        desired_count=active.desired_count,
        approval=approval,
        goes_back=goes_back,
    )


def restored_by_ecs(situation: Situation) -> Deployment | None:
    """The release that a rollback restores, if ECS goes back to it, or has gone back.

    Then the rollback needs no rollout of its own, which would take as long as any other one.
    """
    active, rollout = situation.active, situation.rollout
    rolling = strategy_of(rollout.configuration) == ROLLING
    if active.restores is None or rolling or situation.origin is not Origin.SLIPWAY:
        return None
    goes_to = rollout.shift.source if rollout.shift else rollout.task_definition
    if goes_to is None:
        return None
    restored = _restored(active)
    return restored if restored.task_definition == goes_to else None


def restore_by_ecs(situation: Situation, restored: Deployment) -> None:
    """Record that the rollback runs the definition of the release `restored`, and have ECS take
    back the rollout under way.
    """
    service, target, active = situation.service, situation.target, situation.active
    rollout, now = situation.rollout, clock.now()
    began = change(
        service, called_at=now, drift=None, **_way_back(situation), **due_by(service, now + PERIOD)
    )
    commit(
        transition(
            active,
            DeploymentStatus.DEPLOYING,
            task_definition=restored.task_definition,
            fingerprint=restored.fingerprint,
            started_at=now,
            deadline_at=now + service.settings.deploy_minutes * 60,
            progress=deploy_progress(0, 1, active.progress),
            error=None,
            waits=0,
        ),
        began,
    )
    if rollout.shift is None or rollout.shift.is_ending:
        return queue.wake(f"service-{service.id}")
    if not take_back(service, rollout):
        update_ecs(service, target, rollout, restored.task_definition or "")


def _restored(active: Deployment) -> Deployment:
    """The release that a rollback restores."""
    return find_deployments(active.restores)[active.restores]


def _content(active: Deployment, rollout: Rollout) -> tuple[dict[str, Any], str]:
    """The definition that a deployment starts from, and its ARN: of what runs, or of the release
    that a rollback restores.

    The revision of the restored release is not used: other parties may have deregistered it.
    """
    if active.restores is None:
        return ecs.describe_task_definition(rollout.task_definition), rollout.task_definition
    arn = _restored(active).task_definition or ""
    return kept_definition(arn) or ecs.describe_task_definition(arn), arn


def _request(target: EcsTarget, active: Deployment, content: dict[str, Any]) -> dict[str, Any]:
    """The RegisterTaskDefinition request; a rollback repeats that of the release it restores."""
    tags = content.get("tags", [])
    if active.restores is None:
        return next_task_definition(
            content, containers=target.containers, image=active.image, tags=tags
        )
    return same_task_definition(content, tags=tags)


def _overlay(
    service: Service,
    target: EcsTarget,
    active: Deployment,
    current: Deployment | None,
    rollout: Rollout,
) -> Overlay | None:
    """The service's config, which a deployment takes when it begins; None for a rollback."""
    if active.restores is not None:
        return None
    runs = rollout.task_definition
    return overlay_of(service, service.config, current, runs=runs, containers=target.containers)


def _preflight(
    situation: Situation, content: dict[str, Any], source: str, overlay: Overlay | None
) -> tuple[Finding, ...]:
    """The findings right before the rollout.

    If AWS does not answer, raises Unavailable a few times before a deployment goes on without the
    answer: the look is repeated. A rollback does not wait, since it may end an incident.
    """
    active = situation.active
    waits = active.restores is None and active.waits < PATIENCE
    look = Look(waits=waits, is_last=True)
    repository, digest = active.image_repository, active.image_digest or ""
    containers = situation.target.containers if active.restores is None else ()
    return check(
        look,
        Release(repository, digest, containers, content, settings().registry, overlay),
        service=situation.service,
        runs=situation.rollout,
        image=look_at_image(look, repository, digest),
        arn=source,
    )


def _commands_that_stay(
    service: Service, active: Deployment, current: Deployment | None
) -> list[Finding]:
    if active.trigger == TRIGGER:
        return commands_that_stay(service, active.image_digest, current)
    return crossed(service.commands, active.restores)


def _require_unchanged(service: Service, target: EcsTarget, rollout: Rollout) -> None:
    """Raise Stale if another party changed the ECS service during the looks: its choice stays."""
    again = ecs.observe(target, wanted=rollout.wanted)
    if (again.task_definition, again.newest) != (rollout.task_definition, rollout.newest):
        raise Stale(f"the ECS service of service {service.id} has changed")


def _way_back(situation: Situation) -> dict[str, str | None]:
    """The baseline to restore if the deployment fails.

    It is the definition that ECS runs now, if another party chose it. It is None if ECS runs the
    current release. Otherwise it does not change.
    """
    runs, current = situation.rollout.task_definition, situation.current
    if current is not None and runs == current.task_definition:
        return {"baseline": None}
    first = current is None and situation.service.baseline is None
    return {"baseline": runs} if first or situation.origin is Origin.OUTSIDE else {}
