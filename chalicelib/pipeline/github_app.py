"""Tokens of the GitHub App: each for one repository and one purpose, and for an hour."""

from chalicelib import clock
from chalicelib.aws import kms
from chalicelib.domain.github_app import (
    TOKEN_SECONDS,
    Permissions,
    key_alias,
    shown,
    signed_jwt,
    unsigned_jwt,
)
from chalicelib.errors import Rejected, Unavailable
from chalicelib.known_secrets import Known, recall, remember
from chalicelib.outbound.github_app import create_token
from chalicelib.outbound.http import Later
from chalicelib.settings import settings

# Until when GitHub takes no requests of the App.
_busy_until = 0


def app_token(name: str, permissions: Permissions) -> str:
    """A token for the repository `owner/name`, at most half an hour old.

    This process hides it in all that it shows. Raises Unavailable, as `create_token` does.
    """
    known = recall(_key(name, permissions))
    if known is None or not 0 <= clock.now() - known.read_at < TOKEN_SECONDS:
        return new_token(name, permissions)
    return known.secrets[0]


def new_token(name: str, permissions: Permissions) -> str:
    """Like `app_token`, but always a new token: GitHub may have withdrawn the one before.

    After a limit of GitHub it raises Later without a request, until the time that GitHub gave.
    """
    global _busy_until
    now = clock.now()
    if now < _busy_until:
        raise Later("GitHub's rate limit for the GitHub App is used up", _busy_until - now)
    try:
        token = create_token(app_jwt(), name, permissions)
    except Later as wait:
        _busy_until = now + wait.seconds
        raise
    remember(_key(name, permissions), Known(read_at=now, secrets=(token,)))
    return token


def _key(name: str, permissions: Permissions) -> str:
    return f"github-app:{name}:{shown(permissions)}"


def app_jwt() -> str:
    """A new JWT, by which the App signs in for ten minutes. Raises Unavailable."""
    app = settings().github_app
    if not app:
        raise Unavailable(
            "this installation has no GitHub App any more: set the parameter GithubApp, or give "
            "the channel a secret"
        )
    unsigned = unsigned_jwt(app, now=clock.now())
    try:
        signature = kms.sign(key_alias(settings().table_prefix), unsigned.encode())
    except (Rejected, Unavailable) as trouble:
        raise Unavailable(
            f"the key of the GitHub App cannot sign: {trouble.detail}. make github-app creates it",
            code="github_app_key_unusable",
        ) from trouble
    return signed_jwt(unsigned, signature)
