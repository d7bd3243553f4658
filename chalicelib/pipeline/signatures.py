"""Verifying deliveries: the installation's secret or a service's own must have signed them."""

from collections.abc import Iterator

from chalicelib.aws import secrets
from chalicelib.domain.webhook_secrets import (
    Signers,
    is_reference,
    is_signature,
    is_signed,
    parse_secrets,
)
from chalicelib.errors import Unauthorized, Unavailable
from chalicelib.settings import settings
from chalicelib.store.claims import followers


def verify(body: bytes, signature: str, *, repository: str | None) -> Signers:
    """Find the secrets that have signed `body`.

    `repository` is the name in the unverified body. The own secrets of its services are tried only
    if the installation's secret did not sign the body. Without any secret every delivery is
    refused: a forgotten variable must not let strangers start builds.

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
    if is_signature(signature):
        if installation and has_signed(installation):
            return Signers(installation=True)
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
    raise Unauthorized("X-Hub-Signature-256 does not fit the body", code="bad_signature")


def _readings(secret: str) -> Iterator[tuple[str, ...]]:
    """The secrets of a setting. For a reference: first the cached ones, then newly read ones."""
    if is_reference(secret):
        yield secrets.read(secret)
        yield secrets.read(secret, max_age=secrets.READ_AGAIN_SECONDS)
    else:
        yield parse_secrets(secret)


def _own_secrets(repository: str | None) -> list[str]:
    """The references to the own secrets of a repository's followers, each once."""
    if repository is None:
        return []
    _, services = followers(repository)
    return sorted({each.webhook_secret for each in services.values() if each.webhook_secret})
