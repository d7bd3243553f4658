"""Patches that make moto and botocore fast enough for thousands of calls.

No patch changes a response.
"""

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

_tables: dict[str, Table] = {}


def install() -> None:
    """Compute once what moto and botocore compute again in every call."""
    _cache(botocore.useragent, "sanitize_user_agent_string_component")
    _cache(moto.core.responses, "method_names_from_class")
    _cache(moto.core.responses, "camelcase_to_underscores")
    _cache_service_models()
    _skip_signatures()
    _cache_update_expressions()
    _cache_checks_of_expression_nodes()
    _cache_checks_of_clauses()
    _skip_serializing_attribute_values()
    _pick_members_by_exact_name()
    # AWS's service models fill the heap. With the default thresholds, garbage collection takes
    # an eighth of a run.
    gc.set_threshold(100_000, 50, 100)


def _cache(module: Any, name: str) -> None:
    setattr(module, name, functools.cache(getattr(module, name)))


def _cache_service_models() -> None:
    """PynamoDB makes a session for each of Slipway's models, and each session reads the files."""
    loader: Any = JSONFileLoader
    read: Any = loader.load_file
    cache: dict[str, Any] = {}

    def load_file(self: Any, path: str) -> Any:
        if path not in cache:
            cache[path] = read(self, path)
        return cache[path]

    loader.load_file = load_file


def _skip_signatures() -> None:
    """moto verifies no signature. It reads the access key, region and service in the header."""
    signer: Any = SigV4Auth
    sign: Any = signer.add_auth

    def add_auth(self: Any, request: Any) -> None:
        if type(self) is not signer:  # S3's signer also sets how the body is sent
            sign(self, request)
            return
        scope = f"{self._region_name}/{self._service_name}/aws4_request"
        caller = f"Credential={self.credentials.access_key}/20260101/{scope}"
        request.headers["Authorization"] = f"AWS4-HMAC-SHA256 {caller}"

    signer.add_auth = add_auth


def _cache_update_expressions() -> None:
    """Parse each expression once: a validator copies the tree before it changes it."""
    parsers: Any = expressions
    parser = parsers.UpdateExpressionParser
    parser.make = functools.cache(parser.make)


def _cache_checks_of_expression_nodes() -> None:
    """Check once per node type whether a validator processes it, not once per node."""
    nodes: Any = ast_nodes
    no_hook: Any = nodes.DepthFirstTraverser.pre_processing_of_child
    processed_by: dict[type, dict[type, bool]] = {}
    is_node: Any = functools.cache(lambda kind: issubclass(kind, nodes.Node))

    def traverse(self: Any, root: Any) -> Any:
        processed = processed_by.setdefault(type(self), {})
        has_hook = type(self).pre_processing_of_child is not no_hook

        def walk(node: Any, child_id: int) -> Any:
            parent, kind = node.parent, type(node)
            for index, child in enumerate(node.children or ()):
                if has_hook:
                    self.pre_processing_of_child(node, index)
                if is_node(type(child)):
                    walk(child, index)
            if kind not in processed:
                processed[kind] = issubclass(kind, self.nodes_to_be_processed())
            if processed[kind]:
                node = self.process(node)
                node.parent = parent
                if parent:
                    parent.children[child_id] = node
            return node

        return walk(root, -1)

    nodes.DepthFirstTraverser.traverse = traverse


def _cache_checks_of_clauses() -> None:
    """Check once per node type whether it can contain clauses."""
    nodes: Any = ast_nodes
    containers = nodes.Expression | nodes.UpdateExpressionFunction
    is_container: Any = functools.cache(lambda kind: issubclass(kind, containers))

    def find_clauses(self: Any, wanted: Any) -> list[Any]:
        found = []
        for child in self.children or ():
            if type(child) in wanted:
                found.append(child)
            elif is_container(type(child)):
                found += child.find_clauses(wanted)
        return found

    nodes.Node.find_clauses = find_clauses


def make_clients() -> None:
    """Create the product's clients before a fork, so that copies of this process share them."""
    for service in ("codebuild", "ecr", "ecs", "iam", "logs", "secretsmanager", "sqs", "ssm"):
        clients.client(service)


def _skip_serializing_attribute_values() -> None:
    """moto stores them in the form of the response, but looks for ten types in each of them."""
    original: Any = BaseJSONSerializer._serialize_type_structure

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: Any, *more: Any) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict):
            serialized[key] = value
        else:
            original(self, serialized, value, shape, key, *more)

    BaseJSONSerializer._serialize_type_structure = serialize  # type: ignore[method-assign]


def _pick_members_by_exact_name() -> None:
    """Skip the search for other spellings if a dict has the member under its exact name."""
    original: Any = AttributePicker.__call__

    def pick(self: AttributePicker, context: AttributePickerContext) -> Any:
        if type(context.obj) is dict and not self.response_transformers:
            found = context.obj.get(context.key)
            if found is not None:
                return found
        return original(self, context)

    AttributePicker.__call__ = pick  # type: ignore[method-assign]


def create_tables(region: str = "eu-west-1", account: str = "123456789012") -> None:
    """Create the product's tables. Later calls reuse the first tables, emptied."""
    backend = dynamodb_backends[account][region]
    if not _tables:
        tables.create_tables()
        _tables.update(backend.tables)
    for table in _tables.values():
        table.items.clear()
    backend.tables = dict(_tables)
