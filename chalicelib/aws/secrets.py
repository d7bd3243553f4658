"""Secrets of webhooks and channels, read from AWS and kept for some minutes."""

import logging
from collections.abc import Callable, Mapping

from chalicelib import clock
from chalicelib.aws.clients import calling, client
from chalicelib.domain.webhook_secrets import TOO_SHORT, is_short, parse_secrets
from chalicelib.errors import Rejected, Unavailable
from chalicelib.known_secrets import Known, recall, remember

logger = logging.getLogger("slipway")

KEEP_SECONDS = 300  # the time after which a removed secret is refused at the latest
READ_AGAIN_SECONDS = 30  # the minimum time between two reads because of wrong signatures
_KEEP_REFUSAL_SECONDS = 10  # the minimum time between two reads that AWS refuses


def read(reference: str, *, max_age: int = KEEP_SECONDS) -> tuple[str, ...]:
    """The secrets behind a reference, read at most `max_age` seconds ago.

    Raises Unavailable (webhook_secret_unreadable); the log has the reason. If a read fails, older
    secrets are not used: they may have been withdrawn. A refusal is cached for some seconds, so
    that invalid deliveries do not use up AWS's request limits.
    """
    known = recall(reference)
    if known is None or not 0 <= clock.now() - known.read_at < (
        max_age if known.secrets else _KEEP_REFUSAL_SECONDS
    ):
        known = Known(read_at=clock.now(), secrets=_read(reference))
        remember(reference, known)
    if not known.secrets:
        raise _unreadable()
    return known.secrets


def read_credential(reference: str) -> str:
    """The text of a secret that a channel needs, read at most some minutes ago.

    This process hides it in all that it shows. Raises Unavailable (secret_unreadable).
    """
    known = recall(reference)
    if known is None or not 0 <= clock.now() - known.read_at < KEEP_SECONDS:
        store, _, name = reference.partition(":")
        try:
            text = _READERS[store](name).strip()
        except (Rejected, Unavailable) as error:
            raise Unavailable(
                f"the secret {reference} {error.detail}", code="secret_unreadable"
            ) from error
        if not text:
            raise Unavailable(f"the secret {reference} is empty", code="secret_unreadable")
        # A URL with a key is hidden as a whole, and each of both alone.
        known = Known(read_at=clock.now(), secrets=(text, *text.split()))
        remember(reference, known)
    return known.secrets[0]


def _read(reference: str) -> tuple[str, ...]:
    store, _, name = reference.partition(":")
    try:
        found = parse_secrets(_READERS[store](name))
    except (Rejected, Unavailable, ValueError) as error:
        logger.warning("deliveries may be refused: the webhook secret %s %s", reference, error)
        if isinstance(error, Unavailable):
            raise _unreadable() from error
        return ()
    if is_short(found):
        logger.warning("replace the webhook secret %s: it %s", reference, TOO_SHORT)
    return found


def _unreadable() -> Unavailable:
    return Unavailable(
        "a webhook secret cannot be read, so deliveries that it may have signed are refused; the "
        "API's log has the reason. Redeliver later",
        code="webhook_secret_unreadable",
    )


def _read_parameter(name: str) -> str:
    with calling("cannot be read: SSM GetParameter"):
        answer = client("ssm").get_parameter(Name=name, WithDecryption=True)
    value: str = answer["Parameter"]["Value"]
    return value


def _read_secret(name: str) -> str:
    with calling("cannot be read: Secrets Manager GetSecretValue"):
        answer = client("secretsmanager").get_secret_value(SecretId=name)
    value: str = answer.get("SecretString", "")  # a binary secret has none
    return value


_READERS: Mapping[str, Callable[[str], str]] = {
    "ssm": _read_parameter,
    "secretsmanager": _read_secret,
}
