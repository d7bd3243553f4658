"""Task definitions: the next revision differs from the described one only in the new image."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from chalicelib.domain.images import repository_of
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

_MOST_BYTES = 64 * 1024


def next_task_definition(
    current: Mapping[str, Any],
    *,
    containers: Collection[str],
    image: str,
    tags: Iterable[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """RegisterTaskDefinition's parameters for `current` with `image` in `containers`.

    `current` and `tags` come from DescribeTaskDefinition. Raises Rejected (container_not_found).
    """
    missing = why_not_in(current, containers)
    if missing is not None:
        raise Rejected(missing, code="container_not_found")
    changed = [
        {**each, "image": image} if each["name"] in containers else dict(each)
        for each in current["containerDefinitions"]
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


def differs(
    one: Mapping[str, Any], other: Mapping[str, Any], *, containers: Collection[str]
) -> bool:
    """Whether two described definitions differ in more than the images of `containers`.

    A definition without one of the containers differs from all others.
    """
    if missing_containers(one, containers) or missing_containers(other, containers):
        return True
    same = [next_task_definition(each, containers=containers, image="-") for each in (one, other)]
    return fingerprint(same[0]) != fingerprint(same[1])


def fingerprint(request: Mapping[str, Any]) -> str:
    """SHA-256 of a RegisterTaskDefinition request without its tags."""
    settings = {key: value for key, value in request.items() if key != "tags"}
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def why_too_large(definition: Mapping[str, Any]) -> str | None:
    """Why ECS refuses a definition for its size ("Amazon ECS service quotas"); None if it fits.

    AWS does not say what it counts. This is the shortest JSON of the request: a longer definition
    cannot fit.
    """
    text = json.dumps(same_task_definition(definition), separators=(",", ":"), ensure_ascii=False)
    length = len(text.encode())
    if length <= _MOST_BYTES:
        return None
    return (
        f"the task definition would have {length} bytes, and ECS takes at most {_MOST_BYTES}: each "
        "of the service's containers gets the variables. Set fewer or shorter variables"
    )


def missing_containers(definition: Mapping[str, Any], containers: Iterable[str]) -> list[str]:
    """Those of `containers` that a task definition does not have."""
    names = {each["name"] for each in definition["containerDefinitions"]}
    return [name for name in containers if name not in names]


def why_not_in(definition: Mapping[str, Any], containers: Iterable[str]) -> str | None:
    """Why an image cannot be put into `containers` of a task definition; None if it can.

    All missing containers are named.
    """
    missing = missing_containers(definition, containers)
    if not missing:
        return None
    kind = "container" if len(missing) == 1 else "containers"
    names = ", ".join(each["name"] for each in definition["containerDefinitions"])
    return (
        f"the task definition {definition['family']} has no {kind} {', '.join(missing)}; "
        f"it has: {names}. Change the service's containers, or make ECS run a definition that has "
        f"{', '.join(missing)}"
    )


def left_behind(
    definition: Mapping[str, Any], containers: Collection[str], *, repository: str
) -> list[str]:
    """Containers of a task definition that have an image of `repository` and are not in
    `containers`. `repository` is named with its registry.
    """
    return [
        each["name"]
        for each in definition["containerDefinitions"]
        if each["name"] not in containers and repository_of(each.get("image", "")) == repository
    ]
