"""Cleaning build output, which is hostile text: remove control sequences, hide secrets.

Three kinds of secrets are hidden: known secrets in every encoding and across line breaks, private
keys of several lines, and text with the form of a token. The time is linear in the length of the
text.

Control sequences are those of ECMA-48, section 5. The forms of tokens are from their issuers'
documentation (AWS: "Understanding unique ID prefixes"; GitHub: "About authentication to GitHub";
GitLab: "Token overview"; Slack: "Token types"; npm: "About access tokens"; PyPI: "API tokens";
RFC 7519 for JSON Web Tokens, RFC 7468 for keys).
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from chalicelib.domain.masking import mask_known
from chalicelib.domain.regex import regex

MASK = "***"

_SEQUENCE = regex(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, hyperlinks
    r"|\x1b[ -/]*[0-~]?"  # all other sequences
)
# Control characters, direction overrides, Unicode line breaks and lone surrogates.
_CONTROL = regex(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Each pattern starts at a boundary, so that the time stays linear.
_SECRET = regex(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{22,}"
    r"|(?<![\w-])gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct|wt)-[\w.-]{20,}"
    r"|(?<![\w-])xox[a-z]{1,2}-[\w-]{10,}"
    r"|(?<![\w-])xapp-[\w-]{10,}"
    r"|(?<=hooks\.slack\.com/services/)[\w/]{10,}"
    r"|\bnpm_[A-Za-z0-9]{36,}"
    r"|(?<![\w-])pypi-[\w-]{40,}"
    r"|(?<![\w-])dckr_[a-z]{3}_[\w-]{20,}"
    r"|(?<![\w.-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\bslw_[A-Za-z0-9_-]{43}[A-Za-z0-9]{6}"
    r"|(?<=://)[^/\s:@]{1,100}:[^/\s@]{1,300}(?=@)"  # user and password in a URL
    # Who called AWS, and the role in AWS's refusal of the call.
    r"|\barn:[a-z-]{3,20}:sts::[0-9]{12}:assumed-role/[\w+=,.@/-]+"
    r"|(?<=on resource: )arn:[a-z-]{3,20}:iam::[0-9]{12}:role/[\w+=,.@/-]+"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)",
    re.ASCII,
)
# Values that are secret because of the name before them.
_NAMED = regex(
    r"(?P<name>"
    r"\b(?:proxy-)?authorization[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?"
    r"(?:(?:bearer|basic|token|digest|negotiate)[ \t]{1,4}|(?=[^\s\"']{16}))"
    r"|\b(?:private-token|job-token|x-api-key|x-vault-token|x-amz-security-token)"
    r"[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?"
    r"|\baws_?(?:secret_?access_?key|session_?token)[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?"
    r"|(?<![A-Za-z0-9])_(?:authToken|auth|password)[ \t]{0,4}=[ \t]{0,4}[\"']?"
    r"|\bbearer[ \t]{1,4}(?=[^\s\"']{16})"
    r")(?P<secret>[^\s\"',;]+)",
    re.ASCII | re.IGNORECASE,
)
_KEY_BEGINS = regex(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
_KEY_ENDS = regex(r"-----END [A-Z ]{0,40}PRIVATE KEY-----")
# A line of a key, with or without the number that buildx puts before it.
_KEY_LINE = regex(
    r"(?:#[0-9]{1,9} [0-9]{1,9}\.[0-9]{1,9} )?[ \t]{0,80}(?P<key>[A-Za-z0-9+/]+={0,2})\s*"
)
_FULL_LINE = 64  # RFC 7468, section 2
_HEX = regex(r"[0-9a-fA-F]+")
# Characters of the longest text whose cleaned form is remembered: all of them take a few MB.
_REMEMBERED = 300


def clean_lines(lines: Iterable[str], secrets: Sequence[str]) -> list[str]:
    """Consecutive lines without control sequences and secrets, one for each given line.

    `secrets` are hidden in every encoding, also if line breaks split them, and if they begin before
    the first line or end after the last one.
    """
    printable = [_printable(line) for line in lines]
    if not printable:
        return []
    shown = mask_known(printable, secrets, MASK)
    return [_mask_shapes(line) for line in _mask_keys(shown)]


def clean_text(text: str, secrets: Sequence[str]) -> str:
    """The text as one line, cleaned like `clean_lines`."""
    if len(text) > _REMEMBERED:
        return " ".join(clean_lines(text.splitlines(), secrets))
    return _clean_short(text, tuple(secrets))


# Lists repeat names, branches and reasons, and clients that poll read the same lists again.
@lru_cache(maxsize=4096)
def _clean_short(text: str, secrets: tuple[str, ...]) -> str:
    return " ".join(clean_lines(text.splitlines(), secrets))


def _printable(line: str) -> str:
    # A terminal shows only the text after the last carriage return.
    shown = line.rstrip("\r\n").rpartition("\r")[2]
    return _CONTROL.sub("", _SEQUENCE.sub("", shown))


def _mask_shapes(line: str) -> str:
    return _SECRET.sub(MASK, _NAMED.sub(rf"\g<name>{MASK}", line))


def _mask_keys(lines: Sequence[str]) -> list[str]:
    """Hide the lines of private keys. A page may begin inside a key."""
    shown: list[str] = []
    inside, first = False, True
    for line in lines:
        key = _KEY_LINE.fullmatch(line)
        if key and (inside or (first and _is_full(key["key"]))):
            line = line[: key.start("key")] + MASK
        elif _KEY_BEGINS.search(line):
            inside = not _KEY_ENDS.search(line)
        elif _KEY_ENDS.search(line):
            inside = False
        first = first and bool(key)
        shown.append(line)
    return shown


def _is_full(text: str) -> bool:
    """Whether this is a full line of a key. 64 hexadecimal digits are a digest instead."""
    return len(text) == _FULL_LINE and not _HEX.fullmatch(text)
