"""What others do to an ECS service is shown and not fought; our own late calls are healed."""

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


def test_a_definition_of_somebody_else_is_shown_and_left_alone(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    theirs = register("hello", "hello:by-hand")
    run_on_ecs(theirs)
    cloud.finish_rollout()
    assert cloud.service()["drift"] == f"ECS runs {theirs}, which was not deployed by Slipway"
    for _ in range(3):
        cloud.tick()
    assert cloud.definition_on_ecs() == theirs
    assert cloud.service()["current_deployment_id"] == 1


def test_the_next_deployment_starts_from_what_somebody_else_configured(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    run_on_ecs(register("hello", "hello:by-hand", COLOUR="blue"))
    cloud.finish_rollout()
    cloud.release(2)
    container = task_definition(cloud.definition_on_ecs())["containerDefinitions"][0]
    assert container["environment"] == [{"name": "COLOUR", "value": "blue"}]
    assert container["image"].endswith(cloud.deployment(2)["image_digest"])
    assert cloud.service()["drift"] is None


def test_drift_ends_when_the_current_release_runs_again(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    ours = cloud.definition_on_ecs()
    run_on_ecs(register("hello", "hello:by-hand"))
    cloud.finish_rollout()
    assert cloud.service()["drift"] is not None
    run_on_ecs(ours)
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.service()["drift"] is None


def test_a_late_call_of_ours_is_healed(cloud: Cloud) -> None:
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


def test_a_late_call_during_a_rollout_is_healed(cloud: Cloud) -> None:
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


def test_an_ecs_service_that_is_gone_fails_the_deployment_with_the_reason(cloud: Cloud) -> None:
    cloud.change_service(ecs_service="nowhere")
    cloud.begin_release(1)
    deployment = cloud.deployment(1)
    assert deployment["status"] == "failed"
    assert deployment["error"] == "there is no active ECS service nowhere in cluster main"
    assert cloud.service()["active_deployment_id"] is None


def test_a_change_that_no_event_told_of_is_shown_within_the_hour(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    cloud.tick()
    run_on_ecs(register("hello", "hello:by-hand"))
    ecs.engine().drain_events()
    cloud.advance(30 * MINUTE)
    cloud.tick()
    assert cloud.service()["drift"] is None
    cloud.advance(31 * MINUTE)
    cloud.tick()
    assert "not deployed by Slipway" in cloud.service()["drift"]


def test_an_ecs_service_that_is_gone_for_a_while_is_seen_to_be_back(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(2 * MINUTE)
    cloud.tick()
    ours = cloud.definition_on_ecs()
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    cloud.advance(61 * MINUTE)
    cloud.tick()
    assert "no active ECS service" in cloud.service()["drift"]
    client("ecs").create_service(
        cluster=CLUSTER, serviceName="hello", taskDefinition=ours, desiredCount=2
    )
    cloud.finish_rollout()
    cloud.advance(61 * MINUTE)
    cloud.tick()
    assert cloud.service()["drift"] is None


def owner_runs(cloud: Cloud, colour: str) -> str:
    """Somebody gives the service a definition of their own, which gets healthy and is seen."""
    theirs = register("hello", "hello:by-hand", COLOUR=colour)
    run_on_ecs(theirs)
    cloud.finish_rollout()
    cloud.advance(2 * MINUTE)
    cloud.tick()
    return theirs


def begin(cloud: Cloud, number: int) -> None:
    cloud.begin_release(number)


def test_a_cancelled_deployment_gives_back_what_its_owner_had_put_there(cloud: Cloud) -> None:
    cloud.release(1)
    theirs = owner_runs(cloud, "blue")
    begin(cloud, 2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    cloud.finish_rollout()
    for _ in range(3):
        cloud.tick()
    assert cloud.definition_on_ecs() == theirs
    assert cloud.service()["drift"] == f"ECS runs {theirs}, which was not deployed by Slipway"
    assert cloud.service()["current_deployment_id"] == 1


def test_without_a_release_a_failed_deployment_gives_back_what_ran_last(cloud: Cloud) -> None:
    begin(cloud, 1)
    cloud.fail_rollout()
    cloud.finish_rollout()
    theirs = owner_runs(cloud, "blue")
    begin(cloud, 2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    assert cloud.definition_on_ecs() == theirs


def test_who_brings_the_release_back_by_hand_is_not_overruled(cloud: Cloud) -> None:
    cloud.release(1)
    release = cloud.definition_on_ecs()
    owner_runs(cloud, "blue")
    begin(cloud, 2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    run_on_ecs(release)
    cloud.finish_rollout()
    begin(cloud, 3)
    assert cloud.api.post("/v1/cicd/jobs/deploy-3/cancel").status == 202
    cloud.settle()
    cloud.finish_rollout()
    for _ in range(2):
        cloud.tick()
    assert (cloud.definition_on_ecs(), cloud.service()["drift"]) == (release, None)


def test_a_service_in_drift_is_not_deleted_while_a_rollout_of_ours_may_go_on(cloud: Cloud) -> None:
    cloud.release(1)
    theirs = owner_runs(cloud, "blue")
    begin(cloud, 2)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.lose_messages()
    path = f"/v1/services/{cloud.service_id}"
    assert cloud.api.delete(path).body["code"] == "service_busy"
    assert cloud.api.patch(path, {"ecs_service": "other"}).body["code"] == "service_busy"
    cloud.tick()
    assert cloud.definition_on_ecs() == theirs
