"""Why the embedded ECS ends a rollout, in AWS's words."""

from dataclasses import dataclass

# "Troubleshooting with Amazon ECS Action Logs". Inferred: the status is ROLLBACK_FAILED.
NO_CANDIDATE = "No rollback candidate was found to run the rollback."
# Inferred: the reason of a record that StopServiceDeployment ends without a rollback.
STOPPED_BY_USER = "Service deployment stopped by a user."


@dataclass(frozen=True)
class Cause:
    """Why ECS ends a rollout, in the words of the places that show it.

    `event` is for the service's events, and `state` is the deployment's `rolloutStateReason`, empty
    if the deployment does not become FAILED. `record` is the `statusReason` after a rollback, and
    `by` begins the reason of the rollback's deployment.
    """

    event: str
    state: str
    record: str
    by: str


# Documented: `state` and `by` in the guide's deployment events. Seen in public output: the others.
BREAKER = Cause(
    "tasks failed to start.",
    "ECS deployment circuit breaker: tasks failed to start.",
    "Service deployment rolled back because the circuit breaker threshold was exceeded.",
    "ECS deployment circuit breaker",
)
# Seen in public output: `event` and `record`. Inferred: `state` and `by`.
ALARM = Cause(
    "alarm detected.",
    "ECS deployment alarms: alarm detected.",
    "Service deployment rolled back because of one or more active alarms.",
    "ECS deployment alarms",
)
# Inferred: all texts, and that the deployment does not become FAILED.
USER = Cause(
    "stopped by a user.",
    "",
    "Service deployment rolled back because a user stopped it.",
    "ECS deployment stopped",
)


def hook_refusal(stage: str, target: str) -> Cause:
    """A lifecycle hook that returned FAILED. Seen in public output: `record`, also as `event`."""
    record = (
        f"Service deployment rolled back because {stage} lifecycle hook(s) failed. Lifecycle hook"
        f" target {target} returned FAILED status."
    )
    return Cause(record, record, record, "ECS deployment lifecycle hook")


def hook_timeout(stage: str) -> Cause:
    """A pause hook that nobody answered. `record`: "Troubleshooting Amazon ECS blue/green"."""
    record = f"Service deployment rolled back because {stage} pause hook timed out."
    return Cause(record, record, record, "ECS deployment lifecycle hook")


def hook_rollback(stage: str) -> Cause:
    """ContinueServiceDeployment with ROLLBACK. Inferred: all texts, after those of a time-out."""
    record = f"Service deployment rolled back because {stage} pause hook was rolled back."
    return Cause(record, record, record, "ECS deployment lifecycle hook")


def stage_timeout(stage: str) -> Cause:
    """A stage that reached its limit of 24 hours. Inferred: all texts."""
    record = f"Service deployment rolled back because {stage} timed out."
    return Cause(record, record, record, "ECS deployment lifecycle stage")
