"""The package as Lambda gets it: it is small, and it runs without anything else of this machine."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.lean import called_services
from infra.package import ROOT
from tests.support.builders import gateway_event, wakeup_event
from tests.support.packaged import environment, invoke, lean, package, unpacked
from tests.support.serving import serving

pytestmark = pytest.mark.long

# For Lambda's processor the only native library is as large as for this one.
MEGABYTES = 4

TRY_EVERYTHING = '''
"""Makes each client, and writes a metric."""

from chalicelib import cloudwatch
from chalicelib.aws.clients import client


def handler(event, context):
    cloudwatch.put({"Installation": "slipway"}, counts={"Builds": 1}, seconds={}, facts={})
    return [client(service).meta.endpoint_url for service in event]
'''


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lean(package(tmp_path_factory.mktemp("package")))


@pytest.fixture(scope="module")
def cloud() -> Iterator[dict[str, Any]]:
    with serving() as (_, ready):
        yield ready


@pytest.fixture(scope="module")
def root(archive: Path) -> Path:
    return unpacked(archive)


def test_the_package_is_small(archive: Path) -> None:
    assert archive.stat().st_size < MEGABYTES * 1_000_000


def test_the_same_code_gives_the_same_package(archive: Path, tmp_path: Path) -> None:
    again = lean(package(tmp_path))
    assert again.read_bytes() == archive.read_bytes()


def test_all_modules_are_compiled_and_ours_show_their_lines_in_a_traceback(archive: Path) -> None:
    names = set(zipfile.ZipFile(archive).namelist())
    sources = {name for name in names if name.endswith(".py")}
    assert "app.py" in sources
    assert {name.partition("/")[0] for name in sources} == {"app.py", "chalicelib"}
    for name in sources:
        path = Path(name)
        assert str(path.parent / f"__pycache__/{path.stem}.cpython-311.pyc") in names
    assert {"botocore/client.pyc", "pynamodb/models.pyc", "chalice/app.pyc"} <= names


def test_each_function_answers(root: Path, cloud: dict[str, Any]) -> None:
    variables = environment(cloud)
    event = gateway_event("GET", "/v1/services")
    event["headers"]["authorization"] = f"Bearer {cloud['token']}"
    event["multiValueHeaders"]["authorization"] = [f"Bearer {cloud['token']}"]
    result = invoke(root, "app.app", [event], variables)
    assert result["collects_garbage"]
    (answer,) = result["answers"]
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["items"] == []
    triggers = {
        "wakeups.on_wakeup": wakeup_event("service-1"),
        "events.on_cloud_event": {},
        "schedule.on_schedule": {},
    }
    for handler, invocation in triggers.items():
        result = invoke(root, f"chalicelib.triggers.{handler}", [invocation], variables)
        assert result["answers"] == [None], result
        assert result["collects_garbage"], handler


def test_the_package_can_call_each_service_that_a_policy_allows_and_write_metrics(
    root: Path, cloud: dict[str, Any]
) -> None:
    (root / "everything.py").write_text(TRY_EVERYTHING)
    services = sorted(called_services((ROOT / ".chalice").glob("policy-*.json")))
    assert {"codebuild", "dynamodb", "ecr", "ecs", "iam", "logs", "sqs"} <= set(services)
    variables = environment(cloud)
    del variables["AWS_ENDPOINT_URL"]
    result = invoke(root, "everything.handler", [services], variables)
    (endpoints,) = result["answers"]
    for service, endpoint in zip(services, endpoints, strict=True):
        assert service in endpoint or endpoint == "https://api.ecr.eu-west-1.amazonaws.com"
    assert json.loads(result["log"])["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Slipway"
