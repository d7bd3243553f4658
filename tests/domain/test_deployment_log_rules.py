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
    assert all(again.has_shown(line(key)) for key in keys)
    assert {stream: again.token(stream) for stream in tokens} == tokens


def test_a_new_line_was_not_shown() -> None:
    place = Place().after([line(f"event {n}") for n in range(100)], {})
    assert not any(place.has_shown(line(f"new {n}")) for n in range(100))


def test_a_place_of_a_very_long_log_stays_short() -> None:
    place = Place()
    for number in range(2000):
        stream = LogStream("/ecs/shop", f"app/{number}")
        place = place.after([line(f"event {number}")], {stream: "f/" + "1" * 56})
    assert len(encode(place)) < 3500
    assert place.has_shown(line("event 1999"))
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
        '{"tokens":{"aaaa":"b c"}}',
        '{"tokens":{"aaaa":""}}',
        '{"other":1}',
        '{"seen":"' + "a" * 2000 + '"}',
    ],
)
def test_another_text_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        decode(text)
