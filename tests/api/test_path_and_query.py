"""Whatever stands in a path or a query is read, or refused with an error of ours."""

from chalice.app import Request
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api.parameters import CURSOR, LIMIT, MAX_ID, encode_cursor, parse_id, parse_query
from chalicelib.errors import InvalidInput, NotFound
from tests.builders import gateway_event


@given(st.integers(1, MAX_ID))
def test_a_cursor_is_read_as_it_was_written(number: int) -> None:
    event = gateway_event("GET", "/v1/projects")
    event["multiValueQueryStringParameters"] = {"cursor": [encode_cursor(number)]}
    assert parse_query(Request(event), (LIMIT, CURSOR)) == {"limit": 20, "cursor": number}


@given(st.text(max_size=40))
def test_any_text_in_a_path_is_an_id_or_an_error_of_ours(text: str) -> None:
    try:
        number = parse_id(text)
    except (InvalidInput, NotFound):
        return
    assert text.isascii()
    assert 0 < number <= MAX_ID


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_of_ours_or_an_error_of_ours(text: str) -> None:
    event = gateway_event("GET", "/v1/projects")
    event["multiValueQueryStringParameters"] = {"cursor": [text]}
    try:
        cursor = parse_query(Request(event), (CURSOR,))["cursor"]
    except InvalidInput:
        return
    assert encode_cursor(cursor) == text
