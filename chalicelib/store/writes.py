"""Writes are values; `commit` merges those on one row and applies all of them, or none.

A write describes the change of one row. A commit is one TransactWriteItems, on condition of the
version of each row that was read. botocore repeats it under one ClientRequestToken, so a lost
answer does not apply it twice. The change of one row alone is an UpdateItem, which costs half. It
leaves a mark in the row, so that its repetition after a lost answer is known from a conflict. A
commit also changes the rows in memory, so that a row that was read and changed equals the stored
one.
"""

import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from pynamodb.connection.base import BOTOCORE_EXCEPTIONS
from pynamodb.constants import ALL_OLD, UPDATE_ITEM
from pynamodb.exceptions import PutError, PynamoDBException, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import budget, clock
from chalicelib.domain.telling import PATIENCE, Event
from chalicelib.errors import Stale, Unavailable
from chalicelib.store.channels import channels_told, event_of_job, lasting_events, state_of_job
from chalicelib.store.connection import connection
from chalicelib.store.models import DUE, Job, Service
from chalicelib.store.reads import code_of, failure
from chalicelib.store.reports import report
from chalicelib.store.schema import check_schema

logger = logging.getLogger("slipway")

CONFLICT_TRIES = 5
MAX_WRITES = 100  # in one transaction: "Amazon DynamoDB Transactions: How it works"
_FAILED, _CONFLICT = "ConditionalCheckFailed", "TransactionConflict"
# The attribute of a row that names its last UpdateItem. No model has it: only a refusal shows it.
_MARK = "mark"
# Called after a commit with the rows that channels are to be told of. `pipeline.telling` adds one.
tellers: list[Callable[[Sequence[Any]], None]] = []


class Add(msgspec.Struct, frozen=True):
    """Members to add to a set attribute."""

    members: frozenset[Any]


class Discard(msgspec.Struct, frozen=True):
    """Members to remove from a set attribute."""

    members: frozenset[Any]


class Write(msgspec.Struct, frozen=True):
    """One conditional change of one row.

    `values` maps attributes to their new values; None removes the attribute, `Add` and `Discard`
    change a set. `actions` are update actions that depend on the stored row, and `counts` are
    numbers to add to attributes; neither changes the row in memory. A `new` row must not exist yet;
    a `gone` row is deleted. With `versioned` the row must still have the version that was read,
    otherwise only `condition` must hold. `also` are writes that belong to this one, in the same
    commit. `is_told` is set by `commit`, if channels are to be told of the row.
    """

    row: Model
    values: dict[str, Any] = msgspec.field(default_factory=dict)
    actions: tuple[Action, ...] = ()
    counts: Mapping[str, int] = msgspec.field(default_factory=dict)
    new: bool = False
    gone: bool = False
    condition: Condition | None = None
    versioned: bool = True
    also: tuple["Write", ...] = ()
    is_told: bool = False


class ConditionFailed(Stale):
    """Some `rows` did not meet the conditions of their writes.

    `existing` are those of them that the commit wanted to create.
    """

    def __init__(self, failed: Sequence[Write]) -> None:
        super().__init__("another request changed the same rows; try again")
        self.rows = tuple(write.row for write in failed)
        self.existing = tuple(write.row for write in failed if write.new)


def create(row: Model) -> Write:
    """Write a row that must not exist yet."""
    return Write(row, new=True)


def change(row: Model, **values: Any) -> Write:
    """Set attributes of a row, on condition that it has not changed since it was read."""
    return Write(row, values)


def remove(row: Model, *, versioned: bool = True) -> Write:
    """Delete a row, on condition that it has not changed; if not `versioned`, in any version."""
    return Write(row, gone=True, versioned=versioned)


def count(row: Model, counts: Mapping[str, int]) -> Write:
    """Add numbers to attributes of a row, in any version. A row or attribute may not exist yet."""
    return Write(row, counts=counts, versioned=False)


def add(*members: Any) -> Add:
    """A value for `change` that adds members to a set attribute."""
    return Add(frozenset(members))


def discard(*members: Any) -> Discard:
    """A value for `change` that removes members from a set attribute."""
    return Discard(frozenset(members))


def commit(*writes: Write) -> None:
    """Apply all writes in one transaction, and then to the rows in memory.

    Raises ConditionFailed (a Stale) when a row was changed since it was read, Stale when other
    transactions keep changing the same rows, Unavailable when DynamoDB does not answer or
    throttles, or when the rows have a newer schema.
    """
    merged = [_with_telling(each) for each in _merge(_with_others(writes))]
    told = [write.row for write in merged if write.is_told]
    check_schema()
    # The same for all tries: a conflict may hide that an earlier try was applied.
    mark = secrets.token_hex(4)
    for attempt in range(CONFLICT_TRIES):
        budget.check()
        codes = _send(merged, mark)
        if not codes:
            for write in merged:
                _apply(write)
            _report(merged)
            for tell in tellers if told else ():
                tell(told)
            return
        if _FAILED in codes:
            # DynamoDB lists the reasons in the order in which PynamoDB sends the writes.
            sent = zip(_as_sent(merged), codes, strict=True)
            raise ConditionFailed([each for each, code in sent if code == _FAILED])
        # botocore retries all other temporary failures itself, but not a conflict. Roll-ups have
        # many writers. If all tries conflict, the commit has no effect: a request repeats it
        # within its budget (`retry_on_conflict`), and a worker with its next step.
        if attempt + 1 < CONFLICT_TRIES:
            pause = random.uniform(0.02, 0.1) * 2**attempt
            time.sleep(min(pause, max(0, budget.left())))
    raise Stale("other requests keep changing the same rows; try again")


def keep(row: Model) -> None:
    """Write a new row now and alone, which costs half of a write in a transaction.

    It is for rows to which the next commit refers, and whose key belongs to one content: without
    the commit nothing leads to the row, and a row with this key is the same, written by an earlier
    try.

    Raises Unavailable like `commit`.
    """
    check_schema()
    budget.check()
    try:
        row.save(type(row)._hash_key_attribute().does_not_exist(), add_version_condition=False)
    except PutError as error:
        if code_of(error).removesuffix("Exception") != _FAILED:
            raise failure(error) from error


def commit_if_possible(*writes: Write) -> None:
    """Apply writes on which nothing depends. A failure is only logged, also a denied write."""
    try:
        commit(*writes)
    except (PynamoDBException, Stale, Unavailable) as failed:
        logger.info("not written: %s", failed)


def _with_others(writes: Iterable[Write]) -> Iterator[Write]:
    for write in writes:
        yield replace(write, also=())
        yield from write.also


def _send(writes: Sequence[Write], mark: str) -> list[str]:
    """Apply all writes, or return why not: a code for each of `_as_sent`, "" for the others.

    `mark` is that of an UpdateItem. Some code is _FAILED or _CONFLICT. Raises the errors of
    `failure` for all other reasons.
    """
    try:
        if len(writes) == 1 and _may_go_alone(writes[0]):
            _update_alone(writes[0], mark)
        else:
            _transact(writes)
    except TransactWriteError as error:
        codes = [reason.code if reason else "" for reason in error.cancellation_reasons]
        if not {_FAILED, _CONFLICT}.intersection(codes):
            raise failure(error) from error
        return codes
    except UpdateError as error:
        code = code_of(error).removesuffix("Exception")
        if code not in {_FAILED, _CONFLICT}:
            raise failure(error) from error
        return [code]
    return []


def _may_go_alone(write: Write) -> bool:
    """Whether a repetition of the write after a lost answer has no second effect."""
    return write.versioned and not write.new and not write.gone


def _update_alone(write: Write, mark: str) -> None:
    request = write.row.get_update_kwargs_from_instance(
        [*_actions(write), *write.actions, Path([_MARK]).set(mark)],
        write.condition,
        ALL_OLD,
        add_version_condition=True,
    )
    try:
        connection().dispatch(UPDATE_ITEM, request)
    except BOTOCORE_EXCEPTIONS as error:
        # An earlier try may have been applied, and its answer lost. PynamoDB's error
        # does not have the stored row, but the one of botocore, its cause, has.
        stored = getattr(error.__cause__, "response", {}).get("Item", {})
        if stored.get(_MARK) != {"S": mark}:
            raise UpdateError(f"Failed to update item: {error}", error) from error
    write.row.update_local_version_attribute()


def _transact(writes: Sequence[Write]) -> None:
    with TransactWrite(connection=connection()) as transaction:
        for write in _deletes(writes):
            transaction.delete(write.row, add_version_condition=write.versioned)
        for write in _puts(writes):
            transaction.save(
                write.row, condition=type(write.row)._hash_key_attribute().does_not_exist()
            )
        for write in _updates(writes):
            transaction.update(
                write.row,
                actions=[*_actions(write), *write.actions],
                condition=write.condition,
                add_version_condition=write.versioned,
            )


def _actions(write: Write) -> Iterator[Action]:
    for name, value in write.values.items():
        attribute = getattr(type(write.row), name)
        if value is None:
            yield attribute.remove()
        elif isinstance(value, Add):
            yield attribute.add(set(value.members))
        elif isinstance(value, Discard):
            yield attribute.delete(set(value.members))
        else:
            yield attribute.set(value)
    for name, number in write.counts.items():
        yield Path([name]).add(number)


def _apply(write: Write) -> None:
    """Update the row in memory. PynamoDB has increased its version already."""
    for name, value in write.values.items():
        before = getattr(write.row, name)
        if isinstance(value, Add):
            value = (before or set()) | value.members
        elif isinstance(value, Discard):
            value = (before or set()) - value.members or None
        setattr(write.row, name, value)


def _report(writes: Iterable[Write]) -> None:
    """Report jobs that are new or have a new status."""
    for write in writes:
        if isinstance(write.row, Job) and (write.new or "status" in write.values):
            report(write.row, is_new=write.new)


def _with_telling(write: Write) -> Write:
    """What channels are to be told is marked by the same write. Without channels it costs nothing.

    For a new row, its attributes are set: it is written whole.
    """
    row = write.row
    if not isinstance(row, Job | Service) or not _is_news(row, write):
        return write
    now = clock.now()
    due = {"telling": DUE, "tell_at": now + PATIENCE, "news_at": now}
    if not write.new:
        return replace(write, values=write.values | due, is_told=True)
    for name, value in due.items():
        setattr(row, name, value)
    return replace(write, is_told=True)


def _is_news(row: Job | Service, write: Write) -> bool:
    """Whether some channel is to be told of the row as the write leaves it."""
    events: set[Event] = set()
    if isinstance(row, Service):
        events = set(lasting_events(row)) ^ set(lasting_events(row, write.values))
    elif write.new or state_of_job(row) != state_of_job(row, write.values):
        events = {event_of_job(row, write.values)}
    return bool(events and channels_told(row, events))


def _as_sent(writes: Sequence[Write]) -> Iterator[Write]:
    """The writes in PynamoDB's order: deletes, puts, updates."""
    yield from _deletes(writes)
    yield from _puts(writes)
    yield from _updates(writes)


def _deletes(writes: Sequence[Write]) -> Iterator[Write]:
    return (write for write in writes if write.gone)


def _puts(writes: Sequence[Write]) -> Iterator[Write]:
    return (write for write in writes if write.new)


def _updates(writes: Sequence[Write]) -> Iterator[Write]:
    return (write for write in writes if not write.new and not write.gone)


def _merge(writes: Iterable[Write]) -> list[Write]:
    """One write for each row: a transaction may name an item only once."""
    rows: dict[tuple[Any, ...], Write] = {}
    for write in writes:
        key = (write.row.Meta.table_name, *write.row._get_hash_range_key_serialized_values())
        before = rows.get(key)
        rows[key] = write if before is None else _both(before, write, key)
    return list(rows.values())


def _both(first: Write, second: Write, key: tuple[Any, ...]) -> Write:
    whole = first.new or first.gone or second.new or second.gone
    if whole or first.versioned != second.versioned:
        raise ValueError(f"writes on {key} exclude each other")
    if first.condition is not None and second.condition is not None:
        raise ValueError(f"two conditions on {key}")
    twice = first.values.keys() & second.values.keys()
    if any(first.values[name] != second.values[name] for name in twice):
        raise ValueError(f"two values for {', '.join(sorted(twice))} of {key}")
    return replace(
        first,
        values=first.values | second.values,
        actions=first.actions + second.actions,
        counts=Counter(first.counts) + Counter(second.counts),
        condition=second.condition if first.condition is None else first.condition,
    )
