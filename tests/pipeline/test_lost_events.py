"""Events and messages only start a step: lost, tripled or shuffled, they lead to the same end."""

import random

import pytest

from tests.support.embedded import Cloud, sha
from tests.support.sdk import Calls


def outcome(cloud: Cloud) -> dict[str, object]:
    """The state of the rows and of AWS."""
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


# One successful release, then a release with crashing tasks.
EXPECTED = {
    "builds": [("success", 1), ("success", 2)],
    "deployments": [("success", None), ("failed", None)],
    "service": (1, None),
    "on ECS": True,
    "rollouts": 2,
    "CodeBuild": ["build-1", "build-2"],
}


@pytest.mark.parametrize("messages_too", [False, True], ids=["events", "events and messages"])
def test_with_every_event_lost_each_step_ends_within_two_minutes(
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
    assert outcome(cloud) == EXPECTED


@pytest.mark.parametrize("seed", [1, 2])
def test_tripled_and_shuffled_events_lead_to_the_same_end(cloud: Cloud, seed: int) -> None:
    chance, delivered = random.Random(seed), []

    def deliver_in_disorder() -> None:
        """Deliver up to four of all events until now, each three times, in any order."""
        delivered.extend(cloud.take_events())
        sample = chance.sample(delivered, min(4, len(delivered))) * 3
        chance.shuffle(sample)
        for event in sample:
            cloud.hear(event)
        cloud.settle()

    cloud.push(sha(1))
    deliver_in_disorder()
    cloud.finish_build(1, settle=False)
    deliver_in_disorder()
    cloud.finish_rollout(settle=False)
    deliver_in_disorder()
    cloud.push(sha(2))
    deliver_in_disorder()
    cloud.finish_build(2, settle=False)
    deliver_in_disorder()
    cloud.fail_rollout(settle=False)
    deliver_in_disorder()
    cloud.finish_rollout(settle=False)
    deliver_in_disorder()
    cloud.tick()
    assert outcome(cloud) == EXPECTED


def test_the_schedule_does_not_read_finished_work_again(cloud: Cloud, calls: Calls) -> None:
    cloud.release(1)
    cloud.tick()
    calls.clear()
    cloud.tick()
    # Due builds and services, the channels, and jobs and services that are to be told.
    assert calls.counted == {"dynamodb.Query": 5, "sqs.ReceiveMessage": 1}
