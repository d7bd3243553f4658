"""The end of a rollout in ECS: the proof that a release runs, or the cause of its failure."""

import logging
from dataclasses import dataclass
from typing import Any

from chalicelib.aws import ecr, ecs, logs
from chalicelib.domain.deploy_failures import failure_of
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.failures import TAIL_LINES, Failure, Phase
from chalicelib.domain.log_text import clean_lines
from chalicelib.domain.release_receipts import ServiceDeployment, evidence, warnings_of
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.tasks import (
    Task,
    digests_of,
    explaining,
    failed_container,
    log_stream,
    missing_proof,
    why_stopped,
)
from chalicelib.errors import Rejected
from chalicelib.known_secrets import known_secrets
from chalicelib.store.definitions import kept_definition
from chalicelib.store.models import Deployment

logger = logging.getLogger("slipway")

# Seconds after the begin of a rollout until which ECS must have recorded it.
_RECORDED = 600


@dataclass(frozen=True)
class Proof:
    """The evidence for a release, and what it does not show. If some is `missing`, it says what."""

    missing: str | None = None
    evidence: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()


def find_proof(
    active: Deployment, target: EcsTarget, rollout: Rollout, *, now: int, overdue: bool = False
) -> Proof:
    """The proof that ECS runs the active deployment, after ECS has ended its rollout.

    If it is `overdue`, tasks that are missing only because the service was scaled up are no longer
    waited for. Raises Rejected and Unavailable.
    """
    definition = active.task_definition or ""
    desired, short = rollout.desired, rollout.running != rollout.desired
    if short and not overdue:
        return Proof(f"{rollout.running} of {rollout.desired} tasks are healthy")
    record = ecs.record_of(target, definition)
    if record is None and now - (active.started_at or now) < _RECORDED:
        return Proof("ECS has not recorded the rollout yet")
    if record is not None and record.status != "SUCCESSFUL":
        return Proof(f"its record of the rollout is {record.status}")
    if short:
        if not _was_scaled_up(active, target, rollout, record):
            return Proof(f"{rollout.running} of {rollout.desired} tasks are healthy")
        desired = rollout.running
    tasks = [task for task in ecs.running_tasks(target) if task.task_definition == definition]
    digests = {active.image_digest or ""}
    if not digests_of(tasks, active.image) <= digests:
        digests = ecr.digests_of(active.image_repository, active.image_digest or "")
    missing = missing_proof(tasks, image=active.image, digests=digests, desired=desired)
    if missing is not None:
        return Proof(missing)
    unseen = warnings_of(record, desired=rollout.desired, configuration=rollout.configuration)
    if short:
        unseen.append(
            f"{desired} of {rollout.desired} tasks run: the ECS service was scaled up after the "
            "rollout, and ECS has not started the others"
        )
    warnings = clean_lines(unseen, known_secrets())
    found = evidence(
        record,
        [task for task in tasks if task.runs],
        image=active.image,
        desired=rollout.desired,
        verified_at=now,
        warnings=warnings,
    )
    return Proof(evidence=found, warnings=tuple(warnings))


def _was_scaled_up(
    active: Deployment, target: EcsTarget, rollout: Rollout, record: ServiceDeployment | None
) -> bool:
    """Whether tasks are missing only because more of them are desired since the rollout ended.

    Without early success ECS ends a rollout well when all desired tasks are healthy ("Complete
    Amazon ECS rolling deployments early with early success criteria"). So either some of them have
    stopped since, or more are desired now.
    """
    early = rollout.configuration.get("earlySuccessCriteria", {}).get("enable")
    ended_at = record.finished_at if record is not None else None
    if early or ended_at is None or not 0 < rollout.running < rollout.desired:
        return False
    return all((task.stopped_at or 0) < ended_at for task in _explaining_tasks(active, target))


def find_rollout_failure(
    active: Deployment, target: EcsTarget, rollout: Rollout, reason: str, *, phase: Phase
) -> Failure:
    """The failure of a deployment that ends with `reason` after its rollout began.

    If AWS does not let Slipway look, the failure has the reason only. Raises Unavailable.
    """
    begun_at = active.started_at or 0
    tasks = _explaining_tasks(active, target)
    return failure_of(
        reason,
        tasks=tasks,
        events=[each for each in rollout.events if each.at >= begun_at],
        log_tail=_log_tail(tasks[0]) if tasks else (),
        phase=phase,
    )


def find_crash(current: Deployment, target: EcsTarget) -> str | None:
    """Why the newest task of a release stopped after its success; None if ECS shows none."""
    tasks = _explaining_tasks(current, target)
    since = current.finished_at or 0
    return next((why_stopped(task) for task in tasks if (task.stopped_at or 0) >= since), None)


def _explaining_tasks(deployment: Deployment, target: EcsTarget) -> list[Task]:
    """The stopped tasks of a deployment that did not stop because ECS wanted fewer, newest first.

    Empty if Slipway may not look. Raises Unavailable.
    """
    try:
        stopped = ecs.stopped_tasks(target)
    except Rejected as refusal:
        logger.warning("the tasks of %s cannot be read: %s", deployment.job_id, refusal.detail)
        return []
    return explaining(stopped, deployment.task_definition or "")


def _log_tail(task: Task) -> list[str]:
    """The last lines of the failed container, cleaned; empty if Slipway cannot read them."""
    container = failed_container(task)
    definition = kept_definition(task.task_definition)
    if container is None or definition is None:
        return []
    region = task.task_definition.split(":")[3]
    stream = log_stream(definition, task, container, region=region)
    if stream is None:
        return []
    try:
        lines = logs.tail(stream, limit=5 * TAIL_LINES)
    except Rejected as refusal:
        logger.warning("the log of %s cannot be read: %s", task.arn, refusal.detail)
        return []
    # Clean more lines than are kept: a secret may begin before them.
    return clean_lines(lines, known_secrets())[-TAIL_LINES:]
