"""schemathesis tests the API against the served OpenAPI document, with every check on."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.serving import ROOT, environment, serving

pytestmark = pytest.mark.fuzz

# Examples for each operation. This limits the run to some minutes.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "20")
SEED = "20261122"


class World:
    """A served Slipway with a build and two deployments."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.url, self.token = ready["api"], ready["token"]
        create_ecs_service(ready["aws"], ECS["ecs_service"][1])
        self.send("/v1/projects", name="shop")
        self.send(
            "/v1/projects/1/services",
            name="web",
            git_url="https://github.com/example/app.git",
            image_repository=IMAGE_REPOSITORY,
            ecs_cluster="default",
            ecs_service="web",
            containers=("web",),
        )
        self.send("/v1/cicd/services/1/build", git_ref="main")
        self.wait_for("build-1")
        for number in (1, 2):
            self.send("/v1/cicd/services/1/deploy", image_tag="myapp:main-1")
            self.wait_for(f"deploy-{number}")

    def send(self, path: str, **body: Any) -> Any:
        return self.call(path, json.dumps(body).encode())

    def wait_for(self, job: str) -> None:
        deadline = time.monotonic() + 60
        while self.call(f"/v1/cicd/jobs/{job}")["status"] != "success":
            assert time.monotonic() < deadline, job
            time.sleep(0.2)

    def call(self, path: str, body: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def create_ecs_service(aws: str, name: str) -> None:
    """Create an ECS service like that of "web"."""
    ecs: Any = boto3.client(
        "ecs",
        endpoint_url=aws,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # the embedded cloud takes any
    )
    (web,) = ecs.describe_services(cluster="default", services=["web"])["services"]
    ecs.create_service(
        cluster="default",
        serviceName=name,
        taskDefinition=web["taskDefinition"],
        desiredCount=1,
        deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100},
    )


# The document describes every installation and project. This one has one git host, one prefix of
# secrets, the secrets of project 1 and one image repository.
NARROW = {
    "git-url": ("[A-Za-z0-9.-]+", "[gG][iI][tT][hH][uU][bB][.][cC][oO][mM]"),
    "secret-reference": ("[A-Za-z0-9_-]+(?:/", "slipway(?!/git/|/build/|/webhook$)(?:/"),
    "git-credential": ("[A-Za-z0-9_-]{1,64}/git/[1-9][0-9]{0,17}", "slipway/git/1"),
    "channel-secret": ("[A-Za-z0-9_-]{1,64}/tell/", "slipway/tell/"),
    "build-secret-reference": ("[A-Za-z0-9_-]{1,64}/build/[1-9][0-9]{0,17}", "slipway/build/1"),
}
IMAGE_REPOSITORY = "myapp"
# The ECS services that exist; the cloud has made the first one.
ECS = {"ecs_cluster": ["default"], "ecs_service": ["web", "jobs"]}


def narrowed(schema: Any) -> Any:
    """The document with the patterns of what this installation accepts."""
    if isinstance(schema, list):
        return [narrowed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: narrowed(each) for name, each in schema.items()}
    if schema.get("format") == "image-repository":
        inner["enum"] = [IMAGE_REPOSITORY]
    for name in ECS.keys() & inner.get("properties", {}).keys():
        for each in inner["properties"][name].get("anyOf", [inner["properties"][name]]):
            if "pattern" in each:
                each["enum"] = ECS[name]
    if schema.get("format") in NARROW:
        general, special = NARROW[schema["format"]]
        assert general in schema["pattern"]
        inner["pattern"] = schema["pattern"].replace(general, special)
    return inner


def test_the_api_matches_its_openapi_document(tmp_path: Path) -> None:
    with serving() as (_, ready):
        world = World(ready)
        # From a file: schemathesis does not test the operation that it read the document from.
        document = tmp_path / "openapi.json"
        document.write_text(json.dumps(narrowed(world.call("/v1/openapi.json"))))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", str(document)),
                *("--url", world.url, "--header", f"Authorization: Bearer {world.token}"),
                *("--checks", "all", "--continue-on-failure", "--no-color"),
                # It wants 405. To API Gateway a method that a route does not have is unknown: 404.
                *("--exclude-checks", "unsupported_method"),
                *("--seed", SEED, "--max-examples", EXAMPLES, "--generation-database", "none"),
            ],
            cwd=tmp_path,  # schemathesis writes its files here
            env=environment(
                SCHEMATHESIS_HOOKS="tests.fuzz.hooks", PYTHONPATH=str(ROOT), OWN_TOKEN_ID="1"
            ),
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
    print(done.stdout[done.stdout.find("= SUMMARY") :])
    assert done.returncode == 0, done.stdout + done.stderr
