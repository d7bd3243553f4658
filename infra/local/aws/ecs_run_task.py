"""RunTask of the embedded ECS: tasks that no service started.

Sources: the ECS API reference (RunTask, StopTask, "Ensuring idempotency") and the ECS developer
guide ("Amazon ECS task lifecycle", "Amazon ECS task state change events", "API failure reasons").
A data plane reports when a task starts and how its program ends.
"""

import infra.local.aws.moto_ecs  # noqa: F401  # isort: skip

import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from moto.ecs.exceptions import ECSException, InvalidParameterException

from infra.local.aws.ecs_tasks import (
    ESSENTIAL_EXITED,
    KILLED,
    Container,
    Fleet,
    Stop,
    Task,
    failure,
    now,
)

Json = dict[str, Any]
# "Ensuring idempotency": a client token lives for 24 hours, or until an hour after the end of what
# it made, if that is earlier.
TOKEN_LIFE, AFTER_THE_END = timedelta(hours=24), timedelta(hours=1)
_TOKEN = re.compile(r"[!-~]{1,64}", re.ASCII)
_STARTED_BY = re.compile(r"[A-Za-z0-9/_-]{1,128}", re.ASCII)
_MOST_OVERRIDES = 8192


class TokenInUse(ECSException):
    """A client token of another request. AWS also names the tasks, in `resourceIds`."""

    def __init__(self) -> None:
        super().__init__(
            "ConflictException",
            "The provided clientToken is already in use with a different RunTask request.",
        )


@dataclass(frozen=True)
class _Launch:
    """A request with a client token, and the tasks that it started."""

    request: Json
    tasks: list[Task]
    at: datetime = field(default_factory=now)

    @property
    def expired(self) -> bool:
        ends = [each.stopped_at for each in self.tasks]
        over = [each + AFTER_THE_END < now() for each in ends if each is not None]
        return self.at + TOKEN_LIFE < now() or (len(over) == len(ends) and all(over))


class Launcher:
    """The standalone tasks of one account and region.

    `refusal` is the reason for which ECS cannot place tasks now, such as RESOURCE:MEMORY. ECS shows
    a task only `lag` seconds after its start: the API is eventually consistent. `started` are all
    tasks that were ever started.
    """

    def __init__(self, fleet: Fleet, publish: Callable[[Json], None]) -> None:
        self.refusal = ""
        self.lag = 0.0
        self.started: list[Task] = []
        self._fleet = fleet
        self._publish = publish
        self._tokens: dict[tuple[str, str], _Launch] = {}

    def run(self, cluster: Any, definition: Any, request: Json) -> Json:
        """RunTask. Inferred: the order of the checks, and most texts of refusals."""
        _check(definition, request)
        token = request.get("clientToken")
        known = self._tokens.get((cluster.arn, token)) if token else None
        if known is not None and not known.expired:
            if known.request != request:
                raise TokenInUse
            return {"tasks": known.tasks, "failures": []}
        if self.refusal:
            instance = cluster.arn.replace(":cluster/", ":container-instance/")
            return {"tasks": [], "failures": [{"arn": instance, "reason": self.refusal}]}
        count = request.get("count", 1)
        tasks = [self._create(cluster, definition, request) for _ in range(count)]
        if token:
            self._tokens[cluster.arn, token] = _Launch(request, tasks)
        return {"tasks": tasks, "failures": []}

    def active(self) -> list[Task]:
        """The tasks that did not stop, oldest first."""
        return [each for each in self.started if each.last_status != "STOPPED"]

    def begin(self, task: Task) -> None:
        """The containers of a task start. A task without its log group fails to start."""
        if task.last_status != "PENDING":
            return
        if task.desired_status == "STOPPED":
            return self.fail(task, task.stopped_reason or "")
        fault = self._fleet.open_logs(task)
        if fault is not None:
            return self.fail(task, fault)
        self._fleet.run(task)
        self._announce(task)

    def end(
        self,
        task: Task,
        exit_code: int,
        *,
        log: Iterable[str] = (),
        container: str | None = None,
        container_reason: str | None = None,
    ) -> None:
        """A container of a task exits: by default the one with the overridden command.

        ECS stops the other containers, also those of a task that was being stopped.
        """
        if task.last_status != "RUNNING":
            return
        stop = Stop(
            task.stopped_reason or ESSENTIAL_EXITED,
            task.stop_code or "EssentialContainerExited",
            exit_code,
            container_reason,
            container or overridden(task),
            tuple(log),
        )
        self._fleet.stop(task, stop)
        self._announce(task)

    def exit_container(self, task: Task, exit_code: int) -> None:
        """The overridden container exits, and is not essential: the task goes on."""
        container = self._container(task)
        container.exit_code, container.last_status = exit_code, "STOPPED"
        task.version += 1
        self._announce(task)

    def fail(self, task: Task, reason: str) -> None:
        """A task does not start, for instance because its image cannot be pulled."""
        if task.last_status != "PENDING":
            return
        found = failure(reason)
        code = task.stop_code or "TaskFailedToStart"
        container = overridden(task)
        self._fleet.stop(
            task, Stop(reason, code, container_reason=found.container_reason, container=container)
        )
        self._announce(task)

    def ask_to_stop(self, task: Task, reason: str) -> None:
        """StopTask: the containers get a signal, and later the data plane reports their end.

        A task whose containers did not start stops at once (inferred).
        """
        if task.desired_status == "STOPPED":
            return
        task.desired_status = "STOPPED"
        task.stop_code, task.stopped_reason, task.stopping_at = "UserInitiated", reason, now()
        task.version += 1
        if task.last_status == "PENDING":
            self.fail(task, reason)
        else:
            self._announce(task)

    def kill(self, task: Task) -> None:
        """The containers of a task that is being stopped do not answer the signal in time."""
        self.end(task, KILLED)

    def _create(self, cluster: Any, definition: Any, request: Json) -> Task:
        base = cluster.arn.partition(":cluster/")[0]
        identity = uuid.uuid4().hex
        overrides: Json = request.get("overrides", {})
        task = Task(
            f"{base}:task/{cluster.name}/{identity}",
            cluster.arn,
            definition.arn,
            request.get("group") or f"family:{definition.family}",
            request.get("startedBy", ""),
            request.get("launchType") or "EC2",
            overrides={"containerOverrides": [], **overrides},
            shown_at=now() + timedelta(seconds=self.lag),
        )
        changed = {each["name"]: each for each in task.overrides["containerOverrides"]}
        for each in definition.container_definitions:
            arn = f"{base}:container/{cluster.name}/{identity}/{uuid.uuid4()}"
            merged = each | changed.get(each["name"], {})
            task.containers.append(Container(merged, arn, task.task_arn))
        self._fleet.add(task)
        self.started.append(task)
        self._announce(task)
        return task

    def _container(self, task: Task) -> Container:
        name = overridden(task)
        return next(each for each in task.containers if each.name == name)

    def _announce(self, task: Task) -> None:
        self._publish(task_state_change(task))


def overridden(task: Task) -> str:
    """The container whose command a task overrides, else the first one."""
    overrides = task.overrides.get("containerOverrides") or [{"name": task.containers[0].name}]
    return str(overrides[0]["name"])


def _check(definition: Any, request: Json) -> None:
    if not 1 <= request.get("count", 1) <= 10:
        raise InvalidParameterException("Count must be between 1 and 10.")
    if "clientToken" in request and not _TOKEN.fullmatch(request["clientToken"]):
        raise InvalidParameterException("clientToken must have 1 to 64 printable characters.")
    if "startedBy" in request and not _STARTED_BY.fullmatch(request["startedBy"]):
        raise InvalidParameterException("startedBy must have 1 to 128 allowed characters.")
    if request.get("launchType") and request.get("capacityProviderStrategy"):
        raise InvalidParameterException(
            "Specifying both a launch type and capacity provider strategy is not supported. "
            "Remove one and try again."
        )
    if request.get("propagateTags") == "SERVICE":
        raise InvalidParameterException("SERVICE is not a supported value for propagateTags.")
    awsvpc = definition.network_mode == "awsvpc"
    if awsvpc != bool(request.get("networkConfiguration")):
        raise InvalidParameterException(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
            if awsvpc
            else "Network Configuration is not valid for the given networkMode of this task "
            "definition."
        )
    _check_overrides(definition, request.get("overrides", {}))


def _check_overrides(definition: Any, overrides: Json) -> None:
    if len(json.dumps(overrides)) > _MOST_OVERRIDES:
        raise InvalidParameterException("Container Overrides length must be at most 8192")
    names = {each["name"] for each in definition.container_definitions}
    for each in overrides.get("containerOverrides", ()):
        if each["name"] not in names:
            raise InvalidParameterException(
                f"Override for container named {each['name']} is not a container in the "
                "TaskDefinition."
            )


def task_state_change(task: Task) -> Json:
    """An event as in "Amazon ECS task state change events", without members that nobody reads."""
    region, account = task.task_arn.split(":")[3:5]
    stamp = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    detail = {
        "clusterArn": task.cluster_arn,
        "taskArn": task.task_arn,
        "taskDefinitionArn": task.task_definition_arn,
        "group": task.group,
        "startedBy": task.started_by,
        "lastStatus": task.last_status,
        "desiredStatus": task.desired_status,
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
        "version": task.version,
    }
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": account,
        "time": stamp,
        "region": region,
        "resources": [task.task_arn],
        "detail": {name: value for name, value in detail.items() if value is not None},
    }
