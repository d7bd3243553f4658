"""The GitHub App of an installation: its key, its JSON Web Tokens, what its tokens may do."""

import base64
import json
from collections.abc import Mapping
from typing import Any

# The permissions of one installation access token, like {"contents": "read"}.
Permissions = Mapping[str, str]

TELL: Permissions = {"statuses": "write", "deployments": "write"}
CHECKS: Permissions = {"checks": "read", "statuses": "read"}
# Fetches, and the heads of branches.
CONTENTS: Permissions = {"contents": "read"}

# A token ends after an hour (GitHub REST API, "Create an installation access token for an app").
TOKEN_LIFE = 60 * 60
# It is used for half of it, so that a build that begins to fetch has more than 20 minutes.
TOKEN_SECONDS = TOKEN_LIFE // 2
# GitHub allows ten minutes, and recommends a start in the past ("Generating a JSON Web Token (JWT)
# for a GitHub App").
_BEFORE, _AFTER = 60, 9 * 60


def key_alias(prefix: str) -> str:
    """The alias of the App's key in KMS, for the installation with this name prefix."""
    return f"alias/{prefix}-github-app"


def unsigned_jwt(app: str, *, now: int) -> str:
    """The header and the claims of a JWT, as text to sign. `app` is the App's id or client id."""
    claims = {"iat": now - _BEFORE, "exp": now + _AFTER, "iss": app}
    return f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}"


def signed_jwt(unsigned: str, signature: bytes) -> str:
    """The whole JWT."""
    return f"{unsigned}.{_encoded(signature)}"


def shown(permissions: Permissions) -> str:
    """Permissions as text: `contents: read, statuses: write`."""
    return ", ".join(f"{name}: {level}" for name, level in sorted(permissions.items()))


def _part(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(content: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
