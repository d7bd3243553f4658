"""Whose secret has signed a delivery: the installation's, or one of a service's own."""

from collections.abc import Callable, Iterator

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


def verify(body: bytes, signature: str, *, repository: Callable[[], str | None]) -> Signers:
    """Who signed `body`; asks which `repository` it claims only if the installation did not.

    Without a secret everything is refused: an installation must not build for strangers because a
    variable was forgotten. Raises Unauthorized (bad_signature, webhook_secret_not_configured), and
    Unavailable where no secret fits but one could not be read.
    """
    unread: list[Unavailable] = []

    def fits(secret: str) -> bool:
        try:
            return any(is_signed(body, signature, known) for known in _known(secret))
        except Unavailable as error:
            unread.append(error)
            return False

    installations = settings().webhook_secret
    if is_signature(signature):
        if installations and fits(installations):
            return Signers(installation=True)
        own = frozenset(filter(fits, _own_secrets(repository())))
        if own:
            return Signers(own=own)
    if unread:
        raise unread[0]
    if not installations:
        raise Unauthorized(
            "no webhook secret is configured here, and no service's own fits",
            code="webhook_secret_not_configured",
        )
    raise Unauthorized("X-Hub-Signature-256 does not fit the body", code="bad_signature")


def known_secrets() -> tuple[str, ...]:
    """The secrets that this process knows, so that nothing it shows gives them away.

    None is read for it: builds hold none of them, and nobody has to wait.
    """
    text = settings().webhook_secret
    installations = parse_secrets(text) if text and not is_reference(text) else ()
    return tuple(sorted({*installations, *secrets.remembered()}))


def _known(secret: str) -> Iterator[tuple[str, ...]]:
    """What a setting holds: as it was known, and if that does not fit, as it is now."""
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
