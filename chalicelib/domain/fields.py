"""Field types, and reading a JSON object into a struct of them.

A field's type carries its grammar, limits and meaning:

    ContextPath = Annotated[str, Meta(pattern=…, max_length=200, description=…), Rule(code=…)]

msgspec checks the `Meta` of a value and writes the JSON schema from the same `Meta`, so that parser
and OpenAPI document agree on the form of every value. A `Rule` adds what a schema cannot say.
"""

import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.domain.regex import regex
from chalicelib.errors import InvalidInput

_S = TypeVar("_S", bound=msgspec.Struct)

# Python's `$` also matches before a final line break.
END = r"$(?!\n)"
# For a class of characters: control characters, line separators, marks and overrides of direction,
# lone surrogates. They can hide or break text.
UNSAFE = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"

# msgspec has no other interface for this than the text of its error.
_AT_FIELD = regex(r"`\$\.(?P<field>[A-Za-z0-9_]+)")
_FIELD_NAMES = regex(
    r"Object (?P<problem>missing required|contains unknown) field `(?P<field>.*)`", re.S
)
_LONGEST_COMPARED = 50
_CONSTRAINT = regex(r"matching regex|of length|<=|>=")
_OTHER_TYPE = regex(
    r"Expected `(?P<expected>[a-z |]+)`, got `(?P<got>[a-z]+)` - at `\$\.[^.\[`]+(?P<inside>.*)`",
    re.S,
)
_TYPES = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class Installation(Protocol):
    """The settings of the installation that decide whether it allows a value."""

    @property
    def git_hosts(self) -> frozenset[str]: ...

    @property
    def registry(self) -> str: ...

    @property
    def table_prefix(self) -> str: ...


class Rule(msgspec.Struct, frozen=True):
    """The part of a field's type that a JSON schema cannot express.

    `code` is the error code of a refused value; the default is `invalid_<field>`. `normal` turns a
    value that fits the schema into the form that is stored, and raises ValueError for a value that
    the installation does not allow. `explain` says why a value does not fit the schema.
    """

    code: str = ""
    normal: Callable[[Any, Installation], Any] | None = None
    explain: Callable[[Any], str] | None = None


def decode(model: type[_S], value: Mapping[str, Any], installation: Installation) -> _S:
    """Read a JSON object as a `model`, each field in its normal form.

    Raises InvalidInput with the field: missing_field, unknown_field, or the code of the field.
    """
    try:
        decoded = msgspec.convert(value, model)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), model, value) from error
    normal = {
        field.name: _normal(
            field.type, getattr(decoded, field.name), installation, field=field.name
        )
        for field in msgspec.structs.fields(model)
    }
    return msgspec.structs.replace(decoded, **normal)


def given(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that a request has set, by name."""
    values = msgspec.structs.asdict(body).items()
    return {name: value for name, value in values if value is not UNSET}


def partial(
    name: str, model: type[msgspec.Struct], meaning: str, *, required: Collection[str] = ()
) -> type[msgspec.Struct]:
    """A struct like `model` with only these `required` fields; a missing other one is UNSET."""
    return msgspec.defstruct(
        name,
        [
            (field.name, field.type)
            if field.name in required
            else (field.name, field.type | UnsetType, UNSET)
            for field in msgspec.structs.fields(model)
        ],
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": meaning},
    )


def _refusal(message: str, model: type[msgspec.Struct], value: Mapping[str, Any]) -> InvalidInput:
    """The error for a message of msgspec about a whole object."""
    names, at = _FIELD_NAMES.match(message), _AT_FIELD.search(message)
    # An object in a field has fields of its own.
    is_inside = at is not None and at["field"] in value
    if names is not None and not is_inside:
        field = names["field"]
        if names["problem"] == "missing required":
            return InvalidInput("this field is required", code="missing_field", field=field)
        known = [each.encode_name for each in msgspec.structs.fields(model)]
        return InvalidInput(_known_fields(field, known), code="unknown_field", field=field)
    if at is None:
        return InvalidInput(message, code="invalid_body")
    field = next(each for each in msgspec.structs.fields(model) if each.encode_name == at["field"])
    return _invalid(message, field.type, value[at["field"]], at["field"])


def _known_fields(unknown: str, known: Sequence[str]) -> str:
    import difflib  # here, because no other request needs it

    # The time of the comparison grows with the square of the length.
    close = difflib.get_close_matches(unknown[:_LONGEST_COMPARED], known, n=1)
    meant = f"; did you mean {close[0]}?" if close else "."
    return f"there is no such field here{meant} The fields are {', '.join(known)}."


def _invalid(message: str, kind: Any, value: object, field: str) -> InvalidInput:
    """The error for a value that does not fit the schema of its type."""
    rule = _rule(kind)
    detail = message.partition(" - at ")[0]
    meaning = _meaning(kind)
    other = _OTHER_TYPE.fullmatch(message)
    if rule.explain is not None:
        detail = rule.explain(value)
    elif other is not None:
        name = f"each value in {field}" if other["inside"] else field
        expected = " or ".join(_TYPES[each] for each in other["expected"].split(" | "))
        detail = f"{name} must be {expected}, not {_TYPES[other['got']]}"
    elif meaning and _CONSTRAINT.search(detail):
        detail = f"{field} must be {meaning}"
    return _invalid_field(detail, rule, field)


def _normal(kind: Any, value: Any, installation: Installation, *, field: str) -> Any:
    rule = _rule(kind)
    if rule.normal is None or value is None or value is UNSET:
        return value
    try:
        return rule.normal(value, installation)
    except ValueError as error:
        raise _invalid_field(str(error), rule, field) from error


def _invalid_field(detail: str, rule: Rule, field: str) -> InvalidInput:
    return InvalidInput(detail, code=rule.code or f"invalid_{field}", field=field)


def _rule(kind: Any) -> Rule:
    return next((part for part in _metadata(kind) if isinstance(part, Rule)), Rule())


def _meaning(kind: Any) -> str:
    found = (part.description for part in _metadata(kind) if isinstance(part, Meta))
    return next((text for text in found if text), "")


def _metadata(kind: Any) -> Iterable[Any]:
    """The annotations of a type, or of a member of a union."""
    for each in (kind, *typing.get_args(kind)):
        yield from getattr(each, "__metadata__", ())
