"""Runs the tasks that RunTask of the embedded ECS has started, each as one container.

The container is the one whose command the task overrides, else the first one: image, command and
environment. Its program runs to its end. StopTask sends it SIGTERM, and after 30 seconds SIGKILL,
as the API reference says. With the simulated docker no program runs: each counts as ended with exit
code 0, and its log says so.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from infra.local.aws.ecs import engine
from infra.local.aws.ecs_run_task import overridden
from infra.local.aws.ecs_tasks import KILLED, Container, Task
from infra.local.machines.containers import LABEL, OUT_OF_MEMORY, CommandFailed, Docker

STOP_TIMEOUT = 30.0
# The simulated docker lets containers with this label end at once.
ENDS = "slipway.ends"


@dataclass
class _Program:
    """A container that runs a task."""

    name: str
    container: Container
    logged: str = ""  # the time of the last line in CloudWatch Logs
    signalled_at: float | None = None


class StandaloneTasks:
    """The containers of standalone tasks. `session` labels them, so that they can be removed."""

    def __init__(self, docker: Docker, session: str) -> None:
        self._docker = docker
        self._session = session
        self._programs: dict[str, _Program] = {}

    def step(self) -> None:
        """Start new tasks, signal those that shall stop, and report those that have ended."""
        for task in engine().launcher.active():
            self._step(task)

    def _step(self, task: Task) -> None:
        program = self._programs.get(task.task_arn)
        if program is None:
            self._start(task)
            return
        self._copy_output(task, program)
        state = self._docker.states([program.name]).get(program.name)
        if state is None:  # somebody removed it by force
            return self._end(task, program, KILLED)
        if not state["Running"]:
            reason = OUT_OF_MEMORY if state.get("OOMKilled") else None
            self._copy_output(task, program)
            return self._end(task, program, state["ExitCode"], reason)
        if task.desired_status == "STOPPED":
            self._signal(program)

    def _start(self, task: Task) -> None:
        name = overridden(task)
        container = next(each for each in task.containers if each.name == name)
        program = _Program(f"slipway-task-{task.id[:12]}", container)
        try:
            self._docker.pull(container.image)
        except CommandFailed as failure:
            return self._fail(task, f"CannotPullContainerError: {failure}")
        if fault := engine().fleet.open_logs(task):
            return self._fail(task, fault)
        definition: Any = container.definition
        try:
            self._docker.start(
                program.name,
                container.image,
                labels={LABEL: self._session, ENDS: "true"},
                ports=[],
                environment={each["name"]: each["value"] for each in definition["environment"]},
                command=definition.get("command", []),
            )
        except CommandFailed as failure:
            with suppress(CommandFailed):  # it may exist, and may even run
                self._docker.remove([program.name])
            return self._fail(task, f"CannotStartContainerError: {failure}")
        self._programs[task.task_arn] = program
        with engine().lock:
            engine().launcher.begin(task)

    def _signal(self, program: _Program) -> None:
        if program.signalled_at is None:
            program.signalled_at = time.monotonic()
            self._docker.kill(program.name, "TERM")
        elif time.monotonic() - program.signalled_at > STOP_TIMEOUT:
            self._docker.kill(program.name, "KILL")

    def _end(
        self, task: Task, program: _Program, exit_code: int, reason: str | None = None
    ) -> None:
        with engine().lock:
            engine().launcher.end(task, exit_code, container_reason=reason)
        del self._programs[task.task_arn]
        self._docker.remove([program.name])

    def _fail(self, task: Task, reason: str) -> None:
        with engine().lock:
            engine().launcher.fail(task, reason)

    def _copy_output(self, task: Task, program: _Program) -> None:
        """Append a container's new lines to its log stream in CloudWatch Logs."""
        definition = program.container.definition
        if (definition.get("logConfiguration") or {}).get("logDriver") != "awslogs":
            return
        with suppress(CommandFailed):  # no log may stop the checks
            lines = self._docker.output(program.name, program.logged)
            engine().fleet.logs.write(definition, task.id, [text for _, text in lines])
            program.logged = lines[-1][0] if lines else program.logged
