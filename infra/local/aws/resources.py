"""Creates the resources of `infra/stack.yaml` in the embedded cloud, except the queues."""

from typing import TYPE_CHECKING

import boto3

from chalicelib.settings import settings
from chalicelib.store.tables import create_tables

if TYPE_CHECKING:
    from types_boto3_codebuild.type_defs import EnvironmentVariableTypeDef

BUILD_MINUTES = 30
QUEUED_MINUTES = 60


def build_variables(prefix: str) -> "list[EnvironmentVariableTypeDef]":
    """The variables that the build project gives to each build."""
    values = {
        "PUSH_ROLE": f"arn:aws:iam::123456789012:role/{prefix}-push",
        "RESOURCE_PREFIX": prefix,
        "BASE_REPOSITORIES": "",
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def create_resources(buildspec: str) -> None:
    """Create the tables, the log group and the CodeBuild project that runs `buildspec`."""
    create_tables()
    boto3.client("logs").create_log_group(logGroupName=settings().log_group)
    boto3.client("codebuild").create_project(
        name=settings().codebuild_project,
        source={"type": "NO_SOURCE", "buildspec": buildspec},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "privilegedMode": True,
            "environmentVariables": build_variables(settings().table_prefix),
        },
        serviceRole="arn:aws:iam::123456789012:role/slipway-builds",
        concurrentBuildLimit=settings().job_workers,
        timeoutInMinutes=BUILD_MINUTES,
        queuedTimeoutInMinutes=QUEUED_MINUTES,
    )
