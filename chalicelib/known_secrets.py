"""The secrets that this process has read or made, so that it can hide them in its output.

This module reads no secret from AWS: `aws.secrets` does, and stores the result here.
"""

from collections.abc import Mapping
from itertools import chain
from threading import Lock

import msgspec

from chalicelib.domain.webhook_secrets import is_reference, parse_secrets
from chalicelib.settings import settings

# Of the results without a secret. A caller may name any number of references.
_MAX_REFUSALS = 100
_LOCK = Lock()


class Known(msgspec.Struct, frozen=True):
    """The secrets behind a reference and the time of the read, in seconds since 1970.

    They are empty if AWS refused the read or if there is no secret; `trouble` may say why. From
    `ends_at` on the secrets are of no use to anybody; None if they do not end by themselves.
    """

    secrets: tuple[str, ...]
    read_at: int
    trouble: str = ""
    ends_at: int | None = None

    def __repr__(self) -> str:
        return f"Known(read_at={self.read_at})"


# Replaced, never changed: the same mapping always has the same secrets.
_known: Mapping[str, Known] = {}


class _Sorted(msgspec.Struct, frozen=True):
    """All secrets of an installation's `text` and of the `known` results."""

    text: str
    known: Mapping[str, Known]
    secrets: tuple[str, ...]


# Every text that the API shows asks for the secrets, and they seldom change.
_newest = _Sorted("", _known, ())


def recall(reference: str) -> Known | None:
    """The last result for a reference, of any age."""
    return _known.get(reference)


def remember(reference: str, known: Known) -> None:
    """Store the result for a reference.

    A secret that ends by itself is kept until then, also after a newer one of the same reference.
    Of results without a secret the oldest are dropped.
    """
    global _known
    with _LOCK:
        kept = dict(_known)
        before = kept.pop(reference, None)
        if before is not None and before.ends_at is not None:
            kept[f"{reference} until {before.ends_at}"] = before
        refused = [name for name, each in kept.items() if not each.secrets]
        ended = [name for name, each in kept.items() if _has_ended(each, known.read_at)]
        for name in {*refused[:-_MAX_REFUSALS], *ended}:
            del kept[name]
        _known = {**kept, reference: known}


def _has_ended(known: Known, now: int) -> bool:
    return known.ends_at is not None and known.ends_at <= now


def known_secrets() -> tuple[str, ...]:
    """All secrets that this process knows: those read so far, and the installation's."""
    global _newest
    newest, text, known = _newest, settings().webhook_secret, _known
    if newest.text is not text or newest.known is not known:
        newest = _newest = _Sorted(text, known, _secrets_of(text, known))
    return newest.secrets


def _secrets_of(text: str, known: Mapping[str, Known]) -> tuple[str, ...]:
    installation = parse_secrets(text) if text and not is_reference(text) else ()
    read = chain.from_iterable(each.secrets for each in known.values())
    return tuple(sorted({*installation, *read}))
