"""The services that a push builds and deploys, and the effect of a redelivery."""

import pytest

from chalicelib.store import services
from tests.support.embedded import MIDNIGHT, MINUTE, Cloud, put_image, sha

EARLIER, LATER = int(MIDNIGHT) - 1_000, int(MIDNIGHT)


def test_every_service_that_follows_the_branch_is_built(cloud: Cloud) -> None:
    second = cloud.add_service("second")
    cloud.add_service("elsewhere", branch="develop")
    answer = cloud.push(sha(1))
    assert answer.status == 202
    assert [each["service_id"] for each in answer.body["builds"]] == [cloud.service_id, second]
    cloud.settle()
    assert cloud.builds_in_codebuild() == ["build-1", "build-2"]


def test_a_redelivery_returns_the_builds_of_the_first_delivery(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="the-one")
    again = cloud.push(sha(1), delivery="the-one")
    assert (again.status, again.body["duplicate"]) == (200, True)
    assert [each["build_id"] for each in again.body["builds"]] == [1]
    cloud.settle()
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_a_push_that_two_webhooks_deliver_is_built_once(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="one")
    again = cloud.push(sha(1), delivery="other")
    assert (again.status, again.body["duplicate"]) == (200, True)
    assert [each["build_id"] for each in again.body["builds"]] == [1]


def test_a_redelivery_of_an_ignored_push_can_start_builds(cloud: Cloud) -> None:
    ignored = cloud.push(sha(1), branch="develop", delivery="the-one")
    assert ignored.status == 200
    assert ignored.body["ignored"] == (
        "no service follows branch develop of github.com/codertocat/hello-world"
    )
    late = cloud.add_service("late", branch="develop")
    answer = cloud.push(sha(1), branch="develop", delivery="the-one")
    assert answer.status == 202
    assert [each["service_id"] for each in answer.body["builds"]] == [late]


def test_a_redelivery_builds_only_services_that_were_added_later(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="the-one")
    late = cloud.add_service("late")
    answer = cloud.push(sha(1), delivery="the-one")
    assert answer.status == 202
    assert [each["service_id"] for each in answer.body["builds"]] == [late]


def test_an_older_push_is_not_deployed_over_a_newer_one(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
    cloud.push(sha(1), pushed_at=EARLIER)
    cloud.push(sha(2), pushed_at=LATER)
    cloud.settle()
    cloud.finish_build(2)
    cloud.finish_build(1)
    assert cloud.build(2)["deployment_id"] == 1
    older = cloud.build(1)
    assert (older["status"], older["deployment_id"]) == ("success", None)
    assert older["not_deployed"] == "build 2 of a later push was built already"


def test_an_older_push_that_is_delivered_late_is_not_deployed(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
    cloud.push(sha(2), pushed_at=LATER)
    cloud.push(sha(1), pushed_at=EARLIER)
    cloud.settle()
    newer = cloud.finish_build(1)
    cloud.finish_build(2)
    assert cloud.build(2)["not_deployed"] == "build 1 of a later push was built already"
    assert cloud.image_on_ecs().endswith(newer)


def test_of_two_pushes_in_one_second_the_later_build_is_the_newer_one(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
    cloud.push(sha(1), pushed_at=EARLIER)
    cloud.push(sha(2), pushed_at=EARLIER)
    cloud.settle()
    cloud.finish_build(2)
    cloud.finish_build(1)
    assert cloud.build(2)["deployment_id"] == 1
    assert cloud.build(1)["not_deployed"] == "build 2 of a later push was built already"


@pytest.mark.parametrize("ends_first", [1, 2])
def test_of_two_pushes_in_one_second_the_one_that_begins_at_the_other_is_the_newer_one(
    cloud: Cloud, ends_first: int
) -> None:
    cloud.change_service(supersede_builds=False)
    cloud.push(sha(3), before=sha(2), pushed_at=EARLIER)
    cloud.push(sha(2), before=sha(1), pushed_at=EARLIER)
    cloud.settle()
    for build in (ends_first, 3 - ends_first):
        cloud.finish_build(build)
    cloud.finish_rollout()
    assert cloud.image_on_ecs().endswith(cloud.build(1)["image_digest"])


def test_the_next_push_is_deployed_after_auto_deploy_is_resumed(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.service()["auto_deploy_paused"] is not None
    cloud.change_service(auto_deploy=True)
    assert cloud.service()["auto_deploy_paused"] is None
    cloud.advance(1)
    cloud.release(3)
    assert cloud.service()["current_deployment_id"] == 4


def test_only_pushes_to_a_service_with_auto_deploy_are_deployed(cloud: Cloud) -> None:
    by_hand = cloud.ask_for_build()
    cloud.settle()
    cloud.finish_build(by_hand)
    built = cloud.build(by_hand)
    assert built["not_deployed"] == "builds requested manually are deployed manually"
    assert (built["commit_sha"], built["author"]) == (sha(7), "Ada")
    cloud.change_service(auto_deploy=False)
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(2)
    assert cloud.build(2)["not_deployed"] == "auto_deploy is off"
    cloud.change_service(auto_deploy=True, branch="develop")
    assert cloud.push(sha(2)).status == 200
    assert cloud.rollouts() == 0


def test_the_image_of_a_repository_that_the_service_has_left_is_not_deployed(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.change_service(git_url="https://github.com/other/repository.git")
    cloud.finish_build(1)
    build = cloud.build(1)
    assert (build["status"], build["deployment_id"]) == ("success", None)
    assert build["not_deployed"] == "the service builds github.com/other/repository now"


def test_a_push_from_a_clock_that_was_ahead_does_not_stop_the_next_ones(cloud: Cloud) -> None:
    cloud.push(sha(1), pushed_at=LATER + 20 * 60 * MINUTE)
    cloud.settle()
    cloud.finish_build(1)
    cloud.finish_rollout()
    cloud.advance(10 * MINUTE)
    cloud.release(2)
    assert cloud.service()["current_deployment_id"] == 2


def test_a_branch_that_was_pushed_back_to_an_older_commit_is_deployed(cloud: Cloud) -> None:
    cloud.seconds_before_push = MINUTE
    cloud.push(sha(2), before=sha(1))
    cloud.settle()
    cloud.finish_build(1)
    cloud.finish_rollout()
    cloud.push(sha(1), before=sha(3), forced=True)
    cloud.settle()
    cloud.finish_build(2)
    assert cloud.build(2)["deployment_id"] == 2


def test_an_older_push_is_not_deployed_after_the_branch_was_changed_and_changed_back(
    cloud: Cloud,
) -> None:
    cloud.change_service(supersede_builds=False)
    cloud.push(sha(1), pushed_at=EARLIER)
    cloud.push(sha(2), pushed_at=LATER)
    cloud.settle()
    cloud.finish_build(2)
    cloud.change_service(branch="develop")
    cloud.change_service(branch="master")
    cloud.finish_build(1)
    assert cloud.build(1)["not_deployed"] == "build 2 of a later push was built already"


def test_pushes_to_a_branch_that_the_service_has_left_do_not_count(cloud: Cloud) -> None:
    cloud.push(sha(1), pushed_at=LATER)
    cloud.settle()
    cloud.finish_build(1)
    cloud.change_service(branch="develop")
    cloud.push(sha(2), branch="develop", pushed_at=EARLIER)
    cloud.settle()
    cloud.finish_build(2)
    assert cloud.build(2)["deployment_id"] == 2


def test_a_push_that_arrives_after_a_later_deployment_by_hand_does_not_replace_it(
    cloud: Cloud,
) -> None:
    cloud.deploy(f"hello@{put_image('hello', 'by-hand')}")
    cloud.push(sha(1), pushed_at=EARLIER)
    cloud.settle()
    cloud.finish_build(1)
    assert cloud.build(1)["not_deployed"] == "a manual deployment or rollback came after this push"


def test_a_push_that_arrives_after_a_later_rollback_does_not_replace_it(cloud: Cloud) -> None:
    cloud.seconds_before_push = MINUTE
    cloud.release(1)
    cloud.release(2)
    cloud.advance(10 * MINUTE)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    cloud.change_service(auto_deploy=True)
    cloud.push(sha(3), pushed_at=LATER + 5 * MINUTE)
    cloud.settle()
    cloud.finish_build(3)
    assert cloud.build(3)["not_deployed"] == "a manual deployment or rollback came after this push"


def test_the_deployed_push_counts_however_many_builds_have_failed_since(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_KEEP_PUSHED", 2)
    cloud.seconds_before_push = 1
    for number in (1, 2, 3, 4, 5):
        cloud.push(sha(number))
        cloud.settle()
        if number == 2:
            cloud.finish_build(2)
            cloud.finish_rollout()
        else:
            cloud.end_build(number, "FAILED")
    assert cloud.api.post("/v1/cicd/builds/1/retry").status == 202
    cloud.settle()
    cloud.finish_build(6)
    assert cloud.build(6)["not_deployed"] == "build 2 of a later push was built already"


def test_a_push_that_a_later_one_follows_is_earlier_even_if_its_clock_was_ahead(
    cloud: Cloud,
) -> None:
    cloud.push(sha(2), before=sha(1))
    cloud.settle()
    cloud.finish_build(1)
    cloud.finish_rollout()
    cloud.advance(10 * MINUTE)
    cloud.push(sha(1), before=sha(9), pushed_at=LATER + 20 * 60 * MINUTE)
    cloud.settle()
    cloud.finish_build(2)
    assert cloud.build(2)["not_deployed"] == "build 1 of a later push was built already"
