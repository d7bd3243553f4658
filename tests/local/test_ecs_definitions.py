"""RegisterTaskDefinition of the embedded ECS refuses what AWS refuses."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.local.aws import ecs

ROLE = "arn:aws:iam::123456789012:role/run"
KEY = {"name": "KEY", "valueFrom": "arn:aws:ssm:eu-west-1:123456789012:parameter/key"}
FARGATE = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc"}


def register(container: dict[str, Any], **more: Any) -> None:
    with mock_aws():
        ecs.install()
        definition: Any = {"name": "app", "image": "x", "memory": 128, **container}
        client: Any = boto3.client("ecs")
        client.register_task_definition(family="x", containerDefinitions=[definition], **more)


@pytest.mark.parametrize(
    ("container", "more", "message"),
    [
        (
            {"environment": [{"name": "KEY", "value": "x"}], "secrets": [KEY]},
            {"executionRoleArn": ROLE},
            "The secret name must be unique and not shared with any new or existing environment "
            "variables set on the container, such as 'KEY'.",
        ),
        ({"secrets": [KEY, KEY]}, {"executionRoleArn": ROLE}, "Duplicate secret names found: KEY."),
        ({"secrets": [KEY]}, {}, "you must also specify a value for 'executionRoleArn'"),
        ({}, {**FARGATE, "cpu": "256", "memory": "4096"}, "No Fargate configuration exists"),
        ({}, {**FARGATE, "cpu": "300", "memory": "512"}, "No Fargate configuration exists"),
        ({}, FARGATE, "No Fargate configuration exists"),
        (
            {},
            {"memory": "64"},
            "The 'memory' setting for container 'app' is greater than for the task.",
        ),
        (
            {"memory": 99, "memoryReservation": 100},
            {"memory": "99"},
            "The sum of all container 'memoryReservation' values cannot be greater",
        ),
        (
            {"environment": [{"name": "A", "value": "x" * 65_536}]},
            {},
            "Max allowed length is '65536' bytes.",
        ),
    ],
)
def test_a_definition_that_ecs_refuses_is_a_client_exception(
    container: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError) as refusal:
        register(container, **more)
    assert refusal.value.response["Error"]["Code"] == "ClientException"
    assert message in refusal.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("container", "more"),
    [
        ({"environment": [{"name": "A", "value": ""}]}, {"cpu": "300", "memory": "700"}),
        ({"secrets": [KEY]}, {"executionRoleArn": ROLE}),
        ({}, {**FARGATE, "cpu": "8192", "memory": "20480"}),
    ],
)
def test_other_definitions_are_accepted(container: dict[str, Any], more: dict[str, Any]) -> None:
    register(container, **more)
