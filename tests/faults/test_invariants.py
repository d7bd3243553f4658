"""Each invariant can fail: the test corrupts the state, and the check reports it."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chalicelib import clock
from chalicelib.domain.approvals import OUTSIDE, Answer, with_answer
from chalicelib.domain.config import Config
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.release_receipts import hash_of
from chalicelib.domain.timing import day_of
from chalicelib.store.jobs import find_build, get_deployment
from chalicelib.store.models import Build, Claim, Deployment, Job, Receipt, RollUp, Service
from chalicelib.store.services import get_service
from chalicelib.store.writes import commit, count
from infra.local.aws import codebuild, ecs
from tests.faults import receivers, traffic_cases, use_cases
from tests.faults.invariants import (
    Ledger,
    Violation,
    check,
    check_noted,
    check_replaced,
    check_settled,
)
from tests.faults.receivers import add_receiver
from tests.faults.traffic import hooks_that_wait, newest_record
from tests.faults.trials import recover
from tests.faults.world import World
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    add_topic,
    client,
    put_image,
    register,
    run_on_ecs,
    sha,
)

Step = Callable[[Cloud], Any]
AT_A_HOOK = traffic_cases.waits(traffic_cases.CANARY)
AT_TEN_PERCENT = traffic_cases.moved(traffic_cases.CANARY)


def service(*actions: Any) -> Step:
    return lambda cloud: get_service(cloud.service_id).update(actions=list(actions))


def build(*actions: Any) -> Step:
    return lambda _: (find_build(1) or Build()).update(actions=list(actions))


def deployment(*actions: Any) -> Step:
    return lambda _: get_deployment(1).update(actions=list(actions))


def start_twice(_: Cloud) -> None:
    client("codebuild").start_build(
        projectName="slipway-builds",
        environmentVariablesOverride=[{"name": "JOB_ID", "value": "build-1"}],
    )


def end_only_the_row(cloud: Cloud) -> None:
    build(Build.status.set("failed"), Job.due.remove())(cloud)
    service(Service.open_builds.remove())(cloud)


def change_receipt(*, seal: bool = False, **changes: Any) -> Step:
    """Change the receipt of deployment 1, and with `seal` its hash, too."""

    def corrupt(_: Cloud) -> None:
        row = receipt_of(1)
        content = {**row.outcome, **changes}
        if seal:
            content["hash"] = hash_of(content)
        row.update(actions=[Receipt.outcome.set(content)])

    return corrupt


def receipt_of(number: int) -> Receipt:
    made = get_deployment(number).receipt
    return Receipt.get(f"release:{number}:{made}")


def delete_receipt(receipt: str) -> Step:
    return lambda _: Receipt.get(receipt).delete()


def delete_receipt_of_release(_: Cloud) -> None:
    receipt_of(1).delete()


def deploying(cloud: Cloud) -> None:
    cloud.begin_release(1)


def by_digest(cloud: Cloud) -> None:
    cloud.deploy(f"hello@{put_image('hello', 'by-hand')}")


def rolling_back(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.release(number)
    cloud.roll_back()
    cloud.settle()


def rolled_back(cloud: Cloud) -> None:
    rolling_back(cloud)
    cloud.finish_rollout()


def forward_again(cloud: Cloud) -> None:
    """A rollback left release 2, and its image is deployed again."""
    rolled_back(cloud)
    cloud.deploy_build(2)
    cloud.settle()
    cloud.finish_rollout()


def failed_rollout(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.advance(MINUTE)
    cloud.fail_rollout()


def forget_definition(cloud: Cloud) -> None:
    claim = Claim.get(f"task-definition:{cloud.definition_on_ecs()}")
    claim.update(actions=[Claim.definition.remove()])


def restore_another_release(_: Cloud) -> None:
    get_deployment(3).update(actions=[Deployment.restores.set(2)])


def building(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()


def superseded(cloud: Cloud) -> None:
    cloud.seconds_before_push = 1
    for number in (1, 2):
        cloud.push(sha(number))
    cloud.settle()


def released(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.tick()


def configured(cloud: Cloud) -> None:
    body = {"environment": {"LEVEL": "debug"}, "cpu": 256, "deploy": False}
    assert cloud.api.patch("/v1/services/1/config", body).status == 200
    released(cloud)


def config_released(cloud: Cloud) -> None:
    released(cloud)
    body = {"environment": {"LEVEL": "debug"}}
    assert cloud.api.patch("/v1/services/1/config", body).status == 202
    cloud.settle()


def released_to_two(cloud: Cloud) -> None:
    """A build was deployed to its service and to a dependent of it."""
    cloud.add_dependent("worker")
    cloud.advance(1)
    cloud.release(1)


def deploy_images_of_itself(cloud: Cloud) -> None:
    row = get_service(cloud.service_id)
    settings = msgspec.structs.replace(row.settings, image_from=row.id)
    row.update(actions=[Service.settings.set(settings), Service.dependents.set({row.id})])


def move_only_the_source(cloud: Cloud) -> None:
    row = get_service(cloud.service_id)
    settings = msgspec.structs.replace(row.settings, image_repository="moved")
    row.update(actions=[Service.settings.set(settings)])


def name_another_deployment(_: Cloud) -> None:
    entry = {"service_id": 2, "deployment_id": 1, "not_deployed": None}
    (find_build(1) or Build()).update(actions=[Build.dependents.set([entry])])


ELSEWHERE = EcsTarget(cluster="main", service="elsewhere", containers=("app",))


def cancelled_rollout(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.api.post("/v1/cicd/jobs/deploy-1/cancel")


def changed_outside(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(MINUTE)
    run_on_ecs(register("hello", "hello:outside"))
    cloud.settle()


def forget_the_choice(cloud: Cloud) -> None:
    service(Service.chosen.remove())(cloud)
    cloud.wake("service-1")


def show_drift_without_an_audit_entry(cloud: Cloud) -> None:
    by_hand = register("hello", "hello:by-hand")
    run_on_ecs(by_hand)
    service(Service.drift.set(CHOSEN.format(by_hand)))(cloud)


CHOSEN = "ECS runs {}, which was chosen outside Slipway"


def show_drift_for_own_definition(cloud: Cloud) -> None:
    service(Service.drift.set(CHOSEN.format(cloud.definition_on_ecs())))(cloud)


def roll_out_again_after_failure(cloud: Cloud) -> None:
    definition = cloud.definition_on_ecs()
    ecs.engine().fail(CLUSTER, "hello")
    run_on_ecs(definition)


def run_command_of(deployment: str) -> Step:
    """Another task of deployment 2's definition runs, for the command of a deployment."""

    def corrupt(cloud: Cloud) -> None:
        client("ecs").run_task(
            cluster=CLUSTER,
            taskDefinition=cloud.deployment(2)["task_definition"],
            startedBy=f"slipway/slipway-{deployment}",
        )
        launcher = ecs.engine().launcher
        launcher.begin(launcher.started[-1])

    return corrupt


def roll_out_before_its_command(cloud: Cloud) -> None:
    run_on_ecs(cloud.deployment(2)["task_definition"])


def forget_the_exit_code(_: Cloud) -> None:
    row = get_deployment(2)
    assert row.release_command is not None
    failed = msgspec.structs.replace(row.release_command, exit_code=1)
    row.update(actions=[Deployment.release_command.set(failed)])


@pytest.mark.parametrize(
    ("prepare", "corrupt", "message"),
    [
        (
            use_cases.command_runs,
            run_command_of("deploy-2"),
            "command ran twice for .*deploy-2",
        ),
        (use_cases.command_runs, run_command_of("deploy-9"), "2 release commands run at once"),
        (
            use_cases.command_runs,
            roll_out_before_its_command,
            "deploy-2 was rolled out without its release command",
        ),
        (
            use_cases.command_was_run,
            forget_the_exit_code,
            "deploy-2 was rolled out with exit code 1",
        ),
        (deploying, service(Service.active.remove()), "is open, and neither active nor waiting"),
        (
            released,
            service(Service.active.set(1)),
            "the active deployment 1 of service-1 has ended",
        ),
        (released, service(Service.waiting.set(1)), "waiting deployment 1 and no active one"),
        (deploying, service(Service.due.remove()), "has an active deployment and is not due"),
        (deploying, service(Service.due_at.set(2**33)), "has an open deployment and is due at"),
        (
            deploying,
            service(Service.current.set(1)),
            "current release 1 of service-1 is not a success",
        ),
        (building, service(Service.open_builds.remove()), "build-1 is open and not in open_builds"),
        (
            released,
            service(Service.open_builds.set({1})),
            "build 1 is in open_builds and is not open",
        ),
        (building, build(Job.due.remove()), "build-1 is open and not due"),
        (building, build(Job.progress.set(100)), "build-1 is building at 100 %"),
        (building, start_twice, "build-1 was started 2 times"),
        (
            building,
            build(Build.status.set("failed"), Job.due.remove()),
            "in open_builds and is not open",
        ),
        (superseded, start_twice, "build-1 is superseded and was started in CodeBuild"),
        (
            superseded,
            build(Build.pushed_at.set(2_000_000_000)),
            "build 2 does not supersede build 1",
        ),
        (
            superseded,
            build(Build.git_ref.set("other")),
            "build 2 does not supersede build 1",
        ),
        (building, end_only_the_row, "build-1 has ended, and CodeBuild still runs it"),
        (deploying, roll_out_again_after_failure, "failed and was rolled out again"),
        (released, deployment(Deployment.image_digest.set("x")), "no build of its service made"),
        (by_digest, deployment(Deployment.image_digest.set("x")), "deployment 1 is not in ECR"),
        (
            cancelled_rollout,
            deployment(Deployment.status.set("superseded")),
            "deployment 1 was superseded during its rollout without a change",
        ),
        (changed_outside, forget_the_choice, "the audit trail has .* twice"),
        (released, deployment(Deployment.task_definition.set("hello:1")), "does not run .*/hello@"),
        (released, forget_definition, "definition of deployment 1 is not kept as registered"),
        (rolling_back, restore_another_release, "3 does not restore the definition of its release"),
        (
            rolling_back,
            deployment(Deployment.target.set(ELSEWHERE)),
            "deployment 3 has another target than its release",
        ),
        (
            config_released,
            service(Service.config.set(Config(environment={"LEVEL": "info"}))),
            "deployment 2 has begun without the newest change of the config",
        ),
        (
            configured,
            deployment(Deployment.config.set(Config(environment={"LEVEL": "info"}, cpu=256))),
            "deployment 1 has another config than its row",
        ),
        (
            configured,
            deployment(Deployment.config.set(Config(cpu=256))),
            "deployment 1 has another config than its row",
        ),
        (
            configured,
            deployment(Deployment.config.set(Config(environment={"LEVEL": "debug"}, cpu=512))),
            "deployment 1 has another cpu than its row",
        ),
        (released, delete_receipt_of_release, "deployment 1 is a success without a receipt"),
        (released, change_receipt(desired_tasks=3), "the receipt of 1 was changed"),
        (released, change_receipt(desired_tasks=3, seal=True), "1 does not name all its tasks"),
        (released, change_receipt(tasks=[], desired_tasks=0, seal=True), "the chain .* is broken"),
        (released, service(Service.receipt.remove()), "the chain of service 1 has 0 of 1"),
        (
            released_to_two,
            service(Service.dependents.remove()),
            r"service 2 is listed by set\(\), not by \{1\}",
        ),
        (
            building,
            deploy_images_of_itself,
            "service 1 has image_from and open builds",
        ),
        (
            released_to_two,
            move_only_the_source,
            "service 2 has another image_repository than its source 1",
        ),
        (released_to_two, build(Build.dependents.remove()), "build 1 does not name service 2"),
        (
            released_to_two,
            name_another_deployment,
            "build 1 has neither a deployment nor a reason for service 2",
        ),
        (
            released,
            build(Build.deployment_id.remove(), Build.not_deployed.set("auto_deploy is off")),
            "build 1 does not name deployment 1",
        ),
        (released, deployment(Deployment.author.remove()), "1 has another author than its build"),
        (released, service(Service.last_build.remove()), "last_build of service 1 is None"),
        (
            released,
            service(Service.last_deployment.remove()),
            "last_deployment of service 1 is None",
        ),
        (
            deploying,
            deployment(Deployment.target.set(ELSEWHERE)),
            "deploy-1 is open and goes to .*, which is not the service's target",
        ),
    ],
)
def test_a_corrupted_state_is_reported_at_any_moment(
    cloud: Cloud, prepare: Step, corrupt: Step, message: str
) -> None:
    prepare(cloud)
    check()
    corrupt(cloud)
    with pytest.raises(Violation, match=message):
        check()


@pytest.mark.parametrize(
    ("prepare", "corrupt", "message"),
    [
        (building, lambda _: None, "build-1 is still building"),
        (released, lambda _: run_on_ecs("hello:1"), "should run .*:2 and runs .*:1"),
        (released, service(Service.due.remove()), "service-1 is not watched"),
        (released, service(Service.due_at.set(0)), "service-1 is not watched"),
        (released, service(Service.called_at.set(1)), "service-1 is not watched"),
        (released, service(Service.drift.set("unknown")), "'unknown', which gives no reason"),
        (
            released,
            service(Service.drift.set(CHOSEN.format("hello:1"))),
            "chosen outside Slipway' and does not",
        ),
        (
            released,
            show_drift_for_own_definition,
            "which names the wrong deployment",
        ),
        (released, show_drift_without_an_audit_entry, "without an audit entry"),
        (
            released,
            delete_receipt("delivery:all:delivery-0"),
            "not name build 1 for the audience all",
        ),
        (
            released,
            delete_receipt("delivery:service-1:delivery-0"),
            "build 1 for the audience service-1",
        ),
        (
            released,
            delete_receipt("delivery:project-1:delivery-0"),
            "build 1 for the audience project-1",
        ),
    ],
)
def test_a_wrong_end_is_reported(cloud: Cloud, prepare: Step, corrupt: Step, message: str) -> None:
    prepare(cloud)
    corrupt(cloud)
    with pytest.raises(Violation, match=message):
        check_settled(set())


def roll_out_without_the_hook(cloud: Cloud) -> None:
    client("ecs").update_service(
        cluster=CLUSTER,
        service="hello",
        taskDefinition=cloud.deployment(2)["task_definition"],
        deploymentConfiguration=traffic_cases.OWNERS,
        forceNewDeployment=True,
    )


def go_on_without_an_approval(_: Cloud) -> None:
    record = newest_record()
    (hook,) = hooks_that_wait(record)
    arn = record.service_deployment_arn
    client("ecs").continue_service_deployment(serviceDeploymentArn=arn, hookId=hook.hook_id)


def give_traffic(percent: float) -> Step:
    """ECS gives the new revision so much traffic."""

    def corrupt(_: Cloud) -> None:
        newest_record().target.production = percent

    return corrupt


def invent_an_approval(_: Cloud) -> None:
    row = get_deployment(2)
    made = Answer(action="approve", hook_id="ecs-pause-x", number=1, by=OUTSIDE, at=1)
    row.update(actions=[Deployment.approvals.set(with_answer(None, made))])


@pytest.mark.parametrize(
    ("prepare", "corrupt", "message"),
    [
        (AT_A_HOOK, roll_out_without_the_hook, "deploy-2 was rolled out without its hook"),
        (AT_A_HOOK, go_on_without_an_approval, "of deploy-2, which nobody has approved"),
        (AT_A_HOOK, give_traffic(10.0), r"gets 10.0 % of the traffic, and 0.0 % were approved"),
        (AT_TEN_PERCENT, give_traffic(11.0), r"gets 11.0 % .*, and 10.0 % were approved"),
        (AT_A_HOOK, invent_an_approval, "an approval from outside that nobody has given"),
    ],
)
def test_traffic_that_nobody_has_approved_is_a_violation(
    cloud: Cloud, prepare: Step, corrupt: Step, message: str
) -> None:
    prepare(cloud)
    check()
    ledger = Ledger()
    corrupt(cloud)
    with pytest.raises(Violation, match=message):
        check()
    ledger.watch()
    with pytest.raises(Violation, match=message):
        ledger.raise_first()


@pytest.mark.parametrize("forget", [Deployment.awaiting.remove(), Deployment.status.set("failed")])
def test_a_hook_that_no_row_names_is_a_violation(cloud: Cloud, forget: Any) -> None:
    AT_A_HOOK(cloud)
    get_deployment(2).update(actions=[forget])
    check_noted()
    cloud.advance(3 * MINUTE)
    with pytest.raises(Violation, match=r"ECS waits at ecs-pause-.*, and deploy-2 does not say so"):
        check_noted()


def test_a_rollout_that_goes_on_after_the_end_of_its_deployment_is_a_violation(
    cloud: Cloud,
) -> None:
    traffic_cases.rejected(traffic_cases.CANARY)(cloud)
    with pytest.raises(Violation, match=r"still IN_PROGRESS, at hooks .'ecs-pause-"):
        check_settled(set())


def test_traffic_of_an_earlier_revision_is_a_violation(cloud: Cloud) -> None:
    traffic_cases.at_last(traffic_cases.CANARY)(cloud)
    recover(cloud)
    check_settled(set())
    give_traffic(90.0)(cloud)
    with pytest.raises(Violation, match=r"revisions of hello get \[90.0\] % of the traffic"):
        check_settled(set())


def test_a_command_that_is_left_behind_is_a_violation(cloud: Cloud) -> None:
    use_cases.command_was_run(cloud)
    for _ in range(3):
        cloud.tick()
    check_settled(set())
    service(Service.command.set(2))(cloud)
    with pytest.raises(Violation, match="service 1 still waits for a command"):
        check_settled(set())
    service(Service.command.remove())(cloud)
    other = register("other", "other:1")
    client("ecs").run_task(cluster=CLUSTER, taskDefinition=other, startedBy="deploy-9")
    with pytest.raises(Violation, match="still run"):
        check_settled(set())


def test_a_cancelled_rollout_that_ecs_still_runs_is_a_violation(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.api.post("/v1/cicd/jobs/deploy-2/cancel")
    check_replaced()
    cloud.advance(MINUTE)
    with pytest.raises(Violation, match="deploy-2 is cancelled and ECS still runs it"):
        check_replaced()
    cloud.settle()
    check_replaced()


def test_an_undone_change_outside_is_a_violation(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(cloud, monkeypatch)
    for number in (1, 2):
        cloud.release(number)
    cloud.advance(MINUTE)
    released = cloud.definition_on_ecs()
    world.change_outside(0)
    world.check_changes()
    run_on_ecs(released)
    with pytest.raises(Violation, match=r"chosen outside Slipway, and .*:3 was rolled out since"):
        world.check_changes()


def test_a_rollback_by_ecs_that_is_taken_for_a_change_outside_is_a_violation(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(cloud, monkeypatch)
    world.check_changes()
    changed_outside(cloud)
    with pytest.raises(Violation, match="are no changes outside Slipway"):
        world.check_changes()


def test_a_change_of_the_config_that_is_lost_is_a_violation(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(cloud, monkeypatch)
    world.change_config(1)
    world.check_configs()
    service(Service.config.set(Config()))(cloud)
    with pytest.raises(Violation, match=r"the config has lost \['V1'\]"):
        world.check_configs()


def test_a_config_that_a_rollback_without_success_leaves_is_a_violation(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(cloud, monkeypatch)
    cloud.release(1)
    world.change_config(1)
    cloud.settle()
    cloud.finish_rollout()
    number = cloud.roll_back().body["deployment_id"]
    world.check_configs()
    assert cloud.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel").status < 300
    world.check_configs()
    service(Service.config.set(Config()))(cloud)
    with pytest.raises(Violation, match=r"the config has lost \['V1'\]"):
        world.check_configs()


@pytest.mark.parametrize(
    ("scope", "part", "counts"),
    [
        ("project-1", "#1", {"builds_success": 1}),
        ("project-1", "", {"deployments_failed": 1}),
        ("all-1", "", {"lead_30": 1}),
        ("all-2", "", {"builds_success": 1}),
        ("project-1", "#1", {"build_seconds": -1}),
    ],
    ids=["twice", "an end that was not", "a time that was not", "another shard", "a second less"],
)
def test_roll_ups_that_differ_from_a_recount_are_a_violation(
    cloud: Cloud, scope: str, part: str, counts: dict[str, int]
) -> None:
    released(cloud)
    check()
    commit(count(RollUp(scope, day_of(clock.now()) + part), counts))
    with pytest.raises(Violation, match=rf"roll-ups differ from a recount.*{scope}"):
        check()


def test_a_roll_up_that_is_gone_is_a_violation(cloud: Cloud) -> None:
    released(cloud)
    RollUp.get("project-1", f"{day_of(clock.now())}#1").delete()
    with pytest.raises(Violation, match=r"roll-ups differ from a recount.*service-1"):
        check()


@pytest.mark.parametrize(
    ("prepare", "corrupt", "message"),
    [
        (released, deployment(Deployment.lead_seconds.remove()), "deployment 1 has no lead"),
        (released, deployment(Deployment.restore_seconds.set(5)), "deployment 1 restored in 5"),
        (
            forward_again,
            lambda _: get_deployment(4).update(actions=[Deployment.lead_seconds.set(5)]),
            "deployment 4 has no lead None",
        ),
        (
            failed_rollout,
            service(Service.failed_deployment.remove(), Service.failing_since.remove()),
            "failed_deployment of service 1 is None",
        ),
        (
            released,
            service(Service.failing_since.set(5)),
            "service 1 waits for a success and has not failed",
        ),
        (released, deployment(Deployment.pushed_at.set(5)), "deployment 1 has another push"),
        (
            rolled_back,
            lambda _: get_deployment(3).update(actions=[Deployment.restore_seconds.remove()]),
            "deployment 3 restored in None",
        ),
    ],
)
def test_a_wrong_time_of_a_success_is_a_violation(
    cloud: Cloud, prepare: Step, corrupt: Step, message: str
) -> None:
    prepare(cloud)
    check()
    corrupt(cloud)
    with pytest.raises(Violation, match=message):
        check()


def test_an_accepted_job_without_a_row_is_a_violation(cloud: Cloud) -> None:
    released(cloud)
    check_settled({"build-1"})
    with pytest.raises(Violation, match=r"accepted jobs without a row.*build-9"):
        check_settled({"build-1", "build-9"})


def test_a_push_that_is_built_twice_is_a_violation(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.push(sha(number))
        cloud.settle()
        cloud.end_build(number, "FAILED")
    check_settled(set())
    (find_build(2) or Build()).update(actions=[Build.commit_sha.set(sha(1))])
    with pytest.raises(Violation, match="builds 1 and 2 are of one push"):
        check_settled(set())


@pytest.mark.parametrize(
    ("prepare", "corrupt", "message"),
    [
        (building, build(Job.status.set("queued")), "build-1 went from building to queued"),
        (released, build(Job.status.set("failed")), "build-1 went from success to failed"),
        (released, build(Job.error.set("x")), r"build-1 had ended as success, and \['error'"),
        (building, build(Job.progress.set(0)), "progress of build-1 fell"),
        (released, deployment(Deployment.image.set("x")), "had ended|image of deploy-1 changed"),
        (released, lambda _: get_deployment(1).delete(), "the row of deploy-1 is gone"),
    ],
)
def test_a_forbidden_change_of_a_row_is_reported(
    cloud: Cloud, prepare: Step, corrupt: Step, message: str
) -> None:
    prepare(cloud)
    ledger = Ledger()
    ledger.raise_first()
    corrupt(cloud)
    ledger.observe()
    with pytest.raises(Violation, match=message):
        ledger.raise_first()


def test_a_rolled_back_release_is_no_violation(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    ledger = Ledger()
    cloud.roll_back()
    cloud.settle()
    ledger.observe()
    cloud.finish_rollout()
    ledger.observe()
    ledger.raise_first()
    assert cloud.statuses(2) == ["rolled_back"]
    assert codebuild.engine().drain_events() == []


def told(kind: str) -> Step:
    """Two releases, of which a receiver was told."""

    def prepare(cloud: Cloud) -> None:
        add_receiver(cloud, kind)
        cloud.release(1)
        cloud.release(2)
        cloud.tick()
        cloud.settle()

    return prepare


def set_last(name: str, state: str) -> Step:
    """What was set last at GitHub is another state."""
    return lambda _: receivers.current.statuses[name].append(state)


def create_deployment_twice(_: Cloud) -> None:
    deployments = receivers.current.deployments
    deployments.append({**deployments[0], "id": 3})


def send_again(status: str, message_id: str | None = None) -> Step:
    """The webhook gets the last message again, with another status."""

    def send(_: Cloud) -> None:
        last_id, body = receivers.current.messages[-1]
        changed = {**body, "data": {**body["data"], "status": status}}
        receivers.current.messages.append((message_id or last_id, changed))

    return send


@pytest.mark.parametrize(
    ("kind", "corrupt", "message"),
    [
        ("github", create_deployment_twice, "deploy-1 is there twice"),
        ("github", set_last("1", "success"), "deploy-1 is inactive, and success was set last"),
        ("github", set_last("2", "inactive"), "deploy-2 is success, and inactive was set last"),
        (
            "github",
            set_last(f"{sha(1)} slipway/shop/hello", "pending"),
            "is success, and pending was set last",
        ),
        ("webhook", send_again("deploying", "x"), "deploy-2 is success, and deploying was told"),
        ("webhook", send_again("deploying", "x"), "deploy-2 went back"),
        ("webhook", send_again("failed"), "says two things"),
        ("webhook", build(Job.telling.set("x")), "build-1 is still to be told"),
    ],
)
def test_a_receiver_that_knows_something_wrong_is_a_violation(
    cloud: Cloud, kind: str, corrupt: Step, message: str
) -> None:
    told(kind)(cloud)
    check_settled(set())
    corrupt(cloud)
    with pytest.raises(Violation, match=message):
        check_settled(set())


def test_a_topic_that_was_told_something_wrong_is_a_violation(cloud: Cloud) -> None:
    add_topic(cloud)
    released(cloud)
    ledger = Ledger()
    topic = client("sns").list_topics()["Topics"][0]["TopicArn"]
    data = {"data": {"job_id": "build-1", "status": "cancelled"}}
    message = json.dumps({"default": json.dumps(data)})
    client("sns").publish(TopicArn=topic, Message=message)
    with pytest.raises(Violation, match="build-1 is success, and cancelled was told last"):
        check_settled(set())
    with pytest.raises(Violation, match="build-1 was told to be cancelled, and never was"):
        ledger.raise_first()
