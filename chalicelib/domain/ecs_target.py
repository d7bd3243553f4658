"""The ECS service and container that a release is deployed to."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.domain.fields import END

# Source: the ECS API reference, CreateCluster, CreateService, ContainerDefinition.
EcsName = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9_-]{{1,255}}{END}",
        description="a name of 1 to 255 letters, digits, - and _, not an ARN",
    ),
]


class EcsTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a release runs: a container of an ECS service in a cluster."""

    cluster: EcsName
    service: EcsName
    container: EcsName

    @property
    def full_name(self) -> str:
        """The ECS service with its cluster: `cluster/service`."""
        return f"{self.cluster}/{self.service}"
