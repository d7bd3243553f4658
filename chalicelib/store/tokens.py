"""Tokens: rows that know a secret by its SHA-256, and by a number that may be shown."""

import logging
from typing import NamedTuple

from pynamodb.exceptions import PynamoDBException

from chalicelib import budget, clock
from chalicelib.domain.tokens import Role, digest, is_token, new_token
from chalicelib.errors import InvalidInput, NotFound, Unavailable
from chalicelib.store.claims import claim, next_number, owner_of
from chalicelib.store.history import record
from chalicelib.store.models import Claim, Token
from chalicelib.store.reads import Page, find, page
from chalicelib.store.writes import ConditionFailed, commit, create, remove

logger = logging.getLogger("slipway")

# How exactly `last_used_at` is kept: a token costs one write an hour, not one a request.
USED_EVERY = 3600


class NewToken(NamedTuple):
    """A token's row, and its secret, which is kept nowhere."""

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
    """Accept `token`, or a new one, from now on.

    Raises InvalidInput for a given token that is not one, checksum included.
    """
    secret = token or new_token()
    if not is_token(secret):
        raise InvalidInput("not a token: slw_, 43 random characters and their checksum")
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
        expires_at=clock.rfc3339(expires_at),
    )
    commit(create(row), claim(subject, row.id), trail)
    return NewToken(row, secret)


def get_token(number: int) -> Token:
    """The token of this number as it is now; raises NotFound."""
    key = owner_of(_subject(number))
    row = find(Token, key) if key else None
    if row is None:
        raise _missing(number)
    return row


def list_tokens(*, limit: int, before: int | None) -> Page[Token]:
    """A page of the tokens, newest first."""
    return page(Token.all_index, "y", Token.number, limit=limit, before=before)


def revoke_token(row: Token, *, actor: str) -> None:
    """Refuse a token from the next request on; raises NotFound where somebody was faster."""
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
        # Being used changes the row; that it is there is what its claim says.
        commit(remove(row, versioned=False), remove(number), trail)
    except ConditionFailed as lost:
        raise _missing(row.number) from lost


def note_use(row: Token) -> None:
    """Write when a token was used last, unless that is known well enough.

    Nothing depends on it: where it cannot be written, the request goes on.
    """
    now = clock.now()
    if now - (row.last_used_at or 0) < USED_EVERY:
        return
    try:
        budget.check()
        row.update(
            actions=[Token.last_used_at.set(now)],
            condition=Token.id.exists(),
            add_version_condition=False,
        )
    except (PynamoDBException, Unavailable) as error:
        logger.warning("the use of token %s was not noted: %s", row.number, error)


def _subject(number: int) -> str:
    return f"token-{number}"


def _missing(number: int) -> NotFound:
    return NotFound(f"there is no token {number}")
