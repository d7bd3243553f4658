"""The settings of a service and of its builds.

Each setting is one field here. Request bodies, stored rows, answers, the OpenAPI document and the
differences in the audit trail are made from these structs.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.domain.build_args import BuildArgs
from chalicelib.domain.ecs_target import EcsName, EcsTarget
from chalicelib.domain.fields import END
from chalicelib.domain.images import ImageRepository, Platforms
from chalicelib.domain.paths import ContextPath, RepositoryPath
from chalicelib.domain.refs import Branch
from chalicelib.domain.repositories import GitUrl, repository_of
from chalicelib.domain.webhook_secrets import OwnSecretReference

ServiceName = Annotated[
    str,
    Meta(
        pattern=rf"^[a-z][a-z0-9-]{{0,62}}{END}",
        description="a lower-case letter, then at most 62 lower-case letters, digits and -",
    ),
]
_MINUTES = "a number of minutes"
QueuedMinutes = Annotated[
    int, Meta(ge=1, le=480, description=f"{_MINUTES} that a build may wait for CodeBuild")
]
# CodeBuild refuses a time-out below five minutes (StartBuild: timeoutInMinutesOverride).
BuildMinutes = Annotated[
    int, Meta(ge=5, le=480, description=f"{_MINUTES} that a build may run, 5 to 480")
]
DeployMinutes = Annotated[
    int, Meta(ge=1, le=480, description=f"{_MINUTES} that a rollout may take until it is healthy")
]
Submodules = Annotated[
    bool, Meta(description="whether builds fetch submodules, from the repository's own host")
]
AutoDeploy = Annotated[bool, Meta(description="whether the image of each push is deployed")]


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The build settings that each request for a build may choose."""

    context_path: ContextPath = "."
    dockerfile: RepositoryPath = "Dockerfile"
    platforms: Platforms = ("linux/amd64",)
    build_args: BuildArgs = {}


class BuildSettings(BuildOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that an image is built with, except for the commit. Each build keeps a copy."""

    git_url: GitUrl
    submodules: Submodules = False
    build_minutes: BuildMinutes = 30

    @property
    def repository(self) -> str:
        """The name that pushes are matched by, such as `github.com/acme/app`."""
        return repository_of(self.git_url).key


class ServiceSettings(BuildSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service to be created. The three names of its ECS target come together or not at all."""

    name: ServiceName
    branch: Branch = "main"
    image_repository: ImageRepository
    ecs_cluster: EcsName | None = None
    ecs_service: EcsName | None = None
    container: EcsName | None = None
    webhook_secret: OwnSecretReference | None = None
    auto_deploy: AutoDeploy = False
    queued_minutes: QueuedMinutes = 60
    deploy_minutes: DeployMinutes = 20

    @property
    def build(self) -> BuildSettings:
        """The part that each build copies."""
        names = BuildSettings.__struct_fields__
        return BuildSettings(**{name: getattr(self, name) for name in names})

    @property
    def target(self) -> EcsTarget | None:
        """Where releases run; None for a service that is only built."""
        if self.ecs_cluster is None or self.ecs_service is None or self.container is None:
            return None
        return EcsTarget(
            cluster=self.ecs_cluster, service=self.ecs_service, container=self.container
        )


TARGET_FIELDS = ("ecs_cluster", "ecs_service", "container")
