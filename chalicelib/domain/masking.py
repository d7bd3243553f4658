"""Finding known secrets in a text, in every form that tools print and across line breaks.

The forms of a secret are:

- the secret itself,
- its base64 (RFC 4648, both alphabets), at each of the three offsets inside a longer value,
- any of these with some or all characters percent-encoded (RFC 3986, or as a web form does it).

Each form is searched in the text without its line breaks. At the beginning and the end of the text
a part of a form is enough, because the rest may be on another page.
"""

import base64
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache

from chalicelib.domain.regex import regex

SHORTEST = 6  # characters of a secret: a shorter one would match ordinary text
# Characters of a form that are hidden at the beginning or the end of the text. A build can print
# guesses and see which ones are hidden, so a part must be too long to guess.
PART = 16

# A line break, with the number that buildx may put before the next line.
_NUMBER = r"#[0-9]{1,9} [0-9]{1,9}\.[0-9]{1,9} "
_BREAK = rf"(?:\n(?:{_NUMBER})?|\A{_NUMBER})"
_BREAKS = regex(_BREAK)
# A line break, or a percent escape, which the end of the text may cut off.
_BREAKS_AND_ESCAPES = regex(
    rf"{_BREAK}|%{_BREAK}?(?:([0-9A-Fa-f]){_BREAK}?([0-9A-Fa-f])|[0-9A-Fa-f]?{_BREAK}?\Z)"
)
# One or two digits at the beginning of the text may belong to an escape on the page before.
_DIGIT = rf"{_BREAK}?[0-9A-Fa-f]"
_CUT_ESCAPES = tuple(regex(_DIGIT * size) for size in (1, 2))


def mask_known(lines: Sequence[str], secrets: Sequence[str], mask: str) -> list[str]:
    """Replace every form of every secret with `mask`, in each line that has a part of it.

    A line must not contain a line break.
    """
    text = "\n".join(lines)
    forms = [form for secret in secrets for form in _forms(secret)]
    views = _views(text)
    spans = sorted(span for form in forms for span in _find(form, text, views))
    return _masked(text, spans, mask).split("\n") if spans else list(lines)


@lru_cache(maxsize=256)
def _forms(secret: str) -> tuple[str, ...]:
    """The strings to search for. In a decoded text each byte is one character."""
    if len(secret) < SHORTEST:
        return ()
    value = secret.encode()
    encoded = {_base64(value, before) for before in range(3)}
    encoded |= {form.translate(_URL_SAFE) for form in encoded}
    spaced = secret.replace(" ", "+")
    return tuple({secret, spaced, *_as_bytes(secret, spaced), *encoded})


_URL_SAFE = str.maketrans("+/", "-_")


def _as_bytes(*texts: str) -> set[str]:
    return {text.encode().decode("latin-1") for text in texts}


def _base64(value: bytes, before: int) -> str:
    """The base64 characters that depend only on `value`, if `before` bytes precede it."""
    text = base64.b64encode(bytes(before) + value).decode().rstrip("=")
    whole = (before + len(value)) % 3 == 0
    return text[(0, 2, 3)[before] : None if whole else -1]


class _View:
    """A text without line breaks, optionally decoded, with the position of each character.

    `_parts` are (index in `text`, index in the original, width). The width is the length of the
    part's first character in the original: 1, or more for an escape.
    """

    def __init__(self, original: str, pattern: re.Pattern[str], start: int = 0) -> None:
        pieces: list[str] = []
        self._parts = [(0, start, 1)]
        length, done = 0, start
        for match in pattern.finditer(original, start):
            pieces.append(original[done : match.start()])
            length += match.start() - done
            if match.lastindex:
                self._parts.append((length, match.start(), match.end() - match.start()))
                pieces.append(chr(int(match[1] + match[2], 16)))
                length += 1
            done = match.end()
            self._parts.append((length, done, 1))
        self.text = "".join([*pieces, original[done:]])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The start and end in the original of a piece of `text` that is not empty."""
        return self._position(start)[0], self._position(end - 1)[1]

    def _position(self, index: int) -> tuple[int, int]:
        begins, original, width = self._parts[bisect_right(self._parts, index, key=_begins) - 1]
        start = original + index - begins
        return start, start + (width if index == begins else 1)


def _begins(part: tuple[int, int, int]) -> int:
    return part[0]


def _views(text: str) -> list[_View]:
    """The text as it is, decoded, and decoded without the digits of an escape that was cut off."""
    cut = [digits for pattern in _CUT_ESCAPES if (digits := pattern.match(text))]
    if "%" not in text and not cut:
        return [_View(text, _BREAKS)]
    return [
        _View(text, _BREAKS),
        _View(text, _BREAKS_AND_ESCAPES),
        *(_View(text, _BREAKS_AND_ESCAPES, digits.end()) for digits in cut),
    ]


def _find(form: str, text: str, views: Sequence[_View]) -> Iterator[tuple[int, int]]:
    """The spans of `form` in `text`: whole anywhere, in part at the beginning and the end."""
    for view in views:
        at = view.text.find(form)
        while at >= 0:
            yield view.span(at, at + len(form))
            at = view.text.find(form, at + 1)
        size = len(view.text)
        if PART <= size < len(form) and view.text in form:
            yield 0, len(text)
        first, last = _overlap(form, view.text), _overlap(view.text, form)
        if first >= PART:
            yield 0, view.span(0, first)[1]
        if last >= PART:
            yield view.span(size - last, size)[0], len(text)


def _overlap(before: str, after: str) -> int:
    """The length of the longest end of `before` that begins `after`, in time linear in `after`.

    0 if it has fewer than `PART` characters.
    """
    if len(after) < PART or after[:PART] not in before[-len(after) :]:
        return 0
    # The prefix function of Knuth, Morris and Pratt. Neither text contains a NUL.
    joined = f"{after[: len(before)]}\0{before[-len(after) :]}"
    borders = [0] * len(joined)
    for index in range(1, len(joined)):
        border = borders[index - 1]
        while border and joined[index] != joined[border]:
            border = borders[border - 1]
        borders[index] = border + (joined[index] == joined[border])
    return borders[-1]


def _masked(text: str, spans: Sequence[tuple[int, int]], mask: str) -> str:
    """Replace the spans in `text`. Line breaks and the numbers of lines stay."""
    shown: list[str] = []
    done = 0
    for start, end in _merged(spans):
        shown.append(text[done:start])
        hidden = start
        for gap in _BREAKS.finditer(text, start, end):
            shown += [mask, gap[0]]
            hidden = gap.end()
        shown.append(mask if hidden < end else "")
        done = end
    return "".join([*shown, text[done:]])


def _merged(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    start, end = spans[0]
    for next_start, next_end in spans[1:]:
        if next_start > end:
            yield start, end
            start, end = next_start, next_end
        end = max(end, next_end)
    yield start, end
