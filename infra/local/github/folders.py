"""The GitHub of `make run`: its repositories are those on this machine that builds fetch."""

import subprocess
from pathlib import Path

from infra.local.github.server import GitHub
from infra.local.github.state import Repository
from infra.local.repositories import folder_of

_MOST_COMMITS = 1000


class LocalGitHub(GitHub):
    """Reads branches and commits with git, at each request. `data` is the cloud's directory."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._data = data

    def repository(self, full_name: str) -> Repository:
        folder = folder_of(self._data, full_name)
        if folder is not None and full_name.lower() not in self.repositories:
            self.add_repository(full_name)
        found = super().repository(full_name)
        if folder is not None:
            heads = "--format=%(refname:short) %(objectname)"
            listed = _git(folder, "for-each-ref", heads, "refs/heads").splitlines()
            found.branches = dict(line.split() for line in listed)
            most = f"--max-count={_MOST_COMMITS}"
            for line in _git(folder, "rev-list", "--all", "--parents", most).splitlines():
                sha, *parents = line.split()
                found.parents[sha] = tuple(parents)
        return found


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout
