"""Two steps at once: one pauses at a call, the other runs completely, then the first continues."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from moto.sqs.models import sqs_backends

from chalicelib.aws import queue
from infra.local.aws import ecs
from infra.local.aws.queues import QUEUE
from tests.faults import traffic, traffic_cases, use_cases
from tests.faults.injector import Injector
from tests.faults.invariants import Ledger, check, check_settled
from tests.faults.trials import forked, recover
from tests.faults.use_cases import cancel, deploy_image, post, with_receiver
from tests.support.builders import sqs_event
from tests.support.client import Answer
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    cloud,
    create_ecs_service,
    create_image_repository,
    sha,
)

__all__ = ["cloud"]

Step = Callable[[Cloud], Any]


@dataclass(frozen=True)
class Pair:
    """Two steps that happen at the same time, and the state before them."""

    name: str
    prepare: Step
    first: Step
    second: Step
    # No step pauses before this call. Such a pause looks like a call that reaches ECS late, which
    # docs/reliability.md lists under "Not covered".
    in_flight: str = ""


def wake(row_id: str) -> Step:
    """A worker gets a wake-up and reconciles the row."""
    return lambda cloud: cloud.wake(row_id)


def deploy(cloud: Cloud) -> Any:
    return deploy_image(cloud, "c")


def roll_back(cloud: Cloud) -> Any:
    return post(cloud, "rollback", {}, key="k")


def change(cloud: Cloud) -> Any:
    return use_cases.change_config(cloud, LEVEL="info", MORE="1")


def push(cloud: Cloud) -> Any:
    return cloud.push(sha(9), delivery="the-same-delivery", pushed_at=1_795_305_600)


def push_from_another_webhook(cloud: Cloud) -> Any:
    return cloud.push(sha(9), delivery="another-delivery", pushed_at=1_795_305_600)


def two_services_with_different_secrets(cloud: Cloud) -> None:
    use_cases.own_secret(cloud)
    cloud.add_service("other")


def push_for_hello(cloud: Cloud) -> Any:
    return _only_for(
        1, cloud.push(sha(9), delivery="a", pushed_at=1_795_305_600, secret=use_cases.OWN_SECRET)
    )


def push_for_other(cloud: Cloud) -> Any:
    return _only_for(2, cloud.push(sha(9), delivery="b", pushed_at=1_795_305_600))


def _only_for(service: int, answer: Answer) -> Answer:
    assert [each["service_id"] for each in answer.body["builds"]] == [service], answer.text
    return answer


def run_schedule(cloud: Cloud) -> None:
    cloud.pump.tick()


def cancel_job(job_id: str) -> Step:
    return lambda cloud: cancel(cloud, job_id)


def cancel_and_wake(cloud: Cloud) -> Any:
    answer = cancel(cloud, "build-1")
    cloud.wake("build-1")
    return answer


def delete(cloud: Cloud) -> Any:
    return cloud.api.delete(f"/v1/services/{cloud.service_id}")


def see_the_rollout_fail(cloud: Cloud) -> None:
    """Half a minute later another worker rolls out the same definition, and its tasks fail."""
    cloud.advance(30)
    cloud.wake("service-1")
    rollout = ecs.engine().service(CLUSTER, "hello").deployments[0].rollout_state
    if rollout == "IN_PROGRESS":
        ecs.engine().fail(CLUSTER, "hello")
    cloud.wake("service-1")


def can_move(cloud: Cloud) -> None:
    """A service at rest, and another ECS service."""
    use_cases.two_releases(cloud)
    create_ecs_service("moved")
    for _ in range(2):
        cloud.tick()


def move(cloud: Cloud) -> Any:
    return cloud.api.patch(f"/v1/services/{cloud.service_id}", {"ecs_service": "moved"})


def later(prepare: Step) -> Step:
    """A minute after `prepare`, when no call can be in flight any more."""

    def prepared(cloud: Cloud) -> None:
        prepare(cloud)
        cloud.advance(MINUTE)

    return prepared


def of_dependent(action: str, **body: Any) -> Step:
    """A request for the dependent of `use_cases.built_for_dependents` with a rollout."""
    return lambda cloud: cloud.api.post(f"/v1/cicd/services/2/{action}", body)


def change_dependent(**changes: Any) -> Step:
    return lambda cloud: cloud.api.patch("/v1/services/2", changes)


def can_join_a_source_that_moves(cloud: Cloud) -> None:
    """Another service, the ECS service of a new one, and other repositories for the source."""
    use_cases.second_service(cloud)
    use_cases.dependents_ecs_service(cloud)
    create_image_repository("moved")


def move_source(cloud: Cloud) -> Any:
    """Another image repository, which the source cannot have any more once it has dependents."""
    url = "https://github.com/acme/moved.git"
    return cloud.api.patch("/v1/services/1", {"git_url": url, "image_repository": "moved"})


def dependents_and_built(cloud: Cloud) -> None:
    """A build has ended in CodeBuild, and the ECS service of a new service exists."""
    use_cases.dependents_ecs_service(cloud)
    use_cases.built(cloud)


def built_beside_another(cloud: Cloud) -> None:
    """A build has ended in CodeBuild, and another service follows another branch."""
    cloud.add_service("worker", branch="develop")
    use_cases.built(cloud)


def built_and_one_dependent(cloud: Cloud) -> None:
    """A build has ended in CodeBuild, and another service deploys its image."""
    use_cases.dependents_ecs_service(cloud)
    cloud.advance(1)
    use_cases.create_dependent(cloud)
    cloud.advance(1)
    use_cases.built(cloud)


def telling(row_id: str) -> Step:
    """A worker gets a message about a row, and tells channel 1."""

    def step(cloud: Cloud) -> None:
        body = json.dumps({"v": 1, "tell": row_id, "channel": 1})
        cloud.app.handler_map["on_telling"](sqs_event(body), None)

    return step


def try_channel(cloud: Cloud) -> None:
    """A worker gets the message that asks for a test of channel 1."""
    cloud.app.handler_map["on_telling"](sqs_event('{"v": 1, "test": 1}'), None)


def change_channel(**changes: Any) -> Step:
    return lambda cloud: cloud.api.patch("/v1/channels/1", changes)


def delete_channel(cloud: Cloud) -> Any:
    return cloud.api.delete("/v1/channels/1")


def end_the_build(cloud: Cloud) -> None:
    """The build ends, in a commit of another worker."""
    cloud.wake("build-1")


def build_begins_and_ends(cloud: Cloud) -> None:
    """A channel is to be told that a build has begun. Meanwhile it has ended in CodeBuild."""
    use_cases.pushed(cloud)
    cloud.pump.deliver_messages()
    cloud.finish_build(1, settle=False)
    cloud.lose_events()


def release_and_rollback(cloud: Cloud) -> None:
    """Two releases of which GitHub was told, and a rollback to the first one that ends in ECS."""
    use_cases.two_releases(cloud)
    roll_back(cloud)
    cloud.settle()
    ecs.engine().complete(CLUSTER, "hello")
    cloud.lose_events()
    cloud.wake("service-1")


def take_found(cloud: Cloud) -> None:
    """SQS delivers the message about a push that was found. It may deliver it again."""
    queue = sqs_backends["123456789012"]["eu-west-1"].queues[QUEUE]
    message = next(each for each in queue._messages if '"push"' in each.body)
    cloud.app.handler_map["on_wakeup"](sqs_event(message.body), None)


BUILD, SERVICE = wake("build-1"), wake("service-1")

PAIRS = (
    *(
        Pair(f"{name}: two workers", prepare, step, step)
        for name, prepare, step in (
            ("a build is started", use_cases.pushed, BUILD),
            ("a build ends", use_cases.built, BUILD),
            ("a build fails", use_cases.build_failed, BUILD),
            ("a rollout begins", use_cases.to_be_deployed, SERVICE),
            ("a rollout ends", use_cases.rolled_out, SERVICE),
            ("a rollout fails", use_cases.rollout_failed, SERVICE),
            ("a rollback begins", use_cases.rollback_requested, SERVICE),
            ("a cancelled rollout is undone", use_cases.rollout_cancelled, SERVICE),
            (
                "a started build is found after its worker died",
                use_cases.died_after_start_build,
                BUILD,
            ),
            (
                "a build is started after its first worker died",
                use_cases.died_before_start_build,
                BUILD,
            ),
            ("a build leaves CodeBuild's queue", use_cases.left_codebuilds_queue, BUILD),
            ("a build waits for free capacity", use_cases.two_builds_run, wake("build-3")),
            ("others take the capacity", use_cases.others_take_the_capacity, BUILD),
            ("a change outside Slipway is found", use_cases.changed_outside, SERVICE),
            ("a change during a rollout is found", use_cases.chosen_during_a_rollout, SERVICE),
            ("a release without tasks is reported", use_cases.tasks_lost_for_minutes, SERVICE),
            ("a release has recovered", use_cases.unhealthy_and_replaced, SERVICE),
            ("a release command is started", use_cases.command_to_be_started, SERVICE),
            ("a release command succeeds", use_cases.command_succeeded, SERVICE),
            ("a release command fails", use_cases.command_failed, SERVICE),
            (
                "a release command is started after its first worker died",
                later(use_cases.died_before_run_task),
                SERVICE,
            ),
            ("a cancelled release command is stopped", use_cases.command_cancelled, SERVICE),
        )
    ),
    *(
        Pair(f"{name}: a worker and a cancel", prepare, step, cancel_job(job_id))
        for name, prepare, step, job_id in (
            ("a build is started", use_cases.pushed, BUILD, "build-1"),
            ("a build ends", use_cases.built, BUILD, "build-1"),
            ("a rollout begins", use_cases.to_be_deployed, SERVICE, "deploy-1"),
            ("a rollout ends", use_cases.rolled_out, SERVICE, "deploy-1"),
            (
                "a started build is found after its worker died",
                use_cases.died_after_start_build,
                BUILD,
                "build-1",
            ),
            (
                "a build is started after its first worker died",
                use_cases.died_before_start_build,
                BUILD,
                "build-1",
            ),
            (
                "one deployment ends, one waits",
                use_cases.rolled_out_and_one_waits,
                SERVICE,
                "deploy-4",
            ),
            (
                "one deployment fails, one waits",
                use_cases.failed_and_one_waits,
                SERVICE,
                "deploy-4",
            ),
            (
                "a change during a rollout is found",
                use_cases.chosen_during_a_rollout,
                SERVICE,
                "deploy-3",
            ),
            ("a deployment begins", use_cases.command_to_begin, SERVICE, "deploy-2"),
            (
                "a release command is started",
                use_cases.command_to_be_started,
                SERVICE,
                "deploy-2",
            ),
            ("a release command succeeds", use_cases.command_succeeded, SERVICE, "deploy-2"),
            (
                "a release command takes too long",
                use_cases.command_takes_too_long,
                SERVICE,
                "deploy-2",
            ),
        )
    ),
    Pair(
        "a build is started: a worker, and a cancel with its own worker",
        use_cases.pushed,
        BUILD,
        cancel_and_wake,
    ),
    *(
        Pair(f"{name}: a worker and {what}", prepare, SERVICE, request)
        for name, prepare in (
            ("one deployment is active, one waits", use_cases.one_deploys_one_waits),
            ("a rollback begins", use_cases.rollback_requested),
            ("a rollback ends", use_cases.rollback_rolled_out),
            ("a service is at rest", use_cases.two_releases),
            ("one deployment ends, one waits", use_cases.rolled_out_and_one_waits),
            ("one deployment fails, one waits", use_cases.failed_and_one_waits),
            ("a late UpdateService is undone", use_cases.late_call),
            ("a change outside Slipway is found", use_cases.changed_outside),
            ("an earlier release was chosen outside", use_cases.chosen_outside),
            ("a change during a rollout is found", use_cases.chosen_during_a_rollout),
            ("a release without tasks is reported", use_cases.tasks_lost_for_minutes),
            ("a release command is started", use_cases.command_to_be_started),
            ("a release command succeeds", use_cases.command_succeeded),
        )
        for what, request in (("a rollback", roll_back), ("a deployment", deploy))
    ),
    Pair(
        "a late UpdateService is undone: a worker and a deletion",
        use_cases.late_call,
        SERVICE,
        delete,
    ),
    Pair(
        "a cancelled rollout is undone: a worker and a deletion",
        use_cases.rollout_cancelled,
        SERVICE,
        delete,
    ),
    Pair(
        "a rollout begins: a slow worker, and one that sees the rollout fail",
        use_cases.to_be_deployed,
        SERVICE,
        see_the_rollout_fail,
        in_flight="ecs.UpdateService",
    ),
    Pair(
        "a build ends: a worker and a rollback", use_cases.third_built, wake("build-3"), roll_back
    ),
    Pair("a build ends: a worker and a deployment", use_cases.third_built, wake("build-3"), deploy),
    *(
        Pair(f"a build of several services ends: a worker and {what}", prepare, wake(build), step)
        for what, prepare, build, step in (
            (
                "another worker",
                use_cases.built_for_dependents,
                "build-3",
                wake("build-3"),
            ),
            (
                "the end of another rollout",
                use_cases.built_for_dependents,
                "build-3",
                wake("service-2"),
            ),
            (
                "a deployment of one of them",
                use_cases.built_for_dependents,
                "build-3",
                lambda c: c.api.post(
                    "/v1/cicd/services/2/deploy", {"image_tag": c.build(1)["image_tag"]}
                ),
            ),
            (
                "a rollback of one of them",
                use_cases.built_for_dependents,
                "build-3",
                of_dependent("rollback", deployment_id=3),
            ),
            (
                "a switch of auto-deploy",
                built_and_one_dependent,
                "build-1",
                change_dependent(auto_deploy=False),
            ),
            (
                "a deletion of one of them",
                built_and_one_dependent,
                "build-1",
                lambda c: c.api.delete("/v1/services/2"),
            ),
            (
                "a new one",
                dependents_and_built,
                "build-1",
                use_cases.create_dependent,
            ),
            (
                "a service that takes its images",
                built_beside_another,
                "build-1",
                change_dependent(image_from=1),
            ),
        )
    ),
    Pair(
        "a source is deleted: a deletion and a new dependent",
        use_cases.dependents_ecs_service,
        delete,
        use_cases.create_dependent,
    ),
    *(
        Pair(f"a source moves: a change and {what}", can_join_a_source_that_moves, *steps)
        for what, steps in (
            ("a new dependent", (move_source, use_cases.create_dependent)),
            ("a service that takes its images", (move_source, change_dependent(image_from=1))),
        )
    ),
    Pair(
        "a push arrives: a delivery and a service that takes other images",
        use_cases.second_service,
        push,
        change_dependent(image_from=1),
    ),
    Pair(
        "a later push arrives: the workers of both builds",
        use_cases.two_pushes_queued,
        wake("build-1"),
        wake("build-2"),
    ),
    Pair(
        "a later push arrives: its delivery and the worker of the earlier build",
        use_cases.pushed,
        push,
        BUILD,
    ),
    Pair(
        "a later push arrives: the worker of its build and a cancel of the earlier one",
        use_cases.two_pushes_queued,
        wake("build-2"),
        cancel_job("build-1"),
    ),
    Pair(
        "a later push arrives: the worker of the earlier build and a cancel of the later one",
        use_cases.two_pushes_queued,
        wake("build-1"),
        cancel_job("build-2"),
    ),
    Pair(
        "a push finds room by superseding: a delivery and a worker",
        use_cases.superseded_and_full,
        push,
        wake("build-4"),
    ),
    Pair(
        "one place is left: two requests for a build",
        use_cases.one_place_left,
        lambda c: post(c, "build", {}, key="k"),
        lambda c: post(c, "build", {}, key="other"),
    ),
    Pair(
        "two services wait: the workers of both builds",
        use_cases.two_services_wait,
        wake("build-2"),
        wake("build-5"),
    ),
    Pair(
        "a build is retried: two requests with one key",
        use_cases.retried,
        use_cases.retry,
        use_cases.retry,
    ),
    Pair(
        "a build is retried: a retry and a manual deployment",
        use_cases.retried,
        use_cases.retry,
        deploy,
    ),
    Pair("one push: the same delivery twice", use_cases.new_service, push, push),
    Pair(
        "one push: deliveries of two webhooks",
        use_cases.new_service,
        push,
        push_from_another_webhook,
    ),
    Pair(
        "one push: deliveries of two webhooks with different secrets",
        two_services_with_different_secrets,
        push_for_other,
        push_for_hello,
    ),
    Pair("a lost push: two workers", use_cases.push_was_found, take_found, take_found),
    Pair(
        "a lost push: a worker and the delivery",
        use_cases.push_was_found,
        take_found,
        use_cases.deliver_lost_push,
    ),
    Pair(
        "queued builds: two runs of the schedule",
        use_cases.messages_lost,
        run_schedule,
        run_schedule,
    ),
    Pair(
        "a late UpdateService is undone: two runs of the schedule",
        use_cases.late_call,
        run_schedule,
        run_schedule,
    ),
    *(
        Pair(f"{kind} is told: {what}", with_receiver(kind, prepare), telling(row), second)
        for kind in ("github", "webhook")
        for what, prepare, row, second in (
            (
                "two workers with one row",
                use_cases.build_to_be_told,
                "build-1",
                telling("build-1"),
            ),
            (
                "a worker and the end of the build",
                build_begins_and_ends,
                "build-1",
                end_the_build,
            ),
            (
                "two workers with two releases, one of which replaces the other",
                release_and_rollback,
                "deploy-3",
                telling("deploy-2"),
            ),
            (
                "a worker and a change of the channel",
                use_cases.build_to_be_told,
                "build-1",
                change_channel(name="other", branches=["master"]),
            ),
            (
                "a worker and the deletion of the channel",
                use_cases.build_to_be_told,
                "build-1",
                delete_channel,
            ),
            (
                "a worker and a test of the channel",
                use_cases.build_to_be_told,
                "build-1",
                try_channel,
            ),
            (
                "a worker and the schedule",
                use_cases.build_to_be_told,
                "build-1",
                run_schedule,
            ),
        )
    ),
    Pair(
        "a service is told: a worker and the end of what lasts",
        use_cases.with_topic(use_cases.pause_to_be_told),
        telling("service-1"),
        lambda c: c.api.patch("/v1/services/1", {"auto_deploy": True}),
    ),
    *(
        Pair(f"a channel is tested: a worker and {what}", use_cases.receiver_has_failed, *steps)
        for what, steps in (
            ("another one", (try_channel, try_channel)),
            ("a change of it", (try_channel, change_channel(events=["build.failed"]))),
            ("its deletion", (try_channel, delete_channel)),
        )
    ),
    Pair(
        "what was not told is found: two runs of the schedule",
        use_cases.with_topic(use_cases.telling_was_lost),
        run_schedule,
        run_schedule,
    ),
    Pair(
        "two requests for a deployment",
        use_cases.two_releases,
        deploy,
        lambda c: deploy_image(c, "d"),
    ),
    *(
        Pair(f"{name}: a worker and a change of the config", prepare, SERVICE, change)
        for name, prepare in (
            ("a rollout begins", use_cases.to_be_deployed),
            ("a change of the config begins", use_cases.config_requested),
            ("one deployment ends, one waits", use_cases.rolled_out_and_one_waits),
            ("an image fails, a change waits", use_cases.config_waits_and_the_image_fails),
        )
    ),
    *(
        Pair(f"a change of the config and {what}", use_cases.configured, change, request)
        for what, request in (
            ("another one", lambda c: use_cases.change_config(c, OTHER="1")),
            ("a rollback", roll_back),
            ("a deployment", deploy),
        )
    ),
    Pair(
        "two requests for a rollback",
        use_cases.two_releases,
        roll_back,
        lambda c: post(c, "rollback", {}, key="other"),
    ),
    *(
        Pair(f"a service changes its ECS service: a change and {what}", can_move, move, request)
        for what, request in (("a rollback", roll_back), ("a deployment", deploy))
    ),
    Pair(
        "two cancels of one deployment",
        use_cases.one_deploys_one_waits,
        lambda c: cancel(c, "deploy-3"),
        lambda c: cancel(c, "deploy-3"),
    ),
)


def deliver_tellings(cloud: Cloud) -> None:
    cloud.pump.deliver_tellings()


def ask_again(cloud: Cloud) -> None:
    queue.ask_checks("deploy-3", at=int(cloud._now))
    cloud.pump.deliver_tellings()


def newer_build_ends(cloud: Cloud) -> None:
    """A newer push is built meanwhile, and its deployment waits for checks, too."""
    cloud.push(sha(4))
    cloud.pump.deliver_messages()
    cloud.finish_build(4, settle=False)
    cloud.wake("build-4")


PAIRS += tuple(
    Pair(f"{name} and {what}", prepare, first, second)
    for name, prepare, first in (
        ("checks are asked for:", use_cases.question_about_checks, deliver_tellings),
        ("checks have passed: a worker", use_cases.answer_about_checks, SERVICE),
    )
    for what, second in (
        ("another worker", SERVICE),
        ("another question", ask_again),
        ("a newer push", newer_build_ends),
        ("a deployment", deploy),
        ("a rollback", roll_back),
        ("a cancel", cancel_job("deploy-3")),
        ("a change of the config", change),
    )
)


def approve(cloud: Cloud) -> Any:
    return cloud.api.post("/v1/cicd/deployments/2/approve")


def approve_all(cloud: Cloud) -> Any:
    return traffic_cases.approve(cloud, steps="all")


def wake_after_the_time_out(cloud: Cloud) -> None:
    """The time for an approval ends, and a worker sees that ECS takes the rollout back."""
    traffic_cases.pass_time(traffic_cases.WAITED)(cloud)
    cloud.wake("service-1")


def answer_outside(cloud: Cloud) -> None:
    """The owner answers the hook in the console, if it still waits, and a worker looks."""
    record = traffic.newest_record()
    for hook in traffic.hooks_that_wait(record):
        traffic.answer_outside(record, hook)
    cloud.wake("service-1")


def stop_outside(cloud: Cloud) -> None:
    """The owner takes the rollout back in the console, if it goes on, and a worker looks."""
    record = traffic.newest_record()
    if record.status == "IN_PROGRESS":
        traffic.stop_outside(record)
    cloud.wake("service-1")


def switch(**settings: Any) -> Step:
    return lambda cloud: cloud.api.patch("/v1/services/1", settings)


BLUE_GREEN, CANARY = traffic_cases.BLUE_GREEN, traffic_cases.CANARY
AT_THE_HOOK = traffic_cases.waits(CANARY)
APPROVED = traffic_cases.approved(CANARY)
AT_TEN_PERCENT = traffic_cases.moved(CANARY)

PAIRS += (
    *(
        Pair(f"a deployment awaits approval: {what}", AT_THE_HOOK, first, second)
        for what, first, second in (
            ("two approvals", approve, approve),
            ("an approval and one of all steps", approve, approve_all),
            ("an approval and a rejection", approve, traffic_cases.reject),
            ("an approval and a cancel", approve, cancel_job("deploy-2")),
            ("an approval and a rollback", approve, roll_back),
            ("an approval and a deployment", approve, deploy),
            ("an approval and a worker", approve, SERVICE),
            ("an approval and its time-out", approve, wake_after_the_time_out),
            ("an approval and one in the console", approve, answer_outside),
            ("a rejection and a worker", traffic_cases.reject, SERVICE),
            ("a rejection and a rollback", traffic_cases.reject, roll_back),
            ("a rejection and its time-out", traffic_cases.reject, wake_after_the_time_out),
            ("a worker and an approval in the console", SERVICE, answer_outside),
            ("a worker and a switch of the approval", SERVICE, switch(approval=False)),
        )
    ),
    *(
        Pair(f"an approval is given to ECS: a worker and {what}", APPROVED, SERVICE, second)
        for what, second in (
            ("another worker", SERVICE),
            ("a cancel", cancel_job("deploy-2")),
            ("a rejection", traffic_cases.reject),
            ("a rollback", roll_back),
            ("the time-out", wake_after_the_time_out),
            ("an approval in the console", answer_outside),
            ("a stop in the console", stop_outside),
        )
    ),
    *(
        Pair(f"a canary has 10 % of the traffic: a worker and {what}", prepare, SERVICE, second)
        for what, prepare, second in (
            ("a cancel", AT_TEN_PERCENT, cancel_job("deploy-2")),
            ("a rollback", AT_TEN_PERCENT, roll_back),
            ("a stop in the console", AT_TEN_PERCENT, stop_outside),
        )
    ),
    *(
        Pair(f"{name}: two workers", prepare, SERVICE, SERVICE)
        for name, prepare in (
            ("a rollout that needs approval begins", traffic_cases.guarded_to_begin(CANARY)),
            ("a hook is reached", traffic_cases.reached(CANARY)),
            ("the second hook is reached", traffic_cases.second(CANARY)),
            ("nobody has approved in time", traffic_cases.too_late(CANARY)),
            ("a rejected rollout is taken back", traffic_cases.rejected(CANARY)),
            (
                "a rollback takes a canary back",
                traffic_cases.then(AT_TEN_PERCENT, traffic_cases.asked(roll_back)),
            ),
        )
    ),
    *(
        Pair(f"a rollout begins: a worker and {what}", prepare, SERVICE, switch(**settings))
        for what, prepare, settings in (
            (
                "a switch of the approval",
                traffic_cases.guarded_to_begin(CANARY),
                {"approval": False},
            ),
            (
                "an approval that becomes necessary",
                traffic_cases.to_begin(BLUE_GREEN),
                {"approval": True, "approval_minutes": 30, "approve_own": True},
            ),
            (
                "a change of the strategy",
                traffic_cases.guarded_to_begin(CANARY),
                {"strategy": BLUE_GREEN},
            ),
        )
    ),
)


@pytest.mark.sweep
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_two_steps_at_once_end_well_in_any_order(
    pair: Pair,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, Any], None],
) -> None:
    faults = Injector(monkeypatch)
    cloud.handlers_may_fail = True
    pair.prepare(cloud)
    orders = {(pair.first, pair.second), (pair.second, pair.first)}
    swept = [sweep(*order, pair.in_flight, cloud, faults) for order in orders]
    problems = [problem for _, found in swept for problem in found]
    assert not problems, "\n".join(problems)
    calls = sum(calls for calls, _ in swept)
    record_property("interleavings", (calls, 2 * calls))


def sweep(
    first: Step, second: Step, in_flight: str, cloud: Cloud, faults: Injector
) -> tuple[int, list[str]]:
    """Run `second` before and after each call of `first`: the number of calls, and the problems."""
    calls = forked(lambda: _calls(first, cloud, faults))
    assert not calls.trouble, calls.trouble
    problems = []
    for number, name in enumerate(calls.answer):
        for when in ("before", "after"):
            if (when, name) == ("before", in_flight):
                continue
            result = forked(partial(_interleave, first, second, cloud, faults, number, when))
            if result.trouble:
                problems.append(f"{when} call {number}, {name}\n{result.trouble}")
    return len(calls.answer), problems


def _calls(step: Step, cloud: Cloud, faults: Injector) -> list[str]:
    faults.reset()
    step(cloud)
    assert faults.names, "the step makes no call"
    return faults.names


def _interleave(
    first: Step, second: Step, cloud: Cloud, faults: Injector, number: int, when: str
) -> None:
    ledger = Ledger()
    faults.observe, faults.watch = ledger.observe, ledger.watch
    faults.reset()
    answers: list[Any] = []

    def run_second(call: int, _: str) -> None:
        if call == number and not answers:
            answers.append(second(cloud))

    setattr(faults, when, run_second)
    answers.append(first(cloud))
    faults.reset()
    assert len(answers) == 2
    for answer in answers:
        assert answer is None or answer.status < 500, answer.text
    check()
    recover(cloud)
    ledger.raise_first()
    check_settled(set())
