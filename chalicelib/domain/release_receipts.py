"""The receipt of a release: the evidence that it ran, chained to the receipt before."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chalicelib.domain.preflight import Unknown
from chalicelib.domain.tasks import Task, digests_of

# Of very many tasks only the first are listed.
MAX_TASKS = 100


class ServiceDeployment(msgspec.Struct, frozen=True):
    """ECS's own record of a rollout (ServiceDeployment in the ECS API reference).

    `breaker` and `alarms` are the states of ECS's two checks, empty if it reports none. Times are
    in seconds since the epoch. `configuration` is the deploymentConfiguration of this rollout.
    """

    arn: str
    revision: str
    status: str
    finished_at: int | None = None
    breaker: str = ""
    alarms: str = ""
    configuration: Mapping[str, Any] = msgspec.field(default_factory=dict)


def warnings_of(
    record: ServiceDeployment | Unknown | None, *, desired: int, configuration: Mapping[str, Any]
) -> list[str]:
    """What the evidence does not show, as sentences.

    An alarm that is on when a rollout begins is ignored ("How CloudWatch alarms detect Amazon ECS
    deployment failures"). After early success ECS does not check the rollout any more.
    """
    found = []
    if desired == 0:
        found.append("the ECS service wants no tasks, so no task has run this release yet")
    if record is None:
        found.append("ECS has no record of this rollout, so its own checks are not known")
    alarms = configuration.get("alarms", {})
    if (
        isinstance(record, ServiceDeployment)
        and alarms.get("enable")
        and record.alarms == "DISABLED"
    ):
        names = ", ".join(alarms.get("alarmNames", ()))
        found.append(
            f"ECS did not watch the alarms ({names}) in this rollout: it ignores them if one is on "
            "when the rollout begins"
        )
    if configuration.get("earlySuccessCriteria", {}).get("enable"):
        found.append(
            "ECS may end its checks before all tasks run (earlySuccessCriteria); Slipway has "
            "waited for all tasks"
        )
    return found


def evidence(
    record: ServiceDeployment | None,
    tasks: Sequence[Task],
    *,
    image: str,
    desired: int,
    verified_at: int,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The part of a receipt that comes from ECS. `tasks` are those of the release."""
    return {
        "service_deployment": record and record.arn,
        "service_revision": record and record.revision,
        "circuit_breaker": (record and record.breaker) or None,
        "alarms": (record and record.alarms) or None,
        "rolled_out_at": record and record.finished_at,
        "verified_at": verified_at,
        "desired_tasks": desired,
        "containers": sorted({each.name for task in tasks for each in task.of(image)}),
        "tasks": [
            {
                "task": task.arn,
                "image_digests": sorted(digests_of([task], image)),
                "health": task.health,
                "started_at": task.started_at,
            }
            for task in sorted(tasks, key=lambda each: each.arn)[:MAX_TASKS]
        ],
        "warnings": list(warnings),
    }


def sealed(content: Mapping[str, Any], previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """A receipt with the hash of the receipt before, and with its own hash."""
    whole = {**content, "previous": dict(previous) if previous else None}
    return {**whole, "hash": hash_of(whole)}


def hash_of(receipt: Mapping[str, Any]) -> str:
    """The SHA-256 of a receipt's JSON without `hash`, with sorted keys and without spaces."""
    content = {name: value for name, value in receipt.items() if name != "hash"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
