"""One story that leaves rows of every kind: jobs in each status, and open work of many kinds.

The version before told it once, for `rows.json`. The present version tells it again, to make what
AWS has beside the tables: CodeBuild, ECS and ECR.
"""

import uuid
from random import Random
from typing import Any

import pytest

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from infra.local.aws import codebuild, ecs, ecs_rollouts, ecs_run_task, ecs_tasks
from infra.local.aws.queues import DEAD_LETTERS
from tests.faults.rows import builds, deployments
from tests.faults.use_cases import send
from tests.support.embedded import MINUTE, Cloud, put_image, register, run_on_ecs, sha
from tests.support.sdk import Killed, Trouble

# Of an admin. It has the form of a token, and is used in these tests only.
TOKEN = "slw_rows-of-the-version-before-for-this-version3i3iIh"


class _Ids:
    """Stands for the modules `uuid` and `secrets`, with the same ids in each telling."""

    def __init__(self, name: str) -> None:
        self._chance = Random(name)

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self._chance.getrandbits(128))

    def randbelow(self, limit: int) -> int:
        return self._chance.randrange(limit)

    def token_hex(self, size: int) -> str:
        return self._chance.randbytes(size).hex()


def fix_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make CodeBuild and ECS choose the same ids in each telling."""
    for module in (codebuild, ecs_rollouts, ecs_run_task, ecs_tasks):
        ids = _Ids(module.__name__)
        for name in {"uuid", "secrets"} & vars(module).keys():
            monkeypatch.setattr(module, name, ids)


def tell(cloud: Cloud) -> None:
    """Tell the story in a new cloud."""
    cloud.handlers_may_fail = True
    create_token("rows", Role.ADMIN, token=TOKEN)
    cloud.api = cloud.api.as_holder_of(TOKEN)
    cloud.seconds_before_push = 10
    first = cloud.service_id
    cloud.add_dependent("worker", desired=1)
    second = cloud.add_service("other", branch="main", badge=True, paths=["src/**"], tags=["v*"])
    third = cloud.add_service("drifting", branch="none")
    fourth = cloud.add_service("failing", branch="none")
    _administer(cloud)
    _release(cloud)
    _go_back(cloud)
    cloud.service_id = second
    _deploy_by_hand(cloud)
    cloud.service_id = third
    _drift(cloud)
    cloud.service_id = fourth
    _fail(cloud)
    cloud.service_id = first
    _leave_open(cloud, second)


def _administer(cloud: Cloud) -> None:
    """Projects, tokens and services that are created, changed, revoked and deleted."""
    _done(cloud.api.post("/v1/projects", {"name": "empty"}, headers={"Idempotency-Key": "empty"}))
    for name, role in (("ci", "deployer"), ("old", "viewer")):
        _done(cloud.api.post("/v1/tokens", {"name": name, "role": role, "project_id": 1}))
    _done(cloud.api.delete("/v1/tokens/4"))
    gone = cloud.add_service("gone", branch="none")
    _done(cloud.api.delete(f"/v1/services/{gone}"))


def _release(cloud: Cloud) -> None:
    """Releases of pushes; a build and a rollout that fail; a config; a release command."""
    for number in (1, 2):
        cloud.release(number)
        cloud.finish_rollout("worker")
    _push(cloud, 3)
    cloud.end_build(_newest(), "FAILED")
    cloud.begin_release(4)
    cloud.fail_rollout()
    cloud.fail_rollout("worker")
    body = {"environment": {"LEVEL": "debug"}, "cpu": 256, "desired_count": 3}
    _done(cloud.api.patch(f"/v1/services/{cloud.service_id}/config", body))
    cloud.settle()
    cloud.finish_rollout()
    cloud.change_service(release_command=["migrate"], deploy_minutes=30)
    cloud.begin_release(5)
    cloud.end_command(log=["migrated"])
    cloud.finish_rollout()
    cloud.finish_rollout("worker")


def _go_back(cloud: Cloud) -> None:
    """A rollback, which pauses auto-deploy; a build that is cancelled."""
    assert cloud.roll_back().status == 202
    cloud.settle()
    cloud.finish_rollout()
    number = cloud.ask_for_build()
    cloud.settle()
    _done(cloud.api.post(f"/v1/cicd/jobs/build-{number}/cancel"))
    for _ in range(2):
        cloud.tick()
        cloud.settle()


def _deploy_by_hand(cloud: Cloud) -> None:
    """Deployments of which one succeeds, one is superseded and one is cancelled."""
    for name in ("one", "two", "three", "four"):
        _deploy(cloud, name)
        if name == "one":
            cloud.settle()
            cloud.finish_rollout("other")
    cloud.settle()
    cloud.finish_rollout("other")
    _done(cloud.api.post(f"/v1/cicd/jobs/deploy-{max(deployments())}/cancel"))
    cloud.settle()
    cloud.finish_rollout("other")


def _drift(cloud: Cloud) -> None:
    """Another party changes an ECS service, long after the last call of Slipway."""
    _deploy(cloud, "first", repository="drifting")
    cloud.settle()
    cloud.finish_rollout("drifting")
    cloud.advance(90 * MINUTE)
    run_on_ecs(register("drifting", "drifting:outside"), "drifting")
    cloud.settle()
    cloud.tick()


def _fail(cloud: Cloud) -> None:
    """The first deployment of a service fails."""
    _deploy(cloud, "bad", repository="failing")
    cloud.settle()
    cloud.fail_rollout("failing")


def _leave_open(cloud: Cloud, other: int) -> None:
    """Open work: a command that runs, rollouts, waiting deployments, builds, a dead worker."""
    _deploy(cloud, "by-hand", repository="hello")
    cloud.settle()
    launcher = ecs.engine().launcher
    launcher.begin(launcher.started[-1])
    cloud.settle()
    _deploy(cloud, "waits", repository="hello")
    for name in ("five", "six"):
        _done(_deploy_to(cloud, other, name, "other"))
    cloud.settle()
    send(DEAD_LETTERS, f"service-{other}")
    cloud.tick()
    cloud.push(sha(10), ref="refs/tags/v1")
    cloud.settle()
    # Two queued builds of one branch: the later one supersedes the earlier one.
    for number in (11, 12):
        cloud.push(sha(number))
    cloud.wake(f"build-{_newest() - 1}")
    cloud.ask_for_build(git_ref="feature")
    with pytest.MonkeyPatch.context() as monkeypatch:
        Trouble(monkeypatch).kill_after("codebuild.StartBuild")
        with pytest.raises(Killed):
            cloud.wake(f"build-{_newest() - 1}")
    cloud.lose_messages()


def _push(cloud: Cloud, number: int) -> None:
    assert cloud.push(sha(number)).status == 202
    cloud.settle()


def _deploy(cloud: Cloud, name: str, *, repository: str = "other") -> None:
    _done(_deploy_to(cloud, cloud.service_id, name, repository))


def _deploy_to(cloud: Cloud, service: int, name: str, repository: str) -> Any:
    """Request the deployment of a new image by its digest."""
    image = f"{repository}@{put_image(repository, name)}"
    path, headers = f"/v1/cicd/services/{service}/deploy", {"Idempotency-Key": name}
    return cloud.api.post(path, {"image_tag": image, "reason": name}, headers=headers)


def _newest() -> int:
    """The number of the newest build."""
    return max(builds())


def _done(answer: Any) -> None:
    assert answer.status < 300, answer.text
