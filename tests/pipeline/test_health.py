"""A release of which tasks die after its success: shown on the service, and in the audit trail."""

from typing import Any

import pytest

from infra.local.aws import ecs
from tests.support.embedded import CLUSTER, MINUTE, Cloud, client, register, run_on_ecs
from tests.support.sdk import Calls, Trouble


def report(running: int, *, failed: int = 0, **details: Any) -> None:
    """So many tasks of the release run now, and so many have failed."""
    primary = ecs.engine().service(CLUSTER, "hello").deployments[0].id
    ecs.engine().report(CLUSTER, "hello", primary, running=running, failed=failed, **details)


def entries(cloud: Cloud) -> list[tuple[str, Any]]:
    """The audit entries on the service's health, oldest first."""
    answer = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}")
    found = [(each["action"], each["details"]) for each in answer.body["items"]]
    return [
        each for each in reversed(found) if each[0] in {"service.unhealthy", "service.recovered"}
    ]


@pytest.fixture
def released(cloud: Cloud) -> Cloud:
    """A release at rest."""
    cloud.release(1)
    for _ in range(2):
        cloud.tick()
    assert cloud.service()["health"] is None
    return cloud


def look(cloud: Cloud, *, minutes: int = 1) -> None:
    for _ in range(minutes):
        cloud.tick()
        cloud.settle()


def test_tasks_that_die_after_the_success_are_shown_with_the_reason_and_reported_once(
    released: Cloud,
) -> None:
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    health = released.service()["health"]
    assert (health["running"], health["desired"]) == (0, 2)
    assert health["why"] == "container app exited with code 1"
    assert entries(released) == []
    look(released, minutes=5)
    ((action, details),) = entries(released)
    assert action == "service.unhealthy"
    assert (details["deployment_id"], details["running"], details["desired"]) == (1, 0, 2)
    assert details["since"] == health["since"]
    assert released.service()["health"]["since"] == health["since"]
    assert released.statuses(1) == ["success"]
    assert released.service()["drift"] is None


def test_a_release_that_runs_again_is_reported_as_recovered(released: Cloud) -> None:
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    look(released, minutes=3)
    report(2)
    look(released, minutes=3)
    assert released.service()["health"] is None
    assert [action for action, _ in entries(released)] == [
        "service.unhealthy",
        "service.recovered",
    ]


def test_a_task_that_ecs_replaces_quickly_is_no_news(released: Cloud) -> None:
    report(1, failed=1, exit_code=1)
    released.wake("service-1")
    assert released.service()["health"]["running"] == 1
    released.advance(30)
    report(2)
    look(released, minutes=4)
    assert released.service()["health"] is None
    assert entries(released) == []


def test_no_new_deployment_is_made_for_a_release_that_is_not_healthy(
    released: Cloud, calls: Calls
) -> None:
    calls.clear()
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    look(released, minutes=5)
    assert "ecs.UpdateService" not in calls.counted
    listed = released.api.get(f"/v1/cicd/services/{released.service_id}/deployments").body
    assert [each["id"] for each in listed["items"]] == [1]


def test_the_next_release_ends_the_report(released: Cloud) -> None:
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    look(released, minutes=3)
    released.release(2)
    assert released.service()["health"] is None
    (_, lost), (action, found) = entries(released)
    assert (lost["deployment_id"], lost["running"], lost["desired"]) == (1, 0, 2)
    assert action == "service.recovered"
    assert (found["deployment_id"], found["running"], found["desired"]) == (2, 2, 2)


def test_a_release_without_tasks_is_no_recovery(released: Cloud) -> None:
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    look(released, minutes=3)
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=0)
    released.release(2)
    assert released.service()["health"] is None
    assert [action for action, _ in entries(released)] == ["service.unhealthy"]


def test_missing_tasks_are_reported_while_aws_does_not_say_why(
    released: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("ecs.ListTasks", "ThrottlingException", times=10_000)
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    look(released, minutes=3)
    assert released.service()["health"]["why"] is None
    assert [action for action, _ in entries(released)] == ["service.unhealthy"]


def test_a_choice_of_another_party_is_no_recovery(released: Cloud) -> None:
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    look(released, minutes=3)
    run_on_ecs(register("theirs", "nginx:1"))
    look(released, minutes=3)
    assert released.service()["drift"] is not None
    assert released.service()["health"] is None
    assert [action for action, _ in entries(released)] == ["service.unhealthy"]


def test_a_deleted_ecs_service_is_no_recovery(released: Cloud) -> None:
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    look(released, minutes=3)
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    look(released, minutes=12)
    assert released.service()["drift"] is not None
    assert [action for action, _ in entries(released)] == ["service.unhealthy"]


def test_a_crash_is_found_without_any_event(released: Cloud) -> None:
    report(0, failed=2, exit_code=1)
    for _ in range(13):
        released.lose_events()
        released.tick()
    assert [action for action, _ in entries(released)] == ["service.unhealthy"]


def test_an_old_crash_is_not_the_reason_of_a_scale_out(released: Cloud) -> None:
    report(1, failed=1, exit_code=1)
    report(2)
    look(released, minutes=40)
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=4)
    released.wake("service-1")
    look(released, minutes=5)
    health = released.service()["health"]
    assert (health["running"], health["desired"], health["why"]) == (2, 4, None)
    assert entries(released) == []


def test_missing_tasks_are_shown_during_a_rollout_that_another_party_forced(
    released: Cloud,
) -> None:
    client("ecs").update_service(cluster=CLUSTER, service="hello", forceNewDeployment=True)
    service = ecs.engine().service(CLUSTER, "hello")
    ecs.engine().report(CLUSTER, "hello", service.deployments[1].id, running=0, failed=2)
    look(released, minutes=4)
    assert released.service()["health"]["running"] == 0
    assert [action for action, _ in entries(released)] == ["service.unhealthy"]


def test_an_event_of_ecs_about_tasks_that_do_not_start_leads_to_a_look(released: Cloud) -> None:
    report(0, failed=2, exit_code=1)
    released.lose_events()
    arn = client("ecs").describe_services(cluster=CLUSTER, services=["hello"])["services"][0][
        "serviceArn"
    ]
    released.hear(
        {
            "version": "0",
            "id": "e",
            "detail-type": "ECS Service Action",
            "source": "aws.ecs",
            "account": "123456789012",
            "time": "2026-01-01T00:00:00Z",
            "region": "eu-west-1",
            "resources": [arn],
            "detail": {"eventType": "WARN", "eventName": "SERVICE_TASK_START_IMPAIRED"},
        }
    )
    assert released.service()["health"]["running"] == 0


def test_an_idle_release_is_looked_at_every_ten_minutes_and_an_unhealthy_one_every_minute(
    released: Cloud, calls: Calls
) -> None:
    calls.clear()
    look(released, minutes=5)
    assert "ecs.DescribeServices" not in calls.counted
    report(0, failed=2, exit_code=1)
    released.wake("service-1")
    calls.clear()
    released.lose_events()
    for _ in range(3):
        released.advance(MINUTE)
        released.pump.tick()
        released.settle()
    assert calls.counted["ecs.DescribeServices"] >= 3
