"""Channels: where it is told what happens to builds and deployments."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib import access
from chalicelib.access import (
    Principal,
    load_channel,
    load_project,
    load_service,
    require_unrestricted,
)
from chalicelib.api import views
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import CHANNEL_PROJECT, CURSOR, LIMIT, Id
from chalicelib.domain.channel_kinds import KindOfChannel, kinds_of_channels
from chalicelib.domain.channels import ChannelKind, ChannelSecret, Events, Target
from chalicelib.domain.fields import Rule, given, partial
from chalicelib.domain.names import DisplayName
from chalicelib.domain.patterns import Branches
from chalicelib.domain.telling import USUAL_EVENTS, Event
from chalicelib.domain.timing import rfc3339
from chalicelib.domain.tokens import Role
from chalicelib.errors import NotFound
from chalicelib.pipeline.commands import channels
from chalicelib.settings import settings
from chalicelib.store import models
from chalicelib.store.idempotency import IdempotencyKey

routes = Routes(__name__)


class _ChannelSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: DisplayName
    secret: ChannelSecret | None = None
    target: Target | None = None
    events: Events = ()
    branches: Branches = ()


class NewChannel(_ChannelSettings, kw_only=True, forbid_unknown_fields=True):
    """A channel to create. It is told of one service, of a project with `project_id`, or of all.

    Kinds `sns` and `eventbridge` have a `target`, and all others a `secret`. Kind `github` may be
    without one: then it uses the GitHub App of the installation.
    """

    kind: Annotated[
        ChannelKind,
        Meta(
            description="github: statuses of commits, and deployments; slack, discord and teams: "
            "an incoming webhook; webhook: signed as Standard Webhooks says; sns: a topic; "
            "eventbridge: an event bus"
        ),
        Rule(explain=lambda _: f"kind must be one of {', '.join(ChannelKind)}"),
    ]
    # Null would be all projects: a script that finds no id must not make such a channel.
    project_id: Id | UnsetType = UNSET
    service_id: Id | UnsetType = UNSET


ChannelChanges = partial(
    "ChannelChanges", _ChannelSettings, "Fields to change. Omitted fields keep their values."
)


class Channel(msgspec.Struct, kw_only=True):
    """A channel. `failing_since` is null while its receiver answers well, and else `trouble` says
    why it does not. After a day it is switched off (`off_since`), and told nothing any more until
    a test of it succeeds. `tested_at` is the end of its last test. `project_id` is null if it is
    told of all projects.
    """

    id: int
    kind: ChannelKind
    name: str
    project_id: int | None
    service_id: int | None
    secret: str | None
    target: str | None
    events: list[Event]
    branches: list[str]
    failing_since: str | None
    trouble: str | None
    off_since: str | None
    tested_at: str | None
    created_by: str
    created_at: str | None


class ChannelKinds(msgspec.Struct, kw_only=True):
    """The kinds of channels, and the events that a channel can be told. One that names no events
    is told the `usual_events`.
    """

    items: list[KindOfChannel]
    events: list[Event]
    usual_events: list[Event]


def _created(channel: models.Channel) -> Reply:
    return Reply(_shown(channel), location=f"/v1/channels/{channel.id}")


@routes.endpoint(
    "POST",
    "/v1/channels",
    role=Role.ADMIN,
    body=NewChannel,
    status=201,
    answer=Channel,
    repeat=lambda caller, number: _created(load_channel(caller, number)),
    documented=Documented(errors=(404, 409)),
)
def create_channel(
    caller: Principal, body: NewChannel, idempotency_key: IdempotencyKey | None
) -> Reply:
    """Create a channel. A function that runs already tells it within half a minute."""
    require_unrestricted(caller)
    values = given(body)
    project, service = values.pop("project_id", None), values.pop("service_id", None)
    if service is not None:
        row = load_service(caller, service)
        if project not in {None, row.project_id}:
            raise NotFound(
                f"there is no service {service} in project {project}", field="service_id"
            )
        project, values = row.project_id, {**values, "service_id": row.id}
    elif project is not None:
        load_project(caller, project)
    made = channels.create_channel(
        values, project_id=project, actor=caller.actor, idempotency_key=idempotency_key
    )
    return _created(made)


@routes.endpoint(
    "GET",
    "/v1/channels",
    role=Role.ADMIN,
    query=(LIMIT, CURSOR),
    answer=views.Page[Channel],
    is_tagged=True,
)
def list_channels(caller: Principal, limit: int, cursor: int | None) -> views.Page[Channel]:
    """List channels, newest first."""
    found = access.list_channels(caller, limit=limit, before=cursor)
    return views.page(found.rows, found.before, _shown)


@routes.endpoint(
    "GET",
    "/v1/channels/kinds",
    role=Role.ADMIN,
    query=(CHANNEL_PROJECT,),
    answer=ChannelKinds,
    documented=Documented(errors=(403, 404)),
)
def list_channel_kinds(caller: Principal, project_id: int | None) -> ChannelKinds:
    """List the kinds of channels: what each needs, and the command that creates it."""
    require_unrestricted(caller)
    if project_id is not None:
        load_project(caller, project_id)
    has_app = bool(settings().github_app)
    return ChannelKinds(
        items=kinds_of_channels(settings().table_prefix, project_id, has_app=has_app),
        events=list(Event),
        usual_events=[event for event in Event if event in USUAL_EVENTS],
    )


@routes.endpoint(
    "GET", "/v1/channels/{channel_id}", role=Role.ADMIN, answer=Channel, is_tagged=True
)
def get_channel(caller: Principal, channel_id: int) -> Channel:
    """Show a channel."""
    return _shown(load_channel(caller, channel_id))


@routes.endpoint(
    "PATCH",
    "/v1/channels/{channel_id}",
    role=Role.ADMIN,
    body=ChannelChanges,
    answer=Channel,
    documented=Documented(errors=(409,)),
)
def update_channel(caller: Principal, channel_id: int, body: msgspec.Struct) -> Channel:
    """Change a channel."""
    channel = load_channel(caller, channel_id)
    return _shown(channels.update_channel(channel, given(body), actor=caller.actor))


@routes.endpoint("DELETE", "/v1/channels/{channel_id}", role=Role.ADMIN, status=204)
def delete_channel(caller: Principal, channel_id: int) -> None:
    """Delete a channel. It is told nothing any more."""
    channels.delete_channel(load_channel(caller, channel_id), actor=caller.actor)


@routes.endpoint(
    "POST", "/v1/channels/{channel_id}/test", role=Role.ADMIN, status=202, answer=Channel
)
def test_channel(caller: Principal, channel_id: int) -> Reply:
    """Test a channel: read `tested_at` and `trouble` of the channel a moment later.

    A success switches a channel on again that was off.
    """
    channel = load_channel(caller, channel_id)
    channels.test_channel(channel)
    return Reply(_shown(channel), location=f"/v1/channels/{channel.id}")


def _shown(row: models.Channel) -> Channel:
    return Channel(
        id=row.id,
        kind=ChannelKind(row.kind),
        name=row.name,
        project_id=row.project_id,
        service_id=row.service_id,
        secret=row.secret,
        target=row.target,
        events=[Event(each) for each in sorted(row.events or ())],
        branches=list(row.branches or ()),
        failing_since=rfc3339(row.failing_since),
        trouble=views.text(row.trouble),
        off_since=rfc3339(row.off_since),
        tested_at=rfc3339(row.tested_at),
        created_by=row.created_by,
        created_at=rfc3339(row.created_at),
    )
