"""Request bodies: bytes are parsed once, into a strict typed value."""

import json
import re
from typing import Any, NoReturn, TypeVar

import msgspec
from chalice.app import Request

from chalicelib.domain.fields import decode
from chalicelib.domain.regex import regex
from chalicelib.errors import InvalidInput
from chalicelib.settings import settings

MAX_BYTES = 256 * 1024

_S = TypeVar("_S", bound=msgspec.Struct)

_JSON_TYPE = regex(r"application/json\s*(?:;.*)?", re.ASCII | re.IGNORECASE)


def raw_body(request: Request) -> bytes:
    """The bytes of the body; raises InvalidInput (invalid_body)."""
    try:
        sent = request.raw_body
        return sent.encode() if isinstance(sent, str) else bytes(sent)
    except ValueError as error:
        raise _invalid_body("the body is not valid UTF-8 or base64") from error


def check_size(body: bytes, limit: int = MAX_BYTES) -> None:
    """Raise InvalidInput (body_too_large) for a body of more than `limit` bytes."""
    if len(body) > limit:
        raise InvalidInput(
            f"the body is too large: at most {limit // 1024} KiB are allowed here",
            code="body_too_large",
        )


def check_media_type(
    request: Request, *, fix: str = "send the body as JSON, with Content-Type: application/json"
) -> None:
    """Raise InvalidInput when the Content-Type header names another type than JSON.

    `fix` says what to do then.
    """
    sent = request.headers.get("content-type", "application/json")
    if not _JSON_TYPE.fullmatch(sent):
        raise InvalidInput(fix, code="unsupported_media_type")


def read_body(request: Request, model: type[_S], *, optional: bool = False) -> _S:
    """The body as a `model`. If it is `optional`, a missing body is read as an empty object.

    Raises InvalidInput with the field that is wrong.
    """
    body = raw_body(request)
    check_size(body)
    if optional and not body:
        return model()
    if body:
        check_media_type(request)
    value = decode_json(body)
    if not isinstance(value, dict):
        raise _invalid_body("the body must be a JSON object")
    _reject_lone_surrogates(value)
    return decode(model, value, settings())


def decode_json(body: bytes) -> Any:
    """Parse JSON that every parser reads the same way; raises InvalidInput.

    Python's parser also accepts NaN, numbers that become infinite, and duplicate names, of which
    another parser might use the first.
    """
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_constant=_reject_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the body must be JSON in UTF-8", code="invalid_json") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidInput(
                "the body has this name twice in one object", code="duplicate_key", field=name
            )
        values[name] = value
    return values


def _reject_constant(text: str) -> NoReturn:
    raise InvalidInput(f"{text} is not allowed in JSON", code="invalid_json")


def _finite(text: str) -> float | int:
    """JSON has one type of number: as in JSON Schema, 30.0 is the integer 30."""
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise _invalid_body("the body has a number that is too large for a 64-bit float")
    return int(number) if number.is_integer() else number


def _reject_lone_surrogates(value: Any) -> None:
    # JSON can escape half of a surrogate pair. UTF-8 cannot encode it, nor can DynamoDB store it.
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _invalid_body(
            "the body has a lone surrogate, which is half of a character"
        ) from error


def _invalid_body(detail: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_body")
