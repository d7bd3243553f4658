"""One deployment at a time: the slot, who waits for it, and who may take it away."""

import pytest

from infra.local.aws import ecs
from tests.faults.injector import Injector
from tests.support.embedded import CLUSTER, MINUTE, REGISTRY, Cloud, put_image, sha


def ask(cloud: Cloud, name: str) -> int:
    """Ask for the deployment of a new image; the deployment's id."""
    answer = cloud.deploy(f"hello@{put_image('hello', name)}")
    assert answer.status == 202, answer.text
    return int(answer.body["deployment_id"])


def deploy(cloud: Cloud, name: str) -> int:
    """A deployment seen through to its success."""
    number = ask(cloud, name)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(number) == ["success"]
    return number


def image(cloud: Cloud, deployment: int) -> str:
    return f"{REGISTRY}/hello@{cloud.deployment(deployment)['image_digest']}"


def test_one_deployment_runs_one_waits_and_a_newer_one_takes_the_waiting_place(
    cloud: Cloud,
) -> None:
    first, second = ask(cloud, "a"), ask(cloud, "b")
    cloud.settle()
    assert cloud.statuses(first, second) == ["deploying", "queued"]
    assert cloud.service()["waiting_deployment_id"] == second
    third = ask(cloud, "c")
    cloud.settle()
    assert cloud.statuses(first, second, third) == ["deploying", "superseded", "queued"]
    assert cloud.deployment(second)["error"] == f"superseded by deployment {third}"
    assert cloud.job(f"deploy-{second}")["status"] == "cancelled"
    cloud.finish_rollout()
    assert cloud.statuses(first, third) == ["success", "deploying"]
    assert cloud.image_on_ecs() == image(cloud, third)
    cloud.finish_rollout()
    assert cloud.statuses(third) == ["success"]
    assert cloud.deployment(third)["replaced"] == first
    assert cloud.rollouts() == 2


def test_whoever_waits_begins_when_the_one_before_has_failed(cloud: Cloud) -> None:
    first, second = ask(cloud, "a"), ask(cloud, "b")
    cloud.settle()
    cloud.fail_rollout()
    assert cloud.statuses(first, second) == ["failed", "deploying"]
    assert cloud.image_on_ecs() == image(cloud, second)


def test_a_rollback_ends_the_deployment_under_way_and_the_waiting_one(cloud: Cloud) -> None:
    good = deploy(cloud, "a")
    bad, waiting = ask(cloud, "b"), ask(cloud, "c")
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
    assert cloud.image_on_ecs() == image(cloud, good)
    assert cloud.service()["current_deployment_id"] == back


def test_without_a_release_before_there_is_nothing_to_interrupt_for(cloud: Cloud) -> None:
    first = ask(cloud, "a")
    answer = cloud.roll_back()
    assert (answer.status, answer.body["code"]) == (409, "nothing_to_roll_back")
    assert cloud.statuses(first) == ["queued"]


def test_a_rollback_may_name_any_older_release_that_ran_well(cloud: Cloud) -> None:
    oldest = deploy(cloud, "a")
    deploy(cloud, "b")
    failed = ask(cloud, "bad")
    cloud.settle()
    cloud.fail_rollout()
    cloud.finish_rollout()
    running = deploy(cloud, "c")
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
    assert cloud.image_on_ecs() == image(cloud, oldest)
    assert cloud.statuses(running) == ["rolled_back"]


def test_another_services_release_looks_as_if_it_were_not_there(cloud: Cloud) -> None:
    deploy(cloud, "a")
    mine = cloud.service_id
    cloud.service_id = cloud.add_service("other")
    other = cloud.deploy(f"other@{put_image('other', 'x')}").body["deployment_id"]
    cloud.settle()
    cloud.finish_rollout("other")
    cloud.service_id = mine
    answer = cloud.roll_back(deployment_id=other)
    assert (answer.status, answer.body["code"]) == (404, "not_found")


def test_a_rollout_that_never_ends_fails_at_its_deadline_and_ecs_goes_back(cloud: Cloud) -> None:
    good = deploy(cloud, "a")
    stuck = ask(cloud, "b")
    cloud.settle()
    for _ in range(22):
        cloud.tick()
    failed = cloud.deployment(stuck)
    assert failed["status"] == "failed"
    assert failed["error"].startswith("not healthy after 20 minutes")
    assert cloud.service()["active_deployment_id"] is None
    cloud.settle()
    assert cloud.image_on_ecs() == image(cloud, good)
    cloud.finish_rollout()
    assert cloud.service()["current_deployment_id"] == good


@pytest.mark.parametrize("breaker", [True, False], ids=["breaker", "deadline"])
def test_a_first_deployment_that_fails_leaves_what_ran_before(cloud: Cloud, breaker: bool) -> None:
    before = cloud.definition_on_ecs()
    first = ask(cloud, "a")
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


def test_a_rollout_that_ended_well_in_time_succeeds_though_nobody_looked(cloud: Cloud) -> None:
    number = ask(cloud, "a")
    cloud.settle()
    cloud.advance(20 * MINUTE - 30)
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    cloud.tick()
    assert cloud.statuses(number) == ["success"]


def test_a_deployment_has_all_its_time_however_long_it_waited(cloud: Cloud) -> None:
    stuck, waiting = ask(cloud, "a"), ask(cloud, "b")
    cloud.settle()
    for _ in range(25):
        cloud.tick()
        cloud.settle()
    assert cloud.statuses(stuck, waiting) == ["failed", "deploying"]
    assert cloud.image_on_ecs() == image(cloud, waiting)
    cloud.finish_rollout()
    assert cloud.statuses(waiting) == ["success"]


def test_progress_follows_the_tasks_that_are_up(cloud: Cloud) -> None:
    number = ask(cloud, "a")
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


def test_a_push_deploys_after_what_is_under_way(cloud: Cloud) -> None:
    by_hand = ask(cloud, "a")
    cloud.begin_release(1)
    by_push = cloud.build(1)["deployment_id"]
    assert cloud.statuses(by_hand, by_push) == ["deploying", "queued"]
    cloud.finish_rollout()
    cloud.finish_rollout()
    assert cloud.statuses(by_hand, by_push) == ["success", "success"]


def test_a_push_that_came_before_does_not_replace_what_was_deployed_by_hand(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.push(sha(3))
    cloud.settle()
    by_hand = cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    cloud.finish_build(3)
    assert cloud.build(3)["not_deployed"] == "an image was deployed manually after this push"
    assert cloud.service()["current_deployment_id"] == by_hand
    cloud.release(4)
    assert cloud.image_on_ecs().endswith(cloud.build(4)["image_digest"])


def test_a_push_that_came_before_does_not_displace_a_deployment_by_hand_that_waits(
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


def test_a_worker_that_was_held_up_before_its_call_looks_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.release(1)
    cloud.push(sha(2))
    cloud.settle()
    cloud.finish_build(2, settle=False)
    cloud.pump.deliver_events()
    cloud.lose_messages()
    held_up: list[str] = []

    def after(number: int, name: str) -> None:
        if name == "dynamodb.TransactWriteItems" and not held_up:
            held_up.append(name)
            cloud.advance(10)
            cloud.tick()
            cloud.fail_rollout()

    Injector(monkeypatch).after = after
    cloud.wake("service-1")
    assert held_up
    assert cloud.statuses(2) == ["failed"]
    assert cloud.rollouts() == 2
