"""What a look at one job shows besides its row: steps of BuildKit, tasks, what it waits for.

Only requests for a single job look. A look that fails changes nothing.
"""

import logging
from typing import Any

from chalicelib import budget
from chalicelib.aws import logs
from chalicelib.domain.buildkit_steps import is_pushing, read_stages
from chalicelib.domain.checks import shown_checks
from chalicelib.domain.log_streams import stream_of_build
from chalicelib.domain.progress import is_building_image, steps_progress
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.domain.tasks import Task
from chalicelib.errors import Rejected, Unavailable
from chalicelib.pipeline import glances
from chalicelib.pipeline.reconcilers.evidence import cleaned_task, definition_of
from chalicelib.store.jobs import find_deployments
from chalicelib.store.models import Build, Deployment
from chalicelib.store.services import find_service
from chalicelib.store.writes import change, commit_if_possible

logger = logging.getLogger("slipway")

# The end of a build's log, in which its steps are searched.
_LOG_LINES = 300
_MOST_TASKS, _MOST_STOPPED = 20, 5
# Seconds for a look, and those that are left for the answer.
_LOOK, _KEEP = 1.5, 1.0


def note_steps(build: Build) -> None:
    """Note how far BuildKit is, if the end of the build's log shows more than the row.

    The row keeps it, so that the progress never falls, and lists show it without a look. It is
    written on condition of the row's version: a step of the pipeline that is under way is made
    again, at most once for each percent.
    """
    if not is_building_image(build.status, build.progress) or build.log_path is None:
        return
    try:
        with budget.spending(budget.part(_LOOK, keep=_KEEP, tries=1)):
            lines = logs.tail(stream_of_build(build.log_path), limit=_LOG_LINES)
        stages = read_stages(
            lines, {name: (s, of) for name, (s, of) in (build.stages or {}).items()}
        )
        pushes = is_pushing(lines)
        progress = steps_progress(stages, pushes=pushes, previous=build.progress)
        first = not build.stages and stages
        if progress > build.progress or first:
            noted: dict[str, Any] = {name: list(steps) for name, steps in stages.items()}
            commit_if_possible(change(build, progress=progress, stages=noted))
    except (Rejected, Unavailable) as trouble:
        logger.info("the steps of %s are not noted: %s", build.job_id, trouble.detail)


def waiting_for(deployment: Deployment) -> str | None:
    """What a deployment waits for that is queued, or that waits for an earlier release command.

    None for any other one.
    """
    run = deployment.release_command
    is_open = deployment.status == DeploymentStatus.DEPLOYING
    awaits_begin = is_open and run is not None and run.requested_at is None
    if deployment.status != DeploymentStatus.QUEUED and not awaits_begin:
        return None
    if deployment.checks is not None:
        return shown_checks(deployment.checks)
    service = find_service(deployment.service_id)
    if awaits_begin:
        earlier = service.command if service is not None else None
        other = earlier not in {None, deployment.number}
        return f"the end of the release command of deployment {earlier}" if other else None
    if service is not None and service.waiting == deployment.number:
        active = find_deployments(service.active).get(service.active)
        awaits = active is not None and active.awaited_approval is not None
        does = "awaits approval" if awaits else "is active"
        return f"the end of deployment {service.active}, which {does}"
    return deployment.error or "its begin: it is the next step of the service"


def tasks_of(deployment: Deployment) -> list[Task] | None:
    """The tasks of the ECS service during a rollout, those of the deployment's revision first.

    They are the newest ones. Of those that have stopped there are only a few, so that a crash loop
    hides no task that runs.
    None without a rollout that is under way, and if ECS does not show them.
    """
    target, revision = deployment.target, deployment.task_definition
    rolls_out = (
        deployment.status == DeploymentStatus.DEPLOYING and deployment.started_at is not None
    )
    if target is None or not rolls_out:
        return None
    try:
        with budget.spending(budget.part(_LOOK, keep=_KEEP, tries=1)):
            found = glances.some_tasks(target)
            own = [each for each in found if each.task_definition == revision]
            stopped = sorted((each for each in own if each.stopped_at), key=_newest)[:_MOST_STOPPED]
            # It says which containers end a task. Most looks do not need it.
            definition = definition_of(deployment) if stopped else {}
    except (Rejected, Unavailable) as trouble:
        logger.info("the tasks of %s are not shown: %s", deployment.job_id, trouble.detail)
        return None
    live = sorted((each for each in found if not each.stopped_at), key=_newest)
    own_live = [each for each in live if each.task_definition == revision]
    others = [each for each in live if each.task_definition != revision]
    shown = [*own_live[: _MOST_TASKS - len(stopped)], *stopped, *others][:_MOST_TASKS]
    return [cleaned_task(each, definition) for each in shown]


def _newest(task: Task) -> tuple[int, str]:
    return -(task.stopped_at or task.started_at or 2**40), task.id
