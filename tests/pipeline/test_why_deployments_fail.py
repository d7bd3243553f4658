"""A failed deployment says why its tasks stopped, with the end of the container's log."""

from typing import Any

import pytest

from tests.support.embedded import CLUSTER, Cloud, client, log_to_cloudwatch
from tests.support.sdk import Trouble

BREAKER = "ECS deployment circuit breaker: tasks failed to start."


def failure(cloud: Cloud, number: int) -> Any:
    deployment = cloud.deployment(number)
    assert deployment["status"] == "failed"
    return deployment["failure"]


def test_a_crashed_container_is_named_with_its_exit_code_and_the_end_of_its_log(
    cloud: Cloud,
) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    cloud.fail_rollout(exit_code=3, log=["starting", "KeyError: 'DATABASE_URL'"])
    found = failure(cloud, 1)
    assert found["phase"] == "roll_out"
    assert found["summary"] == "container app exited with code 3"
    assert found["exit_code"] == 3
    assert found["log_tail"] == ["starting", "KeyError: 'DATABASE_URL'"]
    assert found["next_step"].startswith("Read the end of the container's log")
    assert {(each["container"], each["exit_code"]) for each in found["tasks"]} == {("app", 3)}
    assert all(each["stopped_at"] and each["task"] for each in found["tasks"])
    assert any("failed" in event for event in found["events"])
    assert cloud.deployment(1)["error"] == f"{found['summary']} ({BREAKER})"


def test_an_image_that_cannot_be_pulled_is_the_cause_and_not_the_breaker(cloud: Cloud) -> None:
    cloud.begin_release(1)
    reason = "CannotPullContainerError: failed to resolve ref hello@sha256:1: not found"
    cloud.fail_rollout(reason=reason)
    found = failure(cloud, 1)
    assert found["summary"] == reason
    assert found["exit_code"] is None
    assert found["log_tail"] == []
    assert "Build it again" in found["next_step"]


def test_secrets_and_control_sequences_in_a_containers_log_are_not_shown(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    token = "ghp_" + "a1" * 20
    cloud.fail_rollout(exit_code=1, log=[f"\x1b[31mtoken {token}\x1b[0m"])
    assert failure(cloud, 1)["log_tail"] == ["token ***"]


def test_values_of_variables_in_a_containers_log_are_not_shown(cloud: Cloud) -> None:
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\n-----END KEY-----"
    log_to_cloudwatch(cloud, KEY=key)
    cloud.begin_release(1)
    cloud.fail_rollout(exit_code=1, log=["read MIIEowIBAAKCAQEA", repr(key), *key.splitlines()])
    assert failure(cloud, 1)["log_tail"] == [
        "read ***",
        r"'***\n***\n***'",
        "***",
        "***",
        "***",
    ]


@pytest.mark.parametrize("refused", ["logs.GetLogEvents", "ecs.ListTasks", "ecs.DescribeTasks"])
def test_what_slipway_may_not_read_is_left_out_of_the_failure(
    cloud: Cloud, trouble: Trouble, refused: str
) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    trouble.refuse(refused, "AccessDeniedException: not authorized", times=4)
    cloud.fail_rollout(exit_code=3, log=["starting"])
    found = failure(cloud, 1)
    assert found["log_tail"] == []
    tasks_are_known = refused == "logs.GetLogEvents"
    assert bool(found["tasks"]) is tasks_are_known
    assert (found["exit_code"] == 3) is tasks_are_known


def test_the_longest_lines_of_a_log_do_not_keep_a_failed_rollout_open(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    cloud.fail_rollout(exit_code=3, log=["x" * 250_000] * 3)
    assert {len(line) for line in failure(cloud, 1)["log_tail"]} == {400}


def test_a_log_that_aws_does_not_show_does_not_keep_a_failed_rollout_open(
    cloud: Cloud, trouble: Trouble
) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    trouble.refuse("logs.GetLogEvents", "ThrottlingException", times=100)
    cloud.fail_rollout(exit_code=3, log=["starting"])
    found = failure(cloud, 1)
    assert (found["exit_code"], found["log_tail"]) == (3, [])


def test_tasks_that_aws_does_not_show_keep_a_failed_rollout_open_for_two_minutes_at_most(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.begin_release(1)
    trouble.refuse("ecs.ListTasks", "ThrottlingException", times=1000)
    cloud.fail_rollout(exit_code=3)
    for _ in range(4):
        cloud.tick()
    found = failure(cloud, 1)
    assert found["summary"] == BREAKER or "circuit breaker" in found["summary"]


def test_a_secret_at_the_end_of_a_long_reason_is_hidden(cloud: Cloud) -> None:
    cloud.begin_release(1)
    token = "ghp_" + "a1" * 20
    cloud.fail_rollout(reason=f"CannotPullContainerError: {'x' * 545} {token}")
    deployment = cloud.deployment(1)
    assert "ghp_" not in str(deployment)


def test_a_look_at_the_tasks_that_aws_does_not_answer_is_repeated(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.begin_release(1)
    trouble.refuse("ecs.ListTasks", "ThrottlingException: slow down", times=Trouble.TRIES)
    cloud.fail_rollout(exit_code=3)
    for _ in range(2):
        cloud.tick()
    assert failure(cloud, 1)["exit_code"] == 3


def test_a_standstill_is_explained_by_the_events_of_the_service(cloud: Cloud) -> None:
    client("ecs").update_service(
        cluster=CLUSTER,
        service="hello",
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": False, "rollback": False}},
    )
    cloud.begin_release(1)
    for _ in range(30):
        cloud.tick()
    deployment = cloud.deployment(1)
    assert deployment["status"] == "failed"
    assert "0 of 2 tasks run" in deployment["error"]


def test_a_deployment_that_could_not_begin_fails_in_that_phase(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("ecs.RegisterTaskDefinition", "ClientException: Role is not valid", times=2)
    cloud.begin_release(1)
    found = failure(cloud, 1)
    assert found["phase"] == "begin"
    assert "Role is not valid" in found["summary"]
    assert found["tasks"] == []
