"""Requests to AWS as data. `chalicelib.aws` sends them; tests compare them as a whole."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.service_settings import BuildSettings


class BuildToStart(Protocol):
    """The attributes of a build that its StartBuild request needs."""

    @property
    def job_id(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def settings(self) -> BuildSettings: ...

    @property
    def git_ref(self) -> str: ...

    @property
    def commit_sha(self) -> str | None: ...

    @property
    def git_credential(self) -> str | None: ...

    @property
    def image(self) -> str: ...

    @property
    def image_tag(self) -> str: ...

    @property
    def log_group(self) -> str: ...


def start_build_request(build: BuildToStart, *, project: str) -> dict[str, Any]:
    """StartBuild's parameters for an attempt of a build, in the CodeBuild project `project`.

    The buildspec gets all settings as environment variables. All are plain text, except for the
    project's git credential: CodeBuild replaces its ARN with the secret (API reference:
    EnvironmentVariable).

    Equal builds give the same request, byte for byte: CodeBuild refuses a repeated token with other
    parameters. CodeBuild appends its own build id to the name of the log stream.
    """
    settings = build.settings
    variables = {
        "JOB_ID": build.job_id,
        "GIT_URL": settings.git_url,
        "GIT_REF": build.git_ref,
        "GIT_SHA": build.commit_sha or "",
        "SUBMODULES": "true" if settings.submodules else "false",
        "CONTEXT_PATH": settings.context_path,
        "DOCKERFILE": settings.dockerfile,
        "PLATFORMS": ",".join(settings.platforms),
        "BUILD_ARGS": json.dumps(settings.build_args, sort_keys=True, separators=(",", ":")),
        "IMAGE": build.image,
        "IMAGE_TAG": build.image_tag,
    }
    secrets = {"GIT_CREDENTIAL": build.git_credential} if build.git_credential else {}
    return {
        "projectName": project,
        "idempotencyToken": f"{build.job_id}-{build.attempt}",
        "timeoutInMinutesOverride": settings.build_minutes,
        "queuedTimeoutInMinutesOverride": settings.codebuild_queued_minutes,
        "environmentVariablesOverride": [
            {"name": name, "value": value, "type": kind}
            for kind, values in (("PLAINTEXT", variables), ("SECRETS_MANAGER", secrets))
            for name, value in values.items()
        ],
        "logsConfigOverride": {
            "cloudWatchLogs": {
                "status": "ENABLED",
                "groupName": build.log_group,
                "streamName": build.job_id,
            }
        },
    }


def update_service_request(
    target: EcsTarget, *, task_definition: str, deployment_configuration: Mapping[str, Any]
) -> dict[str, Any]:
    """UpdateService's parameters that make `task_definition` the PRIMARY of the target.

    The request repeats the whole described configuration: ECS resets parts that are left out. It
    switches the circuit breaker on. It never sets forceNewDeployment: a repeated call must have no
    effect.
    """
    breaker = deployment_configuration.get("deploymentCircuitBreaker", {})
    return {
        "cluster": target.cluster,
        "service": target.service,
        "taskDefinition": task_definition,
        "deploymentConfiguration": {
            **deployment_configuration,
            "deploymentCircuitBreaker": {**breaker, "enable": True, "rollback": True},
        },
    }
