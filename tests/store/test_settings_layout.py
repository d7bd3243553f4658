"""Stored settings of an older version mean what they meant."""

from typing import Any

import boto3
import pytest

from chalicelib.store.models import Service
from chalicelib.store.writes import change, commit
from tests.support.embedded import Cloud
from tests.support.sdk import Calls


def store_as_before(cloud: Cloud, context_path: str, dockerfile: str) -> None:
    """Write a service's settings as the version wrote them whose Dockerfiles lay in contexts."""
    boto3.client("dynamodb", region_name="eu-west-1").update_item(
        TableName="slipway-services",
        Key={"id": {"N": str(cloud.service_id)}},
        UpdateExpression="SET #s.context_path = :c, #s.dockerfile = :d REMOVE #s.layout",
        ExpressionAttributeNames={"#s": "settings"},
        ExpressionAttributeValues={":c": {"S": context_path}, ":d": {"S": dockerfile}},
    )


@pytest.mark.parametrize(
    ("context_path", "dockerfile", "now"),
    [
        (".", "Dockerfile", "Dockerfile"),
        (".", "docker/web.Dockerfile", "docker/web.Dockerfile"),
        ("worker", "Dockerfile", "worker/Dockerfile"),
        ("services/web", "docker/Dockerfile", "services/web/docker/Dockerfile"),
    ],
)
def test_the_dockerfile_of_an_older_service_stays_the_same_file(
    cloud: Cloud, calls: Calls, context_path: str, dockerfile: str, now: str
) -> None:
    store_as_before(cloud, context_path, dockerfile)
    assert cloud.service()["dockerfile"] == now
    cloud.ask_for_build()
    cloud.settle()
    (request,) = calls.to("codebuild.StartBuild")
    sent: dict[str, Any] = {v["name"]: v["value"] for v in request["environmentVariablesOverride"]}
    assert (sent["CONTEXT_PATH"], sent["DOCKERFILE"]) == (context_path, now)
    cloud.change_service(build_minutes=31)
    assert cloud.service()["dockerfile"] == now


def test_a_dockerfile_that_was_the_contexts_own_follows_the_context(cloud: Cloud) -> None:
    store_as_before(cloud, "worker", "Dockerfile")
    cloud.change_service(context_path="web")
    assert cloud.service()["dockerfile"] == "web/Dockerfile"


def test_a_row_has_the_present_layout_after_its_next_change(cloud: Cloud) -> None:
    store_as_before(cloud, "worker", "docker/Dockerfile")
    row = Service.get(cloud.service_id)
    commit(change(row, settings=row.settings))
    again = Service.get(cloud.service_id).settings
    assert again.dockerfile_path == "worker/docker/Dockerfile"
