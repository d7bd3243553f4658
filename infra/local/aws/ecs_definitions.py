"""Task definitions that ECS refuses and moto accepts."""

import json
from collections import Counter
from typing import Any

# "Task size" in the ECS developer guide: MiB by CPU units. Written down again, not imported: a
# mistake in the product's table must show.
_MOST_BYTES = 65_536
_GIB = 1024
_FARGATE_SIZES = {
    "256": [512, 1 * _GIB, 2 * _GIB],
    "512": [gib * _GIB for gib in (1, 2, 3, 4)],
    "1024": [gib * _GIB for gib in range(2, 9)],
    "2048": [gib * _GIB for gib in range(4, 17)],
    "4096": [gib * _GIB for gib in range(8, 31)],
    "8192": [gib * _GIB for gib in range(16, 61, 4)],
    "16384": [gib * _GIB for gib in range(32, 121, 8)],
}


def why_refused(request: dict[str, Any]) -> str | None:
    """The message of ECS's ClientException for a RegisterTaskDefinition request; None if it fits.

    The API reference does not list these refusals. The texts are those that users quote: in
    dagster-io/dagster#11622, CircleCI-Public/aws-ecs-orb#190, fabfuel/ecs-deploy#87,
    pulumi/pulumi-awsx#188, cloudnativedaysjp/dreamkast-infra#4766 and
    awsdocs/amazon-ecs-developer-guide#149. That the length is that of the request as JSON is
    inferred.
    """
    length = len(json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode())
    if length > _MOST_BYTES:
        return f"Actual length: '{length}'. Max allowed length is '{_MOST_BYTES}' bytes."
    for container in request.get("containerDefinitions", []):
        secrets = [each["name"] for each in container.get("secrets", [])]
        shared = {each["name"] for each in container.get("environment", [])} & set(secrets)
        if shared:
            return (
                "The secret name must be unique and not shared with any new or existing "
                f"environment variables set on the container, such as '{min(shared)}'."
            )
        twice = [name for name, times in Counter(secrets).items() if times > 1]
        if twice:
            return (
                f"Duplicate secret names found: {', '.join(twice)}. "
                "Each secret name must be unique."
            )
        if secrets and not request.get("executionRoleArn"):
            return (
                "When you are specifying container secrets, you must also specify a value for "
                "'executionRoleArn'."
            )
    too_small = _why_too_small(request)
    if too_small is not None:
        return too_small
    compatibilities = request.get("requiresCompatibilities", [])
    images = [each.get("image", "") for each in request.get("containerDefinitions", [])]
    from_ecr = any(".dkr.ecr." in image for image in images)
    if compatibilities == ["FARGATE"] and from_ecr and not request.get("executionRoleArn"):
        return "Fargate requires task definition to have execution role ARN to support ECR images."
    if "FARGATE" in compatibilities:
        sizes = _FARGATE_SIZES.get(str(request.get("cpu")), [])
        if str(request.get("memory")) not in map(str, sizes):
            return "No Fargate configuration exists for given values."
    return None


def _why_too_small(request: dict[str, Any]) -> str | None:
    if not str(request.get("memory", "")).isdecimal():
        return None
    memory, containers = int(request["memory"]), request.get("containerDefinitions", [])
    for container in containers:
        if container.get("memory", 0) > memory:
            name = container["name"]
            return f"The 'memory' setting for container '{name}' is greater than for the task."
    if sum(each.get("memoryReservation", 0) for each in containers) > memory:
        return (
            "The sum of all container 'memoryReservation' values cannot be greater than the value "
            "of the task 'memory'."
        )
    return None
