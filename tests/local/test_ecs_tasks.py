"""The tasks of the embedded ECS through boto3. Each test states AWS's behaviour and its source."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from infra.local.aws import clock, ecs
from infra.local.aws.ecs_logs import NO_LOG_GROUP
from tests.support.ecs_world import HERE, World, ecs_world

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CHECK: dict[str, Any] = {"healthCheck": {"command": ["CMD", "/probe"]}}


@pytest.fixture
def world() -> Iterator[World]:
    with ecs_world() as world:
        yield world


def manifest(note: str) -> Any:
    return {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "annotations": {"n": note}}


def web(task: Any) -> Any:
    return next(each for each in task["containers"] if each["name"] == "web")


def test_a_service_has_one_pending_task_for_each_that_is_desired(world: World) -> None:
    """API reference, Task and Container: startedBy is the deployment's id."""
    definition = world.register()
    world.create(complete=False)
    first, second = world.tasks()
    assert first["taskArn"] != second["taskArn"]
    assert first["taskArn"].startswith("arn:aws:ecs:eu-west-1:123456789012:task/main/")
    assert (first["lastStatus"], first["desiredStatus"]) == ("PENDING", "RUNNING")
    assert first["clusterArn"].endswith(":cluster/main")
    assert first["taskDefinitionArn"] == definition
    assert (first["group"], first["startedBy"]) == ("service:hello", world.deployment())
    assert "startedAt" not in first
    assert web(first)["lastStatus"] == "PENDING"
    assert {"imageDigest", "runtimeId", "exitCode", "reason"}.isdisjoint(web(first))


def test_healthy_tasks_run_and_the_others_are_pending(world: World) -> None:
    """Task life cycle: PENDING, then RUNNING."""
    world.register()
    world.create(desired=3, complete=False)
    world.report(2)
    tasks = world.tasks()
    assert sorted(each["lastStatus"] for each in tasks) == ["PENDING", "RUNNING", "RUNNING"]
    running = next(each for each in tasks if each["lastStatus"] == "RUNNING")
    assert running["createdAt"] <= running["startedAt"]
    assert web(running)["lastStatus"] == "RUNNING"
    assert {"imageDigest", "runtimeId"} <= web(running).keys()
    world.report(3)
    assert {each["taskArn"] for each in world.tasks()} == {each["taskArn"] for each in tasks}


def test_only_a_health_check_of_the_definition_makes_a_task_healthy(world: World) -> None:
    """API reference, Container.healthStatus: UNKNOWN without a health check."""
    world.register()
    world.create(desired=1)
    assert [each["healthStatus"] for each in world.tasks()] == ["UNKNOWN"]
    world.register(**CHECK)
    world.update(taskDefinition="hello")
    (fresh,) = world.describe(*world.arns(startedBy=world.deployment()))["tasks"]
    assert fresh["healthStatus"] == "UNKNOWN"
    world.report(1)
    (task,) = world.tasks()
    assert (task["healthStatus"], web(task)["healthStatus"]) == ("HEALTHY", "HEALTHY")
    sidecar = {"name": "proxy", "image": "proxy:1", "memory": 8}
    world.register("web:1", sidecar, **CHECK)
    world.update(taskDefinition="hello")
    world.report(1)
    assert [each["healthStatus"] for each in world.tasks()] == ["UNKNOWN"]


def test_a_replaced_deployments_tasks_are_stopped_by_the_scheduler(world: World) -> None:
    """Stopped tasks error messages: "Scaling activity initiated by (deployment …)"."""
    world.register()
    world.create()
    old = world.deployment()
    before = set(world.arns())
    world.register("web:2")
    world.update(taskDefinition="hello")
    assert before < set(world.arns())
    world.report(2)
    stopped = world.tasks("STOPPED")
    assert {each["taskArn"] for each in stopped} == before
    for task in stopped:
        assert task["stoppedReason"] == f"Scaling activity initiated by (deployment {old})"
        assert task["stopCode"] == "ServiceSchedulerInitiated"
        assert (task["lastStatus"], task["desiredStatus"]) == ("STOPPED", "STOPPED")
        assert task["startedAt"] <= task["stoppingAt"] <= task["stoppedAt"]
        assert (web(task)["lastStatus"], web(task)["exitCode"]) == ("STOPPED", 0)


def test_scaling_in_and_deleting_the_service_stop_tasks(world: World) -> None:
    """API reference, Task.stopCode: the service's scheduler stopped it."""
    world.register()
    world.create(desired=3)
    world.update(desiredCount=1)
    world.report(1)
    assert (len(world.tasks()), len(world.tasks("STOPPED"))) == (1, 2)
    world.ecs.delete_service(**HERE, force=True)
    assert (world.tasks(), len(world.tasks("STOPPED"))) == ([], 3)


@pytest.mark.parametrize(
    ("reason", "details", "code", "shown"),
    [
        (
            "Essential container in task exited",
            {},
            "EssentialContainerExited",
            {"exitCode": 1},
        ),
        (
            "Essential container in task exited",
            {
                "exit_code": 137,
                "container_reason": "OutOfMemoryError: Container killed due to memory usage",
            },
            "EssentialContainerExited",
            {"exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"},
        ),
        (
            "CannotPullContainerError: hello:2: not found",
            {},
            "TaskFailedToStart",
            {"reason": "CannotPullContainerError: hello:2: not found"},
        ),
        (NO_LOG_GROUP, {}, "TaskFailedToStart", {}),
        ("Task failed to start", {}, "TaskFailedToStart", {}),
        (
            "Task failed container health checks",
            {},
            "ServiceSchedulerInitiated",
            {"exitCode": 137},
        ),
        (
            "Task failed ELB health checks in (target-group arn:aws:x)",
            {"exit_code": 0},
            "ServiceSchedulerInitiated",
            {"exitCode": 0},
        ),
        ("Host EC2 terminated.", {"stop_code": "TerminationNotice"}, "TerminationNotice", {}),
    ],
)
def test_a_failed_task_shows_why_it_stopped(
    world: World, reason: str, details: Any, code: str, shown: Any
) -> None:
    """Stopped tasks error messages; API reference, Task.stopCode and Container.

    Containers that never ran have no exit code and no digest.
    """
    world.register("web:1", {"name": "proxy", "image": "proxy:1", "memory": 8}, **CHECK)
    world.create(complete=False)
    world.report(0, failed=1, reason=reason, **details)
    (task,) = world.tasks("STOPPED")
    assert (task["stoppedReason"], task["stopCode"]) == (reason, code)
    failed, sidecar = task["containers"]
    ran = code != "TaskFailedToStart"
    expected = shown or ({"exitCode": 1} if ran else {})
    assert {key: failed[key] for key in ("exitCode", "reason") if key in failed} == expected
    assert sidecar.get("exitCode") == (0 if ran else None)
    assert "reason" not in sidecar
    for container in task["containers"]:
        assert ("imageDigest" in container, "runtimeId" in container) == (ran, ran)
    assert ("startedAt" in task) == ran
    assert (failed["healthStatus"] == "UNHEALTHY") == ("health checks" in reason)
    assert [each["lastStatus"] for each in world.tasks()] == ["PENDING", "PENDING"]


def test_the_container_that_ended_the_task_has_the_exit_code(world: World) -> None:
    """API reference, Container.exitCode: each container has its own."""
    world.register("web:1", {"name": "proxy", "image": "proxy:1", "memory": 8})
    world.create(complete=False)
    world.report(0, failed=1, container="proxy", exit_code=3, container_reason="broken")
    (task,) = world.tasks("STOPPED")
    shown = [(each["name"], each["exitCode"], each.get("reason")) for each in task["containers"]]
    assert shown == [("web", 0, None), ("proxy", 3, "broken")]


MIGRATE = {"name": "migrate", "image": "web:1", "memory": 8, "essential": False}


def after(condition: str) -> Any:
    return {"dependsOn": [{"containerName": "migrate", "condition": condition}]}


@pytest.mark.parametrize("condition", ["SUCCESS", "COMPLETE"])
def test_a_running_task_shows_its_init_container_as_stopped(world: World, condition: str) -> None:
    """API reference, ContainerDependency: the other container starts after its end."""
    world.register("web:1", MIGRATE, **after(condition))
    world.create(desired=1)
    (task,) = world.tasks()
    shown = [
        (each["name"], each["lastStatus"], each.get("exitCode")) for each in task["containers"]
    ]
    assert shown == [("web", "RUNNING", None), ("migrate", "STOPPED", 0)]
    assert all("imageDigest" in each for each in task["containers"])
    world.report(0, failed=1, exit_code=3)
    (dead,) = world.failed_tasks()
    assert [each["exitCode"] for each in dead["containers"]] == [3, 0]


def test_a_container_does_not_start_if_the_one_that_it_waits_for_fails(world: World) -> None:
    """Pull request 3218 of aws/amazon-ecs-agent: exit code 143, and the reason."""
    proxy = {"name": "proxy", "image": "proxy:1", "memory": 8}
    world.register("web:1", MIGRATE, proxy, **after("SUCCESS"))
    world.create(desired=1, complete=False)
    world.report(0, failed=1, container="migrate", exit_code=4)
    (task,) = world.failed_tasks()
    assert "startedAt" not in task
    waiting, migrate, other = task["containers"]
    assert [each["exitCode"] for each in task["containers"]] == [143, 4, 0]
    assert "dependency [migrate(web:1) (STOPPED->RUNNING) - Exit: 4]" in waiting["reason"]
    assert ("runtimeId" in waiting, "runtimeId" in migrate, "runtimeId" in other) == (
        False,
        True,
        True,
    )


def test_a_healthy_task_that_dies_is_replaced_by_a_pending_one(world: World) -> None:
    """Developer guide, "Amazon ECS services": the scheduler keeps the desired number of tasks."""
    world.register()
    world.create()
    before = set(world.arns())
    world.report(1, failed=1, exit_code=2)
    (dead,) = world.tasks("STOPPED")
    assert dead["taskArn"] in before
    assert web(dead)["exitCode"] == 2
    assert sorted(each["lastStatus"] for each in world.tasks()) == ["PENDING", "RUNNING"]
    assert len(before & set(world.arns())) == 1


def test_a_stopped_task_is_shown_for_an_hour(world: World) -> None:
    """API reference, DescribeTasks: at least one hour. Inferred: after that it is MISSING."""
    world.register()
    world.create(complete=False)
    world.report(0, failed=1)
    (dead,) = world.arns(desiredStatus="STOPPED")
    clock.advance(timedelta(minutes=59).total_seconds())
    assert [each["taskArn"] for each in world.describe(dead)["tasks"]] == [dead]
    clock.advance(timedelta(minutes=2).total_seconds())
    assert world.arns(desiredStatus="STOPPED") == []
    assert world.describe(dead)["failures"] == [{"arn": dead, "reason": "MISSING"}]
    assert len(world.arns()) == 2


def test_tasks_are_described_by_id_or_arn_and_unknown_ones_are_failures(world: World) -> None:
    """API reference, DescribeTasks.tasks; "API failure reasons": MISSING."""
    world.register()
    world.create(desired=1)
    (arn,) = world.arns()
    answer = world.describe(arn.rpartition("/")[2], "none")
    assert [each["taskArn"] for each in answer["tasks"]] == [arn]
    base = "arn:aws:ecs:eu-west-1:123456789012:task/main"
    assert answer["failures"] == [{"arn": f"{base}/none", "reason": "MISSING"}]
    world.ecs.create_cluster(clusterName="other")
    elsewhere = world.ecs.describe_tasks(cluster="other", tasks=[arn])
    assert (elsewhere["tasks"], elsewhere["failures"][0]["arn"]) == ([], arn)


@pytest.mark.parametrize("count", [0, 101])
def test_at_most_a_hundred_tasks_are_described_at_once(world: World, count: int) -> None:
    """API reference, DescribeTasks.tasks: up to 100 entries."""
    with pytest.raises(world.ecs.exceptions.InvalidParameterException):
        world.describe(*[f"{number:032x}" for number in range(count)])


def test_tasks_are_listed_by_service_family_starter_and_status(world: World) -> None:
    """API reference, ListTasks: RUNNING by default, and PENDING is never a desired status."""
    world.register()
    world.create()
    (here,) = {each["startedBy"] for each in world.tasks()}
    assert len(world.arns(serviceName="hello")) == 2
    assert len(world.arns(serviceName=world.service()["serviceArn"])) == 2
    assert len(world.arns(startedBy=here)) == 2
    assert len(world.arns(family="hello")) == 2
    assert world.arns(startedBy="ecs-svc/0") == world.arns(family="other") == []
    assert world.arns(desiredStatus="PENDING") == world.arns(desiredStatus="STOPPED") == []
    world.report(1, failed=1)
    assert len(world.arns(serviceName="hello", desiredStatus="STOPPED")) == 1
    with pytest.raises(world.ecs.exceptions.ServiceNotFoundException):
        world.arns(serviceName="none")
    with pytest.raises(world.ecs.exceptions.InvalidParameterException, match="only filter"):
        world.arns(startedBy=here, serviceName="hello")


def test_tasks_are_listed_by_page_and_in_no_useful_order(world: World) -> None:
    """API reference, ListTasks: 100 by default. It promises no order."""
    world.register()
    world.create(desired=120)
    pages = list(world.ecs.get_paginator("list_tasks").paginate(cluster="main"))
    assert [len(page["taskArns"]) for page in pages] == [100, 20]
    listed = [arn for page in pages for arn in page["taskArns"]]
    assert len(set(listed)) == 120
    created = [each.task_arn for each in ecs.engine().fleet]
    assert set(created) == set(listed)
    assert listed not in (created, created[::-1], sorted(listed))
    assert len(world.ecs.list_tasks(cluster="main", maxResults=7)["taskArns"]) == 7
    for size in (0, 101):
        with pytest.raises(world.ecs.exceptions.InvalidParameterException):
            world.ecs.list_tasks(cluster="main", maxResults=size)


@pytest.mark.parametrize("reason", [None, "too slow"])
def test_a_task_stopped_by_hand_is_replaced(world: World, reason: str | None) -> None:
    """API reference, StopTask; Task.stopCode UserInitiated."""
    world.register()
    world.create()
    arn = world.arns()[0]
    why = {"reason": reason} if reason else {}
    stopped = world.ecs.stop_task(cluster="main", task=arn, **why)["task"]
    assert (stopped["taskArn"], stopped["desiredStatus"]) == (arn, "STOPPED")
    (task,) = world.tasks("STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == (
        "UserInitiated",
        reason or "Task stopped by user",
    )
    deployment = world.service()["deployments"][0]
    assert (deployment["runningCount"], deployment["pendingCount"]) == (1, 1)
    assert (deployment["failedTasks"], deployment["rolloutState"]) == (0, "COMPLETED")
    world.ecs.stop_task(cluster="main", task=arn, reason="again")
    assert world.tasks("STOPPED") == [task]
    world.report(2)
    assert [each["lastStatus"] for each in world.tasks()] == ["RUNNING", "RUNNING"]


def test_an_unknown_task_cannot_be_stopped(world: World) -> None:
    """API reference, StopTask, Errors."""
    with pytest.raises(world.ecs.exceptions.InvalidParameterException, match="not found"):
        world.ecs.stop_task(cluster="main", task="none")


def test_the_digest_of_an_image_is_the_one_in_its_name(world: World) -> None:
    """API reference, Container.imageDigest."""
    digest = "sha256:" + "a" * 64
    world.register(f"{REGISTRY}/hello@{digest}")
    world.create(desired=1)
    container = web(world.tasks()[0])
    assert (container["image"], container["imageDigest"]) == (
        f"{REGISTRY}/hello@{digest}",
        digest,
    )


def test_the_digest_of_a_tag_is_fixed_when_the_deployments_first_task_starts(
    world: World,
) -> None:
    """API reference, ContainerImage: all tasks of a service run the image that was resolved.

    A new deployment resolves the tag again.
    """
    world.put_image("v1", manifest("one"))
    world.register(f"{REGISTRY}/hello:v1")
    world.create(complete=False)
    second = world.put_image("v1", manifest("two"))
    world.report(1)
    world.put_image("v1", manifest("three"))
    world.report(2)
    assert [web(each)["imageDigest"] for each in world.tasks()] == [second, second]
    record = world.ecs.list_service_deployments(**HERE)["serviceDeployments"][0]
    (revision,) = world.ecs.describe_service_revisions(
        serviceRevisionArns=[record["targetServiceRevisionArn"]]
    )["serviceRevisions"]
    assert revision["containerImages"] == [
        {"containerName": "web", "image": f"{REGISTRY}/hello:v1", "imageDigest": second}
    ]
    fourth = world.put_image("v1", manifest("four"))
    world.update(forceNewDeployment=True)
    world.report(2)
    assert {web(each)["imageDigest"] for each in world.tasks()} == {fourth}


def test_without_version_consistency_each_task_resolves_the_tag(world: World) -> None:
    """API reference, ContainerDefinition.versionConsistency."""
    first = world.put_image("v1", manifest("one"))
    world.register(f"{REGISTRY}/hello:v1", versionConsistency="disabled")
    world.create(complete=False)
    world.report(1)
    second = world.put_image("v1", manifest("two"))
    world.report(2)
    assert {web(each)["imageDigest"] for each in world.tasks()} == {first, second}


def test_images_of_other_registries_have_a_digest_too(world: World) -> None:
    """API reference, Container.imageDigest: wherever the image is from."""
    world.register("nginx:1.27")
    world.create()
    assert len({web(each)["imageDigest"] for each in world.tasks()}) == 1


@pytest.mark.parametrize(
    ("platform", "expected"),
    [({}, "amd64"), ({"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}, "arm64")],
)
@pytest.mark.parametrize("by_digest", [False, True])
def test_a_container_may_report_the_digest_of_its_platforms_manifest(
    world: World, platform: Any, expected: str, by_digest: bool
) -> None:
    """Container.imageDigest is that of "the container image manifest".

    Inferred: that is the index or, with some agents, the manifest of the platform.
    """
    digests = {name: "sha256:" + name[0] * 63 + "0" for name in ("amd64", "bad64")}
    digests["arm64"] = "sha256:" + "c" * 64
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": digests[name],
                "size": 2,
                "platform": {"architecture": architecture, "os": os},
            }
            for name, architecture, os in (
                ("bad64", "unknown", "unknown"),
                ("amd64", "amd64", "linux"),
                ("arm64", "arm64", "linux"),
            )
        ],
    }
    digest = world.put_image("v1", index)
    image = f"{REGISTRY}/hello@{digest}" if by_digest else f"{REGISTRY}/hello:v1"
    for reports_manifests in (False, True):
        ecs.engine().fleet.reports_manifests = reports_manifests
        world.ecs.register_task_definition(
            family="hello",
            containerDefinitions=[{"name": "web", "image": image, "memory": 8}],
            **({"runtimePlatform": platform} if platform else {}),
        )
        if reports_manifests:
            world.update(taskDefinition="hello", forceNewDeployment=True)
            ecs.engine().complete("main", "hello")
        else:
            world.create(desired=1)
        wanted = digests[expected] if reports_manifests else digest
        assert web(world.tasks()[0])["imageDigest"] == wanted


def awslogs(group: str = "/app", **options: str) -> Any:
    options = {
        "awslogs-group": group,
        "awslogs-region": "eu-west-1",
        "awslogs-stream-prefix": "ecs",
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    return {"logConfiguration": {"logDriver": "awslogs", "options": options}}


def test_a_failing_container_leaves_its_output_in_its_log_stream(world: World) -> None:
    """Developer guide, "Send Amazon ECS logs to CloudWatch": prefix/container/task-id."""
    world.logs.create_log_group(logGroupName="/app")
    world.register(**awslogs())
    world.create(complete=False)
    ecs.engine().fail("main", "hello", exit_code=1, log=["starting", "no database"])
    failed = world.failed_tasks()
    assert len(failed) == 3
    for task in failed:
        stream = f"ecs/web/{task['taskArn'].rpartition('/')[2]}"
        events = world.logs.get_log_events(logGroupName="/app", logStreamName=stream)["events"]
        assert [each["message"] for each in events] == ["starting", "no database"]


def test_a_missing_log_group_is_created_only_if_the_definition_says_so(world: World) -> None:
    """Same page, `awslogs-create-group`; otherwise ResourceInitializationError."""
    world.register(**awslogs("/made", awslogs_create_group="true"))
    world.create(complete=False)
    ecs.engine().fail("main", "hello", exit_code=1, log=["boom"])
    groups = world.logs.describe_log_groups()["logGroups"]
    assert [each["logGroupName"] for each in groups] == ["/made"]
    world.register(**awslogs("/missing"))
    world.update(taskDefinition="hello")
    world.report(0, failed=1, exit_code=1, log=["boom"])
    task = world.failed_tasks()[-1]
    assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", NO_LOG_GROUP)
    assert "exitCode" not in web(task)


def test_output_without_the_driver_awslogs_is_nowhere(world: World) -> None:
    """API reference, LogConfiguration.logDriver: other drivers send it elsewhere."""
    world.register(logConfiguration={"logDriver": "json-file"})
    world.create(complete=False)
    ecs.engine().fail("main", "hello", exit_code=1, log=["boom"])
    assert world.logs.describe_log_groups()["logGroups"] == []
    assert [web(each)["exitCode"] for each in world.failed_tasks()] == [1, 1, 1]


def test_a_tripped_breaker_leaves_the_failed_tasks_to_look_at(world: World) -> None:
    """ "Deployment circuit breaker": a failed deployment starts no more tasks."""
    world.register()
    world.create()
    world.register("web:2")
    world.update(taskDefinition="hello")
    failing = world.deployment()
    ecs.engine().fail("main", "hello", reason="Essential container in task exited", exit_code=9)
    dead = world.failed_tasks()
    assert [(each["startedBy"], web(each)["exitCode"]) for each in dead] == [(failing, 9)] * 3
    assert all(each["startedBy"] != failing for each in world.tasks())


def test_the_services_events_name_started_and_stopped_tasks(world: World) -> None:
    """Developer guide, "Amazon ECS service event messages"."""
    world.register()
    world.create(desired=1)
    (arn,) = world.arns()
    task = arn.rpartition("/")[2]
    messages = [each["message"] for each in world.service()["events"]]
    assert messages[-1] == f"(service hello) has started 1 tasks: (task {task})."
    world.update(forceNewDeployment=True)
    world.report(1)
    messages = [each["message"] for each in world.service()["events"]]
    assert f"(service hello) has stopped 1 running tasks: (task {task})." in messages
    assert messages[0] == "(service hello) has reached a steady state."
