"""The ECS service and the containers that a release is deployed to."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule

# Source: the ECS API reference, CreateCluster, CreateService, ContainerDefinition.
EcsName = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9_-]{{1,255}}{END}",
        description="a name of 1 to 255 letters, digits, - and _, not an ARN",
    ),
]


def _each_once(names: tuple[str, ...], _installation: Installation) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("containers must not contain a name twice")
    return names


ContainerNames = Annotated[
    tuple[EcsName, ...],
    Meta(
        min_length=1,
        max_length=10,
        description=(
            "the names of 1 to 10 different containers of the task definition that get the image, "
            "the main container first"
        ),
        extra_json_schema={"uniqueItems": True},
    ),
    Rule(normal=_each_once),
]


class EcsTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a release runs: the containers of an ECS service in a cluster that get its image."""

    cluster: EcsName
    service: EcsName
    containers: ContainerNames

    @property
    def main_container(self) -> str:
        """The container that runs the release command."""
        return self.containers[0]

    @property
    def full_name(self) -> str:
        """The ECS service with its cluster: `cluster/service`."""
        return f"{self.cluster}/{self.service}"
