"""Runs started builds on this machine, with the buildspec that CodeBuild runs, in bash.

A build gets only an allow-list of this process's environment. Its output goes to its CloudWatch log
stream, its phases and its result go to the engine. The agent kills the processes of a build that is
stopped or times out.

Unlike on AWS, the log has only the first line of each command. So a test that reads the log sees
the output of a step and not its script.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import boto3
import yaml

from infra.local.aws.codebuild import Engine, engine
from infra.local.aws.codebuild_events import Build

SECTIONS = {
    "install": "INSTALL",
    "pre_build": "PRE_BUILD",
    "build": "BUILD",
    "post_build": "POST_BUILD",
}
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "GIT_ALLOW_PROTOCOL", "AWS_ENDPOINT_URL")
INHERITED_PREFIXES = ("DOCKER_", "GIT_CONFIG_")
LINE_LIMIT = 65536
# libyaml, where PyYAML has it, reads the buildspec ten times as fast.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FLUSH_INTERVAL = 0.4
LOOK_INTERVAL = 0.1
GRACE = 2.0


class BuildAgent:
    """Runs up to `max_builds` builds at a time. Every build also gets `environment`.

    CloudWatch gets the last lines of each log `log_lag` seconds after the build has ended.
    """

    def __init__(
        self,
        *,
        environment: dict[str, str],
        max_builds: int,
        log_lag: float = 0.0,
        region: str = "eu-west-1",
        account: str = "123456789012",
    ) -> None:
        self._environment = environment
        self._log_lag = log_lag
        self._region = region
        self._account = account
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"build-agent-{number}", daemon=True)
            for number in range(max_builds)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all running builds with their processes, and the agent's threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def run_one(self) -> bool:
        """Run the oldest queued build to its end. False if the queue is empty."""
        runner = engine(self._region, self._account)
        build = runner.claim()
        if build is None:
            return False
        try:
            run = _BuildRun(runner, build, self._environment, self._region, self._stopping)
            run.run(log_lag=self._log_lag)
        except Exception as error:  # The agent's own error ends the build, not the agent.
            traceback.print_exc(file=sys.stderr)
            runner.finish(build["id"], "FAULT", message=f"The build agent failed: {error}")
        return True

    def _work(self) -> None:
        while not self._stopping.is_set():
            if not self.run_one():
                self._stopping.wait(LOOK_INTERVAL)


class _BuildRun:
    def __init__(
        self,
        runner: Engine,
        build: Build,
        environment: Mapping[str, str],
        region: str,
        stopping: threading.Event,
    ) -> None:
        self._engine = runner
        self._build = build
        self._id: str = build["id"]
        self._stopping = stopping
        self._log = _BuildLog(build["logs"], region)
        self._work = Path(tempfile.mkdtemp(prefix="slipway-build-"))
        self._source = self._work / "src"
        self._source.mkdir()
        self._variables = _environment(build, environment, self._source, region)

    def run(self, *, log_lag: float) -> None:
        try:
            self._run_buildspec(log_lag)
            if self._stopping.is_set():
                self._engine.finish(self._id, "FAULT", message="The build agent was stopped.")
            self._stopping.wait(log_lag)
        finally:
            self._log.flush()
            shutil.rmtree(self._work, ignore_errors=True)

    def _run_buildspec(self, log_lag: float) -> None:
        self._engine.phase(self._id, "DOWNLOAD_SOURCE")
        try:
            spec = yaml.load(self._build["source"]["buildspec"], LOADER)
            sections = {name: spec["phases"].get(name, {}) for name in SECTIONS}
        except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
            message = f"YAML_FILE_ERROR: {error}"
            self._engine.finish(self._id, "FAILED", message=message)
            return
        declared = spec.get("env", {})
        self._variables = {**declared.get("variables", {}), **self._variables}
        failure, problem = self._run_sections(sections)
        if self._end_phases(failure, problem):
            names = declared.get("exported-variables", [])
            exported = {name: self._variables[name] for name in names if name in self._variables}
            if not log_lag:
                self._log.flush()
            self._engine.finish(self._id, "FAILED" if failure else "SUCCEEDED", exported=exported)

    def _run_sections(self, sections: Mapping[str, dict[str, Any]]) -> tuple[str, str]:
        """Return the build's failure and the last phase's failure ("" for none).

        As on CodeBuild, post_build runs after a failed build phase. Any other failure ends the run.
        """
        failure = problem = ""
        for name, phase in SECTIONS.items():
            if not self._enter(phase, problem):
                break
            self._variables["CODEBUILD_BUILD_SUCCEEDING"] = "0" if failure else "1"
            self._log.write(f"[Container] Entering phase {phase}")
            problem = self._run_commands(sections[name].get("commands", []))
            self._log.write(
                f"[Container] Phase complete: {phase} State: {'FAILED' if problem else 'SUCCEEDED'}"
            )
            failure = failure or problem
            if self._is_over() or (problem and name != "build"):
                break
        return failure, problem

    def _enter(self, phase: str, problem: str) -> bool:
        status = "FAILED" if problem else "SUCCEEDED"
        return self._engine.phase(self._id, phase, previous=status, message=problem)

    def _end_phases(self, failure: str, problem: str) -> bool:
        if self._is_over():
            return False
        if not failure:
            self._enter("UPLOAD_ARTIFACTS", "")
        return self._enter("FINALIZING", problem)

    def _run_commands(self, commands: list[str]) -> str:
        """Run the commands in order. Each one gets the directory and exports of the one before.

        Returns "" or the failure.
        """
        for command in commands:
            self._log.write(f"[Container] Running command {command.strip().splitlines()[0]}")
            status = self._run_command(command)
            if status or self._is_over():
                return f"Error while executing command: {command}. Reason: exit status {status}"
        return ""

    def _run_command(self, command: str) -> int:
        left = self._work / "environment"
        left.unlink(missing_ok=True)
        save = f"trap '/usr/bin/env -0 > {shlex.quote(str(left))}' EXIT\n"
        process = subprocess.Popen(
            ["bash", "-c", save + command],
            cwd=self._variables.get("PWD", str(self._source)),
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        reader = threading.Thread(target=self._log.copy, args=(process.stdout,), daemon=True)
        reader.start()
        status = self._watch(process, reader)
        _kill_group(process.pid, signal.SIGKILL)
        # A process that left the group may keep the pipe open. The build does not wait for it.
        reader.join(GRACE)
        if process.stdout and not reader.is_alive():
            process.stdout.close()
        if left.exists():
            self._variables = _read_environment(left)
        return status

    def _watch(self, process: subprocess.Popen[bytes], reader: threading.Thread) -> int:
        """Wait for the process, or kill it when the build is over. Returns its exit status."""
        flushed = time.monotonic()
        while not self._is_over():
            # Most commands close their output when they end, and then this returns at once.
            reader.join(LOOK_INTERVAL)
            with suppress(subprocess.TimeoutExpired):
                return process.wait(0 if reader.is_alive() else LOOK_INTERVAL)
            if time.monotonic() - flushed >= FLUSH_INTERVAL:
                self._log.flush()
                flushed = time.monotonic()
        _kill_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(GRACE)
        _kill_group(process.pid, signal.SIGKILL)
        return process.wait()

    def _is_over(self) -> bool:
        return self._stopping.is_set() or not self._engine.alive(self._id)


class _BuildLog:
    """One build's CloudWatch log stream. Timestamps never go back, because they order the lines."""

    def __init__(self, logs: Mapping[str, Any], region: str) -> None:
        self._client = boto3.client("logs", region_name=region)
        self._group: str = logs["groupName"]
        self._stream: str = logs["streamName"]
        self._lock = threading.Lock()
        self._pending: list[tuple[int, str]] = []
        self._last = 0
        with suppress(self._client.exceptions.ResourceAlreadyExistsException):
            self._client.create_log_group(logGroupName=self._group)
        self._client.create_log_stream(logGroupName=self._group, logStreamName=self._stream)

    def write(self, line: str) -> None:
        with self._lock:
            self._last = max(self._last, int(time.time() * 1000))
            self._pending.append((self._last, line + "\n"))

    def copy(self, output: IO[bytes] | None) -> None:
        """Write `output` to the log until its end. Lines over LINE_LIMIT are split."""
        while output and (line := output.readline(LINE_LIMIT)):
            self.write(line.decode(errors="replace").rstrip("\r\n"))

    def flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, []
        for start in range(0, len(pending), 1000):
            self._client.put_log_events(
                logGroupName=self._group,
                logStreamName=self._stream,
                logEvents=[
                    {"timestamp": at, "message": line} for at, line in pending[start : start + 1000]
                ],
            )


def _environment(
    build: Build, added: Mapping[str, str], source: Path, region: str
) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }
    requested = {
        variable["name"]: variable["value"]
        for variable in build["environment"]["environmentVariables"]
    }
    return {
        **inherited,
        # Never pass on this machine's credentials.
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "CI": "true",
        "CODEBUILD_BUILD_ID": build["id"],
        "CODEBUILD_BUILD_ARN": build["arn"],
        "CODEBUILD_BUILD_NUMBER": str(build["buildNumber"]),
        "CODEBUILD_SRC_DIR": str(source),
        **added,
        **requested,
    }


def _read_environment(file: Path) -> dict[str, str]:
    text = file.read_bytes().decode(errors="replace")
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def _kill_group(process_group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process_group, number)
