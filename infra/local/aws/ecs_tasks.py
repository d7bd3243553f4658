"""The tasks of Amazon ECS services: their states, why they stopped, and how long ECS shows them.

A data plane reports only how many tasks of a deployment are healthy and how many failed. The rows
follow from that. moto serialises responses from the attributes, so their names are the members of
the ECS API in snake case. Sources: the ECS API reference (Task, Container, DescribeTasks) and the
ECS developer guide ("Amazon ECS task lifecycle", "Stopped tasks error messages").
"""

import re
import secrets
import uuid
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from infra.local.aws import clock
from infra.local.aws.ecs_images import Images
from infra.local.aws.ecs_logs import Logs

if TYPE_CHECKING:
    from infra.local.aws.ecs_records import Deployment
    from infra.local.aws.ecs_rollouts import Service

Json = dict[str, Any]
# "Currently, stopped tasks appear in the returned results for at least one hour": DescribeTasks.
SHOWN = timedelta(hours=1)
# Inferred: a program ends with 0 when ECS stops it, and is killed if it does not answer.
ENDED, FAILED, KILLED = 0, 1, 137
# The exit code of a container that waits for the success of another one, if that fails: pull
# request 3218 of aws/amazon-ecs-agent, also for its reason.
NOT_STARTED = 143
ESSENTIAL_EXITED = "Essential container in task exited"
UNHEALTHY = "Task failed container health checks"
USER_REASON = "Task stopped by user"
_NEVER_RAN = re.compile(r"Cannot\w+Error|ResourceInitializationError|.*failed to start", re.I)
# Errors of one container, which ECS shows at the container too.
_OF_CONTAINER = re.compile(r"(?:Cannot\w+|OutOfMemory)Error", re.ASCII)


def now() -> datetime:
    """The embedded cloud's time, in the type that the API uses."""
    return datetime.fromtimestamp(clock.now(), UTC)


@dataclass(frozen=True)
class Stop:
    """Why a task stopped: `stoppedReason` and `stopCode`.

    The other values are those of the container that ended the task, the first essential one if
    `container` names none: the last lines that it wrote are its `log`. A container that never ran
    has no exit code and no log. `task` is the id of the failed task, if that is known.
    """

    reason: str
    code: str
    exit_code: int = ENDED
    container_reason: str | None = None
    container: str | None = None
    log: tuple[str, ...] = ()
    healthy: bool = True
    task: str | None = None

    @property
    def ran(self) -> bool:
        """Whether the task's containers were started."""
        return self.code != "TaskFailedToStart"


class Details(TypedDict, total=False):
    """What a data plane may know about a failure, besides its reason. See Stop."""

    exit_code: int
    container_reason: str
    stop_code: str
    container: str
    log: list[str]
    task: str


def failure(reason: str, **details: Unpack[Details]) -> Stop:
    """A failure of a task. What is not given follows from the text of the reason.

    Texts and their codes: "Stopped tasks error messages" and the API reference, Task.stopCode.
    Inferred: the exit codes.
    """
    checked = "health checks" in reason
    if "exit_code" not in details and _NEVER_RAN.match(reason):
        code = "TaskFailedToStart"
    elif reason.startswith(USER_REASON):
        code = "UserInitiated"
    else:
        code = "ServiceSchedulerInitiated" if checked else "EssentialContainerExited"
    killed = checked or reason.startswith("OutOfMemoryError")
    return Stop(
        reason,
        details.get("stop_code", code),
        details.get("exit_code", KILLED if killed else FAILED),
        details.get("container_reason", reason if _OF_CONTAINER.match(reason) else None),
        details.get("container"),
        tuple(details.get("log", ())),
        healthy=not checked,
        task=details.get("task"),
    )


@dataclass
class Container:
    """A container of a task. `definition` is its container definition."""

    definition: Json
    container_arn: str
    task_arn: str
    last_status: str = "PENDING"
    health_status: str = "UNKNOWN"
    image_digest: str | None = None
    runtime_id: str | None = None
    exit_code: int | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """Its name in the task definition."""
        return str(self.definition["name"])

    @property
    def image(self) -> str:
        """The image as the task definition names it, with a tag or a digest."""
        return str(self.definition["image"])

    @property
    def cpu(self) -> str:
        """CPU units of the container definition."""
        return str(self.definition["cpu"])


@dataclass
class Task:
    """A task that a service's deployment or RunTask started.

    `overrides` are those of RunTask. ECS shows the task from `shown_at` on.
    """

    task_arn: str
    cluster_arn: str
    task_definition_arn: str
    group: str
    started_by: str
    launch_type: str
    containers: list[Container] = field(default_factory=list)
    last_status: str = "PENDING"
    desired_status: str = "RUNNING"
    version: int = 1
    created_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    overrides: Json = field(default_factory=dict)
    shown_at: datetime = field(default_factory=now)

    @property
    def id(self) -> str:
        """The last part of the ARN, which also names log streams."""
        return self.task_arn.rpartition("/")[2]

    @property
    def health_status(self) -> str:
        """HEALTHY if all essential containers are: API reference, Task.healthStatus."""
        essential = [each.health_status for each in self.containers if each.definition["essential"]]
        return next((each for each in ("UNHEALTHY", "UNKNOWN") if each in essential), "HEALTHY")


class Fleet:
    """The tasks of one account and region, stopped ones for an hour.

    `backend` is moto's backend of ECS. With `reports_manifests`, the digest that a container of an
    image index shows is that of its platform's manifest.
    """

    def __init__(self, backend: Any) -> None:
        self.reports_manifests = False
        self._backend = backend
        self._images = Images(backend.account_id, backend.region_name)
        self.logs = Logs(backend.account_id, backend.region_name)
        self._tasks: dict[str, Task] = {}
        # Those that did not stop, by deployment and by service: each report looks for some of them.
        self._active: dict[Hashable, dict[str, Task]] = {}

    def __iter__(self) -> Iterator[Task]:
        """The tasks that ECS still shows, oldest first."""
        oldest = now() - SHOWN
        for task in [*self._tasks.values()]:
            if task.stopped_at and task.stopped_at < oldest:
                del self._tasks[task.task_arn]
        return iter([each for each in self._tasks.values() if each.shown_at <= now()])

    def find(self, cluster_arn: str, name: str) -> Task | None:
        """The task with an ARN or an id, if ECS still shows it."""
        for task in self:
            if task.cluster_arn == cluster_arn and name in (task.task_arn, task.id):
                return task
        return None

    def active(self, deployment_id: str, *statuses: str) -> list[Task]:
        """The tasks of a deployment that did not stop, oldest first."""
        tasks = self._active.get(deployment_id, {}).values()
        return [task for task in tasks if not statuses or task.last_status in statuses]

    def follow(self, service: "Service") -> tuple[list[Task], list[Task]]:
        """Bring the tasks in line with the counts of a service's deployments.

        Returns the tasks that were started and those that the scheduler stopped.
        """
        started: list[Task] = []
        present = {each.id: each for each in service.deployments}
        tasks = self._active.get((service.cluster_arn, f"service:{service.name}"), {}).values()
        surplus = [each for each in tasks if each.started_by not in present]
        for deployment in present.values():
            running, pending = (
                sorted(found, key=lambda each: each.id not in deployment.healthy)
                for found in (
                    self.active(deployment.id, "RUNNING"),
                    self.active(deployment.id, "PENDING"),
                )
            )
            surplus += running[deployment.running_count :]
            missing = deployment.running_count - len(running)
            wanted = max(0, missing) + deployment.pending_count
            fresh = [self._create(service, deployment) for _ in range(wanted - len(pending))]
            started += fresh
            surplus += pending[wanted:]
            for task in [*pending, *fresh][: max(0, missing)]:
                self.open_logs(task)
                self.run(task, deployment)
        for task in surplus:
            reason = f"Scaling activity initiated by (deployment {task.started_by})"
            self.stop(task, Stop(reason, "ServiceSchedulerInitiated"))
        return started, surplus

    def fail(
        self, service: "Service", deployment: "Deployment", running: int, failed: int, stop: Stop
    ) -> list[Task]:
        """Stop and return failed tasks of a deployment that has `running` healthy ones now.

        Healthy tasks that are gone come first, then pending ones, then ones that started and failed
        between two reports.
        """
        ended_first = stop.container in self._init_containers(deployment.task_definition)
        may_be_lost = stop.ran and not ended_first
        lost = self.active(deployment.id, "RUNNING")[running:] if may_be_lost else []
        known = [each for each in self.active(deployment.id) if each.id == stop.task]
        victims = (known or [*lost, *self.active(deployment.id, "PENDING")])[:failed]
        victims += [self._create(service, deployment) for _ in range(failed - len(victims))]
        for task in victims:
            fault = None
            if stop.ran and task.last_status == "PENDING" and not (fault := self.open_logs(task)):
                if ended_first:
                    self._run_init(task, deployment, stop)
                else:
                    self.run(task, deployment)
            self.stop(task, failure(fault) if fault else stop)
        return victims

    def add(self, task: Task) -> None:
        """Add a task."""
        self._tasks[task.task_arn] = task
        for key in _keys(task):
            self._active.setdefault(key, {})[task.task_arn] = task

    def stop(self, task: Task, stop: Stop) -> None:
        """End a task. Its containers never ran if it was still pending."""
        for key in _keys(task):
            self._active.get(key, {}).pop(task.task_arn, None)
            if not self._active.get(key):
                self._active.pop(key, None)
        ended = stop.container or _essential(task.containers).name
        for container in task.containers:
            is_cause = container.name == ended
            if container.runtime_id and container.exit_code is None:
                container.exit_code = stop.exit_code if is_cause else ENDED
            if is_cause:
                container.reason = stop.container_reason
                if not stop.healthy:
                    container.health_status = "UNHEALTHY"
                if container.runtime_id:
                    self.logs.write(container.definition, task.id, stop.log)
            container.last_status = "STOPPED"
        task.last_status = task.desired_status = "STOPPED"
        task.stopped_reason, task.stop_code = stop.reason, stop.code
        task.stopping_at, task.stopped_at = task.stopping_at or now(), now()
        task.version += 1

    def _create(self, service: "Service", deployment: "Deployment") -> Task:
        base, identity = service.cluster_arn.partition(":cluster/")[0], secrets.token_hex(16)
        task = Task(
            f"{base}:task/{service.cluster}/{identity}",
            service.cluster_arn,
            deployment.task_definition,
            f"service:{service.name}",
            deployment.id,
            service.launch_type or "EC2",
        )
        definition = self._definition(task)
        for each in definition.container_definitions:
            arn = f"{base}:container/{service.cluster}/{identity}/{uuid.uuid4()}"
            task.containers.append(Container(each, arn, task.task_arn))
        self.add(task)
        return task

    def open_logs(self, task: Task) -> str | None:
        """Make the log streams of a task. Returns the reason if that fails its start."""
        faults = [self.logs.open(each.definition, task.id) for each in task.containers]
        return next(filter(None, faults), None)

    def run(self, task: Task, deployment: "Deployment | None" = None) -> None:
        """Run a task of a deployment, or one that no service started.

        Its init containers have ended well by then: ContainerDependency.
        """
        ended = self._init_containers(task.task_definition_arn)
        for container in task.containers:
            self._start(task, container, self._digest(task, container, deployment))
            if container.name in ended:
                container.last_status, container.exit_code = "STOPPED", ENDED
        task.last_status, task.started_at = "RUNNING", now()
        task.version += 1

    def _run_init(self, task: Task, deployment: "Deployment", stop: Stop) -> None:
        """Start the containers of a task that do not wait for the init container that fails.

        The task was never RUNNING. Inferred: its `stopCode` is that of the essential container.
        """
        failed = next(each for each in task.containers if each.name == stop.container)
        for container in task.containers:
            if not _waits_for_success(container, failed.name):
                self._start(task, container, self._digest(task, container, deployment))
                continue
            container.exit_code = NOT_STARTED
            container.reason = (
                "CannotStartContainerError: dependency graph: failed to resolve container ordering "
                f"dependency [{failed.name}({failed.image}) (STOPPED->RUNNING) - Exit: "
                f"{stop.exit_code}] for target [{container.name}({container.image}) "
                "(NONE->RUNNING)] as dependency did not exit successfully."
            )

    def _start(self, task: Task, container: Container, digest: str | None) -> None:
        container.image_digest = digest
        container.runtime_id = f"{task.id}-{secrets.randbelow(10**10):010}"
        container.last_status = "RUNNING"
        check = container.definition.get("healthCheck", {"command": ["NONE"]})
        if check["command"] != ["NONE"]:
            container.health_status = "HEALTHY"

    def _init_containers(self, task_definition: str) -> set[str]:
        """The containers that must have exited before others start: COMPLETE or SUCCESS."""
        definition = self._backend.describe_task_definition(task_definition)
        return {
            dependency["containerName"]
            for container in definition.container_definitions
            for dependency in container.get("dependsOn", ())
            if dependency["condition"] in ("COMPLETE", "SUCCESS")
        }

    def _digest(
        self, task: Task, container: Container, deployment: "Deployment | None"
    ) -> str | None:
        """The digest of a container's image.

        In a service it is fixed when the revision's first task starts, unless `versionConsistency`
        is disabled: API reference, ContainerImage and ContainerDefinition.versionConsistency.
        """
        if deployment is None:
            return self._images.digest(container.image)
        known = deployment.revision.container_images
        kept = next((each for each in known if each["containerName"] == container.name), None)
        digest = kept["imageDigest"] if kept else self._images.digest(container.image)
        if not kept and container.definition.get("versionConsistency") != "disabled":
            known.append(
                {
                    "containerName": container.name,
                    "image": container.image,
                    "imageDigest": digest,
                }
            )
        if digest and self.reports_manifests:
            platform = self._definition(task).runtime_platform or {}
            return self._images.manifest_digest(container.image, digest, platform)
        return digest

    def _definition(self, task: Task) -> Any:
        return self._backend.describe_task_definition(task.task_definition_arn)


def _keys(task: Task) -> tuple[Hashable, Hashable]:
    """What an active task is found by: its deployment and its service."""
    return task.started_by, (task.cluster_arn, task.group)


def _waits_for_success(container: Container, name: str) -> bool:
    depends_on = container.definition.get("dependsOn", ())
    return {"containerName": name, "condition": "SUCCESS"} in depends_on


def _essential(containers: list[Container]) -> Container:
    return max(containers, key=lambda each: bool(each.definition["essential"]))  # the first
