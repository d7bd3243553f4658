"""The main job through the deployed stage: from a push to a task definition that ECS runs."""

import hashlib
import json
import time
from typing import Any

from infra.local.play import sample
from infra.local.play.github import push_event, signature
from infra.rehearse.emulator import ACCOUNT, REGION
from infra.rehearse.readback import client
from infra.rehearse.stage import Api, function, log_of
from infra.seeing import NotSeen, check, to_json, wait_for

REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
IMAGES = "team/web"
SHA = "b" * 40
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


class Story:
    """The steps in order; each is a method that raises NotSeen."""

    def __init__(self, api: Api, stack: str) -> None:
        self._api, self._stack = api, f"{stack}-app"
        self._secret, self._project = f"{stack}/webhook", f"{stack}-builds"
        self._service = 0
        self._build: dict[str, Any] = {}

    def create(self) -> None:
        """A project and a service, for an ECR repository and an ECS service that exist."""
        client("ecr").create_repository(repositoryName=IMAGES)
        ecs = client("ecs")
        ecs.create_cluster(clusterName=sample.CLUSTER)
        definition = sample.register_definition("web", f"{REGISTRY}/{IMAGES}:none", "hello")
        ecs.create_service(
            cluster=sample.CLUSTER, serviceName="web", taskDefinition=definition, desiredCount=1
        )
        project = self._api.call("POST", "/v1/projects", {"name": "shop"}, expect=201)["id"]
        wanted = {
            "name": "web",
            "git_url": sample.GIT_URL,
            "image_repository": IMAGES,
            "ecs_cluster": sample.CLUSTER,
            "ecs_service": "web",
            "containers": [sample.CONTAINER],
        }
        made = self._api.call("POST", f"/v1/projects/{project}/services", wanted, expect=201)
        self._service = made["id"]

    def push(self, commit: str = SHA) -> None:
        """A signed push queues a build, and the queue's function starts it in CodeBuild."""
        secret = client("secretsmanager").get_secret_value(SecretId=self._secret)["SecretString"]
        body = to_json(push_event("example/app", sample.BRANCH, commit, pushed_at=int(time.time())))
        headers = {
            "User-Agent": "GitHub-Hookshot/044aadd",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": f"delivery-{commit}",
            "X-Hub-Signature-256": signature(body, "another secret"),
        }
        self._api.send("POST", "/v1/webhooks/github", headers, body, 401)
        headers["X-Hub-Signature-256"] = signature(body, secret)
        answer = self._api.send("POST", "/v1/webhooks/github", headers, body, 202)
        number = answer["builds"][0]["build_id"]

        def started() -> dict[str, Any] | None:
            build: dict[str, Any] = self._api.call("GET", f"/v1/cicd/builds/{number}")
            return build if build["codebuild_id"] else None

        self._build = wait_for("the start of the build", started, seconds=60)
        ids = client("codebuild").list_builds_for_project(projectName=self._project)["ids"]
        check("the builds in CodeBuild", len(ids), number)
        check("the newest of them", self._build["codebuild_id"] in ids, wanted=True)
        if not log_of(function(self._stack, "OnWakeup")):
            raise NotSeen("the build was not started by the function behind the queue")

    def end_of_build(self) -> None:
        """CodeBuild's event ends the build. The emulator's builds run nothing.

        So the image comes from here, and the build knows no digest, which the buildspec reports.
        """
        number, codebuild_id = self._build["id"], self._build["codebuild_id"]
        found = client("codebuild").batch_get_builds(ids=[codebuild_id])["builds"][0]
        stream = f"build-{number}/{codebuild_id.partition(':')[2]}"
        event = {
            "source": "aws.codebuild",
            "detail-type": "CodeBuild Build State Change",
            "resources": [found["arn"]],
            "detail": {
                "build-status": found["buildStatus"],
                "project-name": self._project,
                "build-id": found["arn"],
                "additional-information": {"logs": {"stream-name": stream}},
            },
        }

        def ended() -> str | None:
            build = self._api.call("GET", f"/v1/cicd/builds/{number}")
            return str(build["error"]) if build["status"] == "failed" else None

        _put_image(self._build["image_tag"].partition(":")[2])
        self._invoke(event)
        error = wait_for("the end of the build", ended, seconds=60)
        said = "the build reported no digest of its image: build again"
        check("the build's error", error, said)

    def _invoke(self, event: Any) -> None:
        """EventBridge takes events with this source from AWS only, so they go to its target."""
        done = client("lambda").invoke(
            FunctionName=function(self._stack, "OnCloudEvent"), Payload=to_json(event)
        )
        check("the function's error", done.get("FunctionError"), None)

    def deploy(self) -> None:
        """An image of the repository is deployed: ECS runs a new revision with its digest."""
        digest = _put_image("release")
        image = f"{REGISTRY}/{IMAGES}@{digest}"
        path = f"/v1/cicd/services/{self._service}/deploy"
        number = self._api.call("POST", path, {"image_tag": image}, expect=202)["deployment_id"]

        def rolled_out() -> str | None:
            deployment = self._api.call("GET", f"/v1/cicd/deployments/{number}")
            if deployment["status"] in {"failed", "cancelled"}:
                raise NotSeen(f"the deployment ended {deployment['status']}: {deployment['error']}")
            return deployment["task_definition"] if deployment["status"] == "deploying" else None

        definition = wait_for("the rollout", rolled_out, seconds=60)
        ecs = client("ecs")

        def runs() -> bool | None:
            row = ecs.describe_services(cluster=sample.CLUSTER, services=["web"])["services"][0]
            return True if row["taskDefinition"] == definition else None

        wait_for("ECS to run the new revision", runs, seconds=60)
        described = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
        check("the image of the revision", described["containerDefinitions"][0]["image"], image)

    def schedule(self) -> None:
        """EventBridge's schedule starts its function, which it does once a minute."""
        name = function(self._stack, "OnSchedule")
        wait_for("the schedule", lambda: log_of(name) or None, seconds=90)

    def refusals(self) -> None:
        """No call of the functions was refused by the policies of their roles."""
        check("calls that IAM refused", self.refused(), [])

    def refused(self) -> list[str]:
        """Calls that IAM refused, by the functions' logs and the errors of jobs that wait."""
        functions = ("APIHandler", "OnWakeup", "OnTelling", "OnCloudEvent", "OnSchedule")
        logged = [line for each in functions for line in log_of(function(self._stack, each))]
        errors = [each["error"] or "" for each in self._api.call("GET", "/v1/cicd/jobs")["items"]]
        return [text for text in (*logged, *errors) if "not authorized to perform" in text]

    def kept(self) -> None:
        """The project, the jobs and the token are still there."""
        check("the project", self._api.call("GET", "/v1/projects")["items"][0]["name"], "shop")
        jobs = [each["id"] for each in self._api.call("GET", "/v1/cicd/jobs")["items"]]
        check("the jobs", sorted(jobs), ["build-1", "build-2", "deploy-1"])


def grant_what_the_emulator_checks_wrongly(stack: str) -> None:
    """Give the functions' roles what AWS allows by their policies and the emulator does not.

    AWS has no action SendMessageBatch: SendMessage allows it. AWS compares the actions of CodeBuild
    and ECS with projects and services, the emulator with builds and clusters (AWS: Service
    Authorization Reference). So there only the actions are compared.
    """
    iam = client("iam")
    for role in _roles(stack):
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        documents = [
            iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names
        ]
        added = []
        for statement in (each for document in documents for each in document["Statement"]):
            listed = statement["Action"]
            actions = [listed] if isinstance(listed, str) else listed
            loose = [each for each in actions if each.split(":")[0] in {"codebuild", "ecs"}]
            if loose:
                added.append({"Effect": "Allow", "Action": loose, "Resource": "*"})
            if "sqs:SendMessage" in actions:
                added.append({**statement, "Sid": "Batch", "Action": "sqs:SendMessageBatch"})
        if added:
            policy = json.dumps({"Version": "2012-10-17", "Statement": added})
            iam.put_role_policy(RoleName=role, PolicyName="emulator", PolicyDocument=policy)


def take_back_what_was_granted(stack: str) -> None:
    """Remove these policies: a role with a policy that its stack does not know stays on AWS."""
    iam = client("iam")
    for role in _roles(stack):
        if "emulator" in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            iam.delete_role_policy(RoleName=role, PolicyName="emulator")


def _roles(stack: str) -> list[str]:
    pages = client("cloudformation").get_paginator("list_stack_resources")
    return [
        each["PhysicalResourceId"]
        for page in pages.paginate(StackName=f"{stack}-app")
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] == "AWS::IAM::Role"
    ]


def _put_image(tag: str) -> str:
    """Push an image for linux/amd64 with this tag, without layers; return its digest.

    An index names its platforms. Without one the platform is in a file of the image, which the
    emulator does not serve.
    """
    ecr = client("ecr")
    config = json.dumps({"architecture": "amd64", "os": "linux", "created": tag}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
            "size": len(config),
        },
        "layers": [],
    }
    put = ecr.put_image(
        repositoryName=IMAGES, imageManifest=json.dumps(manifest), imageTag=f"{tag}-amd64"
    )
    entry = {
        "mediaType": _MANIFEST,
        "digest": put["image"]["imageId"]["imageDigest"],
        "size": len(json.dumps(manifest)),
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
    put = ecr.put_image(
        repositoryName=IMAGES,
        imageManifest=json.dumps(index),
        imageManifestMediaType=_INDEX,
        imageTag=tag,
    )
    digest: str = put["image"]["imageId"]["imageDigest"]
    return digest
