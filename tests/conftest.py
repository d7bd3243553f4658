"""What tests stand on: an AWS in this process, its tables and queue, and a client of the API."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

SECRET = "It's a Secret to Everybody"  # the one in GitHub's documentation
REGION = "eu-west-1"
ACCOUNT = "123456789012"
QUEUE = "slipway-wakeups"

for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION=REGION,
    AWS_REGION=REGION,
    AWS_ACCOUNT_ID_ENDPOINT_MODE="disabled",
    WEBHOOK_SECRET=SECRET,
    QUEUE_URL=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{QUEUE}",
    REGISTRY=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
)

import boto3
import pytest
from chalice.test import Client
from hypothesis import HealthCheck, settings
from moto import mock_aws

from chalicelib.access import Role, create_token
from chalicelib.store.models import MODELS
from chalicelib.store.tables import create_tables
from infra.local import fidelity

settings.register_profile(
    "default", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", max_examples=3000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

fidelity.install()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its body parsed where it is JSON."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Api:
    """Speaks to the app as a caller with one token does."""

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self.token = token

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        headers: dict[str, str | None] | None = None,
    ) -> Answer:
        """Send `body` as JSON, or `raw` as it is; a header that is None is left out."""
        sent: dict[str, str | None] = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        answer = self._client.http.request(
            method,
            path,
            headers={name: value for name, value in sent.items() if value is not None},
            body=data,
        )
        return Answer(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            answer.body.decode(),
        )

    def get(self, path: str, **more: Any) -> Answer:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.request("POST", path, body=body, **more)

    def patch(self, path: str, body: Any, **more: Any) -> Answer:
        return self.request("PATCH", path, body=body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.request("DELETE", path, **more)


@pytest.fixture
def aws() -> Iterator[None]:
    """AWS with Slipway's tables and queue, and nothing in them."""
    with mock_aws():
        create_tables()
        boto3.client("sqs", region_name=REGION).create_queue(QueueName=QUEUE)
        yield


@pytest.fixture
def client(aws: None) -> Client:
    """Chalice's own client of the app."""
    from app import app

    return Client(app)


@pytest.fixture
def api(client: Client) -> Api:
    """The API, as an administrator sees it."""
    return Api(client, create_token("tests", Role.ADMIN))


@pytest.fixture
def project(api: Api) -> int:
    """A project's id."""
    answer = api.post("/v1/projects", {"name": "shop"})
    assert answer.status == HTTPStatus.CREATED
    return int(answer.body["id"])


@pytest.fixture
def service(api: Api, project: int) -> int:
    """A service's id; it has an ECS target that does not exist."""
    answer = api.post(f"/v1/projects/{project}/services", NEW_SERVICE)
    assert answer.status == HTTPStatus.CREATED, answer.text
    return int(answer.body["id"])


NEW_SERVICE = {
    "name": "hello",
    "git_url": "https://github.com/Codertocat/Hello-World.git",
    "branch": "master",
    "image_repository": "myapp",
    "ecs_cluster": "main",
    "ecs_service": "hello",
    "container": "app",
}


def everything_written() -> dict[str, list[Any]]:
    """All rows of all tables, and how many messages wait: what a refused request must not change."""
    rows: dict[str, list[Any]] = {
        model.Meta.table_name: sorted(json.dumps(row.serialize(), sort_keys=True) for row in model.scan())
        for model in MODELS
    }
    sqs = boto3.client("sqs", region_name=REGION)
    attributes = sqs.get_queue_attributes(
        QueueUrl=os.environ["QUEUE_URL"], AttributeNames=["ApproximateNumberOfMessages"]
    )
    return rows | {"messages": [attributes["Attributes"]["ApproximateNumberOfMessages"]]}
