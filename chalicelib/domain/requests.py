"""Requests to AWS as data: built here, sent by `chalicelib.aws`, compared whole in tests."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def start_build_request(
    *,
    project: str,
    token: str,
    job_id: str,
    git_url: str,
    git_ref: str,
    git_sha: str,
    git_credential: str | None,
    submodules: bool,
    context_path: str,
    dockerfile: str,
    platforms: Sequence[str],
    build_args: Mapping[str, str],
    image: str,
    image_tag: str,
    log_group: str,
    timeout_minutes: int,
) -> dict[str, Any]:
    """StartBuild's parameters. What the request asks for reaches the buildspec as variables only.

    The one that is not plain text is the project's own git credential: CodeBuild puts the secret in
    the place of its ARN (API reference: EnvironmentVariable).

    Equal arguments give equal requests, byte for byte: CodeBuild refuses a repeated token with
    other parameters. CodeBuild appends its own build id to the log stream's name.
    """
    variables = {
        "JOB_ID": job_id,
        "GIT_URL": git_url,
        "GIT_REF": git_ref,
        "GIT_SHA": git_sha,
        "SUBMODULES": "true" if submodules else "false",
        "CONTEXT_PATH": context_path,
        "DOCKERFILE": dockerfile,
        "PLATFORMS": ",".join(platforms),
        "BUILD_ARGS": json.dumps(dict(build_args), sort_keys=True, separators=(",", ":")),
        "IMAGE": image,
        "IMAGE_TAG": image_tag,
    }
    secrets = {"GIT_CREDENTIAL": git_credential} if git_credential else {}
    return {
        "projectName": project,
        "idempotencyToken": token,
        "timeoutInMinutesOverride": timeout_minutes,
        "environmentVariablesOverride": [
            {"name": name, "value": value, "type": kind}
            for kind, values in (("PLAINTEXT", variables), ("SECRETS_MANAGER", secrets))
            for name, value in values.items()
        ],
        "logsConfigOverride": {
            "cloudWatchLogs": {"status": "ENABLED", "groupName": log_group, "streamName": job_id}
        },
    }


def update_service_request(
    *,
    cluster: str,
    service: str,
    task_definition: str,
    deployment_configuration: Mapping[str, Any],
) -> dict[str, Any]:
    """UpdateService's parameters that make `task_definition` the service's PRIMARY.

    The described configuration is sent back whole, because a part of it would reset the rest, with
    the circuit breaker switched on. Never forceNewDeployment: repeating the call must change
    nothing.
    """
    breaker = deployment_configuration.get("deploymentCircuitBreaker", {})
    return {
        "cluster": cluster,
        "service": service,
        "taskDefinition": task_definition,
        "deploymentConfiguration": {
            **deployment_configuration,
            "deploymentCircuitBreaker": {**breaker, "enable": True, "rollback": True},
        },
    }
