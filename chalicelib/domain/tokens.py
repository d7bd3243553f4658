"""API tokens as texts: `slw_`, 43 characters with 256 random bits, and a checksum of 6 characters.

The checksum finds a mistyped token without a read from the database. 256 random bits cannot be
guessed, so the SHA-256 needs no salt.
"""

import hashlib
import re
import secrets
import zlib
from enum import StrEnum

from chalicelib.domain.regex import regex

_PREFIX = "slw_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM_LENGTH = 6
# A token is valid for so many days unless its creator chooses other ones, or none.
DEFAULT_DAYS = 90
MAX_DAYS = 3650
_DAY = 24 * 3600
_TOKEN = regex(r"slw_[A-Za-z0-9_-]{43}[A-Za-z0-9]{6}", re.ASCII)


class Role(StrEnum):
    """The role of a token. Each role includes the rights of those before it."""

    VIEWER = "viewer"  # reads
    DEPLOYER = "deployer"  # builds, deploys, rolls back, cancels
    ADMIN = "admin"  # creates and changes projects, services and tokens


def new_token() -> str:
    """A new random token."""
    body = _PREFIX + secrets.token_urlsafe(32)
    return body + _checksum(body)


def is_token(text: str) -> bool:
    """Whether `text` has the form of a token and the right checksum."""
    body, checksum = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    return _TOKEN.fullmatch(text) is not None and _checksum(body) == checksum


def expiry(days: int | None, *, now: int) -> int | None:
    """When a token that is made now for some days expires; None if it never does."""
    return None if days is None else now + days * _DAY


def digest(token: str) -> str:
    """The SHA-256 of a token. Only this is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
