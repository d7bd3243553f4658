"""Git repositories on this machine that builds of the embedded cloud fetch by a GitHub URL.

A file of git's configuration lists them, so another process of this user can add one while the
cloud runs.
"""

import os
import subprocess
from pathlib import Path

_FILE = "repositories.gitconfig"


def git_variables(data: Path) -> dict[str, str]:
    """Variables that make git read the list. `data` is the cloud's directory."""
    count = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "include.path",
        f"GIT_CONFIG_VALUE_{count}": str(data / _FILE),
        "GIT_ALLOW_PROTOCOL": "https:file",
    }


def add_repository(data: Path, url: str, path: Path) -> None:
    """Make builds fetch `url` from a repository on this machine, instead of an earlier one."""
    pattern = f"^{url.replace('.', '[.]')}$"
    listed = _git(data, "--null", "--get-regexp", r"^url\..*\.insteadof$", pattern)
    for entry in filter(None, listed.split("\0")):
        _git(data, "--unset-all", entry.partition("\n")[0], pattern)
    _git(data, "--add", f"url.{path}.insteadOf", url)


def folder_of(data: Path, full_name: str) -> Path | None:
    """Where the repository `owner/name` of github.com is on this machine, or None."""
    wanted = f"https://github.com/{full_name}.git".lower()
    listed = _git(data, "--null", "--get-regexp", r"^url\..*\.insteadof$")
    for entry in filter(None, listed.split("\0")):
        key, _, url = entry.partition("\n")
        if url.lower() == wanted:
            return Path(key.removeprefix("url.").rpartition(".")[0])
    return None


def _git(data: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "config", "--file", str(data / _FILE), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # 1: nothing matches, or there is no file yet.
    if done.returncode > 1:
        raise RuntimeError(f"git config: {done.stderr.strip()}")
    return done.stdout
