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

from chalicelib.errors import InvalidInput

_MAX_LENGTH = 500
_PLACE = r"[a-z0-9-]{1,30}:[0-9]{12}"
_PARAMETER = r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*"
_REFERENCE = re.compile(
    rf"ssm:(?:/?{_PARAMETER}|arn:aws[a-z-]*:ssm:{_PLACE}:parameter/{_PARAMETER})"
    rf"|secretsmanager:(?:arn:aws[a-z-]*:secretsmanager:{_PLACE}:secret:)?[A-Za-z0-9/_+=.@-]+",
    re.ASCII,
)
# Of a service's own the names alone, and no part that begins with a dot.
_OWN = re.compile(
    r"ssm:/(?P<parameter>[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+)"
    r"|secretsmanager:(?P<secret>[A-Za-z0-9_-]+(?:/[A-Za-z0-9_+=@-][A-Za-z0-9_+=.@-]*)+)",
    re.ASCII,
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


def parse_own_reference(value: object, *, prefix: str, field: str = "webhook_secret") -> str:
    """Read where a service's own secret is kept: `ssm:/<prefix>/…` or `secretsmanager:<prefix>/…`.

    Below `prefix` because that is all that the API may read; not `<prefix>/webhook`, which is the
    installation's, and fits first. The value is not repeated in the error, for it may be a secret.
    Raises InvalidInput (invalid_webhook_secret).
    """
    match = _OWN.fullmatch(value) if isinstance(value, str) and len(value) <= _MAX_LENGTH else None
    name = (match["parameter"] or match["secret"]) if match else ""
    if match is None or not name.startswith(f"{prefix}/"):
        raise _refuse(
            f"say where the secret is kept, ssm:/{prefix}/… or secretsmanager:{prefix}/…, and not "
            "the secret",
            field,
        )
    if name.startswith(f"{prefix}/git/"):
        raise _refuse(f"what is below {prefix}/git/ is for builds to read", field)
    if name == f"{prefix}/webhook":
        raise _refuse(
            "this is the secret of the whole installation; leave it out for a service that has "
            "none of its own",
            field,
        )
    return match[0]


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


def _refuse(detail: str, field: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_webhook_secret", field=field)
