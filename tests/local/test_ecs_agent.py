"""The ECS agent runs tasks as containers, and their state advances the rollout.

The tests step the agent with a scripted `docker` and with the simulated one. If a Docker daemon
answers, they also run it for real.
"""

import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import urllib3
from moto import mock_aws

from infra.local.aws import clock, fidelity
from infra.local.aws.ecs import engine
from infra.local.aws.ecs_logs import NO_LOG_GROUP
from infra.local.aws.load_balancers import load_balancers
from infra.local.machines import containers, standalone_tasks
from infra.local.machines.containers import CommandFailed, Docker
from infra.local.machines.ecs_agent import ServiceAgent
from infra.local.machines.registry import Registry

# Words in an image's name decide its behaviour. A container is a file that names its image.
SCRIPTED_DOCKER = """#!/bin/sh
cd "$SIMULATED_DOCKER_STATE/containers" || exit 1
echo "$*" >> ../calls
case "$1" in
pull) case "$2" in *missing*) echo "manifest unknown" >&2; exit 1;; *slow*) exec sleep 60;; esac;;
run)
  name=$4; shift 4
  while case "$1" in -*) true;; *) false;; esac; do shift 2; done
  echo "$1" > "$name"
  case "$1" in *broken*) echo "exec format error" >&2; exit 1;; esac;;
inspect)
  shift; failed=0 comma=
  printf '['
  for name; do
    [ -f "$name" ] || { echo "Error: No such object: $name" >&2; failed=1; continue; }
    case "$(cat "$name")" in
    *crashing*) state='"Running": false, "ExitCode": 3, "OOMKilled": false';;
    *waiting*) [ -f ../signalled ] && state='"Running": false, "ExitCode": 143' \\
      || state='"Running": true, "ExitCode": 0';;
    *greedy*) state='"Running": false, "ExitCode": 137, "OOMKilled": true';;
    *) state='"Running": true, "ExitCode": 0';;
    esac
    printf '%s{"Name": "/%s", "State": {%s}}' "$comma" "$name" "$state"; comma=,
  done
  echo ']'; exit $failed;;
logs) cat ../output; cat ../errors >&2;;
kill) touch ../signalled;;
exec) case "$(cat "$2")" in *unhealthy*) exit 1;; esac;;
rm) shift 2; rm -f "$@";;
ps) ls;;
port) [ -f "../address-$2" ] && cat "../address-$2" || cat ../address;;
esac
"""
BUSYBOX = "/usr/bin/busybox"
CHECK: dict[str, Any] = {"healthCheck": {"command": ["CMD", "/probe"]}}
PORT: dict[str, Any] = {"portMappings": [{"containerPort": 80}]}


@dataclass
class World:
    """A cluster with one service, `hello`, and an agent that runs it."""

    ecs: Any
    agent: ServiceAgent
    state: Path
    definitions: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(
        default_factory=lambda: {
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": True, "rollback": True}
            }
        }
    )

    def deploy(self, image: str, desired: int = 1, **container: Any) -> None:
        definition = {"name": "web", "image": image, "memory": 8, **container}
        made = self.ecs.register_task_definition(family="hello", containerDefinitions=[definition])
        arn = made["taskDefinition"]["taskDefinitionArn"]
        if self.ecs.list_services(cluster="main")["serviceArns"]:
            self.ecs.update_service(cluster="main", service="hello", taskDefinition=arn)
            return
        self.ecs.create_service(
            cluster="main",
            serviceName="hello",
            taskDefinition=arn,
            desiredCount=desired,
            **self.settings,
        )

    def service(self) -> Any:
        return self.ecs.describe_services(cluster="main", services=["hello"])["services"][0]

    def rollout(self) -> str:
        state: str = self.service()["deployments"][0]["rolloutState"]
        return state

    def shift(self) -> Any:
        """The newest service deployment."""
        listed = self.ecs.list_service_deployments(cluster="main", service="hello")
        arn = listed["serviceDeployments"][0]["serviceDeploymentArn"]
        found = self.ecs.describe_service_deployments(serviceDeploymentArns=[arn])
        return found["serviceDeployments"][0]

    def awaiting(self) -> str | None:
        """The id of the hook that awaits an action."""
        hooks = self.shift().get("lifecycleHookDetails", [])
        return next((e["hookId"] for e in hooks if e["status"] == "AWAITING_ACTION"), None)

    def go_on(self, hook: str | None, action: str = "CONTINUE") -> None:
        """Answer a hook."""
        arn = self.shift()["serviceDeploymentArn"]
        self.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook, action=action)

    def tasks(self, status: str = "RUNNING") -> Any:
        listed = self.ecs.list_tasks(cluster="main", desiredStatus=status)["taskArns"]
        return self.ecs.describe_tasks(cluster="main", tasks=listed)["tasks"] if listed else []

    def images(self) -> list[str]:
        """The images of the scripted docker's containers."""
        return sorted(path.read_text().strip() for path in (self.state / "containers").iterdir())

    def containers(self) -> list[Path]:
        """The scripted docker's containers, by name."""
        return sorted((self.state / "containers").iterdir())

    def calls(self) -> list[str]:
        return (self.state / "calls").read_text().splitlines()

    def step_until(self, reached: Callable[[], bool]) -> None:
        def step() -> bool:
            self.agent.step()
            return reached()

        until(step)


def until(reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.01)


def get(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as response:
            return response.status, response.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    fidelity.install()
    with mock_aws():
        client = boto3.client("ecs")
        client.create_cluster(clusterName="main")
        yield client


@pytest.fixture
def world(ecs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    command.write_text(SCRIPTED_DOCKER)
    command.chmod(0o755)
    (tmp_path / "containers").mkdir()
    monkeypatch.setenv("SIMULATED_DOCKER_STATE", str(tmp_path))
    path = f"{command.parent}:{os.environ['PATH']}"
    agent = ServiceAgent(path=path, session="test", interval=0.01)
    yield World(ecs, agent, tmp_path)
    agent.stop()


Backends = Callable[[str], str]


@pytest.fixture
def backends() -> Iterator[Backends]:
    """Starts an HTTP server that answers with a name and returns its address."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(name: str) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answers, name))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    """Keeps connections open, as programs do that speak HTTP/1.1."""

    protocol_version = "HTTP/1.1"

    def __init__(self, name: str, *connection: Any) -> None:
        self._name = name
        super().__init__(*connection)

    def do_GET(self) -> None:
        self._answer(self._name)

    def do_POST(self) -> None:
        self.send_response_only(100)
        self.end_headers()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(f"{self._name} got {len(body)} bytes")

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_desired_tasks_are_started_and_complete_the_rollout(world: World) -> None:
    world.deploy("v1", desired=2, **CHECK)
    world.agent.step()
    assert world.images() == ["v1", "v1"]
    assert world.rollout() == "IN_PROGRESS"
    world.agent.step()
    assert world.rollout() == "COMPLETED"
    assert world.service()["runningCount"] == 2


def test_a_container_gets_the_settings_of_its_task_definition(world: World) -> None:
    world.deploy(
        "v1",
        command=["serve", "--all"],
        environment=[{"name": "GREETING", "value": "a b"}],
        **PORT,
    )
    world.agent.step()
    pulled, started, *_ = world.calls()
    assert pulled == "pull v1"
    assert started.startswith("run -d --name slipway-hello-")
    assert started.endswith(
        " --label slipway.local=test --label slipway.service=main/hello"
        " -p 127.0.0.1::80 -e GREETING=a b v1 serve --all"
    )


@pytest.mark.parametrize(
    ("command", "executed"),
    [
        (["CMD", "/probe", "-q"], "/probe -q"),
        (["CMD-SHELL", "probe || exit 1"], "/bin/sh -c probe || exit 1"),
    ],
)
def test_the_task_definitions_health_check_is_run_in_the_container(
    world: World, command: list[str], executed: str
) -> None:
    """API reference, HealthCheck.command; the image's own HEALTHCHECK is ignored."""
    world.deploy("v1", healthCheck={"command": command})
    world.step_until(lambda: world.rollout() == "COMPLETED")
    asked = [call for call in world.calls() if call.startswith("exec ")]
    assert asked[0].split(" ", 2)[2] == executed


def test_a_healthy_task_is_checked_at_its_interval_until_a_check_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API reference, HealthCheck.interval and retries."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def checks() -> int:
        return sum(call.startswith("exec ") for call in world.calls())

    world.deploy("v1", healthCheck={"command": ["CMD", "/probe"], "interval": 5, "retries": 2})
    for _ in range(4):
        world.agent.step()
    assert (world.rollout(), checks()) == ("COMPLETED", 1)
    (container,) = (world.state / "containers").iterdir()
    container.write_text("unhealthy")
    now += 4.9
    world.agent.step()
    assert checks() == 1
    now += 0.2
    world.agent.step()
    assert (checks(), world.tasks("STOPPED")) == (2, [])
    world.agent.step()
    assert [each["stoppedReason"] for each in world.tasks("STOPPED")] == [
        "Task failed container health checks"
    ]


def test_one_command_asks_for_the_state_of_all_containers(world: World) -> None:
    world.deploy("v1", desired=3)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    (world.state / "calls").write_text("")
    world.agent.step()
    (call,) = world.calls()
    assert call.split()[0] == "inspect"
    assert len(call.split()) == 1 + 3


def test_old_tasks_stay_until_the_new_ones_are_healthy(world: World) -> None:
    world.deploy("v1")
    world.step_until(lambda: world.rollout() == "COMPLETED")
    world.deploy("v2")
    world.agent.step()
    assert world.images() == ["v1", "v2"]
    world.step_until(lambda: world.images() == ["v2"])
    assert world.rollout() == "COMPLETED"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("missing", "CannotPullContainerError: manifest unknown"),
        ("broken", "CannotStartContainerError: exec format error"),
        ("crashing", "Essential container in task exited"),
        ("unhealthy", "Task failed container health checks"),
    ],
)
def test_an_image_that_cannot_run_is_rolled_back(world: World, image: str, reason: str) -> None:
    world.deploy("v1", **CHECK)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    world.deploy(image, **CHECK)
    world.step_until(
        lambda: any("rolling back" in each["message"] for each in world.service()["events"])
    )
    assert "v1" in world.images()
    world.step_until(lambda: world.rollout() == "COMPLETED" and world.images() == ["v1"])
    assert reason in {each["stoppedReason"] for each in world.tasks("STOPPED")}
    checked = any(
        "failed container health checks" in each["message"] for each in world.service()["events"]
    )
    assert checked == (image == "unhealthy")


def awslogs(**options: str) -> dict[str, Any]:
    """A container definition whose output goes to the log group /app."""
    known = {"awslogs-group": "/app", "awslogs-stream-prefix": "ecs"} | options
    return {"logConfiguration": {"logDriver": "awslogs", "options": known}}


@pytest.mark.parametrize(
    ("image", "code", "exit_code", "reason"),
    [
        ("crashing", "EssentialContainerExited", 3, None),
        (
            "greedy",
            "EssentialContainerExited",
            137,
            "OutOfMemoryError: Container killed due to memory usage",
        ),
        ("unhealthy", "ServiceSchedulerInitiated", 137, None),
        ("missing", "TaskFailedToStart", None, "CannotPullContainerError: manifest unknown"),
        ("broken", "TaskFailedToStart", None, "CannotStartContainerError: exec format error"),
    ],
)
def test_a_failed_task_shows_what_its_container_ended_with(
    world: World, image: str, code: str, exit_code: int | None, reason: str | None
) -> None:
    world.deploy(image, **CHECK)
    world.step_until(lambda: bool(world.tasks("STOPPED")))
    task = world.tasks("STOPPED")[0]
    (container,) = task["containers"]
    assert task["stopCode"] == code
    assert (container.get("exitCode"), container.get("reason")) == (exit_code, reason)


def test_a_container_that_somebody_removed_was_killed(world: World) -> None:
    world.deploy("v1")
    world.step_until(lambda: world.rollout() == "COMPLETED")
    (running,) = world.tasks()
    (container,) = (world.state / "containers").iterdir()
    container.unlink()
    world.agent.step()
    (task,) = world.tasks("STOPPED")
    assert task["taskArn"] == running["taskArn"]
    assert task["containers"][0]["exitCode"] == 137


def test_each_task_is_one_container(world: World) -> None:
    world.deploy("v1", desired=3, **CHECK)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    before = {each["taskArn"] for each in world.tasks()}
    names = {path.name: path for path in (world.state / "containers").iterdir()}
    dead = sorted(before)[1]
    names[f"slipway-hello-{dead.rpartition('/')[2][:12]}"].write_text("crashing")
    world.agent.step()
    assert [each["taskArn"] for each in world.tasks("STOPPED")] == [dead]
    assert before - {each["taskArn"] for each in world.tasks()} == {dead}


def test_the_healthy_tasks_are_those_with_healthy_containers(world: World) -> None:
    world.deploy("v1", desired=2, healthCheck=CHECK["healthCheck"] | {"startPeriod": 300})
    world.agent.step()
    first, second = (each.id for each in engine().tasks(world.service()["deployments"][0]["id"]))
    (world.state / "containers" / f"slipway-hello-{first[:12]}").write_text("unhealthy")
    world.agent.step()
    shown = {each["taskArn"].rpartition("/")[2]: each["lastStatus"] for each in world.tasks()}
    assert shown == {first: "PENDING", second: "RUNNING"}
    (world.state / "containers" / f"slipway-hello-{second[:12]}").write_text("crashing")
    world.agent.step()
    world.step_until(lambda: len(world.images()) == 2)
    names = [call.split()[3] for call in world.calls() if call.startswith("run ")]
    assert len(set(names)) == len(names) == 3


def test_a_task_stopped_by_hand_is_another_container_afterwards(world: World) -> None:
    world.deploy("v1", desired=2)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    before = {path.name for path in (world.state / "containers").iterdir()}
    arn = world.tasks()[0]["taskArn"]
    world.ecs.stop_task(cluster="main", task=arn)
    world.step_until(lambda: world.service()["runningCount"] == 2)
    after = {path.name for path in (world.state / "containers").iterdir()}
    assert before - after == {f"slipway-hello-{arn.rpartition('/')[2][:12]}"}
    assert len(after) == 2
    assert [each["stopCode"] for each in world.tasks("STOPPED")] == ["UserInitiated"]
    assert world.service()["deployments"][0]["failedTasks"] == 0


def test_a_containers_output_is_in_its_log_stream_once_and_in_order(world: World) -> None:
    """Developer guide, "Send Amazon ECS logs to CloudWatch": prefix/container/task-id."""
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName="/app")
    (world.state / "output").write_text("2026-01-01T00:00:00.000000001Z first\n")
    (world.state / "errors").write_text("2026-01-01T00:00:00.000000002Z second\n")
    world.deploy("v1", **awslogs())
    world.step_until(lambda: world.rollout() == "COMPLETED")
    (task,) = world.tasks()
    stream = f"ecs/web/{task['taskArn'].rpartition('/')[2]}"
    with (world.state / "errors").open("a") as errors:
        errors.write("Error response from daemon\n2026-01-01T00:00:03.000000000Z third \n")
    (container,) = (world.state / "containers").iterdir()
    container.write_text("crashing")
    world.agent.step()
    events = logs.get_log_events(logGroupName="/app", logStreamName=stream)["events"]
    assert [each["message"] for each in events] == ["first", "second", "third "]


def test_a_task_without_its_log_group_does_not_start(world: World) -> None:
    """Developer guide, "ResourceInitializationError"; `awslogs-create-group` creates the group."""
    world.deploy("v1", **awslogs())
    world.agent.step()
    (task,) = world.tasks("STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", NO_LOG_GROUP)
    assert world.images() == []
    world.deploy("v1", **awslogs(**{"awslogs-create-group": "true"}))
    world.step_until(lambda: world.rollout() == "COMPLETED")
    groups = boto3.client("logs").describe_log_groups()["logGroups"]
    assert [each["logGroupName"] for each in groups] == ["/app"]


def test_failures_in_the_start_period_do_not_count(world: World) -> None:
    """API reference, HealthCheck.startPeriod: a grace period to bootstrap."""
    check = {"command": ["CMD", "/probe"], "startPeriod": 300, "retries": 1}
    world.deploy("unhealthy", healthCheck=check)
    for _ in range(5):
        world.agent.step()
    assert (world.rollout(), world.images()) == ("IN_PROGRESS", ["unhealthy"])


def test_a_task_that_keeps_failing_is_restarted_less_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    world.deploy("missing")
    starts = []
    for tick in range(8):
        now = 1000 + tick * 0.01
        before = len(world.calls()) if (world.state / "calls").exists() else 0
        world.agent.step()
        if len(world.calls()) > before:
            starts.append(tick)
    assert starts == [0, 1, 3]  # then the breaker has tripped


def test_a_dead_container_of_a_steady_service_is_replaced(world: World) -> None:
    world.deploy("v1")
    world.step_until(lambda: world.rollout() == "COMPLETED")
    (dead,) = (world.state / "containers").iterdir()
    dead.write_text("crashing")
    world.step_until(lambda: world.images() == ["v1"])
    world.step_until(lambda: world.service()["runningCount"] == 1)
    assert world.rollout() == "COMPLETED"


def test_containers_are_removed_after_scaling_down_or_deleting_the_service(world: World) -> None:
    world.deploy("v1", desired=3)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    world.ecs.update_service(cluster="main", service="hello", desiredCount=1)
    world.agent.step()
    assert world.images() == ["v1"]
    world.ecs.delete_service(cluster="main", service="hello", force=True)
    world.agent.step()
    assert world.images() == []


def test_a_hung_docker_is_reported_and_retried(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(containers, "PULL_SECONDS", 0.05)
    world.deploy("slow")
    world.agent.step()
    assert "docker pull did not answer in 0.05 s" in capsys.readouterr().err
    world.deploy("v1")
    world.step_until(lambda: world.rollout() == "COMPLETED")


def test_an_unreachable_docker_daemon_fails_no_task(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.deploy("v1")
    world.step_until(lambda: world.rollout() == "COMPLETED")
    command = world.state / "bin" / "docker"
    command.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    world.agent.step()
    assert "Cannot connect to the Docker daemon" in capsys.readouterr().err
    assert world.service()["deployments"][0]["failedTasks"] == 0
    command.write_text(SCRIPTED_DOCKER)
    world.agent.step()
    assert world.service()["runningCount"] == 1


def test_removing_a_container_that_is_gone_is_no_error(tmp_path: Path) -> None:
    command = tmp_path / "docker"
    command.write_text('#!/bin/sh\necho "Error: No such container: $3" >&2; exit 1\n')
    command.chmod(0o755)
    docker = Docker(f"{tmp_path}:{os.environ['PATH']}")
    docker.remove(["gone"])
    with pytest.raises(CommandFailed, match="No such container"):
        docker.start("new", "image", labels={}, ports=[], environment={}, command=[])


def test_a_missing_docker_command_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no docker command"):
        ServiceAgent(path=str(tmp_path), session="test")


def test_a_services_address_stays_and_follows_its_healthy_tasks(
    world: World, backends: Backends
) -> None:
    (world.state / "address").write_text(backends("hello"))
    world.deploy("v1", **PORT)
    world.agent.step()
    url = world.agent.urls()["main/hello"]
    assert get(url) == (503, "service hello has no healthy task")
    world.step_until(lambda: world.rollout() == "COMPLETED")
    assert get(url) == (200, "hello")
    world.deploy("crashing", **PORT)
    world.agent.step()
    assert get(url) == (200, "hello")
    assert world.agent.urls() == {"main/hello": url}


def test_an_address_without_an_answering_task_returns_503(world: World) -> None:
    (world.state / "address").write_text("127.0.0.1:1")
    world.deploy("v1", **PORT)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    status, reason = get(world.agent.urls()["main/hello"])
    assert status == 503
    assert reason.startswith("the task does not answer")


def test_requests_go_to_all_healthy_tasks_in_turn(world: World, backends: Backends) -> None:
    """User guide for Application Load Balancers, "Routing algorithms": round robin."""
    addresses = [backends(name) for name in ("one", "two", "three")]
    world.deploy("v1", desired=3, **PORT)
    world.agent.step()
    for container, address in zip(world.containers(), addresses, strict=True):
        (world.state / f"address-{container.name}").write_text(address)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    url = world.agent.urls()["main/hello"]
    answers = Counter(get(url)[1] for _ in range(30))
    assert answers == {"one": 10, "two": 10, "three": 10}
    world.containers()[0].write_text("crashing")
    world.agent.step()
    answers = Counter(get(url)[1] for _ in range(30))
    assert answers == {"two": 15, "three": 15}


def test_a_rolling_release_answers_with_each_task_that_is_healthy(
    world: World, backends: Backends
) -> None:
    """Developer guide: with ROLLING new tasks get requests as soon as they are healthy."""
    (world.state / "address").write_text(backends("old"))
    world.deploy("v1", desired=2, **CHECK, **PORT)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    (world.state / "address").write_text(backends("new"))
    world.deploy("v2", **CHECK, **PORT)
    world.agent.step()
    slow = next(each for each in world.containers() if each.read_text().strip() == "v2")
    slow.write_text("unhealthy")
    world.agent.step()
    url = world.agent.urls()["main/hello"]
    assert world.rollout() == "IN_PROGRESS"
    assert Counter(get(url)[1] for _ in range(30)) == {"old": 20, "new": 10}
    slow.write_text("v2")
    world.agent.step()
    assert world.rollout() == "COMPLETED"
    assert Counter(get(url)[1] for _ in range(30)) == {"new": 30}


def test_a_connection_that_stays_open_gets_each_answer_from_the_next_task(
    world: World, backends: Backends
) -> None:
    """User guide for Application Load Balancers, "Routing algorithms": chosen for each request."""
    addresses = [backends(name) for name in ("one", "two")]
    world.deploy("v1", desired=2, **PORT)
    world.agent.step()
    for container, address in zip(world.containers(), addresses, strict=True):
        (world.state / f"address-{container.name}").write_text(address)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    pool = urllib3.PoolManager(maxsize=1)
    answers = Counter(
        pool.request("POST", world.agent.urls()["main/hello"], body=b"x" * 100_000).data
        for _ in range(10)
    )
    assert answers == {b"one got 100000 bytes": 5, b"two got 100000 bytes": 5}
    pool.clear()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PING\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_is_not_a_request_for_one_answer_passes_unchanged(world: World, sent: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (world.state / "address").write_text(f"127.0.0.1:{listener.getsockname()[1]}")
        world.deploy("v1", **PORT)
        world.step_until(lambda: world.rollout() == "COMPLETED")
        port = urlsplit(world.agent.urls()["main/hello"]).port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(sent)
            task, _ = listener.accept()
            with task:
                task.settimeout(10)
                assert task.recv(1000) == sent
                task.sendall(b"and back")
                assert client.recv(1000) == b"and back"


def test_a_connection_opened_in_advance_takes_no_turn(world: World, backends: Backends) -> None:
    addresses = [backends(name) for name in ("one", "two")]
    world.deploy("v1", desired=2, **PORT)
    world.agent.step()
    for container, address in zip(world.containers(), addresses, strict=True):
        (world.state / f"address-{container.name}").write_text(address)
    world.step_until(lambda: world.rollout() == "COMPLETED")
    url = world.agent.urls()["main/hello"]
    answers = []
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=10):
            answers.append(get(url)[1])
    assert Counter(answers) == {"one": 3, "two": 3}


PAUSE: dict[str, Any] = {
    "targetType": "PAUSE",
    "lifecycleStages": ["PRE_PRODUCTION_TRAFFIC_SHIFT"],
}


@pytest.fixture
def canary(world: World, backends: Backends) -> Iterator[Callable[[str], Counter[str]]]:
    """A canary of 10 % that pauses before each step. Its release `new` replaces `old`.

    Counts the answers of 100 requests to a path below the service's address.
    """
    world.settings = {
        "loadBalancers": load_balancers("hello", "web", 80),
        "deploymentConfiguration": {
            "strategy": "CANARY",
            "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 5},
            "bakeTimeInMinutes": 5,
            "lifecycleHooks": [PAUSE],
        },
    }
    (world.state / "address").write_text(backends("old"))
    world.deploy("v1", desired=2, **PORT)
    continue_until(world, lambda: world.rollout() == "COMPLETED")
    (world.state / "address").write_text(backends("new"))
    world.deploy("v2", **PORT)
    world.step_until(lambda: world.awaiting() is not None)

    def count(path: str = "") -> Counter[str]:
        url = world.agent.urls()[f"main/hello{path}"]
        return Counter(get(url)[1] for _ in range(100))

    yield count
    clock.reset()


def continue_until(world: World, reached: Callable[[], bool]) -> None:
    """Let each hook go on, and five minutes pass in each step."""

    def step() -> bool:
        if hook := world.awaiting():
            world.go_on(hook)
        clock.advance(300)
        return reached()

    world.step_until(step)


def test_requests_are_shared_by_the_weights_of_blue_and_green(
    world: World, canary: Callable[[str], Counter[str]]
) -> None:
    """Developer guide, "Amazon ECS canary deployments"; each target group has its exact share."""
    assert canary("") == {"old": 100}
    hook = world.awaiting()
    world.go_on(hook)
    clock.advance(60)
    world.agent.step()
    assert canary("") == {"old": 90, "new": 10}
    clock.advance(300)
    world.step_until(lambda: world.awaiting() not in (None, hook))
    assert canary("") == {"old": 90, "new": 10}
    world.go_on(world.awaiting())
    clock.advance(60)
    world.agent.step()
    assert canary("") == {"new": 100}
    assert world.images() == ["v1", "v1", "v2", "v2"]
    clock.advance(300)
    world.step_until(lambda: world.images() == ["v2", "v2"])
    assert canary("") == {"new": 100}


def test_test_traffic_has_an_address_of_its_own(
    world: World, canary: Callable[[str], Counter[str]]
) -> None:
    assert canary("") == {"old": 100}
    assert canary("/test") == {"new": 100}


def test_a_canary_that_is_refused_gets_no_more_requests(
    world: World, canary: Callable[[str], Counter[str]]
) -> None:
    hook = world.awaiting()
    world.go_on(hook)
    clock.advance(360)
    world.step_until(lambda: world.awaiting() not in (None, hook))
    assert canary("") == {"old": 90, "new": 10}
    world.go_on(world.awaiting(), "ROLLBACK")
    clock.advance(60)
    world.step_until(lambda: world.images() == ["v1", "v1"])
    assert canary("") == {"old": 100}


def test_the_share_of_a_deployment_without_healthy_tasks_is_refused(
    world: World, canary: Callable[[str], Counter[str]]
) -> None:
    """A load balancer does not give the requests of one target group to the other (inferred)."""
    world.go_on(world.awaiting())
    clock.advance(60)
    for container in world.containers():
        if container.read_text().strip() == "v2":
            container.write_text("crashing")
    world.agent.step()
    assert canary("") == {"old": 90, "service hello has no healthy task": 10}


def test_a_dead_task_of_either_release_is_replaced_during_a_shift(
    world: World, canary: Callable[[str], Counter[str]]
) -> None:
    assert canary("") == {"old": 100}
    for image in ("v1", "v2"):
        dead = next(each for each in world.containers() if each.read_text().strip() == image)
        dead.write_text("crashing")
        world.agent.step()
        world.step_until(lambda: world.images() == ["v1", "v1", "v2", "v2"])
    assert world.awaiting() is not None


def test_a_service_without_a_port_has_no_address(world: World) -> None:
    world.deploy("v1")
    world.step_until(lambda: world.rollout() == "COMPLETED")
    assert world.agent.urls() == {}


def test_a_started_agent_steps_by_itself_and_removes_everything_at_stop(world: World) -> None:
    world.deploy("v1", **PORT)
    world.agent.start()
    until(lambda: world.rollout() == "COMPLETED")
    url = world.agent.urls()["main/hello"]
    world.agent.stop()
    assert world.images() == []
    with pytest.raises(urllib.error.URLError, match="refused"):
        get(url)


@pytest.fixture
def registry(ecs: Any, tmp_path: Path) -> Iterator[Registry]:
    boto3.client("ecr").create_repository(repositoryName="hello")
    served = Registry(tmp_path / "registry")
    served.start()
    yield served
    served.stop()


def build(docker: str, directory: Path, reference: str, *lines: str, server: str = "") -> None:
    """Build and push an image with one file and, if given, a program that serves it."""
    context = directory / uuid.uuid4().hex
    context.mkdir()
    (context / "index.html").write_text(reference.rpartition(":")[2])
    dockerfile = ["FROM scratch", "COPY index.html /www/", *lines]
    if server:
        shutil.copy(server, context)
        dockerfile.append(f"COPY {Path(server).name} /bin/")
    (context / "Dockerfile").write_text("\n".join(dockerfile))
    command = [docker, "buildx", "build", "--push", "--tag", reference, str(context)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def test_simulated_containers_can_succeed_and_fail_and_are_marked_simulated(
    ecs: Any, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path("infra/local/machines/simulated_docker").absolute()
    monkeypatch.setenv("SIMULATED_DOCKER_STATE", str(tmp_path / "simulated"))
    image = f"{registry.host}/hello"
    build(str(directory / "docker"), tmp_path, f"{image}:v1")
    check = {"healthCheck": CHECK["healthCheck"] | {"retries": 1}}
    unhealthy = "LABEL slipway.simulated.health=unhealthy"
    build(str(directory / "docker"), tmp_path, f"{image}:v2", unhealthy)
    agent = ServiceAgent(path=f"{directory}:{os.environ['PATH']}", session="test", interval=0.01)
    world = World(ecs, agent, tmp_path)
    try:
        world.deploy(f"{image}:v1", **check, **PORT)
        world.step_until(lambda: world.rollout() == "COMPLETED")
        status, answer = get(agent.urls()["main/hello"])
        assert status == 200
        name, *shown = answer.splitlines()
        assert re.fullmatch(r"slipway-hello-\w+ is simulated: no process listens\.", name)
        assert shown == ["task definition hello:1", f"image {image}:v1"]
        world.deploy(f"{image}:v2", **check, **PORT)
        assert world.rollout() == "IN_PROGRESS"
        world.step_until(lambda: world.rollout() == "COMPLETED")
        assert world.service()["taskDefinition"].endswith("/hello:1")
    finally:
        agent.stop()
    assert not list((tmp_path / "simulated" / "containers").iterdir())


def test_a_simulated_task_answers_any_request_to_its_end(world: World) -> None:
    world.deploy("v1", **PORT)  # without an address, as the simulated docker has none
    world.step_until(lambda: world.rollout() == "COMPLETED")
    port = urlsplit(world.agent.urls()["main/hello"]).port

    def answer(request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(request)
            with client.makefile("rb") as received:
                return received.read()

    long = b"POST / HTTP/1.1\r\nContent-Length: 30000000\r\n\r\n" + b"x" * 30_000_000
    assert b" is simulated: no process listens." in answer(long)
    assert answer(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"Connection: close\r\n\r\n")


def test_a_simulated_command_counts_as_ended_and_says_so(
    ecs: Any, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path("infra/local/machines/simulated_docker").absolute()
    monkeypatch.setenv("SIMULATED_DOCKER_STATE", str(tmp_path / "simulated"))
    image = f"{registry.host}/hello"
    build(str(directory / "docker"), tmp_path, f"{image}:v1")
    build(str(directory / "docker"), tmp_path, f"{image}:v2", "LABEL slipway.simulated.exit_code=3")
    agent = ServiceAgent(path=f"{directory}:{os.environ['PATH']}", session="test", interval=0.01)
    world = World(ecs, agent, tmp_path)
    boto3.client("logs").create_log_group(logGroupName="/ecs/hello")
    try:
        for tag, code in (("v1", 0), ("v2", 3)):
            arn = run_task(world, f"{image}:{tag}", ["migrate"], **logged("/ecs/hello"))
            assert ended(world, arn)["containers"][0]["exitCode"] == code
            (line,) = log_of(arn)
            assert line == (
                f'[simulated] ["migrate"] was not run; it counts as ended with exit code {code}'
            )
    finally:
        agent.stop()
    assert not list((tmp_path / "simulated" / "containers").iterdir())


def run_task(world: World, image: str, command: list[str], **container: Any) -> str:
    """Run a command in a task that no service started; return the task's ARN."""
    definition = {"name": "web", "image": image, "memory": 8, **container}
    world.ecs.register_task_definition(family="hello", containerDefinitions=[definition])
    answer = world.ecs.run_task(
        cluster="main",
        taskDefinition="hello",
        overrides={"containerOverrides": [{"name": "web", "command": command}]},
    )
    return str(answer["tasks"][0]["taskArn"])


def ended(world: World, arn: str, seconds: float = 30) -> Any:
    """The task after its end, as DescribeTasks shows it."""

    def shown() -> Any:
        return world.ecs.describe_tasks(cluster="main", tasks=[arn])["tasks"][0]

    def stopped() -> bool:
        world.agent.step()
        return bool(shown()["lastStatus"] == "STOPPED")

    until(stopped, seconds)
    return shown()


def logged(group: str) -> dict[str, Any]:
    options = {
        "awslogs-group": group,
        "awslogs-region": "eu-west-1",
        "awslogs-stream-prefix": "web",
    }
    return {"logConfiguration": {"logDriver": "awslogs", "options": options}}


def log_of(arn: str) -> list[str]:
    answer = boto3.client("logs").get_log_events(
        logGroupName="/ecs/hello", logStreamName=f"web/web/{arn.rpartition('/')[2]}"
    )
    return [each["message"] for each in answer["events"]]


def test_a_task_of_run_task_runs_its_command_to_its_end(world: World) -> None:
    arn = run_task(world, "crashing", ["migrate", "--all"])
    world.agent.step()
    started = next(each for each in world.calls() if each.startswith("run -d"))
    assert started.endswith("crashing migrate --all")
    task = ended(world, arn)
    assert task["containers"][0]["exitCode"] == 3
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert world.images() == []


def test_a_task_of_run_task_is_killed_by_the_system_without_memory(world: World) -> None:
    (container,) = ended(world, run_task(world, "greedy", ["migrate"]))["containers"]
    assert container["exitCode"] == 137
    assert container["reason"].startswith("OutOfMemoryError")


@pytest.mark.parametrize(
    ("image", "reason"),
    [("missing", "CannotPullContainerError"), ("broken", "CannotStartContainerError")],
)
def test_a_task_of_run_task_may_fail_to_start(world: World, image: str, reason: str) -> None:
    task = ended(world, run_task(world, image, ["migrate"]))
    assert (task["stopCode"], reason in task["stoppedReason"]) == ("TaskFailedToStart", True)
    assert "exitCode" not in task["containers"][0]
    assert world.images() == []


def test_no_program_runs_in_a_task_without_its_log_group(world: World) -> None:
    task = ended(world, run_task(world, "v1", ["migrate"], **logged("/missing")))
    assert task["stoppedReason"] == NO_LOG_GROUP
    assert not [each for each in world.calls() if each.startswith("run")]


def test_stop_task_sends_a_signal_to_the_program(world: World) -> None:
    arn = run_task(world, "waiting", ["migrate"])
    world.agent.step()
    world.agent.step()
    world.ecs.stop_task(cluster="main", task=arn, reason="enough")
    task = ended(world, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert task["containers"][0]["exitCode"] == 143
    assert [each for each in world.calls() if each.startswith("kill --signal TERM")]


def test_a_program_that_ignores_the_signal_is_killed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone_tasks, "STOP_TIMEOUT", 0.0)
    arn = run_task(world, "v1", ["migrate"])
    world.agent.step()
    world.ecs.stop_task(cluster="main", task=arn)
    for _ in range(3):
        world.agent.step()
    assert [each for each in world.calls() if each.startswith("kill --signal KILL")]


def missing_for_real_containers() -> str:
    """The reason why real containers cannot run here. Empty if they can."""
    if shutil.which("docker") is None or not Path(BUSYBOX).exists():
        return f"needs the docker command and {BUSYBOX}"
    for command in (["docker", "info"], ["docker", "buildx", "version"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            return f"{' '.join(command)}: {done.stderr.strip()}"
    return ""


@dataclass
class Visitor:
    """Requests a page in a loop and keeps each answer that differs from the one before."""

    url: str
    answers: list[tuple[int, str]] = field(default_factory=list)
    asked: int = 0
    leaving: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.leaving.is_set():
            answer = get(self.url)
            self.asked += 1
            if self.answers[-1:] != [answer]:
                self.answers.append(answer)


@pytest.mark.docker
def test_real_containers_are_replaced_without_a_failing_request(
    ecs: Any, registry: Registry, tmp_path: Path
) -> None:
    if reason := missing_for_real_containers():
        pytest.skip(reason)
    session = f"test-{uuid.uuid4().hex[:8]}"
    images = [f"{registry.host}/hello:{tag}" for tag in ("v1", "v2", "v3")]
    for image in images:
        build("docker", tmp_path, image, server=BUSYBOX)
    serve = ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"]
    wget = ["CMD", "/bin/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"]
    good: dict[str, Any] = {**PORT, "command": serve, "healthCheck": {"command": wget}}
    bad = good | {"healthCheck": {"command": ["CMD", "/bin/busybox", "false"], "retries": 1}}
    agent = ServiceAgent(path=os.environ["PATH"], session=session, interval=0.2)
    world = World(ecs, agent, tmp_path)
    try:
        world.deploy(images[0], **good)
        agent.start()
        until(lambda: world.rollout() == "COMPLETED", seconds=60)
        visitor = Visitor(agent.urls()["main/hello"])
        until(lambda: get(visitor.url) == (200, "v1"))
        visiting = threading.Thread(target=visitor.run)
        visiting.start()
        world.deploy(images[1], **good)
        until(lambda: (200, "v2") in visitor.answers, seconds=60)
        world.deploy(images[2], **bad)
        until(lambda: world.service()["deployments"][0]["taskDefinition"].endswith(":2"), 60)
        until(lambda: world.rollout() == "COMPLETED", seconds=60)
        visitor.leaving.set()
        visiting.join()
        assert visitor.answers == [(200, "v1"), (200, "v2")]
        assert visitor.asked > 10
    finally:
        agent.stop()
        subprocess.run(
            ["docker", "rmi", "-f", *images], capture_output=True, timeout=60, check=False
        )
    assert Docker(os.environ["PATH"]).names(f"slipway.local={session}") == []
    moves = [event["detail"]["eventName"] for event in engine().drain_events()]
    assert moves.count("SERVICE_DEPLOYMENT_COMPLETED") == 3
    assert moves.count("SERVICE_DEPLOYMENT_FAILED") == 1


@pytest.mark.docker
def test_a_real_command_runs_in_the_image_of_its_task(
    ecs: Any, registry: Registry, tmp_path: Path
) -> None:
    if reason := missing_for_real_containers():
        pytest.skip(reason)
    image = f"{registry.host}/hello:v1"
    build("docker", tmp_path, image, server=BUSYBOX)
    session = f"test-{uuid.uuid4().hex[:8]}"
    agent = ServiceAgent(path=os.environ["PATH"], session=session, interval=0.2)
    world = World(ecs, agent, tmp_path)
    boto3.client("logs").create_log_group(logGroupName="/ecs/hello")
    try:
        for script, code, lines in (
            ("/bin/busybox cat /www/index.html; echo; echo migrated", 0, ["v1", "migrated"]),
            ("echo broken >&2; exit 3", 3, ["broken"]),
        ):
            command = ["/bin/busybox", "sh", "-c", script]
            arn = run_task(world, image, command, **logged("/ecs/hello"))
            assert ended(world, arn, 60)["containers"][0]["exitCode"] == code
            assert log_of(arn) == lines
        arn = run_task(
            world,
            image,
            ["/bin/busybox", "sh", "-c", "trap 'exit 9' TERM; while :; do :; done"],
        )
        world.step_until(lambda: runs(world))
        world.ecs.stop_task(cluster="main", task=arn)
        assert ended(world, arn, 60)["containers"][0]["exitCode"] == 9
    finally:
        agent.stop()
        subprocess.run(["docker", "rmi", "-f", image], capture_output=True, timeout=60, check=False)
    assert Docker(os.environ["PATH"]).names(f"slipway.local={session}") == []


def runs(world: World) -> bool:
    return [each["lastStatus"] for each in world.tasks()] == ["RUNNING"]
