"""Requests for a rollback, and the preview of one."""

from functools import partial

import msgspec
from msgspec import UNSET, UnsetType

from chalicelib import clock
from chalicelib.aws import ecs, queue
from chalicelib.domain.config import Config
from chalicelib.domain.plan import Plan
from chalicelib.domain.preflight import Finding, PreflightFailed, Release, has_errors
from chalicelib.domain.release_commands import crossed
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.timing import PERIOD
from chalicelib.errors import Conflict, NotFound
from chalicelib.pipeline.commands.deployments import require_target
from chalicelib.pipeline.config_releases import set_config
from chalicelib.pipeline.deployment_logs import events_until_now
from chalicelib.pipeline.new_deployments import (
    audit_request,
    image_of,
    new_deployment,
    require_expected,
    supersede_checking,
    supersede_waiting,
)
from chalicelib.pipeline.plans import Checked, plan_of_rollback
from chalicelib.pipeline.preflight import (
    Look,
    check,
    look_at_definition,
    look_at_service,
)
from chalicelib.pipeline.restoring import Target, release_before, restorable
from chalicelib.pipeline.retries import retry_with_fresh_service
from chalicelib.store.claims import next_number
from chalicelib.store.definitions import kept_definition
from chalicelib.store.due import due_by
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.jobs import find_deployments, finish
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import Write, change, commit, create

_MAX_STEPS_BACK = 20


class Preview(msgspec.Struct, frozen=True):
    """The release that a rollback would restore, with the plan, or the `refusal` that it would get.

    There is a plan, too, if only preflight refuses.
    """

    target: Deployment | None
    plan: Plan | None = None
    refusal: Conflict | None = None


def preview(service: Service, deployment_id: int | None = None) -> Preview:
    """The outcome of a rollback request, which is not made.

    Raises NotFound for a deployment of another service.
    """
    look = Look()
    try:
        require_target(service)
        target = _target(service, deployment_id, look)
    except Conflict as refusal:
        return Preview(None, refusal=refusal)
    checked = _checked(service, target, look)
    running = look_at_definition(look, checked.service)
    refused = PreflightFailed(checked.findings) if has_errors(checked.findings) else None
    after = _restored_config(service, target.release)
    plan = plan_of_rollback(service, checked, target.release, running, after)
    return Preview(target.release, plan, refused)


def request_rollback(
    service: Service,
    *,
    actor: str,
    deployment_id: int | None,
    reason: str | None,
    expected: int | UnsetType | None = UNSET,
    idempotency_key: IdempotencyKey | None = None,
) -> Deployment:
    """Accept a rollback to an earlier release. It becomes active at once.

    The active and the waiting deployment end, and the service gets the config of the release.
    `expected` is that of the plan that the caller saw.
    Raises Conflict (plan_is_old, nothing_to_roll_back, rollback_in_progress, already_running,
    not_deployable, other_ecs_service, service_not_configured, preflight_failed), NotFound for a
    deployment of another service.
    """
    look = Look()
    # Preflight takes time. It is not repeated if another request changes the service meanwhile.
    known: dict[int, tuple[Finding, ...]] = {}

    def accept(service: Service) -> Deployment:
        require_target(service)
        require_expected(service, expected)
        chosen = _target(service, deployment_id, look)
        target = chosen.release
        if target.number not in known:
            known[target.number] = _checked(service, chosen, look).findings
        findings = known[target.number]
        if has_errors(findings):
            raise PreflightFailed(findings)
        leaving = service.active if service.active is not None else service.current
        deployment = new_deployment(
            service,
            next_number("deployments"),
            image_of(target),
            actor=actor,
            trigger="rollback",
            reason=reason,
            target=target.target,
            findings=findings,
            restores=target.number,
            rollback_of=leaving,
            config=_config_of_rollback(service, target),
        )
        after = _restored_config(service, target)
        commit(
            *_activate(service, deployment),
            *set_config(service, after, actor=actor, reason=reason, deployment=deployment.number),
            *record_key(idempotency_key, deployment.number),
        )
        return deployment

    deployment = retry_with_fresh_service(service, accept)
    queue.wake(f"service-{service.id}")
    return deployment


def _checked(service: Service, target: Target, look: Look) -> Checked:
    """The release to restore, after its preflight."""
    release = target.release
    # A release that is older than its attribute `target` ran where the service is deployed now:
    # `restorable` refuses the others.
    place = release.target or require_target(service)
    image = image_of(release)
    arn = release.task_definition or ""
    kept = kept_definition(arn)
    content = look(partial(ecs.describe_task_definition, arn)) if kept is None else kept
    runs = look_at_service(look, place)
    findings = check(
        look,
        Release(image.repository, image.digest, (), content, image.registry),
        service=service,
        runs=runs,
        image=target.image,
        arn=arn,
    )
    warned = (*findings, *crossed(service.commands, release.number))
    return Checked(image, place.containers, warned, runs, content)


def _restored_config(service: Service, release: Deployment) -> Config:
    """The service's config after a rollback to `release`, which an old release has not.

    The number of tasks stays: going back in an incident must not take capacity away.
    """
    count = service.config.desired_count
    return msgspec.structs.replace(release.own_config, desired_count=count)


def _config_of_rollback(service: Service, release: Deployment) -> Config:
    """The config that runs after a rollback, with the number of tasks that ECS was asked for."""
    rows = find_deployments(service.active, service.current)
    asked = [
        row.own_config.desired_count
        for row in (rows.get(service.active), rows.get(service.current))
        if row is not None and row.config is not None and row.started_at is not None
    ]
    count = asked[0] if asked else None
    return msgspec.structs.replace(release.own_config, desired_count=count)


def _activate(service: Service, rollback: Deployment) -> list[Write]:
    """Make the rollback active, end the active and the waiting deployment, pause auto-deploy."""
    pause = (
        f"deployment {rollback.number} rolls back to deployment {rollback.restores}; "
        "resume auto-deploy, or deploy an image explicitly"
    )
    now = clock.now()
    state = {"active": rollback.number, "waiting": None, "auto_deploy_paused": pause}
    ended = service.active if service.active is not None else service.checking
    if ended is not None:
        state["last_deployment"] = ended
    writes = [
        create(rollback),
        change(service, **state, overruled_at=now, **due_by(service, now + PERIOD)),
        audit_request(rollback),
    ]
    if service.active is not None:
        active = find_deployments(service.active)[service.active]
        error = f"rolled back before it was done, by deployment {rollback.number}"
        events = events_until_now(active)
        writes.append(
            finish(active, DeploymentStatus.ROLLED_BACK, at=clock.now(), error=error, **events)
        )
    # A push before the rollback is not deployed any more.
    overruled = (supersede_waiting, supersede_checking)
    return [*writes, *(write for end in overruled for write in end(service, rollback))]


def _target(service: Service, wanted: int | None, look: Look) -> Target:
    rows = find_deployments(service.active, service.current, service.moved_from, wanted)
    active = rows.get(service.active)
    if active is not None and active.restores is not None:
        raise Conflict(
            f"deployment {active.number} is rolling back already", code="rollback_in_progress"
        )
    if wanted is not None:
        return _named(service, wanted, rows.get(wanted), look, idle=active is None)
    current = rows.get(service.current)
    if current is None:
        return _nearest(service, rows.get(service.moved_from), look)
    return _nearest(service, current if active else release_before(current), look)


def _named(
    service: Service, number: int, target: Deployment | None, look: Look, *, idle: bool
) -> Target:
    if target is None or target.service_id != service.id:
        raise NotFound(f"there is no deployment {number}", field="deployment_id")
    if idle and number == service.current:
        raise Conflict(f"deployment {number} runs already", code="already_running")
    if target.progress != 100 or target.task_definition is None:
        raise Conflict(
            f"deployment {number} was never healthy: its status is {target.status}",
            code="not_deployable",
        )
    found = restorable(service, target, look)
    if isinstance(found, Conflict):
        raise found
    return found


def _nearest(service: Service, target: Deployment | None, look: Look) -> Target:
    """The first release, going back from `target`, that can be restored."""
    refusals = []
    for _ in range(_MAX_STEPS_BACK):
        if target is None:
            break
        found = restorable(service, target, look)
        if isinstance(found, Target):
            return found
        refusals.append(found.detail)
        target = release_before(target)
    why = f": {refusals[0]}" if refusals else ""
    raise Conflict(
        f"service {service.id} has no earlier release to go back to{why}",
        code="nothing_to_roll_back",
    )
