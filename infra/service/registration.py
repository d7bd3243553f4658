"""What Slipway knows of a service: its project and its settings, read and made by the HTTP API."""

from collections.abc import Mapping
from typing import Any

from slipway_cli.client import Client, path_of

from infra.service.names import Name
from infra.stacks import Refused

# Settings that lead to another repository or another ECS service if they differ.
_IDENTITY = ("git_url", "image_repository", "ecs_cluster", "ecs_service", "containers")


def find_project(client: Client, name: str) -> int | None:
    """The id of a project; None if there is none of this name."""
    return next(
        (
            int(project["id"])
            for project in client.pages(path_of("projects"), limit=100)
            if str(project["name"]).lower() == name
        ),
        None,
    )


def create_project(client: Client, name: str) -> int:
    """Create a project and return its id."""
    return int(client.post(path_of("projects"), {"name": name})["id"])


def find_service(client: Client, project: int, name: str) -> dict[str, Any] | None:
    """A service of a project; None if there is none of this name."""
    services = client.pages(path_of("projects", project, "services"), limit=100)
    return next((service for service in services if service["name"] == name), None)


def require_same(existing: Mapping[str, Any], wanted: Mapping[str, Any], name: Name) -> None:
    """Raise Refused if an existing service is one with another repository or target."""
    different = [
        f"{field} is {existing[field]}, not {wanted[field]}"
        for field in _IDENTITY
        if field in wanted and existing[field] != wanted[field]
    ]
    if different:
        raise Refused(
            f"Slipway already has a service {name}, which is another one: {', '.join(different)}. "
            "Nothing was changed.\n"
            f"Give another NAME, or change it: PATCH /v1/services/{existing['id']}."
        )


def create_service(client: Client, project: int, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Create a service with the wanted settings and return it."""
    created: dict[str, Any] = client.post(path_of("projects", project, "services"), wanted)
    return created
