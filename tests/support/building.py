"""Builds with the real buildspec: the local agent, real git, and a simulated docker."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from types_boto3_codebuild.type_defs import BuildTypeDef, EnvironmentVariableTypeDef

from infra.local.aws import clock, fidelity
from infra.local.aws.resources import build_variables
from infra.local.machines.codebuild_agent import BuildAgent
from infra.local.machines.registry import Registry

ROOT = Path(__file__).parents[2]
BUILDSPEC = (ROOT / "infra" / "buildspec.yml").read_text()
SIMULATED_DOCKER = ROOT / "infra" / "local" / "machines" / "simulated_docker"
STAND_IN_AWS = ROOT / "infra" / "local" / "machines" / "stand_in_aws"
GIT_URL = "https://github.com/team/app.git"


def split_after_fetch(buildspec: str) -> tuple[str, str]:
    """A buildspec that ends with the step that fetches the source, and the text of the others."""
    spec = yaml.safe_load(buildspec)
    commands = spec["phases"]["pre_build"]["commands"]
    (last,) = (
        number
        for number, command in enumerate(commands, start=1)
        if command.startswith('echo "Fetching the source"')
    )
    later = [*commands[last:], *spec["phases"].pop("build")["commands"]]
    spec["phases"]["pre_build"]["commands"] = commands[:last]
    assert list(spec["phases"]) == ["pre_build"]
    return yaml.safe_dump(spec), "\n".join(later)


# The steps up to the one that fetches the source, and the text of the steps after it.
FETCH, AFTER_FETCH = split_after_fetch(BUILDSPEC)


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.com"]
    command = ["git", *identity, "-C", str(directory), *arguments]
    # Without the machine's settings: its filters would change what is committed.
    environment = os.environ | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=20, check=True
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


@cache
def serve_aws() -> str:
    """Serve the AWS of the running test until this process ends; its stop would take a second."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


class Cloud:
    """One build's cloud: a project, a registry, and an agent that clones `repository`."""

    def __init__(self, registry: Registry, repository: Repository) -> None:
        self.registry = registry
        self.repository = repository
        self._needs_endpoint = False
        self._codebuild = boto3.client("codebuild")
        for name, buildspec in (("slipway-builds", BUILDSPEC), ("slipway-fetches", FETCH)):
            self._create_project(name, buildspec)

    def _create_project(self, name: str, buildspec: str) -> None:
        self._codebuild.create_project(
            name=name,
            source={"type": "NO_SOURCE", "buildspec": buildspec},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
                "environmentVariables": build_variables("slipway"),
            },
            serviceRole="arn:aws:iam::123456789012:role/builds",
        )

    @property
    def endpoint(self) -> str:
        """The address of this test's AWS for other processes. Builds get it once it was read."""
        self._needs_endpoint = True
        return serve_aws()

    def secret(self, name: str, value: str) -> str:
        """Create a secret in Secrets Manager and return its name."""
        boto3.client("secretsmanager").create_secret(Name=name, SecretString=value)
        return name

    def build(self, environment: dict[str, str] | None = None, /, **variables: str) -> Outcome:
        """Run one build of the project 7."""
        return self._run("slipway-builds", environment or {}, variables)

    def fetch(self, environment: dict[str, str] | None = None, /, **variables: str) -> Outcome:
        """Run one build of the project 7 up to the end of the step that fetches the source."""
        return self._run("slipway-fetches", environment or {}, variables)

    def _run(self, name: str, environment: dict[str, str], variables: dict[str, str]) -> Outcome:
        request = {
            "JOB_ID": "build-1",
            "PROJECT_ID": "7",
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
        if self._needs_endpoint:
            environment = {"AWS_ENDPOINT_URL": self.endpoint, **environment}
        started = self._codebuild.start_build(
            projectName=name, environmentVariablesOverride=overrides
        )["build"]
        BuildAgent(environment=environment, max_builds=1).run_one()
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
        "PATH": f"{STAND_IN_AWS}:{SIMULATED_DOCKER}:{os.environ['PATH']}",
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
        cloud = Cloud(registry, repository)
        yield cloud
        registry.stop()


def use_real_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the simulated docker off PATH; skip the test if Docker with buildx does not work."""
    parts = os.environ["PATH"].split(os.pathsep)
    monkeypatch.setenv("PATH", os.pathsep.join(p for p in parts if p != str(SIMULATED_DOCKER)))
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    for command in (["docker", "info"], ["docker", "buildx", "version"]):
        found = subprocess.run(command, capture_output=True, timeout=20, check=False)
        if found.returncode:
            pytest.skip(f"{' '.join(command)}: {found.stderr.decode().strip()}")


def image(tag: str) -> str:
    """The digest of a tag in ECR."""
    found = boto3.client("ecr").describe_images(
        repositoryName="team/app", imageIds=[{"imageTag": tag}]
    )
    return found["imageDetails"][0]["imageDigest"]


WITNESS = """#!/usr/bin/env python3
import json, os, sys
arguments = sys.argv[1:]
if arguments[:2] == ["buildx", "inspect"]:
    print("Driver: docker\\nPlatforms: linux/amd64")
seen = {"arguments": arguments, "environment": dict(os.environ), "files": {}}
seen["directory"] = os.listdir()
if arguments[:2] == ["buildx", "build"] and "--help" not in arguments:
    import subprocess
    # buildx asks git about the context, for the provenance of the image.
    if os.environ.get("BUILDX_GIT_INFO") != "false":
        seen["git"] = True
    for question in (
        ["rev-parse", "--is-inside-work-tree"],
        ["rev-parse", "--show-toplevel"],
        ["status", "--porcelain", "--ignored"],
        ["show", "--format=%H", "HEAD", "--quiet", "--"],
        ["remote", "get-url", "origin"],
    ):
        subprocess.run(["git", "-C", arguments[-1], *question], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
    context = os.fsencode(arguments[-1])
    for directory, folders, names in os.walk(context):
        for path in (os.path.join(directory, name) for name in names + folders):
            link = os.path.islink(path)
            if os.path.isdir(path) and not link:
                continue
            content = os.readlink(path) if link else open(path, "rb").read()
            name = os.fsdecode(os.path.relpath(path, context))
            seen["files"][name] = ("-> " if link else "") + content.decode(errors="replace")
    private = os.path.dirname(os.environ["DOCKER_CONFIG"])
    seen["private"] = sorted(
        os.path.relpath(os.path.join(directory, name), private)
        for directory, folders, names in os.walk(private) for name in names
    )
    seen["secrets"] = {
        os.path.basename(each.partition(",src=")[2]): open(each.partition(",src=")[2]).read()
        for each in arguments if each.startswith("--secret=")
    }
    metadata = arguments[arguments.index("--metadata-file") + 1]
    with open(metadata, "w") as file:
        json.dump({"containerimage.digest": "sha256:" + "0" * 64}, file)
    OUTPUT
with open(RECORD, "a") as file:
    file.write(json.dumps(seen) + "\\n")
"""


class Witness:
    """A docker command that records its arguments, its environment and the files it can read.

    It also runs the git commands that buildx runs in the build context (buildx, build/git.go).
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "witness"
        self.directory.mkdir()
        self._record = self.directory / "record"
        self.environment = {"PATH": f"{self.directory}:{os.environ['PATH']}"}
        self.install()

    def install(self, output: str = "pass") -> None:
        """Write the command. `output` is a line of Python that plays the rest of a build."""
        text = WITNESS.replace("RECORD", repr(str(self._record))).replace("OUTPUT", output)
        command = self.directory / "docker"
        command.write_text(text)
        command.chmod(0o755)

    @property
    def text(self) -> str:
        """The whole record: one JSON object a line for each call of docker."""
        return self._record.read_text() if self._record.exists() else ""

    @property
    def build(self) -> Any:
        """The recorded call of `docker buildx build`."""
        calls = [json.loads(line) for line in self.text.splitlines()]
        (found,) = [
            call for call in calls if call["arguments"][:3] == ["buildx", "build", "--builder"]
        ]
        return found


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path)
