"""How each kind of receiver is told a message: by a webhook, a topic or an event bus."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.aws import targets
from chalicelib.aws.secrets import read_credential
from chalicelib.domain.channels import ChannelKind
from chalicelib.domain.messages import (
    Message,
    as_discord,
    as_slack,
    as_teams,
    as_text,
    as_webhook,
    signed_headers,
)
from chalicelib.domain.telling import Told
from chalicelib.errors import Unavailable
from chalicelib.outbound import hooks
from chalicelib.pipeline.telling.messages import message_of, test_message
from chalicelib.pipeline.telling.rows import Row
from chalicelib.store.models import Channel, Service

_BODIES: Mapping[ChannelKind, Callable[[Message], dict[str, Any]]] = {
    ChannelKind.SLACK: as_slack,
    ChannelKind.DISCORD: as_discord,
    ChannelKind.TEAMS: as_teams,
}


def tell_receiver(channel: Channel, row: Row, service: Service, state: str, known: Told) -> None:
    """Tell the state of a row. Raises Later, Rejected and Unavailable."""
    _send(channel, message_of(channel, row, service, state, known))


def test_receiver(channel: Channel) -> None:
    """Send a message that says that the channel works. Raises Later, Rejected and Unavailable."""
    _send(channel, test_message(channel))


def _send(channel: Channel, message: Message) -> None:
    kind = ChannelKind(channel.kind)
    if kind == ChannelKind.SNS:
        targets.publish(
            str(channel.target),
            subject=message.title,
            text=as_text(message),
            event=message.event,
            data=as_webhook(message),
        )
    elif kind == ChannelKind.EVENTBRIDGE:
        detail = msgspec.to_builtins(message.data)
        targets.put_event(str(channel.target), kind=message.event, detail=detail, at=message.at)
    elif kind == ChannelKind.WEBHOOK:
        _send_signed(channel, message)
    else:
        body = json.dumps(_BODIES[kind](message)).encode()
        hooks.post(_called(channel), read_credential(str(channel.secret)), body, {})


def _send_signed(channel: Channel, message: Message) -> None:
    receiver = _called(channel)
    url, _, key = read_credential(str(channel.secret)).partition(" ")
    body = json.dumps(as_webhook(message)).encode()
    try:
        headers = signed_headers(key.strip(), message.id, body, at=clock.now())
    except ValueError as error:
        raise Unavailable(
            f"the secret of {receiver} must be a URL, a space, and a key that begins with whsec_"
        ) from error
    hooks.post(receiver, url, body, headers)


def _called(channel: Channel) -> str:
    return f"the receiver of channel {channel.id}"
