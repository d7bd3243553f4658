"""Everything the pipeline does, as one step each: what was before, and the step itself."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.client import Answer
from tests.embedded import MINUTE, Cloud, client, put_image, register, run_on_ecs, sha

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
    from infra.local import codebuild

    assert codebuild.engine().claim() is not None


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


def rollout_failed(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.push(sha(2))
    cloud.settle()
    cloud.finish_build(2)
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


def own_secret(cloud: Cloud) -> None:
    client("secretsmanager").create_secret(Name="slipway/hello", SecretString=OWN_SECRET)
    cloud.change_service(webhook_secret="secretsmanager:slipway/hello")


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
    UseCase("a push arrives that a service's own secret signed", own_secret, _push_with_it),
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
    UseCase("a service is created", nothing, _create_service),
    UseCase("a service is changed", nothing, lambda c: c.api.patch(_path(c), {"branch": "dev"})),
    UseCase("a service is deleted", second_service, lambda c: c.api.delete(_path(c))),
)
