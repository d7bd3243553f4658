"""Token rows. The key is the SHA-256 of the secret; the number may be shown."""

import logging
from typing import NamedTuple

from pynamodb.exceptions import PynamoDBException

from chalicelib import budget, clock
from chalicelib.domain.timing import rfc3339
from chalicelib.domain.tokens import Role, digest, is_token, new_token
from chalicelib.errors import InvalidInput, NotFound, Unavailable
from chalicelib.store.claims import claim, next_number, owner_of
from chalicelib.store.history import record
from chalicelib.store.models import LISTED, Claim, Token
from chalicelib.store.reads import Page, find, page
from chalicelib.store.schema import check_schema
from chalicelib.store.writes import ConditionFailed, commit, create, remove

logger = logging.getLogger("slipway")

# The precision of `last_used_at` in seconds: one write an hour, not one a request.
USED_EVERY = 3600


class NewToken(NamedTuple):
    """A token's row, and its secret, which is not stored."""

    row: Token
    secret: str


def create_token(
    name: str,
    role: Role,
    *,
    created_by: str = "operator",
    project_id: int | None = None,
    service_id: int | None = None,
    expires_at: int | None = None,
    token: str | None = None,
) -> NewToken:
    """Create the row of a new token, or of `token` if it is given.

    Raises InvalidInput if `token` has the wrong form or checksum.
    """
    secret = token or new_token()
    if not is_token(secret):
        raise InvalidInput("a token must be slw_, 43 random characters and their checksum")
    now = clock.now()
    row = Token(
        digest(secret),
        number=next_number("tokens"),
        name=name,
        role=role,
        project_id=project_id,
        service_id=service_id,
        created_by=created_by,
        created_at=now,
        expires_at=expires_at,
    )
    subject = _subject(row.number)
    trail = record(
        subject,
        "token.created",
        at=now,
        actor=created_by,
        name=name,
        role=role,
        for_project=project_id,
        for_service=service_id,
        expires_at=rfc3339(expires_at),
    )
    commit(create(row), claim(subject, row.id), trail)
    return NewToken(row, secret)


def get_token(number: int) -> Token:
    """The token with this number, by a consistent read; raises NotFound."""
    key = owner_of(_subject(number))
    row = find(Token, key) if key else None
    if row is None:
        raise _missing(number)
    return row


def list_tokens(*, limit: int, before: int | None) -> Page[Token]:
    """A page of the tokens, newest first."""
    return page(Token.all_index, LISTED, Token.number, limit=limit, before=before)


def revoke_token(row: Token, *, actor: str) -> None:
    """Delete a token, so that the next request with it fails; raises NotFound if it is gone."""
    subject = _subject(row.number)
    number = find(Claim, subject)
    if number is None:
        raise _missing(row.number)
    trail = record(
        subject,
        "token.revoked",
        at=clock.now(),
        actor=actor,
        name=row.name,
    )
    try:
        # Any version of the row: each use changes it. The claim proves that the token exists.
        commit(remove(row, versioned=False), remove(number), trail)
    except ConditionFailed as failed:
        raise _missing(row.number) from failed


def note_use(row: Token) -> None:
    """Store when a token was last used, at most once an hour.

    A failure is only logged: the request must not fail because of it.
    """
    now = clock.now()
    if now - (row.last_used_at or 0) < USED_EVERY:
        return
    try:
        check_schema()
        budget.check()
        row.update(
            actions=[Token.last_used_at.set(now)],
            condition=Token.id.exists(),
            add_version_condition=False,
        )
    except (PynamoDBException, Unavailable) as error:
        logger.warning("the use of token %s was not recorded: %s", row.number, error)


def _subject(number: int) -> str:
    return f"token-{number}"


def _missing(number: int) -> NotFound:
    return NotFound(f"there is no token {number}")
