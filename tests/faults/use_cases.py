"""Everything the pipeline does, as one step each: what was before, and the step itself."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from moto.ecs.exceptions import ECSException

from chalicelib.domain.timing import TOKEN_LIFE
from chalicelib.domain.tokens import Role, new_token
from chalicelib.store.tokens import create_token
from infra.local.aws import codebuild, ecs
from infra.local.aws.queues import DEAD_LETTERS, QUEUE
from tests.faults.rows import builds
from tests.support.builders import delivery_headers
from tests.support.client import Answer
from tests.support.embedded import (
    MINUTE,
    Cloud,
    add_followers,
    client,
    keep_secret,
    put_image,
    register,
    run_on_ecs,
    sha,
)
from tests.support.sdk import Killed, Trouble

OWN_SECRET = "of-its-own"
KEY: dict[str, str | None] = {"Idempotency-Key": "the-same-request"}


@dataclass(frozen=True)
class UseCase:
    """`run` answers where somebody asked: whoever gets no 2xx asks again."""

    name: str
    prepare: Callable[[Cloud], None]
    run: Callable[[Cloud], Answer | None]


def nothing(cloud: Cloud) -> None:
    pass


def _push(cloud: Cloud) -> Answer:
    return cloud.push(sha(9), delivery="the-same-delivery", pushed_at=1_795_305_600)


def _deliver_messages(cloud: Cloud) -> None:
    cloud.pump.deliver_messages()


def _deliver_events(cloud: Cloud) -> None:
    cloud.pump.deliver_events()


def _tick(cloud: Cloud) -> None:
    cloud.tick()


def pushed(cloud: Cloud) -> None:
    cloud.push(sha(1))


def building(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()


def in_a_phase(cloud: Cloud) -> None:
    building(cloud)
    assert codebuild.engine().claim() is not None


def _die_at_start(cloud: Cloud, kill: Callable[[Trouble, str], None]) -> None:
    cloud.push(sha(1))
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(Trouble(monkeypatch), "codebuild.StartBuild")
        with pytest.raises(Killed):
            cloud.wake("build-1")
    cloud.lose_messages()
    cloud.advance(TOKEN_LIFE + MINUTE)


def starting(cloud: Cloud) -> None:
    """The worker died as soon as CodeBuild had begun, longer ago than the token of its call lives.

    Nobody has heard of the build since.
    """
    _die_at_start(cloud, Trouble.kill_after)


def not_started(cloud: Cloud) -> None:
    """The same, but the call had no effect."""
    _die_at_start(cloud, Trouble.kill_before)


def queued_too_long(cloud: Cloud) -> None:
    not_started(cloud)
    cloud.advance(90 * MINUTE)


def no_room(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.push(sha(number))
        cloud.settle()
    cloud.push(sha(3))


def built(cloud: Cloud) -> None:
    building(cloud)
    cloud.finish_build(1, settle=False)


def build_failed(cloud: Cloud) -> None:
    building(cloud)
    cloud.end_build(1, "FAILED", settle=False)


def to_be_deployed(cloud: Cloud) -> None:
    built(cloud)
    cloud.pump.deliver_events()


def rolled_out(cloud: Cloud) -> None:
    built(cloud)
    cloud.settle()
    cloud.finish_rollout(settle=False)


def rolling_out(cloud: Cloud) -> None:
    built(cloud)
    cloud.settle()


def failed_and_one_waits(cloud: Cloud) -> None:
    one_deploys_one_waits(cloud)
    cloud.fail_rollout(settle=False)


def told_of_its_job(cloud: Cloud) -> None:
    rolled_out(cloud)
    send(QUEUE, "deploy-1")


def rolled_out_and_one_waits(cloud: Cloud) -> None:
    one_deploys_one_waits(cloud)
    cloud.finish_rollout(settle=False)


def given_up_by_the_queue(cloud: Cloud) -> None:
    pushed(cloud)
    cloud.lose_messages()
    send(DEAD_LETTERS, "build-1")


def send(queue: str, key: str) -> None:
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"v": 1, "reconcile": key}))


def rollout_failed(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout(settle=False)


def to_be_brought_back(cloud: Cloud) -> None:
    cloud.release(1)
    ask(cloud, "b")
    cloud.settle()
    cancel(cloud, "deploy-2")


def two_releases(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)


def one_deploys_one_waits(cloud: Cloud) -> None:
    two_releases(cloud)
    ask(cloud, "a")
    ask(cloud, "b")
    cloud.settle()


def rollback_asked(cloud: Cloud) -> None:
    two_releases(cloud)
    cloud.roll_back()


def rollback_rolled_out(cloud: Cloud) -> None:
    rollback_asked(cloud)
    cloud.settle()
    cloud.finish_rollout(settle=False)


def two_pushed_unheard(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.push(sha(2), branch="master")
    cloud.lose_messages()


def late_call(cloud: Cloud) -> None:
    two_releases(cloud)
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    run_on_ecs(str(cloud.deployment(2)["task_definition"]))


def changed_outside(cloud: Cloud) -> None:
    two_releases(cloud)
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    run_on_ecs(register("hello", "hello:theirs"))


def build_too_long(cloud: Cloud) -> None:
    building(cloud)
    cloud.advance(45 * MINUTE)


def third_built(cloud: Cloud) -> None:
    two_releases(cloud)
    cloud.push(sha(3))
    cloud.settle()
    cloud.finish_build(3, settle=False)
    cloud.lose_events()


def asked_to_stop(cloud: Cloud) -> None:
    building(cloud)
    cancel(cloud, "build-1")


def ask(cloud: Cloud, image: str) -> Answer:
    """Deploy an image by its digest; once, however often it is asked."""
    ecr = client("ecr")
    try:
        found = ecr.describe_images(repositoryName="hello", imageIds=[{"imageTag": image}])
        digest = found["imageDetails"][0]["imageDigest"]
    except ecr.exceptions.ImageNotFoundException:
        digest = put_image("hello", image)
    return post(cloud, "deploy", {"image_tag": f"hello@{digest}"}, key=image)


def post(cloud: Cloud, what: str, body: dict[str, object], *, key: str) -> Answer:
    path = f"/v1/cicd/services/{cloud.service_id}/{what}"
    return cloud.api.post(path, body, headers={"Idempotency-Key": key})


def cancel(cloud: Cloud, job: str) -> Answer:
    return cloud.api.post(f"/v1/cicd/jobs/{job}/cancel")


def _settings(name: str) -> dict[str, object]:
    return {
        "name": name,
        "git_url": "https://github.com/Codertocat/Hello-World.git",
        "branch": "release",
        "image_repository": name,
        "ecs_cluster": "main",
        "ecs_service": name,
        "container": "app",
    }


def second_service(cloud: Cloud) -> None:
    cloud.add_service("other")


def asked_already(cloud: Cloud) -> None:
    two_releases(cloud)
    ask(cloud, "c")


def _tick_while_ecs_says(code: str) -> Callable[[Cloud], None]:
    def refuse(*_: Any) -> None:
        raise ECSException(code, "not now, or not you")

    def tick(cloud: Cloud) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(ecs.Engine, "_cluster", refuse)
            cloud.tick()

    return tick


def to_be_deployed_over_theirs(cloud: Cloud) -> None:
    changed_outside(cloud)
    cloud.tick()
    cloud.push(sha(3))
    cloud.settle()
    cloud.finish_build(3, settle=False)
    cloud.pump.deliver_events()


def failed_with_no_way_back(cloud: Cloud) -> None:
    """ECS's own way back had failed before, so that the next rollout that fails ends STOPPED.

    Nobody has heard of it when somebody else's definition takes its place.
    """
    cloud.release(1)
    for number in (2, 3):
        cloud.begin_release(number)
        cloud.fail_rollout(settle=False)
        if number == 2:
            cloud.fail_rollout()
    run_on_ecs(register("hello", "hello:theirs"))
    cloud.finish_rollout(settle=False)
    cloud.lose_events()


def _ping(cloud: Cloud) -> Answer:
    body = json.dumps({"zen": "Keep it logically awesome."}).encode()
    headers = delivery_headers(body, event="ping", delivery="the-same-ping")
    return cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)


def _deploy_by_tag(cloud: Cloud) -> Answer:
    tag = builds()[1]["image_tag"]
    return post(cloud, "deploy", {"image_tag": f"hello:{tag}"}, key="k")


def _create_token(cloud: Cloud) -> Answer:
    """For one service, whose project is looked up."""
    body = {"name": "ci", "role": "deployer", "service_id": cloud.service_id}
    return cloud.api.post("/v1/tokens", body)


def a_token(cloud: Cloud) -> None:
    _create_token(cloud)


def _revoke_token(cloud: Cloud) -> Answer:
    return cloud.api.delete("/v1/tokens/2")


def own_parameter(cloud: Cloud) -> None:
    client("ssm").put_parameter(Name="/slipway/hello", Value=OWN_SECRET, Type="SecureString")
    cloud.change_service(webhook_secret="ssm:/slipway/hello")


def own_secret(cloud: Cloud) -> None:
    cloud.change_service(webhook_secret=keep_secret(OWN_SECRET, "slipway/hello"))


def many_followers(_: Cloud) -> None:
    """More than one transaction has room to tell of what arrived."""
    add_followers(range(900, 960), "other")


def _push_with_it(cloud: Cloud) -> Answer:
    return cloud.push(sha(9), delivery="d", pushed_at=1_795_305_600, secret=OWN_SECRET)


def _create_service(cloud: Cloud) -> Answer:
    path = f"/v1/projects/{cloud.project}/services"
    return cloud.api.post(path, _settings("new"), headers=KEY)


def _path(cloud: Cloud) -> str:
    return f"/v1/services/{cloud.service_id}"


USE_CASES = (
    UseCase("a push arrives", nothing, _push),
    UseCase("a push arrives for two services", second_service, _push),
    UseCase("a push arrives that many are told of", many_followers, _push),
    UseCase("a push arrives that a service's own secret signed", own_secret, _push_with_it),
    UseCase("a push arrives, and its secret is a parameter", own_parameter, _push_with_it),
    UseCase("a build is started", pushed, _deliver_messages),
    UseCase("a build makes progress", in_a_phase, _deliver_events),
    UseCase("a build ends well", built, _deliver_events),
    UseCase("a build ends badly", build_failed, _deliver_events),
    UseCase("a build takes too long", build_too_long, _tick),
    UseCase("a rollout begins", to_be_deployed, _deliver_messages),
    UseCase("a rollout ends well", rolled_out, _deliver_events),
    UseCase("a rollout fails", rollout_failed, _deliver_events),
    UseCase("what ran before comes back", to_be_brought_back, _deliver_messages),
    UseCase("a build is asked for", nothing, lambda c: post(c, "build", {}, key="k")),
    UseCase("a deployment is asked for", two_releases, lambda c: ask(c, "c")),
    UseCase("a deployment supersedes another", one_deploys_one_waits, lambda c: ask(c, "c")),
    UseCase("a rollback is asked for", two_releases, lambda c: post(c, "rollback", {}, key="k")),
    UseCase(
        "a rollback interrupts a rollout",
        one_deploys_one_waits,
        lambda c: post(c, "rollback", {}, key="k"),
    ),
    UseCase("a rollback begins", rollback_asked, _deliver_messages),
    UseCase("a rollback ends well", rollback_rolled_out, _deliver_events),
    UseCase("a queued build is cancelled", pushed, lambda c: cancel(c, "build-1")),
    UseCase("a running build is cancelled", building, lambda c: cancel(c, "build-1")),
    UseCase("a cancelled build is stopped", asked_to_stop, _deliver_messages),
    UseCase(
        "a waiting deployment is cancelled", one_deploys_one_waits, lambda c: cancel(c, "deploy-4")
    ),
    UseCase("a rollout is cancelled", one_deploys_one_waits, lambda c: cancel(c, "deploy-3")),
    UseCase("the schedule finds work", two_pushed_unheard, _tick),
    UseCase("a late call is healed", late_call, _tick),
    UseCase("a change from outside is seen", changed_outside, _tick),
    UseCase(
        "a project is created",
        nothing,
        lambda c: c.api.post("/v1/projects", {"name": "new"}, headers=KEY),
    ),
    UseCase(
        "a project is changed",
        nothing,
        lambda c: c.api.patch(f"/v1/projects/{c.project}", {"name": "new"}),
    ),
    UseCase("a service is created", nothing, _create_service),
    UseCase("a service is changed", nothing, lambda c: c.api.patch(_path(c), {"branch": "dev"})),
    UseCase("a service is deleted", second_service, lambda c: c.api.delete(_path(c))),
    UseCase("a build that was started is found", starting, _tick),
    UseCase("a build that was not started is started anew", not_started, _tick),
    UseCase("a build is given up", queued_too_long, _tick),
    UseCase("a build waits for room", no_room, _deliver_messages),
    UseCase("a rollout makes progress", rolling_out, _tick),
    UseCase("a rollout waits for ECS", rolling_out, _tick_while_ecs_says("ServerException")),
    UseCase(
        "a rollout waits for leave to look",
        rolling_out,
        _tick_while_ecs_says("AccessDeniedException"),
    ),
    UseCase(
        "what ran before waits for leave to come back",
        to_be_brought_back,
        _tick_while_ecs_says("AccessDeniedException"),
    ),
    UseCase("a rollout begins over theirs", to_be_deployed_over_theirs, _deliver_messages),
    UseCase("a rollout is known to have failed", failed_with_no_way_back, _tick),
    UseCase("a rollout is followed by its job", told_of_its_job, _deliver_messages),
    UseCase("a rollout ends and another begins", rolled_out_and_one_waits, _deliver_events),
    UseCase("a dead letter is seen", given_up_by_the_queue, _tick),
    UseCase("a ping arrives", nothing, _ping),
    UseCase("a build's image is deployed", two_releases, _deploy_by_tag),
    UseCase("a deployment is asked for again", asked_already, lambda c: ask(c, "c")),
    UseCase(
        "a rollback to a release is asked for",
        two_releases,
        lambda c: post(c, "rollback", {"deployment_id": 1}, key="k"),
    ),
    UseCase("a token is created", nothing, _create_token),
    UseCase("a token is revoked", a_token, _revoke_token),
)


# What is only read, and what has to be there for it.
READS: tuple[tuple[str, Callable[[Cloud], None]], ...] = (
    ("/v1/projects", nothing),
    ("/v1/projects/1", nothing),
    ("/v1/projects/1/services", nothing),
    ("/v1/services/1", nothing),
    ("/v1/cicd/services/1/builds", nothing),
    ("/v1/cicd/services/1/deployments", nothing),
    ("/v1/cicd/services/1/rollback", two_releases),
    ("/v1/cicd/jobs", nothing),
    ("/v1/audit?project_id=1", nothing),
    ("/v1/tokens", nothing),
    ("/v1/tokens/1", nothing),
    ("/v1/webhooks/github/deliveries", nothing),
    ("/v1/webhooks/github/deliveries/delivery-0", pushed),
    ("/v1/cicd/jobs/build-1", pushed),
    ("/v1/cicd/builds/1", pushed),
    ("/v1/cicd/builds/1/logs", building),
    ("/v1/cicd/deployments/1", rolling_out),
)


def _read(path: str, prepare: Callable[[Cloud], None]) -> UseCase:
    """Read by somebody whose token is for one project, and was not used before.

    Tokens are read by an administrator.
    """
    token = new_token()

    def prepared(cloud: Cloud) -> None:
        prepare(cloud)
        create_token("reader", Role.VIEWER, project_id=cloud.project, token=token)

    def read(cloud: Cloud) -> Answer:
        everything = path.startswith("/v1/tokens")
        return (cloud.api if everything else cloud.api.as_holder_of(token)).get(path)

    return UseCase(f"GET {path}", prepared, read)


READINGS = tuple(_read(*each) for each in READS)
