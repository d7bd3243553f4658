"""Containers through the `docker` command: argument lists, no shell, always with a time-out."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from infra.local.machines.forwarder import Address

COMMAND_SECONDS = 30.0
PULL_SECONDS = 120.0
PASSED_ON = ("HOME", "TMPDIR", "DOCKER_", "SIMULATED_DOCKER_")


class CommandFailed(Exception):
    """docker refused, or did not answer in time; says what it printed."""


class Docker:
    """The `docker` found on `path`, which may be the stand-in. Raises CommandFailed."""

    def __init__(self, path: str) -> None:
        found = shutil.which("docker", path=path)
        if found is None:
            raise FileNotFoundError(f"no docker command in {path}")
        self._command = found
        kept = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        self._environment = kept | {"PATH": path}

    def pull(self, image: str) -> None:
        """Fetch an image from its registry, present or not."""
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
        """Start a container in the background; its ports appear on free ones of loopback."""
        options = ["--name", name]
        for option, values in {
            "--label": [f"{key}={value}" for key, value in labels.items()],
            "-p": [f"127.0.0.1::{port}" for port in ports],
            "-e": [f"{key}={value}" for key, value in environment.items()],
        }.items():
            options += [word for value in values for word in (option, value)]
        self._run("run", "-d", *options, image, *command)

    def is_running(self, name: str) -> bool:
        """False when it exited or is gone."""
        try:
            found = json.loads(self._run("inspect", name))
        except CommandFailed as failure:
            if "no such" in str(failure).lower():
                return False
            raise
        return bool(found[0]["State"]["Running"])

    def passes(self, name: str, command: Sequence[str], timeout: float) -> bool:
        """Whether a command run inside succeeds, in time."""
        try:
            self._run("exec", name, *command, timeout=timeout)
        except CommandFailed:
            return False
        return True

    def address(self, name: str, port: int) -> Address | None:
        """Where a container's port is published; None where nothing listens, as in a simulation."""
        try:
            published = self._run("port", name, f"{port}/tcp").split()[0]
        except CommandFailed:
            return None
        host, _, number = published.rpartition(":")
        return host, int(number)

    def remove(self, names: Sequence[str]) -> None:
        """Kill and remove containers; those already gone are no error."""
        if not names:
            return
        try:
            self._run("rm", "-f", *names)
        except CommandFailed as failure:
            # Newer dockers pass over a missing one by themselves.
            if not all("no such container" in line.lower() for line in str(failure).splitlines()):
                raise

    def names(self, label: str) -> list[str]:
        """The containers, running or not, that carry a label `key=value`."""
        return self._run(
            "ps", "-a", "--filter", f"label={label}", "--format", "{{.Names}}"
        ).splitlines()

    def _run(self, *arguments: str, timeout: float = COMMAND_SECONDS) -> str:
        try:
            done = subprocess.run(
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
        if done.returncode != 0:
            message = done.stderr.strip() or f"docker {arguments[0]} exited {done.returncode}"
            raise CommandFailed(message)
        return done.stdout
