"""Checks of this machine, and the form of all checks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Iterator  # noqa: UP035  # also for Python 3.8
from urllib.parse import urlsplit

OK, NOTE, WRONG, NOT_CHECKED = "ok", "note", "wrong", "not checked"
LAMBDA_PYTHON = (3, 11)
# The first git with GIT_CONFIG_COUNT, which the embedded cloud uses.
OLDEST_GIT = (2, 31)
_INDEX = "https://pypi.org/simple/"
_SECONDS = 10


@dataclass(frozen=True)
class Check:
    """The result of a check. `found` is what was seen, and `fix` what to do if it is wrong.

    A note needs no fix for what works now. `not checked` says in `found` why.
    """

    state: str
    subject: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        # One line: messages of AWS and of programs may have several.
        text = f"{self.subject}: {self.found}" + (f" Fix: {self.fix}" if self.fix else "")
        return f"{self.state:<12}{' '.join(text.split())}"


def checks() -> Iterator[Check]:
    """All checks of this machine."""
    yield check_python(sys.version_info[:2], is_venv=sys.prefix != sys.base_prefix)
    yield check_git(_output("git", "--version"))
    yield check_docker()
    yield check_index(os.environ.get("UV_INDEX_URL") or os.environ.get("PIP_INDEX_URL") or _INDEX)


def check_python(version: tuple[int, ...], *, is_venv: bool) -> Check:
    """The Python that `.venv` has, or that `make setup` will choose."""
    shown = ".".join(map(str, version))
    if version == LAMBDA_PYTHON:
        return Check(OK, "Python", f"{shown}, as on Lambda.")
    if not is_venv and _output("python3.11", "--version"):
        return Check(OK, "Python", "3.11 for `make setup`.")
    if version > LAMBDA_PYTHON:
        fix = "install Python 3.11, then `make clean setup`."
        return Check(NOTE, "Python", f"{shown} runs Slipway here, but cannot deploy it.", fix)
    return Check(WRONG, "Python", f"{shown} is too old.", "install Python 3.11.")


def check_git(version: str | None) -> Check:
    """Git, by the output of `git --version`; None without git."""
    if version is None:
        return Check(WRONG, "git", "is missing.", "install it (Debian: apt-get install git).")
    words = version.split()
    number = tuple(int(part) for part in words[2].split(".")[:2] if part.isdigit())
    if number < OLDEST_GIT:
        return Check(WRONG, "git", f"{words[2]} is too old.", "install git 2.31 or newer.")
    return Check(OK, "git", f"{words[2]}.")


def check_docker() -> Check:
    """Docker with buildx, which only real local builds need."""
    why = "Without it, builds and containers of `make run` are simulated. AWS does not need it."
    if _output("docker", "info") is None:
        fix = "install Docker, or start it."
        return Check(NOTE, "Docker", f"does not run here. {why}", fix)
    if _output("docker", "buildx", "version") is None:
        return Check(NOTE, "Docker", f"has no buildx. {why}", "install docker-buildx-plugin.")
    return Check(OK, "Docker", "runs, with buildx.")


def check_index(url: str) -> Check:
    """Whether the package index answers. `make setup` and `make deploy` download packages."""
    # Without the login: urllib does not take one in an address, and it must not be shown.
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    host = address.netloc or "the address"
    try:
        request = urllib.request.Request(address.geturl(), method="HEAD")
        with urllib.request.urlopen(request, timeout=_SECONDS):
            pass
    except urllib.error.HTTPError as error:
        # Any answer but an error of the server: some indexes want a login, or no HEAD.
        if error.code >= 500:
            return _no_index(host, f"answers {error.code}")
    except (OSError, ValueError) as error:
        return _no_index(host, f"does not answer ({getattr(error, 'reason', None) or error})")
    return Check(OK, "Package index", f"{host} answers.")


def _no_index(host: str, what: str) -> Check:
    fix = "check the network and its proxy, or set PIP_INDEX_URL (UV_INDEX_URL with uv)."
    return Check(WRONG, "Package index", f"{host} {what}.", fix)


def _output(*command: str) -> str | None:
    """The output of a program; None if it is missing or fails. Version managers have empty ones."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
