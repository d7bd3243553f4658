"""Creates the resources of `infra/stack.yaml` in the embedded cloud, except the queues."""

import boto3

from chalicelib.settings import settings
from chalicelib.store.tables import create_tables

BUILD_MINUTES = 30
QUEUED_MINUTES = 60


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
        },
        serviceRole="arn:aws:iam::123456789012:role/slipway-builds",
        concurrentBuildLimit=settings().job_workers,
        timeoutInMinutes=BUILD_MINUTES,
        queuedTimeoutInMinutes=QUEUED_MINUTES,
    )
