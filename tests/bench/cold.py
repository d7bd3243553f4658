"""What a cold start costs: the package, its import and the first requests, in CPU time.

Lambda gives a function of 512 MB less than a third of a processor, and its time is paid. CPU time
depends on the machine, so figures are compared within one run. Each kind of process starts in turn
with the others: noise of the machine then meets all of them.
"""

import json
import statistics
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from infra.local.play.sample import IMAGE_REPOSITORY
from tests.bench.figures import Figure
from tests.support.builders import delivery_headers, gateway_event, push_payload
from tests.support.packaged import environment, invoke, lean, package, unpacked
from tests.support.serving import serving

# The imports of libraries that no change of the application can save.
FLOOR = """import chalice, botocore.session, botocore.config, msgspec
import pynamodb.models, pynamodb.attributes, pynamodb.transactions, pynamodb.indexes

def handler(event, context): ...
"""
SERVICE = {
    "name": "hello",
    "git_url": "https://github.com/Codertocat/Hello-World.git",
    "branch": "master",
    "image_repository": IMAGE_REPOSITORY,
}


def measure(runs: int) -> Iterator[Figure]:
    """Package the application, and time fresh processes of it, `runs` of each kind."""
    with tempfile.TemporaryDirectory() as directory, serving() as (_, cloud):
        plain = package(Path(directory))
        small = lean(plain)
        yield Figure("package as Chalice writes it", plain.stat().st_size / 1e6, "MB")
        yield Figure("package", small.stat().st_size / 1e6, "MB")
        before, now = unpacked(plain), unpacked(small)
        (now / "floor.py").write_text(FLOOR)
        _post(cloud, "/v1/projects", {"name": "bench"})
        _post(cloud, "/v1/projects/1/services", SERVICE)
        variables = environment(cloud)
        kinds: dict[str, tuple[Path, str, list[Any]]] = {
            "floor": (now, "floor.handler", [{}]),
            "read": (now, "app.app", [_read(cloud)] * 3),
            "push": (now, "app.app", [_push(cloud) for _ in range(3)]),
            "push as Chalice packages it": (before, "app.app", [_push(cloud)]),
        }
        times: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in kinds}
        for _ in range(runs):
            for kind, (root, handler, events) in kinds.items():
                again = [_push(cloud) for _ in events] if "push" in kind else events
                result = invoke(root, handler, again, variables)
                refused = [each for each in result["answers"] if each and each["statusCode"] > 299]
                assert not refused, refused
                times[kind].append(result)
    yield from _figures(times)


def _figures(times: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Figure]:
    floor = statistics.median(each["import"] for each in times["floor"])
    yield Figure("import of the libraries alone", floor, "ms")
    for kind, results in times.items():
        if kind == "floor":
            continue
        imported = statistics.median(each["import"] for each in results)
        first, *more = (
            statistics.median(column)
            for column in zip(*(each["requests"] for each in results), strict=True)
        )
        yield Figure(f"cold {kind}: import", imported, "ms", imported / floor)
        yield Figure(f"cold {kind}: first request", first, "ms")
        yield Figure(f"cold {kind}: both", imported + first, "ms", (imported + first) / floor)
        if more:
            yield Figure(f"warm {kind}: third request", more[-1], "ms")


def _post(cloud: Mapping[str, Any], path: str, body: Any) -> None:
    headers = {"Authorization": f"Bearer {cloud['token']}", "Content-Type": "application/json"}
    with urlopen(Request(cloud["api"] + path, json.dumps(body).encode(), headers)):
        pass


def _read(cloud: Mapping[str, Any]) -> dict[str, Any]:
    event = gateway_event("GET", "/v1/services/{service_id}", service_id="1")
    return _with_headers(event, {"Authorization": f"Bearer {cloud['token']}"})


def _push(cloud: Mapping[str, Any]) -> dict[str, Any]:
    body = json.dumps(push_payload(after=uuid.uuid4().hex + "0" * 8))
    headers = delivery_headers(
        body.encode(), secret=cloud["webhook_secret"], delivery=str(uuid.uuid4())
    )
    event = gateway_event("POST", "/v1/webhooks/github", body=body)
    return _with_headers(event, {name: text for name, text in headers.items() if text})


def _with_headers(event: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    several = {name: [text] for name, text in headers.items()}
    return event | {"headers": dict(headers), "multiValueHeaders": several}
