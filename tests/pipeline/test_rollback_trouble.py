"""That the release before cannot be restored is known, and told, before a rollback needs it."""

import pytest

from tests.faults.invariants import published
from tests.support.embedded import (
    MINUTE,
    Cloud,
    add_topic,
    client,
    create_ecs_service,
    delete_definition,
    make_older,
    remove_image,
)
from tests.support.sdk import Calls, Trouble

EVENT = "service.rollback_not_ready"
HOUR = 60 * MINUTE


@pytest.fixture
def released(cloud: Cloud) -> Cloud:
    """Two releases, and a topic that is told everything."""
    add_topic(cloud)
    cloud.release(1)
    cloud.release(2)
    return cloud


def set_storage(digest: str, wanted: str) -> None:
    """The owner archives or restores an image."""
    client("ecr").update_image_storage_class(
        repositoryName="hello", imageId={"imageDigest": digest}, targetStorageClass=wanted
    )


def lose_image(cloud: Cloud, number: int) -> None:
    remove_image("hello", cloud.deployment(number)["image_digest"])


def look(cloud: Cloud, hours: int = 6) -> None:
    cloud.advance(hours * HOUR)
    cloud.tick()
    cloud.settle()


def minutes(cloud: Cloud) -> None:
    """Two minutes pass, after which no call of a rollout can be in flight."""
    for _ in range(2):
        cloud.tick()
        cloud.settle()


def told() -> list[tuple[list[str], list[str]]]:
    """What has begun and what is over, in each message about a service."""
    return [(each["begun"], each["over"]) for each in published() if "begun" in each]


def test_a_missing_image_of_the_release_before_is_told_until_the_next_release(
    released: Cloud,
) -> None:
    assert released.service()["rollback_trouble"] is None
    lose_image(released, 1)
    look(released)
    trouble = released.service()["rollback_trouble"]
    assert trouble == "the image of deployment 1 is gone from hello"
    (listed,) = released.api.get("/v1/services").body["items"]
    assert listed["rollback_trouble"] == trouble
    assert released.roll_back().body["detail"].endswith(trouble)
    assert told() == [([EVENT], [])]
    look(released)
    assert told() == [([EVENT], [])]
    released.release(3)
    minutes(released)
    assert released.service()["rollback_trouble"] is None
    assert told() == [([EVENT], []), ([], [EVENT])]


def test_it_is_seen_two_minutes_after_a_release(cloud: Cloud) -> None:
    cloud.release(1)
    lose_image(cloud, 1)
    cloud.release(2)
    minutes(cloud)
    assert cloud.service()["rollback_trouble"] == "the image of deployment 1 is gone from hello"


def test_an_archived_image_is_told_until_it_is_restored(released: Cloud) -> None:
    """ECS cannot pull it, so a rollback is refused."""
    digest = released.deployment(1)["image_digest"]
    set_storage(digest, "ARCHIVE")
    look(released)
    trouble = released.service()["rollback_trouble"]
    assert f"the image hello@{digest} has the imageStatus ARCHIVED in ECR" in trouble
    assert released.roll_back().status == 409
    assert told() == [([EVENT], [])]
    set_storage(digest, "STANDARD")
    look(released)
    assert released.service()["rollback_trouble"] is None


def test_a_definition_that_cannot_be_made_again_is_told(released: Cloud) -> None:
    arn = released.deployment(1)["task_definition"]
    make_older(1)
    delete_definition(arn)
    look(released)
    assert f"the task definition {arn} of deployment 1 is gone from ECS" in str(
        released.service()["rollback_trouble"]
    )
    assert told() == [([EVENT], [])]


def test_a_definition_that_was_kept_is_no_trouble(released: Cloud) -> None:
    delete_definition(released.deployment(1)["task_definition"])
    look(released)
    assert released.service()["rollback_trouble"] is None


def test_a_first_release_has_nothing_to_go_back_to(cloud: Cloud) -> None:
    cloud.release(1)
    look(cloud)
    assert cloud.service()["rollback_trouble"] is None


def test_a_service_that_was_moved_is_no_trouble(released: Cloud) -> None:
    create_ecs_service("moved")
    minutes(released)
    released.change_service(ecs_service="moved")
    released.begin_release(3)
    released.finish_rollout("moved")
    assert released.statuses(3) == ["success"]
    look(released)
    assert released.service()["rollback_trouble"] is None


def test_what_was_known_of_the_place_before_ends_with_a_move(released: Cloud) -> None:
    lose_image(released, 1)
    look(released)
    create_ecs_service("moved")
    minutes(released)
    released.change_service(ecs_service="moved")
    assert released.service()["rollback_trouble"] is None
    released.settle()
    assert told() == [([EVENT], []), ([], [EVENT])]


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_a_look_that_fails_says_nothing_and_is_repeated(
    released: Cloud, trouble: Trouble, code: str
) -> None:
    lose_image(released, 1)
    trouble.refuse("ecr.DescribeImages", code)
    look(released)
    assert released.service()["drift"] is None
    assert released.service()["rollback_trouble"] is None
    trouble.end()
    released.advance(10 * MINUTE)
    released.tick()
    assert released.service()["rollback_trouble"] is not None


def test_an_idle_service_is_looked_at_four_times_a_day(released: Cloud, calls: Calls) -> None:
    released.tick()
    calls.clear()
    for _ in range(24 * 6):
        released.advance(9 * MINUTE)
        released.tick()
    assert calls.counted["ecr.DescribeImages"] == 4
    assert calls.counted["dynamodb.UpdateItem"] <= 24 * 6
