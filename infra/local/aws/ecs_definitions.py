"""Task definitions that ECS refuses and moto accepts."""

from collections import Counter
from typing import Any

# "Task size" in the ECS developer guide: MiB by CPU units. Written down again, not imported: a
# mistake in the product's table must show.
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
    dagster-io/dagster#11622, CircleCI-Public/aws-ecs-orb#190 and fabfuel/ecs-deploy#87.
    """
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
