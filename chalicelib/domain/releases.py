"""The ledger of releases: where a rollback of each goes."""

from typing import Protocol


class Release(Protocol):
    """What the rules need to know of a deployment."""

    @property
    def number(self) -> int: ...

    @property
    def fingerprint(self) -> str | None: ...

    @property
    def rollback_to(self) -> int | None: ...


def rollback_target(
    release: Release, *, replaced: Release | None, restored: Release | None
) -> int | None:
    """Where a rollback of `release` goes once it has succeeded; None where there is nothing before.

    `replaced` is what ran until now. `restored` is what a rollback brought back: it inherits that
    one's target, so that a second rollback walks further back instead of toggling. What is equal
    in image and definition is no step back.
    """
    if restored is not None:
        return restored.rollback_to
    if replaced is None:
        return None
    if replaced.fingerprint == release.fingerprint:
        return replaced.rollback_to
    return replaced.number
