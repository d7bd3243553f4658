"""A small sample application for Slipway: a git repository and the AWS resources that it needs.

It answers `/` with its version, `/health` if it is healthy, and `/cgi-bin/greeting` with a setting
of its task definition. If this machine has a static busybox, the repository contains it, so that
the image needs no registry on the internet. Otherwise the image is based on Docker Hub's busybox.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from infra.local.aws.load_balancers import load_balancers

GIT_URL = "https://github.com/example/app.git"
BRANCH = "main"
IMAGE_REPOSITORY = "myapp"
CLUSTER = "default"
CONTAINER = "web"
PORT = 8080
_AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada Example",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada Example",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


@dataclass(frozen=True)
class Sample:
    """The sample's repository on this machine."""

    path: Path

    def commit(self, version: str, *, healthy: bool = True) -> str:
        """Commit a version and return its SHA. An unhealthy version has no `/health`."""
        site = self.path / "site"
        (site / "cgi-bin").mkdir(parents=True, exist_ok=True)
        (site / "index.html").write_text(f"version {version}\n")
        greeting = site / "cgi-bin" / "greeting"
        greeting.write_text(
            '#!/bin/busybox sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n%s\\n" "$GREETING"\n'
        )
        greeting.chmod(0o755)
        health = site / "health"
        health.unlink(missing_ok=True)
        if healthy:
            health.write_text("ok\n")
        (self.path / "Dockerfile").write_text(_dockerfile(self.path, healthy=healthy))
        _git(self.path, "add", "--all")
        _git(self.path, "commit", "--quiet", "--message", f"Version {version}")
        return self.head()

    def branch(self, name: str) -> None:
        """Commit to a new branch from now on. It begins at the newest commit."""
        _git(self.path, "checkout", "--quiet", "-b", name)

    def head(self) -> str:
        """The SHA of the newest commit."""
        return _git(self.path, "rev-parse", "HEAD")


def create_sample(directory: Path) -> Sample:
    """Create the repository with a first commit on its branch."""
    path = directory / "example" / "app"
    path.mkdir(parents=True)
    _git(path, "init", "--quiet", "--initial-branch", BRANCH)
    # Like GitHub, serve every commit of a branch, not only its newest one.
    _git(path, "config", "uploadpack.allowReachableSHA1InWant", "true")
    busybox = _static_busybox()
    if busybox:
        shutil.copy(busybox, path / "busybox")
    sample = Sample(path)
    sample.commit("1")
    return sample


def create_target(service: str, registry: str) -> None:
    """Create the ECR repository (if missing), the cluster and an ECS service for the sample.

    As for a new service on AWS, the first task definition names an image that does not exist yet.
    """
    ecr, ecs = boto3.client("ecr"), boto3.client("ecs")
    if not ecr.describe_repositories()["repositories"]:
        ecr.create_repository(repositoryName=IMAGE_REPOSITORY)
    ecs.create_cluster(clusterName=CLUSTER)
    definition = register_definition(service, f"{registry}/{IMAGE_REPOSITORY}:none", "hello")
    ecs.create_service(
        cluster=CLUSTER,
        serviceName=service,
        taskDefinition=definition,
        desiredCount=1,
        loadBalancers=load_balancers(service, CONTAINER, PORT),
        deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100},
    )


def register_definition(family: str, image: str, greeting: str) -> str:
    """Register a task definition with `image` and `greeting`; return its ARN."""
    container: Any = {
        "name": CONTAINER,
        "image": image,
        "memory": 64,
        "essential": True,
        "portMappings": [{"containerPort": PORT, "protocol": "tcp"}],
        "environment": [{"name": "GREETING", "value": greeting}],
        "healthCheck": {
            "command": [
                "CMD",
                "/bin/busybox",
                "wget",
                "-q",
                "-O",
                "/dev/null",
                f"http://127.0.0.1:{PORT}/health",
            ],
            "interval": 5,
            "timeout": 5,
            "retries": 3,
        },
    }
    answer = boto3.client("ecs").register_task_definition(
        family=family, containerDefinitions=[container]
    )
    return answer["taskDefinition"]["taskDefinitionArn"]


def _dockerfile(path: Path, *, healthy: bool) -> str:
    base = (
        "FROM scratch\nCOPY busybox /bin/busybox"
        if (path / "busybox").exists()
        else "FROM busybox:stable-musl"
    )
    # The simulated docker starts no process: this label sets the result of its health check.
    label = "" if healthy else "LABEL slipway.simulated.health=unhealthy\n"
    return (
        f"{base}\nCOPY site /site\n{label}"
        f'ENTRYPOINT ["/bin/busybox", "httpd", "-f", "-p", "{PORT}", "-h", "/site"]\n'
    )


def _static_busybox() -> str | None:
    found = shutil.which("busybox")
    if found is None or shutil.which("ldd") is None:
        return None
    linked = subprocess.run(["ldd", found], capture_output=True, check=False, timeout=10)
    return found if linked.returncode else None  # ldd fails for a static program


def _git(path: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(path), *arguments],
        env=os.environ | _AUTHOR,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()
