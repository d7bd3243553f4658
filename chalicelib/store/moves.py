"""Moves are values; `commit` merges those on one row and writes them all, or none.

A move says what changes on a row that was read. Committing is one TransactWriteItems on condition
of every row's version, repeated by botocore under one ClientRequestToken, so a lost answer does
not apply it twice.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pynamodb.connection import Connection
from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action as Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import budget
from chalicelib.errors import Lost
from chalicelib.store.models import CONNECT_TIMEOUT, MAX_RETRIES, READ_TIMEOUT
from chalicelib.store.reads import failure

CONFLICT_TRIES = 3
MAX_MOVES = 100  # in one transaction: "Amazon DynamoDB Transactions: How it works"
_FAILED = "ConditionalCheckFailed"


@dataclass(frozen=True)
class Move:
    """A change of one row: `new` writes it where none is, `gone` deletes it; otherwise `actions`
    are applied.

    With `unless_moved` the version that was read must still stand; without it only `condition`.
    """

    row: Model
    actions: tuple[Action, ...] = ()
    new: bool = False
    condition: Condition | None = None
    unless_moved: bool = True
    gone: bool = False


class ConditionFailed(Lost):
    """Some rows were not as the moves required; `rows` are those rows."""

    def __init__(self, rows: Sequence[Model]) -> None:
        super().__init__("a row moved on before this change was written")
        self.rows = tuple(rows)


def create(row: Model) -> Move:
    """Write a row that must not exist yet."""
    return Move(row, new=True)


def change(row: Model, *actions: Action) -> Move:
    """Apply `actions` to a row, provided nobody changed it since it was read."""
    return Move(row, actions)


def remove(row: Model, *, unless_moved: bool = True) -> Move:
    """Delete a row, provided nobody changed it since it was read, or else whatever became of it."""
    return Move(row, gone=True, unless_moved=unless_moved)


def commit(*moves: Move) -> None:
    """Write all moves in one transaction.

    Raises ConditionFailed (a Lost) when a row had moved on, Lost when other transactions keep
    being on the same rows, Unavailable when DynamoDB does not answer or is throttling.
    """
    merged = _merge(moves)
    for attempt in range(CONFLICT_TRIES):
        budget.check()
        try:
            _write(merged)
            return
        except TransactWriteError as error:
            codes = [reason.code if reason else "" for reason in error.cancellation_reasons]
            if _FAILED in codes:
                # The reasons come in the order in which PynamoDB sends.
                sent = [move.row for move in _as_sent(merged)]
                lost = [row for row, code in zip(sent, codes, strict=True) if code == _FAILED]
                raise ConditionFailed(lost) from error
            if "TransactionConflict" not in codes:
                raise failure(error) from error
            # botocore does not repeat these; every other passing trouble it has repeated already.
            time.sleep(random.uniform(0.02, 0.1) * 2**attempt)
    raise Lost("other changes of the same rows are always under way")


def _write(moves: Sequence[Move]) -> None:
    with TransactWrite(connection=_connection()) as transaction:
        for move in _deletes(moves):
            transaction.delete(move.row, add_version_condition=move.unless_moved)
        for move in _puts(moves):
            transaction.save(
                move.row, condition=type(move.row)._hash_key_attribute().does_not_exist()
            )
        for move in _updates(moves):
            transaction.update(
                move.row,
                actions=list(move.actions),
                condition=move.condition,
                add_version_condition=move.unless_moved,
            )


def _as_sent(moves: Sequence[Move]) -> Iterator[Move]:
    """In PynamoDB's order, whatever the order of the calls: deletes, puts, updates."""
    yield from _deletes(moves)
    yield from _puts(moves)
    yield from _updates(moves)


def _deletes(moves: Sequence[Move]) -> Iterator[Move]:
    return (move for move in moves if move.gone)


def _puts(moves: Sequence[Move]) -> Iterator[Move]:
    return (move for move in moves if move.new)


def _updates(moves: Sequence[Move]) -> Iterator[Move]:
    return (move for move in moves if not move.new and not move.gone)


def _merge(moves: Sequence[Move]) -> list[Move]:
    """One move for each row: an item may appear in a transaction only once."""
    rows: dict[tuple[Any, ...], Move] = {}
    for move in moves:
        key = (move.row.Meta.table_name, *move.row._get_hash_range_key_serialized_values())
        before = rows.get(key)
        if before and _clash(before, move):
            raise ValueError(f"moves on {key} exclude each other")
        if before and before.condition is not None and move.condition is not None:
            raise ValueError(f"two conditions on {key}")
        rows[key] = move if before is None else _both(before, move)
    return list(rows.values())


def _clash(first: Move, second: Move) -> bool:
    whole = first.new or first.gone or second.new or second.gone
    return whole or first.unless_moved != second.unless_moved


def _both(first: Move, second: Move) -> Move:
    condition = second.condition if first.condition is None else first.condition
    return replace(first, actions=first.actions + second.actions, condition=condition)


@cache
def _connection() -> Connection:
    return Connection(
        connect_timeout_seconds=CONNECT_TIMEOUT,
        read_timeout_seconds=READ_TIMEOUT,
        max_retry_attempts=MAX_RETRIES,
    )
