"""The webhook secrets that this process has read, so that it can hide them in its output.

This module reads no secret from AWS: `aws.secrets` does, and stores the result here.
"""

from functools import lru_cache
from itertools import chain

import msgspec

from chalicelib.domain.webhook_secrets import is_reference, parse_secrets
from chalicelib.settings import settings

_MAX_REFERENCES = 100


class Known(msgspec.Struct, frozen=True):
    """The secrets behind a reference and the time of the read; empty if AWS refused the read."""

    secrets: tuple[str, ...]
    read_at: int

    def __repr__(self) -> str:
        return f"Known(read_at={self.read_at})"


_known: dict[str, Known] = {}


def recall(reference: str) -> Known | None:
    """The last result for a reference, of any age."""
    return _known.get(reference)


def remember(reference: str, known: Known) -> None:
    """Store the result for a reference; the oldest result is dropped if there are too many."""
    _known.pop(reference, None)
    while len(_known) >= _MAX_REFERENCES:
        del _known[next(iter(_known))]
    _known[reference] = known


def known_secrets() -> tuple[str, ...]:
    """All secrets that this process knows: those read so far, and the installation's."""
    read = tuple(known.secrets for known in list(_known.values()))
    return _sorted(settings().webhook_secret, read)


@lru_cache(maxsize=1)
def _sorted(text: str, read: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    # Every text that the API shows asks for the secrets, and they seldom change.
    installation = parse_secrets(text) if text and not is_reference(text) else ()
    return tuple(sorted({*installation, *chain.from_iterable(read)}))
