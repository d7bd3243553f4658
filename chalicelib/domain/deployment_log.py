"""The log of a deployment: its lines, and the place of a reader in them.

The lines come from Slipway, from ECS and from several streams of CloudWatch, which have no common
cursor. So a place has a mark of each line of Slipway and ECS that was shown, and CloudWatch's token
for each stream.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.domain.log_streams import LogStream

SLIPWAY, ECS, COMMAND = "slipway", "ecs", "release command"

_MARK = 4
# ECS shows 100 events of a service (Service in the API reference), and Slipway asks for 200 tasks.
_MOST_MARKS = 400
_MOST_TOKENS = 12
_Marks = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=_MARK * _MOST_MARKS)]
_Mark = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{4}$")]
_Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9/+=_-]{1,200}$")]


@dataclass(frozen=True)
class Line:
    """A line of a `source`; `at` is in milliseconds since 1970.

    `key` is the same each time the line is read. A line of a stream needs none.
    """

    at: int
    source: str
    text: str
    key: str = ""

    @property
    def message(self) -> str:
        """The line as it is shown."""
        return f"[{self.source}] {self.text}"


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A reader's place: the marks of lines that were shown, and the tokens of streams."""

    seen: _Marks = ""
    tokens: Annotated[dict[_Mark, _Token], Meta(max_length=_MOST_TOKENS)] = {}

    def has_shown(self, line: Line) -> bool:
        """Whether a line with a key was shown."""
        mark = _mark(line.key)
        return any(self.seen.startswith(mark, start) for start in range(0, len(self.seen), _MARK))

    def token(self, stream: LogStream) -> str | None:
        """Where a stream goes on; None if no line of it was read."""
        return self.tokens.get(_mark_of(stream))

    def after(self, lines: Iterable[Line], tokens: Mapping[LogStream, str]) -> "Place":
        """The place after further lines with a key, and after these tokens of streams."""
        seen = self.seen + "".join(_mark(line.key) for line in lines)
        new = {_mark_of(stream): token for stream, token in tokens.items()}
        known = {mark: token for mark, token in self.tokens.items() if mark not in new}
        kept = list((known | new).items())[-_MOST_TOKENS:]
        return Place(seen[-_MARK * _MOST_MARKS :], dict(kept))


def encode(place: Place) -> str:
    """The text of a place, for a cursor."""
    return msgspec.json.encode(place).decode()


def decode(text: str) -> Place:
    """The place of a text; raises ValueError."""
    try:
        return msgspec.json.decode(text, type=Place)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("no place in a log") from error


def _mark(key: str) -> str:
    digest = hashlib.blake2b(key.encode(), digest_size=_MARK * 3 // 4).digest()
    return base64.urlsafe_b64encode(digest).decode()


def _mark_of(stream: LogStream) -> str:
    return _mark(f"{stream.group} {stream.name}")
