"""The release command: it runs once, in the new revision, before anything is rolled out."""

from typing import Any

import pytest

from chalicelib.aws import ecs as aws_ecs
from infra.local.aws import ecs
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    client,
    log_to_cloudwatch,
    put_image,
    register,
    run_on_ecs,
)
from tests.support.sdk import Calls, Killed, Trouble

COMMAND = ["python", "manage.py", "migrate"]
RUNS = "the release command runs"


@pytest.fixture
def released(cloud: Cloud) -> Cloud:
    """Deployment 1 runs. From now on deployments have a release command."""
    cloud.release(1)
    for _ in range(2):
        cloud.tick()
    cloud.change_service(release_command=COMMAND)
    return cloud


def begin(cloud: Cloud, name: str = "new", *, events: bool = True) -> int:
    """Deploy an image until its release command was asked for; return the deployment's number."""
    answer = cloud.deploy(f"hello@{put_image('hello', name)}")
    assert answer.status == 202, answer.text
    if events:
        cloud.settle()
    else:
        while cloud.pump.deliver_messages():
            pass
        cloud.lose_events()
    return int(answer.body["deployment_id"])


def start(cloud: Cloud) -> None:
    """ECS starts the newest task of RunTask."""
    launcher = ecs.engine().launcher
    launcher.begin(launcher.started[-1])
    cloud.settle()


def started() -> list[Any]:
    return ecs.engine().launcher.started


def shown(cloud: Cloud, number: int) -> Any:
    return cloud.deployment(number)["release_command"]


def audited(cloud: Cloud) -> list[tuple[str, Any]]:
    found = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}&limit=100").body["items"]
    return [
        (each["action"].removeprefix("deployment."), each["details"].get("exit_code"))
        for each in reversed(found)
        if "release_command" in each["action"]
    ]


def test_a_release_is_rolled_out_after_its_command_has_succeeded(released: Cloud) -> None:
    number, rollouts = begin(released), released.rollouts()
    (task,) = started()
    deployment = released.deployment(number)
    assert deployment["status"] == "deploying"
    assert deployment["started_at"] is None
    assert deployment["error"] == "the release command is started"
    assert shown(released, number)["task"] == task.task_arn
    start(released)
    assert released.deployment(number)["error"] == RUNS
    assert released.rollouts() == rollouts
    released.end_command()
    assert released.rollouts() == rollouts + 1
    command = shown(released, number)
    assert command["exit_code"] == 0
    assert command["finished_at"] is not None
    assert released.deployment(number)["error"] is None
    released.finish_rollout()
    assert released.statuses(number) == ["success"]
    assert released.service()["current_deployment_id"] == number
    assert len(started()) == 1
    assert audited(released) == [("release_command_ended", 0)]


def test_the_end_of_the_command_is_shown_before_the_rollout_begins(
    released: Cloud, trouble: Trouble
) -> None:
    number, rollouts = begin(released), released.rollouts()
    start(released)
    released.end_command(settle=False)
    released.lose_events()
    trouble.kill_after("dynamodb.TransactWriteItems")
    with pytest.raises(Killed):
        released.wake(f"service-{released.service_id}")
    deployment = released.deployment(number)
    assert (deployment["step"], deployment["started_at"]) == ("rollout begins", None)
    assert deployment["release_command"]["exit_code"] == 0
    assert released.rollouts() == rollouts
    released.advance(2 * 60 * MINUTE)  # ECS does not show the task any more
    released.wake(f"service-{released.service_id}")
    assert released.rollouts() == rollouts + 1
    released.finish_rollout()
    assert released.statuses(number) == ["success"]
    assert audited(released) == [("release_command_ended", 0)]
    assert len(started()) == 1


def test_the_task_runs_the_new_revision_where_the_tasks_of_the_service_run(
    cloud: Cloud, calls: Calls
) -> None:
    number = begin_in_a_network(cloud)
    (request,) = calls.to("ecs.RunTask")
    arn = cloud.deployment(number)["task_definition"]
    assert cloud.definition_on_ecs() != arn
    assert request.pop("clientToken")
    assert request == {
        "cluster": CLUSTER,
        "taskDefinition": arn,
        "count": 1,
        "startedBy": f"slipway/slipway-deploy-{number}",
        "tags": [{"key": "StartedBySlipway", "value": f"slipway/slipway-deploy-{number}"}],
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "propagateTags": "TASK_DEFINITION",
        "networkConfiguration": NETWORK,
        "overrides": {"containerOverrides": [{"name": "app", "command": COMMAND}]},
    }


NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "DISABLED"}}


def begin_in_a_network(cloud: Cloud) -> int:
    """Deploy to an ECS service on Fargate, until the release command was asked for."""
    definition = client("ecs").register_task_definition(
        family="hello",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        executionRoleArn="arn:aws:iam::123456789012:role/hello",
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "app", "image": "hello:before"}],
    )
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    client("ecs").create_service(
        cluster=CLUSTER,
        serviceName="hello",
        taskDefinition=definition["taskDefinition"]["taskDefinitionArn"],
        desiredCount=1,
        launchType="FARGATE",
        platformVersion="1.4.0",
        networkConfiguration=NETWORK,
        propagateTags="TASK_DEFINITION",
    )
    cloud.finish_rollout()
    cloud.change_service(release_command=COMMAND)
    return begin(cloud)


def test_tags_of_the_ecs_service_do_not_stop_the_command(cloud: Cloud) -> None:
    """RunTask refuses `propagateTags` SERVICE (RunTask in the ECS API reference)."""
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    client("ecs").create_service(
        cluster=CLUSTER,
        serviceName="hello",
        taskDefinition=register("hello", "hello:before"),
        desiredCount=1,
        propagateTags="SERVICE",
    )
    cloud.finish_rollout()
    cloud.change_service(release_command=COMMAND)
    begin(cloud)
    assert len(started()) == 1


def test_a_failed_command_ends_the_deployment_and_changes_nothing_on_ecs(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.release(1)
    cloud.change_service(release_command=COMMAND)
    runs, rollouts = cloud.definition_on_ecs(), cloud.rollouts()
    number = begin(cloud)
    cloud.end_command(3, log=["Applying 0042", "relation exists"])
    deployment = cloud.deployment(number)
    assert deployment["status"] == "failed"
    assert deployment["error"] == "the release command exited with code 3"
    failure = deployment["failure"]
    assert failure["phase"] == "release_command"
    assert failure["exit_code"] == 3
    assert failure["log_tail"] == ["Applying 0042", "relation exists"]
    assert "log" in failure["next_step"]
    assert failure["tasks"][0]["task"] == started()[0].task_arn
    command = deployment["release_command"]
    assert command["exit_code"] == 3
    assert command["log"]["group"] == "/ecs/hello"
    assert command["log"]["stream"] == f"web/app/{started()[0].id}"
    for _ in range(3):
        cloud.tick()
    assert (cloud.definition_on_ecs(), cloud.rollouts()) == (runs, rollouts)
    assert cloud.service()["drift"] is None
    assert audited(cloud) == [("release_command_ended", 3)]


def test_the_end_of_the_log_of_a_successful_command_is_kept(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.change_service(release_command=COMMAND)
    number = begin(cloud)
    cloud.end_command(0, log=[f"line {each}" for each in range(30)])
    assert shown(cloud, number)["log_tail"] == [f"line {each}" for each in range(10, 30)]


@pytest.mark.parametrize("exit_code", [0, 1])
def test_values_of_variables_are_hidden_in_the_end_of_the_log(cloud: Cloud, exit_code: int) -> None:
    log_to_cloudwatch(cloud, PASSWORD="of-the-owner")
    cloud.release(1)
    config = {"environment": {"DB_URL": "postgres://db/horse", "SHORT": "verbose"}, "deploy": False}
    cloud.api.patch(f"/v1/services/{cloud.service_id}/config", config)
    cloud.change_service(release_command=["env"])
    number = begin(cloud)
    log = ["PASSWORD=of-the-owner", "DB_URL=postgres://db/horse", "SHORT=verbose"]
    cloud.end_command(exit_code, log=log)
    hidden = ["PASSWORD=***", "DB_URL=***", "SHORT=verbose"]
    assert shown(cloud, number)["log_tail"] == hidden
    if exit_code:
        assert cloud.deployment(number)["failure"]["log_tail"] == hidden
    assert "horse" not in cloud.api.get(f"/v1/cicd/deployments/{number}").text


def test_a_task_that_does_not_start_ends_the_deployment(released: Cloud) -> None:
    number = begin(released)
    ecs.engine().launcher.fail(started()[0], "CannotPullContainerError: pull access denied")
    released.settle()
    failure = released.deployment(number)["failure"]
    assert failure["phase"] == "release_command"
    assert "did not start: CannotPullContainerError" in failure["summary"]
    assert "execution role" in failure["next_step"]


def test_a_task_that_ecs_cannot_place_ends_the_deployment(released: Cloud) -> None:
    ecs.engine().launcher.refusal = "RESOURCE:MEMORY"
    number, rollouts = begin(released), released.rollouts()
    deployment = released.deployment(number)
    assert deployment["status"] == "failed"
    assert "RESOURCE:MEMORY" in deployment["error"]
    assert deployment["failure"]["phase"] == "release_command"
    assert "no room" in deployment["failure"]["next_step"]
    ecs.engine().launcher.refusal = ""
    begin(released, "newer")
    assert len(started()) == 1
    assert released.rollouts() == rollouts


def test_a_refused_run_task_ends_the_deployment(released: Cloud, trouble: Trouble) -> None:
    trouble.refuse("ecs.RunTask", "AccessDeniedException")
    number = begin(released)
    assert released.statuses(number) == ["failed"]
    assert released.deployment(number)["failure"]["phase"] == "release_command"
    assert started() == []
    released.change_service(release_command=None)
    begin(released, "newer")
    released.finish_rollout()
    assert released.preview()["findings"] == []


def test_a_command_that_takes_too_long_is_stopped(released: Cloud) -> None:
    released.change_service(release_command_minutes=5)
    number, rollouts = begin(released), released.rollouts()
    start(released)
    released.advance(5 * MINUTE)
    released.tick()
    (task,) = started()
    assert task.desired_status == "STOPPED"
    assert released.statuses(number) == ["deploying"]
    # A program may answer the signal with exit code 0.
    ecs.engine().launcher.end(task, 0)
    released.settle()
    deployment = released.deployment(number)
    assert deployment["status"] == "failed"
    assert "did not end within 5 minutes (release_command_minutes)" in deployment["error"]
    assert "release_command_minutes" in deployment["failure"]["next_step"]
    assert released.rollouts() == rollouts


def test_a_command_that_ends_well_after_its_time_was_up_is_rolled_out(released: Cloud) -> None:
    number = begin(released)
    start(released)
    released.advance(20 * MINUTE)
    released.end_command(settle=False)
    released.tick()
    released.finish_rollout()
    assert released.statuses(number) == ["success"]


def test_deploy_minutes_begin_with_the_rollout(released: Cloud) -> None:
    released.change_service(deploy_minutes=1, release_command_minutes=60)
    number = begin(released)
    start(released)
    for _ in range(10):
        released.tick()
    released.end_command()
    assert released.statuses(number) == ["deploying"]
    released.finish_rollout()
    assert released.statuses(number) == ["success"]


def test_a_task_that_ecs_never_starts_is_stopped(released: Cloud) -> None:
    number = begin(released)
    released.advance(20 * MINUTE)
    released.tick()
    released.settle()
    deployment = released.deployment(number)
    assert deployment["status"] == "failed"
    assert "did not start within 15 minutes" in deployment["error"]
    assert released.preview(1)["code"] == "already_running"


def test_a_command_that_somebody_stops_is_no_success(released: Cloud) -> None:
    number = begin(released)
    start(released)
    client("ecs").stop_task(cluster=CLUSTER, task=started()[0].task_arn, reason="by Ada")
    ecs.engine().launcher.end(started()[0], 0)
    released.settle()
    deployment = released.deployment(number)
    assert deployment["status"] == "failed"
    assert "by Ada" in deployment["error"]


def test_a_container_that_is_not_essential_ends_the_command(released: Cloud) -> None:
    """The other containers of its task are stopped, and do not delay the rollout."""
    number = begin(released)
    start(released)
    (task,) = started()
    ecs.engine().launcher.exit_container(task, 0)
    released.settle()
    assert released.deployment(number)["started_at"] is not None
    released.tick()
    assert task.desired_status == "STOPPED"
    ecs.engine().launcher.kill(task)
    released.finish_rollout()
    assert released.statuses(number) == ["success"]


def test_without_any_event_the_schedule_finds_the_end(released: Cloud) -> None:
    number = begin(released)
    released.end_command(settle=False)
    released.lose_events()
    released.tick()
    assert shown(released, number)["exit_code"] == 0


# Answers that are lost, and processes that die.


def test_a_lost_answer_to_run_task_starts_no_second_task(released: Cloud, trouble: Trouble) -> None:
    trouble.lose_answers("ecs.RunTask")
    number = begin(released, events=False)
    assert shown(released, number)["task"] is None
    released.tick()
    assert shown(released, number)["task"] == started()[0].task_arn
    released.end_command()
    released.finish_rollout()
    assert released.statuses(number) == ["success"]
    assert len(started()) == 1


def test_the_event_of_a_task_finds_it_after_a_lost_answer(
    released: Cloud, trouble: Trouble
) -> None:
    trouble.lose_answers("ecs.RunTask")
    number = begin(released)
    assert shown(released, number)["task"] == started()[0].task_arn


def test_a_task_that_ended_before_anybody_looked_is_found(
    released: Cloud, trouble: Trouble
) -> None:
    trouble.lose_answers("ecs.RunTask")
    number = begin(released, events=False)
    released.end_command(1, settle=False)
    released.lose_events()
    released.advance(40 * MINUTE)
    released.tick()
    assert released.deployment(number)["failure"]["exit_code"] == 1


def test_a_call_that_never_reached_ecs_is_repeated(released: Cloud, trouble: Trouble) -> None:
    die_before_run_task(released, trouble)
    assert started() == []
    released.tick()
    assert len(started()) == 1


def die_before_run_task(cloud: Cloud, trouble: Trouble) -> None:
    """The process dies after it recorded the call, before RunTask."""
    cloud.handlers_may_fail = True
    trouble.kill_before("ecs.RunTask")
    cloud.deploy(f"hello@{put_image('hello', 'new')}")
    with pytest.raises(Killed):
        cloud.settle()
    cloud.lose_messages()


def test_a_repeated_call_gets_the_first_task_while_ecs_does_not_list_it(
    released: Cloud, trouble: Trouble
) -> None:
    """ECS may show a task late, so only the client token prevents a second one."""
    ecs.engine().launcher.lag = 90
    trouble.lose_answers("ecs.RunTask")
    number = begin(released, events=False)
    released.tick()
    released.tick()
    assert len(started()) == 1
    assert shown(released, number)["task"] == started()[0].task_arn


def test_a_task_is_found_though_the_ecs_service_has_another_network_now(
    cloud: Cloud, trouble: Trouble
) -> None:
    """The repeated request differs, and ECS refuses its token: ConflictException."""
    trouble.lose_answers("ecs.RunTask")
    ecs.engine().launcher.lag = 90
    number = begin_in_a_network(cloud)
    network = {"awsvpcConfiguration": {"subnets": ["subnet-2"]}}
    found = ecs.engine()._services[CLUSTER, "hello"]
    found.network_configuration = network
    for _ in range(3):
        cloud.tick()
    assert len(started()) == 1
    assert shown(cloud, number)["task"] == started()[0].task_arn


def test_a_command_is_not_run_twice_after_its_token_may_have_expired(
    released: Cloud, trouble: Trouble
) -> None:
    trouble.lose_answers("ecs.RunTask")
    released.change_service(release_command_minutes=120)
    number = begin(released, events=False)
    released.end_command(settle=False)
    released.lose_events()
    released.advance(61 * MINUTE)
    for _ in range(4):
        released.tick()
    deployment = released.deployment(number)
    assert deployment["status"] == "failed"
    assert "it is not known whether the command ran" in deployment["error"]
    assert deployment["failure"]["phase"] == "release_command"
    assert len(started()) == 1
    assert begin(released, "newer") > number


def test_a_task_that_ecs_does_not_show_any_more_fails_the_deployment(released: Cloud) -> None:
    released.change_service(release_command_minutes=120)
    number = begin(released)
    released.end_command(settle=False)
    released.lose_events()
    released.advance(61 * MINUTE)
    for _ in range(4):
        released.tick()
    deployment = released.deployment(number)
    assert deployment["status"] == "failed"
    assert "its exit code is not known" in deployment["error"]


def test_a_new_task_may_be_unknown_for_a_while(released: Cloud) -> None:
    ecs.engine().launcher.lag = 90
    number = begin(released)
    released.tick()
    assert released.statuses(number) == ["deploying"]
    released.tick()
    released.end_command()
    assert shown(released, number)["exit_code"] == 0


def test_a_command_waits_while_ecs_does_not_answer_or_denies(
    released: Cloud, trouble: Trouble
) -> None:
    number = begin(released)
    start(released)
    trouble.refuse("ecs.DescribeTasks", "AccessDeniedException")
    released.tick()
    assert released.statuses(number) == ["deploying"]
    assert "DescribeTasks" in released.deployment(number)["error"]
    trouble.end()
    released.end_command()
    assert shown(released, number)["exit_code"] == 0


# What else ends a deployment while its command runs.


def test_a_cancelled_deployment_leaves_no_running_command(released: Cloud) -> None:
    number, rollouts = begin(released), released.rollouts()
    start(released)
    assert released.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel").status == 202
    released.settle()
    (task,) = started()
    assert released.statuses(number) == ["cancelled"]
    assert task.desired_status == "STOPPED"
    ecs.engine().launcher.kill(task)
    released.settle()
    released.tick()
    assert released.rollouts() == rollouts
    assert audited(released) == [("release_command_stopped", 137)]


def test_a_command_of_a_cancelled_deployment_is_stopped_after_a_lost_answer(
    released: Cloud, trouble: Trouble
) -> None:
    trouble.lose_answers("ecs.RunTask")
    ecs.engine().launcher.lag = 60
    number = begin(released, events=False)
    released.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    released.settle()
    released.tick()
    released.tick()
    assert started()[0].desired_status == "STOPPED"


def test_a_stop_that_is_denied_is_tried_again(released: Cloud, trouble: Trouble) -> None:
    number = begin(released)
    start(released)
    trouble.refuse("ecs.StopTask", "AccessDeniedException")
    released.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    released.settle()
    trouble.end()
    released.tick()
    assert started()[0].desired_status == "STOPPED"


def test_the_next_command_waits_until_the_cancelled_one_has_stopped(released: Cloud) -> None:
    number = begin(released)
    start(released)
    released.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    released.settle()
    next_number = begin(released, "newer")
    assert len(started()) == 1
    waits = released.deployment(next_number)
    assert f"deployment {number} is being stopped" in waits["error"]
    assert waits["waiting_for"] == f"the end of the release command of deployment {number}"
    assert waits["step"] == "waits for the start of its release command"
    ecs.engine().launcher.kill(started()[0])
    released.settle()
    released.tick()
    assert len(started()) == 2


def test_a_rollback_ends_the_command_and_does_not_run_one(released: Cloud) -> None:
    number = begin(released)
    start(released)
    answer = released.roll_back()
    assert answer.status == 202, answer.text
    released.settle()
    (task,) = started()
    assert task.desired_status == "STOPPED"
    released.finish_rollout()
    assert released.statuses(number, number + 1) == ["rolled_back", "success"]
    assert shown(released, number + 1) is None


def test_a_change_outside_ends_the_command(released: Cloud) -> None:
    number = begin(released)
    start(released)
    released.advance(MINUTE)
    run_on_ecs(register("hello", "hello:outside"))
    released.settle()
    released.tick()
    assert released.statuses(number) == ["superseded"]
    assert started()[0].desired_status == "STOPPED"
    assert released.image_on_ecs() == "hello:outside"


def test_a_change_outside_ends_the_command_of_a_first_release(cloud: Cloud) -> None:
    """The registered definition is not made from the one that was chosen."""
    cloud.change_service(release_command=COMMAND)
    number = begin(cloud)
    start(cloud)
    cloud.advance(MINUTE)
    run_on_ecs(register("hello", "hello:outside"))
    cloud.settle()
    cloud.tick()
    assert cloud.statuses(number) == ["superseded"]
    cloud.end_command()
    for _ in range(2):
        cloud.tick()
    assert cloud.image_on_ecs() == "hello:outside"


def test_a_change_outside_also_ends_what_waits_behind_the_command_of_a_first_release(
    cloud: Cloud,
) -> None:
    cloud.change_service(release_command=COMMAND)
    first = begin(cloud)
    start(cloud)
    waiting = begin(cloud, "newer")
    cloud.advance(MINUTE)
    run_on_ecs(register("hello", "hello:outside"))
    cloud.settle()
    cloud.tick()
    assert cloud.statuses(first, waiting) == ["superseded", "superseded"]
    cloud.end_command()
    for _ in range(2):
        cloud.tick()
    assert cloud.image_on_ecs() == "hello:outside"
    assert len(started()) == 1
    assert "chosen outside Slipway" in cloud.service()["drift"]


def test_a_deployment_over_a_choice_outside_leaves_it_when_its_command_fails(
    released: Cloud,
) -> None:
    chosen = register("hello", "hello:outside")
    run_on_ecs(chosen)
    for _ in range(2):
        released.tick()
    released.advance(MINUTE)
    number = begin(released)
    released.end_command(1)
    for _ in range(3):
        released.tick()
    assert released.statuses(number) == ["failed"]
    assert released.definition_on_ecs() == chosen
    assert "chosen outside Slipway" in released.service()["drift"]


def test_a_failed_rollout_is_undone_before_the_next_command_runs(released: Cloud) -> None:
    """The command may take long, and the release before must not wait for it."""
    release = released.definition_on_ecs()
    released.change_service(release_command=None, deploy_minutes=5)
    failed = begin(released, "bad")
    waiting = begin(released, "new")
    released.change_service(release_command=COMMAND)
    released.advance(6 * MINUTE)
    released.tick()
    released.settle()
    assert released.statuses(failed, waiting) == ["failed", "deploying"]
    assert released.definition_on_ecs() == release
    assert len(started()) == 1
    released.end_command()
    released.finish_rollout()
    assert released.statuses(waiting) == ["success"]


def test_a_refusal_to_undo_a_rollout_does_not_stop_the_command(
    released: Cloud, trouble: Trouble
) -> None:
    released.change_service(release_command=None, deploy_minutes=5)
    begin(released, "bad")
    waiting = begin(released, "new")
    released.change_service(release_command=COMMAND)
    trouble.refuse("ecs.UpdateService", "ClientException")
    released.advance(6 * MINUTE)
    released.tick()
    released.settle()
    assert len(started()) == 1
    released.end_command()
    released.finish_rollout()
    assert released.statuses(waiting) == ["success"]


def test_the_command_of_a_deleted_service_is_stopped(cloud: Cloud) -> None:
    cloud.change_service(release_command=COMMAND)
    number = begin(cloud)
    start(cloud)
    cloud.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    assert cloud.api.delete(f"/v1/services/{cloud.service_id}").status == 204
    cloud.lose_messages()
    cloud.tick()
    assert started()[0].desired_status == "STOPPED"


def test_a_deployment_keeps_the_command_that_it_began_with(released: Cloud) -> None:
    number = begin(released)
    released.change_service(release_command=None)
    released.end_command()
    assert shown(released, number)["command"] == COMMAND
    released.finish_rollout()
    later = begin(released, "later")
    assert shown(released, later) is None


def test_a_first_release_with_a_failed_command_leaves_the_ecs_service(cloud: Cloud) -> None:
    cloud.change_service(release_command=COMMAND)
    number = begin(cloud)
    cloud.end_command(1)
    for _ in range(3):
        cloud.tick()
    assert cloud.statuses(number) == ["failed"]
    assert cloud.image_on_ecs() == "hello:before"
    assert cloud.rollouts() == 0


# Rollbacks and plans.


def test_a_rollback_over_a_command_says_that_its_changes_stay(released: Cloud) -> None:
    number = begin(released)
    released.end_command()
    released.finish_rollout()
    (warning,) = released.preview()["findings"]
    assert warning["code"] == "release_command_stays"
    assert warning["severity"] == "warning"
    assert f"deployment {number} ran a release command" in warning["message"]
    answer = released.roll_back()
    released.settle()
    rollback = released.deployment(answer.body["deployment_id"])
    assert rollback["findings"] == [warning]
    assert rollback["release_command"] is None
    assert len(started()) == 1
    released.finish_rollout()
    assert released.statuses(rollback["id"]) == ["success"]


def test_a_rollback_that_crosses_no_command_has_no_warning(released: Cloud) -> None:
    begin(released)
    released.end_command()
    released.finish_rollout()
    released.change_service(release_command=None)
    begin(released, "newer")
    released.finish_rollout()
    assert released.preview()["findings"] == []


def test_a_failed_command_is_crossed_too(released: Cloud) -> None:
    """It may have changed a part."""
    released.release(2)
    number = begin(released)
    released.end_command(1)
    (warning,) = released.preview(1)["findings"]
    assert f"{number}" in warning["message"]


def test_a_plan_names_the_command(released: Cloud) -> None:
    image = f"hello@{put_image('hello', 'new')}"
    assert released.plan(image)["release_command"] == COMMAND
    released.change_service(release_command=None)
    assert released.plan(image)["release_command"] is None


def test_a_restored_release_runs_no_command(released: Cloud) -> None:
    begin(released)
    released.end_command()
    released.fail_rollout()
    released.finish_rollout()
    for _ in range(3):
        released.tick()
    assert len(started()) == 1


def leave_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer of DescribeTasks has none of the tasks."""
    describe, left_out = aws_ecs._describe_tasks, iter([True])

    def partly(cluster: str, arns: Any) -> Any:
        return [] if next(left_out, False) else describe(cluster, arns)

    monkeypatch.setattr(aws_ecs, "_describe_tasks", partly)


def test_one_answer_without_the_task_ends_no_command_and_starts_no_second_one(
    released: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = begin(released)
    start(released)
    for _ in range(4):
        released.tick()
    leave_out_once(monkeypatch)
    for _ in range(3):
        released.tick()
    assert released.statuses(number) == ["deploying"]
    released.end_command()
    assert shown(released, number)["exit_code"] == 0
    assert len(started()) == 1


def test_a_leftover_that_one_answer_leaves_out_is_still_stopped(
    released: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = begin(released)
    start(released)
    for _ in range(4):
        released.tick()
    leave_out_once(monkeypatch)
    released.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    released.settle()
    begin(released, "next")
    for _ in range(2):
        released.tick()
    running = [each for each in started() if each.desired_status == "RUNNING"]
    assert len(running) <= 1


def test_a_task_that_cannot_be_stopped_holds_the_next_command_and_is_named(
    released: Cloud, trouble: Trouble
) -> None:
    number = begin(released)
    start(released)
    trouble.refuse("ecs.StopTask", "AccessDeniedException", "you may not", times=10_000)
    released.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    released.settle()
    newer = begin(released, "next")
    for _ in range(3):
        released.tick()
    error = released.deployment(newer)["error"]
    assert error.startswith(f"the release command of deployment {number} cannot be stopped: ")
    assert "you may not" in error
    assert f"Stop the task {started()[0].task_arn} in ECS" in error
    for _ in range(100):
        released.tick()
    begin(released, "another")
    for _ in range(3):
        released.tick()
    assert len(started()) == 1


def test_the_wait_for_an_earlier_command_is_longer_than_a_short_limit(released: Cloud) -> None:
    released.change_service(release_command_minutes=1)
    number = begin(released)
    start(released)
    released.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    released.settle()
    newer = begin(released, "next")
    released.advance(70)
    released.tick()
    assert released.statuses(newer) == ["deploying"]


def test_a_command_that_an_essential_sidecar_may_have_cut_off_is_no_success(
    released: Cloud,
) -> None:
    number, rollouts = begin(released), released.rollouts()
    start(released)
    ecs.engine().launcher.end(started()[-1], 1, container="sidecar")
    released.settle()
    assert released.statuses(number) == ["failed"]
    assert "the essential container sidecar failed beside" in released.deployment(number)["error"]
    assert released.rollouts() == rollouts


def test_a_choice_during_slow_looks_at_the_command_stays(
    released: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = begin(released)
    start(released)
    released.advance(MINUTE)
    theirs = register("hello", "hello:theirs")
    find = aws_ecs.find_task

    def slowly(cluster: str, arn: str) -> Any:
        found = find(cluster, arn)
        if found is not None and found.stopped_at is not None:
            run_on_ecs(theirs)
            released.advance(13)
        return found

    monkeypatch.setattr(aws_ecs, "find_task", slowly)
    released.end_command()
    monkeypatch.setattr(aws_ecs, "find_task", find)
    for _ in range(3):
        released.tick()
    assert released.definition_on_ecs() == theirs
    assert released.statuses(number) == ["superseded"]
