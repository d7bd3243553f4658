"""Tasks of an ECS service: which ones prove a release, and why others have stopped."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from chalicelib.domain.log_streams import LogStream

# The `stopCode` of a task that somebody stopped (Task in the API reference).
BY_HAND = "UserInitiated"
# Exit codes of containers that a signal ended: KILL, for instance without memory, and TERM, with
# which ECS stops the other containers of a task.
_KILLED, _TERMINATED = 137, 143
# The reason of a container that was not started because of another one (pull request 3218 of
# aws/amazon-ecs-agent). Its exit code is 143.
_NOT_STARTED = "failed to resolve container ordering dependency"
# Characters of a variable's value: a shorter one would hide ordinary text of the log.
_SHORTEST_VALUE = 8


class Container(msgspec.Struct, frozen=True):
    """A container of a task. `digest` is that of the image it runs, if ECS knows it.

    `awaited` means that another container starts only after this one has exited with code 0.
    """

    name: str
    image: str
    digest: str | None = None
    exit_code: int | None = None
    reason: str = ""
    runtime_id: str = ""
    essential: bool = True
    awaited: bool = False
    status: str = ""

    @property
    def never_started(self) -> bool:
        """Whether it has ended without an exit code, for instance because its command is missing.

        A container that runs may have a reason, too (Container in the ECS API reference).
        """
        return bool(self.reason) and self.exit_code is None and self.status != "RUNNING"

    @property
    def runs_digest(self) -> str | None:
        """The digest of the image that it runs.

        Old agents do not report it. An image that is named by its digest cannot be another one.
        """
        return self.digest or self.image.partition("@")[2] or None

    @property
    def failed(self) -> bool:
        """Whether it ended by itself, and not with success."""
        return self.exit_code not in {None, 0, _TERMINATED, _KILLED}


class Task(msgspec.Struct, frozen=True):
    """A task as ECS reports it. Times are in seconds since the epoch, None before they come."""

    arn: str
    task_definition: str
    status: str
    health: str
    containers: tuple[Container, ...]
    started_at: int | None = None
    stopped_at: int | None = None
    stop_code: str = ""
    stopped_reason: str = ""
    started_by: str = ""

    @property
    def id(self) -> str:
        """The last part of its ARN, as consoles show it."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def runs(self) -> bool:
        """Whether it runs, and no health check has failed."""
        return self.status == "RUNNING" and self.health != "UNHEALTHY"

    def of(self, image: str) -> list[Container]:
        """The containers for which the task definition names an image."""
        return [each for each in self.containers if each.image == image]


def missing_proof(
    tasks: Iterable[Task],
    *,
    image: str,
    digests: Collection[str],
    desired: int,
    containers: Collection[str] = (),
) -> str | None:
    """What is missing until the tasks prove the release; None if they prove it.

    `tasks` are those of its definition. Each running one must have a container for the `image`, all
    of `containers` must be among them and have started, and all of them must run one of the
    `digests`. A container that has exited, such as an init container, still shows its digest. At
    least as many tasks must run as are desired: ECS may have to keep protected ones.
    """
    running = [task for task in tasks if task.runs]
    for task in running:
        for each in task.of(image):
            if each.name in containers and each.never_started:
                return f"the container {each.name} of task {task.id} did not start: {each.reason}"
        found = {each.name: each.runs_digest for each in task.of(image)}
        for digest in found.values() or [None]:
            if digest not in digests:
                return f"task {task.id} runs {digest or 'an unknown image'}, not {image}"
        without = [name for name in containers if name not in found]
        if without:
            return f"the container {without[0]} of task {task.id} does not run {image}"
    if len(running) < desired:
        return f"{len(running)} of {desired} tasks run the release"
    return None


def bad_ends(tasks: Iterable[Task], containers: Collection[str]) -> list[str]:
    """How some of `containers` ended that exited with another code than 0, each end once.

    The end of a container that is not essential does not end its task.
    """
    ended = {
        (each.name, each.exit_code)
        for task in tasks
        for each in task.containers
        if each.name in containers and each.exit_code
    }
    return [f"container {name} exited with code {code}" for name, code in sorted(ended)]


def explaining(tasks: Iterable[Task], task_definition: str) -> list[Task]:
    """The stopped tasks of a definition that did not stop because ECS wanted fewer.

    Those that failed by themselves come first, and the newest of them first. A stop by the
    service's scheduler explains a failure only if a health check failed (Task, `stopCode`, in the
    API reference).
    """
    own = [
        task
        for task in tasks
        if task.task_definition == task_definition
        and task.stopped_at is not None
        and (task.stop_code != "ServiceSchedulerInitiated" or "fail" in task.stopped_reason.lower())
    ]
    return sorted(own, key=lambda task: (task.stop_code == BY_HAND, -(task.stopped_at or 0)))


def failed_container(task: Task) -> Container | None:
    """The container that made the task stop; None if no container ran or has a reason."""
    ended = [each for each in task.containers if each.reason or each.exit_code is not None]
    return min(ended, key=_rank, default=None)


def _rank(container: Container) -> tuple[bool, int]:
    """An essential container comes first, with a reason of its own, and one that ECS stopped last.

    The end of a container that is not essential does not end the task, unless others wait for its
    success. A container that was not started because of another one explains nothing.
    """
    ends_task = container.essential or (container.awaited and bool(container.exit_code))
    if _NOT_STARTED in container.reason:
        return not ends_task, 5
    ended = {_KILLED: 2, 0: 3, _TERMINATED: 4}.get(container.exit_code or 0, 1)
    return not ends_task, 0 if container.reason else ended


def why_stopped(task: Task) -> str:
    """Why a task stopped, in one sentence: its container's reason and exit code, or ECS's reason.

    ECS's "Essential container in task exited" says nothing that the exit code does not say.
    """
    container = failed_container(task)
    exited = task.stop_code == "EssentialContainerExited"
    # ECS does not document the code for a container on which another one waits (`dependsOn`).
    exited |= task.stop_code == "TaskFailedToStart" and bool(container and container.failed)
    if container is None or not (exited or container.reason):
        return task.stopped_reason or "ECS gives no reason"
    if container.exit_code is None:
        return container.reason or task.stopped_reason
    end = f"container {container.name} exited with code {container.exit_code}"
    return f"{end}: {container.reason}" if container.reason else end


def awaited(definition: Mapping[str, Any]) -> set[str]:
    """The containers on which others wait until they have exited with code 0: condition SUCCESS
    of `dependsOn` (ContainerDependency in the API reference).
    """
    return {
        each["containerName"]
        for container in definition.get("containerDefinitions", ())
        for each in container.get("dependsOn", ())
        if each["condition"] == "SUCCESS"
    }


def log_stream(
    definition: Mapping[str, Any], task: Task, container: Container, *, region: str
) -> LogStream | None:
    """The stream that a container writes to; None if its log driver is not awslogs.

    Without a prefix the stream has the name of the container's id ("Using the awslogs log driver").
    It hides the values of the definition's variables, because everybody who sees the service reads
    the end of a log.
    """
    configured = {
        each["name"]: each.get("logConfiguration", {})
        for each in definition.get("containerDefinitions", ())
    }
    log = configured.get(container.name, {})
    options: Mapping[str, str] = log.get("options", {})
    group = options.get("awslogs-group")
    if log.get("logDriver") != "awslogs" or not group:
        return None
    if options.get("awslogs-region", region) != region:
        return None
    prefix = options.get("awslogs-stream-prefix")
    stream = f"{prefix}/{container.name}/{task.id}" if prefix else container.runtime_id
    return LogStream(group, stream, hidden=values_of(definition)) if stream else None


def values_of(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of all variables; of one with line breaks also each line, as programs print it."""
    found = set()
    for container in definition.get("containerDefinitions", ()):
        for variable in container.get("environment", ()):
            lines = variable.get("value", "").splitlines()
            found |= {"".join(lines), *lines}
    return tuple(sorted(value for value in found if len(value) >= _SHORTEST_VALUE))


def digests_of(tasks: Iterable[Task], image: str) -> set[str]:
    """The digests that the tasks run for an image."""
    found = (each.runs_digest for task in tasks for each in task.of(image))
    return {digest for digest in found if digest}
