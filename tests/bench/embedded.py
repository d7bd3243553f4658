"""What the embedded cloud of `make run` costs: its start, small requests, and much work.

Containers are simulated. The share of a processor is read from Linux's /proc, so other systems do
not show it. A simulated container is a file, and each look at it a small program: programs are
those, and the shells of builds.
"""

import json
import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from infra.local.play.sample import BRANCH, CLUSTER, GIT_URL, IMAGE_REPOSITORY, Sample
from infra.local.repositories import add_repository
from tests.bench.figures import Figure
from tests.support.builders import delivery_headers, push_payload
from tests.support.serving import serving

STARTS = 3
REQUESTS = 300
SERVICES, PUSHES, LINE = 200, 10, 20
SECONDS = 20

_Send = Callable[[], int]


def measure() -> Iterator[Figure]:
    """Start it, ask it, give it 200 services and 2,000 builds, ask it again."""
    times = []
    for _ in range(STARTS):
        began = time.perf_counter()
        with serving():
            times.append(time.perf_counter() - began)
    yield Figure("embedded: ready after", statistics.median(times) * 1000, "ms")
    with serving() as (process, ready):
        cloud = _Client(ready)
        yield from _asked("embedded", cloud)
        yield from _memory("embedded", process.pid)
        _create_services(cloud)
        commits = _commits(cloud)
        began = time.perf_counter()
        for number in range(SERVICES):
            _cancel([cloud.push(_payload(number, commit)) for commit in commits], cloud)
        spent = time.perf_counter() - began
        yield Figure("embedded: builds accepted and ended", SERVICES * PUSHES / spent, "/s")
        yield from _memory("200 services, 2,000 builds", process.pid)
        yield from _busy("200 services, 2,000 builds", cloud, process.pid)
        line = [cloud.push(_payload(number, commits[0])) for number in range(LINE)]
        yield from _busy(f"{LINE} more builds in the line", cloud, process.pid)
        _cancel(line, cloud)


class _Client:
    """Sends requests over one connection that stays open, as a browser does."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self.ready = ready
        self._connection = _connection(ready["api"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        text = None if body is None else json.dumps(body)
        return json.loads(_sent(self._connection, method, path, text, self._headers))

    def push(self, body: Any) -> int:
        """Deliver a push; return the number of the build."""
        text = json.dumps(body)
        headers = delivery_headers(
            text.encode(), secret=self.ready["webhook_secret"], delivery=str(uuid.uuid4())
        )
        known = {name: value for name, value in headers.items() if value is not None}
        answer = json.loads(_sent(self._connection, "POST", "/v1/webhooks/github", text, known))
        return int(answer["builds"][0]["build_id"])

    def get(self, path: str) -> _Send:
        return lambda: len(_sent(self._connection, "GET", path, None, self._headers))

    def read_item(self) -> _Send:
        """A read of DynamoDB at the cloud's AWS endpoint."""
        connection = _connection(self.ready["aws"])
        caller = "AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/dynamodb/aws4_request"
        headers = {
            "Authorization": caller,
            "X-Amz-Target": "DynamoDB_20120810.GetItem",
            "Content-Type": "application/x-amz-json-1.0",
        }
        body = json.dumps({"TableName": "slipway-claims", "Key": {"id": {"S": "none"}}})
        return lambda: len(_sent(connection, "POST", "/", body, headers))

    @property
    def _headers(self) -> dict[str, str]:
        token = self.ready["token"]
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _connection(address: str) -> HTTPConnection:
    url = urlsplit(address)
    return HTTPConnection(url.hostname or "", url.port, timeout=60)


def _sent(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: str | None,
    headers: Mapping[str, str],
) -> bytes:
    connection.request(method, path, body, dict(headers))
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status in {200, 201, 202, 409}, (method, path, answer.status, content)
    return content


def _asked(name: str, cloud: _Client) -> Iterator[Figure]:
    kinds = {
        "GET /v1/health": cloud.get("/v1/health"),
        "GET /v1/projects": cloud.get("/v1/projects"),
        "GetItem of AWS": cloud.read_item(),
    }
    for kind, send in kinds.items():
        yield from _latency(f"{name}: {kind}", send)


def _latency(name: str, send: _Send) -> Iterator[Figure]:
    times = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        send()
        times.append((time.perf_counter() - began) * 1000)
    yield Figure(f"{name}, median", statistics.median(times), "ms")
    yield Figure(f"{name}, p99", statistics.quantiles(times, n=100)[-1], "ms")
    yield Figure(f"{name}, in a row", 1000 * REQUESTS / sum(times), "/s")


def _busy(name: str, cloud: _Client, process: int) -> Iterator[Figure]:
    if Path("/proc/self/stat").exists():
        before = _ticks(process)
        time.sleep(SECONDS)
        own, programs = (
            (now - then) / os.sysconf("SC_CLK_TCK") / SECONDS * 100
            for now, then in zip(_ticks(process), before, strict=True)
        )
        yield Figure(f"{name}: a processor", own, "%")
        yield Figure(f"{name}: programs", programs, "%")
    yield from _latency(f"{name}: GET", cloud.get("/v1/projects"))


def _ticks(process: int) -> tuple[int, int]:
    """The processor time of a process, and of the programs that it has waited for."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def _memory(name: str, process: int) -> Iterator[Figure]:
    status = Path(f"/proc/{process}/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmRSS:"):
            yield Figure(f"{name}: memory", int(line.split()[1]) / 1000, "MB")


def _create_services(cloud: _Client) -> None:
    """Services whose ECS services run an image, one each, with AWS's default health check."""
    session = boto3.Session("local", "local", region_name="eu-west-1")
    ecs = session.client("ecs", endpoint_url=cloud.ready["aws"])
    project = cloud.call("POST", "/v1/projects", {"name": "bench"})["id"]
    path = f"/v1/projects/{project}/services"
    image = f"{cloud.ready['registry']}/{_built(cloud, path)}"
    for number in range(SERVICES):
        container: Any = {
            "name": "web",
            "image": image,
            "memory": 64,
            "portMappings": [{"containerPort": 8080}],
            "healthCheck": {"command": ["CMD", "/probe"]},
        }
        family = f"bench-{number}"
        ecs.register_task_definition(family=family, containerDefinitions=[container])
        ecs.create_service(
            cluster=CLUSTER, serviceName=family, taskDefinition=family, desiredCount=1
        )
        body = {
            "name": family,
            "git_url": f"https://github.com/{_repository(number)}.git",
            "branch": BRANCH,
            "image_repository": IMAGE_REPOSITORY,
            "ecs_cluster": CLUSTER,
            "ecs_service": family,
            "containers": ["web"],
        }
        cloud.call("POST", path, body)


def _built(cloud: _Client, path: str) -> str:
    """The image of the sample, by its tag."""
    body = {
        "name": "sample",
        "git_url": GIT_URL,
        "image_repository": IMAGE_REPOSITORY,
        "ecs_cluster": CLUSTER,
        "ecs_service": "web",
        "containers": ["web"],
    }
    service = cloud.call("POST", path, body)["id"]
    asked = cloud.call("POST", f"/v1/cicd/services/{service}/build", {"git_ref": BRANCH})
    build = {"status": "queued"}
    while build["status"] in {"queued", "building"}:
        time.sleep(0.2)
        build = cloud.call("GET", f"/v1/cicd/builds/{asked['build_id']}")
    assert build["status"] == "success", build
    return str(build["image_tag"])


def _repository(number: int) -> str:
    return f"example/bench-{number}"


def _commits(cloud: _Client) -> list[str]:
    """Commits of the sample, which builds fetch from each service's repository."""
    data, sample = Path(cloud.ready["data"]), Sample(Path(cloud.ready["sample"]))
    for number in range(SERVICES):
        add_repository(data, f"https://github.com/{_repository(number)}.git", sample.path)
    return [sample.commit(str(number)) for number in range(PUSHES)]


def _payload(number: int, commit: str) -> dict[str, Any]:
    """A push to the branch of a service. Its build takes the place of one that still waits."""
    repository = _repository(number)
    described = {
        "id": number + 1,
        "full_name": repository,
        "html_url": f"https://github.com/{repository}",
        "clone_url": f"https://github.com/{repository}.git",
        "pushed_at": int(time.time()),
    }
    return push_payload(after=commit, ref=f"refs/heads/{BRANCH}", repository=described)


def _cancel(builds: list[int], cloud: _Client) -> None:
    """Cancel the builds that have not ended. One may end at this moment: that is a conflict."""
    for number in builds:
        if cloud.call("GET", f"/v1/cicd/builds/{number}")["status"] in {"queued", "building"}:
            cloud.call("POST", f"/v1/cicd/jobs/build-{number}/cancel", {})
