"""Registers a git repository of this machine with the embedded cloud of `make run`."""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from slipway_cli.client import Client

from infra.local import cloud
from infra.local.aws.load_balancers import load_balancers
from infra.local.repositories import add_repository
from infra.package import ROOT
from infra.service import registration
from infra.service.names import Name
from infra.stacks import Refused

RECORD = ROOT / "build" / "run.json"
_CLUSTER = "default"
_PATIENCE = 15.0  # seconds: the agent looks at the services every second
# The settings of each strategy, with their values for somebody who tries them out.
SETTINGS: Mapping[str, Mapping[str, float]] = {
    "ROLLING": {},
    "BLUE_GREEN": {"BakeMinutes": 1},
    "LINEAR": {"StepPercent": 10, "StepMinutes": 1, "BakeMinutes": 1},
    "CANARY": {"CanaryPercent": 10, "StepMinutes": 1, "BakeMinutes": 1},
}


@dataclass(frozen=True)
class Repository:
    """A git repository of this machine, and the branch to build."""

    path: Path
    branch: str


def create(
    name: Name,
    *,
    git: str,
    branch: str,
    dockerfile: str | None,
    port: int,
    record: Path,
    strategy: str | None,
    parameters: Mapping[str, str],
) -> None:
    """Create the service in the embedded cloud and print what to do next. A repeat is allowed.

    A repeat with another strategy changes it.
    """
    configuration = deployment_configuration(strategy or "ROLLING", parameters)
    ready = _running_cloud(record)
    repository = find_repository(git, branch, dockerfile)
    slipway = Client(ready["api"], ready["token"])
    git_url = f"https://github.com/{name}.git"
    target = f"{name.project}-{name.service}"
    settings = {
        "name": name.service,
        "git_url": git_url,
        "branch": repository.branch,
        **({"dockerfile": dockerfile} if dockerfile else {}),
        "image_repository": str(name),
        "ecs_cluster": _CLUSTER,
        "ecs_service": target,
        "containers": [name.service],
    }
    project = registration.find_project(slipway, name.project)
    service = project and registration.find_service(slipway, project, name.service)
    if service:
        registration.require_same(service, settings, name)
    _create_target(ready, name, target, port, configuration if strategy else None)
    add_repository(Path(ready["data"]), git_url, repository.path)
    if not project:
        project = registration.create_project(slipway, name.project)
    if not service:
        service = registration.create_service(slipway, project, settings)
    print(_next_steps(ready, name, service, repository, _address(ready, target)))


def deployment_configuration(strategy: str, parameters: Mapping[str, str]) -> Any:
    """The `deploymentConfiguration` of CreateService. Raises Refused for other parameters."""
    known = SETTINGS[strategy]
    if unknown := sorted(parameters.keys() - known.keys()):
        settings = ", ".join(sorted(known)) or "no settings"
        raise Refused(
            f"{', '.join(unknown)} cannot be set for the strategy {strategy} without a STAGE.\n"
            f"It has {settings} here. Leave out the others, or give STAGE=dev for AWS."
        )
    values = {**known, **{name: _number(name, text) for name, text in parameters.items()}}
    made: dict[str, Any] = {"strategy": strategy}
    if "BakeMinutes" in values:
        made["bakeTimeInMinutes"] = int(values["BakeMinutes"])
    if strategy == "LINEAR":
        made["linearConfiguration"] = {
            "stepPercent": values["StepPercent"],
            "stepBakeTimeInMinutes": int(values["StepMinutes"]),
        }
    if strategy == "CANARY":
        made["canaryConfiguration"] = {
            "canaryPercent": values["CanaryPercent"],
            "canaryBakeTimeInMinutes": int(values["StepMinutes"]),
        }
    return made


def _number(name: str, text: str) -> float:
    whole = name.endswith("Minutes")
    if not re.fullmatch(r"[0-9]{1,4}" if whole else r"[0-9]{1,3}(\.[0-9])?", text, re.ASCII):
        example = "5" if whole else "2.5"
        raise Refused(f"{name} is {text!r}: it must be a number.\nGive for instance {example}.")
    return float(text)


def _running_cloud(record: Path) -> dict[str, Any]:
    """What `make run` has recorded. Raises Refused if it does not run now."""
    try:
        ready: dict[str, Any] = json.loads(record.read_text())
        with urllib.request.urlopen(f"{ready['api']}/v1/health", timeout=10):
            return ready
    except (OSError, ValueError):
        raise Refused(
            "There is no STAGE, so this is for the embedded cloud, which does not run here.\n"
            "Start it in another terminal with `make run`, or give STAGE=dev for AWS."
        ) from None


def find_repository(git: str, branch: str, dockerfile: str | None) -> Repository:
    """The repository in the directory `git`, with the branch that it is on. Raises Refused."""
    if "://" in git:
        raise Refused(
            f"GIT is {git}, and the embedded cloud builds a directory of this machine.\n"
            "Give for instance GIT=../my-app, or a STAGE for a repository on GitHub."
        )
    directory = Path(git).expanduser().resolve()
    top = _git(directory, "rev-parse", "--show-toplevel") if directory.is_dir() else None
    if top is None:
        raise Refused(
            f"GIT is {git}: there is no git repository in {directory}, or git refuses to read it.\n"
            "Give the directory of a repository, for instance GIT=../my-app."
        )
    if Path(top).resolve() != directory:
        raise Refused(f"GIT is {git}, a part of the repository {top}.\nGive GIT={top}.")
    found = branch or _git(directory, "symbolic-ref", "--short", "HEAD")
    if not found:
        raise Refused(
            f"{directory} is on no branch.\nSwitch to one, or give one: ARGS=--branch=main."
        )
    path = dockerfile or "Dockerfile"
    if _git(directory, "rev-parse", "--verify", f"refs/heads/{found}^{{commit}}") is None:
        raise Refused(f"{directory} has no commit on the branch {found}.\nCommit something first.")
    if _git(directory, "cat-file", "-e", f"refs/heads/{found}:{path}") is None:
        raise Refused(
            f"The newest commit on {found} in {directory} has no {path}.\n"
            "Commit one, or say where it is: ARGS=--dockerfile=docker/Dockerfile."
        )
    return Repository(directory, found)


def _git(directory: Path, *arguments: str) -> str | None:
    """The output of git; None if it fails."""
    done = subprocess.run(
        ["git", "-C", str(directory), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _create_target(
    ready: dict[str, Any],
    name: Name,
    target: str,
    port: int,
    configuration: Any,
) -> None:
    """Create the ECR repository and the ECS service if they are missing.

    An ECS service that exists gets the `configuration`, unless it is None.

    As for a new service on AWS, the first task definition names an image that does not exist yet.
    """
    cloud.isolate_environment()
    os.environ["AWS_ENDPOINT_URL"] = ready["aws"]
    ecr, ecs = boto3.client("ecr"), boto3.client("ecs")
    with suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=str(name))
    ecs.create_cluster(clusterName=_CLUSTER)
    found = ecs.describe_services(cluster=_CLUSTER, services=[target])["services"]
    if any(service["status"] == "ACTIVE" for service in found):
        if configuration:
            ecs.update_service(
                cluster=_CLUSTER, service=target, deploymentConfiguration=configuration
            )
        return
    definition = ecs.register_task_definition(
        family=target,
        containerDefinitions=[
            {
                "name": name.service,
                "image": f"{ready['registry']}/{name}:none",
                "memory": 512,
                "essential": True,
                "portMappings": [{"containerPort": port, "protocol": "tcp"}],
                "environment": [{"name": "PORT", "value": str(port)}],
            }
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.create_service(
        cluster=_CLUSTER,
        serviceName=target,
        taskDefinition=definition,
        desiredCount=1,
        loadBalancers=load_balancers(target, name.service, port),
        deploymentConfiguration={} if configuration is None else configuration,
    )


def _address(ready: dict[str, Any], target: str) -> str:
    """The address of the service's containers. Raises Refused if there is none in time."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with urllib.request.urlopen(ready["aws"] + cloud.SERVICE_URLS, timeout=10) as answer:
            urls: dict[str, str] = json.load(answer)
        if url := urls.get(f"{_CLUSTER}/{target}"):
            return url
        time.sleep(0.2)
    raise Refused(
        "The embedded ECS did not start the service in time.\nSee the output of `make run`."
    )


def _next_steps(
    ready: dict[str, Any], name: Name, service: dict[str, Any], repository: Repository, url: str
) -> str:
    answers = (
        "answers once a release runs"
        if ready["docker"]
        else "says that it is simulated: without Docker no process listens"
    )
    return "\n".join(
        [
            f"service  {name} has the id {service['id']}, and deploys commits on "
            f"{service['branch']} in {repository.path}",
            f"address  {url} {answers}",
            "next     commit, and then, with the command line of Slipway (pipx install ./cli):",
            f"           export SLIPWAY_URL={ready['api']}",
            f"           export SLIPWAY_TOKEN={ready['token']}",
            f"           slipway build {name} && slipway deploy {name}",
            f"           curl {url}",
            "The embedded cloud forgets this service when `make run` ends.",
        ]
    )
