"""Each service has one active deployment: which ones wait for it, and which ones replace it."""

import pytest

from chalicelib.pipeline.commands import deployments
from chalicelib.store.claims import next_number
from infra.local.aws import ecs
from tests.faults.injector import Injector
from tests.faults.rows import rows
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    REGISTRY,
    Cloud,
    client,
    create_image_repository,
    put_image,
    sha,
)


def request_deployment(cloud: Cloud, tag: str) -> int:
    """Request the deployment of a new image; return the deployment's number."""
    answer = cloud.deploy(f"hello@{put_image('hello', tag)}")
    assert answer.status == 202, answer.text
    return int(answer.body["deployment_id"])


def deploy_image(cloud: Cloud, tag: str) -> int:
    """Deploy a new image with success; return the deployment's number."""
    number = request_deployment(cloud, tag)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(number) == ["success"]
    return number


def image_of_deployment(cloud: Cloud, number: int) -> str:
    return f"{REGISTRY}/hello@{cloud.deployment(number)['image_digest']}"


def test_one_deployment_is_active_one_waits_and_a_newer_one_replaces_the_waiting_one(
    cloud: Cloud,
) -> None:
    first, second = request_deployment(cloud, "a"), request_deployment(cloud, "b")
    cloud.settle()
    assert cloud.statuses(first, second) == ["deploying", "queued"]
    assert cloud.service()["waiting_deployment_id"] == second
    third = request_deployment(cloud, "c")
    cloud.settle()
    assert cloud.statuses(first, second, third) == ["deploying", "superseded", "queued"]
    assert cloud.deployment(second)["error"] == f"superseded by deployment {third}"
    assert cloud.job(f"deploy-{second}")["status"] == "cancelled"
    cloud.finish_rollout()
    assert cloud.statuses(first, third) == ["success", "deploying"]
    assert cloud.image_on_ecs() == image_of_deployment(cloud, third)
    cloud.finish_rollout()
    assert cloud.statuses(third) == ["success"]
    assert cloud.deployment(third)["replaced"] == first
    assert cloud.rollouts() == 2


def test_the_waiting_deployment_begins_when_the_active_one_fails(cloud: Cloud) -> None:
    first, second = request_deployment(cloud, "a"), request_deployment(cloud, "b")
    cloud.settle()
    cloud.fail_rollout()
    assert cloud.statuses(first, second) == ["failed", "deploying"]
    assert cloud.image_on_ecs() == image_of_deployment(cloud, second)


def test_a_rollback_ends_the_active_and_the_waiting_deployment(cloud: Cloud) -> None:
    good = deploy_image(cloud, "a")
    bad, waiting = request_deployment(cloud, "b"), request_deployment(cloud, "c")
    cloud.settle()
    assert cloud.preview()["target"]["id"] == good
    answer = cloud.roll_back()
    assert answer.status == 202
    back = answer.body["deployment_id"]
    assert cloud.statuses(bad, waiting) == ["rolled_back", "superseded"]
    assert cloud.job(f"deploy-{bad}")["status"] == "cancelled"
    assert cloud.deployment(bad)["progress"] < 100

    again = cloud.roll_back()
    assert (again.status, again.body["code"]) == (409, "rollback_in_progress")
    assert cloud.preview()["possible"] is False

    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(good, bad, waiting, back) == [
        "success",
        "rolled_back",
        "superseded",
        "success",
    ]
    assert cloud.image_on_ecs() == image_of_deployment(cloud, good)
    assert cloud.service()["current_deployment_id"] == back


def test_a_rollback_without_an_earlier_release_is_refused(cloud: Cloud) -> None:
    first = request_deployment(cloud, "a")
    answer = cloud.roll_back()
    assert (answer.status, answer.body["code"]) == (409, "nothing_to_roll_back")
    assert cloud.statuses(first) == ["queued"]


def test_a_rollback_may_name_any_earlier_successful_release(cloud: Cloud) -> None:
    oldest = deploy_image(cloud, "a")
    deploy_image(cloud, "b")
    failed = request_deployment(cloud, "bad")
    cloud.settle()
    cloud.fail_rollout()
    cloud.finish_rollout()
    running = deploy_image(cloud, "c")
    refusals = {
        failed: (409, "not_deployable"),
        running: (409, "already_running"),
        999: (404, "not_found"),
    }
    for number, refusal in refusals.items():
        answer = cloud.roll_back(deployment_id=number)
        assert (answer.status, answer.body["code"]) == refusal
    assert cloud.roll_back(deployment_id=oldest).status == 202
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.image_on_ecs() == image_of_deployment(cloud, oldest)
    assert cloud.statuses(running) == ["rolled_back"]


def test_a_rollback_to_the_release_of_another_service_is_a_404(cloud: Cloud) -> None:
    deploy_image(cloud, "a")
    first_service = cloud.service_id
    cloud.service_id = cloud.add_service("other")
    other = cloud.deploy(f"other@{put_image('other', 'x')}").body["deployment_id"]
    cloud.settle()
    cloud.finish_rollout("other")
    cloud.service_id = first_service
    answer = cloud.roll_back(deployment_id=other)
    assert (answer.status, answer.body["code"]) == (404, "not_found")


def test_a_rollout_that_never_ends_fails_at_its_deadline_and_ecs_goes_back(cloud: Cloud) -> None:
    good = deploy_image(cloud, "a")
    stuck = request_deployment(cloud, "b")
    cloud.settle()
    for _ in range(22):
        cloud.tick()
    failed = cloud.deployment(stuck)
    assert failed["status"] == "failed"
    assert failed["error"].startswith(
        "0 of 2 tasks run, and no other has started for 20 minutes (deploy_minutes): "
    )
    assert cloud.service()["active_deployment_id"] is None
    cloud.settle()
    assert cloud.image_on_ecs() == image_of_deployment(cloud, good)
    cloud.finish_rollout()
    assert cloud.service()["current_deployment_id"] == good


@pytest.mark.parametrize("breaker", [True, False], ids=["breaker", "deadline"])
def test_the_owners_task_definition_comes_back_after_a_failed_first_deployment(
    cloud: Cloud, breaker: bool
) -> None:
    before = cloud.definition_on_ecs()
    first = request_deployment(cloud, "a")
    cloud.settle()
    if breaker:
        cloud.fail_rollout()
    else:
        for _ in range(22):
            cloud.tick()
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(first) == ["failed"]
    assert cloud.definition_on_ecs() == before
    assert cloud.service()["current_deployment_id"] is None
    assert cloud.service()["drift"] is None


def test_a_rollout_that_is_healthy_before_its_deadline_succeeds_when_read_later(
    cloud: Cloud,
) -> None:
    number = request_deployment(cloud, "a")
    cloud.settle()
    cloud.advance(20 * MINUTE - 30)
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    cloud.tick()
    assert cloud.statuses(number) == ["success"]


def test_a_slow_rollout_goes_on_as_long_as_tasks_become_healthy(cloud: Cloud) -> None:
    number = begin_rollout(cloud, deploy_minutes=10, tasks=10)
    for healthy in range(1, 10):
        run_tasks(healthy)
        for _ in range(3):
            cloud.tick()
    assert cloud.statuses(number) == ["deploying"]
    run_tasks(10)
    cloud.settle()
    assert cloud.statuses(number) == ["success"]


def test_a_rollout_that_stands_still_fails_and_says_how_far_it_came(cloud: Cloud) -> None:
    number = begin_rollout(cloud, deploy_minutes=5, tasks=10)
    run_tasks(6)
    for _ in range(7):
        cloud.tick()
    assert cloud.deployment(number)["error"].startswith("6 of 10 tasks run, and no other")


def test_a_rollout_has_a_longest_time_also_if_it_moves(cloud: Cloud) -> None:
    number = begin_rollout(cloud, deploy_minutes=1, tasks=50)
    for healthy in range(1, 9):
        run_tasks(healthy)
        cloud.tick()
    failed = cloud.deployment(number)
    assert failed["status"] == "failed"
    assert failed["error"].startswith("not done after 6 minutes (6 times deploy_minutes): ")


def begin_rollout(cloud: Cloud, *, deploy_minutes: int, tasks: int) -> int:
    """Begin a rollout of so many tasks; return the number of its deployment."""
    cloud.change_service(deploy_minutes=deploy_minutes)
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=tasks)
    number = request_deployment(cloud, "a")
    cloud.settle()
    return number


def run_tasks(healthy: int) -> None:
    """So many tasks of the newest rollout are healthy."""
    primary = ecs.engine().service(CLUSTER, "hello").deployments[0]
    ecs.engine().report(CLUSTER, "hello", primary.id, running=healthy)


def test_the_deadline_of_a_deployment_counts_from_when_it_becomes_active(cloud: Cloud) -> None:
    stuck, waiting = request_deployment(cloud, "a"), request_deployment(cloud, "b")
    cloud.settle()
    for _ in range(25):
        cloud.tick()
        cloud.settle()
    assert cloud.statuses(stuck, waiting) == ["failed", "deploying"]
    assert cloud.image_on_ecs() == image_of_deployment(cloud, waiting)
    cloud.finish_rollout()
    assert cloud.statuses(waiting) == ["success"]


def test_progress_grows_with_the_number_of_running_tasks(cloud: Cloud) -> None:
    number = request_deployment(cloud, "a")
    seen = [cloud.deployment(number)["progress"]]
    cloud.settle()
    seen.append(cloud.deployment(number)["progress"])
    newest = ecs.engine().service(CLUSTER, "hello").deployments[0].id
    ecs.engine().report(CLUSTER, "hello", newest, running=1)
    cloud.tick()
    seen.append(cloud.deployment(number)["progress"])
    cloud.finish_rollout()
    seen.append(cloud.deployment(number)["progress"])
    assert seen == sorted(set(seen))
    assert (seen[0], seen[-1]) == (0, 100)


def test_a_pushed_image_waits_for_the_active_deployment(cloud: Cloud) -> None:
    by_hand = request_deployment(cloud, "a")
    cloud.advance(1)
    cloud.begin_release(1)
    by_push = cloud.build(1)["deployment_id"]
    assert cloud.statuses(by_hand, by_push) == ["deploying", "queued"]
    cloud.finish_rollout()
    cloud.finish_rollout()
    assert cloud.statuses(by_hand, by_push) == ["success", "success"]


def test_an_earlier_push_does_not_replace_a_manual_deployment(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.push(sha(3))
    cloud.settle()
    by_hand = cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    cloud.finish_build(3)
    assert cloud.build(3)["not_deployed"] == "a manual deployment or rollback came after this push"
    assert cloud.service()["current_deployment_id"] == by_hand
    cloud.advance(1)
    cloud.release(4)
    assert cloud.image_on_ecs().endswith(cloud.build(4)["image_digest"])


def test_an_earlier_push_does_not_replace_a_waiting_manual_deployment(
    cloud: Cloud,
) -> None:
    cloud.release(1)
    cloud.deploy_build(1)
    cloud.settle()
    cloud.push(sha(2))
    cloud.settle()
    answer = cloud.deploy(f"hello@{put_image('hello', 'hotfix')}")
    assert answer.status == 202
    cloud.finish_build(2)
    cloud.finish_rollout()
    cloud.finish_rollout()
    assert cloud.service()["current_deployment_id"] == answer.body["deployment_id"]


@pytest.mark.parametrize("writes", [1, 2])
def test_a_delayed_worker_begins_its_step_again_instead_of_calling(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """It is delayed after it has written that the service is called, or also the begin."""
    cloud.release(1)
    cloud.push(sha(2))
    cloud.settle()
    cloud.finish_build(2, settle=False)
    cloud.pump.deliver_events()
    cloud.lose_messages()
    written: list[str] = []

    def after(number: int, name: str) -> None:
        if name == "dynamodb.UpdateItem":
            written.append(name)
            if len(written) == writes:
                cloud.advance(10)
                cloud.tick()
                cloud.fail_rollout()

    Injector(monkeypatch).after = after
    cloud.wake("service-1")
    assert len(written) >= writes
    assert cloud.statuses(2) == ["failed"]
    assert cloud.rollouts() == 2


def test_a_deployment_that_meets_a_change_of_the_image_repository_is_refused(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.release(1)
    cloud.tick()
    cloud.tick()
    image = cloud.build(1)["image_tag"]
    create_image_repository("other")
    changes = iter(["other"])

    def number_after_a_change(counter: str) -> int:
        for name in changes:
            cloud.change_service(image_repository=name)
        return next_number(counter)

    monkeypatch.setattr(deployments, "next_number", number_after_a_change)
    before = rows("jobs")
    answer = cloud.deploy(image)
    assert (answer.status, answer.body["code"]) == (403, "image_not_allowed")
    assert rows("jobs") == before
