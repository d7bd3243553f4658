"""The loopback registry implements the OCI Distribution Specification and stores images in ECR."""

import hashlib
import http.client
import json
import shutil
import socket
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from types_boto3_ecr import ECRClient

from infra.local.aws import fidelity
from infra.local.machines.registry import Registry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[ECRClient]:
    fidelity.install()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("ecr")
        client.create_repository(repositoryName="team/app", imageTagMutability="IMMUTABLE")
        yield client


@pytest.fixture
def registry(ecr: ECRClient, tmp_path: Path) -> Iterator[Registry]:
    running = Registry(tmp_path / "registry")
    running.start()
    yield running
    running.stop()


class Client:
    def __init__(self, registry: Registry) -> None:
        self._host = registry.host

    def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self._host, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/v2/{path}", body, named)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.headers, content


@pytest.fixture
def http_client(registry: Registry) -> Client:
    return Client(registry)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest(note: str) -> bytes:
    value = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": [], "note": note}
    return json.dumps(value).encode()


def put_manifest(client: Client, reference: str, body: bytes, repository: str = "team/app") -> int:
    return client("PUT", f"{repository}/manifests/{reference}", body, Content_Type=MANIFEST)[0]


def code(body: bytes) -> str:
    found: str = json.loads(body)["errors"][0]["code"]
    return found


def test_the_registry_announces_its_protocol(http_client: Client) -> None:
    status, headers, _ = http_client("GET", "")
    assert (status, headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")


@pytest.mark.parametrize("chunked", [True, False])
def test_a_blob_is_returned_unchanged(http_client: Client, *, chunked: bool) -> None:
    """Specification, "Pushing blobs": POST, then PATCH for each part, then PUT with the digest."""
    first, last = b"first part, " * 1000, b"last part"
    status, headers, _ = http_client("POST", "team/app/blobs/uploads/")
    assert status == 202
    upload = headers["Location"].removeprefix("/v2/")
    # http.client sends an iterable in chunks, as docker does.
    status, headers, _ = http_client("PATCH", upload, iter([first]) if chunked else first)
    assert (status, headers["Range"]) == (202, f"0-{len(first) - 1}")
    name = digest(first + last)
    assert http_client("PUT", f"{upload}?digest={name}", last)[0] == 201
    status, headers, body = http_client("GET", f"team/app/blobs/{name}")
    assert (status, body, headers["Docker-Content-Digest"]) == (200, first + last, name)
    status, headers, body = http_client("HEAD", f"team/app/blobs/{name}")
    assert (status, headers["Content-Length"], body) == (200, str(len(first + last)), b"")


def test_a_blob_can_be_sent_in_one_request_and_mounted_later(http_client: Client) -> None:
    """Specification, "POST then PUT" in one request, and "Mounting a blob from another repo"."""
    name = digest(b"content")
    uploads = "team/app/blobs/uploads/"
    assert http_client("POST", f"{uploads}?digest={name}", b"content")[0] == 201
    assert http_client("POST", f"{uploads}?mount={name}&from=team/other")[0] == 201
    unknown = digest(b"unknown")
    assert http_client("POST", f"{uploads}?mount={unknown}&from=team/other")[0] == 202


def test_a_blob_with_a_wrong_digest_is_refused(http_client: Client) -> None:
    name = digest(b"promised")
    status, _, body = http_client("POST", f"team/app/blobs/uploads/?digest={name}", b"sent")
    assert (status, code(body)) == (400, "DIGEST_INVALID")
    status, _, body = http_client("GET", f"team/app/blobs/{name}")
    assert (status, code(body)) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize(
    "path",
    [
        "team/app/blobs/sha256:..%2f..%2fetc",
        "team/app/blobs/uploads/..",
        "team/app/other/x",
        "../x",
    ],
)
def test_a_path_cannot_leave_the_registry(http_client: Client, path: str) -> None:
    assert http_client("PUT" if "uploads" in path else "GET", path)[0] in (400, 404)


def test_a_pushed_manifest_is_an_image_of_ecr(http_client: Client, ecr: ECRClient) -> None:
    body = manifest("one")
    assert put_manifest(http_client, "v1", body) == 201
    found = ecr.describe_images(repositoryName="team/app", imageIds=[{"imageTag": "v1"}])
    assert found["imageDetails"][0]["imageDigest"] == digest(body)
    for reference in ("v1", digest(body)):
        status, headers, answer = http_client("GET", f"team/app/manifests/{reference}")
        assert (status, answer, headers["Content-Type"]) == (200, body, MANIFEST)
        assert headers["Docker-Content-Digest"] == digest(body)
        assert http_client("HEAD", f"team/app/manifests/{reference}")[0] == 200


def test_a_manifest_can_be_pushed_by_digest_without_a_tag(
    http_client: Client, ecr: ECRClient
) -> None:
    """Specification, "Pushing manifests": the parts of an index carry no tag."""
    body = manifest("part")
    assert put_manifest(http_client, digest(body), body) == 201
    assert "imageTags" not in ecr.describe_images(repositoryName="team/app")["imageDetails"][0]
    assert put_manifest(http_client, digest(b"other"), body) == 400


def test_an_immutable_tag_is_not_moved(http_client: Client) -> None:
    """ECR User Guide, "Preventing image tags from being overwritten in Amazon ECR"."""
    assert put_manifest(http_client, "v1", manifest("one")) == 201
    assert put_manifest(http_client, "v1", manifest("one")) == 201
    assert put_manifest(http_client, "v1", manifest("two")) == 400
    assert http_client("GET", "team/app/manifests/v1")[2] == manifest("one")


def test_a_repository_must_exist_in_ecr(http_client: Client) -> None:
    """ECR answers a push to a missing repository with "name unknown"."""
    status, _, body = http_client("POST", "team/none/blobs/uploads/")
    assert (status, code(body)) == (404, "NAME_UNKNOWN")
    assert put_manifest(http_client, "v1", manifest("one"), "team/none") == 404
    status, _, body = http_client("GET", "team/app/manifests/none")
    assert (status, code(body)) == (404, "MANIFEST_UNKNOWN")


def docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def busybox(tmp_path: Path) -> Path:
    """A build context of a small runnable image that needs no download."""
    program = shutil.which("busybox")
    if shutil.which("docker") is None or program is None:
        pytest.skip("docker or a static busybox is not installed")
    found = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    if found.returncode:
        pytest.skip(f"no docker daemon answers: {found.stderr.decode().strip()}")
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(program, context / "busybox")
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/busybox\n"
        f'LABEL slipway.test={uuid.uuid4()}\nCMD ["/bin/busybox", "echo", "it runs"]\n'
    )
    return context


@pytest.mark.docker
def test_docker_pushes_and_pulls_by_digest(
    registry: Registry, ecr: ECRClient, busybox: Path
) -> None:
    tag = f"{registry.host}/team/app:v1"
    docker("build", "--quiet", "--tag", tag, str(busybox))
    try:
        docker("push", tag)
        details = ecr.describe_images(repositoryName="team/app")["imageDetails"][0]
        assert details["imageTags"] == ["v1"]
        pinned = f"{registry.host}/team/app@{details['imageDigest']}"
        docker("rmi", "--force", tag)
        docker("pull", "--quiet", pinned)
        tag = pinned
        assert docker("run", "--rm", "--network", "none", pinned) == "it runs"
    finally:
        docker("rmi", "--force", tag)


def test_a_push_that_is_cut_off_leaves_no_traceback(
    registry: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    host, _, port = registry.host.partition(":")
    gone = socket.create_connection((host, int(port)), timeout=10)
    gone.sendall(b"GET /v2/ HTTP/1.1\r\n\r\n" * 100)
    gone.recv(1)
    # Closing sends a reset: the answers cannot be sent any more.
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    for each in [each for each in threading.enumerate() if "process_request" in each.name]:
        each.join(10)
    assert "Traceback" not in capfd.readouterr().err
