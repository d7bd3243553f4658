"""What ECS should run, who chose what it runs instead, and the call that changes it."""

import logging
from typing import Any

from chalicelib import clock
from chalicelib.aws import ecs, queue
from chalicelib.domain.approval_findings import approval_findings
from chalicelib.domain.approvals import hooks_added, with_approval
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.preflight import errors_as_text, has_errors
from chalicelib.domain.requests import update_service_request
from chalicelib.domain.rollouts import Origin, Rollout, Shift, origin_of, settled_at
from chalicelib.domain.strategies import at_once, merged
from chalicelib.domain.timing import PERIOD
from chalicelib.errors import Rejected, Stale
from chalicelib.store.definitions import deployment_of
from chalicelib.store.due import due_by
from chalicelib.store.history import record
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import Write, change, commit

logger = logging.getLogger("slipway")

# Seconds until a look whether ECS has taken a rollout back, and for how long it is looked so often.
# Moving the weights takes seconds, and ECS sends no event when that is done.
_GOING_BACK, _OFTEN = 10, 120
# Seconds between recording a call and making it. A slower worker must decide again: another worker
# may have rolled out the same definition and seen it fail. After so many seconds a begin reads the
# ECS service again.
MAX_CALL_DELAY = 5


def definition_to_restore(service: Service, current: Deployment | None) -> str | None:
    """The definition that Slipway restores without an active deployment, if ECS runs another."""
    return service.baseline or (current.task_definition if current else None)


def definition_to_keep(
    service: Service, current: Deployment | None, rollout: Rollout
) -> str | None:
    """The definition that ECS should run without an active deployment.

    If ECS runs the release, keep it, even if the baseline is another definition: the owner has
    chosen the release again.
    """
    release = current.task_definition if current else None
    back = release is not None and rollout.task_definition == release
    return release if back else definition_to_restore(service, current)


def find_origin(
    service: Service, rollout: Rollout, wanted: str | None, *, begun_at: int | None = None
) -> Origin:
    """Who made ECS run what it runs instead of `wanted`."""
    call = rollout.newest
    is_other = call is not None and wanted not in {rollout.task_definition, call.task_definition}
    called = deployment_of(service.id, call.task_definition) if call and is_other else None
    restores = call is not None and call.task_definition == service.baseline
    return origin_of(
        rollout,
        wanted=wanted,
        by_slipway=called is not None or restores,
        called_at=service.called_at,
        ended_at=called.finished_at if called else None,
        begun_at=begun_at,
    )


def own_shift(deployment: Deployment, rollout: Rollout) -> Shift | None:
    """The deployment's own rollout, while it moves traffic."""
    shift = rollout.shift
    is_own = shift is not None and shift.task_definition == deployment.task_definition
    return shift if is_own and deployment.started_at is not None else None


def what_runs(service: Service, rollout: Rollout) -> str:
    """What ECS runs, as text."""
    deployment = deployment_of(service.id, rollout.task_definition)
    of = f" of deployment {deployment.number}" if deployment else ""
    return f"ECS runs {rollout.task_definition}{of}"


def drift_of(service: Service, rollout: Rollout) -> str:
    """The drift of a service whose ECS service another party changed."""
    runs, call = what_runs(service, rollout), rollout.newest
    chosen = "which was chosen outside Slipway"
    if call is None or call.task_definition == rollout.task_definition:
        return f"{runs}, {chosen}"
    return f"{runs}, to which it went back from {call.task_definition}, {chosen}"


def not_recorded(runs: str) -> str:
    """The drift of a service as long as ECS has no service deployment for what it runs."""
    return f"{runs}, and has not recorded yet who chose that"


def note_choice(
    service: Service, rollout: Rollout, runs: str, *, superseded: int | None = None
) -> list[Write]:
    """The pause of auto-deploy and the audit entry for a new choice of another party.

    It also ends the wait for a success: the service runs what they chose. Empty if the choice is
    known. ECS does not say who made it.
    """
    call = rollout.newest
    if call is None or service.chosen == call.arn:
        return []
    pause = (
        f"the ECS service was changed outside Slipway: {runs}; "
        "deploy or roll back explicitly, or resume auto-deploy"
    )
    return [
        change(service, chosen=call.arn, auto_deploy_paused=pause, failing_since=None),
        record(
            f"service-{service.id}",
            "service.changed_outside",
            at=clock.now(),
            actor="outside",
            project_id=service.project_id,
            service_id=service.id,
            task_definition=call.task_definition,
            service_deployment=call.arn,
            superseded=superseded,
        ),
    ]


def judge_soon(service: Service, origin: Origin) -> None:
    """Look at the choice of another party as soon as no call of Slipway can be in flight any more.

    The schedule alone would show it, and pause auto-deploy, up to a minute later.
    """
    if origin is Origin.OUTSIDE:
        delay = max(0, settled_at(service.called_at) - clock.now())
        queue.wake(f"service-{service.id}", delay=delay)


def take_back(service: Service, rollout: Rollout) -> bool:
    """Record a call, and have ECS take back the rollout that moves traffic.

    False if AWS refuses it: then only another rollout helps. Raises Unavailable if the rollout has
    just ended.
    """
    if rollout.shift is None:
        return False
    now = clock.now()
    commit(change(service, called_at=now, **due_by(service, now + PERIOD)))
    require_prompt(service, called_at=now)
    try:
        ecs.take_back(rollout.shift.arn)
    except Rejected as refusal:
        logger.warning("service-%s: ECS does not take it back: %s", service.id, refusal.detail)
        return False
    queue.wake(f"service-{service.id}", delay=_GOING_BACK)
    return True


def look_soon(service: Service, rollout: Rollout) -> None:
    """Look again soon while ECS takes a rollout back."""
    is_ending = rollout.shift is not None and rollout.shift.is_ending
    if is_ending and clock.now() < (service.called_at or 0) + _OFTEN:
        queue.wake(f"service-{service.id}", delay=_GOING_BACK)


def update_ecs(
    service: Service,
    target: EcsTarget,
    rollout: Rollout,
    task_definition: str,
    *,
    desired_count: int | None = None,
    approval: int | None = None,
    goes_back: bool = True,
) -> None:
    """Record a call, and then make ECS run a task definition, and so many tasks if it is given.

    With `approval` ECS waits so many minutes for a person before it moves traffic. If it
    `goes_back` to what ran before, the traffic moves at once. Raises the errors of `hooks_for`.
    """
    now = clock.now()
    hooks = hooks_for(service, rollout, approval)
    commit(change(service, called_at=now, **hooks, **due_by(service, now + PERIOD)))
    call_update(
        service,
        target,
        rollout,
        task_definition,
        called_at=now,
        desired_count=desired_count,
        approval=approval,
        goes_back=goes_back,
    )


def call_update(
    service: Service,
    target: EcsTarget,
    rollout: Rollout,
    task_definition: str,
    *,
    called_at: int,
    desired_count: int | None = None,
    approval: int | None = None,
    goes_back: bool = True,
) -> None:
    """Make the UpdateService call that was recorded at `called_at`. Raises Stale if it is late."""
    require_prompt(service, called_at=called_at)
    ecs.update_service(
        update_service_request(
            target,
            task_definition=task_definition,
            deployment_configuration=_configuration(
                service, rollout, approval, goes_back=goes_back
            ),
            desired_count=desired_count,
        )
    )


def hooks_for(service: Service, rollout: Rollout, approval: int | None) -> dict[str, Any]:
    """The attributes that remember Slipway's hook before a call that adds it.

    Raises Rejected if ECS would not wait for the approval.
    """
    added = service.hook_minutes
    if approval is not None:
        findings = approval_findings(rollout, service.settings.strategy, added=added)
        if has_errors(findings):
            raise Rejected(errors_as_text(findings), code=findings[0].code)
    hooks = hooks_added(rollout.configuration, approval, added=added)
    return {} if (hooks or set()) == added else {"approval_hooks": hooks}


def _configuration(
    service: Service, rollout: Rollout, approval: int | None, *, goes_back: bool
) -> dict[str, Any] | None:
    """The deploymentConfiguration to send; None for Express Mode, which has its own."""
    if rollout.is_express:
        return None
    setting, described = service.settings.strategy, rollout.configuration
    wanted = merged(described, at_once(described, setting) if goes_back else setting)
    return with_approval(wanted, approval, added=service.hook_minutes)


def require_prompt(service: Service, *, called_at: int) -> None:
    """Raise Stale if the call that was recorded at `called_at` would be late."""
    if clock.now() - called_at > MAX_CALL_DELAY:
        raise Stale(f"service {service.id} was not updated in time and may have changed")
