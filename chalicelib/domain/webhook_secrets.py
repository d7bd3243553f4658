"""Webhook secrets: their text, references to them, and signatures.

A text contains one secret, or two with white space between them while the secret is replaced. A
reference, `ssm:<parameter>` or `secretsmanager:<secret>`, names such a text in AWS.
The grammars of the names are from PutParameter and CreateSecret in AWS's API references.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule
from chalicelib.domain.regex import regex

# A shorter secret can be guessed from one signed delivery, without asking Slipway.
MIN_SECRET_LENGTH = 16
TOO_SHORT = f"has fewer than {MIN_SECRET_LENGTH} characters"
_MAX_LENGTH = 500
_REGION_AND_ACCOUNT = r"[a-z0-9-]{1,30}:[0-9]{12}"
_PARAMETER = r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*"
_REFERENCE = regex(
    rf"ssm:(?:/?{_PARAMETER}|arn:aws[a-z-]*:ssm:{_REGION_AND_ACCOUNT}:parameter/{_PARAMETER})"
    rf"|secretsmanager:(?:arn:aws[a-z-]*:secretsmanager:{_REGION_AND_ACCOUNT}:secret:)?"
    r"[A-Za-z0-9/_+=.@-]+",
    re.ASCII,
)
# The reference to a service's own secret: no ARN, and no part that begins with a dot.
_OWN = (
    r"ssm:/[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+"
    r"|secretsmanager:[A-Za-z0-9_-]+(?:/[A-Za-z0-9_+=@-][A-Za-z0-9_+=.@-]*)+"
)
# What else is below the prefix, and what reads it.
_OF_OTHERS = {"git": "builds", "build": "builds", "task": "tasks", "tell": "channels"}
_ADDRESS = regex(r"(?:ssm|secretsmanager|arn):|\{", re.IGNORECASE)
# GitHub: "Validating webhook deliveries".
_SIGNATURE = regex(r"sha256=[0-9a-f]{64}", re.ASCII)


class Signers(msgspec.Struct, frozen=True):
    """The secrets that signed a delivery: the installation's, or services' own, as references."""

    installation: bool = False
    own: frozenset[str] = frozenset()

    def may_start(self, own: str | None) -> bool:
        """Whether the delivery may start builds of a service; `own` is its own secret, or None."""
        return self.installation if own is None else own in self.own


def is_reference(text: str) -> bool:
    """Whether `text` is a reference to a secret, and not a secret."""
    return _REFERENCE.fullmatch(text) is not None


def parse_secrets(text: str) -> tuple[str, ...]:
    """The secrets in `text`: two if it has exactly two words, otherwise the whole text.

    Raises ValueError for an empty text. Also for a reference, well formed or not, and for a JSON
    object: others could guess such a secret. The error does not repeat the text.
    """
    words = text.split()
    if not words:
        raise ValueError("must hold a secret")
    if any(_ADDRESS.match(word) for word in words):
        raise ValueError("must hold the secret as plain text, not as JSON and not as a reference")
    return tuple(words) if len(words) == 2 else (text.strip(),)


def is_short(secrets: Iterable[str]) -> bool:
    """Whether one of `secrets` has fewer characters than a new secret must have."""
    return any(len(secret) < MIN_SECRET_LENGTH for secret in secrets)


def is_signature(text: str) -> bool:
    """Whether `text` has the form of an X-Hub-Signature-256 header."""
    return _SIGNATURE.fullmatch(text) is not None


def is_signed(body: bytes, signature: str, secrets: Iterable[str]) -> bool:
    """Whether one of `secrets` signed `body`; compared in constant time."""
    # Compare bytes: compare_digest raises for text that is not ASCII.
    sent = signature.encode(errors="replace")
    return any(hmac.compare_digest(sent, _sign(body, secret)) for secret in secrets)


def _sign(body: bytes, secret: str) -> bytes:
    key = secret.encode(errors="surrogateescape")  # the bytes of the environment variable
    return b"sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest().encode()


def _below_prefix(value: str, installation: Installation) -> str:
    """Only secrets below the prefix are allowed, but none of builds, tasks or the installation.

    The policy of the API's function has the same paths: it cannot read what is refused here.
    """
    prefix = installation.table_prefix
    name = value.partition(":")[2].removeprefix("/")
    if not name.startswith(f"{prefix}/"):
        raise ValueError(
            f"webhook_secret must be a reference, ssm:/{prefix}/… or secretsmanager:{prefix}/…, "
            "not the secret itself"
        )
    for path, users in _OF_OTHERS.items():
        if name.startswith(f"{prefix}/{path}/"):
            raise ValueError(f"secrets below {prefix}/{path}/ are only for {users}")
    if name == f"{prefix}/webhook":
        raise ValueError("this is the installation's own secret; to use it, omit webhook_secret")
    return value


OwnSecretReference = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{_OWN}){END}",
        max_length=_MAX_LENGTH,
        description=(
            "a reference to the service's own webhook secret, ssm:/<prefix>/… or "
            "secretsmanager:<prefix>/…, not the secret itself. The prefix is the installation's "
            "TABLE_PREFIX. Only deliveries signed with the secret start builds of the service"
        ),
        extra_json_schema={"format": "secret-reference"},
    ),
    Rule(normal=_below_prefix),
]
