"""Channels: where it is told what happened to builds and deployments."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from chalicelib.domain.credentials import NAME_CHARACTERS
from chalicelib.domain.fields import END, Installation, Rule

# A receiver that has refused or not answered for so long is switched off.
OFF_AFTER = 24 * 60 * 60
# The path of secrets of channels that are not of one project.
SHARED = "all"
MOST_CHANNELS = 100


class ChannelKind(StrEnum):
    """What receives the messages of a channel."""

    GITHUB = "github"  # statuses of commits, and deployments


def channel_path(prefix: str, project_id: int | None) -> str:
    """The path of the secrets of a project's channels, or of shared ones, in Secrets Manager."""
    return f"{prefix}/tell/{SHARED if project_id is None else project_id}/"


def _own_path(value: str, installation: Installation) -> str:
    prefix = installation.table_prefix
    if not value.startswith(f"secretsmanager:{prefix}/tell/"):
        raise ValueError(
            f"secret must be secretsmanager:{prefix}/tell/<project id>/<name>, or "
            f"secretsmanager:{prefix}/tell/{SHARED}/<name> for a channel of all projects"
        )
    return value


ChannelSecret = Annotated[
    str,
    Meta(
        pattern=rf"^secretsmanager:[A-Za-z0-9_-]{{1,64}}/tell/(?:{SHARED}|[1-9][0-9]{{0,17}})/"
        rf"[{NAME_CHARACTERS}]{{1,400}}{END}",
        max_length=500,
        description=(
            "the name of a secret in Secrets Manager, and not the secret itself: "
            "secretsmanager:<prefix>/tell/<project id>/<name>, or with `all` as the project id for "
            "a channel of all projects. The prefix is the installation's TABLE_PREFIX"
        ),
        extra_json_schema={"format": "channel-secret"},
    ),
    Rule(normal=_own_path),
]
