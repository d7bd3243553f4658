"""The target of a rollback of each release."""

from typing import Protocol


class Release(Protocol):
    """The attributes of a deployment that the rule reads."""

    @property
    def number(self) -> int: ...

    @property
    def fingerprint(self) -> str | None: ...

    @property
    def rollback_to(self) -> int | None: ...


def rollback_target(
    release: Release, *, replaced: Release | None, restored: Release | None
) -> int | None:
    """The number of the release that a rollback of `release` restores; None if there is none.

    `replaced` is the release that ran before. If `release` is a rollback, `restored` is the release
    that it restored, and the target is that of `restored`: a second rollback goes further back
    and does not toggle. A replaced release with the same fingerprint (image and definition) is
    skipped.
    """
    if restored is not None:
        return restored.rollback_to
    if replaced is None:
        return None
    if replaced.fingerprint == release.fingerprint:
        return replaced.rollback_to
    return replaced.number
