"""Tokens as texts: `slw_`, 43 characters that carry 256 random bits, and 6 that check them, so that
a mistyped token costs no read. Nobody guesses 256 bits, so their SHA-256 needs no salt.
"""

import hashlib
import re
import secrets
import zlib
from enum import StrEnum

_PREFIX = "slw_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM_LENGTH = 6
_TOKEN = re.compile(r"slw_[A-Za-z0-9_-]{43}[A-Za-z0-9]{6}", re.ASCII)


class Role(StrEnum):
    """What a token may do; each may also do what those before it may."""

    VIEWER = "viewer"  # reads
    DEPLOYER = "deployer"  # builds, deploys, rolls back, cancels
    ADMIN = "admin"  # creates and changes projects, services and tokens


def new_token() -> str:
    """A token that nobody knows yet."""
    body = _PREFIX + secrets.token_urlsafe(32)
    return body + _checksum(body)


def is_token(text: str) -> bool:
    """Whether `text` is a whole token, checksum included; not whether anybody accepts it."""
    body, checksum = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    return _TOKEN.fullmatch(text) is not None and _checksum(body) == checksum


def digest(token: str) -> str:
    """All of a token that is ever kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
