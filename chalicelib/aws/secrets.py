"""Webhook secrets that Parameter Store or Secrets Manager keep, read and remembered for a while."""

import logging
from collections.abc import Callable, Mapping

from chalicelib import clock
from chalicelib.aws.clients import calling, client
from chalicelib.domain.webhook_secrets import parse_secrets
from chalicelib.errors import Rejected, Unavailable
from chalicelib.known_secrets import Known, recall, remember

logger = logging.getLogger("slipway")

KEEP_SECONDS = 300  # so long may a secret that was removed still be accepted
READ_AGAIN_SECONDS = 30  # so often may signatures that do not fit cost a read
_AGAIN = 10  # so long is a refusal remembered, and a mended one not noticed


def read(reference: str, *, max_age: int = KEEP_SECONDS) -> tuple[str, ...]:
    """The secrets behind a reference, as they were at most `max_age` seconds ago.

    Raises Unavailable (webhook_secret_unreadable), and the log says why. What was known before is
    no substitute for what cannot be read: it may have been withdrawn. A refusal is remembered for a
    moment, so that junk does not use up what AWS allows in calls.
    """
    known = recall(reference)
    if known is None or not 0 <= clock.now() - known.read_at < (
        max_age if known.secrets else _AGAIN
    ):
        known = Known(read_at=clock.now(), secrets=_read(reference))
        remember(reference, known)
    if not known.secrets:
        raise _unreadable()
    return known.secrets


def _read(reference: str) -> tuple[str, ...]:
    store, _, name = reference.partition(":")
    try:
        return parse_secrets(_READERS[store](name))
    except (Rejected, Unavailable, ValueError) as error:
        logger.warning("deliveries may be refused: the webhook secret %s %s", reference, error)
        if isinstance(error, Unavailable):
            raise _unreadable() from error
        return ()


def _unreadable() -> Unavailable:
    return Unavailable(
        "a webhook secret cannot be read, so nothing is accepted that it may have signed; the "
        "API's log says why. Deliver it again later",
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
    value: str = answer.get("SecretString", "")  # one that is kept as bytes has none
    return value


_READERS: Mapping[str, Callable[[str], str]] = {
    "ssm": _read_parameter,
    "secretsmanager": _read_secret,
}
