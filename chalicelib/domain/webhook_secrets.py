"""Webhook secrets: how they are written down, where else they may be kept, what they have signed.

Text that holds one secret may hold two while it is being replaced, with white space between them.
A reference, `ssm:<parameter>` or `secretsmanager:<secret>`, stands for text that is kept there. The
names' grammars are those of PutParameter and CreateSecret in AWS's API references.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule

_MAX_LENGTH = 500
_PLACE = r"[a-z0-9-]{1,30}:[0-9]{12}"
_PARAMETER = r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*"
_REFERENCE = re.compile(
    rf"ssm:(?:/?{_PARAMETER}|arn:aws[a-z-]*:ssm:{_PLACE}:parameter/{_PARAMETER})"
    rf"|secretsmanager:(?:arn:aws[a-z-]*:secretsmanager:{_PLACE}:secret:)?[A-Za-z0-9/_+=.@-]+",
    re.ASCII,
)
# The place of a service's own secret: no ARN, and no part that begins with a dot.
_OWN = (
    r"ssm:/[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+"
    r"|secretsmanager:[A-Za-z0-9_-]+(?:/[A-Za-z0-9_+=@-][A-Za-z0-9_+=.@-]*)+"
)
_ADDRESS = re.compile(r"(?:ssm|secretsmanager|arn):|\{", re.IGNORECASE)
# GitHub: "Validating webhook deliveries".
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Signers:
    """Whose secrets have signed a delivery: the installation's, or services' own by reference."""

    installation: bool = False
    own: frozenset[str] = frozenset()

    def may_start(self, own: str | None) -> bool:
        """Whether the delivery starts builds of a service with this secret of its own, or none."""
        return self.installation if own is None else own in self.own


def is_reference(text: str) -> bool:
    """Whether `text` says where a secret is kept, and is not one."""
    return _REFERENCE.fullmatch(text) is not None


def parse_secrets(text: str) -> tuple[str, ...]:
    """The secrets in `text`: two where it has exactly two words, otherwise itself.

    What was meant as an address, or as a JSON object, must not become a secret that others can
    guess. Raises ValueError, which does not repeat the text.
    """
    words = text.split()
    if not words:
        raise ValueError("must hold a secret")
    if any(_ADDRESS.match(word) for word in words):
        raise ValueError("must hold the secret as plain text, not JSON, and not where it is")
    return tuple(words) if len(words) == 2 else (text.strip(),)


def is_signature(text: str) -> bool:
    """Whether `text` could be an X-Hub-Signature-256 at all."""
    return _SIGNATURE.fullmatch(text) is not None


def is_signed(body: bytes, signature: str, secrets: Iterable[str]) -> bool:
    """Whether one of `secrets` has signed the bytes of `body`; compared in constant time."""
    # Bytes, because compare_digest raises on text that is not ASCII.
    sent = signature.encode(errors="replace")
    return any(hmac.compare_digest(sent, _sign(body, secret)) for secret in secrets)


def _sign(body: bytes, secret: str) -> bytes:
    key = secret.encode(errors="surrogateescape")  # the bytes that the environment held
    return b"sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest().encode()


def _below_prefix(value: str, installation: Installation) -> str:
    """The API may read secrets below the prefix only; some of those belong to others."""
    prefix = installation.table_prefix
    name = value.partition(":")[2].removeprefix("/")
    if not name.startswith(f"{prefix}/"):
        raise ValueError(
            f"name where the secret is kept, ssm:/{prefix}/… or secretsmanager:{prefix}/…, and not "
            "the secret"
        )
    if name.startswith(f"{prefix}/git/"):
        raise ValueError(f"secrets below {prefix}/git/ are for builds")
    if name == f"{prefix}/webhook":
        raise ValueError(
            "this is the secret of the whole installation; leave it out for a service that has "
            "no secret of its own"
        )
    return value


OwnSecretReference = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{_OWN}){END}",
        max_length=_MAX_LENGTH,
        description=(
            "the place of a webhook secret of the service's own, ssm:/slipway/… or "
            "secretsmanager:slipway/…, and not the secret; only deliveries signed with it start "
            "builds of the service. The name begins with the installation's TABLE_PREFIX"
        ),
        extra_json_schema={"format": "secret-reference"},
    ),
    Rule(normal=_below_prefix),
]
