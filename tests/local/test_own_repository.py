"""`make service` without a stage: a person's own repository in the embedded cloud of `make run`."""

import json
import os
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.serving import ROOT, environment, serving

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *IDENTITY, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a Dockerfile on the branch trunk."""
    path = tmp_path / "my app"
    path.mkdir()
    _git(path, "init", "--quiet", "--initial-branch", "trunk")
    (path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    _git(path, "add", "--all")
    _git(path, "commit", "--quiet", "--message", "First")
    return path


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file in which a running embedded cloud has recorded itself."""
    path = tmp_path_factory.mktemp("run") / "run.json"
    with serving("--record", str(path)):
        yield path
    assert not path.exists()


def _run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment(PYTHONPATH="cli", **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _service(record: Path, repository: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return _run("infra.service", "--record", str(record), "--git", str(repository), *more)


def _login(said: str) -> dict[str, str]:
    """The variables that the command prints for the command line."""
    lines = [line.split()[1] for line in said.splitlines() if line.startswith("           export ")]
    return dict(line.split("=", 1) for line in lines)


def test_only_this_user_can_read_the_record(record: Path) -> None:
    assert stat.S_IMODE(os.stat(record).st_mode) == 0o600


def test_a_commit_is_built_deployed_and_has_an_address(record: Path, repository: Path) -> None:
    done = _service(record, repository, "--name", "shop/web", "--port", "3000")
    assert done.returncode == 0, done.stderr
    assert f"deploys commits on trunk in {repository}" in done.stdout
    (url,) = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("address")]
    login = _login(done.stdout)
    (repository / "news").write_text("2")
    _git(repository, "add", "--all")
    _git(repository, "commit", "--quiet", "--message", "Second")
    for step in ("build", "deploy"):
        done = _run("slipway_cli", step, "shop/web", **login)
        assert done.returncode == 0, done.stdout + done.stderr
    assert f"{_git(repository, 'rev-parse', '--short=8', 'HEAD')} Second" in done.stdout
    with urllib.request.urlopen(url, timeout=10) as answer:
        # The container runs, and says that it is simulated.
        assert "is simulated: no process listens" in answer.read().decode()


def test_a_repeat_changes_nothing_and_another_directory_takes_over(
    record: Path, repository: Path, tmp_path: Path
) -> None:
    first = _service(record, repository, "--name", "shop/api")
    assert _service(record, repository, "--name", "shop/api").stdout == first.stdout
    other = tmp_path / "other"
    _git(repository, "clone", "--quiet", str(repository), str(other))
    _git(other, "commit", "--quiet", "--allow-empty", "--message", "Elsewhere")
    moved = _service(record, other, "--name", "shop/api")
    assert moved.returncode == 0, moved.stderr
    done = _run("slipway_cli", "build", "shop/api", **_login(moved.stdout))
    assert "Elsewhere" in done.stdout, done.stderr


def test_a_service_has_the_strategy_that_was_asked_for(record: Path, repository: Path) -> None:
    ecs = boto3.client(
        "ecs",
        endpoint_url=json.loads(record.read_text())["aws"],
        region_name="eu-west-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )

    def shown() -> Any:
        found = ecs.describe_services(cluster="default", services=["shop-slow"])
        return found["services"][0]

    create = ("--name", "shop/slow", "--strategy")
    done = _service(record, repository, *create, "CANARY", "CanaryPercent=2.5", "StepMinutes=3")
    assert done.returncode == 0, done.stderr
    made = shown()
    assert made["deploymentConfiguration"]["strategy"] == "CANARY"
    assert made["deploymentConfiguration"]["bakeTimeInMinutes"] == 1
    assert made["deploymentConfiguration"]["canaryConfiguration"] == {
        "canaryPercent": 2.5,
        "canaryBakeTimeInMinutes": 3,
    }
    (balancer,) = made["loadBalancers"]
    assert balancer["containerPort"] == 8080
    assert (
        balancer["targetGroupArn"] != balancer["advancedConfiguration"]["alternateTargetGroupArn"]
    )
    assert _service(record, repository, *create, "LINEAR").returncode == 0
    assert shown()["deploymentConfiguration"]["linearConfiguration"]["stepPercent"] == 10
    assert _service(record, repository, *create[:2]).returncode == 0
    assert shown()["deploymentConfiguration"]["strategy"] == "LINEAR"


def _refused(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 2
    return done.stderr


def test_what_cannot_be_built_is_refused(record: Path, repository: Path, tmp_path: Path) -> None:
    def refused(git: Any, *more: str) -> str:
        return _refused(_service(record, git, "--name", "shop/no", *more))

    assert "there is no git repository in" in refused(tmp_path)
    assert "there is no git repository in" in refused(tmp_path / "nothing")
    assert "builds a directory of this machine" in refused("https://github.com/acme/web")
    assert "has no commit on the branch wip" in refused(repository, "--branch", "wip")
    assert "has no docker/Dockerfile" in refused(repository, "--dockerfile", "docker/Dockerfile")
    assert "DOMAIN is for AWS" in refused(repository, "--domain", "shop.example.com")
    for given, reason in (
        (["MaxTasks=3"], "MaxTasks cannot be set for the strategy ROLLING without a STAGE"),
        (["--strategy", "CANARY", "StepPercent=5"], "StepPercent cannot be set for"),
        (["--strategy", "CANARY", "CanaryPercent=ten"], "CanaryPercent is 'ten'"),
        (["--strategy", "LINEAR", "StepMinutes=1.5"], "StepMinutes is '1.5'"),
        (["Strategy=CANARY"], "Give for instance STRATEGY=CANARY"),
    ):
        assert reason in refused(repository, *given)
    part = repository / "part"
    part.mkdir()
    assert f"Give GIT={repository}." in refused(part)
    _git(repository, "checkout", "--quiet", "--detach")
    assert "is on no branch" in refused(repository)


def test_without_a_running_cloud_it_says_how_to_start_one(repository: Path, tmp_path: Path) -> None:
    assert "Start it in another terminal with `make run`" in _refused(
        _service(tmp_path / "none.json", repository, "--name", "shop/web")
    )
    assert "GIT is missing" in _refused(_run("infra.service", "--name", "shop/web"))
