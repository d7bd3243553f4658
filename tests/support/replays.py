"""Steps that many tests begin with run once per process. Later tests get the state after them.

Making a service and its first release takes a hundred calls to AWS. Copying their state takes less
than two of these calls. Steps are replayed only if the state before them is the same, byte by byte.
"""

import pickle
import threading
from collections.abc import Callable, Hashable
from hashlib import sha256
from io import BytesIO
from typing import Any, Protocol, TypeVar

import pytest
from moto.core.base_backend import BackendDict
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import LimitedSizeDict
from moto.dynamodb.models.table import Table

from chalicelib import known_secrets
from chalicelib.pipeline import github_app, glances, heads, line
from chalicelib.store import channels, schema
from tests.support import shared

_T = TypeVar("_T")

# What a process of the product keeps between events.
_OF_PRODUCT = (
    (known_secrets, "_known"),
    (glances, "_looks"),
    (line, "_last"),
    (schema, "_has_ends"),
    (channels, "_known"),
    (heads, "_services"),
    (heads, "_seen"),
    (heads, "_closed"),
    (github_app, "_busy_until"),
)
_RLOCK = type(threading.RLock())
# By the name of the steps and the state before them: the state after them, and their result.
_known: dict[tuple[Hashable, bytes], tuple[bytes, Any]] = {}


class Owner(Protocol):
    """An object with state beside AWS's."""

    def state(self) -> Any:
        """The state, as values that pickle can copy."""

    def set_state(self, state: Any) -> None:
        """Restore a state."""


def patches(monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of patches of a test. A patched product may do other steps."""
    kept: Any = monkeypatch
    return len(kept._setattr) + len(kept._setitem)


def replay(name: Hashable, steps: Callable[[], _T], owner: Owner | None = None) -> _T:
    """Run `steps` and return their result, or restore the state that they left the last time."""
    state = _state(owner)
    if state is None:
        return steps()
    before = name, sha256(state).digest()
    if before not in _known:
        result = steps()
        left = _state(owner)
        if left is None:
            return result
        _known[before] = left, result
    after, result = _known[before]
    # Also the first time: then no test depends on the tests before it.
    _restore(after, owner)
    return result


def _state(owner: Owner | None) -> bytes | None:
    """The state of AWS, of the process and of `owner`; None if moto's backends have functions."""
    backends: list[Any] = BackendDict._instances  # type: ignore[misc]
    aws = [
        (each, account, region, backend)
        for each in backends
        for account, region, backend in each.iter_backends()
    ]
    # The tables keep the rows of the test before until they are created.
    databases: Any = [backend for _, _, backend in dynamodb_backends.iter_backends()]
    created = {name for database in databases for name in database.tables}
    items = {name: table.items for name, table in shared.known_tables.items() if name in created}
    product = [getattr(module, name) for module, name in _OF_PRODUCT]
    file = BytesIO()
    state = aws, items, product, owner and owner.state()
    try:
        _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(state)
    except (AttributeError, pickle.PicklingError):  # moto's Parameter Store has one
        return None
    return file.getvalue()


def _restore(state: bytes, owner: Owner | None) -> None:
    aws, items, product, of_owner = pickle.loads(state)
    for backends in BackendDict._instances:  # type: ignore[misc]
        backends.clear()
    for each, account, region, backend in aws:
        dict.__setitem__(each[account], region, backend)
    for name, rows in items.items():
        table = shared.known_tables[name]
        table.items.clear()
        table.items.update(rows)
    for (module, name), value in zip(_OF_PRODUCT, product, strict=True):
        setattr(module, name, value)
    if owner is not None:
        owner.set_state(of_owner)


class _Pickler(pickle.Pickler):
    """Refers to what tests share, and makes new locks."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, BackendDict):
            _backends[id(value)] = value
            return _shared_backends, (id(value),)
        if isinstance(value, Table) and shared.known_tables.get(value.name) is value:
            return _shared_table, (value.name,)
        if type(value) is _RLOCK:
            return threading.RLock, ()
        if type(value) is LimitedSizeDict:
            return _attributes, (dict(value),)
        return NotImplemented


_backends: dict[int, Any] = {}


def _shared_backends(identity: int) -> Any:
    return _backends[identity]


def _shared_table(name: str) -> Table:
    return shared.known_tables[name]


def _attributes(values: dict[str, Any]) -> LimitedSizeDict:
    """The attributes of an item. moto would measure all of them again for each one."""
    attributes = LimitedSizeDict.__new__(LimitedSizeDict)
    dict.update(attributes, values)
    return attributes
