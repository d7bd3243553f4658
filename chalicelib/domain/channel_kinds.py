"""What a channel of each kind needs before it can be created, in words and as a command of AWS.

The page and the command line show this. So they know no kinds and no paths of secrets by
themselves.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from chalicelib.domain.channels import ALL_STATES, OWN, ChannelKind, channel_path

_MESSAGE = "a message with commit, author, cause, next step and a link"
_RECEIVES: Mapping[ChannelKind, str] = {
    ChannelKind.GITHUB: "a status on each commit, and a deployment on GitHub for each deployment",
    ChannelKind.WEBHOOK: "JSON, signed as Standard Webhooks says",
    ChannelKind.SNS: "text for e-mail, and JSON for programs",
    ChannelKind.EVENTBRIDGE: "an event for each state, with the source slipway",
}
_NEEDS: Mapping[ChannelKind, str] = {
    ChannelKind.GITHUB: "a fine-grained token of GitHub for the repositories, which may read and "
    "write Commit statuses and Deployments",
    ChannelKind.SLACK: "the URL of an incoming webhook of Slack",
    ChannelKind.DISCORD: "the URL of a webhook of Discord",
    ChannelKind.TEAMS: "the URL of a webhook of Teams",
    ChannelKind.WEBHOOK: "the URL of the receiver, a space, and a key: whsec_ and at least 24 "
    "bytes in base64",
    ChannelKind.SNS: "the ARN of a topic of SNS",
    ChannelKind.EVENTBRIDGE: "the name of an event bus of EventBridge",
}


class KindOfChannel(msgspec.Struct, kw_only=True):
    """A kind of channel: what it `receives`, and what it `needs`.

    A channel of this kind names that in its `field`, as in `example`. The `command` of the AWS
    CLI creates it: a secret from the file value.txt, a topic or an event bus. `without` is what a
    channel uses that names none, or null if it must name one. `takes_events` is false if the kind
    is always told everything.
    """

    kind: ChannelKind
    receives: str
    needs: str
    field: Literal["secret", "target"]
    example: str
    command: str
    without: str | None
    takes_events: bool


def kinds_of_channels(prefix: str, project_id: int | None, *, has_app: bool) -> list[KindOfChannel]:
    """All kinds, for a channel of a project or of all projects.

    `prefix` is the installation's TABLE_PREFIX, and `has_app` whether it has a GitHub App.
    """
    path = channel_path(prefix, project_id)
    return [_kind(kind, prefix, path, has_app=has_app) for kind in ChannelKind]


def _kind(kind: ChannelKind, prefix: str, path: str, *, has_app: bool) -> KindOfChannel:
    by_app = has_app and kind == ChannelKind.GITHUB
    own, name = f"{prefix}-news", f"{path}{kind}"
    if kind == ChannelKind.SNS:
        example = f"arn:<partition>:sns:<region>:<account>:{own}"
        command = f"aws sns create-topic --name {own}"
    elif kind == ChannelKind.EVENTBRIDGE:
        example, command = own, f"aws events create-event-bus --name {own}"
    else:
        example = f"secretsmanager:{name}"
        command = f"aws secretsmanager create-secret --name {name} --secret-string file://value.txt"
    return KindOfChannel(
        kind=kind,
        receives=_RECEIVES.get(kind, _MESSAGE),
        needs=_NEEDS[kind],
        field="target" if kind in OWN else "secret",
        example=example,
        command=command,
        without="the GitHub App of this installation" if by_app else None,
        takes_events=kind not in ALL_STATES,
    )
