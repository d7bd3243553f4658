"""What makes moto and botocore fast enough for thousands of calls; none of it changes an answer."""

import functools
import gc
from typing import Any

import botocore.useragent
import moto.core.responses
from botocore.auth import SigV4Auth
from botocore.loaders import JSONFileLoader
from moto.core.serialize import AttributePicker, AttributePickerContext, BaseJSONSerializer
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import ast_nodes, expressions

from chalicelib.aws import clients
from chalicelib.store import tables

_made: dict[str, Table] = {}


def install() -> None:
    """Make what is computed anew in every call, and is always the same, only once."""
    _remember(botocore.useragent, "sanitize_user_agent_string_component")
    _remember(moto.core.responses, "method_names_from_class")
    _remember(moto.core.responses, "camelcase_to_underscores")
    _read_models_once_each()
    _name_the_caller_without_a_signature()
    _parse_update_expressions_once_each()
    _walk_update_expressions_once_each()
    _find_clauses_by_kind()
    _send_attribute_values_as_they_are()
    _take_what_is_named_alike()
    # The models of AWS fill the heap: walking it for garbage every few calls is an eighth of a run.
    gc.set_threshold(100_000, 50, 100)


def _remember(module: Any, name: str) -> None:
    setattr(module, name, functools.cache(getattr(module, name)))


def _read_models_once_each() -> None:
    """Each session has a loader of its own; PynamoDB makes a session for each of our models."""
    loader: Any = JSONFileLoader
    read: Any = loader.load_file
    known: dict[str, Any] = {}

    def load_file(self: Any, path: str) -> Any:
        if path not in known:
            known[path] = read(self, path)
        return known[path]

    loader.load_file = load_file


def _name_the_caller_without_a_signature() -> None:
    """Nobody here verifies one; of the header, moto reads who calls whom."""
    signer: Any = SigV4Auth
    sign: Any = signer.add_auth

    def add_auth(self: Any, request: Any) -> None:
        if type(self) is not signer:  # that of S3 also says how the body is sent
            sign(self, request)
            return
        scope = f"{self._region_name}/{self._service_name}/aws4_request"
        caller = f"Credential={self.credentials.access_key}/20260101/{scope}"
        request.headers["Authorization"] = f"AWS4-HMAC-SHA256 {caller}"

    signer.add_auth = add_auth


def _parse_update_expressions_once_each() -> None:
    """What validates a tree copies it first, so that the one of an equal expression is as good."""
    parsers: Any = expressions
    parser = parsers.UpdateExpressionParser
    parser.make = functools.cache(parser.make)


def _walk_update_expressions_once_each() -> None:
    """Which kinds of nodes a validator changes is asked once, not for each node of each tree."""
    nodes: Any = ast_nodes
    deaf: Any = nodes.DepthFirstTraverser.pre_processing_of_child
    known: dict[type, dict[type, bool]] = {}
    is_node: Any = functools.cache(lambda kind: issubclass(kind, nodes.Node))

    def traverse(self: Any, root: Any) -> Any:
        wanted = known.setdefault(type(self), {})
        listens = type(self).pre_processing_of_child is not deaf

        def walk(node: Any, child_id: int) -> Any:
            parent, kind = node.parent, type(node)
            for index, child in enumerate(node.children or ()):
                if listens:
                    self.pre_processing_of_child(node, index)
                if is_node(type(child)):
                    walk(child, index)
            if kind not in wanted:
                wanted[kind] = issubclass(kind, self.nodes_to_be_processed())
            if wanted[kind]:
                node = self.process(node)
                node.parent = parent
                if parent:
                    parent.children[child_id] = node
            return node

        return walk(root, -1)

    nodes.DepthFirstTraverser.traverse = traverse


def _find_clauses_by_kind() -> None:
    """Which kinds of nodes hold clauses is asked once for each kind."""
    nodes: Any = ast_nodes
    holders = nodes.Expression | nodes.UpdateExpressionFunction
    holds: Any = functools.cache(lambda kind: issubclass(kind, holders))

    def find_clauses(self: Any, wanted: Any) -> list[Any]:
        found = []
        for child in self.children or ():
            if type(child) in wanted:
                found.append(child)
            elif holds(type(child)):
                found += child.find_clauses(wanted)
        return found

    nodes.Node.find_clauses = find_clauses


def make_clients() -> None:
    """The product's clients, so that copies of this process need not make their own."""
    for service in ("codebuild", "ecr", "ecs", "logs", "secretsmanager", "sqs"):
        clients.client(service)


def _send_attribute_values_as_they_are() -> None:
    """They are kept in the form they are sent in; moto looks for ten types in each of them."""
    original: Any = BaseJSONSerializer._serialize_type_structure

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: Any, *more: Any) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict):
            serialized[key] = value
        else:
            original(self, serialized, value, shape, key, *more)

    BaseJSONSerializer._serialize_type_structure = serialize  # type: ignore[method-assign]


def _take_what_is_named_alike() -> None:
    """A dict that has the member itself needs no search under other spellings of its name."""
    original: Any = AttributePicker.__call__

    def pick(self: AttributePicker, context: AttributePickerContext) -> Any:
        if type(context.obj) is dict and not self.response_transformers:
            found = context.obj.get(context.key)
            if found is not None:
                return found
        return original(self, context)

    AttributePicker.__call__ = pick  # type: ignore[method-assign]


def create_tables(region: str = "eu-west-1", account: str = "123456789012") -> None:
    """Make the product's tables; from the second time on, by emptying the first ones."""
    backend = dynamodb_backends[account][region]
    if not _made:
        tables.create_tables()
        _made.update(backend.tables)
    for table in _made.values():
        table.items.clear()
    backend.tables = dict(_made)
