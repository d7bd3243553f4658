"""An ECS service of the embedded cloud, seen through boto3; a test is its data plane."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import boto3
from moto import mock_aws

from infra.local.aws import clock, ecs, fidelity

BREAKER: dict[str, Any] = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
HERE = {"cluster": "main", "service": "hello"}


# Creating a client takes as long as a dozen calls.
_client: Any = cache(
    partial(
        boto3.client,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
)


class World:
    """A cluster with an ECS service `hello`, seen through boto3."""

    def __init__(self) -> None:
        self.ecs, self.ecr, self.logs = _client("ecs"), _client("ecr"), _client("logs")
        self.ecs.create_cluster(clusterName="main")
        self.ecr.create_repository(repositoryName="hello")

    def register(self, image: str = "web:1", *more: Any, **container: Any) -> str:
        made = self.ecs.register_task_definition(
            family="hello",
            containerDefinitions=[{"name": "web", "image": image, "memory": 8} | container, *more],
        )
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def create(
        self,
        *,
        desired: int = 2,
        complete: bool = True,
        configuration: Any = BREAKER,
        **more: Any,
    ) -> None:
        """Create the service with the newest task definition."""
        self.ecs.create_service(
            cluster="main",
            serviceName="hello",
            taskDefinition="hello",
            desiredCount=desired,
            deploymentConfiguration=configuration,
            **more,
        )
        if complete:
            ecs.engine().complete("main", "hello")

    def update(self, **change: Any) -> None:
        self.ecs.update_service(**HERE, **change)

    def service(self) -> Any:
        return self.ecs.describe_services(cluster="main", services=["hello"])["services"][0]

    def deployment(self) -> str:
        """The id of the PRIMARY deployment."""
        return str(self.service()["deployments"][0]["id"])

    def record(self) -> Any:
        """The newest service deployment, as DescribeServiceDeployments shows it."""
        listed = self.ecs.list_service_deployments(**HERE)["serviceDeployments"]
        return self.ecs.describe_service_deployments(
            serviceDeploymentArns=[listed[0]["serviceDeploymentArn"]]
        )["serviceDeployments"][0]

    def messages(self) -> list[str]:
        """The service's events without its name, newest first."""
        events = self.service()["events"]
        return [each["message"].removeprefix("(service hello) ") for each in events]

    def report(self, running: int, **more: Any) -> None:
        """The data plane reports tasks of the PRIMARY deployment."""
        ecs.engine().report("main", "hello", self.deployment(), running=running, **more)

    def arns(self, **asked: Any) -> list[str]:
        pages = self.ecs.get_paginator("list_tasks").paginate(cluster="main", **asked)
        return [arn for page in pages for arn in page["taskArns"]]

    def tasks(self, status: str = "RUNNING", **asked: Any) -> Any:
        arns = self.arns(desiredStatus=status, **asked)
        return self.describe(*arns)["tasks"] if arns else []

    def failed_tasks(self) -> Any:
        """Tasks that stopped by themselves, oldest first."""
        stopped = self.tasks("STOPPED")
        failed = [each for each in stopped if each["stopCode"] != "ServiceSchedulerInitiated"]
        return sorted(failed, key=lambda each: each["createdAt"])

    def describe(self, *arns: str) -> Any:
        return self.ecs.describe_tasks(cluster="main", tasks=list(arns))

    def put_image(self, tag: str, manifest: Any) -> str:
        answer = self.ecr.put_image(
            repositoryName="hello", imageTag=tag, imageManifest=json.dumps(manifest)
        )
        return str(answer["image"]["imageId"]["imageDigest"])


@contextmanager
def ecs_world() -> Iterator[World]:
    """A fresh embedded cloud; its clock is the real one again afterwards."""
    fidelity.install()
    with mock_aws():
        yield World()
    clock.reset()
