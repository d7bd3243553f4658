"""The end of a deployment, in one transaction with the begin of the waiting one."""

from collections.abc import Mapping
from typing import Any

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain import metrics
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.failures import Failure, Phase, one_line
from chalicelib.domain.health import Health, next_count
from chalicelib.domain.log_text import clean_text
from chalicelib.domain.progress import with_duration
from chalicelib.domain.release_receipts import sealed
from chalicelib.domain.releases import rollback_target
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.timing import rfc3339
from chalicelib.known_secrets import known_secrets
from chalicelib.pipeline.config_releases import activate_after_failure
from chalicelib.pipeline.reconcilers.evidence import Proof, find_rollout_failure, kept_events
from chalicelib.store.history import record
from chalicelib.store.jobs import find_deployments, finish, leave
from chalicelib.store.models import Deployment, Service
from chalicelib.store.release_receipts import keep_release_receipt
from chalicelib.store.services import activate_waiting
from chalicelib.store.writes import Write, change, commit


def succeed(
    service: Service,
    active: Deployment,
    current: Deployment | None,
    rollout: Rollout,
    proof: Proof,
) -> None:
    """End the deployment, make it current, and activate the waiting one, in one transaction.

    The receipt, which names the receipt before it, is written first.
    """
    now = clock.now()
    receipt = sealed({**_facts(active), **proof.evidence}, service.receipt)
    left = service.moved_from if current is None else None
    restored = current.restores if current is not None else None
    rows = find_deployments(active.restores, left, restored)
    before = current or rows.get(left)
    back_to = rollback_target(active, replaced=before, restored=rows.get(active.restores))
    replaced = current.number if current is not None else None
    resumed: dict[str, Any] = {"auto_deploy_paused": None} if active.trigger == "manual" else {}
    keep_release_receipt(active.number, receipt)
    commit(
        finish(
            active,
            DeploymentStatus.SUCCESS,
            at=now,
            rollback_to=back_to,
            replaced=replaced,
            receipt=receipt["hash"],
            warnings="\n".join(proof.evidence["warnings"]) or None,
            **_times(service, active, current, now),
            events=kept_events(active, rollout.events),
        ),
        *activate_waiting(service, find_deployments(service.waiting).get(service.waiting), at=now),
        change(
            service,
            current=active.number,
            last_deployment=active.number,
            baseline=None,
            drift=None,
            health=None,
            failed_deployment=None,
            failing_since=None,
            newest_source=_newest_source(service, active, current),
            tasks=next_count(service.tasks, rollout),
            receipt={"deployment_id": active.number, "hash": receipt["hash"]},
            deploy_seconds=_durations(service, active, now),
            **resumed,
        ),
        *_note_recovery(service, active, proof),
        *_mark_left(active, current, rows, at=now),
    )
    queue.wake(f"service-{service.id}")


def _durations(service: Service, active: Deployment, now: int) -> list[int]:
    """How long deployments took. The wait for a person says nothing about the next one."""
    if active.approval_minutes is not None:
        return [*(service.deploy_seconds or ())]
    return with_duration(service.deploy_seconds, now - (active.begun_at or now))


def fail(service: Service, active: Deployment, reason: str, *more: Write) -> None:
    """End the active deployment with a reason that needs no look at ECS."""
    phase = Phase.RELEASE_COMMAND if active.release_command is not None else Phase.BEGIN
    begun = active.started_at is not None
    failure = Failure(phase=Phase.ROLL_OUT if begun else phase, summary=one_line(reason))
    end(service, active, DeploymentStatus.FAILED, reason, *more, failure=failure)


def fail_rollout(
    service: Service,
    target: EcsTarget,
    active: Deployment,
    rollout: Rollout,
    reason: str,
    *,
    phase: Phase = Phase.ROLL_OUT,
) -> None:
    """End the active deployment with the cause that ECS shows."""
    if active.started_at is None:
        return fail(service, active, reason)
    reason = clean_text(reason, known_secrets())
    failure = find_rollout_failure(active, target, rollout, reason, phase=phase)
    known = failure.summary == one_line(reason)
    error = reason if known else f"{failure.summary} ({reason})"
    shown = change(active, events=kept_events(active, rollout.events))
    end(service, active, DeploymentStatus.FAILED, error, shown, failure=failure)


def end(
    service: Service,
    active: Deployment,
    status: DeploymentStatus,
    error: str,
    *more: Write,
    failure: Failure | None = None,
) -> None:
    """End the active deployment without a success, and activate the waiting one.

    What waits because of a change of the config does not roll a failed image out again.
    """
    now = clock.now()
    why: dict[str, Any] = {"failure": failure} if failure is not None else {}
    commit(
        finish(active, status, at=now, error=error, **why),
        *_note_failure(service, active, status, at=now),
        *activate_after_failure(service, active, at=now),
        *more,
    )
    queue.wake(f"service-{service.id}")


def note_health(
    service: Service, health: Health | None, *, release: int | None, running: int, desired: int
) -> list[Write]:
    """The audit entry when tasks of the release have been missing, and when that is over.

    `release` is the deployment of which `running` of `desired` tasks run now.
    """
    reported = service.health is not None and service.health.reported
    if reported == (health is not None and health.reported):
        return []
    shown = health or service.health
    return [
        record(
            f"service-{service.id}",
            "service.recovered" if reported else "service.unhealthy",
            at=clock.now(),
            actor="ecs",
            project_id=service.project_id,
            service_id=service.id,
            deployment_id=release,
            running=running,
            desired=desired,
            since=shown and rfc3339(shown.since),
            why=shown and shown.why,
        )
    ]


def _note_recovery(service: Service, active: Deployment, proof: Proof) -> list[Write]:
    """The audit entry if tasks of the earlier release were missing, and those of this one run."""
    if not proof.evidence["tasks"]:
        return []
    desired = proof.evidence["desired_tasks"]
    return note_health(service, None, release=active.number, running=desired, desired=desired)


def _facts(active: Deployment) -> dict[str, Any]:
    """The part of a receipt that comes from the deployment."""
    names = (
        "service_id",
        "project_id",
        "image",
        "image_digest",
        "build_id",
        "commit_sha",
        "task_definition",
        "fingerprint",
        "restores",
        "created_at",
        "started_at",
    )
    facts = {name: getattr(active, name) for name in names}
    target = active.target
    return {
        "deployment_id": active.number,
        **facts,
        "ecs_cluster": target and target.cluster,
        "ecs_service": target and target.service,
    }


def _times(
    service: Service, active: Deployment, current: Deployment | None, now: int
) -> dict[str, Any]:
    """The lead time and the time to restore of a success; None where it has none."""
    is_rollback = active.restores is not None
    newest = service.newest_source or _source(current)
    lead = metrics.lead_time(_source(active), newest, finished_at=now)
    restore = metrics.restore_time(
        service.failing_since,
        is_rollback=is_rollback,
        created_at=active.created_at,
        finished_at=now,
    )
    return {"lead_seconds": None if is_rollback else lead, "restore_seconds": restore}


def _newest_source(
    service: Service, active: Deployment, current: Deployment | None
) -> metrics.Source:
    """The newest push that has run on the service, after the success of the active deployment."""
    newest, own = service.newest_source or _source(current), _source(active)
    return own if own.is_later_than(newest) else newest


def _source(release: Deployment | None) -> metrics.Source:
    if release is None:
        return metrics.Source()
    return metrics.Source(release.pushed_at, release.build_id)


def _note_failure(
    service: Service, active: Deployment, status: DeploymentStatus, *, at: int
) -> list[Write]:
    """The service shows the failure until its next success."""
    if status != DeploymentStatus.FAILED:
        return []
    since = metrics.failing_since(
        service.failing_since,
        is_rollback=active.restores is not None,
        rolled_out=active.started_at is not None,
        created_at=active.created_at,
        ended_at=at,
    )
    return [change(service, failed_deployment=active.number, failing_since=since)]


def _mark_left(
    active: Deployment,
    current: Deployment | None,
    known: Mapping[int | None, Deployment],
    *,
    at: int,
) -> list[Write]:
    """A successful rollback marks the release that it left.

    If that is a rollback, too, it also marks the earlier release that ran again by it, unless it
    goes forward again. `known` are rows that have been read.
    """
    if current is None or active.restores in {None, current.number}:
        return []
    ran, runs = _restored_by(current, known), _restored_by(active, known)
    left = [current, *([ran] if ran is not current and runs.number < ran.number else [])]
    return [leave(each, at=at) for each in left if each.status == DeploymentStatus.SUCCESS]


def _restored_by(release: Deployment, known: Mapping[int | None, Deployment]) -> Deployment:
    """The release that a rollback has restored, or any other release itself."""
    while release.restores is not None:
        number = release.restores
        release = known.get(number) or find_deployments(number)[number]
    return release
