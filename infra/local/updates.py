"""Updates of items in moto's DynamoDB without a tree per update.

moto makes a tree of each update expression, copies it, and walks through it ten times. PynamoDB
writes most expressions in one form: they set, remove or add to attributes of an item. Such an
expression is applied at once. Everything else is left to moto, also everything that moto refuses.
"""

import functools
import pickle
import re
from typing import Any

import moto.dynamodb.models
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.utilities import bytesize
from moto.dynamodb.parsing import ast_nodes, expressions

# The limit that moto has found, in bytes.
LARGEST_ITEM = 405_000
# Expressions that are kept parsed: each takes some 100 KB.
EXPRESSIONS = 256
_SET = r"#\w+ = (?::\w+|if_not_exists \(#\w+, :\w+\))"
_ADD = r"#\w+ :\w+"
_FORM = re.compile(
    rf"(?:SET (?P<set>{_SET}(?:, {_SET})*))?"
    r"(?: ?REMOVE (?P<remove>#\w+(?:, #\w+)*))?"
    rf"(?: ?ADD (?P<add>{_ADD}(?:, {_ADD})*))?"
    rf"(?: ?DELETE (?P<delete>{_ADD}(?:, {_ADD})*))?"
)
# The name of a clause, the attribute that it changes, a value, and an attribute that is preferred
# to the value.
_Action = tuple[str, str, str, str]
_SETS = frozenset({"SS", "NS"})


def install() -> None:
    """Patch moto in this process."""
    models: Any = moto.dynamodb.models
    validate, execute = models.UpdateExpressionValidator, models.UpdateExpressionExecutor

    def validator(tree: Any, **request: Any) -> Any:
        return _update(tree, **request) or validate(tree, **request)

    def executor(validated: Any, *rest: Any) -> Any:
        return validated if type(validated) is _Update else execute(validated, *rest)

    models.UpdateExpressionValidator, models.UpdateExpressionExecutor = validator, executor
    parsers: Any = expressions
    nodes: Any = ast_nodes
    parsers.UpdateExpressionParser.make = _remembered(parsers.UpdateExpressionParser.make)
    tree = nodes.UpdateExpression
    tree.find_clauses = _search_once(tree.find_clauses)
    tree.__deepcopy__ = lambda self, _memo: pickle.loads(self.pickled)


def _remembered(parse: Any) -> Any:
    @functools.lru_cache(EXPRESSIONS)
    def make(expression: str) -> Any:
        tree = parse(expression)
        tree.pickled = pickle.dumps(tree)
        tree.clauses = {}
        tree.actions = _actions(expression)
        return tree

    return make


def _search_once(search: Any) -> Any:
    """Search a parsed tree once for each type of node. moto changes only copies of it."""

    def find_clauses(self: Any, wanted: Any) -> list[Any]:
        known = vars(self).get("clauses")
        if known is None:  # a copy
            return list(search(self, wanted))
        if tuple(wanted) not in known:
            known[tuple(wanted)] = search(self, wanted)
        return list(known[tuple(wanted)])

    return find_clauses


def _actions(expression: str) -> list[_Action] | None:
    """The actions of an expression; None if its form is another one."""
    match = _FORM.fullmatch(expression)
    if match is None:
        return None
    set_to = re.findall(r"(#\w+) = (?:if_not_exists \((#\w+), )?(:\w+)", match["set"] or "")
    found = [("SET", name, value, preferred) for name, preferred, value in set_to]
    found += [("REMOVE", name, "", "") for name in re.findall(r"#\w+", match["remove"] or "")]
    for clause in ("add", "delete"):
        pairs = re.findall(r"(#\w+) (:\w+)", match[clause] or "")
        found += [(clause.upper(), name, value, "") for name, value in pairs]
    return found


class _Update:
    """A validated update. It has the methods of moto's validator and of its executor."""

    def __init__(self, attributes: Any, changes: dict[str, DynamoType | None]) -> None:
        self._attributes, self._changes = attributes, changes

    def validate(self) -> "_Update":
        return self

    def normalize(self) -> None:
        """The actions of an update change different attributes, so any order is right."""

    def execute(self) -> None:
        """Apply the actions. Raises ItemSizeTooLarge."""
        attributes = self._attributes
        size = _size(attributes.items())
        for name, value in self._changes.items():
            before = attributes.pop(name, None) if value is None else attributes.get(name)
            if before is not None:
                size -= _size([(name, before)])
            if value is not None:
                size += _size([(name, value)])
                if size > LARGEST_ITEM:
                    raise ItemSizeTooLarge
                dict.__setitem__(attributes, name, value)


def _size(attributes: Any) -> int:
    return sum(bytesize(name) + value.size() for name, value in attributes)


def _update(
    tree: Any,
    *,
    expression_attribute_names: dict[str, str] | None,
    expression_attribute_values: dict[str, Any] | None,
    item: Item,
    table: Any,
) -> _Update | None:
    """The update; None if its form is another one, or if moto refuses it."""
    names, values = expression_attribute_names or {}, expression_attribute_values or {}
    if tree.actions is None:
        return None
    changes: dict[str, DynamoType | None] = {}
    try:
        for clause, name, value, preferred in tree.actions:
            given = DynamoType(values[value]) if value else None
            wanted = names[preferred] if preferred else names[name]
            changes[names[name]] = _changed(clause, item.attrs.get(wanted), given, bool(preferred))
    except (KeyError, _Refused):
        return None
    if len(changes) < len(tree.actions) or not changes.keys().isdisjoint(table.table_key_attrs):
        return None
    return _Update(item.attrs, changes)


class _Refused(Exception):
    """moto refuses the update."""


def _changed(
    clause: str, before: DynamoType | None, given: DynamoType | None, is_preferred: bool
) -> DynamoType | None:
    """What an attribute becomes; None if it is removed."""
    if given is None or clause == "SET":
        return before if before is not None and is_preferred else given
    if before is not None and before.type != given.type:
        raise _Refused
    if clause == "ADD" and given.type == "N":
        return (before or DynamoType({"N": "0"})) + given
    if given.type not in _SETS or not given.value:
        raise _Refused
    members = [] if before is None else before.value
    if clause == "DELETE":
        left = [each for each in members if each not in given.value]
    else:
        left = [*members, *(each for each in dict.fromkeys(given.value) if each not in members)]
    return DynamoType({given.type: left}) if left else None
