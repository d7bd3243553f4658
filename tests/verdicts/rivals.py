"""The verdicts of other tools about an ending: ecs-deploy, and boto3's waiter `services_stable`.

Each tool makes the deployment itself, as a step of a CI pipeline does. Its sleeping moves the clock
of the embedded cloud, so no real time passes.
"""

from collections.abc import Callable
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import Any, Self

import botocore.waiter
import ecs_deploy.cli
import ecs_deploy.ecs
import pytest
from botocore.exceptions import WaiterError
from click.testing import CliRunner

from infra.local.aws import clock
from tests.support.embedded import CLUSTER, MINUTE, client, ecs_service, task_definition
from tests.verdicts.endings import NAME, Verdict
from tests.verdicts.stage import Stage

# The time-out for ecs-deploy: Slipway's default for deploy_minutes.
TIMEOUT = 20 * MINUTE
# Seconds between two looks of ecs-deploy: those of the waiter. Its default is one second.
PAUSE = 15

Rival = Callable[[str, Stage, pytest.MonkeyPatch], Verdict]


def ecs_deploy_verdict(image: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Verdict:
    """The exit code of `ecs deploy`."""
    monkeypatch.setattr(ecs_deploy.ecs, "Session", _Session)
    monkeypatch.setattr(ecs_deploy.cli, "sleep", stage.let_pass)
    for module in (ecs_deploy.cli, ecs_deploy.ecs):
        monkeypatch.setattr(module, "datetime", _Datetime)
    options = ["--image", "app", image, "--timeout", str(TIMEOUT), "--sleep-time", str(PAUSE)]
    ended = CliRunner().invoke(ecs_deploy.cli.ecs, ["deploy", CLUSTER, NAME, *options])
    assert "Successfully changed task definition" in ended.output, ended.output
    return Verdict.SUCCESS if ended.exit_code == 0 else Verdict.FAILED


def waiter_verdict(image: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Verdict:
    """A new revision, UpdateService, and the waiter with its defaults: 40 looks in 10 minutes."""
    monkeypatch.setattr(botocore.waiter, "time", SimpleNamespace(sleep=stage.let_pass))
    running = task_definition(ecs_service(NAME)["taskDefinition"])
    containers = [
        each | {"image": image} if each["name"] == "app" else each
        for each in running["containerDefinitions"]
    ]
    made = client("ecs").register_task_definition(family=NAME, containerDefinitions=containers)
    arn = made["taskDefinition"]["taskDefinitionArn"]
    client("ecs").update_service(cluster=CLUSTER, service=NAME, taskDefinition=arn)
    try:
        client("ecs").get_waiter("services_stable").wait(cluster=CLUSTER, services=[NAME])
    except WaiterError:
        return Verdict.FAILED
    return Verdict.SUCCESS


RIVALS: dict[str, Rival] = {"ecs-deploy": ecs_deploy_verdict, "waiter": waiter_verdict}


class _Session:
    """boto3's session, with the clients of the tests."""

    def __init__(self, **_: Any) -> None:
        pass

    def client(self, name: str) -> Any:
        return client(name)


class _Datetime(datetime):
    """The time of the embedded cloud."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(clock.now(), tz)
