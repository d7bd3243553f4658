"""The output of Amazon ECS tasks in CloudWatch Logs, where containers use the driver awslogs.

Source: ECS developer guide, "Send Amazon ECS logs to CloudWatch": the stream is called
`prefix/container/task-id`, and a missing group is created only with `awslogs-create-group`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moto.logs.models import LogGroup, logs_backends

from infra.local.aws import clock

Json = dict[str, Any]
# Source: "ResourceInitializationError" in the ECS developer guide's stopped task errors. On EC2 the
# text is another one ("CannotStartContainerError: … failed to initialize logging driver: …").
NO_LOG_GROUP = (
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1"
    " times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log"
    " group does not exist. : exit status 1"
)


@dataclass(frozen=True)
class Logs:
    """CloudWatch Logs of one account and region."""

    account: str
    region: str

    def open(self, container: Json, task_id: str) -> str | None:
        """Make the log stream of a container that starts, as its definition says.

        Returns the reason why its task cannot start, NO_LOG_GROUP, or None.
        """
        options = _options(container)
        if options is None:
            return None
        group = options["awslogs-group"]
        if group not in self._groups and options.get("awslogs-create-group") == "true":
            logs_backends[self.account][self.region].create_log_group(group, {})
        if group not in self._groups:
            return NO_LOG_GROUP
        stream = _stream(options, container, task_id)
        if stream not in self._groups[group].streams:
            self._groups[group].create_log_stream(stream)
        return None

    def write(self, container: Json, task_id: str, lines: Iterable[str]) -> None:
        """Append lines to a container's stream. They are lost without the driver awslogs."""
        options = _options(container)
        if options is None or options["awslogs-group"] not in self._groups:
            return
        at = int(clock.now() * 1000)
        events = [{"timestamp": at, "message": line} for line in lines]
        # Not through PutLogEvents: moto compares the lines' time with the real one.
        group = self._groups[options["awslogs-group"]]
        group.put_log_events(_stream(options, container, task_id), events)

    @property
    def _groups(self) -> dict[str, LogGroup]:
        return logs_backends[self.account][self.region].groups


def _options(container: Json) -> Json | None:
    """The options of the driver awslogs. None if the container uses another driver, or none."""
    configuration: Json = container.get("logConfiguration") or {}
    if configuration.get("logDriver") != "awslogs":
        return None
    options: Json = configuration["options"]
    return options


def _stream(options: Json, container: Json, task_id: str) -> str:
    # Without a prefix, the name is the container's id, which on AWS nobody can guess.
    prefix = options.get("awslogs-stream-prefix")
    return f"{prefix}/{container['name']}/{task_id}" if prefix else task_id
