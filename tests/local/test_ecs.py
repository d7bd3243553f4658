"""The embedded ECS through boto3. Each test states AWS's behaviour and its source."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, WaiterError
from moto import mock_aws
from moto.server import ThreadedMotoServer

from infra.local.aws import clock, ecs
from infra.local.aws.ecs_events import state_change
from tests.support.serving import ROOT

BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
HERE = {"cluster": "main", "service": "hello"}


@pytest.fixture
def client() -> Iterator[Any]:
    ecs.install()
    with mock_aws():
        made = boto3.client(
            "ecs", "eu-west-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        made.create_cluster(clusterName="main")
        for tag in ("v1", "v2", "v3"):
            register(made, tag)
        yield made


def register(client: Any, tag: str) -> None:
    client.register_task_definition(
        family="hello", containerDefinitions=[{"name": "web", "image": f"hello:{tag}", "memory": 8}]
    )


def create(client: Any, desired: int = 2, **more: Any) -> Any:
    request = {"deploymentConfiguration": BREAKER} | more
    return client.create_service(
        cluster="main",
        serviceName="hello",
        taskDefinition="hello:1",
        desiredCount=desired,
        **request,
    )["service"]


def create_completed(client: Any, **more: Any) -> None:
    create(client, **more)
    ecs.engine().complete("main", "hello")


def update(client: Any, **change: Any) -> Any:
    return client.update_service(**HERE, **change)["service"]


def describe(client: Any) -> Any:
    return client.describe_services(cluster="main", services=["hello"])["services"][0]


def rollouts(client: Any, **asked: Any) -> Any:
    return client.list_service_deployments(**HERE, **asked)["serviceDeployments"]


def newest_rollout(client: Any) -> Any:
    arn = rollouts(client)[0]["serviceDeploymentArn"]
    found = client.describe_service_deployments(serviceDeploymentArns=[arn])
    return found["serviceDeployments"][0]


def target_definition(client: Any, rollout: Any) -> str:
    arn = rollout["targetServiceRevisionArn"]
    found = client.describe_service_revisions(serviceRevisionArns=[arn])["serviceRevisions"]
    definition: str = found[0]["taskDefinition"]
    return definition


def states(service: Any) -> list[tuple[str, str, str]]:
    return [
        (each["status"], each["rolloutState"], each["taskDefinition"].split("/")[1])
        for each in service["deployments"]
    ]


def test_the_tasks_of_a_daemon_cannot_be_counted(client: Any) -> None:
    """fabfuel/ecs-deploy issue 59 and kayac/ecspresso pull request 20 have ECS's message."""
    made = client.create_service(
        cluster="main",
        serviceName="hello",
        taskDefinition="hello:1",
        schedulingStrategy="DAEMON",
        deploymentConfiguration=BREAKER,
    )["service"]
    assert (made["schedulingStrategy"], made["desiredCount"]) == ("DAEMON", 1)
    with pytest.raises(ClientError, match="does not support a desired count"):
        update(client, desiredCount=2)


def test_a_new_service_is_in_progress_until_its_tasks_run(client: Any) -> None:
    """API reference, Deployment.rolloutState: IN_PROGRESS until the service is steady."""
    create(client)
    primary = describe(client)["deployments"][0]
    assert (primary["pendingCount"], primary["rolloutState"]) == (2, "IN_PROGRESS")
    ecs.engine().report("main", "hello", primary["id"], running=1)
    assert states(describe(client)) == [("PRIMARY", "IN_PROGRESS", "hello:1")]
    ecs.engine().report("main", "hello", primary["id"], running=2)
    service = describe(client)
    assert states(service) == [("PRIMARY", "COMPLETED", "hello:1")]
    assert (service["runningCount"], service["pendingCount"]) == (2, 0)
    assert service["events"][0]["message"] == "(service hello) has reached a steady state."


def test_the_stable_waiter_waits_for_running_tasks(client: Any) -> None:
    """Waiter ServicesStable: one deployment, and as many running tasks as desired."""
    create(client)
    waiter = client.get_waiter("services_stable")
    once = {"Delay": 0, "MaxAttempts": 1}
    with pytest.raises(WaiterError):
        waiter.wait(cluster="main", services=["hello"], WaiterConfig=once)
    ecs.engine().complete("main", "hello")
    waiter.wait(cluster="main", services=["hello"], WaiterConfig=once)


def test_another_task_definition_starts_a_deployment_beside_the_old_one(client: Any) -> None:
    """API reference, Deployment.status: the newest is PRIMARY, one being replaced is ACTIVE."""
    create_completed(client)
    updated = update(client, taskDefinition="hello:2")
    assert updated["taskDefinition"].endswith(":task-definition/hello:2")
    assert states(updated) == [
        ("PRIMARY", "IN_PROGRESS", "hello:2"),
        ("ACTIVE", "COMPLETED", "hello:1"),
    ]
    assert updated["runningCount"] == 2
    ecs.engine().complete("main", "hello")
    assert states(describe(client)) == [("PRIMARY", "COMPLETED", "hello:2")]


@pytest.mark.parametrize("name", ["hello", "hello:3"])
def test_a_task_definition_is_named_by_family_revision_or_arn(client: Any, name: str) -> None:
    """API reference, UpdateService.taskDefinition: without a revision, the latest ACTIVE one."""
    create_completed(client)
    arn = update(client, taskDefinition=name)["taskDefinition"]
    assert arn.endswith("/hello:3")
    assert len(update(client, taskDefinition=arn)["deployments"]) == 2


def test_the_same_task_definition_starts_no_deployment_unless_forced(client: Any) -> None:
    """API reference, UpdateService.forceNewDeployment: starts one with no other change."""
    create_completed(client)
    update(client, taskDefinition="hello:1", desiredCount=2)
    assert len(rollouts(client)) == 1
    update(client, forceNewDeployment=True)
    assert len(rollouts(client)) == 2


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({**HERE, "taskDefinition": "hello:9"}, "ClientException", "TaskDefinition not found."),
        ({**HERE, "taskDefinition": "other"}, "ClientException", "TaskDefinition not found."),
        ({**HERE, "service": "none"}, "ServiceNotFoundException", "Service not found."),
        ({**HERE, "cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
    ],
)
def test_an_update_with_a_missing_resource_is_refused(
    client: Any, request_: Any, code: str, message: str
) -> None:
    """API reference, UpdateService, Errors."""
    create(client)
    with pytest.raises(ClientError) as caught:
        client.update_service(**request_)
    assert caught.value.response["Error"] == {"Code": code, "Message": message}


def test_a_deregistered_task_definition_cannot_be_rolled_out(client: Any) -> None:
    """Developer guide, "Deregistering a task definition": INACTIVE ones start no tasks."""
    create(client)
    client.deregister_task_definition(taskDefinition="hello:2")
    with pytest.raises(client.exceptions.ClientException, match="inactive"):
        update(client, taskDefinition="hello:2")


def test_an_inactive_task_definition_is_described_only_while_a_service_runs_it(
    client: Any,
) -> None:
    """API reference, DescribeTaskDefinition: while a task or service references it."""
    create_completed(client)
    for name in ("hello:1", "hello:2"):
        client.deregister_task_definition(taskDefinition=name)
    assert status_of(client, "hello:1") == "INACTIVE"
    with pytest.raises(client.exceptions.ClientException, match="Unable to describe"):
        status_of(client, "hello:2")
    update(client, taskDefinition="hello:3")
    assert status_of(client, "hello:1") == "INACTIVE"
    ecs.engine().complete("main", "hello")
    with pytest.raises(client.exceptions.ClientException, match="Unable to describe"):
        status_of(client, "hello:1")


def test_a_deleted_task_definition_disappears_when_no_service_runs_it(
    client: Any,
) -> None:
    """Developer guide, "Deleting an Amazon ECS task definition revision": INACTIVE ones only.

    A revision is DELETE_IN_PROGRESS while a service runs it, and no service can be moved to it.
    """
    create_completed(client)
    names = ["hello:1", "hello:2", "hello:3"]
    for name in names[:2]:
        client.deregister_task_definition(taskDefinition=name)
    answer = client.delete_task_definitions(taskDefinitions=names)
    assert [each["revision"] for each in answer["taskDefinitions"]] == [1, 2]
    assert "ACTIVE" in answer["failures"][0]["reason"]
    assert status_of(client, "hello:1") == "DELETE_IN_PROGRESS"
    with pytest.raises(client.exceptions.ClientException, match="Unable to describe"):
        status_of(client, "hello:2")
    with pytest.raises(client.exceptions.ClientException, match="inactive"):
        update(client, taskDefinition="hello:2")


def test_the_number_of_a_deleted_task_definition_is_not_used_again(client: Any) -> None:
    """Developer guide, "Task definition states": each registration counts the revision up."""
    client.deregister_task_definition(taskDefinition="hello:3")
    client.delete_task_definitions(taskDefinitions=["hello:3"])
    register(client, "v4")
    found = client.describe_task_definition(taskDefinition="hello")["taskDefinition"]
    assert found["revision"] == 4


def status_of(client: Any, name: str) -> str:
    answer = client.describe_task_definition(taskDefinition=name)
    return str(answer["taskDefinition"]["status"])


def test_a_second_service_of_the_same_name_is_refused(client: Any) -> None:
    """API reference, CreateService: a second one of that name is not idempotent."""
    create(client)
    with pytest.raises(client.exceptions.InvalidParameterException, match="not idempotent"):
        create(client)


def test_a_deleted_service_is_inactive_and_may_be_created_again(client: Any) -> None:
    """API reference, DeleteService and ServiceNotActiveException."""
    create_completed(client)
    with pytest.raises(client.exceptions.InvalidParameterException, match="scaled above 0"):
        client.delete_service(**HERE)
    client.delete_service(**HERE, force=True)
    assert describe(client)["status"] == "INACTIVE"
    assert client.list_services(cluster="main")["serviceArns"] == []
    with pytest.raises(client.exceptions.ServiceNotActiveException):
        update(client, desiredCount=1)
    assert create(client)["status"] == "ACTIVE"


def test_describing_a_missing_service_returns_a_failure(client: Any) -> None:
    """API reference, DescribeServices: `failures` with reason MISSING, not an error."""
    found = client.describe_services(cluster="main", services=["none"])
    arn = "arn:aws:ecs:eu-west-1:123456789012:service/main/none"
    assert (found["services"], found["failures"]) == ([], [{"arn": arn, "reason": "MISSING"}])


def test_a_deployment_configuration_is_returned_complete(client: Any) -> None:
    """API reference, DeploymentConfiguration: 200 and 100 percent, and no breaker, by default."""
    default = client.create_service(
        cluster="main", serviceName="plain", taskDefinition="hello:1", desiredCount=0
    )["service"]["deploymentConfiguration"]
    assert default == {
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
    }
    mine = BREAKER | {"maximumPercent": 150, "minimumHealthyPercent": 50}
    create(client, deploymentConfiguration=mine)
    assert describe(client)["deploymentConfiguration"] == mine


@pytest.mark.parametrize(("desired", "threshold"), [(1, 3), (6, 3), (7, 4), (1000, 200)])
def test_the_breaker_trips_at_half_the_desired_tasks(
    client: Any, desired: int, threshold: int
) -> None:
    """ "Deployment circuit breaker": 3 <= 0.5 * desired count, rounded up <= 200."""
    create(client, desired=desired)
    primary = describe(client)["deployments"][0]["id"]
    ecs.engine().report("main", "hello", primary, running=0, failed=threshold - 1)
    assert states(describe(client))[0][1] == "IN_PROGRESS"
    assert newest_rollout(client)["deploymentCircuitBreaker"] == {
        "status": "MONITORING",
        "failureCount": threshold - 1,
        "threshold": threshold,
    }
    ecs.engine().report("main", "hello", primary, running=0, failed=1)
    assert states(describe(client))[0][1] == "FAILED"


def test_a_healthy_task_resets_the_failure_count(client: Any) -> None:
    """API reference, DeploymentCircuitBreaker.resetOnHealthyTask: true by default."""
    create(client, desired=2)
    primary = describe(client)["deployments"][0]["id"]
    ecs.engine().report("main", "hello", primary, running=0, failed=2)
    ecs.engine().report("main", "hello", primary, running=1)
    assert describe(client)["deployments"][0]["failedTasks"] == 0


def test_a_failed_rollout_is_rolled_back_by_a_new_deployment(client: Any) -> None:
    """ "Deployment circuit breaker": rollback starts the last COMPLETED deployment's revision."""
    create_completed(client)
    good = describe(client)["deployments"][0]["id"]
    update(client, taskDefinition="hello:2")
    ecs.engine().fail("main", "hello")
    service = describe(client)
    assert service["taskDefinition"].endswith("/hello:1")
    assert states(service) == [
        ("PRIMARY", "IN_PROGRESS", "hello:1"),
        ("ACTIVE", "FAILED", "hello:2"),
        ("ACTIVE", "COMPLETED", "hello:1"),
    ]
    back, failed, _ = service["deployments"]
    assert back["rolloutStateReason"] == (
        f"ECS deployment circuit breaker: rolling back to deploymentId {good}."
    )
    assert failed["rolloutStateReason"] == (
        "ECS deployment circuit breaker: tasks failed to start."
    )
    assert (failed["runningCount"], failed["pendingCount"], failed["failedTasks"]) == (0, 0, 3)
    messages = [each["message"] for each in service["events"]]
    here = f"(service hello) (deployment {failed['id']})"
    assert f"{here} deployment failed: tasks failed to start." in messages
    assert f"(service hello) rolling back to deployment {good}." in messages
    ecs.engine().complete("main", "hello")
    assert states(describe(client)) == [("PRIMARY", "COMPLETED", "hello:1")]


def test_a_rollback_stays_in_the_record_of_the_failed_rollout(client: Any) -> None:
    """API reference, ServiceDeployment: status and `rollback` of one service deployment."""
    create_completed(client)
    first = rollouts(client)[0]
    update(client, taskDefinition="hello:2")
    ecs.engine().fail("main", "hello")
    record = newest_rollout(client)
    assert record["status"] == "ROLLBACK_IN_PROGRESS"
    assert record["rollback"]["serviceRevisionArn"] == first["targetServiceRevisionArn"]
    assert record["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    ecs.engine().complete("main", "hello")
    assert [each["status"] for each in rollouts(client)] == ["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"]
    assert target_definition(client, rollouts(client)[0]).endswith("/hello:2")


def test_a_rollback_that_fails_is_not_rolled_back_again(client: Any) -> None:
    """ "Deployment circuit breaker": the deployment of a running rollback is not COMPLETED."""
    create_completed(client)
    update(client, taskDefinition="hello:2")
    ecs.engine().fail("main", "hello")
    ecs.engine().fail("main", "hello")
    assert states(describe(client))[0] == ("PRIMARY", "FAILED", "hello:1")
    assert rollouts(client)[0]["status"] == "ROLLBACK_FAILED"


@pytest.mark.parametrize("completed_before", [False, True])
def test_a_failure_without_rollback_stays_primary(client: Any, completed_before: bool) -> None:
    """ "Deployment circuit breaker": without a COMPLETED one, or with rollback off, it stalls.

    "Troubleshooting with Amazon ECS Action Logs": the first case is a rollback that failed.
    """
    keep = {"deploymentCircuitBreaker": {"enable": True, "rollback": not completed_before}}
    create(client, deploymentConfiguration=keep)
    if completed_before:
        ecs.engine().complete("main", "hello")
        update(client, taskDefinition="hello:2")
    ecs.engine().fail("main", "hello")
    assert states(describe(client))[0][:2] == ("PRIMARY", "FAILED")
    record = rollouts(client)[0]
    assert (record["status"], record["statusReason"]) == (
        ("STOPPED", "ECS deployment circuit breaker: tasks failed to start.")
        if completed_before
        else ("ROLLBACK_FAILED", "No rollback candidate was found to run the rollback.")
    )
    assert describe(client)["runningCount"] == (2 if completed_before else 0)


def test_without_a_breaker_a_rollout_never_fails(client: Any) -> None:
    """API reference, rolloutState: FAILED only if the circuit breaker is turned on."""
    create(client, deploymentConfiguration={})
    primary = describe(client)["deployments"][0]["id"]
    ecs.engine().report("main", "hello", primary, running=0, failed=500)
    assert states(describe(client))[0][1] == "IN_PROGRESS"
    with pytest.raises(ValueError, match="no deployment circuit breaker"):
        ecs.engine().fail("main", "hello")


def test_a_superseded_rollout_is_stopped(client: Any) -> None:
    """ "Service deployments": one that is replaced before its end is STOPPED."""
    create_completed(client)
    update(client, taskDefinition="hello:2")
    update(client, taskDefinition="hello:3")
    assert [each[:1] + each[2:] for each in states(describe(client))] == [
        ("PRIMARY", "hello:3"),
        ("ACTIVE", "hello:2"),
        ("ACTIVE", "hello:1"),
    ]
    assert [each["status"] for each in rollouts(client)] == ["PENDING", "STOPPED", "SUCCESSFUL"]


def test_a_report_about_a_drained_deployment_has_no_effect(client: Any) -> None:
    """The API may change a service while an agent checks its tasks. The report is then late."""
    create_completed(client)
    old = describe(client)["deployments"][0]["id"]
    update(client, taskDefinition="hello:2")
    ecs.engine().complete("main", "hello")
    before = describe(client)
    ecs.engine().report("main", "hello", old, running=0, failed=3)
    ecs.engine().report("main", "gone", old, running=0, failed=3)
    assert describe(client) == before


def test_a_service_scaled_to_zero_completes_at_the_next_report(client: Any) -> None:
    """A rollout without desired tasks is steady at once."""
    create(client, desired=0)
    primary = describe(client)["deployments"][0]["id"]
    ecs.engine().report("main", "hello", primary, running=0)
    assert states(describe(client)) == [("PRIMARY", "COMPLETED", "hello:1")]


def test_scaling_starts_no_deployment(client: Any) -> None:
    """API reference, UpdateService.desiredCount: tasks are added to the current deployment."""
    create_completed(client)
    service = update(client, desiredCount=5)
    assert (service["desiredCount"], service["runningCount"], service["pendingCount"]) == (5, 2, 3)
    assert len(rollouts(client)) == 1


def test_the_ids_of_rollouts_and_revisions_are_unrelated(client: Any) -> None:
    """API reference, ServiceDeployment: its ARN shares no id with the `ecs-svc/` deployment."""
    create(client)
    deployment = describe(client)["deployments"][0]["id"].removeprefix("ecs-svc/")
    record = newest_rollout(client)
    arn, revision = record["serviceDeploymentArn"], record["targetServiceRevision"]["arn"]
    assert ":service-deployment/main/hello/" in arn
    assert ":service-revision/main/hello/" in revision
    assert deployment not in arn
    assert deployment not in revision
    assert arn.split("/")[-1] not in revision


def test_a_record_has_source_target_and_times(client: Any) -> None:
    """API reference, ServiceDeployment."""
    create_completed(client)
    update(client, taskDefinition="hello:2")
    assert "startedAt" not in rollouts(client)[0]
    ecs.engine().complete("main", "hello")
    record = newest_rollout(client)
    source, target = rollouts(client)[1], rollouts(client)[0]
    assert [each["arn"] for each in record["sourceServiceRevisions"]] == [
        source["targetServiceRevisionArn"]
    ]
    assert record["targetServiceRevision"]["runningTaskCount"] == 2
    assert record["createdAt"] <= record["startedAt"] <= record["finishedAt"]
    assert record["deploymentCircuitBreaker"]["status"] == "MONITORING_COMPLETE"
    assert target_definition(client, target).endswith("/hello:2")


def test_rollouts_are_listed_by_page_status_and_time(client: Any) -> None:
    """API reference, ListServiceDeployments: 20 by default, then `nextToken`."""
    clock.advance(-3600)
    create(client)
    clock.reset()
    for _ in range(22):
        update(client, forceNewDeployment=True)
    pages = [client.list_service_deployments(**HERE)]
    pages.append(client.list_service_deployments(**HERE, nextToken=pages[0]["nextToken"]))
    assert [len(page["serviceDeployments"]) for page in pages] == [20, 3]
    assert "nextToken" not in pages[1]
    assert len(rollouts(client, maxResults=5)) == 5
    assert len(rollouts(client, status=["STOPPED"], maxResults=100)) == 22
    recent = datetime.now(UTC) - timedelta(minutes=1)
    assert len(rollouts(client, createdAt={"after": recent}, maxResults=100)) == 22
    assert len(rollouts(client, createdAt={"before": recent})) == 1


def test_unknown_rollouts_and_revisions_are_failures(client: Any) -> None:
    """API reference, DescribeServiceDeployments and DescribeServiceRevisions: `failures`."""
    arn = "arn:aws:ecs:eu-west-1:123456789012:service-deployment/main/hello/none"
    rollout = client.describe_service_deployments(serviceDeploymentArns=[arn])
    revision = client.describe_service_revisions(serviceRevisionArns=[arn])
    expected = [{"arn": arn, "reason": "MISSING"}]
    assert rollout["failures"] == revision["failures"] == expected


def test_every_change_of_a_rollout_sends_an_event(client: Any) -> None:
    """ "Amazon ECS service deployment state change events"."""
    create_completed(client)
    update(client, taskDefinition="hello:2")
    ecs.engine().fail("main", "hello")
    ecs.engine().complete("main", "hello")
    drained = ecs.engine().drain_events()
    events = [each for each in drained if each["detail-type"] == "ECS Deployment State Change"]
    names = [each["detail"]["eventName"].removeprefix("SERVICE_DEPLOYMENT_") for each in events]
    assert names == [
        "IN_PROGRESS",
        "COMPLETED",
        "IN_PROGRESS",
        "FAILED",
        "IN_PROGRESS",
        "COMPLETED",
    ]
    assert events[4]["detail"]["deploymentId"] == describe(client)["deployments"][0]["id"]
    assert events[3]["detail"]["eventType"] == "ERROR"
    assert ecs.engine().drain_events() == []


def test_an_event_has_the_fields_that_aws_documents() -> None:
    """ "Amazon ECS service deployment state change events", the example of a completed one."""
    arn = "arn:aws:ecs:us-west-2:111122223333:service/default/servicetest"
    event = state_change(arn, "ecs-svc/123", "SERVICE_DEPLOYMENT_COMPLETED", "done")
    stamp = event["time"]
    assert datetime.fromisoformat(stamp).tzinfo is not None
    assert event.pop("id")
    assert event == {
        "version": "0",
        "detail-type": "ECS Deployment State Change",
        "source": "aws.ecs",
        "account": "111122223333",
        "time": stamp,
        "region": "us-west-2",
        "resources": [arn],
        "detail": {
            "eventType": "INFO",
            "eventName": "SERVICE_DEPLOYMENT_COMPLETED",
            "deploymentId": "ecs-svc/123",
            "updatedAt": stamp,
            "reason": "done",
        },
    }


def test_a_task_definition_is_returned_as_registered(client: Any) -> None:
    """API reference, DescribeTaskDefinition: every field, and the tags on request."""
    container = {
        "name": "web",
        "image": "hello@sha256:" + "0" * 64,
        "cpu": 10,
        "memory": 128,
        "essential": True,
        "command": ["serve"],
        "environment": [{"name": "A", "value": "B"}],
        "secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:eu-west-1:1:parameter/s"}],
        "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
        "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
        "volumesFrom": [],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g"}},
        "healthCheck": {
            "command": ["CMD", "true"],
            "interval": 5,
            "timeout": 2,
            "retries": 2,
            "startPeriod": 1,
        },
    }
    asked = {
        "family": "whole",
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": "arn:aws:iam::123456789012:role/run",
        "taskRoleArn": "arn:aws:iam::123456789012:role/app",
        "volumes": [{"name": "data", "host": {}}],
        "placementConstraints": [{"type": "memberOf", "expression": "attribute:x == y"}],
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "containerDefinitions": [container],
    }
    tags = [{"key": "owner", "value": "team"}]
    client.register_task_definition(**asked, tags=tags)
    found = client.describe_task_definition(taskDefinition="whole:1", include=["TAGS"])
    assert {key: found["taskDefinition"].get(key) for key in asked} == asked
    assert found["tags"] == tags


def test_fargate_pulls_from_ecr_only_with_an_execution_role(client: Any) -> None:
    """Developer guide, "Amazon ECS task execution IAM role". The text is that of ECS."""
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/hello:1"
    asked: Any = {
        "family": "small",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "app", "image": image}],
    }
    with pytest.raises(client.exceptions.ClientException, match="execution role ARN"):
        client.register_task_definition(**asked)
    client.register_task_definition(**asked, executionRoleArn="arn:aws:iam::123456789012:role/run")
    client.register_task_definition(**asked | {"requiresCompatibilities": ["EC2"]})
    public: Any = [{"name": "app", "image": "nginx"}]
    client.register_task_definition(**asked | {"containerDefinitions": public})


def test_a_server_and_the_engine_share_one_state_that_a_reset_clears() -> None:
    ecs.install()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        remote = boto3.client(
            "ecs",
            "eu-west-1",
            endpoint_url=f"http://{host}:{port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        remote.create_cluster(clusterName="main")
        register(remote, "v1")
        create_completed(remote)
        assert states(describe(remote)) == [("PRIMARY", "COMPLETED", "hello:1")]
        assert rollouts(remote, createdAt={"before": datetime(2020, 1, 1, tzinfo=UTC)}) == []
    finally:
        server.stop()
    with mock_aws():
        assert ecs.engine().services() == []


def test_the_embedded_ecs_starts_without_the_slow_import_of_motos_ec2() -> None:
    look = (
        "import infra.local.aws.ecs, moto.ecs.models, sys; assert 'moto.ec2' not in sys.modules;"
        " print(moto.ecs.models.ec2_backends['123456789012']['eu-west-1'].region_name)"
    )
    run = [sys.executable, "-c", look]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "eu-west-1\n"
