"""Verifying deliveries: the installation's secret or a service's own must have signed them."""

import logging
from collections.abc import Iterator
from functools import cache

from chalicelib.aws import secrets
from chalicelib.domain.pushes import claimed_repository
from chalicelib.domain.webhook_secrets import (
    TOO_SHORT,
    Signers,
    is_reference,
    is_short,
    is_signature,
    is_signed,
    parse_secrets,
)
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.settings import settings
from chalicelib.store.claims import followers

logger = logging.getLogger("slipway")


def verify(body: bytes, signature: str) -> Signers:
    """Find the secrets that have signed `body`.

    The installation's secret is tried first. If it did not sign the body, the repository that the
    body names is read, and the own secrets of its services are tried: such a signature is good only
    for that repository. Without any secret every delivery is refused: a forgotten variable must not
    let strangers start builds.

    Raises Unauthorized (bad_signature, webhook_secret_not_configured), and Unavailable if no secret
    matches but one could not be read.
    """
    unreadable: list[Unavailable] = []

    def has_signed(secret: str) -> bool:
        try:
            return any(is_signed(body, signature, known) for known in _readings(secret))
        except Unavailable as error:
            unreadable.append(error)
            return False

    installation = settings().webhook_secret
    repository = None
    if is_signature(signature):
        if installation and has_signed(installation):
            return Signers(installation=True)
        repository = claimed_repository(body)
        own = frozenset(filter(has_signed, _own_secrets(repository)))
        if own:
            return Signers(own=own)
    if unreadable:
        raise unreadable[0]
    if not installation:
        raise Unauthorized(
            "no webhook secret is configured, and no service's own secret fits",
            code="webhook_secret_not_configured",
        )
    detail = "X-Hub-Signature-256 does not fit the body"
    if not is_signature(signature):
        detail = "the header X-Hub-Signature-256 is missing or malformed: give the webhook a secret"
    elif repository is None:
        # An organisation's ping is such a delivery: GitHub shows this answer to its administrator.
        detail += "; the body names no repository, so no service's own secret was tried"
    raise Unauthorized(detail, code="bad_signature")


def _readings(secret: str) -> Iterator[tuple[str, ...]]:
    """The secrets of a setting. For a reference: first the cached ones, then newly read ones."""
    if is_reference(secret):
        cached = secrets.read(secret)
        yield cached
        again = secrets.read(secret, max_age=secrets.READ_AGAIN_SECONDS)
        if again != cached:
            yield again
    else:
        yield _plain(secret)


@cache
def _plain(text: str) -> tuple[str, ...]:
    """The secrets in the text of WEBHOOK_SECRET; cached, so that the warning appears once."""
    found = parse_secrets(text)
    if is_short(found):
        logger.warning("replace the webhook secret: WEBHOOK_SECRET %s", TOO_SHORT)
    return found


def _own_secrets(repository: str | None) -> list[str]:
    """The references to the own secrets of a repository's followers, each once."""
    if repository is None:
        return []
    _, services = followers(repository)
    return sorted({each.webhook_secret for each in services.values() if each.webhook_secret})
