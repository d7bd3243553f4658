"""Texts for a terminal: hostile ones made harmless, times and numbers in words."""

import re
import shlex
from datetime import UTC, datetime

# Escape sequences (ECMA-48, section 5), then all other control characters, direction overrides,
# Unicode line breaks and lone surrogates. The API removes them, too, but a terminal must not depend
# on the server.
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SECONDS_OF = (("day", 86400), ("h", 3600), ("min", 60))


def clean(text: object) -> str:
    """A line that cannot control the terminal. Tabs stay."""
    return _CONTROL.sub("", _SEQUENCE.sub("", str(text)))


def one_line(text: object, width: int = 0) -> str:
    """A text as one clean line, cut to `width` characters if it is given."""
    line = " ".join(clean(re.sub(r"\s+", " ", str(text))).split())
    return line if not width or len(line) <= width else f"{line[: max(width - 1, 1)]}…"


def shell_word(text: str) -> str:
    """A text as one word of a shell that cannot control the terminal.

    A text with control characters needs the $'…' of bash, zsh and ksh (POSIX 2024, section 2.2.4).
    """
    if clean(text) == text and "\t" not in text:
        return shlex.quote(text)
    escaped = "".join(
        f"\\u{ord(each):04x}" if clean(each) != each or each == "\t" else each
        for each in text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    )
    return f"$'{escaped}'"


def duration(seconds: float) -> str:
    """A duration in its largest unit: `45 s`, `3 min`, `5 h`, `2 days`."""
    for unit, length in _SECONDS_OF:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}s" if unit == "day" and count > 1 else f"{count} {unit}"
    return f"{max(int(seconds), 0)} s"


def ago(time: object, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was; empty for null or a text that is no time."""
    seconds = _seconds_since(time, now)
    return "" if seconds is None else f"{duration(seconds)} ago"


def until(time: object, now: datetime | None = None) -> str:
    """How far away an RFC 3339 time is: `in 5 min`, or `now` if it is over; empty as for `ago`."""
    seconds = _seconds_since(time, now)
    if seconds is None:
        return ""
    return f"in {duration(-seconds)}" if seconds < 0 else "now"


def _seconds_since(time: object, now: datetime | None) -> float | None:
    try:
        then = datetime.fromisoformat(str(time))
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return ((now or datetime.now(UTC)) - then).total_seconds()
