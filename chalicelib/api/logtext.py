"""Build output is hostile: what it may do to a terminal is taken out, what it gives away hidden.

Control sequences are those of ECMA-48, section 5; the shapes of tokens are from their makers'
documentation (AWS: "Understanding unique ID prefixes"; GitHub: "About authentication to GitHub").
"""

import re

MASK = "***"

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC and other strings: titles, hyperlinks
    r"|\x1b[ -/]*[0-~]?"  # the rest
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,255}"
    r"|\bgithub_pat_[A-Za-z0-9_]{22,255}"
    r"|\bslw_[A-Za-z0-9_-]{43}[A-Za-z0-9]{6}"
    r"|(?<=://)[^/\s:@]{1,100}:[^/\s@]{1,300}(?=@)",  # a URL's user and password
    re.ASCII,
)


def clean(line: str) -> str:
    """A line without control sequences and without what looks like a secret."""
    # What a program overwrote with carriage returns, a terminal would not have shown either.
    shown = line.rstrip("\r\n").rpartition("\r")[2]
    return _SECRET.sub(MASK, _CONTROL.sub("", _SEQUENCE.sub("", shown)))
