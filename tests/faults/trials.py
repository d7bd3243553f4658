"""Running one thing many times from the same start, and letting the world recover afterwards."""

import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from moto import mock_aws

from chalicelib.domain.statuses import has_ended
from infra.local.aws import codebuild, ecs
from tests.faults.invariants import check, in_codebuild, is_watched, moving
from tests.faults.rows import rows, services
from tests.support import speed
from tests.support.embedded import CLUSTER, Cloud, put_image, sha

ROUNDS = 20


@dataclass(frozen=True)
class Told:
    """What a forked trial answered, or what went wrong in it."""

    answer: Any = None
    trouble: str = ""


def forked(trial: Callable[[], Any]) -> Told:
    """Run `trial` in a copy of this process, AWS and all; what it answers must be JSON."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            told = {"answer": trial()}
        except BaseException:
            told = {"trouble": traceback.format_exc()}
        with os.fdopen(writer, "w") as pipe:
            json.dump(told, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        heard = pipe.read()
    os.waitpid(child, 0)
    return Told(**json.loads(heard or '{"trouble": "the trial died without a word"}'))


@cache
def warm_up() -> None:
    """Tell a story in a world of its own, so that what is computed once is there in every copy."""
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        cloud = Cloud(monkeypatch)
        speed.make_clients()
        for number in (1, 2):
            cloud.release(number)
        cloud.roll_back()
        cloud.settle()
        cloud.fail_rollout()
        name = cloud.push(sha(3)).body["builds"][0]["job_id"]
        cloud.api.post(f"/v1/cicd/jobs/{name}/cancel")
        for _ in range(3):
            cloud.tick()


def finish_outside() -> None:
    """Whatever runs in CodeBuild and ECS ends well; nobody is told."""
    for build in in_codebuild():
        if build["buildStatus"] == "IN_PROGRESS":
            put_image_of(build)
            exported = {"COMMIT_SHA": variables(build)["GIT_SHA"]}
            codebuild.engine().run_to(build["id"], "SUCCEEDED", exported=exported)
    for service in ecs.engine().services():
        if any(moving(service)):
            ecs.engine().complete(CLUSTER, service.name)


def put_image_of(build: dict[str, object]) -> None:
    """What the build would have pushed."""
    environment = variables(build)
    put_image(environment["IMAGE"].partition("/")[2], environment["IMAGE_TAG"])


def variables(build: dict[str, object]) -> dict[str, str]:
    """The environment of a CodeBuild build."""
    environment: dict[str, list[dict[str, str]]] = build["environment"]  # type: ignore[assignment]
    return {each["name"]: each["value"] for each in environment["environmentVariables"]}


def recover(cloud: Cloud) -> None:
    """The faults are over: what lies in queues arrives, the schedule fires, work outside ends."""
    cloud.handlers_may_fail = True
    for _ in range(ROUNDS):
        cloud.tick()
        cloud.settle()
        check()
        if is_at_rest():
            return
        finish_outside()


def is_at_rest() -> bool:
    """Whether nothing is under way."""
    ended = all(has_ended(row["status"]) for row in rows("jobs").values())
    # What is shown as drift is at rest, unless a call of ours may be in the air.
    busy = (
        row
        for row in services().values()
        if "due" in row and ("drift" not in row or "called_at" in row)
    )
    return ended and all(map(is_watched, busy))
