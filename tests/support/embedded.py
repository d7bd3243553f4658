"""One Slipway in an embedded cloud where nothing moves unless a test says so.

The queue, AWS's events and the schedule reach the app's own handlers through the pump; builds,
rollouts and time move by the verbs below.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import count
from typing import Any

import boto3
import pytest
from chalice.test import Client
from moto import mock_aws

import chalicelib.clock
from chalicelib import known_secrets
from chalicelib.domain.tokens import Role
from chalicelib.store.claims import Follower, followers, set_followers
from chalicelib.store.tokens import create_token
from chalicelib.store.writes import commit
from infra.local.aws import clock, codebuild, ecs, resources
from infra.local.aws.pump import Pump
from infra.local.aws.queues import QUEUE, create_queues
from tests.support import speed
from tests.support.builders import WEBHOOK_SECRET, delivery_headers, push_payload, wakeup_event
from tests.support.client import Answer, Api

MIDNIGHT = 1_795_305_600.0  # 2026-11-22
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
REPOSITORY = "Codertocat/Hello-World"
CLUSTER = "main"
MINUTE = 60
# What ops chose for their service; Slipway must hand it back whole.
CONFIGURATION: dict[str, Any] = {
    "maximumPercent": 150,
    "minimumHealthyPercent": 50,
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
}


# Making a client takes as long as a dozen calls.
client: Any = cache(boto3.client)


def sha(number: int) -> str:
    """A commit's SHA that tells commits apart at a glance."""
    return f"{number:040x}"


class Cloud:
    """Slipway, its cloud, and one service "hello" that follows and deploys `master`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from app import app

        monkeypatch.setattr(boto3, "client", client)
        self._now = MIDNIGHT
        monkeypatch.setattr(clock, "now", lambda: self._now)
        monkeypatch.setattr(chalicelib.clock, "now", lambda: int(self._now))
        ticks = count()
        monkeypatch.setattr(
            chalicelib.clock, "microseconds", lambda: int(self._now) * 1_000_000 + next(ticks)
        )
        monkeypatch.setattr(known_secrets, "_known", {})
        create_queues()
        monkeypatch.setattr(resources, "create_tables", speed.create_tables)
        resources.create_resources("version: 0.2\n")
        client("ecs").create_cluster(clusterName=CLUSTER)
        self.app = app
        self.handlers_may_fail = False
        self.pump = Pump(app)
        self.api = Api(Client(app), create_token("tests", Role.ADMIN).secret)
        self._deliveries: dict[str, bytes] = {}
        self.project = int(self._created("/v1/projects", {"name": "shop"})["id"])
        self.service_id = self.add_service("hello")

    # The world: what owners of repositories and services do.

    def add_service(self, name: str, *, desired: int = 2, **settings: Any) -> int:
        """An ECR repository, a healthy ECS service, and the Slipway service that deploys to it."""
        client("ecr").create_repository(repositoryName=name)
        client("ecs").create_service(
            cluster=CLUSTER,
            serviceName=name,
            taskDefinition=register(name, f"{name}:before"),
            desiredCount=desired,
            deploymentConfiguration=CONFIGURATION,
        )
        ecs.engine().complete(CLUSTER, name)
        ecs.engine().drain_events()
        body = {
            "name": name,
            "git_url": f"https://github.com/{REPOSITORY}.git",
            "branch": "master",
            "image_repository": name,
            "ecs_cluster": CLUSTER,
            "ecs_service": name,
            "container": "app",
            "auto_deploy": True,
            **settings,
        }
        return int(self._created(f"/v1/projects/{self.project}/services", body)["id"])

    def push(
        self,
        commit: str,
        *,
        branch: str = "master",
        pushed_at: int | None = None,
        delivery: str | None = None,
        secret: str = WEBHOOK_SECRET,
    ) -> Answer:
        """GitHub delivers a push; a delivery that it knows already comes as it came before."""
        payload = push_payload(after=commit, ref=f"refs/heads/{branch}")
        at = int(self._now) if pushed_at is None else pushed_at
        payload["repository"] = payload["repository"] | {"pushed_at": at}
        name = delivery or f"delivery-{len(self._deliveries)}"
        body = self._deliveries.setdefault(name, json.dumps(payload).encode())
        headers = delivery_headers(body, delivery=name, secret=secret)
        return self.api.post("/v1/webhooks/github", raw=body, headers=headers)

    # The API.

    def build(self, number: int) -> Any:
        return self._shown(f"/v1/cicd/builds/{number}")

    def deployment(self, number: int) -> Any:
        return self._shown(f"/v1/cicd/deployments/{number}")

    def job(self, name: str) -> Any:
        return self._shown(f"/v1/cicd/jobs/{name}")

    def service(self, number: int | None = None) -> Any:
        return self._shown(f"/v1/services/{number or self.service_id}")

    def preview(self) -> Any:
        return self._shown(f"/v1/cicd/services/{self.service_id}/rollback")

    def change_service(self, **changes: Any) -> Any:
        answer = self.api.patch(f"/v1/services/{self.service_id}", changes)
        assert answer.status == 200, answer.text
        return answer.body

    def ask_for_build(self, **body: Any) -> int:
        """Build by hand; the build's id."""
        answer = self.api.post(f"/v1/cicd/services/{self.service_id}/build", body)
        assert answer.status == 202, answer.text
        return int(answer.body["build_id"])

    def deploy(self, image: str) -> Answer:
        path = f"/v1/cicd/services/{self.service_id}/deploy"
        return self.api.post(path, {"image_tag": image})

    def deploy_build(self, number: int) -> int:
        """Deploy by hand what a build made; the deployment's id."""
        answer = self.deploy(self.build(number)["image_tag"])
        assert answer.status == 202, answer.text
        return int(answer.body["deployment_id"])

    def roll_back(self, **body: Any) -> Answer:
        return self.api.post(f"/v1/cicd/services/{self.service_id}/rollback", body)

    def statuses(self, *numbers: int) -> list[str]:
        """Of deployments."""
        return [self.deployment(number)["status"] for number in numbers]

    # AWS's own machinery.

    def enter_phase(self, number: int, phase: str) -> None:
        """CodeBuild comes to a phase of a build."""
        if phase == "PROVISIONING":
            assert codebuild.engine().claim() is not None
        else:
            codebuild.engine().phase(self.build(number)["codebuild_id"], phase)
        self.settle()

    def finish_build(self, number: int, *, settle: bool = True) -> str:
        """Push the image of a build, and end it well; the image's digest."""
        build = self.build(number)
        digest = put_image(*build["image_tag"].split(":"))
        self.end_build(number, "SUCCEEDED", settle=settle)
        return digest

    def end_build(self, number: int, status: str, *, settle: bool = True) -> None:
        """End a build in CodeBuild; its image is nowhere."""
        build = self.build(number)
        exported = {
            "COMMIT_SHA": build["commit_sha"] or sha(7),
            "COMMIT_MESSAGE": "seven",
            "COMMIT_AUTHOR": "Ada",
        }
        engine, name = codebuild.engine(), build["codebuild_id"]
        if status == "SUCCEEDED":
            engine.finish(name, status, exported=exported)
        else:
            engine.run_to(name, status, exported=exported)
        if settle:
            self.settle()

    def finish_rollout(self, name: str = "hello", *, settle: bool = True) -> None:
        """Every task of the newest ECS deployment is healthy."""
        ecs.engine().complete(CLUSTER, name)
        if settle:
            self.settle()

    def fail_rollout(self, name: str = "hello", *, settle: bool = True) -> None:
        """Tasks of the newest ECS deployment keep dying until the circuit breaker trips."""
        ecs.engine().fail(CLUSTER, name)
        if settle:
            self.settle()

    def begin_release(self, number: int) -> int:
        """Push commit `number` and see it built, so that its rollout begins; the build's id."""
        build = int(self.push(sha(number)).body["builds"][0]["build_id"])
        self.settle()
        self.finish_build(build)
        return build

    def release(self, number: int) -> int:
        """Push commit `number` and see it through to a healthy service; the deployment's id."""
        build = self.begin_release(number)
        self.finish_rollout()
        return int(self.build(build)["deployment_id"])

    # What carries news, and time.

    def settle(self) -> None:
        """Deliver every message and event that there is."""
        self.pump.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass; nothing is told of it."""
        self._now += seconds

    def tick(self) -> None:
        """A minute later the schedule fires; messages and events lie where they are."""
        self.advance(MINUTE)
        self.pump.tick()

    def lose_messages(self) -> None:
        """Nobody will ever receive what waits in the queue."""
        sqs = client("sqs")
        url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        for message in taken.get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def lose_events(self) -> None:
        """Nobody will ever hear what CodeBuild and ECS have said."""
        self.take_events()

    def take_events(self) -> list[dict[str, Any]]:
        """What CodeBuild and ECS have said and nobody has heard."""
        return [*codebuild.engine().drain_events(), *ecs.engine().drain_events()]

    def wake(self, key: str) -> None:
        """SQS delivers a wake-up, whoever sent it."""
        self.app.handler_map["on_wakeup"](wakeup_event(key), None)

    def hear(self, event: dict[str, Any]) -> None:
        """EventBridge delivers an event, whenever it was said."""
        self.app.handler_map["on_cloud_event"](event, None)

    # What AWS knows.

    def image_on_ecs(self, name: str = "hello") -> str:
        """The image of PRIMARY, the one that ECS was last told to run."""
        return image_of(self.definition_on_ecs(name))

    def definition_on_ecs(self, name: str = "hello") -> str:
        return str(ecs_service(name)["deployments"][0]["taskDefinition"])

    def rollouts(self, name: str = "hello") -> int:
        """How many rollouts ECS has begun, that of the service's creation apart."""
        listed = client("ecs").list_service_deployments(cluster=CLUSTER, service=name)
        return len(listed["serviceDeployments"]) - 1

    def builds_in_codebuild(self) -> list[str]:
        """The job of each build that CodeBuild ever started, oldest first."""
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

    def _created(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(path, body)
        assert answer.status == 201, answer.text
        return answer.body

    def _shown(self, path: str) -> Any:
        answer = self.api.get(path)
        assert answer.status == 200, answer.text
        return answer.body


def put_image(repository: str, tag: str) -> str:
    """What `docker push` leaves in ECR; the manifest, and so the digest, is this tag's own."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": "sha256:" + "0" * 64,
            "size": 2,
        },
        "layers": [],
        "annotations": {"org.opencontainers.image.version": tag},
    }
    answer = client("ecr").put_image(
        repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag
    )
    return str(answer["image"]["imageId"]["imageDigest"])


def remove_image(repository: str, digest: str) -> None:
    """What a lifecycle policy of ECR does."""
    client("ecr").batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])


def keep_secret(text: str, name: str = "slipway/hook") -> str:
    """Put text into Secrets Manager; the reference to it."""
    manager = client("secretsmanager")
    try:
        manager.put_secret_value(SecretId=name, SecretString=text)
    except manager.exceptions.ResourceNotFoundException:
        manager.create_secret(Name=name, SecretString=text)
    return f"secretsmanager:{name}"


def add_followers(numbers: Iterable[int], branch: str, secret: str | None = None) -> None:
    """Services, of a project each, that follow a branch; only who is told of a push sees them."""
    repository = f"github.com/{REPOSITORY.lower()}"
    claim, known = followers(repository)
    others = {number: Follower(number, branch, secret) for number in numbers}
    commit(set_followers(claim, repository, {**known, **others}))


def register(family: str, image: str, **environment: str) -> str:
    """A task definition that ops wrote; its ARN."""
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


def run_on_ecs(task_definition: str, name: str = "hello") -> None:
    """Somebody, or a late call, tells ECS to run a definition."""
    client("ecs").update_service(cluster=CLUSTER, service=name, taskDefinition=task_definition)


def ecs_service(name: str = "hello") -> Any:
    """An ECS service, as DescribeServices shows it."""
    return client("ecs").describe_services(cluster=CLUSTER, services=[name])["services"][0]


def task_definition(arn: str) -> Any:
    """A task definition, as DescribeTaskDefinition shows it."""
    return client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]


def image_of(arn: str) -> str:
    """The image that a definition runs in the container "app"."""
    return str(task_definition(arn)["containerDefinitions"][0]["image"])


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Cloud]:
    """An embedded cloud in which nothing has happened yet; a handler that raises fails the test."""
    with mock_aws():
        made = Cloud(monkeypatch)
        yield made
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert made.handlers_may_fail or not errors
