"""Runs the tasks of the embedded ECS as containers and reports their state.

A task of a service is the first essential container of its task definition: image, command,
environment, TCP ports and health check. Entry points, secrets and volumes are ignored. As on AWS,
an image is pulled before each start, its own health check is ignored, and the old tasks stay until
the new ones are healthy. The health check of a healthy task runs at its interval, as on AWS. Before
the first success and after a failure it runs more often: at every step. The output of a container
with the log driver awslogs goes to CloudWatch Logs. `standalone_tasks` runs the tasks of RunTask.
"""

import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from infra.local.aws.ecs import engine
from infra.local.aws.ecs_records import Deployment, Json
from infra.local.aws.ecs_rollouts import Service
from infra.local.aws.ecs_tasks import ESSENTIAL_EXITED, KILLED, UNHEALTHY
from infra.local.machines.containers import LABEL, OUT_OF_MEMORY, CommandFailed, Docker
from infra.local.machines.forwarder import Forwarder, Group, Target
from infra.local.machines.standalone_tasks import StandaloneTasks

DEFAULT_RETRIES = 3
DEFAULT_TIMEOUT = 5
# Seconds between two health checks: API reference, HealthCheck.interval.
DEFAULT_INTERVAL = 30
# In intervals of the agent. ECS waits up to 27 minutes: developer guide, "Service throttle logic".
LONGEST_BACKOFF = 300
# In intervals of the agent: Docker's driver awslogs sends what it has every 5 seconds.
LOG_INTERVAL = 5
# What docker says of an image that a registry does not have.
_MISSING = re.compile(r"manifest.unknown|not found|does not exist", re.IGNORECASE)


class ServiceAgent:
    """The tasks of all services. `session` labels the containers, so that `stop` finds them."""

    def __init__(self, *, path: str, session: str, interval: float = 1.0) -> None:
        self._docker = Docker(path)
        self._session = session
        self._interval = interval
        self._services: dict[str, _Tasks] = {}
        self._standalone = StandaloneTasks(self._docker, session)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Step every `interval` seconds until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Remove all containers of this session and free the services' addresses."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for tasks in self._services.values():
            tasks.close()
        self._services.clear()
        self._docker.remove(self._docker.names(f"{LABEL}={self._session}"))

    def urls(self) -> dict[str, str]:
        """The address of each "cluster/service" that has a port.

        "cluster/service/test" is the address for test traffic, if ECS has shifted some.
        """
        known = dict(self._services)
        return {
            f"{key}{path}": forwarder.url
            for key, tasks in known.items()
            for path, forwarder in tasks.forwarders.items()
        }

    def step(self) -> None:
        """Check every task once, then start, remove and report tasks as needed."""
        with _failures_printed("the state of containers"):
            names = [name for tasks in self._services.values() for name in tasks.names()]
            states = self._docker.states(names)
            for key, tasks in self._services.items():
                with _failures_printed(f"service {key}"):
                    tasks.check(states)
        wanted = {_key(service): service for service in engine().services()}
        for key, service in wanted.items():
            if key not in self._services:
                self._services[key] = _Tasks(service, self._docker, self._session, self._interval)
            with _failures_printed(f"service {key}"):
                self._services[key].run(service)
        for key in self._services.keys() - wanted.keys():
            with _failures_printed(f"service {key}"):
                self._services[key].close()
                self._services[key].remove_all()
                del self._services[key]
        for tasks in self._services.values():
            tasks.serve()
        with _failures_printed("tasks of RunTask"):
            self._standalone.step()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.step()
            self._stopping.wait(self._interval)


@dataclass
class _Task:
    """A container that runs as a task. `id` is the task's id in ECS."""

    id: str
    name: str
    deployment: str
    definition: str
    container: Json
    started: float
    healthy: bool = False
    misses: int = 0
    check_at: float = 0.0  # when the health check of a healthy task is due
    logged: str = ""  # the time of the last line in CloudWatch Logs
    copy_at: float = 0.0  # when its output is due
    target: Target = ""  # what answers a request, once it is healthy


class _Tasks:
    """The containers of one service."""

    def __init__(self, service: Service, docker: Docker, session: str, interval: float) -> None:
        self._cluster = service.cluster
        self._name = service.name
        self._docker = docker
        self._session = session
        self._interval = interval
        self._tasks: list[_Task] = []
        self._failures = 0  # consecutive failures of `_failing`
        self._failing = ""
        self._printed = ""  # the last printed reason
        self._pause_until = 0.0
        self.forwarders: Mapping[str, Forwarder] = {}  # "" is for production, "/test" for tests

    def close(self) -> None:
        forwarders, self.forwarders = self.forwarders, {}
        for each in forwarders.values():
            each.stop()

    def remove_all(self) -> None:
        self._remove(list(self._tasks))

    def names(self) -> list[str]:
        """The names of the containers."""
        return [task.name for task in self._tasks]

    def check(self, states: Json) -> None:
        """Check every task, by the states of the containers. Remove and report failed ones."""
        for task in list(self._tasks):
            if fault := self._find_fault(task, states.get(task.name)):
                self._fail(task, **fault)
            elif time.monotonic() >= task.copy_at:
                self._copy_output(task)
                task.copy_at = time.monotonic() + LOG_INTERVAL * self._interval

    def run(self, service: Service) -> None:
        """Remove stopped and surplus tasks, start missing ones, report the rest."""
        active = {task.id for each in service.deployments for task in engine().tasks(each.id)}
        self._remove([task for task in self._tasks if task.id not in active])
        self._remove(self._surplus(service))
        # In a rolling update the old tasks are leaving. In a shift they may get all traffic again.
        for each in service.deployments if service.shift else service.deployments[:1]:
            container = _essential(engine().containers(each.task_definition))
            if _ports(container) and not self.forwarders:
                self.forwarders = {"": Forwarder()}
            self._start_missing(service, each, container)
        for deployment in service.deployments:
            self._report(deployment.id)

    def serve(self, leaving: Sequence[_Task] = ()) -> None:
        """Share the requests to the service's addresses among its healthy tasks."""
        if not self.forwarders:
            return
        tasks = self._healthy(leaving)
        weights = engine().weights(self._cluster, self._name)
        # Without weights new tasks get requests as soon as they are healthy: developer guide,
        # "Update the deployment strategy from Amazon ECS blue/green to rolling update".
        everything = [each for found in tasks.values() for each in found]
        groups = _groups(weights, tasks) if weights else {"": Group(100, everything)}
        reason = f"service {self._name} has no healthy task"
        self.forwarders[""].share(groups, reason)
        tests = engine().test_weights(self._cluster, self._name)
        if tests and "/test" not in self.forwarders:
            self.forwarders = {**self.forwarders, "/test": Forwarder()}
        if "/test" in self.forwarders:
            self.forwarders["/test"].share(_groups(tests, tasks), f"{reason} for test traffic")

    def _healthy(self, leaving: Sequence[_Task]) -> dict[str, list[Target]]:
        """What answers a request, of each deployment: its tasks that are healthy and stay."""
        found: dict[str, list[Target]] = {}
        for deployment in {each.deployment for each in self._tasks}:
            active = {task.id for task in engine().tasks(deployment)}
            found[deployment] = [
                each.target
                for each in self._tasks
                if each.deployment == deployment
                and each.id in active
                and each.healthy
                and each not in leaving
            ]
        return found

    def _find_fault(self, task: _Task, state: Json | None) -> Json | None:
        """What `Engine.report` shall say about a failed task. None if it did not fail."""
        if state is None:  # somebody removed it by force
            return {"reason": ESSENTIAL_EXITED, "exit_code": KILLED}
        if not state["Running"]:
            killed = {"container_reason": OUT_OF_MEMORY} if state.get("OOMKilled") else {}
            return {"reason": ESSENTIAL_EXITED, "exit_code": state["ExitCode"], **killed}
        check = task.container.get("healthCheck", {"command": ["NONE"]})
        command = _health_command(check["command"])
        if task.healthy and not task.misses and time.monotonic() < task.check_at:
            return None
        if command and not self._docker.passes(
            task.name, command, check.get("timeout", DEFAULT_TIMEOUT)
        ):
            # Failures during the start period do not count ("HealthCheck" in the API reference).
            if task.healthy or time.monotonic() - task.started >= check.get("startPeriod", 0):
                task.misses += 1
            unhealthy = task.misses >= check.get("retries", DEFAULT_RETRIES)
            return {"reason": UNHEALTHY} if unhealthy else None
        if not task.healthy:
            self._become_healthy(task)
        task.misses = 0
        task.check_at = time.monotonic() + check.get("interval", DEFAULT_INTERVAL)
        return None

    def _become_healthy(self, task: _Task) -> None:
        ports = _ports(task.container)
        address = self._docker.address(task.name, ports[0]) if ports else None
        task.target = address or (
            f"{task.name} is simulated: no process listens.\n"
            f"task definition {task.definition.rpartition('/')[2]}\n"
            f"image {task.container['image']}"
        )
        task.healthy = True
        self._printed = ""
        if task.deployment == self._failing:
            self._failures = 0

    def _surplus(self, service: Service) -> list[_Task]:
        """Tasks beyond each deployment's desired count, unhealthy ones first."""
        wanted = {each.id: each.desired_count for each in service.deployments}
        surplus = []
        for task in sorted(self._tasks, key=lambda each: not each.healthy):
            wanted[task.deployment] = wanted.get(task.deployment, 0) - 1
            if wanted[task.deployment] < 0:
                surplus.append(task)
        return surplus

    def _start_missing(self, service: Service, deployment: Deployment, container: Json) -> None:
        present = sum(task.deployment == deployment.id for task in self._tasks)
        paused = deployment.id == self._failing and time.monotonic() < self._pause_until
        if present >= deployment.desired_count or paused:
            return
        try:
            self._docker.pull(container["image"])
        except CommandFailed as failure:
            # The image of a new service is often still to be built. This is no error.
            first = len(service.records) == 1 and _MISSING.search(str(failure))
            self._count_failure(
                deployment.id,
                f"CannotPullContainerError: {failure}",
                shown=f"service {self._name} has no image yet" if first else "",
            )
            return
        started = {task.id for task in self._tasks}
        for each in engine().tasks(deployment.id, "PENDING"):
            if each.id not in started:
                self._start(each.id, deployment, container)

    def _start(self, task_id: str, deployment: Deployment, container: Json) -> None:
        name = f"slipway-{self._name}-{task_id[:12]}"
        definition = deployment.task_definition
        task = _Task(task_id, name, deployment.id, definition, container, time.monotonic())
        self._tasks.append(task)  # first: a container that starts too slowly is removed too
        if fault := engine().fleet.logs.open(container, task_id):
            self._fail(task, fault)
            return
        try:
            self._docker.start(
                name,
                container["image"],
                labels={LABEL: self._session, "slipway.service": f"{self._cluster}/{self._name}"},
                ports=_ports(container),
                environment={each["name"]: each["value"] for each in container["environment"]},
                command=container.get("command", []),
            )
        except CommandFailed as failure:
            self._fail(task, f"CannotStartContainerError: {failure}")

    def _copy_output(self, task: _Task) -> None:
        """Append a container's new lines to its log stream in CloudWatch Logs."""
        if task.container.get("logConfiguration", {}).get("logDriver") != "awslogs":
            return
        with suppress(CommandFailed):  # the container may be gone; no log may stop the checks
            lines = self._docker.output(task.name, task.logged)
            engine().fleet.logs.write(task.container, task.id, [text for _, text in lines])
            task.logged = lines[-1][0] if lines else task.logged

    def _fail(self, task: _Task, reason: str, **details: Any) -> None:
        self._copy_output(task)
        self._remove([task])
        self._count_failure(task.deployment, reason, task=task.id, **details)

    def _count_failure(
        self, deployment: str, reason: str, *, shown: str = "", **details: Any
    ) -> None:
        # ECS throttles tasks that fail repeatedly. A new deployment starts at once.
        self._failures = self._failures + 1 if deployment == self._failing else 1
        self._failing = deployment
        steps = min(LONGEST_BACKOFF, 2 ** (self._failures - 1))
        self._pause_until = time.monotonic() + self._interval * steps
        self._report(deployment, failed=1, reason=reason, **details)
        if reason != self._printed:
            _say(shown or f"service {self._name}: {reason}")
        self._printed = reason

    def _report(self, deployment: str, **failure: Any) -> None:
        ours = [each for each in self._tasks if each.deployment == deployment and each.healthy]
        healthy = [each.id for each in ours]
        engine().report(
            self._cluster, self._name, deployment, running=len(healthy), healthy=healthy, **failure
        )

    def _remove(self, tasks: list[_Task]) -> None:
        if not tasks:
            return
        self.serve(leaving=tasks)  # no request may meet a container that is being removed
        self._docker.remove([task.name for task in tasks])
        self._tasks = [task for task in self._tasks if task not in tasks]


@contextmanager
def _failures_printed(what: str) -> Iterator[None]:
    """Print a failure or timeout of docker. The next step checks everything again."""
    try:
        yield
    except CommandFailed as failure:
        _say(f"{what}: {failure}")


def _say(text: str) -> None:
    print(f"ecs: {text}", file=sys.stderr, flush=True)


def _key(service: Service) -> str:
    return f"{service.cluster}/{service.name}"


def _essential(containers: list[Json]) -> Json:
    return max(containers, key=lambda each: bool(each["essential"]))  # the first of equals


def _ports(container: Json) -> list[int]:
    return [
        mapping["containerPort"]
        for mapping in container["portMappings"]
        if mapping.get("protocol", "tcp") == "tcp"
    ]


def _groups(
    weights: Mapping[str, float], tasks: Mapping[str, Sequence[Target]]
) -> dict[str, Group]:
    return {each: Group(weight, tasks.get(each, [])) for each, weight in weights.items()}


def _health_command(command: list[str]) -> list[str]:
    """A health check's command as arguments. Empty for ["NONE"]."""
    kind, *arguments = command
    if kind == "CMD-SHELL":
        return ["/bin/sh", "-c", *arguments]
    return arguments if kind == "CMD" else []
