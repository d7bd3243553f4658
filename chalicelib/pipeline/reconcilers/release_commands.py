"""The release command of the active deployment, and the tasks that ended deployments left."""

import logging
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.aws import ecs
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.failures import Failure
from chalicelib.domain.log_streams import LogStream
from chalicelib.domain.release_commands import (
    CommandRun,
    CommandStep,
    client_token,
    decide_command,
    exit_code_of,
    failure_of_command,
    failure_to_start,
    has_ended,
    is_unknown,
    shown_tail,
    started_by,
)
from chalicelib.domain.requests import run_task_request
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.tasks import Task
from chalicelib.domain.timing import PERIOD, READABLE
from chalicelib.errors import Rejected, Unavailable
from chalicelib.pipeline.reconcilers.begins import Situation, roll_out
from chalicelib.pipeline.reconcilers.ecs_changes import require_prompt
from chalicelib.pipeline.reconcilers.ends import end
from chalicelib.pipeline.reconcilers.evidence import (
    cleaned_task,
    definition_of,
    stream_of,
    tail_of,
)
from chalicelib.settings import settings
from chalicelib.store.due import due_by, schedule_at
from chalicelib.store.history import record
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import Write, change, commit

logger = logging.getLogger("slipway")

# So many of the newest deployments with a command are kept for the warning of rollbacks.
_KEEP_COMMANDS = 50
# No command of the service can be running any more.
_FREE: dict[str, Any] = {"command": None, "command_missing": None, "command_trouble": None}
_STARTS = "the release command is started"
_RUNS = "the release command runs"

# Reads the content of the deployment's task definition, at most once in a step.
_Definition = Callable[[], Mapping[str, Any]]


def advance(situation: Situation) -> None:
    """One step of the release command. Raises Unavailable also if AWS does not allow a look.

    A denied look must not end a command that may be running.
    """
    service, target, active = situation.service, situation.target, situation.active
    run, now = _run_of(active), clock.now()
    definition = cache(partial(definition_of, active))  # most steps do not need it
    try:
        is_open = run.requested_at is not None and run.finished_at is None
        task = _look(target.cluster, active) if is_open else None
        if task and (has_ended(task, target.main_container) or now > active.deadline_at):
            # Its definition says which other containers are essential.
            task = cleaned_task(task, definition())
        step = decide_command(
            run,
            task,
            container=target.main_container,
            now=now,
            deadline_at=active.deadline_at,
            free=service.command in {None, active.number},
            missing_since=service.command_missing,
        )
        if step is CommandStep.STOP and task is not None:
            _stop(target.cluster, task, f"it did not end within {run.minutes} minutes")
    except Rejected as refusal:
        raise Unavailable(refusal.detail, code=refusal.code) from refusal
    if step is CommandStep.CALL:
        _call(service, target, active, situation.rollout)
    elif step is CommandStep.ROLL_OUT:
        if task is not None:
            # Shown before the rollout, which AWS may refuse for some time.
            seen = _seen(active, target, task, definition, ended=True)
            shown = change(active, release_command=seen, error=None)
            commit(shown, *_ends(service, active, task, seen))
        arn = active.task_definition or ""
        roll_out(situation, definition=arn)
    elif step is CommandStep.FAIL:
        _fail(service, target, active, task, definition)
    else:
        _note(service, target, active, task, definition)


def stop_leftover(service: Service, deployment: Deployment | None) -> None:
    """Stop the task of a release command that no open deployment waits for any more.

    The service keeps its number until ECS has stopped the task, so that no other command runs at
    the same time. What AWS refuses now is tried again by the next look.
    """
    if service.command is None:
        return
    if deployment is None or deployment.target is None or deployment.release_command is None:
        return commit(change(service, **_FREE))
    if deployment.number == service.active and deployment.awaits_command:
        return
    now, run = clock.now(), deployment.release_command
    cluster = deployment.target.cluster
    try:
        task = _look(cluster, deployment)
    except (Rejected, Unavailable) as trouble:
        # The task ends by itself some time, and AWS may never allow the look.
        if now > (run.called_at or 0) + run.minutes * 60 + READABLE:
            return commit(change(service, **_FREE))
        return _note_trouble(service, deployment, trouble.detail)
    if task is None and is_unknown(run, service.command_missing, now):
        return commit(change(service, **_FREE))
    if task is not None and task.status == "STOPPED":
        return _free(service, deployment, run, task, deployment.target.main_container)
    _note_missing(service, task)
    if task is None:
        return
    try:
        _stop(cluster, task, f"{deployment.job_id} does not wait for it any more")
    except (Rejected, Unavailable) as trouble:
        _note_trouble(service, deployment, f"{trouble.detail}. Stop the task {task.arn} in ECS")


def _free(
    service: Service, deployment: Deployment, run: CommandRun, task: Task, container: str
) -> None:
    """The task of an ended deployment has stopped. Its end is in the audit trail."""
    news = []
    if run.finished_at is None:
        news.append(_audit(deployment, "stopped", task, exit_code_of(task, container)))
    commit(change(service, **_FREE), *news)


def _note_missing(service: Service, task: Task | None) -> None:
    """Keep since when ECS has not shown the task of a command."""
    since = None if task is not None else service.command_missing or clock.now()
    if since != service.command_missing:
        commit(change(service, command_missing=since))


def _note_trouble(service: Service, deployment: Deployment, trouble: str) -> None:
    """Keep why a task cannot be stopped: the next command waits for it, and shows that."""
    logger.warning("the release command of %s cannot be stopped: %s", deployment.job_id, trouble)
    if service.command_trouble != trouble:
        commit(change(service, command_trouble=trouble))


def _stop(cluster: str, task: Task, reason: str) -> None:
    """Stop a task, unless ECS stops it already.

    StopTask deletes the tags of the task ("Any tags associated with the task will be deleted"), and
    the policies allow no second call without them.
    """
    if not task.stop_code:
        ecs.stop_task(cluster, task.arn, reason=f"Slipway: {reason}")


def _run_of(deployment: Deployment) -> CommandRun:
    run = deployment.release_command
    if run is None:
        raise ValueError(f"{deployment.job_id} has no release command")
    return run


def _look(cluster: str, deployment: Deployment) -> Task | None:
    """The task that runs the command; None if ECS does not show it.

    Other tasks may have the same `startedBy`, but not the deployment's own revision.
    """
    run = _run_of(deployment)
    if run.task is not None:
        return ecs.find_task(cluster, run.task)
    definition = deployment.task_definition or ""
    family = definition.rpartition("/")[2].rpartition(":")[0]
    found = ecs.tasks_started_by(cluster, _started_by(deployment), family=family)
    own = [each for each in found if each.task_definition == definition]
    return min(own, key=lambda each: each.arn, default=None)


def _started_by(deployment: Deployment) -> str:
    return started_by(settings().table_prefix, deployment.job_id)


def _call(service: Service, target: EcsTarget, active: Deployment, rollout: Rollout) -> None:
    """Record a call of RunTask, and make it."""
    now, run, definition = clock.now(), _run_of(active), active.task_definition or ""
    first = run.requested_at is None
    called = msgspec.structs.replace(run, requested_at=run.requested_at or now, called_at=now)
    begun = {"deadline_at": now + run.minutes * 60, "waits": 0} if first else {}
    commands = {*map(int, service.commands or ()), active.number}
    commit(
        change(active, release_command=called, error=_STARTS, **begun),
        change(
            service,
            **{**_FREE, "command": active.number},
            commands=set(sorted(commands)[-_KEEP_COMMANDS:]),
            **due_by(service, now + PERIOD),
        ),
    )
    require_prompt(service, called_at=now)
    request = run_task_request(
        target,
        task_definition=definition,
        command=run.command,
        started_by=_started_by(active),
        client_token=client_token(definition),
        placement=rollout.placement,
    )
    try:
        task = ecs.run_task(request)
    except Rejected as refusal:
        # After an unknown end of an earlier call a task may run: the next look stops it.
        none_ran = {**_FREE, "commands": commands - {active.number} or None}
        freed = [change(service, **none_ran)] if first else []
        failure = failure_to_start(called, refusal.detail, first=first)
        return _end(service, active, failure, *freed)
    commit(change(active, release_command=msgspec.structs.replace(called, task=task)))


def _fail(
    service: Service,
    target: EcsTarget,
    active: Deployment,
    task: Task | None,
    definition: _Definition,
) -> None:
    run = _run_of(active)
    seen = _seen(active, target, task, definition, ended=True) if task is not None else run
    failure = failure_of_command(
        run,
        task,
        container=target.main_container,
        now=clock.now(),
        deadline_at=active.deadline_at,
        waited_for=active.error,
        log_tail=seen.log_tail,
    )
    shown = change(active, release_command=seen)
    _end(service, active, failure, shown, *_ends(service, active, task, seen))


def _end(service: Service, active: Deployment, failure: Failure, *more: Write) -> None:
    end(service, active, DeploymentStatus.FAILED, failure.summary, *more, failure=failure)


def _ends(service: Service, active: Deployment, task: Task | None, seen: CommandRun) -> list[Write]:
    """The writes at the end of a command. A task that still runs is stopped by the next look."""
    if seen.requested_at is None:
        return []
    gone = task is not None and task.status == "STOPPED"
    entry = _audit(active, "ended", task, seen.exit_code)
    return [*([change(service, **_FREE)] if gone else []), entry]


def _audit(deployment: Deployment, how: str, task: Task | None, exit_code: int | None) -> Write:
    return record(
        deployment.job_id,
        f"deployment.release_command_{how}",
        at=clock.now(),
        actor="ecs",
        project_id=deployment.project_id,
        service_id=deployment.service_id,
        task=task.arn if task is not None else _run_of(deployment).task,
        exit_code=exit_code,
    )


def _note(
    service: Service,
    target: EcsTarget,
    active: Deployment,
    task: Task | None,
    definition: _Definition,
) -> None:
    """Show what the deployment waits for, and look again later."""
    now, run = clock.now(), _run_of(active)
    seen = _seen(active, target, task, definition, ended=False) if task is not None else run
    if run.requested_at is None:
        text = f"the release command of deployment {service.command} "
        trouble = service.command_trouble
        text += "is being stopped" if trouble is None else f"cannot be stopped: {trouble}"
    else:
        text = _STARTS if seen.started_at is None else _RUNS
        _note_missing(service, task)
    writes = []
    if (active.error, active.release_command) != (text, seen) or (task and active.waits):
        writes.append(change(active, release_command=seen, error=text, waits=0))
    if (service.due_at or 0) <= now:
        writes.append(change(service, **schedule_at(now + PERIOD)))
    if writes:
        commit(*writes)


def _seen(
    active: Deployment, target: EcsTarget, task: Task, definition: _Definition, *, ended: bool
) -> CommandRun:
    """The run with what ECS shows of its task, and after its end with the end of its log."""
    run, container = _run_of(active), target.main_container
    is_new = task.started_at is not None and run.log_stream is None
    stream = _stream(definition(), task, container) if is_new or ended else None
    seen: dict[str, Any] = {"task": task.arn, "started_at": task.started_at}
    if is_new and stream is not None:
        seen |= {"log_group": stream.group, "log_stream": stream.name}
    if ended:
        code = exit_code_of(task, container)
        seen |= {
            "finished_at": task.stopped_at or (clock.now() if code is not None else None),
            "exit_code": code,
            "log_tail": shown_tail(tail_of(stream)) if stream is not None else (),
        }
    return msgspec.structs.replace(run, **seen)


def _stream(definition: Mapping[str, Any], task: Task, container: str) -> LogStream | None:
    found = next((each for each in task.containers if each.name == container), None)
    return stream_of(definition, task, found) if found is not None else None
