"""What most tests stand on: an AWS in this process, its tables and queue, a client of the API.

Importing this costs seconds: the `conftest.py` of each room that needs it does, and pure tests do
not.
"""

# The environment first: settings are read when the product's models are imported.
import tests.support.environment  # noqa: F401  # isort: skip

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from chalice.test import Client
from moto import mock_aws

from chalicelib import budget
from chalicelib.aws import clients
from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from infra.local.aws import fidelity
from tests.support import speed
from tests.support.client import Api
from tests.support.embedded import cloud
from tests.support.environment import QUEUE
from tests.support.sdk import Calls, Trouble, record_calls

__all__ = ["api", "aws", "calls", "client", "cloud", "new_service", "project", "service", "trouble"]

fidelity.install()
speed.install()
# A busy machine is no slow AWS: a test of the limit sets it back.
HTTP_SECONDS = budget.HTTP_SECONDS
budget.HTTP_SECONDS = 60.0


@pytest.fixture
def aws() -> Iterator[None]:
    """AWS with Slipway's tables and queue, and nothing in them."""
    with mock_aws():
        speed.create_tables()
        clients.client("sqs").create_queue(QueueName=QUEUE)
        yield


@pytest.fixture
def client(aws: None) -> Client:
    """Chalice's own client of the app."""
    from app import app

    return Client(app)


@pytest.fixture
def api(client: Client) -> Api:
    """The API, as an administrator sees it."""
    return Api(client, create_token("tests", Role.ADMIN).secret)


@pytest.fixture
def project(api: Api) -> int:
    """A project's id."""
    answer = api.post("/v1/projects", {"name": "shop"})
    assert answer.status == HTTPStatus.CREATED
    return int(answer.body["id"])


@pytest.fixture
def new_service() -> dict[str, Any]:
    """The body that creates a service; its ECS target does not exist."""
    return {
        "name": "hello",
        "git_url": "https://github.com/Codertocat/Hello-World.git",
        "branch": "master",
        "image_repository": "myapp",
        "ecs_cluster": "main",
        "ecs_service": "hello",
        "container": "app",
    }


@pytest.fixture
def service(api: Api, project: int, new_service: dict[str, Any]) -> int:
    """A service's id."""
    answer = api.post(f"/v1/projects/{project}/services", new_service)
    assert answer.status == HTTPStatus.CREATED, answer.text
    return int(answer.body["id"])


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    """Calls that fail as a test plans it."""
    return Trouble(monkeypatch)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Every call of the SDK."""
    return record_calls(monkeypatch)
