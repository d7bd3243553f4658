"""The JSON Web Token by which a GitHub App signs in.

GitHub Docs, "Generating a JSON Web Token (JWT) for a GitHub App". The messages are not documented.
They are as users of octokit/auth-app.js and probot/probot reported them.
"""

import base64
import binascii
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from infra.local.github.refusals import DOCS, Refusal
from infra.local.github.state import App

# "The time must be no more than 10 minutes into the future."
MAX_AHEAD = 600
NOT_DECODED = "A JSON web token could not be decoded"


def check_jwt(token: str, app: App | None, now: float) -> None:
    """Raises Refusal (401) unless the app's key signed the token and it is valid now."""
    claims = None if app is None else _claims(token, app)
    if (
        app is None
        or claims is None
        or str(claims.get("iss"))
        not in (
            str(app.number),
            app.client_id,
        )
    ):
        raise _refused(NOT_DECODED)
    issued_at, expires_at = _whole(claims.get("iat")), _whole(claims.get("exp"))
    if issued_at is None or issued_at > now:
        claim = "'Issued at' claim ('iat') must be an Integer representing the time that the"
        raise _refused(f"{claim} assertion was issued")
    if expires_at is None or expires_at <= now:
        claim = "'Expiration time' claim ('exp') must be a numeric value representing the future"
        raise _refused(f"{claim} time at which the assertion expires")
    if expires_at > now + MAX_AHEAD:
        raise _refused("'Expiration time' claim ('exp') is too far in the future")


def _claims(token: str, app: App) -> dict[str, Any] | None:
    """The signed claims, or None if the token is not a JWT that the app signed by RS256."""
    signed, _, signature = token.rpartition(".")
    header, _, claims = signed.partition(".")
    key = load_pem_public_key(app.public_key.encode())
    try:
        algorithm = json.loads(_decoded(header)).get("alg")
        if algorithm != "RS256" or not isinstance(key, RSAPublicKey):
            return None
        key.verify(_decoded(signature), signed.encode(), PKCS1v15(), hashes.SHA256())
        value = json.loads(_decoded(claims))
    except (InvalidSignature, binascii.Error, ValueError, AttributeError):
        return None
    return value if isinstance(value, dict) else None


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _refused(message: str) -> Refusal:
    return Refusal(401, message, document=DOCS)
