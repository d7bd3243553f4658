"""The end of a rollout in ECS: the proof that a release runs, or the cause of its failure."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from chalicelib.aws import ecr, ecs, logs
from chalicelib.domain.deploy_failures import Event, failure_of
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.failures import TAIL_LINES, Failure, Phase, one_line
from chalicelib.domain.log_streams import LogStream
from chalicelib.domain.log_text import clean_lines, clean_text
from chalicelib.domain.preflight import Unknown
from chalicelib.domain.release_receipts import ServiceDeployment, evidence, warnings_of
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.tasks import (
    Container,
    Task,
    awaited,
    bad_ends,
    digests_of,
    explaining,
    failed_container,
    log_stream,
    missing_proof,
    why_stopped,
)
from chalicelib.domain.timing import RECORDED
from chalicelib.errors import Rejected, Unavailable
from chalicelib.known_secrets import known_secrets
from chalicelib.store.definitions import kept_definition
from chalicelib.store.models import Deployment

logger = logging.getLogger("slipway")

_T = TypeVar("_T")

# How often a look is repeated if AWS does not answer: preflight's, and at the tasks of a failed
# rollout.
PATIENCE = 3
# So many of the newest failed tasks may have the log: CloudWatch shows the last one late.
_LOGS = 3
# A row has at most 400 KB, and a list reads many rows.
_KEPT_EVENTS = 30
_KEPT_TASKS = 5


class Proof(msgspec.Struct, frozen=True):
    """The evidence for a release, or what is `missing` for it."""

    missing: str | None = None
    evidence: dict[str, Any] = msgspec.field(default_factory=dict)


def find_proof(
    active: Deployment, target: EcsTarget, rollout: Rollout, *, now: int, overdue: bool = False
) -> Proof:
    """The proof that ECS runs the active deployment, after ECS has ended its rollout.

    If it is `overdue`, two things are no longer waited for: tasks that are missing only because the
    service was scaled up, and, if no task is missing, what AWS does not let Slipway read. Otherwise
    raises Rejected and Unavailable.
    """
    short = rollout.running < rollout.desired
    if short and not overdue:
        return Proof(_too_few(rollout))
    # Only a look that succeeds can tell why tasks are missing.
    may_fail = overdue and not short
    record = _look(partial(ecs.record_of, target, active.task_definition or ""), may_fail)
    if record is None and now - (active.started_at or now) < RECORDED:
        return Proof("ECS has not recorded the rollout yet")
    if isinstance(record, ServiceDeployment) and record.status != "SUCCESSFUL":
        return Proof(f"its record of the rollout is {record.status}")
    found = None if isinstance(record, Unknown) else record
    if short and not _was_scaled_up(active, target, rollout, found):
        return Proof(_too_few(rollout))
    desired = rollout.running if short else rollout.desired
    # A rollback restores all images of a definition: it may be older than the list of containers.
    names = target.containers if active.restores is None else ()
    tasks = _look(partial(_running, active, target), may_fail)
    digests: set[str] | Unknown = set()
    if not isinstance(tasks, Unknown):
        digests = _look(partial(_digests, active, tasks), may_fail)
        # Without the image index each task must at least report some digest.
        proven = digests_of(tasks, active.image) if isinstance(digests, Unknown) else digests
        missing = missing_proof(
            tasks, image=active.image, digests=proven, desired=desired, containers=names
        )
        if missing is not None:
            return Proof(missing)
    warnings = [
        f"not proven: {each.reason}; this success rests on the report of ECS"
        for each in (record, tasks, digests)
        if isinstance(each, Unknown)
    ]
    if not isinstance(tasks, Unknown):
        warnings += bad_ends(tasks, target.containers)
    warnings += warnings_of(record, desired=rollout.desired, configuration=rollout.configuration)
    if short:
        warnings.append(
            f"{desired} of {rollout.desired} tasks run: the ECS service was scaled up after the "
            "rollout, and ECS has not started the others"
        )
    shown = evidence(
        found,
        () if isinstance(tasks, Unknown) else tasks,
        image=active.image,
        desired=rollout.desired,
        verified_at=now,
        warnings=clean_lines(warnings, known_secrets()),
    )
    return Proof(evidence=shown)


def _too_few(rollout: Rollout) -> str:
    return f"{rollout.running} of {rollout.desired} tasks run"


def _look(look: Callable[[], _T], may_fail: bool) -> _T | Unknown:
    """The result of a look at AWS. If it fails and may fail, the reason."""
    try:
        return look()
    except (Rejected, Unavailable) as trouble:
        if not may_fail:
            raise
        return Unknown(trouble.detail)


def _running(active: Deployment, target: EcsTarget) -> list[Task]:
    """The running tasks of the deployment."""
    tasks = ecs.running_tasks(target)
    return [task for task in tasks if task.task_definition == active.task_definition and task.runs]


def _digests(active: Deployment, tasks: list[Task]) -> set[str]:
    """The digests that a container of the image may report. ECR is only asked for an index."""
    digest = active.image_digest or ""
    if digests_of(tasks, active.image) <= {digest}:
        return {digest}
    return ecr.digests_of(active.image_repository, digest)


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
    return all((task.stopped_at or 0) < ended_at for task in _explaining_tasks(active, target, {}))


def find_rollout_failure(
    active: Deployment, target: EcsTarget, rollout: Rollout, reason: str, *, phase: Phase
) -> Failure:
    """The failure of a deployment that ends with `reason` after its rollout began.

    What AWS does not let Slipway read is left out. Raises Unavailable a few times before that: the
    look is repeated.
    """
    definition = definition_of(active)
    try:
        tasks = _explaining_tasks(active, target, definition)
    except Unavailable as trouble:
        if active.waits < PATIENCE:
            raise
        logger.warning("the tasks of %s cannot be read: %s", active.job_id, trouble.detail)
        tasks = []
    events = rollout_events(active, rollout.events)
    return failure_of(
        reason, tasks=tasks, events=events, log_tail=_log_tail(tasks, definition), phase=phase
    )


def rollout_events(deployment: Deployment, events: Sequence[Event]) -> list[Event]:
    """The events since the begin of a rollout, clean and on one line each, oldest first.

    `events` are the newest first, as ECS shows them.
    """
    return [
        replace(each, message=one_line(clean_text(each.message, known_secrets())))
        for each in reversed(events)
        if each.at >= (deployment.started_at or 0)
    ]


def kept_events(deployment: Deployment, events: Sequence[Event]) -> list[list[Any]]:
    """The newest events of a rollout, as its row keeps them: time and message."""
    found = rollout_events(deployment, events)
    return [[each.at, each.message] for each in found[-_KEPT_EVENTS:]]


def kept_tasks(deployment: Deployment, target: EcsTarget, rollout: Rollout) -> list[str] | None:
    """The ARNs of the first tasks of a rollout, as its row keeps them.

    ECS shows a stopped task for an hour, and its log stays. ECS is only asked until there are
    enough, and a look that fails changes nothing.
    """
    known: list[str] = deployment.task_arns or []
    if len(known) >= _KEPT_TASKS or rollout.task_definition != deployment.task_definition:
        return known or None
    try:
        found = ecs.arns_of_rollout(target.cluster, rollout.id)
    except (Rejected, Unavailable) as trouble:
        logger.warning("the tasks of %s cannot be read: %s", deployment.job_id, trouble.detail)
        return known or None
    return list(dict.fromkeys([*known, *found]))[:_KEPT_TASKS]


def find_crash(current: Deployment, target: EcsTarget, *, since: int) -> str | None:
    """Why the newest task of a release stopped since a time; None if ECS shows none."""
    try:
        tasks = _explaining_tasks(current, target, definition_of(current))
    except Unavailable as trouble:
        # That tasks are missing is known without the reason.
        logger.warning("the tasks of %s cannot be read: %s", current.job_id, trouble.detail)
        return None
    return next((why_stopped(task) for task in tasks if (task.stopped_at or 0) >= since), None)


def definition_of(deployment: Deployment) -> Mapping[str, Any]:
    """The content of the deployment's task definition; empty if it was not kept."""
    return kept_definition(deployment.task_definition or "") or {}


def _explaining_tasks(
    deployment: Deployment, target: EcsTarget, definition: Mapping[str, Any]
) -> list[Task]:
    """The stopped tasks of a deployment that explain a failure, with clean texts.

    Empty if Slipway may not look. Raises Unavailable.
    """
    try:
        stopped = ecs.stopped_tasks(target)
    except Rejected as refusal:
        logger.warning("the tasks of %s cannot be read: %s", deployment.job_id, refusal.detail)
        return []
    tasks = explaining(stopped, deployment.task_definition or "")
    return [cleaned_task(task, definition) for task in tasks]


def cleaned_task(task: Task, definition: Mapping[str, Any]) -> Task:
    """A task with clean texts, and with what its definition says about its containers.

    The texts are cleaned before they are cut: a part of a secret would not be found any more.
    """
    secrets = known_secrets()
    containers = {each["name"]: each for each in definition.get("containerDefinitions", ())}
    waited_for = awaited(definition)
    return replace(
        task,
        stopped_reason=clean_text(task.stopped_reason, secrets),
        containers=tuple(
            replace(
                each,
                reason=clean_text(each.reason, secrets),
                essential=containers.get(each.name, {}).get("essential", True),
                awaited=each.name in waited_for,
            )
            for each in task.containers
        ),
    )


def _log_tail(tasks: Sequence[Task], definition: Mapping[str, Any]) -> list[str]:
    """The last lines of the newest failed container that has some, cleaned.

    Empty if Slipway cannot read them: the log is no reason to keep a failed rollout open.
    """
    for task in tasks[:_LOGS]:
        container = failed_container(task)
        stream = stream_of(definition, task, container) if container is not None else None
        lines = tail_of(stream) if stream is not None else []
        if lines:
            return lines
    return []


def stream_of(definition: Mapping[str, Any], task: Task, container: Container) -> LogStream | None:
    """The log of a container; None if Slipway cannot know it. Its group is in the task's region."""
    region = task.task_definition.split(":")[3]
    return log_stream(definition, task, container, region=region)


def tail_of(stream: LogStream) -> list[str]:
    """The last lines of a container's log, cleaned. Empty if Slipway cannot read them.

    Values behind references are not known, so they are not hidden.
    """
    try:
        lines = logs.tail(stream, limit=5 * TAIL_LINES)
    except (Rejected, Unavailable) as trouble:
        logger.warning("the log %s cannot be read: %s", stream.name, trouble.detail)
        return []
    # Clean more lines than are kept: a secret may begin before them.
    return clean_lines(lines, (*known_secrets(), *stream.hidden))[-TAIL_LINES:]
