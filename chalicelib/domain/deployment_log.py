"""The log of a deployment: its lines, and the place of a reader in them.

The lines come from Slipway, from ECS and from several streams of CloudWatch, which have no common
cursor. So a place has a mark of each line of Slipway and ECS that was shown, and CloudWatch's token
for each stream.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.domain.log_streams import LogStream

SLIPWAY, ECS, COMMAND = "slipway", "ecs", "release command"

# Characters, for six bytes: two of 400 lines have the same mark in one of 10**9 logs.
_MARK = 8
# More lines than can be shown again: ECS shows 100 events of a service (Service in the API
# reference), Slipway asks for 100 stopped tasks, and a row keeps fewer than 100 lines.
_MOST_MARKS = 400
_MOST_TOKENS = 12
_Marks = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*$", max_length=_MARK * _MOST_MARKS)]
_Mark = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{8}$")]
_Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9/+=_-]{1,200}$")]


class Line(msgspec.Struct, frozen=True):
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

    def not_shown(self, lines: Iterable[Line]) -> list[Line]:
        """The lines with a key that were not shown."""
        marks = self._marks()
        return [line for line in lines if _mark(line.key) not in marks]

    def token(self, stream: LogStream) -> str | None:
        """Where a stream goes on; None if no line of it was read."""
        return self.tokens.get(_mark_of(stream))

    def after(
        self,
        lines: Iterable[Line],
        tokens: Mapping[LogStream, str],
        *,
        present: Iterable[Line] = (),
    ) -> "Place":
        """The place after further lines with a key, and after these tokens of streams.

        `present` are all lines with a key that the page could show. Their marks are kept longest,
        because the next page can show the same lines again.
        """
        shown = self._marks() | dict.fromkeys(_mark(line.key) for line in lines)
        still = {_mark(line.key) for line in present}
        marks = sorted(shown, key=lambda mark: mark in still)[-_MOST_MARKS:]
        new = {_mark_of(stream): token for stream, token in tokens.items()}
        known = {mark: token for mark, token in self.tokens.items() if mark not in new}
        kept = list((known | new).items())[-_MOST_TOKENS:]
        return Place("".join(marks), dict(kept))

    def _marks(self) -> dict[str, None]:
        starts = range(0, len(self.seen), _MARK)
        return dict.fromkeys(self.seen[start : start + _MARK] for start in starts)


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
