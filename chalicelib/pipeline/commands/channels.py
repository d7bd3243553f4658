"""Creating, changing and deleting channels. A channel names its secret and does not hold it."""

from collections.abc import Mapping
from typing import Any

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.channels import MOST_CHANNELS, ChannelKind, channel_path
from chalicelib.domain.credentials import is_below
from chalicelib.errors import Conflict, Forbidden
from chalicelib.pipeline.retries import retry_on_conflict
from chalicelib.settings import settings
from chalicelib.store.channels import forget_channels, get_channel, list_channels
from chalicelib.store.claims import next_number
from chalicelib.store.history import record
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.models import Channel
from chalicelib.store.writes import Write, change, commit, create, remove


def create_channel(
    *,
    project_id: int | None,
    kind: ChannelKind,
    name: str,
    secret: str,
    actor: str,
    idempotency_key: IdempotencyKey | None,
) -> Channel:
    """Create a channel of a project, or of all projects.

    Raises Forbidden (secret_not_allowed) for a secret of another project, and Conflict
    (too_many_channels).
    """
    _require_own(project_id, secret)
    if len(list_channels(limit=MOST_CHANNELS, before=None).rows) >= MOST_CHANNELS:
        raise Conflict(
            f"there are {MOST_CHANNELS} channels already; delete one first",
            code="too_many_channels",
        )
    channel = Channel(
        next_number("channels"),
        project_id=project_id,
        kind=kind,
        name=name,
        secret=secret,
        created_by=actor,
        created_at=clock.now(),
    )
    details = {"kind": str(kind), "name": name, "secret": secret}
    commit(
        create(channel),
        _audit(channel, "channel.created", actor, details),
        *record_key(idempotency_key, channel.id),
    )
    forget_channels()
    return channel


def update_channel(channel: Channel, changes: Mapping[str, Any], *, actor: str) -> Channel:
    """Change attributes of a channel, and return its new row.

    Raises Forbidden (secret_not_allowed) and NotFound.
    """
    if "secret" in changes:
        _require_own(channel.project_id, changes["secret"])

    def write() -> Channel:
        fresh = get_channel(channel.id)
        before = {name: getattr(fresh, name) for name in changes}
        after = {name: value for name, value in changes.items() if before[name] != value}
        if after:
            details = {"before": {name: before[name] for name in after}, "after": after}
            commit(change(fresh, **after), _audit(fresh, "channel.updated", actor, details))
        return fresh

    changed = retry_on_conflict(write)
    forget_channels()
    return changed


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


def _require_own(project_id: int | None, secret: str) -> None:
    path = channel_path(settings().table_prefix, project_id)
    if not is_below(path, secret):
        raise Forbidden(
            f"this channel can use only secrets below {path}, not {secret}",
            code="secret_not_allowed",
            field="secret",
        )


def _audit(channel: Channel, action: str, actor: str, details: dict[str, Any]) -> Write:
    return record(
        f"channel-{channel.id}",
        action,
        at=clock.now(),
        actor=actor,
        project_id=channel.project_id,
        **details,
    )
