"""A service from push to rollback: releases, a failed release, and the ways back."""

from tests.support.embedded import (
    REGISTRY,
    Cloud,
    image_of,
    put_image,
    register,
    remove_image,
    run_on_ecs,
    sha,
    task_definition,
)


def test_a_push_becomes_a_running_service(cloud: Cloud) -> None:
    answer = cloud.push(sha(1))
    assert answer.status == 202
    assert answer.body["builds"] == [
        {"service_id": cloud.service_id, "build_id": 1, "job_id": "build-1", "status": "queued"}
    ]
    seen = [(cloud.job("build-1")["status"], cloud.job("build-1")["progress"])]
    cloud.settle()
    seen.append((cloud.job("build-1")["status"], cloud.job("build-1")["progress"]))
    for phase in ("PRE_BUILD", "BUILD"):
        cloud.enter_phase(1, phase)
        seen.append((cloud.job("build-1")["status"], cloud.job("build-1")["progress"]))
    assert [status for status, _ in seen] == ["queued"] + ["running"] * 3
    progress = [done for _, done in seen]
    assert progress == sorted(set(progress))
    assert progress[-1] < 100

    digest = cloud.finish_build(1)
    build = cloud.build(1)
    assert (build["status"], build["progress"], build["error"]) == ("success", 100, None)
    assert build["image_digest"] == digest
    assert (build["commit_sha"], build["commit_message"]) == (sha(1), "Say hello")
    assert build["log_path"].startswith("/slipway/builds/build-1/")

    assert cloud.deployment(build["deployment_id"])["status"] == "deploying"
    assert cloud.image_on_ecs() == f"{REGISTRY}/hello@{digest}"
    cloud.finish_rollout()
    deployment, service = cloud.deployment(1), cloud.service()
    assert (deployment["status"], deployment["progress"]) == ("success", 100)
    assert deployment["image_digest"] == digest
    assert deployment["task_definition"] == cloud.definition_on_ecs()
    assert service["current_deployment_id"] == 1
    assert service["active_deployment_id"] is None


def test_a_failed_release_leaves_the_earlier_one_running(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        cloud.release(number)
    good = cloud.image_on_ecs()
    cloud.begin_release(4)
    cloud.fail_rollout()
    failed = cloud.deployment(4)
    assert failed["status"] == "failed"
    assert "circuit breaker" in failed["error"]
    assert failed["progress"] < 100
    assert cloud.job("deploy-4")["status"] == "failed"
    cloud.finish_rollout()
    assert cloud.image_on_ecs() == good
    assert cloud.service()["current_deployment_id"] == 3
    assert cloud.service()["active_deployment_id"] is None
    assert cloud.service()["drift"] is None
    assert cloud.statuses(1, 2, 3) == ["success"] * 3


def test_each_rollback_goes_one_release_back_until_the_first_one(cloud: Cloud) -> None:
    first, second, third = (cloud.release(number) for number in (1, 2, 3))
    assert cloud.preview()["target"]["id"] == second

    answer = cloud.roll_back(reason="slow pages")
    assert answer.status == 202
    back = answer.body["deployment_id"]
    cloud.settle()
    cloud.finish_rollout()
    restored, shown = cloud.deployment(second), cloud.deployment(back)
    for same in ("image_tag", "image_digest", "build_id", "commit_sha", "status"):
        assert shown[same] == restored[same]
    assert (shown["trigger"], shown["reason"]) == ("rollback", "slow pages")
    assert (shown["restores"], shown["rollback_of"], shown["rollback_to"]) == (second, third, first)
    assert shown["task_definition"] == cloud.definition_on_ecs() != restored["task_definition"]
    assert image_of(cloud.definition_on_ecs()) == image_of_deployment(cloud, second)
    assert cloud.statuses(third) == ["rolled_back"]
    assert cloud.job(f"deploy-{third}")["status"] == "success"
    assert cloud.builds_in_codebuild() == ["build-1", "build-2", "build-3"]
    assert cloud.preview()["target"]["id"] == first

    again = cloud.roll_back().body["deployment_id"]
    cloud.settle()
    cloud.finish_rollout()
    assert image_of(cloud.definition_on_ecs()) == image_of_deployment(cloud, first)
    assert cloud.statuses(first, second, third, back, again) == [
        "success",
        "rolled_back",
        "rolled_back",
        "rolled_back",
        "success",
    ]
    assert cloud.preview()["possible"] is False
    refused = cloud.roll_back()
    assert (refused.status, refused.body["code"]) == (409, "nothing_to_roll_back")


def test_a_rollback_pauses_auto_deploy_until_a_manual_deployment(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        cloud.release(number)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    paused = cloud.service()["auto_deploy_paused"]
    assert "deployment 4 rolls back to deployment 2" in paused

    cloud.begin_release(4)
    assert cloud.build(4)["deployment_id"] is None
    assert cloud.build(4)["not_deployed"] == f"auto-deploy is paused: {paused}"

    explicit = cloud.deploy_build(3)
    assert cloud.service()["auto_deploy_paused"] == paused
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(explicit) == ["success"]
    assert cloud.image_on_ecs() == image_of_deployment(cloud, 3)
    assert cloud.service()["auto_deploy_paused"] is None


def test_auto_deploy_that_is_off_is_not_shown_as_paused(cloud: Cloud) -> None:
    """A resume would switch on what somebody has switched off."""
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.service()["auto_deploy_paused"] is not None
    cloud.change_service(auto_deploy=False)
    (listed,) = cloud.api.get("/v1/services").body["items"]
    assert (cloud.service()["auto_deploy_paused"], listed["auto_deploy_paused"]) == (None, None)
    cloud.begin_release(3)
    assert cloud.build(3)["not_deployed"] == "auto_deploy is off"

    cloud.change_service(auto_deploy=True)
    assert cloud.service()["auto_deploy_paused"] is None


def test_a_rollback_restores_the_configuration_with_the_image(cloud: Cloud) -> None:
    cloud.release(1)
    before = task_definition(cloud.definition_on_ecs())
    run_on_ecs(register("hello", cloud.image_on_ecs(), COLOUR="blue"))
    cloud.finish_rollout()
    cloud.release(2)
    assert environment_on_ecs(cloud) == [{"name": "COLOUR", "value": "blue"}]
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    assert environment_on_ecs(cloud) == []
    after = task_definition(cloud.definition_on_ecs())
    assert after["containerDefinitions"] == before["containerDefinitions"]
    assert after["taskDefinitionArn"] != before["taskDefinitionArn"]


def test_a_rollback_skips_a_release_without_an_image(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        cloud.release(number)
    remove_image("hello", cloud.deployment(2)["image_digest"])
    assert cloud.preview()["target"]["id"] == 1
    assert cloud.roll_back().status == 202
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.image_on_ecs() == image_of_deployment(cloud, 1)


def test_an_image_from_another_builder_can_be_deployed_by_digest(cloud: Cloud) -> None:
    digest = put_image("hello", "from-elsewhere")
    answer = cloud.deploy(f"hello@{digest}")
    assert answer.status == 202
    cloud.settle()
    assert cloud.image_on_ecs() == f"{REGISTRY}/hello@{digest}"
    assert cloud.deployment(1)["build_id"] is None


def test_only_images_of_the_services_own_builds_can_be_deployed_by_tag(cloud: Cloud) -> None:
    other = cloud.add_service("other", image_repository="hello", auto_deploy=False)
    put_image("hello", "latest")
    cloud.push(sha(1))
    cloud.settle()
    for build in (1, 2):
        cloud.finish_build(build)
    build_of_other = next(cloud.build(n) for n in (1, 2) if cloud.build(n)["service_id"] == other)
    refusals = {
        build_of_other["image_tag"]: (403, "image_not_allowed"),
        "hello:latest": (403, "image_not_allowed"),
        "other:latest": (403, "image_not_allowed"),
        "hello:nowhere": (404, "image_not_found"),
        f"hello@sha256:{'a' * 64}": (404, "image_not_found"),
    }
    for image, refusal in refusals.items():
        answer = cloud.deploy(image)
        assert (answer.status, answer.body["code"]) == refusal, image
        assert answer.body["field"] == "image_tag"


def image_of_deployment(cloud: Cloud, number: int) -> str:
    """The image of a deployment, with registry and digest."""
    return f"{REGISTRY}/hello@{cloud.deployment(number)['image_digest']}"


def environment_on_ecs(cloud: Cloud) -> list[dict[str, str]]:
    """The environment of the container "app" on ECS."""
    definition = task_definition(cloud.definition_on_ecs())
    found: list[dict[str, str]] = definition["containerDefinitions"][0].get("environment", [])
    return found
