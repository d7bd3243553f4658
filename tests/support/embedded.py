"""Slipway in an embedded cloud; only the test moves builds, rollouts and time.

The pump delivers messages, AWS's events and the schedule to the app's handlers. The methods of
`Cloud` do the rest.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import boto3
import pytest
from chalice.test import Client
from moto import mock_aws

import chalicelib.clock
from chalicelib import known_secrets
from chalicelib.domain.telling import Event
from chalicelib.domain.tokens import Role
from chalicelib.pipeline import github_app, glances, heads, line
from chalicelib.store import channels, schema
from chalicelib.store.claims import Follower, followers, set_followers
from chalicelib.store.jobs import find_deployments
from chalicelib.store.models import Claim
from chalicelib.store.tokens import create_token
from chalicelib.store.writes import change, commit
from infra.local.aws import clock, codebuild, ecs, resources
from infra.local.aws.pump import Pump
from infra.local.aws.queues import QUEUE, TELLINGS, create_queues
from tests.support import codebuild_log, replays, shared
from tests.support.builders import (
    WEBHOOK_SECRET,
    delivery_headers,
    pull_payload,
    push_payload,
    wakeup_event,
)
from tests.support.client import Answer, Api
from tests.support.ecs_shifts import BALANCER

_T = TypeVar("_T")
MIDNIGHT = 1_795_305_600.0  # 2026-11-22
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
REPOSITORY = "Codertocat/Hello-World"
CLUSTER = "main"
MINUTE = 60
# The owner's settings of the ECS service; Slipway must keep all of them.
CONFIGURATION: dict[str, Any] = {
    "maximumPercent": 150,
    "minimumHealthyPercent": 50,
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
}


# Creating a client takes as long as a dozen calls.
client: Any = cache(boto3.client)


def sha(number: int) -> str:
    """The SHA of test commit `number`: the number in hex, with leading zeros."""
    return f"{number:040x}"


@dataclass(frozen=True)
class Functions:
    """What AWS invokes: the app with its handlers, and a client of the app's HTTP API."""

    app: Any
    client: Any


def _functions() -> Functions:
    from app import app

    return Functions(app, Client(app))


class Cloud:
    """Slipway, its cloud, and a service "hello" that builds and deploys branch `master`."""

    # The clock stands still by default, so all pushes are made within one second.
    seconds_before_push = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, functions: Functions | None = None) -> None:
        # Another version of the product, or a patched one, does other steps.
        self._replays = functions is None and not replays.patches(monkeypatch)
        functions = functions or _functions()
        monkeypatch.setattr(boto3, "client", client)
        self._now = MIDNIGHT
        monkeypatch.setattr(clock, "now", lambda: self._now)
        monkeypatch.setattr(chalicelib.clock, "now", lambda: int(self._now))
        self._ticks = 0
        monkeypatch.setattr(chalicelib.clock, "microseconds", self._microseconds)
        monkeypatch.setattr(known_secrets, "_known", {})
        monkeypatch.setattr(glances, "_looks", {})
        monkeypatch.setattr(line, "_last", {})
        monkeypatch.setattr(schema, "_has_ends", False)
        monkeypatch.setattr(channels, "_known", None)
        monkeypatch.setattr(heads, "_services", None)
        monkeypatch.setattr(heads, "_seen", {})
        monkeypatch.setattr(heads, "_closed", {})
        monkeypatch.setattr(github_app, "_busy_until", 0)
        monkeypatch.setattr(resources, "create_tables", shared.create_tables)
        self.monkeypatch, self._patches = monkeypatch, replays.patches(monkeypatch)
        self.app = functions.app
        self.handlers_may_fail = False
        self.pump = Pump(functions.app)
        self._deliveries: dict[str, bytes] = {}
        token = self._replay("resources", _create_resources)
        self.api = Api(functions.client, token)
        self.project, self.service_id = self._replay("service", self._create_service)

    def _create_service(self) -> tuple[int, int]:
        self.project = int(self._created("/v1/projects", {"name": "shop"})["id"])
        return self.project, self.add_service("hello")

    def _microseconds(self) -> int:
        self._ticks += 1
        return int(self._now) * 1_000_000 + self._ticks

    # The first steps of a test are replayed if another test has made them.

    def _replay(self, name: Hashable, steps: Callable[[], _T]) -> _T:
        patched = replays.patches(self.monkeypatch) != self._patches
        return steps() if patched or not self._replays else replays.replay(name, steps, self)

    def state(self) -> Any:
        """The state beside AWS's."""
        return self._now, self._ticks, self._deliveries, self.pump.ticked_at

    def set_state(self, state: Any) -> None:
        """Restore a state."""
        self._now, self._ticks, self._deliveries, self.pump.ticked_at = state

    # Actions of the owners of repositories and services.

    def add_service(self, name: str, *, desired: int = 2, **settings: Any) -> int:
        """Create a service with its ECR repository and a healthy ECS service; return its number."""
        body = {
            "name": name,
            "git_url": f"https://github.com/{REPOSITORY}.git",
            "branch": "master",
            "image_repository": name,
            "ecs_cluster": CLUSTER,
            "ecs_service": name,
            "containers": ["app"],
            "auto_deploy": True,
            **settings,
        }
        return self._add(body, desired)

    def add_dependent(self, name: str, *, desired: int = 2, **settings: Any) -> int:
        """Create a service that deploys the images of "hello"; return its number."""
        body = {
            "name": name,
            "image_from": self.service_id,
            "ecs_cluster": CLUSTER,
            "ecs_service": name,
            "containers": ["app"],
            "auto_deploy": True,
            **settings,
        }
        return self._add(body, desired)

    def push(
        self,
        commit: str,
        *,
        branch: str = "master",
        pushed_at: int | None = None,
        delivery: str | None = None,
        secret: str = WEBHOOK_SECRET,
        **changes: Any,
    ) -> Answer:
        """GitHub delivers a push. A known `delivery` is sent again with its first body.

        `changes` are further fields of the payload.
        """
        self.advance(self.seconds_before_push)
        payload = push_payload(**{"after": commit, "ref": f"refs/heads/{branch}", **changes})
        at = int(self._now) if pushed_at is None else pushed_at
        payload["repository"] = payload["repository"] | {"pushed_at": at}
        delivery_id = delivery or f"delivery-{len(self._deliveries)}"
        body = self._deliveries.setdefault(delivery_id, json.dumps(payload).encode())
        headers = delivery_headers(body, delivery=delivery_id, secret=secret)
        return self.api.post("/v1/webhooks/github", raw=body, headers=headers)

    def pull(
        self,
        action: str = "opened",
        commit: str | None = None,
        *,
        delivery: str | None = None,
        secret: str = WEBHOOK_SECRET,
        **changes: Any,
    ) -> Answer:
        """GitHub delivers an event of pull request 2, from the branch "changes" to "master".

        A known `delivery` is sent again with its first body. `changes` are as in `pull_payload`.
        """
        self.advance(self.seconds_before_push)
        sha_of_head = {} if commit is None else {"pull_request__head__sha": commit}
        payload = pull_payload(action=action, **sha_of_head, **changes)
        delivery_id = delivery or f"delivery-{len(self._deliveries)}"
        body = self._deliveries.setdefault(delivery_id, json.dumps(payload).encode())
        headers = delivery_headers(body, delivery=delivery_id, secret=secret, event="pull_request")
        return self.api.post("/v1/webhooks/github", raw=body, headers=headers)

    # Requests to the API.

    def build(self, number: int) -> Any:
        return self._shown(f"/v1/cicd/builds/{number}")

    def deployment(self, number: int) -> Any:
        return self._shown(f"/v1/cicd/deployments/{number}")

    def job(self, job_id: str) -> Any:
        return self._shown(f"/v1/cicd/jobs/{job_id}")

    def service(self, number: int | None = None) -> Any:
        return self._shown(f"/v1/services/{number or self.service_id}")

    def preview(self, deployment_id: int | None = None) -> Any:
        query = f"?deployment_id={deployment_id}" if deployment_id is not None else ""
        return self._shown(f"/v1/cicd/services/{self.service_id}/rollback{query}")

    def change_service(self, **changes: Any) -> Any:
        answer = self.api.patch(f"/v1/services/{self.service_id}", changes)
        assert answer.status == 200, answer.text
        return answer.body

    def ask_for_build(self, **body: Any) -> int:
        """Request a build; return its number."""
        answer = self.api.post(f"/v1/cicd/services/{self.service_id}/build", body)
        assert answer.status == 202, answer.text
        return int(answer.body["build_id"])

    def deploy(self, image: str) -> Answer:
        path = f"/v1/cicd/services/{self.service_id}/deploy"
        return self.api.post(path, {"image_tag": image})

    def plan(self, image: str) -> Any:
        """The plan of a deployment, which is not made."""
        path = f"/v1/cicd/services/{self.service_id}/deploy?dry_run=true"
        answer = self.api.post(path, {"image_tag": image})
        assert answer.status == 200, answer.text
        return answer.body

    def deploy_build(self, number: int) -> int:
        """Request the deployment of a build's image; return the deployment's number."""
        answer = self.deploy(self.build(number)["image_tag"])
        assert answer.status == 202, answer.text
        return int(answer.body["deployment_id"])

    def roll_back(self, **body: Any) -> Answer:
        return self.api.post(f"/v1/cicd/services/{self.service_id}/rollback", body)

    def statuses(self, *numbers: int) -> list[str]:
        """The statuses of deployments."""
        return [self.deployment(number)["status"] for number in numbers]

    # Actions of CodeBuild and ECS.

    def enter_phase(self, number: int, phase: str) -> None:
        """CodeBuild enters a phase of a build, after all phases before it."""
        codebuild.engine().run_into(self.build(number)["codebuild_id"], phase)
        self.settle()

    def finish_build(self, number: int, *, settle: bool = True) -> str:
        """Push a build's image and end the build with success; return the image's digest."""
        build = self.build(number)
        digest = put_image(*build["image_tag"].split(":"))
        self.end_build(number, "SUCCEEDED", settle=settle, IMAGE_DIGEST=digest)
        return digest

    def end_build(
        self,
        number: int,
        status: str,
        *,
        log: Sequence[str] | None = None,
        message: str | None = None,
        fail_phase: str = "BUILD",
        settle: bool = True,
        **exports: str,
    ) -> None:
        """End a build in CodeBuild, without an image in ECR, and with these exported variables.

        CloudWatch shows the `log` before the end. By default that of a failure is complete.
        """
        build = self.build(number)
        exported = {
            "COMMIT_SHA": build["commit_sha"] or sha(7),
            "COMMIT_MESSAGE": "seven",
            "COMMIT_AUTHOR": "Ada",
            **exports,
        }
        engine, codebuild_id = codebuild.engine(), build["codebuild_id"]
        if status == "SUCCEEDED":
            engine.finish(codebuild_id, status, exported=exported)
        else:
            default = codebuild_log.failed_log() if status == "FAILED" else []
            self.write_log(number, *(default if log is None else log))
            engine.run_to(
                codebuild_id,
                status,
                fail_phase=fail_phase,
                message=codebuild_log.failed_command() if message is None else message,
                exported=exported,
            )
        if settle:
            self.settle()

    def write_log(self, number: int, *lines: str) -> None:
        """CloudWatch shows these lines at the end of a build's log."""
        if not lines:
            return
        codebuild_id = self.build(number)["codebuild_id"]
        (build,) = client("codebuild").batch_get_builds(ids=[codebuild_id])["builds"]
        stream = {
            "logGroupName": build["logs"]["groupName"],
            "logStreamName": build["logs"]["streamName"],
        }
        logs = client("logs")
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(**stream)
        at = int(time.time() * 1000)  # moto refuses lines that are two weeks old
        events = [{"timestamp": at, "message": f"{line}\n"} for line in lines]
        logs.put_log_events(**stream, logEvents=events)

    def finish_rollout(self, name: str = "hello", *, settle: bool = True) -> None:
        """Every task of the newest ECS deployment becomes healthy."""
        ecs.engine().complete(CLUSTER, name)
        if settle:
            self.settle()

    def fail_rollout(self, name: str = "hello", *, settle: bool = True, **why: Any) -> None:
        """Tasks of the newest ECS deployment stop until the circuit breaker trips.

        `why` are the reason and the details of `Engine.fail`.
        """
        ecs.engine().fail(CLUSTER, name, **why)
        if settle:
            self.settle()

    def end_command(
        self, exit_code: int = 0, *, log: Sequence[str] = (), settle: bool = True
    ) -> None:
        """The newest task that RunTask has started runs, and its program ends."""
        launcher = ecs.engine().launcher
        launcher.begin(launcher.started[-1])
        launcher.end(launcher.started[-1], exit_code, log=log)
        if settle:
            self.settle()

    def begin_release(self, number: int) -> int:
        """Push commit `number`, build it and begin its rollout; return the build's number."""
        return self._replay(("begin", number), lambda: self._begin_release(number))

    def _begin_release(self, number: int) -> int:
        build = int(self.push(sha(number)).body["builds"][0]["build_id"])
        self.settle()
        self.finish_build(build)
        return build

    def release(self, number: int) -> int:
        """Push commit `number`, build and deploy it; return the deployment's number."""
        return self._replay(("release", number), lambda: self._release(number))

    def _release(self, number: int) -> int:
        build = self.begin_release(number)
        self.finish_rollout()
        return int(self.build(build)["deployment_id"])

    # Messages, events and time.

    def settle(self) -> None:
        """Deliver every pending message and event. CodeBuild begins builds that it has room for."""
        self.pump.settle()
        while codebuild.engine().claim() is not None:
            self.pump.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass without any delivery."""
        self._now += seconds

    def tick(self) -> None:
        """One minute passes and the schedule fires; messages and events stay undelivered."""
        self.advance(MINUTE)
        self.pump.tick()

    def lose_messages(self) -> None:
        """Delete the wake-ups that wait in the queue."""
        self._lose(QUEUE)

    def lose_tellings(self) -> None:
        """Delete the messages about what channels are to be told."""
        self._lose(TELLINGS)

    def _lose(self, queue: str) -> None:
        sqs = client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        for message in taken.get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def lose_events(self) -> None:
        """Drop the undelivered events of CodeBuild and ECS."""
        self.take_events()

    def take_events(self) -> list[dict[str, Any]]:
        """Remove and return the undelivered events of CodeBuild and ECS."""
        return [*codebuild.engine().drain_events(), *ecs.engine().drain_events()]

    def wake(self, row_id: str) -> None:
        """SQS delivers a wake-up."""
        self.app.handler_map["on_wakeup"](wakeup_event(row_id), None)

    def hear(self, event: dict[str, Any]) -> None:
        """EventBridge delivers an event."""
        self.app.handler_map["on_cloud_event"](event, None)

    # The state of AWS.

    def image_on_ecs(self, name: str = "hello") -> str:
        """The image of the PRIMARY deployment, which is the last one that ECS was asked to run."""
        return image_of(self.definition_on_ecs(name))

    def definition_on_ecs(self, name: str = "hello") -> str:
        return str(ecs_service(name)["deployments"][0]["taskDefinition"])

    def rollouts(self, name: str = "hello") -> int:
        """The number of rollouts that ECS has begun after the service's creation."""
        listed = client("ecs").list_service_deployments(cluster=CLUSTER, service=name)
        return len(listed["serviceDeployments"]) - 1

    def builds_in_codebuild(self) -> list[str]:
        """The job id of each build that CodeBuild has started, oldest first."""
        codebuild_client = client("codebuild")
        listed = codebuild_client.list_builds_for_project(
            projectName="slipway-builds", sortOrder="ASCENDING"
        )
        if not listed["ids"]:
            return []
        builds = codebuild_client.batch_get_builds(ids=listed["ids"])["builds"]
        return [
            variable["value"]
            for build in builds
            for variable in build["environment"]["environmentVariables"]
            if variable["name"] == "JOB_ID"
        ]

    def _add(self, body: dict[str, Any], desired: int) -> int:
        def create() -> int:
            if "image_repository" in body:
                create_image_repository(body["name"])
            create_ecs_service(body["name"], desired=desired)
            return int(self._created(f"/v1/projects/{self.project}/services", body)["id"])

        return self._replay(f"{desired} {json.dumps(body)}", create)

    def _created(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(path, body)
        assert answer.status == 201, answer.text
        return answer.body

    def _shown(self, path: str) -> Any:
        answer = self.api.get(path)
        assert answer.status == 200, answer.text
        return answer.body


def _create_resources() -> str:
    """Create queues, tables and the build project; return a token of role admin."""
    create_queues()
    resources.create_resources("version: 0.2\n")
    client("ecs").create_cluster(clusterName=CLUSTER)
    return create_token("tests", Role.ADMIN).secret


def create_ecs_service(name: str, *, cluster: str = CLUSTER, desired: int = 2) -> None:
    """Create a healthy ECS service that runs another image."""
    create_role("hello")
    client("ecs").create_service(
        cluster=cluster,
        serviceName=name,
        taskDefinition=register(name, f"{name}:before"),
        desiredCount=desired,
        deploymentConfiguration=CONFIGURATION,
    )
    ecs.engine().complete(cluster, name)
    ecs.engine().drain_events()


def create_image_repository(name: str) -> None:
    """Create an image repository in ECR if it is missing."""
    ecr = client("ecr")
    with suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=name)


def put_image(repository: str, tag: str, *platforms: str, content: str | None = None) -> str:
    """Put an image into ECR as a build does; return its digest.

    The digest depends on the content, which is the tag by default. The default platform is
    linux/amd64. BuildKit pushes an index, with an attestation in it.
    """
    wanted = [*(platforms or ["linux/amd64"]), "unknown/unknown"]
    return put_index(repository, tag, *wanted, content=content)[0]


def put_index(
    repository: str, tag: str, *platforms: str, content: str | None = None
) -> tuple[str, dict[str, str]]:
    """Put an image index into ECR; return its digest and those of its manifests.

    The digests depend on the content, which is the tag by default.
    """
    content = content or tag
    media_type = "application/vnd.oci.image.manifest.v1+json"
    digests = {
        each: f"sha256:{hashlib.sha256(f'{content} {each}'.encode()).hexdigest()}"
        for each in platforms
    }
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": media_type,
                "digest": digest,
                "size": 2,
                "platform": dict(zip(("os", "architecture"), platform.split("/"), strict=True)),
            }
            for platform, digest in digests.items()
        ],
        "annotations": {"org.opencontainers.image.version": tag},
    }
    return put_manifest(repository, tag, index), digests


def put_single_image(repository: str, tag: str) -> str:
    """Put an image into ECR that is no index; its config, which ECR lacks, names the platform."""
    empty = {"digest": "sha256:" + "0" * 64, "size": 2}
    manifest = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **empty},
        "layers": [],
        "annotations": {"org.opencontainers.image.version": tag},
    }
    return put_manifest(repository, tag, manifest)


def put_manifest(repository: str, tag: str, manifest: dict[str, Any]) -> str:
    """Put a manifest into ECR as `docker push` does; return its digest."""
    answer = client("ecr").put_image(
        repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag
    )
    return str(answer["image"]["imageId"]["imageDigest"])


def add_topic(cloud: Cloud) -> int:
    """Create a topic of SNS and a channel that tells it everything; return its number."""
    arn = client("sns").create_topic(Name="slipway-news")["TopicArn"]
    body = {"kind": "sns", "name": "news", "target": arn, "events": [str(each) for each in Event]}
    answer = cloud.api.post("/v1/channels", body)
    assert answer.status == 201, answer.text
    return int(answer.body["id"])


def create_role(name: str) -> None:
    """Create a role of tasks in IAM if it is missing."""
    iam = client("iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")


def remove_image(repository: str, digest: str) -> None:
    """Delete an image as a lifecycle policy of ECR does."""
    client("ecr").batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])


def keep_secret(text: str, name: str = "slipway/hook") -> str:
    """Store text in Secrets Manager; return the reference to it."""
    manager = client("secretsmanager")
    try:
        manager.put_secret_value(SecretId=name, SecretString=text)
    except manager.exceptions.ResourceNotFoundException:
        manager.create_secret(Name=name, SecretString=text)
    return f"secretsmanager:{name}"


def add_followers(
    numbers: Iterable[int], branch: str, secret: str | None = None, *, tags: bool = False
) -> None:
    """Add followers of a branch, each in its own project, without creating their services."""
    repository = f"github.com/{REPOSITORY.lower()}"
    claim, known = followers(repository)
    others = {number: Follower(number, branch, secret, tags) for number in numbers}
    commit(set_followers(claim, repository, {**known, **others}))


def register(family: str, image: str, **environment: str) -> str:
    """Register a task definition as the service's owner does; return its ARN."""
    answer = client("ecs").register_task_definition(
        family=family,
        taskRoleArn="arn:aws:iam::123456789012:role/hello",
        containerDefinitions=[
            {
                "name": "app",
                "image": image,
                "memory": 128,
                "environment": [{"name": k, "value": v} for k, v in environment.items()],
            },
            {"name": "sidecar", "image": "proxy:1", "memory": 64},
        ],
        tags=[{"key": "team", "value": "shop"}],
    )
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def balance(cloud: Cloud, name: str = "hello", hooks: Sequence[Any] = ()) -> None:
    """The owner puts an ECS service behind a load balancer that can split traffic, with `hooks`."""
    more: dict[str, Any] = {}
    if hooks:
        found = client("ecs").describe_services(cluster=CLUSTER, services=[name])["services"][0]
        own = {**found["deploymentConfiguration"], "lifecycleHooks": list(hooks)}
        more = {"deploymentConfiguration": own}
    client("ecs").update_service(cluster=CLUSTER, service=name, loadBalancers=[BALANCER], **more)
    cloud.finish_rollout(name)


def run_on_ecs(task_definition: str, name: str = "hello") -> None:
    """Another party, or a late call of Slipway, makes ECS run a definition."""
    client("ecs").update_service(cluster=CLUSTER, service=name, taskDefinition=task_definition)


def log_to_cloudwatch(cloud: Cloud, **variables: str) -> None:
    """The owner's task definition sends the container's output to CloudWatch Logs.

    The container gets the `variables`.
    """
    client("logs").create_log_group(logGroupName="/ecs/hello")
    containers = task_definition(ecs_service()["taskDefinition"])["containerDefinitions"]
    containers[0]["logConfiguration"] = {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": "/ecs/hello",
            "awslogs-region": "eu-west-1",
            "awslogs-stream-prefix": "web",
        },
    }
    given = [{"name": name, "value": value} for name, value in variables.items()]
    containers[0]["environment"] = [*containers[0].get("environment", ()), *given]
    answer = client("ecs").register_task_definition(family="hello", containerDefinitions=containers)
    run_on_ecs(answer["taskDefinition"]["taskDefinitionArn"])
    cloud.finish_rollout()


def delete_definition(arn: str) -> None:
    """The service's owner deregisters and deletes a task definition."""
    client("ecs").deregister_task_definition(taskDefinition=arn)
    client("ecs").delete_task_definitions(taskDefinitions=[arn])


def make_older(number: int) -> None:
    """Make a deployment's rows those of a Slipway that kept no target and no definition."""
    (row,) = find_deployments(number).values()
    claim = Claim.get(f"task-definition:{row.task_definition}")
    commit(change(row, target=None), change(claim, definition=None))


def ecs_service(name: str = "hello") -> Any:
    """An ECS service in the form of DescribeServices."""
    return client("ecs").describe_services(cluster=CLUSTER, services=[name])["services"][0]


def task_definition(arn: str) -> Any:
    """A task definition in the form of DescribeTaskDefinition."""
    return client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]


def image_of(arn: str) -> str:
    """The image of the container "app" in a task definition."""
    return str(task_definition(arn)["containerDefinitions"][0]["image"])


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Cloud]:
    """A fresh embedded cloud. The test fails if a handler raises, unless `handlers_may_fail`."""
    with mock_aws():
        cloud = Cloud(monkeypatch)
        yield cloud
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert cloud.handlers_may_fail or not errors
