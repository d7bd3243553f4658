"""Tokens of the GitHub App: each for one repository and one purpose, and for an hour."""

from collections.abc import Iterator
from contextlib import contextmanager

from chalicelib import clock
from chalicelib.aws import kms
from chalicelib.domain.github_app import (
    TOKEN_LIFE,
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

    Raises Unavailable, as `create_token` and `signed_in` do.
    """
    now = clock.now()
    with signed_in() as jwt:
        token = create_token(jwt, name, permissions)
    remember(
        _key(name, permissions), Known(read_at=now, secrets=(token,), ends_at=now + TOKEN_LIFE)
    )
    return token


@contextmanager
def signed_in() -> Iterator[str]:
    """A new JWT for requests of the App. It is valid for ten minutes.

    GitHub limits all requests of the App together. If one of them raises Later, this raises Later
    without a request until the time that GitHub gave. Also raises Unavailable.
    """
    global _busy_until
    wait = _busy_until - clock.now()
    if wait > 0:
        raise Later("GitHub's rate limit for the GitHub App is used up", wait)
    try:
        yield _app_jwt()
    except Later as limit:
        _busy_until = clock.now() + limit.seconds
        raise


def _key(name: str, permissions: Permissions) -> str:
    return f"github-app:{name}:{shown(permissions)}"


def _app_jwt() -> str:
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
