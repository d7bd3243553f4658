"""Every use case of the product as one step, with the state before it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from moto.ecs.exceptions import ECSException

from chalicelib.aws import ecs as aws_ecs
from chalicelib.aws import queue
from chalicelib.aws.secrets import KEEP_SECONDS
from chalicelib.domain import redeliveries
from chalicelib.domain.heads import PERIOD
from chalicelib.domain.lag import LAG
from chalicelib.domain.schema import ROW, SCHEMA
from chalicelib.domain.timing import TOKEN_LIFE
from chalicelib.domain.tokens import Role, new_token
from chalicelib.errors import Rejected
from chalicelib.pipeline import heads
from chalicelib.store import channels, schema
from chalicelib.store.models import Claim
from chalicelib.store.tokens import create_token
from infra.local.aws import codebuild, ecs
from infra.local.aws.queues import DEAD_LETTERS, QUEUE
from tests.faults import receivers
from tests.faults.receivers import BY_APP, add_app, add_receiver
from tests.faults.rows import builds
from tests.support.builders import delivery_headers, push_payload
from tests.support.client import Answer
from tests.support.embedded import (
    CLUSTER,
    MIDNIGHT,
    MINUTE,
    REGISTRY,
    REPOSITORY,
    Cloud,
    add_followers,
    add_topic,
    client,
    create_ecs_service,
    create_image_repository,
    delete_definition,
    keep_secret,
    log_to_cloudwatch,
    make_older,
    put_image,
    put_index,
    put_single_image,
    register,
    remove_image,
    run_on_ecs,
    sha,
)
from tests.support.sdk import Killed, Trouble

OWN_SECRET = "the-secret-of-its-own"
KEY: dict[str, str | None] = {"Idempotency-Key": "the-same-request"}


@dataclass(frozen=True)
class UseCase:
    """`run` returns the answer of a request, or None if the step is no request.

    A request that got no 2xx is repeated. `begins`: a deployment is active that has not begun, and
    it registers no task definition here. So denied access fails it.
    """

    name: str
    prepare: Callable[[Cloud], None]
    run: Callable[[Cloud], Answer | None]
    begins: bool = False


def new_service(_: Cloud) -> None:
    """A Cloud starts with one service "hello" and no job."""


def _push(cloud: Cloud) -> Answer:
    return cloud.push(sha(9), delivery="the-same-delivery", pushed_at=1_795_305_600)


def _deliver_messages(cloud: Cloud) -> None:
    cloud.pump.deliver_messages()


def _deliver_tellings(cloud: Cloud) -> None:
    cloud.pump.deliver_tellings()


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
    codebuild.engine().run_into(cloud.build(1)["codebuild_id"], "PRE_BUILD")


def _die_at_start(cloud: Cloud, kill: Callable[[Trouble, str], None]) -> None:
    cloud.push(sha(1))
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(Trouble(monkeypatch), "codebuild.StartBuild")
        with pytest.raises(Killed):
            cloud.wake("build-1")
    cloud.lose_messages()
    cloud.advance(TOKEN_LIFE + MINUTE)


def died_after_start_build(cloud: Cloud) -> None:
    """The worker died after StartBuild, and the idempotency token of the call has expired.

    The row has no id of the CodeBuild build, and the message is lost.
    """
    _die_at_start(cloud, Trouble.kill_after)


def died_before_start_build(cloud: Cloud) -> None:
    """The worker died before StartBuild. The rest is as in `died_after_start_build`."""
    _die_at_start(cloud, Trouble.kill_before)


def queued_too_long(cloud: Cloud) -> None:
    died_before_start_build(cloud)
    cloud.advance(90 * MINUTE)


def two_builds_run(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.push(sha(number))
        cloud.settle()
    cloud.push(sha(3))


def superseded_while_waiting(cloud: Cloud) -> None:
    """A build waits for free capacity, and a later push arrives."""
    for ref in ("a", "b"):
        cloud.ask_for_build(git_ref=ref)
    cloud.push(sha(1))
    cloud.settle()
    cloud.push(sha(2))


def superseded_and_full(cloud: Cloud) -> None:
    """The service has as many open builds as it may, and one of them is superseded."""
    cloud.change_service(max_open_builds=4)
    superseded_while_waiting(cloud)


def cancelled_with_indexes_of_ends(cloud: Cloud) -> None:
    Claim(ROW, value=SCHEMA).save()
    cloud.push(sha(1))
    cloud.api.post("/v1/cicd/jobs/build-1/cancel")


def call_lost(cloud: Cloud) -> None:
    """Builds of two services wait, and the message for the next one is lost."""
    other = cloud.add_service("other", branch="other")
    for number in range(7):
        cloud.ask_for_build(git_ref=f"ref-{number}")
        cloud.api.post(f"/v1/cicd/services/{other}/build", {"git_ref": f"ref-{number}"})
    cloud.settle()
    for number in range(3, 11):
        cloud.api.post(f"/v1/cicd/jobs/build-{number}/cancel")
    cloud.end_build(1, "FAILED", settle=False)
    cloud.pump.deliver_events()
    cloud.lose_messages()


def two_pushes_queued(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.push(sha(number))
    cloud.lose_messages()


def one_place_left(cloud: Cloud) -> None:
    cloud.change_service(max_open_builds=2)
    cloud.ask_for_build(git_ref="a")
    cloud.settle()


def in_codebuilds_queue(cloud: Cloud) -> None:
    codebuild.engine().account_limit = 0
    building(cloud)


def with_app(prepare: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
    """The same state, and the GitHub App is installed on the repository."""

    def prepared(cloud: Cloud) -> None:
        add_app(cloud)
        prepare(cloud)

    return prepared


def in_codebuilds_queue_with_an_old_token(cloud: Cloud) -> None:
    in_codebuilds_queue(cloud)
    cloud.advance(31 * MINUTE)


def pushed_while_the_token_is_new(cloud: Cloud) -> None:
    building(cloud)
    cloud.push(sha(2))


def left_codebuilds_queue(cloud: Cloud) -> None:
    in_codebuilds_queue(cloud)
    codebuild.engine().account_limit = None
    assert codebuild.engine().claim() is not None


def timed_out_in_codebuilds_queue(cloud: Cloud) -> None:
    in_codebuilds_queue(cloud)
    cloud.advance(61 * MINUTE)


def two_services_wait(cloud: Cloud) -> None:
    """Two services have builds in the line, and one of two running builds has ended."""
    other = cloud.add_service("other")
    for ref in ("a", "b", "c"):
        cloud.ask_for_build(git_ref=ref)
    for ref in ("a", "b"):
        cloud.api.post(f"/v1/cicd/services/{other}/build", {"git_ref": ref})
    cloud.settle()
    cloud.end_build(1, "FAILED", settle=False)


def others_take_the_capacity(cloud: Cloud) -> None:
    """Builds of another party run in the CodeBuild project, and a build has waited too long."""
    for _ in range(2):
        client("codebuild").start_build(
            projectName="slipway-builds", queuedTimeoutInMinutesOverride=480
        )
    cloud.push(sha(1))
    cloud.lose_messages()
    cloud.advance(61 * MINUTE)


def retried(cloud: Cloud) -> None:
    build_failed(cloud)
    cloud.settle()


def built(cloud: Cloud) -> None:
    building(cloud)
    cloud.finish_build(1, settle=False)


def two_dependents(cloud: Cloud) -> None:
    """Two other services deploy the images of the service."""
    for name in ("worker", "job"):
        cloud.add_dependent(name)
    cloud.advance(1)


def built_for_dependents(cloud: Cloud) -> None:
    """One of two dependents has a rollout and a deployment that waits for its end."""
    two_dependents(cloud)
    for number in (1, 2):
        cloud.push(sha(number))
        cloud.settle()
        cloud.finish_build(number)
        cloud.finish_rollout()
        cloud.finish_rollout("job")
    cloud.push(sha(3))
    cloud.settle()
    cloud.finish_build(3, settle=False)


def build_failed(cloud: Cloud) -> None:
    building(cloud)
    cloud.end_build(1, "FAILED", settle=False)


def build_failed_without_its_log(cloud: Cloud) -> None:
    """CloudWatch does not show the end of the log yet."""
    building(cloud)
    cloud.end_build(1, "FAILED", log=["[Container] Running command false"], settle=False)


def build_waits_for_its_log(cloud: Cloud) -> None:
    """The first look at the log is made, and the time for further ones is nearly over."""
    build_failed_without_its_log(cloud)
    cloud.pump.deliver_events()
    cloud.advance(LAG)


def build_waits_for_its_image(cloud: Cloud) -> None:
    """ECR shows the image after the first look for it."""
    building(cloud)
    cloud.end_build(1, "SUCCEEDED", settle=False)
    cloud.pump.deliver_events()
    put_image(*cloud.build(1)["image_tag"].split(":"))
    cloud.advance(LAG / 2)


def build_without_its_image(cloud: Cloud) -> None:
    """ECR does not show the image, and the time for further looks is over."""
    building(cloud)
    cloud.end_build(1, "SUCCEEDED", settle=False)
    cloud.pump.deliver_events()
    cloud.advance(LAG)


def pushed_without_a_repository(cloud: Cloud) -> None:
    pushed(cloud)
    client("ecr").delete_repository(repositoryName="hello", force=True)


def build_failed_long_ago(cloud: Cloud) -> None:
    build_failed(cloud)
    cloud.settle()
    cloud.advance(MINUTE)


def to_be_deployed(cloud: Cloud) -> None:
    built(cloud)
    cloud.pump.deliver_events()


def rolled_out(cloud: Cloud) -> None:
    built(cloud)
    cloud.settle()
    cloud.finish_rollout(settle=False)


def to_be_deployed_without_its_image(cloud: Cloud) -> None:
    to_be_deployed(cloud)
    remove_image("hello", builds()[1]["image_digest"])


def changed_right_after_a_call(cloud: Cloud) -> None:
    """Another party changes the ECS service while a call of Slipway may be in flight."""
    rolling_out(cloud)
    run_on_ecs(register("hello", "hello:outside"))


def rolling_out(cloud: Cloud) -> None:
    built(cloud)
    cloud.settle()


def failed_and_one_waits(cloud: Cloud) -> None:
    one_deploys_one_waits(cloud)
    cloud.fail_rollout(settle=False)


def message_names_the_deployment(cloud: Cloud) -> None:
    rolled_out(cloud)
    send(QUEUE, "deploy-1")


def rolled_out_and_one_waits(cloud: Cloud) -> None:
    one_deploys_one_waits(cloud)
    cloud.finish_rollout(settle=False)


def dead_letter(cloud: Cloud) -> None:
    pushed(cloud)
    cloud.lose_messages()
    send(DEAD_LETTERS, "build-1")


def send(queue: str, row_id: str) -> None:
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"v": 1, "reconcile": row_id}))


def rollout_failed(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout(settle=False)


def index_rolled_out(cloud: Cloud) -> None:
    """ECS reports the digests of the manifests, not that of the image index."""
    digest, _ = put_index("hello", "multi", "linux/amd64", "linux/arm64")
    ecs.engine().fleet.reports_manifests = True
    assert cloud.deploy(f"hello@{digest}").status == 202
    cloud.settle()
    cloud.finish_rollout(settle=False)


def rollout_failed_with_a_log(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout(settle=False, exit_code=1, log=["KeyError"])


def scaled_up_as_the_rollout_ended(cloud: Cloud) -> None:
    """ECS cannot start the additional tasks. The time to wait for them is over."""
    cloud.change_service(deploy_minutes=1)
    built(cloud)
    cloud.settle()
    cloud.finish_rollout(settle=False)
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=4)
    cloud.settle()
    cloud.advance(11 * MINUTE)
    queue.wake("service-1")


def tasks_lost(cloud: Cloud) -> None:
    """Tasks of a release at rest crash. ECS has not replaced them yet."""
    cloud.release(1)
    for _ in range(2):
        cloud.tick()
    lose_tasks(failed=2)
    queue.wake("service-1")


def tasks_lost_for_minutes(cloud: Cloud) -> None:
    tasks_lost(cloud)
    cloud.settle()
    cloud.advance(3 * MINUTE)
    queue.wake("service-1")


def unhealthy_and_replaced(cloud: Cloud) -> None:
    """A release was reported as unhealthy. Then ECS replaced its tasks a minute ago."""
    tasks_lost_for_minutes(cloud)
    cloud.settle()
    ecs.engine().complete(CLUSTER, "hello")
    cloud.wake("service-1")
    cloud.advance(MINUTE)
    queue.wake("service-1")


def lose_tasks(*, running: int = 0, failed: int) -> None:
    """So many tasks of the newest ECS deployment run now, and so many have crashed."""
    primary = ecs.engine().service(CLUSTER, "hello").deployments[0].id
    ecs.engine().report(
        CLUSTER, "hello", primary, running=running, failed=failed, exit_code=1, log=["Killed"]
    )


def rollout_cancelled(cloud: Cloud) -> None:
    cloud.release(1)
    deploy_image(cloud, "b")
    cloud.settle()
    cancel(cloud, "deploy-2")


def two_releases(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)


def one_deploys_one_waits(cloud: Cloud) -> None:
    two_releases(cloud)
    deploy_image(cloud, "a")
    deploy_image(cloud, "b")
    cloud.settle()


def rollback_requested(cloud: Cloud) -> None:
    two_releases(cloud)
    cloud.roll_back()


def rollback_rolled_out(cloud: Cloud) -> None:
    rollback_requested(cloud)
    cloud.settle()
    cloud.finish_rollout(settle=False)


def second_rollback_rolled_out(cloud: Cloud) -> None:
    """It leaves the first one, and the release that this had restored."""
    two_releases(cloud)
    cloud.release(3)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout(settle=False)


def rollback_to_a_rollback_rolled_out(cloud: Cloud) -> None:
    """It restores what an earlier rollback had restored."""
    rollback_requested(cloud)
    cloud.settle()
    cloud.finish_rollout()
    deploy_image(cloud, "a")
    cloud.settle()
    cloud.finish_rollout()
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout(settle=False)


def rollback_to_a_deleted_definition(cloud: Cloud) -> None:
    """The task definition that the rollback restores was deleted after the request."""
    rollback_requested(cloud)
    delete_definition(cloud.deployment(1)["task_definition"])


def two_older_releases(cloud: Cloud) -> None:
    two_releases(cloud)
    make_older(1)


def older_rollback_requested(cloud: Cloud) -> None:
    two_older_releases(cloud)
    cloud.roll_back()


def messages_lost(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
    cloud.push(sha(1))
    cloud.push(sha(2), branch="master")
    cloud.lose_messages()


def late_call(cloud: Cloud) -> None:
    """The UpdateService of deployment 2 reaches ECS after deployment 3 has ended."""
    two_releases(cloud)
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    run_on_ecs(str(cloud.deployment(2)["task_definition"]))


def changed_outside(cloud: Cloud) -> None:
    """Another party makes ECS run a definition that Slipway did not register."""
    two_releases(cloud)
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    run_on_ecs(register("hello", "hello:outside"))


def ecs_service_deleted(cloud: Cloud) -> None:
    """Another party has deleted the ECS service of a release."""
    two_releases(cloud)
    cloud.advance(90 * MINUTE)
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)


def rolled_back_outside(cloud: Cloud) -> None:
    """ECS has rolled back the rollout of another party, to the earlier release that it chose."""
    chosen_outside(cloud)
    cloud.finish_rollout()
    cloud.tick()
    run_on_ecs(register("hello", "hello:outside"))
    cloud.fail_rollout()
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    cloud.advance(61 * MINUTE)


def chosen_outside(cloud: Cloud) -> None:
    """Another party makes ECS run an earlier release, long after the last call of Slipway."""
    two_releases(cloud)
    cloud.advance(90 * MINUTE)
    run_on_ecs(str(cloud.deployment(1)["task_definition"]))


def chosen_during_a_rollout(cloud: Cloud) -> None:
    """Another party makes ECS run an earlier release while a deployment is rolled out."""
    one_deploys_one_waits(cloud)
    cloud.advance(MINUTE)
    run_on_ecs(str(cloud.deployment(1)["task_definition"]))


def to_be_deployed_over_a_choice(cloud: Cloud) -> None:
    chosen_outside(cloud)
    cloud.tick()
    deploy_image(cloud, "c")


def build_too_long(cloud: Cloud) -> None:
    building(cloud)
    cloud.advance(45 * MINUTE)


def third_built(cloud: Cloud) -> None:
    """CodeBuild has ended the third build, and its event is lost."""
    two_releases(cloud)
    cloud.push(sha(3))
    cloud.settle()
    cloud.finish_build(3, settle=False)
    cloud.lose_events()


def build_cancelled(cloud: Cloud) -> None:
    building(cloud)
    cancel(cloud, "build-1")


def command_to_begin(cloud: Cloud) -> None:
    """A deployment of a service with a release command is requested."""
    log_to_cloudwatch(cloud)
    cloud.release(1)
    cloud.change_service(release_command=["migrate"])
    deploy_image(cloud, "b")


def command_to_be_started(cloud: Cloud) -> None:
    """The deployment's definition is registered, and its command is not yet started."""
    command_to_begin(cloud)
    cloud.pump.deliver_messages()


def command_runs(cloud: Cloud) -> None:
    command_to_begin(cloud)
    cloud.settle()
    launcher = ecs.engine().launcher
    launcher.begin(launcher.started[-1])
    cloud.settle()


def command_succeeded(cloud: Cloud) -> None:
    command_runs(cloud)
    cloud.end_command(log=["migrated"], settle=False)


def command_failed(cloud: Cloud) -> None:
    command_runs(cloud)
    cloud.end_command(1, log=["no such table"], settle=False)


def command_failed_long_ago(cloud: Cloud) -> None:
    command_failed(cloud)
    cloud.settle()
    cloud.advance(120 * MINUTE)


def building_with_steps(cloud: Cloud) -> None:
    building(cloud)
    cloud.enter_phase(1, "BUILD")
    cloud.write_log(1, "#7 [3/4] RUN make")


def deploys_and_one_waits(cloud: Cloud) -> None:
    cloud.begin_release(1)
    deploy_image(cloud, "b")


def released_long_ago(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.release(1)
    cloud.advance(120 * MINUTE)


def rollout_failed_long_ago(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.release(1)
    deploy_image(cloud, "b")
    cloud.settle()
    cloud.fail_rollout(exit_code=1, log=["no database"])
    cloud.advance(120 * MINUTE)


def command_takes_too_long(cloud: Cloud) -> None:
    command_runs(cloud)
    cloud.advance(20 * MINUTE)


def command_cancelled(cloud: Cloud) -> None:
    command_runs(cloud)
    cancel(cloud, "deploy-2")


def command_cancelled_and_stopped(cloud: Cloud) -> None:
    """The task of a cancelled deployment's command has stopped."""
    command_cancelled(cloud)
    cloud.pump.deliver_messages()
    launcher = ecs.engine().launcher
    launcher.kill(launcher.started[-1])


def command_during_a_change(cloud: Cloud) -> None:
    """Another party changes the ECS service while a release command runs."""
    command_runs(cloud)
    cloud.advance(MINUTE)
    run_on_ecs(register("hello", "hello:outside"))
    cloud.lose_events()


def command_was_run(cloud: Cloud) -> None:
    """The current release ran a command before its rollout."""
    command_succeeded(cloud)
    cloud.settle()
    cloud.finish_rollout()


def _die_at_the_command(cloud: Cloud, kill: Callable[[Trouble, str], None]) -> None:
    command_to_be_started(cloud)
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(Trouble(monkeypatch), "ecs.RunTask")
        with pytest.raises(Killed):
            cloud.wake("service-1")
    cloud.lose_messages()
    cloud.lose_events()


def died_after_run_task(cloud: Cloud) -> None:
    """The worker died after RunTask. The row has no task, and the events are lost."""
    _die_at_the_command(cloud, Trouble.kill_after)


def died_before_run_task(cloud: Cloud) -> None:
    _die_at_the_command(cloud, Trouble.kill_before)


def deploy_image(cloud: Cloud, tag: str) -> Answer:
    """Deploy an image by its digest, with its tag as the idempotency key."""
    ecr = client("ecr")
    try:
        found = ecr.describe_images(repositoryName="hello", imageIds=[{"imageTag": tag}])
        digest = found["imageDetails"][0]["imageDigest"]
    except ecr.exceptions.ImageNotFoundException:
        digest = put_image("hello", tag)
    return post(cloud, "deploy", {"image_tag": f"hello@{digest}"}, key=tag)


def post(cloud: Cloud, action: str, body: dict[str, object], *, key: str) -> Answer:
    path = f"/v1/cicd/services/{cloud.service_id}/{action}"
    return cloud.api.post(path, body, headers={"Idempotency-Key": key})


def change_config(cloud: Cloud, **environment: str | None) -> Answer:
    """Change variables of the config, with the names as the idempotency key."""
    path = f"/v1/services/{cloud.service_id}/config"
    body = {"environment": environment, "desired_count": 3}
    return cloud.api.patch(path, body, headers={"Idempotency-Key": "-".join(environment)})


def configured(cloud: Cloud) -> None:
    """A release with a config, after one without, and ECS is at rest."""
    two_releases(cloud)
    change_config(cloud, LEVEL="debug")
    cloud.settle()
    cloud.finish_rollout()


def config_requested(cloud: Cloud) -> None:
    """A deployment that changes a variable and removes another one is to begin."""
    configured(cloud)
    change_config(cloud, LEVEL=None, MODE="fast")


def config_rolling_out(cloud: Cloud) -> None:
    config_requested(cloud)
    cloud.settle()


def config_waits(cloud: Cloud) -> None:
    """A change of the config waits while a new image is rolled out."""
    two_releases(cloud)
    cloud.begin_release(3)
    change_config(cloud, LEVEL="debug")
    cloud.settle()


def config_of_older_code(cloud: Cloud) -> None:
    """An image fails after its release command, and a change of the config waits."""
    command_succeeded(cloud)
    cloud.settle()
    change_config(cloud, LEVEL="debug")
    cloud.fail_rollout(settle=False)


def plan_config(cloud: Cloud) -> Answer:
    path = f"/v1/services/{cloud.service_id}/config?dry_run=true"
    return cloud.api.patch(path, {"environment": {"LEVEL": "debug"}})


def release_the_config(cloud: Cloud) -> Answer:
    """An empty change, which releases what is not released."""
    return cloud.api.patch(f"/v1/services/{cloud.service_id}/config", {})


def image_beside_it(cloud: Cloud) -> None:
    """Another container has an image of the same registry."""
    two_releases(cloud)
    put_image("hello", "proxy")
    answer = client("ecs").register_task_definition(
        family="hello",
        containerDefinitions=[
            {"name": "app", "image": "hello:owner", "memory": 128},
            {"name": "proxy", "image": f"{REGISTRY}/hello:proxy", "memory": 128},
        ],
    )
    run_on_ecs(answer["taskDefinition"]["taskDefinitionArn"])
    cloud.finish_rollout()


def _begin_slowly(cloud: Cloud) -> None:
    """The registration of the task definition takes so long that ECS is read again."""
    register_definition = aws_ecs.register_task_definition

    def slowly(request: Any) -> str:
        cloud.advance(10)
        return register_definition(request)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(aws_ecs, "register_task_definition", slowly)
        _deliver_messages(cloud)


def _look_without_the_task(cloud: Cloud) -> None:
    """One answer of ECS leaves out the task of the release command."""
    send(QUEUE, "service-1")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(aws_ecs, "_describe_tasks", lambda *_: [])
        _deliver_messages(cloud)


def _stop_in_vain(cloud: Cloud) -> None:
    """ECS refuses to stop the task of a cancelled deployment's command."""

    def refused(*_: Any, **__: Any) -> None:
        raise Rejected("ECS StopTask: you may not", code="AccessDeniedException")

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(aws_ecs, "stop_task", refused)
        _deliver_messages(cloud)


def config_waits_and_the_image_fails(cloud: Cloud) -> None:
    config_waits(cloud)
    cloud.fail_rollout(settle=False)


def config_waits_over_a_choice(cloud: Cloud) -> None:
    """An image is deployed over a choice of another party, and fails. A change waits."""
    to_be_deployed_over_a_choice(cloud)
    cloud.settle()
    change_config(cloud, LEVEL="debug")
    cloud.settle()
    cloud.fail_rollout(settle=False)


def cancel(cloud: Cloud, job_id: str) -> Answer:
    return cloud.api.post(f"/v1/cicd/jobs/{job_id}/cancel")


def retry(cloud: Cloud) -> Answer:
    return cloud.api.post("/v1/cicd/builds/1/retry", headers=KEY)


def _settings(name: str) -> dict[str, object]:
    return {
        "name": name,
        "git_url": "https://github.com/Codertocat/Hello-World.git",
        "branch": "release",
        "image_repository": name,
        "ecs_cluster": "main",
        "ecs_service": name,
        "containers": ["app"],
    }


def new_in_aws(_: Cloud) -> None:
    """The image repository and the ECS service of a service to create."""
    create_image_repository("new")
    create_ecs_service("new")


def second_service(cloud: Cloud) -> None:
    cloud.add_service("other")


def run_needy(cloud: Cloud) -> None:
    """ECS runs a definition with a log group, a secret and a parameter, which exist."""
    secret = client("secretsmanager").create_secret(Name="db", SecretString="x")["ARN"]
    client("ssm").put_parameter(Name="/shop/key", Value="x", Type="String")
    client("logs").create_log_group(logGroupName="/ecs/hello")
    container = {
        "name": "app",
        "image": "hello:owner",
        "memory": 128,
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/hello"}},
        "secrets": [
            {"name": "DB", "valueFrom": secret},
            {"name": "KEY", "valueFrom": "/shop/key"},
        ],
    }
    client("ecs").register_task_definition(
        family="hello",
        executionRoleArn="arn:aws:iam::123456789012:role/hello",
        containerDefinitions=[container],
    )
    run_on_ecs("hello")
    cloud.finish_rollout()


def needy_to_be_deployed(cloud: Cloud) -> None:
    """A deployment of an image of a single manifest is requested; it needs many things."""
    run_needy(cloud)
    cloud.deploy(f"hello@{put_single_image('hello', 'single')}")


def needy_release(cloud: Cloud) -> None:
    run_needy(cloud)
    cloud.release(1)


def to_be_deployed_without_its_service(cloud: Cloud) -> None:
    """The ECS service of a deployment that has not begun was deleted."""
    to_be_deployed(cloud)
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    cloud.lose_events()


def plan(cloud: Cloud) -> Answer:
    path = f"/v1/cicd/services/{cloud.service_id}/deploy?dry_run=true"
    return cloud.api.post(path, {"image_tag": f"hello:{builds()[1]['image_tag']}"})


def image_deployed(cloud: Cloud) -> None:
    two_releases(cloud)
    deploy_image(cloud, "c")


def _tick_while_ecs_answers(code: str) -> Callable[[Cloud], None]:
    def refuse(*_: Any) -> None:
        raise ECSException(code, "injected")

    def tick(cloud: Cloud) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(ecs.Engine, "_cluster", refuse)
            cloud.tick()

    return tick


def to_be_deployed_over_a_change(cloud: Cloud) -> None:
    changed_outside(cloud)
    cloud.tick()
    cloud.change_service(auto_deploy=True)
    cloud.push(sha(3))
    cloud.settle()
    cloud.finish_build(3, settle=False)
    cloud.pump.deliver_events()


def failed_with_no_way_back(cloud: Cloud) -> None:
    """ECS's own rollback of deployment 2 failed, so the failed deployment 3 ends STOPPED in ECS.

    Then another party changes the ECS service. The events of both are lost.
    """
    cloud.release(1)
    for number in (2, 3):
        cloud.begin_release(number)
        cloud.fail_rollout(settle=False)
        if number == 2:
            cloud.fail_rollout()
    run_on_ecs(register("hello", "hello:outside"))
    cloud.finish_rollout(settle=False)
    cloud.lose_events()


def _ping(cloud: Cloud) -> Answer:
    body = json.dumps({"zen": "Keep it logically awesome."}).encode()
    headers = delivery_headers(body, event="ping", delivery="the-same-ping")
    return cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)


def _unreadable_delivery(cloud: Cloud) -> Answer | None:
    """The refusal, 400, is the end of this use case; only a 5xx is repeated."""
    body = json.dumps({**push_payload(), "ref": "master"}).encode()
    headers = delivery_headers(body, delivery="the-same-delivery")
    answer = cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)
    return None if answer.status == 400 else answer


def _test_of_a_push(cloud: Cloud) -> Answer:
    return cloud.api.post("/v1/webhooks/github/test", push_payload())


def _push_of_a_tag(cloud: Cloud) -> Answer:
    return cloud.push(sha(1), ref="refs/tags/v1", delivery="the-tag")


def pull_requests_are_built(cloud: Cloud) -> None:
    cloud.change_service(build_pull_requests=True)


def a_pull_request_waits(cloud: Cloud) -> None:
    """Two builds take the capacity. Two pull requests and a push wait."""
    pull_requests_are_built(cloud)
    for ref in ("a", "b"):
        cloud.ask_for_build(git_ref=ref)
    cloud.settle()
    cloud.pull("opened", sha(1))
    cloud.pull("opened", sha(2), pull_request__number=3)
    cloud.push(sha(3))
    cloud.settle()


def a_pull_request_is_pushed_to(cloud: Cloud) -> None:
    cloud.seconds_before_push = 1
    a_pull_request_waits(cloud)
    cloud.pull("synchronize", sha(4), before=sha(1))


def a_pull_request_is_built(cloud: Cloud) -> None:
    pull_requests_are_built(cloud)
    cloud.pull("opened", sha(1))
    cloud.settle()
    cloud.finish_build(1, settle=False)


def no_room_for_pull_requests(cloud: Cloud) -> None:
    """As many builds are open as may be. A push to the pull request replaces its queued build."""
    cloud.seconds_before_push = 1
    a_pull_request_waits(cloud)
    cloud.change_service(max_open_builds=5)


def a_pull_request_was_closed(cloud: Cloud) -> None:
    a_pull_request_waits(cloud)
    _end_of_a_pull_request(cloud)
    cloud.advance(MINUTE)


def a_pull_request_is_ready(cloud: Cloud) -> None:
    a_pull_request_is_built(cloud)
    cloud.settle()


def _push_to_a_pull_request(cloud: Cloud) -> Answer:
    return cloud.pull("synchronize", sha(9), delivery="the-same-delivery", before=sha(1))


def _reopen_a_pull_request(cloud: Cloud) -> Answer:
    return cloud.pull("reopened", sha(1), delivery="reopening")


def _deploy_a_pull_request(cloud: Cloud) -> Answer | None:
    """The refusal, 409, is the end of this use case; only a 5xx is repeated."""
    digest = builds()[1]["image_digest"]
    answer = post(cloud, "deploy", {"image_tag": f"hello@{digest}"}, key="k")
    return None if answer.status == 409 else answer


def _pull_request(cloud: Cloud) -> Answer:
    return cloud.pull("opened", sha(9), delivery="the-same-delivery")


def _end_of_a_pull_request(cloud: Cloud) -> Answer:
    return cloud.pull("closed", sha(1), delivery="the-same-delivery")


def tags_are_built(cloud: Cloud) -> None:
    cloud.change_service(tags=["v*"])


def _deploy_by_tag(cloud: Cloud) -> Answer:
    tag = builds()[1]["image_tag"]
    return post(cloud, "deploy", {"image_tag": f"hello:{tag}"}, key="k")


def _create_token(cloud: Cloud) -> Answer:
    """Create a token for one service. The product looks up the project of the service."""
    body = {"name": "ci", "role": "deployer", "service_id": cloud.service_id}
    return cloud.api.post("/v1/tokens", body)


def gone_back(_: Cloud) -> None:
    """A newer version has raised the schema of the rows. No process of this one has written yet."""
    Claim(ROW, value=SCHEMA + 1).save()
    schema._is_checked = False


def a_token(cloud: Cloud) -> None:
    _create_token(cloud)


def _revoke_token(cloud: Cloud) -> Answer:
    return cloud.api.delete("/v1/tokens/2")


def own_parameter(cloud: Cloud) -> None:
    client("ssm").put_parameter(Name="/slipway/hello", Value=OWN_SECRET, Type="SecureString")
    cloud.change_service(webhook_secret="ssm:/slipway/hello")
    cloud.advance(KEEP_SECONDS)


def own_secret(cloud: Cloud) -> None:
    cloud.change_service(webhook_secret=keep_secret(OWN_SECRET, "slipway/hello"))
    cloud.advance(KEEP_SECONDS)


def many_followers(_: Cloud) -> None:
    """So many followers that the records of one delivery do not fit into one transaction."""
    add_followers(range(900, 960), "other")


def _push_with_own_secret(cloud: Cloud) -> Answer:
    return cloud.push(sha(9), delivery="d", pushed_at=1_795_305_600, secret=OWN_SECRET)


def _create_service(cloud: Cloud) -> Answer:
    path = f"/v1/projects/{cloud.project}/services"
    return cloud.api.post(path, _settings("new"), headers=KEY)


def _create_service_for_a_taken_target(cloud: Cloud) -> Answer:
    path = f"/v1/projects/{cloud.project}/services"
    target = {"ecs_cluster": CLUSTER, "ecs_service": "hello", "containers": ["app"]}
    return cloud.api.post(path, {**_settings("new"), **target}, headers=KEY)


def _set_webhook_secret(cloud: Cloud) -> Answer:
    body = {"webhook_secret": keep_secret(OWN_SECRET, "slipway/hello")}
    return cloud.api.patch(_path(cloud), body)


def dependents_ecs_service(_: Cloud) -> None:
    create_ecs_service("worker")


def create_dependent(cloud: Cloud) -> Answer:
    body = {
        "name": "worker",
        "image_from": cloud.service_id,
        "ecs_cluster": CLUSTER,
        "ecs_service": "worker",
        "containers": ["app"],
        "auto_deploy": True,
    }
    path = f"/v1/projects/{cloud.project}/services"
    return cloud.api.post(path, body, headers=KEY)


def _take_images(cloud: Cloud) -> Answer:
    return cloud.api.patch("/v1/services/2", {"image_from": cloud.service_id})


def _path(cloud: Cloud) -> str:
    return f"/v1/services/{cloud.service_id}"


USE_CASES = (
    UseCase("a push arrives", new_service, _push),
    UseCase("a push arrives for two services", second_service, _push),
    UseCase("a push arrives for a repository with many followers", many_followers, _push),
    UseCase(
        "a push arrives, signed with a service's own secret", own_secret, _push_with_own_secret
    ),
    UseCase(
        "a push arrives, signed with a secret from Parameter Store",
        own_parameter,
        _push_with_own_secret,
    ),
    UseCase("a build is started", pushed, _deliver_messages),
    UseCase("a build is started with a token of the App", with_app(pushed), _deliver_messages),
    UseCase(
        "a build is started with the token of the build before",
        with_app(pushed_while_the_token_is_new),
        _deliver_messages,
    ),
    UseCase(
        "a build in CodeBuild's queue gets a new token of the App",
        with_app(in_codebuilds_queue_with_an_old_token),
        _tick,
    ),
    UseCase("a build makes progress", in_a_phase, _deliver_events),
    UseCase("a build succeeds", built, _deliver_events),
    UseCase("a build of several services succeeds", built_for_dependents, _deliver_events),
    UseCase("a build fails", build_failed, _deliver_events),
    UseCase(
        "a build fails, and its log is not complete", build_failed_without_its_log, _deliver_events
    ),
    UseCase(
        "a failed build ends without the end of its log", build_waits_for_its_log, _deliver_messages
    ),
    UseCase("an image that ECR shows late is found", build_waits_for_its_image, _deliver_messages),
    UseCase("an image that ECR never shows fails", build_without_its_image, _deliver_messages),
    UseCase(
        "a build for a missing image repository is refused",
        pushed_without_a_repository,
        _deliver_messages,
    ),
    UseCase("a running build passes its deadline", build_too_long, _tick),
    UseCase("the call of the next build was lost", call_lost, _tick),
    UseCase("a rollout begins", to_be_deployed, _deliver_messages),
    UseCase(
        "a rollout cannot begin without its image",
        to_be_deployed_without_its_image,
        _deliver_messages,
    ),
    UseCase(
        "a change outside Slipway waits for its judgement",
        changed_right_after_a_call,
        _deliver_events,
    ),
    UseCase("a rollout begins after many checks", needy_to_be_deployed, _deliver_messages),
    UseCase(
        "a rollout cannot begin without its ECS service",
        to_be_deployed_without_its_service,
        _deliver_messages,
    ),
    UseCase("a deployment is planned", needy_release, plan),
    UseCase("a rollout succeeds", rolled_out, _deliver_events),
    UseCase("a rollout fails", rollout_failed, _deliver_events),
    UseCase("a rollout of an image index succeeds", index_rolled_out, _deliver_events),
    UseCase(
        "a rollout fails, and its container has a log", rollout_failed_with_a_log, _deliver_events
    ),
    UseCase(
        "a rollout succeeds though the service was scaled up",
        scaled_up_as_the_rollout_ended,
        _deliver_messages,
    ),
    UseCase("a release loses its tasks", tasks_lost, _deliver_messages),
    UseCase("a release without tasks is reported", tasks_lost_for_minutes, _deliver_messages),
    UseCase("a release has recovered", unhealthy_and_replaced, _deliver_messages),
    UseCase("a cancelled rollout is undone", rollout_cancelled, _deliver_messages),
    UseCase("a build is requested", new_service, lambda c: post(c, "build", {}, key="k")),
    UseCase("a deployment is requested", two_releases, lambda c: deploy_image(c, "c")),
    UseCase(
        "a deployment supersedes the waiting one",
        one_deploys_one_waits,
        lambda c: deploy_image(c, "c"),
    ),
    UseCase("a rollback is requested", two_releases, lambda c: post(c, "rollback", {}, key="k")),
    UseCase(
        "a rollback interrupts a rollout",
        one_deploys_one_waits,
        lambda c: post(c, "rollback", {}, key="k"),
    ),
    UseCase("a rollback begins", rollback_requested, _deliver_messages),
    UseCase(
        "a rollback registers a deleted definition again",
        rollback_to_a_deleted_definition,
        _deliver_messages,
    ),
    UseCase(
        "a rollback to an older release is requested",
        two_older_releases,
        lambda c: post(c, "rollback", {}, key="k"),
    ),
    UseCase("a rollback to an older release begins", older_rollback_requested, _deliver_messages),
    UseCase("a rollback succeeds", rollback_rolled_out, _deliver_events),
    UseCase("a second rollback succeeds", second_rollback_rolled_out, _deliver_events),
    UseCase(
        "a rollback to a rollback succeeds", rollback_to_a_rollback_rolled_out, _deliver_events
    ),
    UseCase("a queued build is cancelled", pushed, lambda c: cancel(c, "build-1")),
    UseCase("a running build is cancelled", building, lambda c: cancel(c, "build-1")),
    UseCase("a cancelled build is stopped", build_cancelled, _deliver_messages),
    UseCase(
        "a waiting deployment is cancelled", one_deploys_one_waits, lambda c: cancel(c, "deploy-4")
    ),
    UseCase("a rollout is cancelled", one_deploys_one_waits, lambda c: cancel(c, "deploy-3")),
    UseCase("the schedule finds queued builds", messages_lost, _tick),
    UseCase("a late UpdateService is undone", late_call, _tick),
    UseCase("a change outside Slipway is found", changed_outside, _tick),
    UseCase("the ECS service of a release was deleted", ecs_service_deleted, _tick),
    UseCase("a rollout of another party was rolled back", rolled_back_outside, _tick),
    UseCase("an earlier release that was chosen outside is found", chosen_outside, _tick),
    UseCase("a change outside Slipway during a rollout is found", chosen_during_a_rollout, _tick),
    UseCase(
        "a project is created",
        new_service,
        lambda c: c.api.post("/v1/projects", {"name": "new"}, headers=KEY),
    ),
    UseCase(
        "a project is changed",
        new_service,
        lambda c: c.api.patch(f"/v1/projects/{c.project}", {"name": "new"}),
    ),
    UseCase("a service is created", new_in_aws, _create_service),
    UseCase(
        "a service is created for an ECS service that another one has",
        new_in_aws,
        _create_service_for_a_taken_target,
    ),
    UseCase("a service gets its own webhook secret", new_service, _set_webhook_secret),
    UseCase(
        "the image repository of a service is changed",
        new_in_aws,
        lambda c: c.api.patch(_path(c), {"image_repository": "new"}),
    ),
    UseCase(
        "a service is changed", new_service, lambda c: c.api.patch(_path(c), {"branch": "dev"})
    ),
    UseCase("a service without builds is created", dependents_ecs_service, create_dependent),
    UseCase("a service takes the images of another one", second_service, _take_images),
    UseCase(
        "the repository of several services is changed",
        two_dependents,
        lambda c: c.api.patch(_path(c), {"git_url": "https://github.com/acme/other.git"}),
    ),
    UseCase(
        "a service without builds is deleted",
        two_dependents,
        lambda c: c.api.delete("/v1/services/2"),
    ),
    UseCase("a service is deleted", second_service, lambda c: c.api.delete(_path(c))),
    UseCase("a started build is found after its worker died", died_after_start_build, _tick),
    UseCase("a build is started after its first worker died", died_before_start_build, _tick),
    UseCase("a queued build passes its deadline", queued_too_long, _tick),
    UseCase("a later push supersedes a queued build", superseded_while_waiting, _deliver_messages),
    UseCase("the schedule finds a superseded build", superseded_while_waiting, _tick),
    UseCase("a push finds room by superseding", superseded_and_full, _push),
    UseCase("a build waits in CodeBuild's queue", in_codebuilds_queue, _tick),
    UseCase("a build leaves CodeBuild's queue", left_codebuilds_queue, _tick),
    UseCase("a build times out in CodeBuild's queue", timed_out_in_codebuilds_queue, _tick),
    UseCase("a service takes its turn", two_services_wait, _deliver_events),
    UseCase("the schedule starts the next build of two services", two_services_wait, _tick),
    UseCase("others take the capacity for too long", others_take_the_capacity, _tick),
    UseCase("a build is retried", retried, retry),
    UseCase("a build waits for free capacity", two_builds_run, _deliver_messages),
    UseCase("a rollout makes progress", rolling_out, _tick),
    UseCase(
        "a rollout waits while ECS fails", rolling_out, _tick_while_ecs_answers("ServerException")
    ),
    UseCase(
        "a rollout waits while access to ECS is denied",
        rolling_out,
        _tick_while_ecs_answers("AccessDeniedException"),
    ),
    UseCase(
        "undoing a rollout waits while access to ECS is denied",
        rollout_cancelled,
        _tick_while_ecs_answers("AccessDeniedException"),
    ),
    UseCase(
        "a rollout begins over a change outside Slipway",
        to_be_deployed_over_a_change,
        _deliver_messages,
    ),
    UseCase(
        "a rollout begins over an earlier release that was chosen outside",
        to_be_deployed_over_a_choice,
        _deliver_messages,
    ),
    UseCase("a failed rollout is found without its events", failed_with_no_way_back, _tick),
    UseCase(
        "a message names the deployment, not the service",
        message_names_the_deployment,
        _deliver_messages,
    ),
    UseCase(
        "a rollout ends and the waiting deployment begins",
        rolled_out_and_one_waits,
        _deliver_events,
    ),
    UseCase("a dead letter is found", dead_letter, _tick),
    UseCase("a ping arrives", new_service, _ping),
    UseCase("an unreadable delivery arrives", second_service, _unreadable_delivery),
    UseCase("a push is tested", second_service, _test_of_a_push),
    UseCase("a tag is pushed", tags_are_built, _push_of_a_tag),
    UseCase("the image of a build is deployed by its tag", two_releases, _deploy_by_tag),
    UseCase("a deployment is requested again", image_deployed, lambda c: deploy_image(c, "c")),
    UseCase(
        "a rollback to a named release is requested",
        two_releases,
        lambda c: post(c, "rollback", {"deployment_id": 1}, key="k"),
    ),
    UseCase(
        "a change of the config is requested",
        two_releases,
        lambda c: change_config(c, LEVEL="debug"),
    ),
    UseCase(
        "a change of the config joins a deployment that has not begun",
        to_be_deployed,
        lambda c: change_config(c, LEVEL="debug"),
    ),
    UseCase(
        "a change of the config waits for a rollout",
        rolling_out,
        lambda c: change_config(c, LEVEL="debug"),
    ),
    UseCase("a change of the config begins", config_requested, _deliver_messages),
    UseCase("a change of the config of older code begins", config_of_older_code, _deliver_events),
    UseCase(
        "a change of the config over a change outside is planned", changed_outside, plan_config
    ),
    UseCase("a change of the config is planned", two_releases, plan_config),
    UseCase("a config that is not released is requested", config_rolling_out, release_the_config),
    UseCase(
        "the request for a change of the config is repeated",
        config_requested,
        lambda c: change_config(c, LEVEL=None, MODE="fast"),
    ),
    UseCase("a deployment beside another image is planned", image_beside_it, plan),
    UseCase("a rollout begins slowly", to_be_deployed, _begin_slowly),
    UseCase("ECS leaves out a release command", command_runs, _look_without_the_task),
    UseCase("a cancelled release command cannot be stopped", command_cancelled, _stop_in_vain),
    UseCase(
        "an image fails, and a change of the config begins",
        config_waits_and_the_image_fails,
        _deliver_events,
    ),
    UseCase(
        "an image fails over a choice, and a change of the config ends",
        config_waits_over_a_choice,
        _deliver_events,
    ),
    UseCase(
        "an image is cancelled, and a change of the config begins",
        config_waits,
        lambda c: cancel(c, "deploy-3"),
    ),
    UseCase(
        "a rollback over a change of the config is requested",
        config_rolling_out,
        lambda c: post(c, "rollback", {}, key="k"),
    ),
    UseCase("a deployment with a release command begins", command_to_begin, _deliver_messages),
    UseCase("a release command is started", command_to_be_started, _deliver_messages),
    UseCase("a release command succeeds", command_succeeded, _deliver_events),
    UseCase("a release command fails", command_failed, _deliver_events),
    UseCase("a release command takes too long", command_takes_too_long, _tick),
    UseCase("a cancelled release command is stopped", command_cancelled, _deliver_messages),
    UseCase(
        "a cancelled release command has stopped", command_cancelled_and_stopped, _deliver_events
    ),
    UseCase("a change outside ends a release command", command_during_a_change, _tick),
    UseCase("a release command is found after its worker died", died_after_run_task, _tick),
    UseCase(
        "a release command is started after its first worker died", died_before_run_task, _tick
    ),
    UseCase(
        "a rollback over a release command is requested",
        command_was_run,
        lambda c: post(c, "rollback", {}, key="k"),
    ),
    UseCase(
        "a project is created after a newer version has gone back",
        gone_back,
        lambda c: c.api.post("/v1/projects", {"name": "new"}, headers=KEY),
    ),
    UseCase("a token is created", new_service, _create_token),
    UseCase("a token is revoked", a_token, _revoke_token),
)


def with_topic(prepare: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
    """The same state, and a channel that is told of it."""

    def prepared(cloud: Cloud) -> None:
        add_topic(cloud)
        prepare(cloud)

    return prepared


def build_ended_in_codebuild(cloud: Cloud) -> None:
    building(cloud)
    cloud.finish_build(1, settle=False)


def build_to_be_told(cloud: Cloud) -> None:
    building(cloud)
    cloud.end_build(1, "FAILED", settle=False)
    cloud.pump.deliver_events()


def telling_was_lost(cloud: Cloud) -> None:
    build_to_be_told(cloud)
    cloud.lose_tellings()


def pause_to_be_told(cloud: Cloud) -> None:
    two_releases(cloud)
    cloud.roll_back()


def test_was_asked_for(cloud: Cloud) -> None:
    cloud.api.post("/v1/channels/1/test")


def event_bus(cloud: Cloud) -> None:
    client("events").create_event_bus(Name="slipway-bus")
    body = {"kind": "eventbridge", "name": "bus", "target": "slipway-bus"}
    assert cloud.api.post("/v1/channels", body).status == 201
    build_to_be_told(cloud)


def _create_channel(cloud: Cloud) -> Answer:
    body = {"kind": "eventbridge", "name": "bus", "target": "slipway-bus"}
    return cloud.api.post("/v1/channels", body, headers=KEY)


def with_receiver(kind: str, prepare: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
    """The same state, and a channel to GitHub, or to a webhook, that is told of it."""

    def prepared(cloud: Cloud) -> None:
        add_receiver(cloud, kind)
        prepare(cloud)

    return prepared


def deployment_to_be_told(cloud: Cloud) -> None:
    build_ended_in_codebuild(cloud)
    cloud.pump.deliver_events()


def release_to_be_told(cloud: Cloud) -> None:
    """A release has replaced another one, which GitHub shows as the one that runs."""
    cloud.release(1)
    cloud.begin_release(2)
    ecs.engine().complete(CLUSTER, "hello")
    cloud.pump.deliver_events()


def deployment_of_a_branch_to_be_told(cloud: Cloud) -> None:
    """The channel is told of some branches only, so that the build of a deployment is read."""
    cloud.api.patch("/v1/channels/1", {"branches": ["master"]})
    deployment_to_be_told(cloud)


def channel_was_deleted(cloud: Cloud) -> None:
    build_to_be_told(cloud)
    cloud.api.delete("/v1/channels/1")


def receiver_fails(cloud: Cloud) -> None:
    receivers = add_receiver(cloud, "webhook")
    build_to_be_told(cloud)
    receivers.failures = 1


def receiver_has_failed(cloud: Cloud) -> None:
    receiver_fails(cloud)
    cloud.pump.deliver_tellings()


def without_the_image_before(cloud: Cloud) -> None:
    """The image of the release before is gone, some hours after it was there."""
    two_releases(cloud)
    remove_image("hello", cloud.deployment(1)["image_digest"])
    cloud.advance(6 * 60 * MINUTE)


def without_the_definition_before(cloud: Cloud) -> None:
    """The same of a task definition that was not kept."""
    two_releases(cloud)
    arn = cloud.deployment(1)["task_definition"]
    make_older(1)
    delete_definition(arn)
    cloud.advance(6 * 60 * MINUTE)


def receiver_is_gone(cloud: Cloud) -> None:
    """A receiver has failed for a day, and fails for ever. It asks to be told every six hours."""
    receivers = add_receiver(cloud, "webhook")
    receivers.failures, receivers.retry_after = 1000, 6 * 60 * MINUTE
    build_to_be_told(cloud)
    for _ in range(4):
        cloud.pump.deliver_tellings()
        cloud.advance(6 * 60 * MINUTE)
        cloud.pump.tick()


def push_was_lost(cloud: Cloud) -> None:
    """GitHub has received a push, and its delivery was lost. The schedule looks in a minute."""
    github = add_receiver(cloud, "github")
    github.push(sha(1), before=sha(8), at=int(cloud._now))
    _let_the_head_be_looked_at(cloud)
    cloud.settle()
    github.push(sha(9), before=sha(1), at=int(cloud._now))
    for _ in range(PERIOD - 1):
        cloud.tick()


def head_to_be_looked_at(cloud: Cloud) -> None:
    push_was_lost(cloud)
    cloud.tick()


def push_was_found(cloud: Cloud) -> None:
    head_to_be_looked_at(cloud)
    cloud.pump.deliver_tellings()


def found_push_was_built(cloud: Cloud) -> None:
    push_was_found(cloud)
    cloud.pump.deliver_messages()
    cloud.advance(MINUTE)


def delivery_failed(cloud: Cloud) -> None:
    """A delivery of the App's webhook has failed. The schedule looks in a minute."""
    github = add_app(cloud)
    for guid in ("failed", "also failed"):
        github.deliver(guid, 503, at=int(cloud._now))
    for _ in range(redeliveries.PERIOD - 1):
        cloud.tick()


def delivery_to_be_repeated(cloud: Cloud) -> None:
    delivery_failed(cloud)
    cloud.tick()


def _let_the_head_be_looked_at(cloud: Cloud) -> None:
    for _ in range(PERIOD):
        cloud.tick()


def _tick_as_a_new_process(cloud: Cloud) -> None:
    """The process knows no channel and no service from earlier."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(channels, "_KEEP_SECONDS", 0)
        monkeypatch.setattr(heads, "_services", None)
        cloud.tick()


def deliver_lost_push(cloud: Cloud) -> Answer:
    """The delivery of the lost push comes. Its time is not that of GitHub's list of activities."""
    return cloud.push(sha(9), before=sha(1), delivery="late", pushed_at=int(MIDNIGHT) + 302)


def _deliver_and_take_at_once(cloud: Cloud) -> Answer:
    """The delivery comes while the push that was found is taken."""
    answer = deliver_lost_push(cloud)
    cloud.pump.deliver_messages()
    return answer


def _tick_and_tell(cloud: Cloud) -> None:
    cloud.tick()
    cloud.pump.deliver_tellings()


def awaits_checks(
    prepare: Callable[[Cloud], None], conclusion: str | None = "success", **settings: Any
) -> Callable[[Cloud], None]:
    """The same state; the service waits for the checks of commits, which end with `conclusion`."""

    def prepared(cloud: Cloud) -> None:
        add_receiver(cloud, "github").conclusion = conclusion
        cloud.change_service(**{"require_checks": ["test"], "checks_minutes": 5, **settings})
        prepare(cloud)

    return prepared


def checks_to_be_asked(cloud: Cloud) -> None:
    deployment_to_be_told(cloud)
    cloud.pump.deliver_messages()


def checks_were_asked(cloud: Cloud) -> None:
    checks_to_be_asked(cloud)
    cloud.pump.deliver_tellings()


def question_was_lost(cloud: Cloud) -> None:
    checks_to_be_asked(cloud)
    cloud.lose_tellings()


def github_does_not_answer(cloud: Cloud) -> None:
    """The service has a release, and GitHub fails when it is asked for the checks of the next."""
    cloud.release(1)
    github = add_receiver(cloud, "github")
    cloud.change_service(require_checks="all")
    cloud.push(sha(2))
    cloud.settle()
    cloud.finish_build(2, settle=False)
    cloud.pump.deliver_events()
    cloud.pump.deliver_messages()
    github.failures = 9


def checks_run(cloud: Cloud) -> None:
    """Two releases, and the deployment of a third commit, which waits."""
    cloud.release(1)
    cloud.release(2)
    add_receiver(cloud, "github").conclusion = None
    cloud.change_service(require_checks=["test"], checks_minutes=5)
    cloud.begin_release(3)


def question_about_checks(cloud: Cloud) -> None:
    """The check of a third commit has passed, and GitHub is to be asked."""
    checks_run(cloud)
    receivers.current.conclusion = "success"
    cloud.advance(MINUTE)
    queue.ask_checks("deploy-3", at=int(cloud._now))


def answer_about_checks(cloud: Cloud) -> None:
    """The check of a third commit has passed, the row says so, and the service is to be woken."""
    question_about_checks(cloud)
    cloud.pump.deliver_tellings()


def deadline_of_checks_passed(cloud: Cloud) -> None:
    checks_run(cloud)
    cloud.advance(6 * MINUTE)


def another_build_ends(cloud: Cloud) -> None:
    checks_run(cloud)
    cloud.push(sha(4))
    cloud.settle()
    cloud.finish_build(4, settle=False)


def _check_has_ended(cloud: Cloud) -> Answer:
    body = json.dumps(
        {
            "check_run": {"head_sha": sha(3)},
            "repository": {
                "full_name": REPOSITORY,
                "html_url": f"https://github.com/{REPOSITORY}",
            },
        }
    ).encode()
    headers = delivery_headers(body, event="check_run")
    return cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)


def _ask_twice(cloud: Cloud) -> None:
    """Two messages about one deployment are delivered."""
    queue.ask_checks("deploy-1", "deploy-1", at=int(cloud._now))
    cloud.pump.deliver_tellings()


def checks_pass_behind_others(cloud: Cloud) -> None:
    """A push that came after two requests for deployments, of which one waits."""
    add_receiver(cloud, "github")
    cloud.change_service(require_checks=["test"])
    deploy_image(cloud, "a")
    cloud.settle()
    deploy_image(cloud, "b")
    cloud.advance(1)
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1, settle=False)
    cloud.pump.deliver_events()
    cloud.pump.deliver_messages()
    cloud.pump.deliver_tellings()


CHECKS = (
    UseCase(
        "a build ends, and its deployment waits for checks",
        awaits_checks(build_ended_in_codebuild),
        _deliver_events,
    ),
    UseCase(
        "the checks of a commit are asked for",
        awaits_checks(checks_to_be_asked),
        _deliver_tellings,
    ),
    UseCase(
        "all checks of a commit are asked for",
        awaits_checks(checks_to_be_asked, require_checks="all"),
        _deliver_tellings,
    ),
    UseCase(
        "the checks of a commit are asked for twice",
        awaits_checks(checks_to_be_asked),
        _ask_twice,
    ),
    UseCase("nobody has asked for checks", awaits_checks(question_was_lost), _tick_and_tell),
    UseCase("GitHub shows no checks", github_does_not_answer, _deliver_tellings),
    UseCase(
        "a deployment begins after its checks",
        awaits_checks(checks_were_asked),
        _deliver_messages,
    ),
    UseCase(
        "checks pass while one deployment runs and another waits",
        checks_pass_behind_others,
        _deliver_messages,
    ),
    UseCase(
        "a failed check ends a deployment",
        awaits_checks(checks_were_asked, "failure"),
        _deliver_messages,
    ),
    UseCase("a deployment has waited too long for checks", deadline_of_checks_passed, _tick),
    UseCase("GitHub says that a check has ended", checks_run, _check_has_ended),
    UseCase("a newer push replaces one that waits for checks", another_build_ends, _deliver_events),
    UseCase(
        "a deployment passes one that waits for checks",
        checks_run,
        _deploy_by_tag,
    ),
    UseCase(
        "a rollback passes one that waits for checks",
        checks_run,
        lambda c: post(c, "rollback", {}, key="k"),
    ),
    UseCase(
        "a deployment that waits for checks is cancelled",
        checks_run,
        lambda c: cancel(c, "deploy-3"),
    ),
    UseCase(
        "a service is to wait for checks",
        with_receiver("github", new_service),
        lambda c: c.api.patch(_path(c), {"require_checks": "all"}),
    ),
)


TELLINGS = (
    UseCase("GitHub is told of a queued build", with_receiver("github", pushed), _deliver_tellings),
    UseCase(
        "a channel is told of a deployment of a branch",
        with_topic(deployment_of_a_branch_to_be_told),
        _deliver_tellings,
    ),
    UseCase(
        "a message names a channel that was deleted",
        with_topic(channel_was_deleted),
        _deliver_tellings,
    ),
    UseCase(
        "GitHub is told of a build",
        with_receiver("github", build_to_be_told),
        _deliver_tellings,
    ),
    UseCase(
        "GitHub is told of a deployment",
        with_receiver("github", deployment_to_be_told),
        _deliver_tellings,
    ),
    UseCase(
        "GitHub is told that a release has replaced another",
        with_receiver("github", release_to_be_told),
        _deliver_tellings,
    ),
    UseCase(
        "the channel to GitHub is tested",
        with_receiver("github", test_was_asked_for),
        _deliver_tellings,
    ),
    UseCase(
        "a webhook is told of a build",
        with_receiver("webhook", build_to_be_told),
        _deliver_tellings,
    ),
    UseCase(
        "a webhook is told of a release",
        with_receiver("webhook", release_to_be_told),
        _deliver_tellings,
    ),
    UseCase(
        "a webhook is told of a service",
        with_receiver("webhook", pause_to_be_told),
        _deliver_tellings,
    ),
    UseCase(
        "GitHub is told of a build by the App",
        with_receiver(BY_APP, build_to_be_told),
        _deliver_tellings,
    ),
    UseCase(
        "the channel of the App is tested",
        with_receiver(BY_APP, test_was_asked_for),
        _deliver_tellings,
    ),
    UseCase("a receiver fails", receiver_fails, _deliver_tellings),
    UseCase("a receiver answers again", receiver_has_failed, _tick_and_tell),
    UseCase(
        "it is seen that the release before has no image",
        with_topic(without_the_image_before),
        _tick,
    ),
    UseCase(
        "it is seen that the release before has no definition",
        without_the_definition_before,
        _tick,
    ),
    UseCase("a receiver is switched off", receiver_is_gone, _deliver_tellings),
    UseCase(
        "the webhook is tested", with_receiver("webhook", test_was_asked_for), _deliver_tellings
    ),
    UseCase(
        "a build ends, and a channel is to be told",
        with_topic(build_ended_in_codebuild),
        _deliver_events,
    ),
    UseCase("a channel is told of a build", with_topic(build_to_be_told), _deliver_tellings),
    UseCase("the schedule finds what was not told", with_topic(telling_was_lost), _tick),
    UseCase("a channel is told of a service", with_topic(pause_to_be_told), _deliver_tellings),
    UseCase("an event bus is told of a build", event_bus, _deliver_tellings),
    UseCase("a channel is tested", with_topic(test_was_asked_for), _deliver_tellings),
    UseCase(
        "a test of a channel is requested",
        with_topic(new_service),
        lambda c: c.api.post("/v1/channels/1/test"),
    ),
    UseCase("the schedule asks for the head of a branch", push_was_lost, _tick_as_a_new_process),
    UseCase("a lost push is looked for", head_to_be_looked_at, _deliver_tellings),
    UseCase("a lost push is found", push_was_found, _deliver_messages),
    UseCase("a lost push is delivered late", found_push_was_built, deliver_lost_push),
    UseCase(
        "a lost push is delivered before it is taken", push_was_found, _deliver_and_take_at_once
    ),
    UseCase("the schedule asks for failed deliveries", delivery_failed, _tick),
    UseCase("failed deliveries are repeated", delivery_to_be_repeated, _deliver_tellings),
    UseCase("a channel is created", new_service, _create_channel),
    UseCase(
        "a channel is changed",
        with_topic(new_service),
        lambda c: c.api.patch("/v1/channels/1", {"events": ["build.failed"]}),
    ),
    UseCase(
        "a channel is deleted", with_topic(new_service), lambda c: c.api.delete("/v1/channels/1")
    ),
)


def with_badge(cloud: Cloud) -> None:
    cloud.change_service(badge=True)


# The paths to read, each with the state before.
READS: tuple[tuple[str, Callable[[Cloud], None]], ...] = (
    ("/v1/projects", new_service),
    ("/v1/projects/1", new_service),
    ("/v1/projects/1/services", new_service),
    ("/v1/services", two_releases),
    ("/v1/services?project_id=1", new_service),
    ("/v1/services/1", new_service),
    ("/v1/services/1/access", new_service),
    ("/v1/services/1/config", config_waits),
    ("/v1/cicd/services/1/builds", new_service),
    ("/v1/cicd/services/1/deployments", new_service),
    ("/v1/cicd/services/1/rollback", two_releases),
    ("/v1/cicd/services/1/rollback?deployment_id=1", two_older_releases),
    ("/v1/cicd/jobs", new_service),
    ("/v1/cicd/jobs?status=running", rolling_out),
    ("/v1/cicd/services/1/builds?status=building", building),
    ("/v1/audit?project_id=1", pushed),
    ("/v1/whoami", new_service),
    ("/v1/tokens", new_service),
    ("/v1/tokens/1", new_service),
    ("/v1/webhooks/github/deliveries", new_service),
    ("/v1/webhooks/github/deliveries/delivery-0", pushed),
    ("/v1/cicd/queue", pushed),
    ("/v1/cicd/jobs/build-1", pushed),
    ("/v1/cicd/builds/1", pushed),
    ("/v1/cicd/builds/1/logs", building),
    ("/v1/cicd/builds/1/logs?limit=100", build_failed_long_ago),
    ("/v1/cicd/builds/1/logs?tail=100", build_failed_long_ago),
    ("/v1/cicd/deployments/1", rolling_out),
    ("/v1/cicd/deployments/1/receipt", two_releases),
    ("/v1/cicd/builds/1", building_with_steps),
    ("/v1/cicd/jobs/build-1", building_with_steps),
    ("/v1/cicd/deployments/2", deploys_and_one_waits),
    ("/v1/cicd/deployments/1/logs", rolling_out),
    ("/v1/cicd/deployments/1/logs?tail=100", two_releases),
    ("/v1/cicd/metrics", pushed),
    ("/v1/cicd/projects/1/metrics", pushed),
    ("/v1/cicd/services/1/metrics", pushed),
    ("/v1/metrics", pushed),
    ("/v1/ready", new_service),
    ("/v1/services/1/badge.svg", with_badge),
    ("/v1/channels", with_topic(new_service)),
    ("/v1/channels/1", with_topic(new_service)),
    ("/v1/channels/kinds?project_id=1", new_service),
    ("/v1/cicd/deployments/1/logs?tail=100", released_long_ago),
    ("/v1/cicd/deployments/2/logs", rollout_failed_long_ago),
    ("/v1/cicd/deployments/2/logs?tail=5", command_failed_long_ago),
    ("/v1/cicd/jobs?status=cancelled", cancelled_with_indexes_of_ends),
)


def _read(path: str, prepare: Callable[[Cloud], None]) -> UseCase:
    """Read a path with a new deployer token of one project, or about tokens with the admin's.

    The first use of a token writes its row.
    """
    token = new_token()

    def prepared(cloud: Cloud) -> None:
        prepare(cloud)
        create_token("reader", Role.DEPLOYER, project_id=cloud.project, token=token)

    def read(cloud: Cloud) -> Answer:
        needs_admin = path.startswith(("/v1/tokens", "/v1/channels")) or path.endswith("/access")
        return (cloud.api if needs_admin else cloud.api.as_holder_of(token)).get(path)

    return UseCase(f"GET {path}", prepared, read)


READINGS = tuple(_read(*each) for each in READS)
# The last landed version knows no pull requests.
PULL_REQUESTS = (
    UseCase("a pull request is opened", pull_requests_are_built, _pull_request),
    UseCase("a pull request is closed", a_pull_request_waits, _end_of_a_pull_request),
    UseCase(
        "a push to a pull request supersedes its queued build",
        a_pull_request_is_pushed_to,
        _deliver_messages,
    ),
    UseCase("a build of a pull request succeeds", a_pull_request_is_built, _deliver_events),
    UseCase(
        "a push to a pull request finds room by superseding",
        no_room_for_pull_requests,
        _push_to_a_pull_request,
    ),
    UseCase("a pull request is reopened", a_pull_request_was_closed, _reopen_a_pull_request),
    UseCase("a pull request is not deployed", a_pull_request_is_ready, _deploy_a_pull_request),
)
