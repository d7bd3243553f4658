"""Starts the embedded cloud: moto for AWS's control planes, two agents for builds and tasks.

Everything listens on loopback only. AWS credentials in the environment are replaced before any
client can use them.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from infra.local.aws.queues import create_queues

REGION = "eu-west-1"
ACCOUNT = "123456789012"
BUILDSPEC = Path(__file__).parents[1] / "buildspec.yml"
MACHINES = Path(__file__).parent / "machines"
SIMULATED_DOCKER, STAND_IN_AWS = MACHINES / "simulated_docker", MACHINES / "stand_in_aws"
SERVICE_URLS = "/moto-api/slipway/services"
STEP_INTERVAL = 0.2
# Seconds: on AWS the last lines of a log come up to some seconds after the end of the build.
LOG_LAG = 0.3


@dataclass(frozen=True)
class Cloud:
    """A running embedded cloud. `docker` is False if builds and containers are simulated."""

    aws: str
    registry: str
    data: Path
    docker: bool
    app: Any
    agent: Any
    sample: Any
    github: str


def docker_works() -> bool:
    """Whether Docker with buildx works on this machine."""
    for command in (["docker", "info"], ["docker", "buildx", "version"]):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return False
    return True


def _docker_address() -> dict[str, str]:
    """The address of this user's Docker daemon: builds do not read this user's Docker settings."""
    if "DOCKER_HOST" in os.environ:
        return {}
    command = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return {"DOCKER_HOST": found.stdout.strip()}


@contextmanager
def running(
    *, simulate: bool, webhook_secret: str, session: str, public_url: str
) -> Iterator[Cloud]:
    """Start everything except the HTTP API. On exit, stop and remove all of it.

    Raises SettingsError for invalid environment variables.
    """
    docker = not simulate and docker_works()
    with ExitStack() as stack:
        data = Path(stack.enter_context(_scratch_directory()))
        isolate_environment()
        aws = stack.enter_context(_moto())
        os.environ["AWS_ENDPOINT_URL"] = aws
        registry = stack.enter_context(_registry(data))
        github = stack.enter_context(_github(data))
        os.environ |= {
            "QUEUE_URL": create_queues(),
            "REGISTRY": registry,
            "WEBHOOK_SECRET": webhook_secret,
            "GITHUB_API": github.url,
            "PUBLIC_URL": public_url,
            "SIMULATED": "false" if docker else "true",
        }
        # Import late: Slipway reads its settings at import.
        from app import app
        from chalicelib.domain.schema import ROW, SCHEMA
        from chalicelib.settings import settings
        from chalicelib.store.models import Claim
        from infra.local.aws.pump import Pump
        from infra.local.aws.resources import create_resources
        from infra.local.machines.codebuild_agent import BuildAgent
        from infra.local.machines.ecs_agent import ServiceAgent
        from infra.local.play.sample import GIT_URL, create_sample, create_target
        from infra.local.repositories import add_repository, git_variables

        create_resources(BUILDSPEC.read_text())
        # As the first deploy of a stage does: no row needs a migration.
        Claim(ROW, value=SCHEMA).save()
        sample = create_sample(data / "git")
        add_repository(data, GIT_URL, sample.path)
        create_target("web", registry)
        _tell_github(github)
        # The simulated docker and the buildspec call python3. This one exists and starts fast.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        if not docker:
            path = f"{SIMULATED_DOCKER}{os.pathsep}{path}"
            os.environ["SIMULATED_DOCKER_STATE"] = str(data / "docker")
            (data / "docker").mkdir()
        else:
            stack.callback(_remove_images, registry)
        environment = {"PATH": f"{STAND_IN_AWS}{os.pathsep}{path}", **git_variables(data)}
        if docker:
            environment |= _docker_address()
        builds = BuildAgent(
            environment=environment, max_builds=settings().job_workers, log_lag=LOG_LAG
        )
        services = ServiceAgent(path=path, session=session)
        for agent in (builds, services):
            agent.start()
            stack.callback(agent.stop)
        _agents.append(services)
        stack.callback(_agents.clear)
        stack.enter_context(_pumping(Pump(app)))
        yield Cloud(aws, registry, data, docker, app, services, sample, github.url)


def isolate_environment() -> None:
    """Remove the machine's AWS settings, so that no call can reach a real account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # An endpoint with the account in its host name does not exist here.
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
    }


@contextmanager
def _scratch_directory() -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="slipway-")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _moto() -> Iterator[str]:
    from moto.moto_api._internal import urls
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    from infra.local import speed
    from infra.local.aws import fidelity

    speed.install()
    fidelity.install()
    # AWS has no API for the local addresses of ECS services, so moto gets an extra path.
    paths: dict[str, Any] = urls.url_paths
    paths[f"{{0}}{SERVICE_URLS}$"] = _service_urls
    paths[f"{{0}}{SERVICE_URLS}/(?P<service>.+)$"] = _to_service
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _remove_images(registry: str) -> None:
    """Remove this registry's images from the Docker daemon: they cannot be pulled again."""
    listed = subprocess.run(
        ["docker", "images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    images = {
        line.split()[1] for line in listed.stdout.splitlines() if line.startswith(f"{registry}/")
    }
    if images:
        subprocess.run(
            ["docker", "rmi", "--force", *images], capture_output=True, check=False, timeout=120
        )


def _service_urls(*_: Any) -> tuple[int, dict[str, str], str]:
    """Returns `{"<cluster>/<service>": "http://127.0.0.1:…"}`."""
    return 200, {"Content-Type": "application/json"}, json.dumps(_urls())


def _to_service(_request: Any, url: str, *_: Any) -> tuple[int, dict[str, str], str]:
    """Redirects `…/<cluster>/<service>` to the service's address."""
    key = unquote(urlsplit(url).path).rpartition(f"{SERVICE_URLS}/")[2]
    if key not in _urls():
        return 404, {"Content-Type": "text/plain"}, f"no ECS service {key} with a port\n"
    return 302, {"Location": _urls()[key]}, ""


def _urls() -> dict[str, str]:
    return {key: url for agent in _agents for key, url in agent.urls().items()}


_agents: list[Any] = []


@contextmanager
def _registry(data: Path) -> Iterator[str]:
    from infra.local.aws import fidelity
    from infra.local.machines.registry import Registry

    registry = Registry(data / "registry")
    registry.start()
    fidelity.BLOBS = f"http://{registry.host}"
    try:
        yield registry.host
    finally:
        fidelity.BLOBS = ""
        registry.stop()


@contextmanager
def _github(data: Path) -> Iterator[Any]:
    from infra.local.github.folders import LocalGitHub

    github = LocalGitHub(data)
    github.start()
    try:
        yield github
    finally:
        github.stop()


def _tell_github(github: Any) -> None:
    """Create a channel that tells GitHub of all jobs, with a token that GitHub knows."""
    import boto3

    from chalicelib.pipeline.commands.channels import create_channel

    token = f"github_pat_{secrets.token_hex(20)}"
    github.add_token(token, None)
    name = "slipway/tell/all/github"
    boto3.client("secretsmanager").create_secret(Name=name, SecretString=token)
    values = {"kind": "github", "name": "GitHub", "secret": f"secretsmanager:{name}"}
    create_channel(values, project_id=None, actor="local", idempotency_key=None)


@contextmanager
def _pumping(pump: Any) -> Iterator[None]:
    """Call the pump's `step` in a separate thread."""
    ending = threading.Event()

    def loop() -> None:
        while not ending.is_set():
            if not pump.step():
                ending.wait(STEP_INTERVAL)

    thread = threading.Thread(target=loop, name="pump", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        pump.end()
        thread.join(timeout=30)
