"""Task definitions: the next revision differs from the described one at most in one image."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from chalicelib.errors import Rejected

# In DescribeTaskDefinition's answer but not among RegisterTaskDefinition's parameters. This lists
# the fields to drop, not those to keep: a parameter that AWS adds later must not be lost silently.
_READ_ONLY = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
    }
)


def next_task_definition(
    current: Mapping[str, Any],
    *,
    container: str,
    image: str,
    tags: Iterable[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """RegisterTaskDefinition's parameters for `current` with `image` in `container`.

    `current` and `tags` come from DescribeTaskDefinition. Raises Rejected (container_not_found).
    """
    containers = current["containerDefinitions"]
    missing = no_container(current, container)
    if missing is not None:
        raise Rejected(missing, code="container_not_found")
    changed = [
        {**each, "image": image} if each["name"] == container else dict(each) for each in containers
    ]
    return same_task_definition({**current, "containerDefinitions": changed}, tags=tags)


def same_task_definition(
    current: Mapping[str, Any], *, tags: Iterable[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """RegisterTaskDefinition's parameters for the content of `current`.

    `current` and `tags` come from DescribeTaskDefinition. Empty values are left out: they mean
    "not set", and ECS refuses an empty list of tags. Tags that only AWS may write (`aws:`), such as
    CloudFormation's, are left out, too.
    """
    request = {key: value for key, value in current.items() if key not in _READ_ONLY}
    request["tags"] = [dict(tag) for tag in tags if not tag["key"].lower().startswith("aws:")]
    return {key: value for key, value in request.items() if value not in (None, "", [], {})}


def differs(one: Mapping[str, Any], other: Mapping[str, Any], *, container: str) -> bool:
    """Whether two described definitions differ in more than the image of `container`.

    A definition without the container differs from all others.
    """
    if no_container(one, container) or no_container(other, container):
        return True
    same = [next_task_definition(each, container=container, image="-") for each in (one, other)]
    return fingerprint(same[0]) != fingerprint(same[1])


def fingerprint(request: Mapping[str, Any]) -> str:
    """SHA-256 of a RegisterTaskDefinition request without its tags."""
    settings = {key: value for key, value in request.items() if key != "tags"}
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def no_container(definition: Mapping[str, Any], container: str) -> str | None:
    """Why an image cannot be put into `container` of a task definition; None if it can."""
    names = [each["name"] for each in definition["containerDefinitions"]]
    if container in names:
        return None
    return (
        f"the task definition {definition['family']} has no container {container}; "
        f"it has: {', '.join(names)}. Set the service's container to one of them, or make ECS "
        f"run a definition that has {container}"
    )
