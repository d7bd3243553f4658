"""Build output is hostile text: control sequences are removed and secrets are hidden.

Three kinds of secrets are hidden: known ones in every encoding and however they are split, private
keys of several lines, and texts that have the shape of a token. The time it takes is proportional
to the length of the text.

Control sequences are those of ECMA-48, section 5; the shapes of tokens are from their makers'
documentation (AWS: "Understanding unique ID prefixes"; GitHub: "About authentication to GitHub";
GitLab: "Token overview"; Slack: "Token types"; npm: "About access tokens"; PyPI: "API tokens";
RFC 7519 for JSON Web Tokens, RFC 7468 for keys).
"""

import re
from collections.abc import Iterable, Sequence

from chalicelib.domain.masking import mask_known

MASK = "***"

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, hyperlinks
    r"|\x1b[ -/]*[0-~]?"  # the rest
)
# Also what changes the direction of text, breaks lines that are none, or is half a character.
_CONTROL = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Each begins where nothing of its own kind stands before it, so that no text is read twice.
_SECRET = re.compile(
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
    r"|(?<=://)[^/\s:@]{1,100}:[^/\s@]{1,300}(?=@)"  # a URL's user and password
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)",
    re.ASCII,
)
# What is a secret for the name before it.
_NAMED = re.compile(
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
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
_KEY_ENDS = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY-----")
# A line of a key, as buildx may have numbered it. Of 64 hexadecimal digits each is a digest.
_KEY_LINE = re.compile(
    r"(?:#[0-9]{1,9} [0-9]{1,9}\.[0-9]{1,9} )?[ \t]{0,80}(?P<key>[A-Za-z0-9+/]+={0,2})\s*"
)
_FULL_LINE = 64  # RFC 7468, section 2
_HEX = re.compile(r"[0-9a-fA-F]+")


def clean_lines(lines: Iterable[str], secrets: Sequence[str]) -> list[str]:
    """Consecutive lines without control sequences and without secrets, one for each line.

    `secrets` are hidden in every encoding, also where line breaks split them or where they continue
    beyond the first or the last line.
    """
    shown = mask_known([_printable(line) for line in lines], secrets, MASK)
    return [_mask_shapes(line) for line in _mask_keys(shown)]


def clean_text(text: str, secrets: Sequence[str]) -> str:
    """A text as one line, cleaned like `clean_lines`."""
    return " ".join(clean_lines(text.splitlines(), secrets))


def _printable(line: str) -> str:
    # What a program overwrote with carriage returns, a terminal would not have shown either.
    shown = line.rstrip("\r\n").rpartition("\r")[2]
    return _CONTROL.sub("", _SEQUENCE.sub("", shown))


def _mask_shapes(line: str) -> str:
    return _SECRET.sub(MASK, _NAMED.sub(rf"\g<name>{MASK}", line))


def _mask_keys(lines: Sequence[str]) -> list[str]:
    """Hide the lines of private keys, of which a page may hold a part alone."""
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
    return len(text) == _FULL_LINE and not _HEX.fullmatch(text)
