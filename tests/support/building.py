"""Builds with the real buildspec: the local agent, real git, and a simulated docker."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from types_boto3_codebuild.type_defs import BuildTypeDef, EnvironmentVariableTypeDef

from infra.local.aws import clock, fidelity
from infra.local.machines.codebuild_agent import BuildAgent
from infra.local.machines.registry import Registry

ROOT = Path(__file__).parents[2]
BUILDSPEC = (ROOT / "infra" / "buildspec.yml").read_text()
SIMULATED_DOCKER = ROOT / "infra" / "local" / "machines" / "simulated_docker"
GIT_URL = "https://github.com/team/app.git"


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.com"]
    command = ["git", *identity, "-C", str(directory), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20, check=True
    ).stdout.strip()


@dataclass
class Repository:
    """A git repository on disk."""

    path: Path

    def commit(self, message: str = "Say hello", **files: str) -> str:
        """Commit files and return the SHA. `a__b` names a/b; a value "-> x" makes a link to x."""
        for name, text in files.items():
            path = self.path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                path.symlink_to(text.removeprefix("-> "))
            else:
                path.write_text(text)
        git(self.path, "add", "--all")
        git(self.path, "commit", "--quiet", "--allow-empty", "--message", message)
        return git(self.path, "rev-parse", "HEAD")


@dataclass
class Outcome:
    """A finished build, and its log."""

    build: BuildTypeDef
    log: str

    @property
    def status(self) -> str:
        return self.build["buildStatus"]

    @property
    def exported(self) -> dict[str, str]:
        return {v["name"]: v["value"] for v in self.build["exportedEnvironmentVariables"]}


class Cloud:
    """One build's cloud: a project, a registry, and an agent that clones `repository`."""

    def __init__(self, registry: Registry, repository: Repository) -> None:
        self.registry = registry
        self.repository = repository
        self._codebuild = boto3.client("codebuild")
        self._codebuild.create_project(
            name="slipway-builds",
            source={"type": "NO_SOURCE", "buildspec": BUILDSPEC},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
            },
            serviceRole="arn:aws:iam::123456789012:role/builds",
        )

    def build(
        self,
        environment: dict[str, str] | None = None,
        /,
        *,
        secret: str | None = None,
        **variables: str,
    ) -> Outcome:
        """Run one build. `secret` is the ARN of the project's git credential."""
        request = {
            "JOB_ID": "build-1",
            "GIT_URL": GIT_URL,
            "GIT_REF": "main",
            "GIT_SHA": "",
            "SUBMODULES": "false",
            "CONTEXT_PATH": ".",
            "DOCKERFILE": "Dockerfile",
            "PLATFORMS": "linux/amd64",
            "BUILD_ARGS": "{}",
            "IMAGE": f"{self.registry.host}/team/app",
            "IMAGE_TAG": f"main-{uuid.uuid4()}",
            **variables,
        }
        overrides: list[EnvironmentVariableTypeDef] = [
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in request.items()
        ]
        if secret:
            overrides.append({"name": "GIT_CREDENTIAL", "value": secret, "type": "SECRETS_MANAGER"})
        started = self._codebuild.start_build(
            projectName="slipway-builds", environmentVariablesOverride=overrides
        )["build"]
        BuildAgent(environment=environment or {}, max_builds=1).run_one()
        build = self._codebuild.batch_get_builds(ids=[started["id"]])["builds"][0]
        events = boto3.client("logs").get_log_events(
            logGroupName=build["logs"]["groupName"],
            logStreamName=build["logs"]["streamName"],
            startFromHead=True,
        )["events"]
        return Outcome(build, "".join(event["message"] for event in events))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch", "main")
    repository = Repository(path)
    repository.commit(Dockerfile='FROM scratch\nLABEL one=1 two="a b"\nCOPY . /\n')
    return repository


@pytest.fixture
def cloud(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    fidelity.install()
    clock.reset()
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    # git reads the repository on disk instead of GIT_URL.
    rewritten = f"url.file://{repository.path}.insteadOf"
    environment = {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PATH": f"{SIMULATED_DOCKER}:{os.environ['PATH']}",
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": rewritten,
        "GIT_CONFIG_VALUE_0": GIT_URL,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        boto3.client("ecr").create_repository(repositoryName="team/app")
        registry = Registry(tmp_path / "registry")
        registry.start()
        yield Cloud(registry, repository)
        registry.stop()


def image(tag: str) -> str:
    """The digest of a tag in ECR."""
    found = boto3.client("ecr").describe_images(
        repositoryName="team/app", imageIds=[{"imageTag": tag}]
    )
    return found["imageDetails"][0]["imageDigest"]


WITNESS = """#!/usr/bin/env python3
import json, os, sys
if sys.argv[1:3] == ["buildx", "inspect"]:
    print("Driver: docker\\nPlatforms: linux/amd64")
seen = {"arguments": sys.argv[1:], "environment": dict(os.environ), "files": {}}
if sys.argv[1:3] == ["buildx", "build"]:
    context = os.fsencode(sys.argv[-1])
    for directory, folders, names in os.walk(context):
        for path in (os.path.join(directory, name) for name in names + folders):
            link = os.path.islink(path)
            if os.path.isdir(path) and not link:
                continue
            content = os.readlink(path) if link else open(path, "rb").read()
            name = os.fsdecode(os.path.relpath(path, context))
            seen["files"][name] = ("-> " if link else "") + content.decode(errors="replace")
    source = os.environ["CODEBUILD_SRC_DIR"]
    seen["beside"] = sorted(os.listdir(source)) + [
        f"private/{name}" for entry in os.listdir(source) if entry.startswith("private.")
        for name in os.listdir(os.path.join(source, entry))
    ]
with open(os.environ["WITNESS"], "a") as file:
    file.write(json.dumps(seen) + "\\n")
"""


class Witness:
    """A docker command that records its arguments, its environment and the files it can read."""

    def __init__(self, directory: Path) -> None:
        command = directory / "witness" / "docker"
        command.parent.mkdir()
        command.write_text(WITNESS)
        command.chmod(0o755)
        self._record = directory / "witness" / "record"
        self.environment = {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "WITNESS": str(self._record),
        }

    @property
    def text(self) -> str:
        """The whole record: one JSON object a line for each call of docker."""
        return self._record.read_text() if self._record.exists() else ""

    @property
    def build(self) -> Any:
        """The recorded call of `docker buildx build`."""
        calls = [json.loads(line) for line in self.text.splitlines()]
        (found,) = [call for call in calls if call["arguments"][:2] == ["buildx", "build"]]
        return found


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path)
