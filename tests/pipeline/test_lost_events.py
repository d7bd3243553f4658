"""Events and messages are only hints: lost, tripled or shuffled, the ends are the same."""

import random

import pytest

from tests.support.embedded import Cloud, sha
from tests.support.sdk import Calls


def ends(cloud: Cloud) -> dict[str, object]:
    """What is true when everything has come to rest."""
    builds = [cloud.build(number) for number in (1, 2)]
    deployments = [cloud.deployment(number) for number in (1, 2)]
    service = cloud.service()
    return {
        "builds": [(each["status"], each["deployment_id"]) for each in builds],
        "deployments": [(each["status"], each["replaced"]) for each in deployments],
        "service": (service["current_deployment_id"], service["active_deployment_id"]),
        "on ECS": cloud.image_on_ecs().endswith(deployments[0]["image_digest"]),
        "rollouts": cloud.rollouts(),
        "CodeBuild": cloud.builds_in_codebuild(),
    }


# One good release, then one whose tasks die.
EXPECTED = {
    "builds": [("success", 1), ("success", 2)],
    "deployments": [("success", None), ("failed", None)],
    "service": (1, None),
    "on ECS": True,
    "rollouts": 2,
    "CodeBuild": ["build-1", "build-2"],
}


@pytest.mark.parametrize("messages_too", [False, True], ids=["events", "events and messages"])
def test_with_all_news_lost_everything_ends_within_two_minutes(
    cloud: Cloud, messages_too: bool
) -> None:
    def two_minutes() -> None:
        for _ in range(2):
            cloud.lose_events()
            if messages_too:
                cloud.lose_messages()
            else:
                cloud.pump.deliver_messages()
            cloud.tick()

    cloud.push(sha(1))
    two_minutes()
    cloud.finish_build(1, settle=False)
    two_minutes()
    cloud.finish_rollout(settle=False)
    two_minutes()
    assert cloud.statuses(1) == ["success"]
    cloud.push(sha(2))
    two_minutes()
    cloud.finish_build(2, settle=False)
    two_minutes()
    cloud.fail_rollout(settle=False)
    two_minutes()
    cloud.finish_rollout(settle=False)
    two_minutes()
    assert ends(cloud) == EXPECTED


@pytest.mark.parametrize("seed", [1, 2])
def test_with_events_tripled_and_shuffled_the_ends_are_the_same(cloud: Cloud, seed: int) -> None:
    chance, heard = random.Random(seed), []

    def babble() -> None:
        """Everything said until now is heard again, three times, in any order."""
        heard.extend(cloud.take_events())
        sample = chance.sample(heard, min(4, len(heard))) * 3
        chance.shuffle(sample)
        for event in sample:
            cloud.hear(event)
        cloud.settle()

    cloud.push(sha(1))
    babble()
    cloud.finish_build(1, settle=False)
    babble()
    cloud.finish_rollout(settle=False)
    babble()
    cloud.push(sha(2))
    babble()
    cloud.finish_build(2, settle=False)
    babble()
    cloud.fail_rollout(settle=False)
    babble()
    cloud.finish_rollout(settle=False)
    babble()
    cloud.tick()
    assert ends(cloud) == EXPECTED


def test_what_is_at_rest_is_not_looked_at_again(cloud: Cloud, calls: Calls) -> None:
    cloud.release(1)
    cloud.tick()
    calls.clear()
    cloud.tick()
    assert calls.counted == {"dynamodb.Query": 2, "sqs.ReceiveMessage": 1}
