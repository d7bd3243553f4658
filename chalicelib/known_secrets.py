"""The webhook secrets that this process knows, so that it can hide them in everything it shows.

Nothing is read from AWS here: `aws.secrets` stores what it has read.
"""

from dataclasses import dataclass, field

from chalicelib.domain.webhook_secrets import is_reference, parse_secrets
from chalicelib.settings import settings

_MAX_REFERENCES = 100


@dataclass(frozen=True)
class Known:
    """The secrets behind a reference, or none where AWS refused them, and when they were read."""

    secrets: tuple[str, ...] = field(repr=False)
    read_at: int


_known: dict[str, Known] = {}


def recall(reference: str) -> Known | None:
    """The last reading of a reference, however old it is."""
    return _known.get(reference)


def remember(reference: str, known: Known) -> None:
    """Store a reading; the oldest one makes room for it."""
    _known.pop(reference, None)
    while len(_known) >= _MAX_REFERENCES:
        del _known[next(iter(_known))]
    _known[reference] = known


def known_secrets() -> tuple[str, ...]:
    """Every secret that this process knows: those read so far, and the installation's own."""
    text = settings().webhook_secret
    installation = parse_secrets(text) if text and not is_reference(text) else ()
    read = (secret for known in list(_known.values()) for secret in known.secrets)
    return tuple(sorted({*installation, *read}))
