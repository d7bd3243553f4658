"""Git repositories: the only kind of URL that a build fetches from."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule
from chalicelib.domain.regex import regex

# GitHub refuses a name that ends in .git. So one `.git` is the suffix, and two are an error.
_NAME = r"(?!\.{1,2}(?:\.git)?$)[A-Za-z0-9_.-]+?(?<!\.[gG][iI][tT])"
_HOST, _OWNER = r"[A-Za-z0-9.-]+", r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_URL = regex(rf"https://({_HOST})/({_OWNER})/({_NAME})(?:\.git)?", re.ASCII)


class Repository(msgspec.Struct, frozen=True):
    """One repository on one git host."""

    host: str
    owner: str
    name: str

    @property
    def url(self) -> str:
        """The URL that git fetches: the host in lower case, the path as it was written."""
        return f"https://{self.host.lower()}/{self.owner}/{self.name}.git"

    @property
    def key(self) -> str:
        """The name that pushes are matched by: GitHub ignores upper and lower case."""
        return repository_key(self.url)


def repository_key(url: str) -> str:
    """The `Repository.key` of a URL in its normal form.

    It does not check the URL: later rules may refuse a stored one.
    """
    return url.removeprefix("https://").removesuffix(".git").lower()


def repository_of(url: str) -> Repository:
    """The repository of a URL that matches `GitUrl`; raises ValueError for any other text."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("a repository URL must be https://<host>/<owner>/<name>.git")
    host, owner, name = match.groups()
    return Repository(host.lower(), owner, name)


def _of_allowed_host(url: str, installation: Installation) -> str:
    repository = repository_of(url)
    if repository.host not in installation.git_hosts:
        allowed = ", ".join(sorted(installation.git_hosts))
        raise ValueError(f"builds may not fetch from {repository.host}; allowed hosts: {allowed}")
    return repository.url


GitUrl = Annotated[
    str,
    Meta(
        # The allowed characters exclude other schemes, users, ports, queries, fragments, escapes
        # and dot segments, which git or another parser could read differently.
        pattern=rf"^https://{_HOST}/{_OWNER}/{_NAME}(?:\.git)?{END}",
        max_length=300,
        description=(
            "the URL of a repository, https://<host>/<owner>/<name>.git, on a host that builds may "
            "fetch from"
        ),
        extra_json_schema={"format": "git-url"},
    ),
    Rule(normal=_of_allowed_host),
]
