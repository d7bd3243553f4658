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
    """The webhook secrets behind a reference, read at most `max_age` seconds ago.

    Raises Unavailable (webhook_secret_unreadable); the log has the reason. If a read fails, older
    secrets are not used: they may have been withdrawn.
    """
    known = _known(reference, _read_webhook_secrets, max_age)
    if not known.secrets:
        raise _unreadable()
    return known.secrets


def read_credential(reference: str, *, max_age: int = KEEP_SECONDS) -> str:
    """The text of a secret that a channel needs, read at most `max_age` seconds ago.

    This process hides it in all that it shows. Raises Unavailable (secret_unreadable).
    """
    known = _known(reference, _read_credential, max_age)
    if not known.secrets:
        raise _no_credential(reference, known.trouble)
    return known.secrets[0]


def _known(reference: str, read: Callable[[str], Known], max_age: int) -> Known:
    """The result of the last read, or of a new one if that is too old.

    A refusal is cached for some seconds, so that invalid deliveries and tellings of many rows do
    not use up AWS's request limits.
    """
    known = recall(reference)
    if known is not None:
        longest = max_age if known.secrets else min(max_age, _KEEP_REFUSAL_SECONDS)
        if 0 <= clock.now() - known.read_at < longest:
            return known
    known = read(reference)
    remember(reference, known)
    return known


def _read_webhook_secrets(reference: str) -> Known:
    try:
        found = parse_secrets(_text_of(reference))
    except (Rejected, Unavailable, ValueError) as error:
        logger.warning("deliveries may be refused: the webhook secret %s %s", reference, error)
        if isinstance(error, Unavailable):
            raise _unreadable() from error
        found = ()
    if is_short(found):
        logger.warning("replace the webhook secret %s: it %s", reference, TOO_SHORT)
    return Known(read_at=clock.now(), secrets=found)


def _read_credential(reference: str) -> Known:
    try:
        text = _text_of(reference).strip()
    except Rejected as refusal:
        return Known(read_at=clock.now(), secrets=(), trouble=refusal.detail)
    except Unavailable as error:
        raise _no_credential(reference, error.detail) from error
    return Known(
        read_at=clock.now(),
        # A URL with a key is hidden as a whole, and each of both alone.
        secrets=(text, *text.split()) if text else (),
        trouble="" if text else "is empty",
    )


def _text_of(reference: str) -> str:
    store, _, name = reference.partition(":")
    return _READERS[store](name)


def _no_credential(reference: str, why: str) -> Unavailable:
    return Unavailable(f"the secret {reference} {why}", code="secret_unreadable")


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
