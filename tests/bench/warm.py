"""What a warm request costs: CPU time, by whose code uses it, without AWS's own part.

The package runs in a process as Lambda starts it. It answers each request once with the embedded
cloud, then again and again with the recorded answers of AWS (`warm_process`). So neither moto nor
a network is in the figures. A share of the samples, times the CPU time, is the time of an owner.
"""

import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

import tests.support.fixtures  # noqa: F401  # first: it sets the product's environment
from infra.local import speed
from tests.bench.figures import Figure
from tests.bench.memory import limited
from tests.bench.sample import push_body
from tests.support.builders import WEBHOOK_SECRET, delivery_headers, gateway_event
from tests.support.embedded import Cloud, sha
from tests.support.packaged import environment, lean, package, run_alone, unpacked

PROCESS = Path(__file__).with_name("warm_process.py")
# Rows of a list.
ROWS = 50
# Whose time a sample is, by the package that it is in. What is not here is `other`.
# msgspec is called by our code only, so it counts as ours.
OWNERS = {
    "slipway": "own code",
    "msgspec": "own code",
    "chalice": "Chalice",
    "pynamodb": "PynamoDB",
    "botocore": "botocore",
    "urllib3": "botocore",
    "jmespath": "botocore",
    "dateutil": "botocore",
}
READS: Mapping[str, tuple[str, dict[str, str]]] = {
    "a service": ("/v1/services/{service_id}", {"service_id": "1"}),
    "a build": ("/v1/cicd/builds/{build_id}", {"build_id": "9"}),
    "a job": ("/v1/cicd/jobs/{job_id}", {"job_id": "deploy-9"}),
    f"{ROWS} services": ("/v1/services", {}),
    f"{ROWS} builds": ("/v1/cicd/services/{service_id}/builds", {"service_id": "1"}),
    f"{ROWS} deployments": ("/v1/cicd/services/{service_id}/deployments", {"service_id": "1"}),
    f"{ROWS} jobs": ("/v1/cicd/jobs", {}),
    f"{ROWS} deliveries": ("/v1/webhooks/github/deliveries", {}),
    f"{ROWS} audit entries": ("/v1/audit", {}),
}


def measure(results: Mapping[str, Any]) -> Iterator[Figure]:
    """The figures of the results of `run`."""
    for name, result in results.items():
        whole = statistics.median(result["times"])
        yield Figure(f"warm {name}: all code", whole, "ms")
        for owner, share in shares(result["samples"]).items():
            yield Figure(f"  {owner}", whole * share, "ms")


def shares(samples: Mapping[str, int]) -> dict[str, float]:
    """The share of each owner in the samples, without those of the measuring process."""
    counted = {name: count for name, count in samples.items() if name != "this"}
    total = sum(counted.values())
    found = dict.fromkeys([*OWNERS.values(), "other"], 0.0)
    for name, count in counted.items():
        found[OWNERS.get(name, "other")] += count / total
    return found


def run(seconds: float, only: str = "", share: float = 1) -> dict[str, Any]:
    """The results of `warm_process` for each request, by name.

    `only` is a part of the names to measure. With a `share` below 1 the process gets so much of a
    processor; raises OSError where this user may not make a control group.
    """
    speed.install()
    with (
        tempfile.TemporaryDirectory() as directory,
        pytest.MonkeyPatch.context() as monkeypatch,
        mock_aws(),
        _served() as address,
        limited(share) as enter,
    ):
        root = unpacked(lean(package(Path(directory))))
        token = _fill(Cloud(monkeypatch))
        events = {name: each for name, each in _events(token).items() if only in name}
        given = {"aws": address, "webhook_secret": WEBHOOK_SECRET}
        asked = {"events": events, "seconds": seconds}
        command = [str(PROCESS), "app.app"]
        results, _ = run_alone(root, command, asked, environment(given), enter)
    refused = {name: each["status"] for name, each in results.items() if each["status"] > 299}
    if refused:
        raise RuntimeError(f"refused: {refused}")
    return results


def _fill(cloud: Cloud) -> str:
    """Make a list of each kind with `ROWS` rows; return a token."""
    for number in range(ROWS):
        cloud.release(number + 1)
    for number in range(ROWS - 1):
        name, branch = f"service-{number}", f"branch-{number}"
        cloud.add_service(name, branch=branch)
        (build,) = cloud.push(sha(1000 + number), branch=branch).body["builds"]
        cloud.settle()
        cloud.finish_build(int(build["build_id"]))
        cloud.finish_rollout(name)
    return cloud.api.token


def _events(token: str) -> dict[str, list[Any]]:
    reads = {name: [_read(token, name, *each)] * 2 for name, each in READS.items()}
    return {**reads, "push": [_push(number) for number in range(2)]}


def _read(token: str, name: str, path: str, ids: dict[str, str]) -> dict[str, Any]:
    event = gateway_event("GET", path, **ids)
    if name.startswith(str(ROWS)):
        event["multiValueQueryStringParameters"] = {"limit": [str(ROWS)]}
    return with_headers(event, {"Authorization": f"Bearer {token}"})


def _push(number: int) -> dict[str, Any]:
    """A delivery as GitHub sends it."""
    body = push_body(sha(2000 + number))
    headers = delivery_headers(body, delivery=f"bench-{number}")
    event = gateway_event("POST", "/v1/webhooks/github", body=body.decode())
    return with_headers(event, {name: text for name, text in headers.items() if text})


def with_headers(event: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """An event of API Gateway with these headers."""
    several = {name: [text] for name, text in headers.items()}
    return event | {"headers": dict(headers), "multiValueHeaders": several}


@contextmanager
def _served() -> Iterator[str]:
    """The address of the AWS of this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
