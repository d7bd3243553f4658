"""Changes of the tables' indexes in a stage that exists.

DynamoDB creates or deletes one index of a table at a time ("Managing global secondary indexes" in
its developer guide), and CloudFormation does not wait until a new index is filled. So a deploy adds
the new indexes one by one before it updates the functions, and deletes the old ones one by one
after that. The functions of both versions find their indexes all the time.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING, Any

import yaml

from infra.short_yaml import short_yaml

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_INDEXES, _ATTRIBUTES = "GlobalSecondaryIndexes", "AttributeDefinitions"
# IndexStatus in DynamoDB's API reference.
_BUSY = frozenset({"CREATING", "UPDATING", "DELETING"})
_POLL = 5  # seconds

Index = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """The indexes of a table by name, and the types of all attributes that any of them may use."""

    key: tuple[str, ...]
    indexes: Mapping[str, Index]
    types: Mapping[str, str]

    def with_indexes(self, indexes: Mapping[str, Index]) -> "Table":
        """The same table with other indexes."""
        return Table(self.key, indexes, self.types)

    def properties(self) -> dict[str, Any]:
        """The indexes and attributes as properties of AWS::DynamoDB::Table."""
        used = {*self.key, *(name for each in self.indexes.values() for name in _keys(each))}
        attributes = [
            {"AttributeName": name, "AttributeType": kind}
            for name, kind in self.types.items()
            if name in used
        ]
        indexes = [{"IndexName": name, **each} for name, each in self.indexes.items()]
        return {_ATTRIBUTES: attributes, **({_INDEXES: indexes} if indexes else {})}


@dataclass(frozen=True)
class Steps:
    """Templates to deploy one after the other: until the functions are updated, and after that."""

    before: tuple[str, ...]
    after: tuple[str, ...]


def plan_steps(template: str, present: Mapping[str, Table]) -> Steps:
    """The steps from the indexes of the `present` tables, by logical id, to those of `template`.

    The first step changes no index. Without a change of an index it is the only one.
    """
    wanted = tables_of(template)
    tables = {name: _both(present[name], wanted[name]) for name in present.keys() & wanted.keys()}
    full = {name: _union(*each) for name, each in tables.items()}
    growing = [{name: old for name, (old, _) in tables.items()}]
    while growing[-1] != full:
        growing.append({name: _one_more(each, full[name]) for name, each in growing[-1].items()})
    goal = {name: new for name, (_, new) in tables.items()}
    shrinking = [full]
    while not all(_same(shrinking[-1][name], goal[name]) for name in goal):
        shrinking.append(
            {name: _one_less(each, goal[name]) for name, each in shrinking[-1].items()}
        )
    return Steps(
        tuple(_with_tables(template, each) for each in growing),
        tuple(_with_tables(template, each) for each in shrinking[1:]),
    )


def read_part(template: str, name: str) -> dict[str, Any]:
    """A part of a YAML template, such as Resources, as plain data.

    CloudFormation's functions are only their arguments.
    """
    part: dict[str, Any] = _plain(_child(_compose(template), name))
    return part


def tables_of(template: str) -> dict[str, Table]:
    """The tables of a template, by logical id."""
    resources = read_part(template, "Resources")
    return {
        name: _table(each["Properties"])
        for name, each in resources.items()
        if each["Type"] == "AWS::DynamoDB::Table"
    }


def read_tables(dynamodb: "DynamoDBClient", template: str, prefix: str) -> dict[str, Table]:
    """Those tables of a template that exist in AWS, as they are there, by logical id."""
    found = {}
    for name, table in _names(template, prefix).items():
        try:
            described: Any = dynamodb.describe_table(TableName=table)["Table"]
            found[name] = _table(described)
        except dynamodb.exceptions.ResourceNotFoundException:
            continue
    return found


def wait_for_indexes(dynamodb: "DynamoDBClient", template: str, prefix: str) -> None:
    """Wait until all indexes of a template's tables can be read and no change is under way.

    A table that does not exist yet has none. DynamoDB fills a new index from the rows of its table.
    With millions of rows it takes hours. An interrupted deploy waits again when it is repeated.
    """
    for table in _names(template, prefix).values():
        said = False
        while True:
            try:
                found: Any = dynamodb.describe_table(TableName=table)["Table"]
            except dynamodb.exceptions.ResourceNotFoundException:
                break
            indexes = found.get(_INDEXES, [])
            busy = [each["IndexName"] for each in indexes if each.get("IndexStatus") in _BUSY]
            if not busy and found["TableStatus"] == "ACTIVE":
                break
            if busy and not said:
                print(f"table {table}: DynamoDB fills or deletes the index {', '.join(busy)}")
                said = True
            sleep(_POLL)


def _names(template: str, prefix: str) -> dict[str, str]:
    resources = read_part(template, "Resources")
    return {
        name: each["Properties"]["TableName"].replace("${ResourcePrefix}", prefix)
        for name, each in resources.items()
        if each["Type"] == "AWS::DynamoDB::Table"
    }


def _table(properties: Mapping[str, Any]) -> Table:
    indexes: dict[str, Index] = {
        each["IndexName"]: {
            "KeySchema": _key_schema(each["KeySchema"]),
            "Projection": _projection(each["Projection"]),
        }
        for each in properties.get(_INDEXES, [])
    }
    types = {each["AttributeName"]: each["AttributeType"] for each in properties[_ATTRIBUTES]}
    return Table(_keys(properties), indexes, types)


def _keys(described: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(each["AttributeName"] for each in described["KeySchema"])


def _key_schema(schema: Any) -> list[dict[str, str]]:
    return [{name: each[name] for name in ("AttributeName", "KeyType")} for each in schema]


def _projection(found: Mapping[str, Any]) -> dict[str, Any]:
    names = found.get("NonKeyAttributes")
    more = {"NonKeyAttributes": sorted(names)} if names else {}
    return {"ProjectionType": found["ProjectionType"], **more}


def _both(old: Table, new: Table) -> tuple[Table, Table]:
    types = {**old.types, **new.types}
    for name in old.indexes.keys() & new.indexes.keys():
        if old.indexes[name] != new.indexes[name]:
            # DynamoDB cannot change an index.
            raise ValueError(f"the index {name} has a new definition: give it a new name")
    return Table(old.key, old.indexes, types), Table(new.key, new.indexes, types)


def _union(old: Table, new: Table) -> Table:
    return old.with_indexes({**old.indexes, **new.indexes})


def _same(one: Table, other: Table) -> bool:
    return one.indexes.keys() == other.indexes.keys()


def _one_more(table: Table, full: Table) -> Table:
    missing = [name for name in full.indexes if name not in table.indexes]
    return table.with_indexes(
        {**table.indexes, **{name: full.indexes[name] for name in missing[:1]}}
    )


def _one_less(table: Table, goal: Table) -> Table:
    old = [name for name in table.indexes if name not in goal.indexes]
    return table.with_indexes(
        {name: each for name, each in table.indexes.items() if name not in old[:1]}
    )


def _with_tables(template: str, tables: Mapping[str, Table]) -> str:
    wanted = tables_of(template)
    different = {name: each for name, each in tables.items() if not _same(each, wanted[name])}
    if not different:
        return template
    document = _compose(template)
    resources = _child(document, "Resources")
    for name, table in different.items():
        node = _child(_child(resources, name), "Properties")
        kept = [pair for pair in node.value if pair[0].value not in {_INDEXES, _ATTRIBUTES}]
        node.value = [*kept, *_unquoted(_compose(json.dumps(table.properties()))).value]
    return short_yaml(document)


def _compose(text: str) -> Any:
    return yaml.compose(text, yaml.SafeLoader)


def _unquoted(node: Any) -> Any:
    """The same node with fewer characters: CloudFormation takes at most 51,200 bytes."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _unquoted(key)
            _unquoted(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _unquoted(value)
    elif node.value != "N":  # YAML 1.1 reads it as "no"
        node.style = None
    return node


def _child(node: Any, name: str) -> Any:
    return next(value for key, value in node.value if key.value == name)


def _plain(node: Any) -> Any:
    """A node as plain data. CloudFormation's functions are only their arguments."""
    if isinstance(node, yaml.MappingNode):
        found = {key.value: _plain(value) for key, value in node.value}
        return found.get("Fn::Sub", found)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value) for value in node.value]
    return node.value
