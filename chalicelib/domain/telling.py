"""What channels are told of a job, and when a telling that failed is repeated.

What is told is the state that a job has now, never an event. So a telling that comes late, twice or
after a newer one tells nothing that is out of date.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from chalicelib.domain.statuses import DeploymentStatus

# The schedule tells what the message about a commit has not told by then.
PATIENCE = 60
_LONGEST_PAUSE = 60 * 60
# The state of a release that ran, and that another one has replaced. It is no status.
REPLACED = "replaced"


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a channel knows of a job.

    `state` is the last one that it got, and `id` the receiver's own number of the job. `refused` is
    why the receiver will never take the state. `tries` counts the failures since, and the next
    telling is at `next_at`.
    """

    state: str = ""
    id: int | None = None
    refused: str | None = None
    tries: int = 0
    next_at: int | None = None


def told_of(stored: Mapping[str, Any] | None, channel: int) -> Told:
    """What a channel knows of a job, from the attribute `told` of the job's row."""
    return msgspec.convert((stored or {}).get(str(channel), {}), Told)


def with_told(stored: Mapping[str, Any] | None, channel: int, told: Told) -> dict[str, Any]:
    """The attribute `told` after a telling."""
    return {**(stored or {}), str(channel): msgspec.to_builtins(told)}


def state_of(status: str, *, runs: bool) -> str:
    """The state of a job that is told. `runs` is whether the release of a deployment runs."""
    return REPLACED if status == DeploymentStatus.SUCCESS and not runs else str(status)


def failed(told: Told, *, now: int, wait: int | None) -> Told:
    """`told` after a failure. `wait` are the seconds that the receiver asks for, if it does.

    The pauses double, up to an hour.
    """
    pause = min(PATIENCE * 2**told.tries, _LONGEST_PAUSE) if wait is None else wait
    more = {"tries": min(told.tries + 1, 10)} if wait is None else {}
    return msgspec.structs.replace(told, next_at=now + pause, **more)
