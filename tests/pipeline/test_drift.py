"""Changes of an ECS service by another party show as drift and stay.

Slipway repairs the effect of its own late calls.
"""

from infra.local.aws import ecs
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    client,
    register,
    run_on_ecs,
    task_definition,
)


def test_a_task_definition_of_another_party_is_shown_and_kept(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    by_hand = register("hello", "hello:by-hand")
    run_on_ecs(by_hand)
    cloud.finish_rollout()
    assert cloud.service()["drift"] == f"ECS runs {by_hand}, which was chosen outside Slipway"
    for _ in range(3):
        cloud.tick()
    assert cloud.definition_on_ecs() == by_hand
    assert cloud.service()["current_deployment_id"] == 1


def test_the_next_deployment_starts_from_the_configuration_of_another_party(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    run_on_ecs(register("hello", "hello:by-hand", COLOUR="blue"))
    cloud.finish_rollout()
    cloud.change_service(auto_deploy=True)
    cloud.release(2)
    container = task_definition(cloud.definition_on_ecs())["containerDefinitions"][0]
    assert container["environment"] == [{"name": "COLOUR", "value": "blue"}]
    assert container["image"].endswith(cloud.deployment(2)["image_digest"])
    assert cloud.service()["drift"] is None


def test_drift_ends_when_the_current_release_runs_again(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    release = cloud.definition_on_ecs()
    run_on_ecs(register("hello", "hello:by-hand"))
    cloud.finish_rollout()
    assert cloud.service()["drift"] is not None
    run_on_ecs(release)
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.service()["drift"] is None


def test_ecs_returns_to_the_current_release_after_a_late_call(cloud: Cloud) -> None:
    cloud.release(1)
    older = cloud.definition_on_ecs()
    cloud.release(2)
    newer = cloud.definition_on_ecs()
    run_on_ecs(older)
    cloud.settle()
    assert cloud.definition_on_ecs() == newer
    cloud.finish_rollout()
    assert cloud.service()["drift"] is None
    assert cloud.statuses(1, 2) == ["success", "success"]


def test_a_rollout_is_repeated_after_a_late_call_displaced_it(cloud: Cloud) -> None:
    cloud.release(1)
    older = cloud.definition_on_ecs()
    cloud.begin_release(2)
    wanted = cloud.deployment(2)["task_definition"]
    run_on_ecs(older)
    ecs.engine().drain_events()
    cloud.tick()
    assert cloud.definition_on_ecs() == wanted
    cloud.finish_rollout()
    assert cloud.statuses(2) == ["success"]


def test_a_missing_ecs_service_fails_the_deployment_with_the_reason(cloud: Cloud) -> None:
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    cloud.begin_release(1)
    deployment = cloud.deployment(1)
    assert deployment["status"] == "failed"
    assert deployment["error"] == "there is no active ECS service hello in cluster main"
    assert cloud.service()["active_deployment_id"] is None


def test_a_change_without_an_event_is_shown_after_ten_minutes(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    cloud.tick()
    run_on_ecs(register("hello", "hello:by-hand"))
    ecs.engine().drain_events()
    cloud.advance(5 * MINUTE)
    cloud.tick()
    assert cloud.service()["drift"] is None
    cloud.advance(6 * MINUTE)
    cloud.tick()
    assert "chosen outside Slipway" in cloud.service()["drift"]


def test_drift_ends_when_a_missing_ecs_service_returns(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    cloud.tick()
    release = cloud.definition_on_ecs()
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    cloud.advance(61 * MINUTE)
    cloud.tick()
    assert "no active ECS service" in cloud.service()["drift"]
    client("ecs").create_service(
        cluster=CLUSTER, serviceName="hello", taskDefinition=release, desiredCount=2
    )
    cloud.finish_rollout()
    cloud.advance(61 * MINUTE)
    cloud.tick()
    assert cloud.service()["drift"] is None


def run_owners_definition(cloud: Cloud, colour: str) -> str:
    """The owner runs another definition, Slipway shows it, and the owner resumes auto-deploy."""
    by_hand = register("hello", "hello:by-hand", COLOUR=colour)
    run_on_ecs(by_hand)
    cloud.finish_rollout()
    cloud.advance(2 * MINUTE)
    cloud.tick()
    cloud.change_service(auto_deploy=True)
    return by_hand


def test_the_owners_task_definition_comes_back_after_a_cancelled_deployment(cloud: Cloud) -> None:
    cloud.release(1)
    by_hand = run_owners_definition(cloud, "blue")
    cloud.begin_release(2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    cloud.finish_rollout()
    for _ in range(3):
        cloud.tick()
    assert cloud.definition_on_ecs() == by_hand
    assert cloud.service()["drift"] == f"ECS runs {by_hand}, which was chosen outside Slipway"
    assert cloud.service()["current_deployment_id"] == 1


def test_without_a_release_the_owners_task_definition_comes_back(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.fail_rollout()
    cloud.finish_rollout()
    by_hand = run_owners_definition(cloud, "blue")
    cloud.begin_release(2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    assert cloud.definition_on_ecs() == by_hand


def test_a_release_that_the_owner_restored_stays(cloud: Cloud) -> None:
    cloud.release(1)
    release = cloud.definition_on_ecs()
    run_owners_definition(cloud, "blue")
    cloud.begin_release(2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    run_on_ecs(release)
    cloud.finish_rollout()
    cloud.begin_release(3)
    assert cloud.api.post("/v1/cicd/jobs/deploy-3/cancel").status == 202
    cloud.settle()
    cloud.finish_rollout()
    for _ in range(2):
        cloud.tick()
    assert (cloud.definition_on_ecs(), cloud.service()["drift"]) == (release, None)


def test_a_service_in_drift_cannot_be_deleted_while_a_rollout_may_continue(cloud: Cloud) -> None:
    cloud.release(1)
    by_hand = run_owners_definition(cloud, "blue")
    cloud.begin_release(2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.lose_messages()
    path = f"/v1/services/{cloud.service_id}"
    assert cloud.api.delete(path).body["code"] == "service_busy"
    assert cloud.api.patch(path, {"ecs_service": "other"}).body["code"] == "service_busy"
    cloud.tick()
    assert cloud.definition_on_ecs() == by_hand
