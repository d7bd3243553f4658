"""Any text in a path is parsed as an id, or refused with one of Slipway's errors."""

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api.http.parameters import MAX_ID, parse_id
from chalicelib.errors import InvalidInput, NotFound


@given(st.text(max_size=40))
def test_any_text_in_a_path_is_an_id_or_is_refused(text: str) -> None:
    try:
        number = parse_id(text)
    except (InvalidInput, NotFound):
        return
    assert text.isascii()
    assert 0 < number <= MAX_ID
