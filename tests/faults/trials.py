"""Repeat a trial from the same start in forked copies, and let a cloud recover from its faults."""

import faulthandler
import gc
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
from tests.faults import receivers
from tests.faults.invariants import check, check_noted, codebuild_builds, is_watched, open_rollouts
from tests.faults.rows import Row, rows, services
from tests.faults.traffic import answer_hooks
from tests.support import shared
from tests.support.embedded import CLUSTER, Cloud, client, put_image, sha

ROUNDS = 20
PATIENCE = 2  # schedule periods until a row must show what has happened in AWS
# Seconds. A trial takes less than one; one that hangs ends with its stack as the failure.
LONGEST_TRIAL = 120


@dataclass(frozen=True)
class Result:
    """The answer of a forked trial, or the traceback of its failure."""

    answer: Any = None
    trouble: str = ""


def forked(trial: Callable[[], Any]) -> Result:
    """Run `trial` in a forked copy of this process and its AWS. The answer must fit into JSON."""
    gc.freeze()  # so that the garbage collector of the copy does not touch, and copy, the heap
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        faulthandler.dump_traceback_later(LONGEST_TRIAL, exit=True, file=writer)
        try:
            result = {"answer": trial()}
        except BaseException:
            result = {"trouble": traceback.format_exc()}
        faulthandler.cancel_dump_traceback_later()
        with os.fdopen(writer, "w") as pipe:
            json.dump(result, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        written = pipe.read()
    os.waitpid(child, 0)
    try:
        return Result(**json.loads(written))
    except ValueError:
        return Result(trouble=written or "the trial died without a result")


@cache
def warm_up() -> None:
    """Run one story in a cloud that is thrown away, to fill the caches before any process forks."""
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        cloud = Cloud(monkeypatch)
        shared.make_clients()
        for number in (1, 2):
            cloud.release(number)
        cloud.roll_back()
        cloud.settle()
        cloud.fail_rollout()
        job_id = cloud.push(sha(3)).body["builds"][0]["job_id"]
        cloud.api.post(f"/v1/cicd/jobs/{job_id}/cancel")
        for _ in range(3):
            cloud.tick()


def finish_outside() -> None:
    """Let every running build and rollout succeed in AWS. Their events stay undelivered.

    A build fails if ECR does not have its image repository. ECS replaces missing tasks.
    """
    for build in codebuild_builds():
        if build["buildStatus"] == "IN_PROGRESS":
            exported = {"COMMIT_SHA": variables(build)["GIT_SHA"]}
            digest = put_image_of(build)
            if digest is not None:
                exported["IMAGE_DIGEST"] = digest
            status = "SUCCEEDED" if digest is not None else "FAILED"
            codebuild.engine().run_to(build["id"], status, exported=exported)
    finish_commands()
    for service in ecs.engine().services():
        primary = service.deployments[0]
        if any(open_rollouts(service)) or primary.running_count < primary.desired_count:
            ecs.engine().complete(CLUSTER, service.name)


def finish_commands(exit_code: int = 0) -> None:
    """Let the program of each release command end. Those that are to stop are killed."""
    launcher = ecs.engine().launcher
    for task in launcher.active():
        launcher.begin(task)
        if task.desired_status == "STOPPED":
            launcher.kill(task)
        else:
            launcher.end(task, exit_code)


def put_image_of(build: dict[str, object]) -> str | None:
    """Push the image that the buildspec would push, and return its digest.

    None if ECR does not have the repository.
    """
    environment = variables(build)
    try:
        return put_image(environment["IMAGE"].partition("/")[2], environment["IMAGE_TAG"])
    except client("ecr").exceptions.RepositoryNotFoundException:
        return None


def variables(build: dict[str, object]) -> dict[str, str]:
    """The environment variables of a CodeBuild build."""
    environment: dict[str, list[dict[str, str]]] = build["environment"]  # type: ignore[assignment]
    return {each["name"]: each["value"] for each in environment["environmentVariables"]}


def recover(cloud: Cloud) -> None:
    """Without more faults: deliver messages, events and the schedule until all work has ended.

    Work in AWS succeeds, and people approve what waits for them. After ROUNDS rounds it returns
    even if work is still open.
    """
    cloud.handlers_may_fail = True
    for period in range(ROUNDS):
        cloud.tick()
        cloud.settle()
        check()
        if period >= PATIENCE:
            check_noted()
        github = receivers.current
        if is_at_rest() and not github.has_unknown_head() and not github.undelivered():
            return
        answer_hooks(cloud)
        finish_outside()


def is_at_rest(*, told: bool = True) -> bool:
    """Whether all jobs have ended and no service waits for a step.

    With `told` also whether the channels know it.
    """
    jobs, all_services = rows("jobs").values(), services().values()
    if told and any("telling" in row for row in (*jobs, *all_services)):
        return False
    ended = all(has_ended(row["status"]) for row in jobs)
    return ended and all(map(_is_at_rest, all_services))


def _is_at_rest(service: Row) -> bool:
    """A service that shows drift is at rest, unless a call of Slipway may still be in flight.

    A refusal that was injected is over at the next look.
    """
    if "injected" in service.get("drift", "") or "command" in service:
        return False
    shows_drift = "drift" in service and "called_at" not in service
    return "due" not in service or shows_drift or is_watched(service)
