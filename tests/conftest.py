"""What tests stand on: an AWS in this process, its tables and queue, and a client of the API."""

# ruff: noqa: E402  # settings are read when the models are imported

import os
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.support.builders import WEBHOOK_SECRET

REGION = "eu-west-1"
ACCOUNT = "123456789012"
QUEUE = "slipway-wakeups"

for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
# `python3` is then this one and no version manager's script, which takes eight times as long.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION=REGION,
    AWS_REGION=REGION,
    AWS_ACCOUNT_ID_ENDPOINT_MODE="disabled",
    WEBHOOK_SECRET=WEBHOOK_SECRET,
    QUEUE_URL=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{QUEUE}",
    REGISTRY=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
)

import pytest
from chalice.test import Client
from hypothesis import HealthCheck, settings
from moto import mock_aws

from chalicelib import budget
from chalicelib.aws import clients
from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from infra.local.aws import fidelity
from tests.support import speed
from tests.support.client import Api
from tests.support.embedded import cloud
from tests.support.sdk import Calls, Trouble, record_calls

__all__ = ["cloud"]

settings.register_profile(
    "default", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

fidelity.install()
speed.install()
# A busy machine is no slow AWS: who tests the limit sets it back.
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
