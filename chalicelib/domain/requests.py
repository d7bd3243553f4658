"""Requests to AWS as data. `chalicelib.aws` sends them; tests compare them as a whole."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chalicelib.domain.credentials import secret_name
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.images import ARM, machine_for
from chalicelib.domain.release_commands import TAG
from chalicelib.domain.service_settings import BuildSettings


class BuildToStart(Protocol):
    """The attributes of a build that its StartBuild request needs."""

    @property
    def job_id(self) -> str: ...

    @property
    def project_id(self) -> int: ...

    @property
    def attempt(self) -> int: ...

    @property
    def settings(self) -> BuildSettings: ...

    @property
    def git_ref(self) -> str: ...

    @property
    def ref_type(self) -> str | None: ...

    @property
    def commit_sha(self) -> str | None: ...

    @property
    def git_credential(self) -> str | None: ...

    @property
    def cache_from(self) -> str | None: ...

    @property
    def cache_to(self) -> str | None: ...

    @property
    def image(self) -> str: ...

    @property
    def image_tag(self) -> str: ...

    @property
    def log_group(self) -> str: ...


def start_build_request(build: BuildToStart, *, project: str) -> dict[str, Any]:
    """StartBuild's parameters for an attempt of a build.

    The machines of the CodeBuild project `project` are amd64. The buildspec gets all settings as
    environment variables in plain text. Secrets are only named: the buildspec reads them with a
    role that allows only those of the build's project.

    Equal builds give the same request, byte for byte: CodeBuild refuses a repeated token with other
    parameters. CodeBuild appends its own build id to the name of the log stream.
    """
    settings = build.settings
    variables = {
        "JOB_ID": build.job_id,
        "PROJECT_ID": str(build.project_id),
        "GIT_URL": settings.git_url,
        "GIT_REF": build.git_ref,
        "REF_TYPE": build.ref_type or "",
        "GIT_SHA": build.commit_sha or "",
        "GIT_CREDENTIAL": build.git_credential or "",
        "SUBMODULES": _flag(settings.submodules),
        "LFS": _flag(settings.lfs),
        "HISTORY": _flag(settings.history),
        "CONTEXT_PATH": settings.context_path,
        "DOCKERFILE": settings.dockerfile_path,
        "TARGET": settings.target or "",
        "PLATFORMS": ",".join(settings.platforms),
        "BUILD_ARGS": _json(settings.build_args),
        "SECRETS": _json(_names(settings.secrets)),
        "PROVENANCE": _flag(settings.provenance),
        "SBOM": _flag(settings.sbom),
        "CACHE_FROM": build.cache_from or "",
        "CACHE_TO": build.cache_to or "",
        "IMAGE": build.image,
        "IMAGE_TAG": build.image_tag,
        "ALSO_PUSH_TO": _json(_names(settings.also_push_to)),
        "ALSO_PUSH_REQUIRED": _flag(settings.also_push_required),
    }
    return {
        "projectName": project,
        "idempotencyToken": f"{build.job_id}-{build.attempt}",
        "timeoutInMinutesOverride": settings.build_minutes,
        "queuedTimeoutInMinutesOverride": settings.codebuild_queued_minutes,
        "environmentVariablesOverride": [
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()
        ],
        **(_ARM_MACHINE if machine_for(settings.platforms) == ARM else {}),
        "logsConfigOverride": {
            "cloudWatchLogs": {
                "status": "ENABLED",
                "groupName": build.log_group,
                "streamName": build.job_id,
            }
        },
    }


# StartBuild can replace the project's machine (API reference: environmentTypeOverride); the image
# is CodeBuild's own for ARM (User Guide, "Docker images provided by CodeBuild").
_ARM_MACHINE = {
    "environmentTypeOverride": "ARM_CONTAINER",
    "imageOverride": "aws/codebuild/amazonlinux-aarch64-standard:3.0",
}


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _json(value: Mapping[str, str]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _names(references: Mapping[str, str]) -> dict[str, str]:
    return {key: secret_name(reference) for key, reference in references.items()}


def update_service_request(
    target: EcsTarget,
    *,
    task_definition: str,
    deployment_configuration: Mapping[str, Any] | None,
    desired_count: int | None = None,
) -> dict[str, Any]:
    """UpdateService's parameters that make `task_definition` the PRIMARY of the target.

    It never sets forceNewDeployment: a repeated call must have no effect. Without a
    `desired_count` the service keeps its number of tasks, and without a `deployment_configuration`
    its whole configuration.
    """
    count = {} if desired_count is None else {"desiredCount": desired_count}
    how = (
        {}
        if deployment_configuration is None
        else {"deploymentConfiguration": dict(deployment_configuration)}
    )
    return {
        "cluster": target.cluster,
        "service": target.service,
        **count,
        "taskDefinition": task_definition,
        **how,
    }


def run_task_request(
    target: EcsTarget,
    *,
    task_definition: str,
    command: Sequence[str],
    started_by: str,
    client_token: str,
    placement: Mapping[str, Any],
) -> dict[str, Any]:
    """RunTask's parameters for one task of `task_definition` with `command` in its container."""
    override = {"name": target.main_container, "command": list(command)}
    return {
        **placement,
        "cluster": target.cluster,
        "taskDefinition": task_definition,
        "count": 1,
        "startedBy": started_by,
        "tags": [{"key": TAG, "value": started_by}],
        "clientToken": client_token,
        "overrides": {"containerOverrides": [override]},
    }
