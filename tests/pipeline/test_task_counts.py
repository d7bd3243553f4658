"""How many tasks of a service run: seen by the loop, shown without a call of ECS."""

from typing import Any

import pytest

from infra.local.aws import ecs
from tests.support.embedded import (
    CLUSTER,
    Cloud,
    client,
    create_ecs_service,
    register,
    run_on_ecs,
)
from tests.support.sdk import Calls


def report(running: int, *, failed: int = 0) -> None:
    """So many tasks of the newest rollout run now."""
    primary = ecs.engine().service(CLUSTER, "hello").deployments[0].id
    ecs.engine().report(CLUSTER, "hello", primary, running=running, failed=failed)


def shown(cloud: Cloud) -> Any:
    """The running and the desired tasks, the same in the service and in the list."""
    tasks = cloud.service()["tasks"]
    (listed,) = cloud.api.get("/v1/services").body["items"]
    assert listed["tasks"] == tasks
    return tasks and (tasks["running"], tasks["desired"])


@pytest.fixture
def released(cloud: Cloud) -> Cloud:
    """A release at rest."""
    cloud.release(1)
    for _ in range(2):
        cloud.tick()
    return cloud


def test_tasks_are_unknown_until_the_first_deployment(cloud: Cloud) -> None:
    cloud.tick()
    assert shown(cloud) is None


def test_tasks_of_both_releases_count_during_a_rollout(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.wake("service-1")
    assert shown(cloud) == (2, 2)
    report(1)
    cloud.wake("service-1")
    assert shown(cloud) == (3, 2)
    cloud.finish_rollout()
    assert (cloud.statuses(1), shown(cloud)) == (["success"], (2, 2))


def test_the_end_of_a_rollout_shows_its_tasks(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.finish_rollout()
    assert shown(cloud) == (2, 2)


def test_tasks_of_a_release_are_counted_whether_or_not_some_are_missing(released: Cloud) -> None:
    assert (shown(released), released.service()["health"]) == ((2, 2), None)
    report(1, failed=1)
    released.wake("service-1")
    assert shown(released) == (1, 2)
    assert released.service()["health"]["running"] == 1
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=1)
    released.wake("service-1")
    assert shown(released) == (1, 1)


def test_tasks_are_counted_whatever_ecs_runs(released: Cloud) -> None:
    run_on_ecs(register("theirs", "nginx:1"))
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=3)
    report(2)
    released.advance(600)
    released.wake("service-1")
    assert released.service()["drift"] is not None
    assert shown(released)[1] == 3


def test_a_look_that_finds_the_same_numbers_writes_nothing(released: Cloud, calls: Calls) -> None:
    seen_at = released.service()["tasks"]["seen_at"]
    released.advance(60)
    calls.clear()
    for _ in range(3):
        released.wake("service-1")
    assert calls.counted["ecs.DescribeServices"] == 3
    assert "dynamodb.TransactWriteItems" not in calls.counted
    report(1, failed=1)
    released.wake("service-1")
    assert released.service()["tasks"]["seen_at"] > seen_at


def test_a_deleted_ecs_service_has_no_tasks(released: Cloud) -> None:
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    released.wake("service-1")
    assert shown(released) is None


def test_after_a_move_to_another_ecs_service_nothing_is_known_of_its_tasks(released: Cloud) -> None:
    report(1, failed=1)
    released.wake("service-1")
    create_ecs_service("elsewhere")
    released.advance(600)
    released.change_service(ecs_service="elsewhere")
    assert (shown(released), released.service()["health"]) == (None, None)
