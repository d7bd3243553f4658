"""The settings of a service and of its builds.

Each setting is one field. Request bodies, stored rows, responses, the OpenAPI document and the
differences in the audit trail are derived from these structs.
"""

import posixpath
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chalicelib.domain.approvals import Approval, ApprovalMinutes, ApproveOwn
from chalicelib.domain.build_args import BuildArgs
from chalicelib.domain.checks import ChecksMinutes, RequireChecks
from chalicelib.domain.credentials import BuildSecrets, Destinations
from chalicelib.domain.ecs_target import ContainerNames, EcsName, EcsTarget
from chalicelib.domain.fields import END
from chalicelib.domain.images import ImageRepository, Platforms
from chalicelib.domain.paths import ContextPath, RepositoryPath
from chalicelib.domain.patterns import Paths, Tags
from chalicelib.domain.refs import Branch
from chalicelib.domain.release_commands import ReleaseCommand, ReleaseCommandMinutes
from chalicelib.domain.repositories import GitUrl, repository_key
from chalicelib.domain.strategies import StrategySetting, from_stored
from chalicelib.domain.webhook_secrets import OwnSecretReference

ServiceName = Annotated[
    str,
    Meta(
        pattern=rf"^[a-z][a-z0-9-]{{0,62}}{END}",
        description="a lower-case letter, then at most 62 lower-case letters, digits and -",
    ),
]
QueuedMinutes = Annotated[
    int,
    Meta(
        ge=1,
        le=480,
        description="a whole number from 1 to 480: the minutes that a build may wait for "
        "CodeBuild, without the time in which other builds of Slipway run",
    ),
]
MaxOpenBuilds = Annotated[
    int,
    Meta(
        ge=1,
        le=100,
        description="a whole number from 1 to 100: how many builds may be queued or running",
    ),
]
SupersedeBuilds = Annotated[
    bool,
    Meta(description="whether a later push ends the queued builds of earlier pushes to its branch"),
]
# CodeBuild refuses a time-out below five minutes (StartBuild: timeoutInMinutesOverride).
BuildMinutes = Annotated[
    int,
    Meta(
        ge=5, le=480, description="a whole number from 5 to 480: the minutes that a build may run"
    ),
]
DeployMinutes = Annotated[
    int,
    Meta(
        ge=1,
        le=480,
        description="a whole number from 1 to 480: the minutes in which another task of a rollout "
        "must start; a rollout takes at most six times as long",
    ),
]
Submodules = Annotated[
    bool, Meta(description="whether builds fetch submodules; only from the repository's own host")
]
Target = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9_.-]{{0,99}}{END}",
        description=(
            "the stage of the Dockerfile to build: at most 100 letters, digits and _ . -. If it is "
            "null, the last stage is built"
        ),
    ),
]
Lfs = Annotated[bool, Meta(description="whether builds fetch the files of Git LFS")]
History = Annotated[
    bool,
    Meta(
        description=(
            "whether builds fetch all commits and tags, for instance for `git describe`, instead "
            "of only the commit to build"
        )
    ),
]
Provenance = Annotated[
    bool, Meta(description="whether images get a provenance attestation of BuildKit")
]
Sbom = Annotated[
    bool, Meta(description="whether images get a list of their packages (SBOM) of BuildKit")
]
AlsoPushRequired = Annotated[
    bool, Meta(description="whether a build fails if a copy to another registry fails")
]
ServiceId = Annotated[
    int,
    Meta(
        ge=1,
        le=2**53 - 1,
        description=(
            "the id of another service of the project, which builds the images of this one. Then "
            "this service has no builds of its own"
        ),
    ),
]
AutoBuild = Annotated[
    bool,
    Meta(
        description="whether pushes to `branch`, and of `tags`, are built automatically; otherwise "
        "a build must be requested"
    ),
]
BuildPullRequests = Annotated[
    bool,
    Meta(
        description="whether pull requests to `branch` are built, from branches of the same "
        "repository: never with `secrets` or `also_push_to`, and never deployed"
    ),
]
AutoDeploy = Annotated[
    bool, Meta(description="whether the image of each push is deployed automatically")
]
PublicBadge = Annotated[
    bool,
    Meta(
        description="whether anyone may see the service's name and state as a picture, at "
        "`/v1/services/{service_id}/badge.svg`"
    ),
]


EnvironmentName = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9 ._/-]{{0,99}}{END}",
        description=(
            "the environment in which GitHub shows the deployments: at most 100 letters, digits, "
            "spaces and . _ / -. If it is null, it is <project>/<service>"
        ),
    ),
]
EnvironmentUrl = Annotated[
    str,
    Meta(
        pattern=rf"^https?://[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~/%-]*)?{END}",
        max_length=300,
        description="where the service is reached; GitHub shows it with a deployment",
        extra_json_schema={"format": "environment-url"},
    ),
]


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The build settings that a request for a build may replace."""

    context_path: ContextPath = "."
    dockerfile: RepositoryPath | None = None
    target: Target | None = None
    platforms: Platforms = ("linux/amd64",)
    build_args: BuildArgs = {}

    @property
    def dockerfile_path(self) -> str:
        """The path of the Dockerfile from the top of the repository."""
        return self.dockerfile or posixpath.normpath(f"{self.context_path}/Dockerfile")


class BuildSettings(BuildOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a build except for the commit. Each build keeps a copy."""

    git_url: GitUrl
    submodules: Submodules = False
    lfs: Lfs = False
    history: History = False
    secrets: BuildSecrets = {}
    provenance: Provenance = True
    sbom: Sbom = True
    also_push_to: Destinations = {}
    also_push_required: AlsoPushRequired = False
    queued_minutes: QueuedMinutes = 60
    build_minutes: BuildMinutes = 30

    @property
    def codebuild_queued_minutes(self) -> int:
        """The minutes that a build may wait in CodeBuild's own queue.

        CodeBuild refuses less than five (StartBuild: queuedTimeoutInMinutesOverride).
        """
        return max(5, self.queued_minutes)

    @property
    def repository(self) -> str:
        """The repository's key, such as `github.com/acme/app`. Pushes are matched by it."""
        return repository_key(self.git_url)


class ServiceSettings(BuildSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service to create. The three parts of its ECS target must be given together."""

    name: ServiceName
    branch: Branch = "main"
    auto_build: AutoBuild = True
    paths: Paths = ()
    tags: Tags = ()
    build_pull_requests: BuildPullRequests = False
    image_repository: ImageRepository
    image_from: ServiceId | None = None
    ecs_cluster: EcsName | None = None
    ecs_service: EcsName | None = None
    containers: ContainerNames | None = None
    webhook_secret: OwnSecretReference | None = None
    auto_deploy: AutoDeploy = False
    require_checks: RequireChecks | None = None
    checks_minutes: ChecksMinutes = 60
    max_open_builds: MaxOpenBuilds = 20
    supersede_builds: SupersedeBuilds = True
    deploy_minutes: DeployMinutes = 20
    strategy: StrategySetting = None
    release_command: ReleaseCommand | None = None
    release_command_minutes: ReleaseCommandMinutes = 15
    approval: Approval = False
    approval_minutes: ApprovalMinutes = 1440
    approve_own: ApproveOwn = False
    badge: PublicBadge = False
    environment_name: EnvironmentName | None = None
    environment_url: EnvironmentUrl | None = None

    @property
    def build(self) -> BuildSettings:
        """The settings that each build copies."""
        names = BuildSettings.__struct_fields__
        return BuildSettings(**{name: getattr(self, name) for name in names})

    def approval_for(self, *, is_rollback: bool) -> int | None:
        """The minutes in which a person must approve a deployment; None if it needs no approval.

        A rollback needs none: it may end an incident.
        """
        return self.approval_minutes if self.approval and not is_rollback else None

    @property
    def ecs_target(self) -> EcsTarget | None:
        """The ECS target of releases; None for a service that is only built."""
        if self.ecs_cluster is None or self.ecs_service is None or self.containers is None:
            return None
        return EcsTarget(
            cluster=self.ecs_cluster, service=self.ecs_service, containers=self.containers
        )


TARGET_FIELDS = ("ecs_cluster", "ecs_service", "containers")

# Settings that a service with `image_from` has from that service.
OF_SOURCE = ("git_url", "image_repository")
# Settings that say which pushes of a service are built, and how many builds of it may wait.
_OF_PUSHES = {
    *("branch", "auto_build", "paths", "tags", "build_pull_requests"),
    *("webhook_secret", "max_open_builds", "supersede_builds"),
}


def _defaults(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        field.name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        for field in msgspec.structs.fields(struct)
        if not field.required
    }


# Settings that only a service with builds of its own uses, with their defaults.
BUILDING_DEFAULTS: Mapping[str, Any] = {
    name: default
    for name, default in _defaults(ServiceSettings).items()
    if name in {*BuildSettings.__struct_fields__, *_OF_PUSHES}.difference(OF_SOURCE)
}

# A stored row leaves out settings with these values, and is read with them: a row of more than 1 KB
# costs twice as much to write. They stay the same when a default changes: old rows mean them.
LEFT_OUT: dict[str, Any] = {
    "context_path": ".",
    "platforms": ("linux/amd64",),
    "build_args": {},
    "submodules": False,
    "lfs": False,
    "history": False,
    "secrets": {},
    "provenance": True,
    "sbom": True,
    "also_push_to": {},
    "also_push_required": False,
    "queued_minutes": 60,
    "build_minutes": 30,
    "auto_build": True,
    "paths": (),
    "tags": (),
    "auto_deploy": False,
    "max_open_builds": 20,
    "supersede_builds": True,
    "deploy_minutes": 20,
    "release_command_minutes": 15,
    "approval": False,
    "approval_minutes": 1440,
    "approve_own": False,
    "badge": False,
}


def earlier_defaults(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The values in `LEFT_OUT` that are not the defaults of the struct any more."""
    defaults = _defaults(struct)
    return {
        name: value
        for name, value in LEFT_OUT.items()
        if name in defaults and defaults[name] != value
    }


# The layout of stored settings. In layout 2, a release had one `container`. In layout 1, the paths
# of Dockerfiles began at the context, too.
LAYOUT = 3


def present_layout(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stored settings of any layout in the present one."""
    layout = stored.get("layout", 1)
    if layout < 2:
        stored = from_layout_1(stored)
    stored = from_layout_2(stored) if layout < 3 else stored
    strategy = stored.get("strategy")
    return stored if strategy is None else {**stored, "strategy": from_stored(strategy)}


def from_layout_2(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings, or a stored target, of layout 2 in layout 3: its only container in a list.

    The settings of a build have no container.
    """
    container = stored.get("container")
    return {**stored, "containers": (container,)} if container is not None else dict(stored)


def from_layout_1(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings of layout 1 in layout 2, with the same Dockerfile."""
    context, dockerfile = stored.get("context_path", "."), stored.get("dockerfile", "Dockerfile")
    path = posixpath.normpath(f"{context}/{dockerfile}")
    of_context = posixpath.normpath(f"{context}/Dockerfile")
    return {**stored, "dockerfile": None if path == of_context else path}
