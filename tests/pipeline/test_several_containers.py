"""Several containers of a task definition get the image of a release together."""

from typing import Any

import boto3
import pytest

from infra.local.aws import ecs
from tests.support.embedded import (
    CLUSTER,
    Cloud,
    client,
    create_image_repository,
    put_image,
    run_on_ecs,
    task_definition,
)

LOGS = {
    "logDriver": "awslogs",
    "options": {
        "awslogs-group": "/ecs/hello",
        "awslogs-region": "eu-west-1",
        "awslogs-stream-prefix": "web",
    },
}


def run_with_migration(cloud: Cloud, image: str = "hello:before") -> str:
    """The owner's definition has an init container `migrate` that must end before `app` starts."""
    client("logs").create_log_group(logGroupName="/ecs/hello")
    app = {
        "name": "app",
        "image": "hello:before",
        "memory": 128,
        "dependsOn": [{"containerName": "migrate", "condition": "SUCCESS"}],
    }
    migrate = {
        "name": "migrate",
        "image": image,
        "memory": 128,
        "essential": False,
        "logConfiguration": LOGS,
    }
    proxy = {"name": "proxy", "image": "proxy:1", "memory": 64}
    answer = client("ecs").register_task_definition(
        family="hello", containerDefinitions=[app, migrate, proxy]
    )
    arn = str(answer["taskDefinition"]["taskDefinitionArn"])
    run_on_ecs(arn)
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    return arn


@pytest.fixture
def migrating(cloud: Cloud) -> Cloud:
    run_with_migration(cloud)
    cloud.change_service(containers=["app", "migrate"])
    return cloud


def change_when_idle(cloud: Cloud, **changes: Any) -> None:
    """Change the service after its last rollout has ended for certain."""
    for _ in range(2):
        cloud.tick()
    cloud.change_service(**changes)


def images(definition: str) -> dict[str, str]:
    return {
        each["name"]: each["image"] for each in task_definition(definition)["containerDefinitions"]
    }


def running_tasks() -> list[Any]:
    """The running tasks of the newest rollout, as the embedded ECS has them."""
    primary = ecs.engine().service(CLUSTER, "hello").deployments[0]
    return ecs.engine().tasks(primary.id, "RUNNING")


def container_of(task: Any, name: str) -> Any:
    return next(each for each in task.containers if each.name == name)


def test_an_init_container_gets_the_image_of_the_app(migrating: Cloud) -> None:
    migrating.release(1)
    deployment = migrating.deployment(1)
    assert deployment["status"] == "success"
    assert deployment["containers"] == ["app", "migrate"]
    found = images(migrating.definition_on_ecs())
    assert found["app"] == found["migrate"]
    assert found["app"].endswith(f"hello@{deployment['image_digest']}")
    assert found["proxy"] == "proxy:1"
    receipt = migrating.api.get("/v1/cicd/deployments/1/receipt").body
    assert receipt["containers"] == ["app", "migrate"]


def test_a_rollback_takes_all_containers_back(migrating: Cloud) -> None:
    for number in (1, 2):
        migrating.release(number)
    change_when_idle(migrating, containers=["app"])
    back = migrating.roll_back().body["deployment_id"]
    migrating.settle()
    migrating.finish_rollout()
    assert migrating.statuses(back) == ["success"]
    restored = images(migrating.definition_on_ecs())
    assert restored == images(migrating.deployment(1)["task_definition"])
    assert restored["app"] == restored["migrate"]


def test_all_missing_containers_are_named_at_once(cloud: Cloud) -> None:
    cloud.release(1)
    change_when_idle(cloud, containers=["app", "migrate", "worker"])
    refused = cloud.deploy(cloud.build(1)["image_tag"])
    assert (refused.status, refused.body["code"]) == (409, "preflight_failed")
    assert "has no containers migrate, worker; it has: app, sidecar" in refused.body["detail"]
    (finding,) = refused.body["findings"]
    assert (finding["code"], finding["subject"]) == ("container_not_found", "migrate, worker")


@pytest.mark.parametrize(
    ("image", "warned"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/hello:before", True),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/hello", True),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/other/hello:before", False),
        ("docker.io/hello:before", False),
    ],
)
def test_a_container_that_keeps_an_image_of_the_repository_is_a_warning(
    cloud: Cloud, image: str, warned: bool
) -> None:
    create_image_repository("other/hello")
    for repository, tag in (("hello", "before"), ("hello", "latest"), ("other/hello", "before")):
        put_image(repository, tag)
    run_with_migration(cloud, image)
    cloud.release(1)
    deployment = cloud.deployment(1)
    assert deployment["status"] == "success"
    found = [(each["code"], each["severity"], each["subject"]) for each in deployment["findings"]]
    assert found == ([("container_keeps_image", "warning", "migrate")] if warned else [])
    assert images(cloud.definition_on_ecs())["migrate"] == image
    change_when_idle(cloud, containers=["app", "migrate"])
    assert cloud.plan(cloud.build(1)["image_tag"])["findings"] == []


def test_a_plan_shows_every_container_that_changes(migrating: Cloud) -> None:
    migrating.release(1)
    migrating.begin_release(2)
    migrating.finish_rollout()
    plan = migrating.plan(migrating.build(1)["image_tag"])
    assert [each["name"] for each in plan["changes"]["containers"]] == ["app", "migrate"]
    assert plan["image_now"]["deployment_id"] == 2


def test_the_image_that_runs_now_is_that_of_the_first_container(cloud: Cloud) -> None:
    run_with_migration(cloud, "tools:7")
    cloud.change_service(containers=["migrate", "app"], auto_deploy=False)
    cloud.begin_release(1)
    assert cloud.plan(cloud.build(1)["image_tag"])["image_now"]["image"] == "tools:7"


def test_a_failed_init_container_explains_the_failed_rollout(migrating: Cloud) -> None:
    migrating.begin_release(1)
    migrating.fail_rollout(container="migrate", exit_code=4, log=["ALTER TABLE", "locked"])
    deployment = migrating.deployment(1)
    assert deployment["status"] == "failed"
    failure = deployment["failure"]
    assert failure["summary"] == "container migrate exited with code 4"
    assert failure["exit_code"] == 4
    assert failure["log_tail"] == ["ALTER TABLE", "locked"]
    assert {(each["container"], each["exit_code"]) for each in failure["tasks"]} == {("migrate", 4)}
    assert failure["next_step"].startswith("Read the end of the container's log")


@pytest.mark.parametrize(
    ("attribute", "value", "missing"),
    [
        ("image_digest", f"sha256:{'0' * 64}", f"runs sha256:{'0' * 64}, not"),
        ("definition", {"name": "migrate", "image": "hello:before"}, "migrate of task"),
    ],
)
def test_a_task_whose_init_container_ran_another_image_proves_no_release(
    migrating: Cloud, attribute: str, value: Any, missing: str
) -> None:
    migrating.begin_release(1)
    migrating.finish_rollout(settle=False)
    migrate = container_of(running_tasks()[0], "migrate")
    before = getattr(migrate, attribute)
    value = {**before, **value} if isinstance(value, dict) else value
    setattr(migrate, attribute, value)
    migrating.settle()
    deployment = migrating.deployment(1)
    assert deployment["status"] == "deploying"
    assert missing in deployment["error"]
    setattr(migrate, attribute, before)
    migrating.tick()
    assert migrating.statuses(1) == ["success"]


def test_a_task_whose_init_container_never_started_proves_no_release(migrating: Cloud) -> None:
    migrating.begin_release(1)
    migrating.finish_rollout(settle=False)
    for task in running_tasks():
        migrate = container_of(task, "migrate")
        migrate.image_digest, migrate.exit_code = None, None
        migrate.reason = "CannotStartContainerError: exec: not found"
    for _ in range(25):
        migrating.tick()
    deployment = migrating.deployment(1)
    assert deployment["status"] == "failed"
    assert deployment["failure"]["phase"] == "verify"
    assert "the container migrate of task" in deployment["error"]
    assert "did not start: CannotStartContainerError: exec: not found" in deployment["error"]


@pytest.mark.parametrize("by_rollback", [False, True])
def test_a_container_of_the_list_that_ended_badly_is_a_warning(
    migrating: Cloud, by_rollback: bool
) -> None:
    number = 1
    if by_rollback:
        for commit in (1, 2):
            migrating.release(commit)
        number = int(migrating.roll_back().body["deployment_id"])
        migrating.settle()
    else:
        migrating.begin_release(1)
    migrating.finish_rollout(settle=False)
    for task in running_tasks():
        container_of(task, "migrate").exit_code = 1
    migrating.settle()
    deployment = migrating.deployment(number)
    assert deployment["status"] == "success"
    assert deployment["warnings"] == ["container migrate exited with code 1"]
    receipt = migrating.api.get(f"/v1/cicd/deployments/{number}/receipt").body
    assert receipt["warnings"] == deployment["warnings"]


def store_as_before(cloud: Cloud) -> None:
    """Write the rows of the service and of deployment 1 as a version with one container did."""
    dynamodb = boto3.client("dynamodb", region_name="eu-west-1")
    for table, key, attribute, more in (
        ("services", {"id": {"N": str(cloud.service_id)}}, "settings", ", #a.layout = :l"),
        ("jobs", {"id": {"S": "deploy-1"}}, "target", ""),
    ):
        layout = {":l": {"N": "2"}} if more else {}
        dynamodb.update_item(
            TableName=f"slipway-{table}",
            Key=key,
            UpdateExpression=f"SET #a.container = :c{more} REMOVE #a.containers",
            ExpressionAttributeNames={"#a": attribute},
            ExpressionAttributeValues={":c": {"S": "app"}, **layout},
        )


def test_a_service_and_a_release_with_one_container_stay_readable(cloud: Cloud) -> None:
    cloud.release(1)
    store_as_before(cloud)
    assert cloud.service()["containers"] == ["app"]
    assert cloud.deployment(1)["containers"] == ["app"]
    assert cloud.service()["dockerfile"] == "Dockerfile"
    cloud.release(2)
    back = cloud.roll_back().body["deployment_id"]
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(back) == ["success"]
    assert cloud.deployment(back)["containers"] == ["app"]
    cloud.change_service(build_minutes=31)
    assert cloud.service()["containers"] == ["app"]


def test_containers_are_changed_and_removed_with_the_target(cloud: Cloud) -> None:
    assert cloud.change_service(containers=["app", "sidecar"])["containers"] == ["app", "sidecar"]
    path = f"/v1/services/{cloud.service_id}"
    refused = cloud.api.patch(path, {"containers": None})
    assert (refused.status, refused.body["field"]) == (400, "containers")
    nothing = dict.fromkeys(("ecs_cluster", "ecs_service", "containers"))
    assert cloud.change_service(auto_deploy=False, **nothing)["containers"] is None
