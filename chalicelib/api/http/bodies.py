"""Request bodies: bytes become a strict typed value, once."""

import json
import re
from typing import Any, NoReturn, TypeVar

import msgspec
from chalice.app import Request

from chalicelib.domain.fields import decode
from chalicelib.errors import InvalidInput
from chalicelib.settings import settings

MAX_BYTES = 256 * 1024

_S = TypeVar("_S", bound=msgspec.Struct)

_JSON_TYPE = re.compile(r"application/json\s*(?:;.*)?", re.ASCII | re.IGNORECASE)


def raw_body(request: Request, *, limit: int = MAX_BYTES) -> bytes:
    """The bytes of the body as they were sent; raises InvalidInput when they are too many."""
    try:
        sent = request.raw_body
        body = sent.encode() if isinstance(sent, str) else bytes(sent)
    except ValueError as error:
        raise _unfit("the body is neither UTF-8 nor base64") from error
    if len(body) > limit:
        raise InvalidInput(f"a body has at most {limit // 1024} KiB here", code="body_too_large")
    return body


def check_media_type(request: Request) -> None:
    """Raise InvalidInput when the body says that it is something else than JSON."""
    sent = request.headers.get("content-type", "application/json")
    if not _JSON_TYPE.fullmatch(sent):
        raise InvalidInput(
            "send the body as JSON, with Content-Type: application/json",
            code="unsupported_media_type",
        )


def read_body(request: Request, model: type[_S], *, optional: bool = False) -> _S:
    """The body as a `model`; where it is `optional`, no body is one without fields.

    Raises InvalidInput with the field that is wrong.
    """
    body = raw_body(request)
    if optional and not body:
        return model()
    if body:
        check_media_type(request)
    value = decode_json(body)
    if not isinstance(value, dict):
        raise _unfit("the body is not a JSON object")
    _refuse_lone_surrogates(value)
    return decode(model, value, settings())


def decode_json(body: bytes) -> Any:
    """Parse JSON that means the same to every reader; raises InvalidInput.

    Python's parser alone would let through NaN, numbers that become infinite, and names given
    twice, of which another parser might take the first.
    """
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the body is not JSON in UTF-8", code="invalid_json") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidInput("a name is given twice", code="duplicate_key", field=name)
        values[name] = value
    return values


def _refuse_constant(text: str) -> NoReturn:
    raise InvalidInput(f"{text} is not JSON", code="invalid_json")


def _finite(text: str) -> float | int:
    """JSON knows numbers and not their types: to JSON Schema, too, 30.0 is the integer 30."""
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise _unfit("the body holds a number that is too large")
    return int(number) if number.is_integer() else number


def _refuse_lone_surrogates(value: Any) -> None:
    # JSON can escape half a character; nothing beyond this point could store or print it.
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _unfit("the body holds half a character (a lone surrogate)") from error


def _unfit(detail: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_body")
