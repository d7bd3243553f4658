"""The build agent runs a buildspec as CodeBuild does, and really stops its processes."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from types_boto3_codebuild import CodeBuildClient
from types_boto3_codebuild.type_defs import BuildTypeDef

from infra.local.aws import clock, fidelity
from infra.local.aws.codebuild import engine
from infra.local.machines.codebuild_agent import BuildAgent


@pytest.fixture
def codebuild(monkeypatch: pytest.MonkeyPatch) -> Iterator[CodeBuildClient]:
    fidelity.install()
    clock.reset()
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("codebuild", region_name="eu-west-1")
        client.create_project(
            name="images",
            source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
            },
            serviceRole="arn:aws:iam::123456789012:role/builds",
        )
        yield client
    clock.reset()


def agent(max_builds: int = 1, **environment: str) -> BuildAgent:
    return BuildAgent(environment=environment, max_builds=max_builds)


def start(client: CodeBuildClient, *, env: Any = None, **phases: list[str]) -> str:
    sections = {name: {"commands": commands} for name, commands in phases.items()}
    spec = {"version": 0.2, "env": {"shell": "bash", **(env or {})}, "phases": sections}
    return client.start_build(
        projectName="images",
        buildspecOverride=yaml.safe_dump(spec),
        environmentVariablesOverride=[{"name": "JOB_ID", "value": "build-1"}],
        logsConfigOverride={
            "cloudWatchLogs": {
                "status": "ENABLED",
                "groupName": "/slipway/builds",
                "streamName": "build-1",
            }
        },
    )["build"]["id"]


def read(client: CodeBuildClient, build_id: str) -> BuildTypeDef:
    return client.batch_get_builds(ids=[build_id])["builds"][0]


def phases(build: BuildTypeDef) -> dict[str, str]:
    return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in build["phases"]}


def log_of(build: BuildTypeDef) -> list[str]:
    logs = boto3.client("logs", region_name="eu-west-1")
    where = build["logs"]
    answer = logs.get_log_events(
        logGroupName=where["groupName"], logStreamName=where["streamName"], startFromHead=True
    )
    times = [event["timestamp"] for event in answer["events"]]
    assert times == sorted(times)
    return [event["message"].removesuffix("\n") for event in answer["events"]]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in 10 seconds"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """A zombie process does not count as running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_build_runs_its_phases_and_exports_its_variables(codebuild: CodeBuildClient) -> None:
    """User Guide, "Build specification reference": exports and the directory are kept for later
    commands and phases; exported-variables are part of the build."""
    build_id = start(
        codebuild,
        env={"variables": {"GREETING": "hello"}, "exported-variables": ["WHO", "MISSING"]},
        install=["mkdir there && cd there"],
        pre_build=["export WHO=$'two\\nlines \"quoted\"'", "echo to stderr >&2"],
        build=['printf "%s %s\\n" "$GREETING" "$JOB_ID"; basename "$PWD"'],
        post_build=['echo "succeeding: $CODEBUILD_BUILD_SUCCEEDING"'],
    )
    assert agent().run_one() is True
    build = read(codebuild, build_id)
    assert (build["buildStatus"], phases(build)["FINALIZING"]) == ("SUCCEEDED", "SUCCEEDED")
    exported = [{"name": "WHO", "value": 'two\nlines "quoted"'}]
    assert build["exportedEnvironmentVariables"] == exported
    lines = [line for line in log_of(build) if not line.startswith("[Container]")]
    assert lines == ["to stderr", "hello build-1", "there", "succeeding: 1"]


def test_an_empty_queue_runs_no_build(codebuild: CodeBuildClient) -> None:
    assert agent().run_one() is False


def test_post_build_runs_after_a_failed_build_phase(codebuild: CodeBuildClient) -> None:
    """User Guide, "Build phase transitions": BUILD failed leads to POST_BUILD."""
    build_id = start(
        codebuild, build=["false", "echo never"], post_build=["echo $CODEBUILD_BUILD_SUCCEEDING"]
    )
    agent().run_one()
    build = read(codebuild, build_id)
    assert build["buildStatus"] == "FAILED"
    assert phases(build)["BUILD"] == "FAILED"
    assert phases(build)["POST_BUILD"] == "SUCCEEDED"
    assert "UPLOAD_ARTIFACTS" not in phases(build)
    failed = next(phase for phase in build["phases"] if phase["phaseType"] == "BUILD")
    assert failed["contexts"][0] == {
        "statusCode": "COMMAND_EXECUTION_ERROR",
        "message": "Error while executing command: false. Reason: exit status 1",
    }
    assert "0" in log_of(build)
    assert "never" not in log_of(build)


def test_the_message_repeats_every_line_of_the_failed_command(codebuild: CodeBuildClient) -> None:
    """As in public logs of CodeBuild from 2025 and 2026."""
    command = 'echo "Building the image"\nset -e\nexit 7\n'
    build_id = start(codebuild, build=[command])
    agent().run_one()
    build = read(codebuild, build_id)
    failed = next(phase for phase in build["phases"] if phase["phaseType"] == "BUILD")
    assert failed["contexts"][0]["message"] == (
        f"Error while executing command: {command}. Reason: exit status 7"
    )
    assert "set -e" not in log_of(build)


def test_the_last_lines_of_a_log_may_come_after_the_end_of_the_build(
    codebuild: CodeBuildClient,
) -> None:
    """As users see it (aws-actions/aws-codebuild-run-build reads on after the end)."""
    build_id = start(codebuild, build=["echo the cause; false"])
    running = BuildAgent(environment={}, max_builds=1, log_lag=0.5)
    thread = threading.Thread(target=running.run_one)
    thread.start()
    wait_for(lambda: read(codebuild, build_id)["buildComplete"])
    assert "the cause" not in log_of(read(codebuild, build_id))
    thread.join()
    assert "the cause" in log_of(read(codebuild, build_id))


def test_no_command_runs_after_a_failed_pre_build_phase(codebuild: CodeBuildClient) -> None:
    """User Guide, "Build phase transitions": PRE_BUILD failed leads to FINALIZING."""
    build_id = start(codebuild, pre_build=["exit 7"], build=["true"], post_build=["true"])
    agent().run_one()
    build = read(codebuild, build_id)
    assert build["buildStatus"] == "FAILED"
    assert list(phases(build))[-3:] == ["PRE_BUILD", "FINALIZING", "COMPLETED"]


def test_an_invalid_buildspec_fails_the_build(codebuild: CodeBuildClient) -> None:
    """User Guide, "Troubleshooting": YAML_FILE_ERROR, in DOWNLOAD_SOURCE."""
    build_id = codebuild.start_build(projectName="images", buildspecOverride="phases: [")["build"]
    agent().run_one()
    build = read(codebuild, build_id["id"])
    assert build["buildStatus"] == "FAILED"
    assert phases(build)["DOWNLOAD_SOURCE"] == "FAILED"


def test_output_is_readable_while_the_build_runs(
    codebuild: CodeBuildClient, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    build_id = start(codebuild, build=["echo early", f"until [[ -e {go} ]]; do sleep 0.05; done"])
    thread = threading.Thread(target=agent().run_one)
    thread.start()
    wait_for(lambda: read(codebuild, build_id)["currentPhase"] == "BUILD")
    wait_for(lambda: "early" in log_of(read(codebuild, build_id)))
    assert read(codebuild, build_id)["buildStatus"] == "IN_PROGRESS"
    go.touch()
    thread.join()
    assert read(codebuild, build_id)["buildStatus"] == "SUCCEEDED"


@pytest.mark.parametrize("ending", ["StopBuild", "timeout", "agent stopped"])
def test_the_end_of_a_build_ends_its_processes(
    codebuild: CodeBuildClient, tmp_path: Path, ending: str
) -> None:
    """API reference StopBuild; User Guide, "Build phase transitions": TIMED_OUT."""
    file = tmp_path / "pid"
    command = f"sleep 300 & echo $! > {file}.new; mv {file}.new {file}; wait"
    build_id = start(codebuild, build=[command], post_build=["echo never"])
    running = agent()
    running.start()
    wait_for(file.exists)
    pid = int(file.read_text())
    assert is_running(pid)
    if ending == "StopBuild":
        codebuild.stop_build(id=build_id)
    elif ending == "timeout":
        clock.advance(3601)
    else:
        running.stop()
    wait_for(lambda: not is_running(pid))
    running.stop()
    build = read(codebuild, build_id)
    wanted = {"StopBuild": "STOPPED", "timeout": "TIMED_OUT", "agent stopped": "FAULT"}
    assert build["buildStatus"] == wanted[ending]
    assert "never" not in log_of(build)


def test_builds_run_at_once_up_to_the_agent_s_limit(
    codebuild: CodeBuildClient, tmp_path: Path
) -> None:
    """Each of two builds waits for the other, so they end only if they run at the same time."""
    meet = "touch {0}/{1}; until [[ -e {0}/{2} ]]; do sleep 0.05; done"
    ids = [
        start(codebuild, build=[meet.format(tmp_path, *order)])
        for order in (("a", "b"), ("b", "a"))
    ]
    running = agent(max_builds=2)
    running.start()
    wait_for(lambda: all(read(codebuild, i)["buildStatus"] == "SUCCEEDED" for i in ids))
    running.stop()


def test_only_the_allowed_environment_reaches_a_build(
    codebuild: CodeBuildClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", "hush")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hush")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("DOCKER_CONFIG", "kept")
    build_id = start(codebuild, build=["env"])
    agent(ADDED="too").run_one()
    lines = log_of(read(codebuild, build_id))
    assert not any("hush" in line for line in lines)
    assert {"DOCKER_CONFIG=kept", "ADDED=too", f"HOME={os.environ['HOME']}"} <= set(lines)


def test_a_fault_of_the_agent_ends_the_build_and_not_the_agent(
    codebuild: CodeBuildClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """API reference Build: FAULT is a failure of CodeBuild itself."""
    build_id = start(codebuild, build=["true"])
    running = agent(NUL="\0")
    assert running.run_one() is True
    assert read(codebuild, build_id)["buildStatus"] == "FAULT"
    assert "embedded null byte" in capsys.readouterr().err
    assert engine().claim() is None
