"""Request bodies: bytes become a strict typed value once, at the door."""

import json
import re
import typing
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import msgspec
from chalice.app import Request

from chalicelib.errors import InvalidInput

MAX_BYTES = 256 * 1024

_S = TypeVar("_S", bound=msgspec.Struct)

# The code of a value that is wrong; a field that is not here has one of its own, invalid_<field>.
FIELD_CODES: Mapping[str, str] = {
    "branch": "invalid_git_ref",
    "context_path": "invalid_path",
    "dockerfile": "invalid_path",
    "image_repository": "invalid_image",
    "image_tag": "invalid_image",
}
_JSON_TYPE = re.compile(r"application/json\s*(?:;.*)?", re.ASCII | re.IGNORECASE)
# What msgspec says of a value and of a name; its messages are its only interface for this.
_AT = re.compile(r" - at `\$\.(?P<field>[A-Za-z0-9_]+)")
_NAMED = re.compile(
    r"Object (?P<what>missing required|contains unknown) field `(?P<field>.*)`", re.S
)


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
    return _convert(value, model)


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


def _convert(value: dict[str, Any], model: type[_S]) -> _S:
    try:
        return msgspec.convert(value, model)
    except msgspec.ValidationError as error:
        raise _explain(str(error), model) from error


def _explain(message: str, model: type[msgspec.Struct]) -> InvalidInput:
    """Our error for msgspec's message."""
    named = _NAMED.match(message)
    if named is not None:
        missing = named["what"] == "missing required"
        code = "missing_field" if missing else "unknown_field"
        detail = "this field is required" if missing else "there is no such field here"
        return InvalidInput(detail, code=code, field=named["field"])
    at = _AT.search(message)
    field = at["field"] if at else ""
    code = FIELD_CODES.get(field, f"invalid_{field or 'body'}")
    detail = message.partition(" - at ")[0]
    if "matching regex" in detail:
        detail = f"{field} must be {_meaning(model, field)}"
    return InvalidInput(detail, code=code, field=field)


def _meaning(model: type[msgspec.Struct], field: str) -> str:
    """What a field must be, in the words that its type is described with."""
    declared = next(each.type for each in msgspec.structs.fields(model) if each.name == field)
    kinds = (declared, *typing.get_args(declared))
    metas = [meta for kind in kinds for meta in getattr(kind, "__metadata__", ())]
    meaning: str = next(meta.description for meta in metas if meta.description)
    return meaning


def _unfit(detail: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_body")
