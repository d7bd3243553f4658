"""Where the output of a build or of a container is: a stream of CloudWatch Logs."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LogStream:
    """A stream, and its log group. `hidden` are texts that its lines must not show."""

    group: str
    name: str
    hidden: tuple[str, ...] = field(default=(), repr=False, compare=False)


def stream_of_build(log_path: str) -> LogStream:
    """The stream of a build's `log_path`: `<log group>/build-123/<uuid>`."""
    group, job, stream = log_path.rsplit("/", 2)
    return LogStream(group, f"{job}/{stream}")
