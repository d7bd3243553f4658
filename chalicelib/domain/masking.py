"""Known secrets are found in a text in every form that tools give them, and however it is split.

A form is what can stand in the text: the secret itself, its base64 at any of the three places where
it may begin inside of something longer (RFC 4648, both alphabets), and any of these with some or
all characters percent-encoded (RFC 3986, or as a web form does it). It is looked for in the text
without its line breaks, and at both of its ends in part, since the rest may be on another page.
"""

import base64
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache

SHORTEST = 6  # characters of a secret: a shorter one cannot be told from other text
# Characters of a form at an end of the text that are hidden. So many that nobody guesses them: what
# is hidden tells whoever prints guesses that one was right.
PART = 16

# A line break, with the number that buildx may give to the line that follows.
_NUMBER = r"#[0-9]{1,9} [0-9]{1,9}\.[0-9]{1,9} "
_BREAK = rf"(?:\n(?:{_NUMBER})?|\A{_NUMBER})"
_LEFT_OUT = re.compile(_BREAK)
# Of an escape that the text's end cuts off, the rest is elsewhere.
_DECODED = re.compile(
    rf"{_BREAK}|%{_BREAK}?(?:([0-9A-Fa-f]){_BREAK}?([0-9A-Fa-f])|[0-9A-Fa-f]?{_BREAK}?\Z)"
)
# As much of such an escape as may be where a text begins.
_DIGIT = rf"{_BREAK}?[0-9A-Fa-f]"
_RESTS = tuple(re.compile(_DIGIT * size) for size in (1, 2))


def mask_known(lines: Sequence[str], secrets: Sequence[str], mask: str) -> list[str]:
    """The lines with every form of every secret replaced by `mask`, in each line that has a part.

    No line may hold a line break.
    """
    text = "\n".join(lines)
    forms = [form for secret in secrets for form in _forms(secret)]
    views = _views(text)
    spans = sorted(span for form in forms for span in _find(form, text, views))
    return _masked(text, spans, mask).split("\n") if spans else list(lines)


@cache
def _forms(secret: str) -> tuple[str, ...]:
    """The strings to look for; in a decoded text each byte is one character."""
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
    """The characters that `value` alone decides when it begins `before` bytes into a group."""
    text = base64.b64encode(bytes(before) + value).decode().rstrip("=")
    whole = (before + len(value)) % 3 == 0
    return text[(0, 2, 3)[before] : None if whole else -1]


class _View:
    """A text as it would be read: `text`, and for each of its parts where that is in the original.

    A part begins somewhere in `text`; what follows there follows at one place of the original,
    where its first character takes a number of characters.
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
        """Where a piece of `text`, which is not empty, begins and ends in the original."""
        return self._place(start)[0], self._place(end - 1)[1]

    def _place(self, index: int) -> tuple[int, int]:
        begins, original, width = self._parts[bisect_right(self._parts, index, key=_begins) - 1]
        start = original + index - begins
        return start, start + (width if index == begins else 1)


def _begins(part: tuple[int, int, int]) -> int:
    return part[0]


def _views(text: str) -> list[_View]:
    """The text as it is, decoded, and decoded without the rest of an escape that it begins with."""
    rests = [rest for pattern in _RESTS if (rest := pattern.match(text))]
    if "%" not in text and not rests:
        return [_View(text, _LEFT_OUT)]
    return [
        _View(text, _LEFT_OUT),
        _View(text, _DECODED),
        *(_View(text, _DECODED, rest.end()) for rest in rests),
    ]


def _find(form: str, text: str, views: Sequence[_View]) -> Iterator[tuple[int, int]]:
    """Where `form` is in `text`: whole anywhere, in part at its ends."""
    for view in views:
        at = view.text.find(form)
        while at >= 0:
            yield view.span(at, at + len(form))
            at = view.text.find(form, at + 1)
        size = len(view.text)
        if PART <= size < len(form) and view.text in form:
            yield 0, len(text)
        ahead, behind = _overlap(form, view.text), _overlap(view.text, form)
        if ahead >= PART:
            yield 0, view.span(0, ahead)[1]
        if behind >= PART:
            yield view.span(size - behind, size)[0], len(text)


def _overlap(before: str, after: str) -> int:
    """How much of the end of `before` is the beginning of `after`, in time linear in `after`."""
    # The prefix function of Knuth, Morris and Pratt; the NUL is in neither.
    joined = f"{after[: len(before)]}\0{before[-len(after) :]}"
    borders = [0] * len(joined)
    for index in range(1, len(joined)):
        border = borders[index - 1]
        while border and joined[index] != joined[border]:
            border = borders[border - 1]
        borders[index] = border + (joined[index] == joined[border])
    return borders[-1]


def _masked(text: str, spans: Sequence[tuple[int, int]], mask: str) -> str:
    """`text` with what is in the spans replaced; line breaks, and what numbers lines, stay."""
    shown: list[str] = []
    done = 0
    for start, end in _merged(spans):
        shown.append(text[done:start])
        place = start
        for gap in _LEFT_OUT.finditer(text, start, end):
            shown += [mask, gap[0]]
            place = gap.end()
        shown.append(mask if place < end else "")
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
