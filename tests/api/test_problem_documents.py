"""Every error has an HTTP status, and every error answer is a problem document."""

import json

import pytest

from chalicelib import errors
from chalicelib.api.http.problems import problem, status_of
from chalicelib.errors import InvalidInput, SlipwayError
from chalicelib.pipeline.reconcilers import builds  # noqa: F401  # loads every module that defines errors


def leaves(kind: type[SlipwayError] = SlipwayError) -> list[type[SlipwayError]]:
    below = kind.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]


STATUSES = {
    "InvalidInput": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "Conflict": 409,
    "Rejected": 409,
    "Stale": 409,
    "Unavailable": 503,
}


@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.__name__)
def test_every_error_class_has_the_status_of_its_base(kind: type[SlipwayError]) -> None:
    wanted = next(STATUSES[base.__name__] for base in kind.__mro__ if base.__name__ in STATUSES)
    error = kind.__new__(kind)
    SlipwayError.__init__(error, "why")
    assert status_of(error) == wanted


def test_the_error_tree_in_the_docstring_has_every_base() -> None:
    listed = {line.split()[1] for line in (errors.__doc__ or "").splitlines() if "──" in line}
    assert listed == set(STATUSES)


def test_an_error_without_a_status_is_a_bug() -> None:
    with pytest.raises(KeyError):
        status_of(SlipwayError("what?"))


def test_a_large_body_is_413_and_another_media_type_is_415() -> None:
    assert status_of(InvalidInput("", code="body_too_large")) == 413
    assert status_of(InvalidInput("", code="unsupported_media_type")) == 415


def test_errors_have_a_header_for_the_next_attempt() -> None:
    assert problem(errors.Unauthorized(""), request_id="r").headers["WWW-Authenticate"] == "Bearer"
    assert problem(errors.Unavailable(""), request_id="r").headers["Retry-After"] == "5"
    assert problem(errors.Stale(""), request_id="r").headers["Retry-After"] == "1"


def test_a_problem_document_can_quote_any_text() -> None:
    error = InvalidInput("\ud800" * 9999, code="invalid_body", field="\udfff")
    document = json.loads(problem(error, request_id="r").body)
    assert document == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "?" * 700,
        "code": "invalid_body",
        "field": "?",
        "instance": "r",
    }
