"""Fixtures of most tests: a simulated AWS with tables and queue, and a client of the API.

The import takes seconds, so only the conftest.py of a directory that needs AWS imports it.
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
from chalicelib.domain.tokens import Role
from chalicelib.store.channels import forget_channels
from chalicelib.store.tokens import create_token
from infra.local import speed
from infra.local.aws import fidelity
from infra.local.aws.queues import create_queues
from tests.support import direct, shared
from tests.support.client import Api
from tests.support.embedded import cloud, create_image_repository
from tests.support.sdk import Calls, Trouble, record_calls

__all__ = ["api", "aws", "calls", "client", "cloud", "new_service", "project", "service", "trouble"]

fidelity.install()
speed.install()
direct.install()
# A busy machine must not look like a slow AWS. A test of this limit restores it.
HTTP_SECONDS = budget.HTTP_SECONDS
budget.HTTP_SECONDS = 60.0


@pytest.fixture
def aws() -> Iterator[None]:
    """AWS with Slipway's tables and queue, and some image repositories, all empty."""
    with mock_aws():
        shared.create_tables()
        forget_channels()
        create_queues()
        for name in ("myapp", "team/app", "team/web"):
            create_image_repository(name)
        yield


@pytest.fixture
def client(aws: None) -> Client:
    """Chalice's test client of the app."""
    from app import app

    return Client(app)


@pytest.fixture
def api(client: Client) -> Api:
    """The API with a token of role admin."""
    return Api(client, create_token("tests", Role.ADMIN).secret)


@pytest.fixture
def project(api: Api) -> int:
    """The number of a project."""
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
        "containers": ["app"],
    }


@pytest.fixture
def service(api: Api, project: int, new_service: dict[str, Any]) -> int:
    """The number of a service."""
    answer = api.post(f"/v1/projects/{project}/services", new_service)
    assert answer.status == HTTPStatus.CREATED, answer.text
    return int(answer.body["id"])


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    """Makes calls to AWS fail as the test plans."""
    return Trouble(monkeypatch)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Records every call of the SDK."""
    return record_calls(monkeypatch)
