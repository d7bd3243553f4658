"""Fixtures of most tests: a simulated AWS with tables and queue, and a client of the API.

The import takes seconds, so only the conftest.py of a directory that needs AWS imports it.
"""

# The environment first: settings are read when the product's models are imported.
import tests.support.environment  # noqa: F401  # isort: skip

import json
from collections.abc import Callable, Hashable, Iterator
from http import HTTPStatus
from typing import Any, TypeVar

import boto3
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
from tests.support import bus, direct, replays, shared
from tests.support.client import Api
from tests.support.embedded import CLUSTER, cloud, create_ecs_service, create_image_repository
from tests.support.sdk import Calls, Trouble, record_calls

__all__ = ["api", "aws", "calls", "client", "cloud", "new_service", "project", "service", "trouble"]

_T = TypeVar("_T")

fidelity.install()
speed.install()
direct.install()
bus.install()
# A busy machine must not look like a slow AWS. A test of this limit restores it.
HTTP_SECONDS = budget.HTTP_SECONDS
budget.HTTP_SECONDS = 60.0


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS with Slipway's tables and queue, some empty image repositories, and an ECS service."""
    with mock_aws():
        forget_channels()
        _replay(monkeypatch, "aws", _create_resources)
        yield


def _create_resources() -> None:
    shared.create_tables()
    create_queues()
    for name in ("myapp", "team/app", "team/web"):
        create_image_repository(name)
    boto3.client("ecs").create_cluster(clusterName=CLUSTER)
    create_ecs_service("hello")


def _replay(monkeypatch: pytest.MonkeyPatch, name: Hashable, steps: Callable[[], _T]) -> _T:
    return steps() if replays.patches(monkeypatch) else replays.replay(name, steps)


@pytest.fixture
def client(aws: None) -> Client:
    """Chalice's test client of the app."""
    from app import app

    return Client(app)


@pytest.fixture
def api(client: Client, monkeypatch: pytest.MonkeyPatch) -> Api:
    """The API with a token of role admin."""
    token = _replay(monkeypatch, "token", lambda: create_token("tests", Role.ADMIN).secret)
    return Api(client, token)


@pytest.fixture
def project(api: Api, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of a project."""
    return _replay(monkeypatch, "project", lambda: _created(api, "/v1/projects", {"name": "shop"}))


@pytest.fixture
def new_service() -> dict[str, Any]:
    """The body that creates a service."""
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
def service(
    api: Api, project: int, new_service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> int:
    """The number of a service."""
    path = f"/v1/projects/{project}/services"
    return _replay(monkeypatch, json.dumps(new_service), lambda: _created(api, path, new_service))


def _created(api: Api, path: str, body: dict[str, Any]) -> int:
    answer = api.post(path, body)
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
