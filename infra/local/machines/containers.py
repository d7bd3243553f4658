"""Runs containers with the `docker` command: argument lists, no shell, always with a timeout."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from infra.local.machines.forwarder import Address

COMMAND_SECONDS = 30.0
PULL_SECONDS = 120.0
# The label of every container of a session of the embedded cloud.
LABEL = "slipway.local"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
# A line of `docker logs --timestamps`. Messages of docker itself have no time.
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z) (.*)", re.ASCII)
PASSED_ON = ("HOME", "TMPDIR", "DOCKER_", "SIMULATED_DOCKER_")


class CommandFailed(Exception):
    """docker failed or timed out. The message is its output."""


class Docker:
    """The `docker` command on `path`, real or simulated. Methods raise CommandFailed."""

    def __init__(self, path: str) -> None:
        found = shutil.which("docker", path=path)
        if found is None:
            raise FileNotFoundError(f"no docker command in {path}")
        self._command = found
        kept = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        self._environment = kept | {"PATH": path}

    def pull(self, image: str) -> None:
        """Pull an image from its registry, even if it is present."""
        self._run("pull", image, timeout=PULL_SECONDS)

    def start(
        self,
        name: str,
        image: str,
        *,
        labels: Mapping[str, str],
        ports: Sequence[int],
        environment: Mapping[str, str],
        command: Sequence[str],
    ) -> None:
        """Start a container in the background. Its ports are published on free loopback ports."""
        options = ["--name", name]
        for option, values in {
            "--label": [f"{key}={value}" for key, value in labels.items()],
            "-p": [f"127.0.0.1::{port}" for port in ports],
            "-e": [f"{key}={value}" for key, value in environment.items()],
        }.items():
            options += [word for value in values for word in (option, value)]
        self._run("run", "-d", *options, image, *command)

    def states(self, names: Sequence[str]) -> dict[str, Any]:
        """The `State` of each container as `docker inspect` shows it, without missing ones.

        One command for all: with a command for each, a machine with many containers does little
        else.
        """
        if not names:
            return {}
        done = self._ended("inspect", *names)
        found = json.loads(done.stdout or "[]")
        states = {each["Name"].removeprefix("/"): each["State"] for each in found}
        # docker names each missing container. A daemon that does not answer is another failure.
        unknown = [line for line in done.stderr.splitlines() if "no such" in line.lower()]
        if not all(name in states or any(name in line for line in unknown) for name in names):
            raise CommandFailed(done.stderr.strip() or f"docker inspect exited {done.returncode}")
        return states

    def output(self, name: str, since: str) -> list[tuple[str, str]]:
        """The lines that a container wrote after a time, each with its own time, in order.

        `since` is the time of an earlier line, or empty. Times have nanoseconds.
        """
        options = ["--since", since] if since else []
        done = self._finished("logs", "--timestamps", *options, name)
        lines = (
            _LINE.fullmatch(line) for line in [*done.stdout.splitlines(), *done.stderr.splitlines()]
        )
        return sorted((line[1], line[2]) for line in lines if line and line[1] > since)

    def passes(self, name: str, command: Sequence[str], timeout: float) -> bool:
        """Whether a command in the container succeeds within `timeout` seconds."""
        try:
            self._run("exec", name, *command, timeout=timeout)
        except CommandFailed:
            return False
        return True

    def address(self, name: str, port: int) -> Address | None:
        """The address of a published port. None if it is not published, as in a simulation."""
        try:
            published = self._run("port", name, f"{port}/tcp").split()[0]
        except CommandFailed:
            return None
        host, _, number = published.rpartition(":")
        return host, int(number)

    def kill(self, name: str, signal: str) -> None:
        """Send a signal to a container's program. A program that has ended is no error."""
        try:
            self._run("kill", "--signal", signal, name)
        except CommandFailed as failure:
            if "is not running" not in str(failure):
                raise

    def remove(self, names: Sequence[str]) -> None:
        """Kill and remove containers. A missing container is no error."""
        if not names:
            return
        try:
            self._run("rm", "-f", *names)
        except CommandFailed as failure:
            # Newer versions of docker ignore missing containers.
            if not all("no such container" in line.lower() for line in str(failure).splitlines()):
                raise

    def names(self, label: str) -> list[str]:
        """The names of containers with a label `key=value`, running or not."""
        return self._run(
            "ps", "-a", "--filter", f"label={label}", "--format", "{{.Names}}"
        ).splitlines()

    def _run(self, *arguments: str, timeout: float = COMMAND_SECONDS) -> str:
        return str(self._finished(*arguments, timeout=timeout).stdout)

    def _finished(
        self, *arguments: str, timeout: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        done = self._ended(*arguments, timeout=timeout)
        if done.returncode != 0:
            message = done.stderr.strip() or f"docker {arguments[0]} exited {done.returncode}"
            raise CommandFailed(message)
        return done

    def _ended(
        self, *arguments: str, timeout: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self._command, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"docker {arguments[0]} did not answer in {timeout:g} s"
            raise CommandFailed(message) from None
