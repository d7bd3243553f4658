"""Channels: where it is told what happens to builds, deployments and services."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from chalicelib.domain.credentials import NAME_CHARACTERS
from chalicelib.domain.fields import END, Installation, Rule
from chalicelib.domain.telling import Event

# The path of secrets of channels that are not of one project.
SHARED = "all"
MOST_CHANNELS = 100


class ChannelKind(StrEnum):
    """What receives the messages of a channel."""

    GITHUB = "github"  # statuses of commits, and deployments
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    WEBHOOK = "webhook"  # signed as the Standard Webhooks specification says
    SNS = "sns"
    EVENTBRIDGE = "eventbridge"


# Those that are not given the usual events: GitHub shows each state, and rules choose events.
ALL_STATES = frozenset({ChannelKind.GITHUB, ChannelKind.EVENTBRIDGE})
# Those that are in this account, and need no secret.
OWN = frozenset({ChannelKind.SNS, ChannelKind.EVENTBRIDGE})


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
            "secretsmanager:<prefix>/tell/<project id>/<name>, or with all as the project id for "
            "a channel of all projects. The prefix is the installation's TABLE_PREFIX. The secret "
            "of kind github is a token that may write statuses and deployments. Without it, the "
            "channel uses the GitHub App. The secret of slack, discord "
            "and teams the URL of the incoming webhook; of webhook its URL, a space, and a key "
            "that begins with whsec_"
        ),
        extra_json_schema={"format": "channel-secret"},
    ),
    Rule(normal=_own_path),
]
# The function may use only topics and buses with the installation's prefix.
Target = Annotated[
    str,
    Meta(
        pattern=rf"^(?:arn:aws[a-z-]{{0,20}}:sns:[a-z0-9-]{{1,30}}:[0-9]{{12}}:)?"
        rf"[A-Za-z0-9_-]{{1,200}}{END}",
        max_length=300,
        description=(
            "of kind sns the ARN of a topic, and of kind eventbridge the name of an event bus. The "
            "name of both begins with the installation's TABLE_PREFIX and -"
        ),
        extra_json_schema={"format": "channel-target"},
    ),
]
Events = Annotated[
    tuple[Event, ...],
    Meta(
        max_length=len(Event),
        description=(
            "what the channel is told; without it, what a person may have to act on, and each "
            "success of a deployment. GitHub and EventBridge are told everything"
        ),
    ),
    Rule(
        normal=lambda value, _: tuple(sorted(set(value))),
        explain=lambda _: f"events must be a list of these: {', '.join(Event)}",
    ),
]
