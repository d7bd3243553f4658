"""The simulated docker keeps the commands' contracts and prints that it is simulated."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra.local.aws import fidelity
from infra.local.machines.registry import Registry

PROGRAM = Path(__file__).parents[2] / "infra" / "local" / "machines" / "simulated_docker" / "docker"
Docker = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "SIMULATED_DOCKER_STATE": str(tmp_path)}
        done = subprocess.run(
            [PROGRAM, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert "[simulated]" in done.stderr
        return done

    return run


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An ECR repository's address in a running registry."""
    fidelity.install()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("ecr").create_repository(repositoryName="app")
        registry = Registry(tmp_path / "registry")
        registry.start()
        yield f"{registry.host}/app"
        registry.stop()


def push(docker: Docker, context: Path, image: str, dockerfile: str) -> None:
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(dockerfile)
    done = docker("buildx", "build", "--push", "--tag", image, "--", str(context))
    assert done.returncode == 0, done.stderr


def test_a_container_runs_until_it_is_removed(
    docker: Docker, repository: str, tmp_path: Path
) -> None:
    image = f"{repository}:v1"
    push(docker, tmp_path / "context", image, "FROM scratch\n")
    run = ("run", "-d", "--name", "one", "--label", "owner=me", "-p", "127.0.0.1::80", "-e", "A=b")
    assert docker(*run, image).returncode == 1, "the image was not pulled yet"
    assert docker("pull", image).returncode == 0
    assert docker(*run, image, "serve", "--now").returncode == 0
    assert docker(*run, image).returncode == 1, "the name is taken"

    state = json.loads(docker("inspect", "one").stdout)[0]["State"]
    assert (state["Running"], state["ExitCode"]) == (True, 0)
    listing = ("ps", "-a", "--format", "{{.Names}}", "--filter")
    assert docker(*listing, "label=owner=me").stdout == "one\n"
    assert docker(*listing, "label=owner=you").stdout == ""
    assert docker("exec", "one", "/bin/sh", "-c", "exit 1").returncode == 0
    assert docker("port", "one", "80/tcp").returncode == 1
    logs = docker("logs", "--timestamps", "--since", "2026-01-01T00:00:00.000000000Z", "one")
    assert (logs.returncode, logs.stdout) == (0, "")

    assert docker("rm", "-f", "one", "none").returncode == 0
    assert docker("inspect", "one").returncode == 1
    assert docker(*listing, "label=owner=me").stdout == ""


def test_a_label_makes_an_image_unhealthy(docker: Docker, repository: str, tmp_path: Path) -> None:
    image = f"{repository}:v1"
    dockerfile = 'FROM scratch\nLABEL a="b c" \\\n  slipway.simulated.health=unhealthy\n'
    push(docker, tmp_path / "context", image, dockerfile)
    docker("pull", image)
    docker("run", "-d", "--name", "one", image)
    assert docker("exec", "one", "true").returncode == 1


def test_a_missing_image_or_context_is_an_error(
    docker: Docker, repository: str, tmp_path: Path
) -> None:
    assert docker("pull", f"{repository}:none").returncode == 1
    assert docker("pull", "docker.io/library/busybox:latest").returncode == 1
    build = ("buildx", "build", "--push", "--tag", f"{repository}:v1")
    assert docker(*build, str(tmp_path / "none")).returncode == 1
    assert "failed to read dockerfile" in docker(*build, str(tmp_path)).stderr


def test_it_identifies_itself_as_simulated(docker: Docker) -> None:
    assert docker("version").returncode == 0
    assert docker("buildx", "version").returncode == 0
    assert "Driver:    docker" in docker("buildx", "inspect", "default").stdout
    assert docker("login", "--username", "AWS", "--password-stdin", "host").returncode == 0
