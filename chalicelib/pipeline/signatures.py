"""Whose secret has signed a delivery: the installation's, or a service's own."""

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

    `repository` is what the unverified body names; its services' own secrets are tried only if the
    installation's secret does not fit. Without any secret every delivery is refused, so that an
    installation does not build for strangers because a variable was forgotten.

    Raises Unauthorized (bad_signature, webhook_secret_not_configured), and Unavailable where no
    secret fits but one could not be read.
    """
    unread: list[Unavailable] = []

    def fits(secret: str) -> bool:
        try:
            return any(is_signed(body, signature, known) for known in _readings(secret))
        except Unavailable as error:
            unread.append(error)
            return False

    installation = settings().webhook_secret
    if is_signature(signature):
        if installation and fits(installation):
            return Signers(installation=True)
        own = frozenset(filter(fits, _own_secrets(repository)))
        if own:
            return Signers(own=own)
    if unread:
        raise unread[0]
    if not installation:
        raise Unauthorized(
            "no webhook secret is configured, and no service's own secret fits",
            code="webhook_secret_not_configured",
        )
    raise Unauthorized("X-Hub-Signature-256 does not fit the body", code="bad_signature")


def _readings(secret: str) -> Iterator[tuple[str, ...]]:
    """The secrets behind a setting: as they were last read, then as they are now."""
    if is_reference(secret):
        yield secrets.read(secret)
        yield secrets.read(secret, max_age=secrets.READ_AGAIN_SECONDS)
    else:
        yield parse_secrets(secret)


def _own_secrets(repository: str | None) -> list[str]:
    """References to the own secrets of the services that follow a repository, each once."""
    if repository is None:
        return []
    _, services = followers(repository)
    return sorted({each.webhook_secret for each in services.values() if each.webhook_secret})
