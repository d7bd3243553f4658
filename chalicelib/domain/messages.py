"""A message about an event, and its form for each kind of receiver.

Parts of a message come from outside: commit messages, authors, causes. No form lets them mention
people or add links: text stands where the receiver reads no markup, or is escaped.
The sources are Slack's "Block Kit" and "Escaping text", Discord's "Webhook resource" and "Markdown
text 101", Microsoft's "Adaptive Cards schema", and "Standard Webhooks" 1.0.0.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from chalicelib.domain.failures import cut
from chalicelib.domain.regex import regex
from chalicelib.domain.timing import rfc3339

# Slack's limit of a header is 150. Discord's of a title is 256, and each character may be escaped.
_TITLE_LENGTH = 140
_DISCORD_TITLE_LENGTH = 128
_FACT_LENGTH = 500
_MARKDOWN = regex(r"([\\`*_{}\[\]()#+\-.!~|<>:@])")
_RED, _GREEN, _GREY = 0xD1242F, 0x1A7F37, 0x59636E
# The event of a test of a channel.
TESTED = "channel.tested"
# How a key begins: "Standard Webhooks", "Secret serialization".
_KEY = "whsec_"


def _field(meaning: str) -> Meta:
    return Meta(description=meaning)


_LaterTime = Annotated[str | None, _field("in UTC, as RFC 3339 has it; null before that")]
_Url = Annotated[
    str | None, _field("the page of the row on the dashboard; null if its address is not known")
]
_ServiceName = Annotated[str, _field("the project and the name of the service, such as shop/web")]


class JobData(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a build or a deployment."""

    job_id: Annotated[str, _field("such as build-12 or deploy-7")]
    type: Annotated[Literal["build", "deploy"], _field("what the job is")]
    number: Annotated[int, _field("the number of the build or the deployment")]
    status: Annotated[str, _field("the status that the job has now, as the API names it")]
    service: _ServiceName
    service_id: Annotated[int, _field("the number of the service")]
    project_id: Annotated[int, _field("the number of the project")]
    commit_sha: Annotated[str | None, _field("null for an image without a build")]
    commit_message: Annotated[str | None, _field("its first lines, without known secrets")]
    requested_by: Annotated[str, _field("who or what asked for the job")]
    cause: Annotated[str | None, _field("why the job has ended without success; else null")]
    hook_id: Annotated[
        str | None,
        _field("what awaits an approval: a request to approve or reject it may name it; else null"),
    ]
    approve_by: Annotated[
        str | None,
        _field("when ECS takes the rollout back without an approval, as RFC 3339 has it; or null"),
    ]
    created_at: Annotated[str, _field("in UTC, as RFC 3339 has it")]
    started_at: _LaterTime
    finished_at: _LaterTime
    url: _Url


class ServiceData(msgspec.Struct, frozen=True, kw_only=True):
    """What lasts on a service: what has begun, and what is over."""

    service: _ServiceName
    service_id: Annotated[int, _field("the number of the service")]
    project_id: Annotated[int, _field("the number of the project")]
    begun: Annotated[list[str], _field("the events that have begun")]
    over: Annotated[list[str], _field("the events that are over")]
    url: _Url


class TestData(msgspec.Struct, frozen=True, kw_only=True):
    """A test of a channel."""

    channel_id: Annotated[int, _field("the number of the channel")]
    name: Annotated[str, _field("the name of the channel")]


Data: TypeAlias = JobData | ServiceData | TestData


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is told: a `title`, and `facts` by name. `url` leads to the row on the dashboard.

    `id` names the row and its state: a message that is sent again has the same one. `data` is what
    a program reads. `is_good` is None for news that is neither good nor bad.
    """

    id: str
    event: str
    at: int
    title: str
    facts: Mapping[str, str]
    url: str | None
    is_good: bool | None
    data: Data


def as_text(message: Message) -> str:
    """Plain text, for e-mail and the like."""
    lines = [f"{name}: {text}" for name, text in _facts(message).items()]
    return "\n".join([_title(message), *lines, *([message.url] if message.url else [])])


def as_slack(message: Message) -> dict[str, Any]:
    """The body for an incoming webhook of Slack. All text is `plain_text`, which has no markup."""
    fields = [_plain(f"{name}\n{text}") for name, text in _facts(message).items()]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(_title(message))}]
    if fields:
        blocks.append({"type": "section", "fields": fields[:10]})
    if message.url:
        button = {"type": "button", "text": _plain("Open in Slipway"), "url": message.url}
        blocks.append({"type": "actions", "elements": [button]})
    # Notifications show this text, and read markup in it.
    escaped = _title(message).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def as_discord(message: Message) -> dict[str, Any]:
    """The body for a webhook of Discord. It may mention nobody."""
    facts = _facts(message).items()
    fields = [{"name": name, "value": _escaped(text), "inline": False} for name, text in facts]
    embed = {
        "title": _escaped(cut(message.title, _DISCORD_TITLE_LENGTH)),
        "color": {True: _GREEN, False: _RED, None: _GREY}[message.is_good],
        "fields": fields,
        **({"url": message.url} if message.url else {}),
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def as_teams(message: Message) -> dict[str, Any]:
    """The body for a workflow of Teams: a card of text runs, which have no markup."""
    style = {True: "good", False: "attention", None: "default"}[message.is_good]
    runs = [_run(_title(message), weight="bolder", size="medium", color=style)]
    runs += [_run(f"{name}: {text}") for name, text in _facts(message).items()]
    open_it = {"type": "Action.OpenUrl", "title": "Open in Slipway", "url": message.url}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": runs,
        "actions": [open_it] if message.url else [],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def as_webhook(message: Message) -> dict[str, Any]:
    """The body for a program, as "Standard Webhooks" recommends it."""
    data = msgspec.to_builtins(message.data)
    return {"type": message.event, "timestamp": rfc3339(message.at), "data": data}


def signed_headers(key: str, message_id: str, body: bytes, *, at: int) -> dict[str, str]:
    """The headers that sign a body. Raises ValueError for a key of another form.

    "Standard Webhooks": HMAC-SHA256 over `id.timestamp.body`, with the decoded key.
    """
    secret = base64.b64decode(key.removeprefix(_KEY), validate=True)
    if not key.startswith(_KEY) or len(secret) < 24:
        raise ValueError(f"a key begins with {_KEY} and has at least 24 bytes in base64")
    signed = hmac.new(secret, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def _title(message: Message) -> str:
    return cut(message.title, _TITLE_LENGTH)


def _facts(message: Message) -> dict[str, str]:
    return {name: cut(text, _FACT_LENGTH) for name, text in message.facts.items() if text}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _run(text: str, **style: str) -> dict[str, Any]:
    run = {"type": "TextRun", "text": text, **style}
    return {"type": "RichTextBlock", "inlines": [run]}
