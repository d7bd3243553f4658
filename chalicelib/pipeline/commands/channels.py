"""Creating, changing and deleting channels. A channel names its secret and does not hold it."""

from collections.abc import Mapping
from typing import Any

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.channels import (
    ALL_STATES,
    MOST_CHANNELS,
    OWN,
    ChannelKind,
    channel_path,
)
from chalicelib.domain.credentials import is_below
from chalicelib.domain.telling import Event
from chalicelib.errors import Conflict, Forbidden, InvalidInput
from chalicelib.pipeline.retries import retry_on_conflict
from chalicelib.settings import settings
from chalicelib.store.channels import forget_channels, get_channel, list_channels
from chalicelib.store.claims import next_number
from chalicelib.store.history import record
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.models import Channel
from chalicelib.store.writes import Write, change, commit, create, remove


def create_channel(
    values: Mapping[str, Any],
    *,
    project_id: int | None,
    actor: str,
    idempotency_key: IdempotencyKey | None,
) -> Channel:
    """Create a channel of a project, or of all projects, with `values` as attributes.

    Raises InvalidInput for values that do not fit its kind, Forbidden (secret_not_allowed,
    target_not_allowed) for what belongs to others, and Conflict (too_many_channels).
    """
    _check(values, project_id)
    if len(list_channels(limit=MOST_CHANNELS, before=None).rows) >= MOST_CHANNELS:
        raise Conflict(
            f"there are {MOST_CHANNELS} channels already; delete one first",
            code="too_many_channels",
        )
    channel = Channel(
        next_number("channels"),
        project_id=project_id,
        created_by=actor,
        created_at=clock.now(),
        **_stored(values),
    )
    commit(
        create(channel),
        _audit(channel, "channel.created", actor, dict(values)),
        *record_key(idempotency_key, channel.id),
    )
    forget_channels()
    return channel


def update_channel(channel: Channel, changes: Mapping[str, Any], *, actor: str) -> Channel:
    """Change attributes of a channel, and return its new row.

    Raises Conflict for what does not fit its kind, and Forbidden like `create_channel`.
    """

    def write() -> Channel:
        fresh = get_channel(channel.id)
        try:
            _check({"kind": fresh.kind, **_shown(fresh), **changes}, fresh.project_id)
        except InvalidInput as refusal:
            # The change alone is valid. The kind of the channel does not allow it.
            raise Conflict(refusal.detail, code=refusal.code, field=refusal.field) from refusal
        before = _shown(fresh)
        after = {name: value for name, value in changes.items() if before[name] != value}
        if after:
            details = {"before": {name: before[name] for name in after}, "after": after}
            audit = _audit(fresh, "channel.updated", actor, details)
            commit(change(fresh, **_stored(after)), audit)
        return fresh

    changed = retry_on_conflict(write)
    forget_channels()
    return changed


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as attributes of the row, which has None instead of an empty list."""
    events, branches = values.get("events"), values.get("branches")
    return {
        **values,
        **({"events": {str(each) for each in events or ()} or None} if "events" in values else {}),
        **({"branches": list(branches or ()) or None} if "branches" in values else {}),
    }


def _shown(channel: Channel) -> dict[str, Any]:
    """The attributes that a request may change, as it names them."""
    return {
        "name": channel.name,
        "secret": channel.secret,
        "target": channel.target,
        "events": tuple(Event(each) for each in sorted(channel.events or ())),
        "branches": tuple(channel.branches or ()),
    }


def _check(values: Mapping[str, Any], project_id: int | None) -> None:
    """Raise InvalidInput or Forbidden for values that do not fit the kind or the project."""
    kind = ChannelKind(values["kind"])
    needed, other = ("target", "secret") if kind in OWN else ("secret", "target")
    by_app = kind == ChannelKind.GITHUB and values.get("secret") is None
    if by_app and not settings().github_app:
        raise InvalidInput(
            "a channel of kind github needs secret, the name of a secret with a token. Without it, "
            "it uses the GitHub App, and this installation has none: create one with make "
            "github-app",
            code="missing_field",
            field="secret",
        )
    if values.get(needed) is None and not by_app:
        raise InvalidInput(
            f"a channel of kind {kind} needs {needed}", code="missing_field", field=needed
        )
    if values.get(other) is not None:
        raise InvalidInput(
            f"a channel of kind {kind} has no {other}", code=f"invalid_{other}", field=other
        )
    if kind in ALL_STATES and values.get("events"):
        raise InvalidInput(
            f"a channel of kind {kind} is told every event; leave events out",
            code="invalid_events",
            field="events",
        )
    prefix = settings().table_prefix
    if kind in OWN:
        _check_target(kind, str(values["target"]), prefix)
    elif not by_app and not is_below(channel_path(prefix, project_id), values["secret"]):
        raise Forbidden(
            f"this channel can use only secrets below {channel_path(prefix, project_id)}, not "
            f"{values['secret']}",
            code="secret_not_allowed",
            field="secret",
        )


def _check_target(kind: ChannelKind, target: str, prefix: str) -> None:
    is_arn = target.startswith("arn:")
    if is_arn != (kind == ChannelKind.SNS):
        raise InvalidInput(
            "target must be "
            + ("the ARN of a topic" if kind == ChannelKind.SNS else "the name of an event bus"),
            code="invalid_target",
            field="target",
        )
    if not target.rpartition(":")[2].startswith(f"{prefix}-"):
        raise Forbidden(
            f"channels can use only topics and buses whose names begin with {prefix}-",
            code="target_not_allowed",
            field="target",
        )


def delete_channel(channel: Channel, *, actor: str) -> None:
    """Delete a channel. What it has not been told, it is not told any more."""

    def write() -> None:
        fresh = get_channel(channel.id)
        commit(remove(fresh), _audit(fresh, "channel.deleted", actor, {"name": fresh.name}))

    retry_on_conflict(write)
    forget_channels()


def test_channel(channel: Channel) -> None:
    """Ask for a test of a channel. Its row gets the result.

    Raises Unavailable if the queue does not answer: then there is no test.
    """
    queue.test_channel(channel.id)


def _audit(channel: Channel, action: str, actor: str, details: dict[str, Any]) -> Write:
    return record(
        f"channel-{channel.id}",
        action,
        at=clock.now(),
        actor=actor,
        project_id=channel.project_id,
        **details,
    )
