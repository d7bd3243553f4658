"""Preflight: problems of a release are named when it is accepted, and before its rollout."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib import budget
from chalicelib.aws import iam, references
from chalicelib.pipeline import preflight as looks
from chalicelib.store.models import Service
from chalicelib.store.writes import change, commit
from infra.local.aws import fidelity
from infra.local.machines.registry import Registry
from tests.support.client import Answer
from tests.support.embedded import (
    CLUSTER,
    Cloud,
    client,
    create_image_repository,
    create_role,
    put_image,
    put_manifest,
    register,
    remove_image,
    run_on_ecs,
    task_definition,
)
from tests.support.environment import ACCOUNT, REGION
from tests.support.sdk import Calls, Trouble
from tests.support.written import nothing_is_written

ROLE = "arn:aws:iam::123456789012:role/"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-a1B2c3"
LOGS = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/ecs/hello", "awslogs-region": "eu-west-1"},
}
ARM = {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}


def run_definition(cloud: Cloud, *, container: dict[str, Any] | None = None, **more: Any) -> str:
    """The owner makes ECS run a definition with these members; return its ARN."""
    first = {"name": "app", "image": "hello:owner", "memory": 128, **(container or {})}
    if "secrets" in first:
        more = {"executionRoleArn": f"{ROLE}hello", **more}
    answer = client("ecs").register_task_definition(
        family="hello", containerDefinitions=[first], **more
    )
    arn = str(answer["taskDefinition"]["taskDefinitionArn"])
    run_on_ecs(arn)
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    return arn


def deploy_digest(cloud: Cloud, digest: str) -> Answer:
    return cloud.deploy(f"hello@{digest}")


def codes(findings: Any) -> list[str]:
    return [each["code"] for each in findings]


def refused(cloud: Cloud, digest: str) -> dict[str, Any]:
    """The refusal of a deployment, which writes nothing and which the plan says, too."""
    calls = cloud.rollouts()
    with nothing_is_written():
        answer = deploy_digest(cloud, digest)
        plan = cloud.plan(f"hello@{digest}")
    assert (answer.status, answer.body["code"]) == (409, "preflight_failed"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert plan["possible"] is False
    assert plan["findings"] == answer.body["findings"]
    errors = [each for each in plan["findings"] if each["severity"] == "error"]
    for each in errors:
        assert each["message"] in answer.body["detail"]
    cloud.settle()
    assert cloud.rollouts() == calls
    body: dict[str, Any] = answer.body
    return body


def accepted(cloud: Cloud, digest: str) -> dict[str, Any]:
    """The deployment that was accepted."""
    answer = deploy_digest(cloud, digest)
    assert answer.status == 202, answer.text
    found: dict[str, Any] = cloud.deployment(answer.body["deployment_id"])
    return found


def set_storage(digest: str, wanted: str, *, repository: str = "hello") -> None:
    """The owner archives or restores an image."""
    client("ecr").update_image_storage_class(
        repositoryName=repository, imageId={"imageDigest": digest}, targetStorageClass=wanted
    )


def test_a_release_without_problems_has_no_findings(cloud: Cloud) -> None:
    digest = put_image("hello", "good")
    assert accepted(cloud, digest)["findings"] == []
    cloud.settle()
    assert cloud.deployment(1)["status"] == "deploying"
    assert cloud.deployment(1)["findings"] == []


def test_an_image_for_another_architecture_is_refused_before_update_service(
    cloud: Cloud, calls: Calls
) -> None:
    run_definition(cloud, runtimePlatform=ARM)
    calls.clear()
    body = refused(cloud, put_image("hello", "amd", "linux/amd64"))
    assert codes(body["findings"]) == ["platform_mismatch"]
    for part in ("ARM64 LINUX (linux/arm64)", "the image is for linux/amd64"):
        assert part in body["detail"]
    assert "ecs.UpdateService" not in calls.counted


def test_a_push_for_another_architecture_fails_before_update_service(
    cloud: Cloud, calls: Calls
) -> None:
    running = run_definition(cloud, runtimePlatform=ARM)
    calls.clear()
    cloud.begin_release(1)
    failed = cloud.deployment(1)
    assert failed["status"] == "failed"
    assert "ARM64 LINUX (linux/arm64), but the image is for linux/amd64" in failed["error"]
    assert codes(failed["findings"]) == ["platform_mismatch"]
    assert calls.counted.keys().isdisjoint({"ecs.RegisterTaskDefinition", "ecs.UpdateService"})
    assert cloud.definition_on_ecs() == running


def test_an_image_for_both_architectures_is_deployed(cloud: Cloud) -> None:
    run_definition(cloud, runtimePlatform=ARM)
    digest = put_image("hello", "both", "linux/amd64", "linux/arm64")
    assert accepted(cloud, digest)["findings"] == []


def test_an_archived_image_is_refused_until_it_is_restored(cloud: Cloud) -> None:
    digest = put_image("hello", "old")
    set_storage(digest, "ARCHIVE")
    body = refused(cloud, digest)
    assert codes(body["findings"]) == ["image_archived"]
    assert "aws ecr update-image-storage-class" in body["detail"]
    set_storage(digest, "STANDARD")
    body = refused(cloud, digest)
    assert codes(body["findings"]) == ["image_activating"]
    cloud.advance(fidelity.RESTORE_TIME)
    assert accepted(cloud, digest)["findings"] == []


@pytest.mark.parametrize(
    ("layer", "config", "what"),
    [
        ("application/vnd.in-toto+json", "application/vnd.oci.image.config.v1+json", "attestation"),
        ("application/x", "application/vnd.cncf.helm.config.v1+json", "artifact"),
    ],
)
def test_what_is_no_image_is_refused(cloud: Cloud, layer: str, config: str, what: str) -> None:
    manifest = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": config, "digest": "sha256:" + "0" * 64, "size": 2},
        "layers": [{"mediaType": layer, "digest": "sha256:" + "0" * 64, "size": 2}],
    }
    body = refused(cloud, put_manifest("hello", "other", manifest))
    assert codes(body["findings"]) == ["not_an_image"]
    assert what in body["detail"]


@pytest.fixture
def registry(cloud: Cloud, tmp_path: Path) -> Iterator[Registry]:
    """A registry that serves the blobs of images, as S3 does for ECR."""
    registry = Registry(tmp_path)
    registry.start()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(fidelity, "BLOBS", f"http://{registry.host}")
        yield registry
    registry.stop()


def put_single(registry: Registry | None, architecture: str, *, blob: bytes | None = None) -> str:
    """Put an image of one manifest, as `docker push` does; its config names the platform."""
    config = json.dumps({"os": "linux", "architecture": architecture}).encode()
    config = config if blob is None else blob
    digest = hashlib.sha256(config).hexdigest()
    if registry is not None:
        (registry.blobs / digest).write_bytes(config)
    manifest = {
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": f"sha256:{digest}",
            "size": len(config),
        },
        "layers": [],
    }
    return put_manifest("hello", f"single-{architecture}", manifest)


def test_the_platform_of_a_single_manifest_is_in_its_config(
    cloud: Cloud, registry: Registry
) -> None:
    run_definition(cloud, runtimePlatform=ARM)
    body = refused(cloud, put_single(registry, "amd64"))
    assert codes(body["findings"]) == ["platform_mismatch"]
    assert accepted(cloud, put_single(registry, "arm64"))["findings"] == []


@pytest.mark.parametrize("blob", [b"{}", b"[" * 1000, b" " * 1_000_001], ids=range(3))
def test_a_config_that_cannot_be_read_is_a_warning(
    cloud: Cloud, registry: Registry, blob: bytes
) -> None:
    found = accepted(cloud, put_single(registry, "amd64", blob=blob))["findings"]
    assert codes(found) == ["not_checked"]
    assert "not checked: the image's platforms" in found[0]["message"]


def test_a_config_that_ecr_does_not_have_is_a_warning(cloud: Cloud) -> None:
    found = accepted(cloud, put_single(None, "amd64"))["findings"]
    assert "not checked: the image's platforms: ECR GetDownloadUrlForLayer" in found[0]["message"]


def test_a_silent_download_is_a_warning_first_and_is_waited_for_then(
    cloud: Cloud, registry: Registry
) -> None:
    digest = put_single(registry, "amd64")
    registry.stop()
    found = accepted(cloud, digest)["findings"]
    assert "download of an image's config" in found[0]["message"]
    cloud.settle()
    waiting = cloud.deployment(1)
    assert waiting["status"] == "queued"
    assert "download of an image's config" in waiting["error"]


@pytest.fixture
def store(cloud: Cloud) -> Iterator[HTTPServer]:
    """Where ECR sends for blobs; a test sets the handler of requests."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(fidelity, "BLOBS", f"http://127.0.0.1:{server.server_port}")
        yield server
    server.shutdown()
    thread.join()
    server.server_close()


def answering(status: int, *parts: bytes, pause: float = 0.0) -> type[BaseHTTPRequestHandler]:
    """A handler that answers with a status and with parts of a body, slowly."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            with suppress(OSError):
                for part in parts:
                    self.wfile.write(part)
                    time.sleep(pause)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.mark.parametrize("status", [403, 404])
def test_a_download_that_is_refused_is_a_warning(
    cloud: Cloud, store: HTTPServer, status: int
) -> None:
    store.RequestHandlerClass = answering(status)
    found = accepted(cloud, put_single(None, "amd64"))["findings"]
    assert f"download of an image's config: HTTP Error {status}" in found[0]["message"]
    assert "did not answer" not in found[0]["message"]
    cloud.settle()
    assert cloud.deployment(1)["status"] == "deploying"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_download_that_fails_for_a_time_is_waited_for(
    cloud: Cloud, store: HTTPServer, status: int
) -> None:
    store.RequestHandlerClass = answering(status)
    found = accepted(cloud, put_single(None, "amd64"))["findings"]
    assert "AWS did not answer" in found[0]["message"]
    cloud.settle()
    assert cloud.deployment(1)["status"] == "queued"


def test_an_answer_that_is_no_http_is_waited_for(cloud: Cloud, store: HTTPServer) -> None:
    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"no HTTP\r\n")

    store.RequestHandlerClass = Handler
    found = accepted(cloud, put_single(None, "amd64"))["findings"]
    assert "AWS did not answer" in found[0]["message"]


def test_a_download_in_drips_ends_with_the_time_of_the_looks(
    cloud: Cloud, store: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "_SECONDS", 0.5)
    store.RequestHandlerClass = answering(200, *[b" "] * 100, pause=0.05)
    began = time.monotonic()
    found = accepted(cloud, put_single(None, "amd64"))["findings"]
    assert time.monotonic() - began < 3
    assert "AWS did not answer" in found[0]["message"]


def test_every_problem_is_named_at_once(cloud: Cloud) -> None:
    run_definition(
        cloud,
        runtimePlatform=ARM,
        taskRoleArn=f"{ROLE}gone",
        executionRoleArn=f"{ROLE}never-there",
        container={
            "logConfiguration": LOGS,
            "secrets": [
                {"name": "DB", "valueFrom": f"{SECRET}:password::"},
                {"name": "KEY", "valueFrom": "/shop/key"},
            ],
        },
    )
    body = refused(cloud, put_image("hello", "bad"))
    assert codes(body["findings"]) == [
        "platform_mismatch",
        "role_missing",
        "role_missing",
        "secret_missing",
        "parameter_missing",
        "log_group_missing",
    ]
    assert body["detail"].startswith("6 problems: (1) ")
    assert [each["subject"] for each in body["findings"][1:]] == [
        f"{ROLE}gone",
        f"{ROLE}never-there",
        SECRET,
        "/shop/key",
        "/ecs/hello",
    ]


def test_fargate_without_an_execution_role_is_refused_before_ecs_refuses_it(cloud: Cloud) -> None:
    fargate: dict[str, Any] = {
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
    }
    run_definition(cloud, **fargate)
    digest = put_image("hello", "good")
    assert codes(refused(cloud, digest)["findings"]) == ["execution_role_missing"]
    run_definition(cloud, **fargate, executionRoleArn=f"{ROLE}hello")
    assert accepted(cloud, digest)["findings"] == []


def run_with_sidecar(cloud: Cloud, image: str, **more: Any) -> None:
    """ECS runs a definition with a second container, which has an image of Slipway's registry."""
    containers: Any = [
        {"name": "app", "image": "hello:owner", "memory": 128},
        {"name": "proxy", "image": f"{REGISTRY}/{image}", "memory": 128, **more},
    ]
    answer = client("ecs").register_task_definition(
        family="hello", taskRoleArn=f"{ROLE}hello", containerDefinitions=containers
    )
    run_on_ecs(answer["taskDefinition"]["taskDefinitionArn"])
    cloud.finish_rollout()


def test_a_missing_image_of_another_container_is_refused(cloud: Cloud) -> None:
    create_image_repository("proxy")
    run_with_sidecar(cloud, "proxy:1")
    digest = put_image("hello", "good")
    found = refused(cloud, digest)["findings"]
    assert (codes(found), found[0]["subject"]) == (["image_missing"], "proxy:1")
    put_image("proxy", "1")
    assert accepted(cloud, digest)["findings"] == []


def test_an_archived_image_of_another_container_is_refused(cloud: Cloud) -> None:
    create_image_repository("proxy")
    sidecar = put_image("proxy", "sidecar")
    run_with_sidecar(cloud, f"proxy@{sidecar}")
    set_storage(sidecar, "ARCHIVE", repository="proxy")
    assert codes(refused(cloud, put_image("hello", "good"))["findings"]) == ["image_missing"]


def test_a_missing_image_of_a_container_that_is_not_essential_is_a_warning(cloud: Cloud) -> None:
    run_with_sidecar(cloud, "nowhere:1", essential=False)
    found = accepted(cloud, put_image("hello", "good"))["findings"]
    assert [(each["code"], each["severity"]) for each in found] == [("image_missing", "warning")]


def test_a_rollback_needs_the_images_of_all_containers(cloud: Cloud) -> None:
    create_image_repository("proxy")
    sidecar = put_image("proxy", "sidecar")
    run_with_sidecar(cloud, "proxy:sidecar")
    for number in (1, 2):
        cloud.release(number)
    remove_image("proxy", sidecar)
    answer = cloud.roll_back()
    assert answer.status == 409
    assert codes(answer.body["findings"]) == ["image_missing"]
    put_image("proxy", "sidecar")
    assert cloud.roll_back().status == 202


def test_an_image_of_another_container_that_slipway_may_not_look_at_is_a_warning(
    cloud: Cloud, trouble: Trouble
) -> None:
    run_with_sidecar(cloud, "proxy:sidecar")
    digest = put_image("hello", "good")
    trouble.refuse("ecr.DescribeImages", "AccessDeniedException", "you may not", times=9)
    found = accepted(cloud, digest)["findings"]
    assert codes(found) == ["not_checked"] * 2
    assert "not checked: the image proxy:sidecar: " in found[1]["message"]


def test_a_release_is_accepted_when_all_that_it_needs_exists(cloud: Cloud) -> None:
    create_role("tasks")
    client("iam").create_role(
        RoleName="execution", Path="/service-role/", AssumeRolePolicyDocument="{}"
    )
    secret = client("secretsmanager").create_secret(Name="db", SecretString="x")["ARN"]
    for name in ("/shop/key", "flat", "/slash"):
        client("ssm").put_parameter(Name=name, Value="x", Type="SecureString")
    client("logs").create_log_group(logGroupName="/ecs/hello")
    client("logs").create_log_group(logGroupName="/ecs/hello-2")
    parameters = "arn:aws:ssm:eu-west-1:123456789012:parameter"
    run_definition(
        cloud,
        taskRoleArn=f"{ROLE}tasks",
        executionRoleArn=f"{ROLE}service-role/execution",
        container={
            "logConfiguration": LOGS,
            "secrets": [
                {"name": "A", "valueFrom": f"{secret}:password::"},
                {"name": "B", "valueFrom": f"{parameters}/shop/key"},
                {"name": "C", "valueFrom": f"{parameters}/flat"},
                {"name": "D", "valueFrom": f"{parameters}/slash"},
                {"name": "E", "valueFrom": "flat"},
            ],
        },
    )
    assert accepted(cloud, put_image("hello", "good"))["findings"] == []
    cloud.settle()
    assert cloud.deployment(1)["status"] == "deploying"


def test_a_log_group_with_a_longer_name_is_another_one(cloud: Cloud) -> None:
    client("logs").create_log_group(logGroupName="/ecs/hello-2")
    run_definition(cloud, container={"logConfiguration": LOGS})
    assert codes(refused(cloud, put_image("hello", "bad"))["findings"]) == ["log_group_missing"]


def test_a_role_of_another_path_or_account_is_another_one(cloud: Cloud) -> None:
    create_role("tasks")
    run_definition(
        cloud,
        taskRoleArn=f"{ROLE}team/tasks",
        executionRoleArn=f"{ROLE}tasks".replace("123456789012", "210987654321"),
    )
    found = refused(cloud, put_image("hello", "bad"))["findings"]
    assert codes(found) == ["role_missing", "role_missing"]


def test_a_secret_that_is_to_be_deleted_is_missing(cloud: Cloud) -> None:
    secret = client("secretsmanager").create_secret(Name="db", SecretString="x")["ARN"]
    client("secretsmanager").delete_secret(SecretId=secret)
    run_definition(cloud, container={"secrets": [{"name": "A", "valueFrom": secret}]})
    found = refused(cloud, put_image("hello", "bad"))["findings"]
    assert codes(found) == ["secret_missing"]
    assert "scheduled for deletion" in found[0]["message"]


def run_with_secret(cloud: Cloud, reference: str) -> None:
    """ECS runs a definition with this `valueFrom`."""
    run_definition(cloud, container={"secrets": [{"name": "A", "valueFrom": reference}]})


def test_a_secret_behind_the_name_of_a_parameter_is_looked_for(cloud: Cloud) -> None:
    run_with_secret(cloud, "/aws/reference/secretsmanager/shop/db")
    digest = put_image("hello", "good")
    found = refused(cloud, digest)["findings"]
    assert codes(found) == ["secret_missing"]
    client("secretsmanager").create_secret(Name="shop/db", SecretString="x")
    assert accepted(cloud, digest)["findings"] == []


def test_a_secret_without_a_value_is_refused(cloud: Cloud) -> None:
    secret = client("secretsmanager").create_secret(Name="db")["ARN"]
    run_with_secret(cloud, secret)
    digest = put_image("hello", "good")
    found = refused(cloud, digest)["findings"]
    assert codes(found) == ["secret_missing"]
    assert "has no version with the staging label AWSCURRENT" in found[0]["message"]
    client("secretsmanager").put_secret_value(SecretId=secret, SecretString="x")
    assert accepted(cloud, digest)["findings"] == []


def test_a_version_of_a_secret_is_looked_for(cloud: Cloud) -> None:
    manager = client("secretsmanager")
    secret = manager.create_secret(Name="db", SecretString="x")["ARN"]
    digest = put_image("hello", "good")
    run_with_secret(cloud, f"{secret}:key:AWSPREVIOUS:")
    assert codes(refused(cloud, digest)["findings"]) == ["secret_missing"]
    newest = manager.put_secret_value(SecretId=secret, SecretString="y")["VersionId"]
    assert accepted(cloud, digest)["findings"] == []
    run_with_secret(cloud, f"{secret}:::{newest}")
    assert accepted(cloud, digest)["findings"] == []
    run_with_secret(cloud, f"{secret}:::{newest[:-4]}0000")
    found = accepted(cloud, digest)["findings"]
    assert codes(found) == ["not_checked"]
    assert "lists only versions with a staging label" in found[0]["message"]


@pytest.mark.parametrize(("wanted", "other"), [("DB", "/DB"), ("/DB", "DB")])
def test_a_parameter_with_a_slash_before_its_name_is_another_one(
    cloud: Cloud, wanted: str, other: str
) -> None:
    client("ssm").put_parameter(Name=other, Value="x", Type="String")
    run_with_secret(cloud, wanted)
    digest = put_image("hello", "good")
    assert codes(refused(cloud, digest)["findings"]) == ["parameter_missing"]
    run_with_secret(cloud, f"arn:aws:ssm:eu-west-1:123456789012:parameter/{wanted.lstrip('/')}")
    assert accepted(cloud, digest)["findings"] == []


def test_a_public_parameter_of_aws_is_not_looked_for(cloud: Cloud) -> None:
    run_with_secret(cloud, "/aws/service/global-infrastructure/current-region")
    found = accepted(cloud, put_image("hello", "good"))["findings"]
    assert codes(found) == ["not_checked"]
    assert "Parameter Store does not list parameters of AWS" in found[0]["message"]


@pytest.mark.parametrize("reference", ["arn:aws:ssm", "arn:aws:s3:::bucket/key"])
def test_a_reference_that_is_no_arn_of_a_secret_is_a_warning(cloud: Cloud, reference: str) -> None:
    run_with_secret(cloud, reference)
    found = accepted(cloud, put_image("hello", "good"))["findings"]
    assert codes(found) == ["not_checked"]
    assert f"{reference}: it is no ARN of a secret or a parameter" in found[0]["message"]
    cloud.settle()
    assert cloud.deployment(1)["status"] == "deploying"


def many_references(kind: str, count: int) -> dict[str, Any]:
    arn = {
        "secret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s{}",
        "parameter": "/shop/{}",
    }[kind]
    return {"secrets": [{"name": f"S{n}", "valueFrom": arn.format(n)} for n in range(count)]}


def test_the_number_of_looks_is_limited_and_the_rest_is_said(cloud: Cloud, calls: Calls) -> None:
    run_definition(cloud, container=many_references("secret", 12))
    calls.clear()
    answer = deploy_digest(cloud, put_image("hello", "bad"))
    assert calls.counted["secretsmanager.DescribeSecret"] == 10
    found = answer.body["findings"]
    assert codes(found) == ["secret_missing"] * 10 + ["not_checked"]
    assert "2 further secrets were not looked for" in found[-1]["message"]


def test_many_parameters_are_looked_for_page_by_page(cloud: Cloud, calls: Calls) -> None:
    """moto has ten parameters on a page. AWS has at most fifty, and maybe fewer."""
    for number in range(25):
        client("ssm").put_parameter(Name=f"/shop/{number}", Value="x", Type="String")
    run_definition(cloud, container=many_references("parameter", 25))
    digest = put_image("hello", "good")
    calls.clear()
    assert accepted(cloud, digest)["findings"] == []
    assert calls.counted["ssm.DescribeParameters"] == 3


def test_parameters_on_too_many_pages_are_not_waited_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "_PAGES", 2)
    for number in range(25):
        client("ssm").put_parameter(Name=f"/shop/{number}", Value="x", Type="String")
    run_definition(cloud, container=many_references("parameter", 25))
    found = accepted(cloud, put_image("hello", "good"))["findings"]
    assert set(codes(found)) == {"not_checked"}
    assert "no end after 2 pages" in found[0]["message"]
    cloud.settle()
    assert cloud.deployment(1)["status"] == "deploying"


DENIED = {
    "ecr.DescribeImages": "not checked: the image: ",
    "ecr.BatchGetImage": "not checked: the image's platforms: ",
    "iam.GetRole": "not checked: the role arn:aws:iam::123456789012:role/hello: ",
    "secretsmanager.DescribeSecret": "not checked: the secret arn:aws:secretsmanager",
    "ssm.DescribeParameters": "not checked: the parameter /shop/key: ",
    "logs.DescribeLogGroups": "not checked: the log group /ecs/hello: ",
}


def run_needy(cloud: Cloud) -> None:
    """ECS runs a definition that needs one thing of each kind; all of them exist."""
    secret = client("secretsmanager").create_secret(Name="db", SecretString="x")["ARN"]
    client("ssm").put_parameter(Name="/shop/key", Value="x", Type="String")
    client("logs").create_log_group(logGroupName="/ecs/hello")
    run_definition(
        cloud,
        taskRoleArn=f"{ROLE}hello",
        container={
            "logConfiguration": LOGS,
            "secrets": [
                {"name": "A", "valueFrom": secret},
                {"name": "B", "valueFrom": "/shop/key"},
            ],
        },
    )


@pytest.mark.parametrize(("operation", "says"), DENIED.items())
def test_what_slipway_may_not_look_at_is_a_warning(
    cloud: Cloud, trouble: Trouble, operation: str, says: str
) -> None:
    run_needy(cloud)
    digest = put_image("hello", "good")
    trouble.refuse(operation, "AccessDeniedException", "you may not", times=9)
    at_first = accepted(cloud, digest)["findings"]
    cloud.settle()
    begun = cloud.deployment(1)
    assert begun["status"] == "deploying"
    for found in (at_first, begun["findings"]):
        assert codes(found) == ["not_checked"]
        assert says in found[0]["message"]
        assert "you may not" in found[0]["message"]
        assert found[0]["severity"] == "warning"


@pytest.mark.parametrize("operation", ["ecs.DescribeServices", "ecs.DescribeTaskDefinition"])
def test_a_service_that_the_api_may_not_look_at_is_a_warning(
    cloud: Cloud, trouble: Trouble, operation: str
) -> None:
    digest = put_image("hello", "good")
    trouble.refuse(operation, "AccessDeniedException", "you may not", times=2)
    found = accepted(cloud, digest)["findings"]
    assert codes(found) == ["not_checked"]
    trouble.end()
    cloud.settle()
    assert cloud.deployment(1)["findings"] == []


@pytest.mark.parametrize("operation", [*DENIED, "ecs.DescribeServices"])
def test_a_check_that_aws_did_not_answer_is_made_again_before_the_rollout(
    cloud: Cloud, trouble: Trouble, operation: str
) -> None:
    run_needy(cloud)
    digest = put_image("hello", "good")
    trouble.refuse(operation, "ThrottlingException", "slow down")
    found = accepted(cloud, digest)["findings"]
    assert set(codes(found)) == {"not_checked"}
    assert "AWS did not answer" in found[0]["message"]
    assert "this is checked again before the rollout" in found[0]["message"]
    trouble.end()
    trouble.refuse(operation, "ThrottlingException", "slow down")
    cloud.settle()
    waiting = cloud.deployment(1)
    assert waiting["status"] == "queued"
    assert "slow down" in waiting["error"]
    trouble.end()
    cloud.tick()
    assert cloud.deployment(1)["status"] == "deploying"
    assert cloud.deployment(1)["findings"] == []


@pytest.mark.parametrize("operation", DENIED)
def test_a_deployment_waits_only_a_few_times_for_a_look(
    cloud: Cloud, trouble: Trouble, operation: str
) -> None:
    run_needy(cloud)
    accepted(cloud, put_image("hello", "good"))
    trouble.refuse(operation, "ServiceUnavailableException", "out of order", times=1000)
    for _ in range(4):
        cloud.tick()
    begun = cloud.deployment(1)
    assert begun["status"] == "deploying"
    assert set(codes(begun["findings"])) == {"not_checked"}
    assert "out of order" in begun["findings"][0]["message"]
    assert "again before the rollout" not in begun["findings"][0]["message"]


def test_a_rollback_does_not_wait_for_a_look(cloud: Cloud, trouble: Trouble) -> None:
    for number in (1, 2):
        cloud.release(number)
    trouble.refuse("iam.GetRole", "ServiceUnavailableException", "out of order", times=1000)
    assert cloud.roll_back().status == 202
    cloud.settle()
    begun = cloud.deployment(3)
    assert begun["status"] == "deploying"
    assert codes(begun["findings"]) == ["not_checked"]


@pytest.mark.parametrize(
    "operation",
    ["ecs.DescribeServices", "ecs.DescribeTaskDefinition", "ecs.RegisterTaskDefinition"],
)
def test_a_deployment_waits_for_what_its_rollout_needs(
    cloud: Cloud, trouble: Trouble, operation: str
) -> None:
    accepted(cloud, put_image("hello", "good"))
    trouble.refuse(operation, "ServiceUnavailableException", "out of order", times=1000)
    for _ in range(10):
        cloud.tick()
    assert cloud.deployment(1)["status"] == "queued"
    trouble.end()
    cloud.tick()
    cloud.tick()
    assert cloud.deployment(1)["status"] == "deploying"


def test_the_looks_of_a_worker_are_made_within_a_few_seconds(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look is answered, but slowly. A Lambda function lives for 30 seconds."""
    seconds = 0.0

    def labels_of(_: str) -> dict[str, list[str]]:
        nonlocal seconds
        seconds += 1.5
        budget.check()
        return {"one": ["AWSCURRENT"]}

    run_definition(cloud, container=many_references("secret", 10))
    monkeypatch.setattr(references, "labels_of", labels_of)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: seconds))
    accepted(cloud, put_image("hello", "good"))
    for _ in range(4):
        seconds = 0.0
        cloud.tick()
        assert seconds < 10
    assert cloud.deployment(1)["status"] == "deploying"


def make_looks_slow(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None] = lambda: None
) -> None:
    """Each look at a role takes eight seconds. During the first one the owner acts."""
    has_role, acts = iam.has_role, [act]

    def slow(role: str) -> bool:
        cloud.advance(8)
        while acts:
            acts.pop()()
        return has_role(role)

    monkeypatch.setattr(iam, "has_role", slow)


def test_a_choice_of_the_owner_during_slow_looks_stays(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.release(1)
    owners = register("hello", "hello:owner")
    make_looks_slow(cloud, monkeypatch, lambda: run_on_ecs(owners))
    cloud.begin_release(2)
    cloud.tick()
    assert cloud.statuses(2) == ["superseded"]
    assert cloud.definition_on_ecs() == owners
    assert "changed outside Slipway" in cloud.service()["auto_deploy_paused"]


def test_the_first_release_starts_from_what_its_owner_chose_during_slow_looks(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = register("hello", "hello:owner", LEVEL="debug")
    make_looks_slow(cloud, monkeypatch, lambda: run_on_ecs(owners))
    cloud.begin_release(1)
    begun = cloud.deployment(1)
    assert begun["status"] == "deploying"
    (app, _) = task_definition(begun["task_definition"])["containerDefinitions"]
    assert app["environment"] == [{"name": "LEVEL", "value": "debug"}]


def test_slow_looks_at_an_unchanged_service_begin_the_rollout(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.release(1)
    make_looks_slow(cloud, monkeypatch)
    cloud.begin_release(2)
    assert cloud.deployment(2)["status"] == "deploying"


def test_after_a_call_without_an_answer_a_request_makes_no_further_looks(
    cloud: Cloud, trouble: Trouble, calls: Calls
) -> None:
    run_needy(cloud)
    digest = put_image("hello", "good")
    trouble.lose_answers("ecr.BatchGetImage")
    calls.clear()
    accepted(cloud, digest)
    assert calls.counted.keys().isdisjoint(
        {"iam.GetRole", "secretsmanager.DescribeSecret", "logs.DescribeLogGroups"}
    )


def test_a_problem_that_appears_after_the_acceptance_ends_the_deployment(cloud: Cloud) -> None:
    digest = put_image("hello", "good")
    accepted(cloud, digest)
    set_storage(digest, "ARCHIVE")
    client("iam").delete_role(RoleName="hello")
    cloud.settle()
    failed = cloud.deployment(1)
    assert failed["status"] == "failed"
    assert failed["error"].startswith("2 problems: (1) the image hello@sha256:")
    assert "(2) the role arn:aws:iam::123456789012:role/hello does not exist" in failed["error"]
    assert codes(failed["findings"]) == ["image_archived", "role_missing"]
    assert cloud.rollouts() == 0
    assert cloud.service()["active_deployment_id"] is None


def test_the_findings_of_an_older_deployment_are_empty(cloud: Cloud) -> None:
    cloud.release(1)
    assert cloud.deployment(1)["findings"] == []


def delete_ecs_service(_: Cloud) -> None:
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)


def point_nowhere(cloud: Cloud) -> None:
    """A service has a missing cluster if ECS did not say so when the service was saved."""
    row = Service.get(cloud.service_id)
    commit(change(row, settings=replace(row.settings, ecs_cluster="nowhere")))


def rename_container(cloud: Cloud) -> None:
    cloud.change_service(containers=["web"])


@pytest.mark.parametrize(
    ("act", "code", "advice"),
    [
        (delete_ecs_service, "ecs_service_missing", "change ecs_cluster and ecs_service"),
        (point_nowhere, "ClusterNotFoundException", "change ecs_cluster and ecs_service"),
        (rename_container, "container_not_found", "Change the service's containers"),
    ],
)
def test_a_service_that_cannot_be_deployed_is_refused(
    cloud: Cloud, act: Callable[[Cloud], None], code: str, advice: str
) -> None:
    digest = put_image("hello", "good")
    act(cloud)
    answer = deploy_digest(cloud, digest)
    assert answer.status == 409
    assert codes(answer.body["findings"]) == [code]
    assert advice in answer.body["detail"]


def test_a_newer_revision_of_the_owner_is_a_warning(cloud: Cloud) -> None:
    newer = register("hello", "hello:owner", LEVEL="debug")
    found = accepted(cloud, put_image("hello", "good"))["findings"]
    assert codes(found) == ["newer_revision"]
    assert found[0]["subject"] == newer
    cloud.settle()
    assert codes(cloud.deployment(1)["findings"]) == ["newer_revision"]
    assert cloud.deployment(1)["status"] == "deploying"


def test_a_newer_revision_with_only_another_image_is_no_loss(cloud: Cloud) -> None:
    register("hello", "hello:owner")
    assert accepted(cloud, put_image("hello", "good"))["findings"] == []


def test_a_revision_of_slipway_itself_is_no_warning(cloud: Cloud) -> None:
    """A failed rollback leaves a newer revision with another configuration, which Slipway made."""
    cloud.release(1)
    run_on_ecs(register("hello", "hello:owner", LEVEL="debug"))
    cloud.finish_rollout()
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    cloud.roll_back(deployment_id=1)
    cloud.settle()
    cloud.fail_rollout()
    assert cloud.statuses(3) == ["failed"]
    cloud.finish_rollout()
    assert accepted(cloud, put_image("hello", "good"))["findings"] == []


def test_the_preview_of_a_rollback_refuses_what_the_rollback_does(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.release(number)
    digest = cloud.deployment(1)["image_digest"]
    set_storage(digest, "ARCHIVE")
    preview = cloud.preview()
    with nothing_is_written():
        answer = cloud.roll_back()
    assert answer.status == 409
    assert (preview["possible"], preview["target"]["id"]) == (False, 1)
    for name, member in (("code", "code"), ("reason", "detail"), ("findings", "findings")):
        assert preview[name] == answer.body[member]
    assert preview["code"] == "preflight_failed"
    assert preview["plan"]["possible"] is False
    assert "--target-storage-class STANDARD" in preview["reason"]
    set_storage(digest, "STANDARD")
    cloud.advance(fidelity.RESTORE_TIME)
    assert cloud.preview()["possible"] is True
    assert cloud.roll_back().status == 202


def test_a_rollback_is_checked_with_the_definition_of_its_target(cloud: Cloud) -> None:
    create_role("old")
    run_definition(cloud, taskRoleArn=f"{ROLE}old")
    cloud.release(1)
    run_definition(cloud, taskRoleArn=f"{ROLE}hello")
    cloud.settle()
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    client("iam").delete_role(RoleName="old")
    answer = cloud.roll_back(deployment_id=1)
    assert answer.status == 409
    assert codes(answer.body["findings"]) == ["role_missing"]
    assert answer.body["findings"][0]["subject"] == f"{ROLE}old"


def test_the_warnings_of_a_rollback_are_kept(cloud: Cloud, trouble: Trouble) -> None:
    for number in (1, 2):
        cloud.release(number)
    trouble.refuse("iam.GetRole", "AccessDenied", "you may not", times=9)
    assert codes(cloud.preview()["findings"]) == ["not_checked"]
    number = cloud.roll_back().body["deployment_id"]
    assert codes(cloud.deployment(number)["findings"]) == ["not_checked"]
    cloud.settle()
    assert cloud.deployment(number)["status"] == "deploying"


def test_aws_that_does_not_answer_does_not_stop_a_rollback(cloud: Cloud, trouble: Trouble) -> None:
    for number in (1, 2):
        cloud.release(number)
    for operation in ("ecr.DescribeImages", "ecs.DescribeServices", "iam.GetRole"):
        trouble.refuse(operation, "ThrottlingException")
    assert cloud.roll_back().status == 202
    trouble.end()
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(3) == ["success"]


def test_texts_of_aws_in_findings_are_shown_as_one_clean_line(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("iam.GetRole", "AccessDenied", "you\nmay\x1b[31m not", times=9)
    found = accepted(cloud, put_image("hello", "good"))["findings"]
    assert "\x1b" not in found[0]["message"]
    assert "\n" not in found[0]["message"]
