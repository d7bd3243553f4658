"""A reader's place in a deployment's log: it keeps what was shown, and survives any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.deployment_log import Line, Place, decode, encode
from chalicelib.domain.log_streams import LogStream

KEYS = st.lists(st.text(max_size=20), max_size=30, unique=True)
TOKENS = st.dictionaries(
    st.builds(LogStream, st.just("/ecs/shop"), st.text(max_size=20)),
    st.from_regex(r"\A[fb]/[0-9]{1,56}/s\Z"),
    max_size=6,
)


def line(key: str) -> Line:
    return Line(0, "ecs", "text", key)


@given(KEYS, TOKENS)
def test_a_place_comes_back_from_its_text(keys: list[str], tokens: dict[LogStream, str]) -> None:
    place = Place().after(map(line, keys), tokens)
    again = decode(encode(place))
    assert again == place
    assert again.not_shown(map(line, keys)) == []
    assert {stream: again.token(stream) for stream in tokens} == tokens


def test_a_new_line_was_not_shown() -> None:
    place = Place().after([line(f"event {n}") for n in range(100)], {})
    new = [line(f"new {n}") for n in range(100)]
    assert place.not_shown(new) == new


def test_no_two_of_very_many_lines_have_the_same_mark() -> None:
    lines = [line(f"stop {n}") for n in range(20_000)]
    for start in range(0, len(lines), 400):
        place = Place().after(lines[start : start + 400], {})
        assert place.not_shown(lines) == lines[:start] + lines[start + 400 :]


@given(
    steps=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 100), st.booleans()), max_size=20),
    facts=st.integers(0, 100),
    limit=st.integers(1, 200),
)
def test_any_sequence_of_pages_shows_each_line_once(
    steps: list[tuple[int, int, bool]], facts: int, limit: int
) -> None:
    """Facts stay. ECS shows a window of lines that moves on, and some looks at it fail."""
    place, shown, start = Place(), set[Line](), 0
    for moved, size, fails in [*steps, *[(60, 100, False)] * 10]:
        start += moved
        window = [] if fails else [line(f"event {n}") for n in range(start, start + size)]
        present = [*(line(f"fact {n}") for n in range(facts)), *window]
        new = place.not_shown(present)
        assert new == [each for each in present if each not in shown]
        page = new[:limit]
        place = decode(encode(place.after(page, {}, present=present)))
        shown |= set(page)


def test_a_place_of_a_very_long_log_stays_short() -> None:
    place = Place()
    for number in range(2000):
        stream = LogStream("/ecs/shop", f"app/{number}")
        place = place.after([line(f"event {number}")], {stream: "f/" + "1" * 56})
    assert len(encode(place)) < 5000
    assert place.not_shown([line("event 1999")]) == []
    assert decode(encode(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "null",
        "[" * 100_000,
        '{"seen":1}',
        '{"seen":"ä"}',
        '{"tokens":{"a":"b"}}',
        '{"tokens":{"aaaaaaaa":"b c"}}',
        '{"tokens":{"aaaaaaaa":""}}',
        '{"other":1}',
        '{"seen":"' + "a" * 4000 + '"}',
    ],
)
def test_another_text_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        decode(text)
