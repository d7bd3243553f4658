"""The GitHub on loopback as the one that Slipway knows, and a channel with a token for it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chalicelib.settings import settings
from infra.local.github.server import GitHub
from tests.support.embedded import REPOSITORY, Cloud, keep_secret
from tests.support.github.validation import validated

TOKEN = "ghp_" + "t" * 36
TELLS = {"statuses": "write", "deployments": "write"}


@contextmanager
def connected(
    github: GitHub, monkeypatch: pytest.MonkeyPatch, **variables: str
) -> Iterator[GitHub]:
    """Run GitHub for the block. Then each request and answer must have had the form of GitHub's
    own description.
    """
    github.start()
    for name, value in {"GITHUB_API": github.url, **variables}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        yield github
        validated(github)
    finally:
        github.stop()
        monkeypatch.undo()
        settings.cache_clear()


def add_github_channel(
    cloud: Cloud, github: GitHub, rights: dict[str, str] = TELLS, repository: str = REPOSITORY
) -> None:
    """Create a token with these rights for a repository, and a channel of all projects with it."""
    github.add_token(TOKEN, [repository], rights)
    secret = keep_secret(TOKEN, "slipway/tell/all/github")
    body = {"kind": "github", "name": "GitHub", "secret": secret}
    assert cloud.api.post("/v1/channels", body).status == 201
