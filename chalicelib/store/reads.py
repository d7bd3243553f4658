"""Reads: consistent by key, in pages by index. DynamoDB's failures become Slipway's errors."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import msgspec
from pynamodb.attributes import Attribute
from pynamodb.exceptions import DoesNotExist, PynamoDBException
from pynamodb.indexes import Index
from pynamodb.models import Model

from chalicelib import budget
from chalicelib.errors import NotFound, Unavailable

# The keys of one BatchGetItem (DynamoDB's API reference).
MOST_KEYS = 100
# A list with a filter searches so many pages of a hundred rows for one page of its own.
_SEARCHED_PAGES = 10
_PERMANENT = {"AccessDeniedException", "ResourceNotFoundException", "ValidationException"}

_M = TypeVar("_M", bound=Model)


class Page(msgspec.Struct, Generic[_M], frozen=True):
    """Rows, newest first. `before` is the parameter of the next page, None on the last one."""

    rows: list[_M]
    before: int | None


def code_of(error: PynamoDBException) -> str:
    """DynamoDB's code for a failed call, or "no answer"."""
    # PynamoDB's `cause_response_code` fails for a time-out, which has `response` None.
    response = getattr(error.cause, "response", None) or {}
    return str(response.get("Error", {}).get("Code", "no answer"))


def failure(error: PynamoDBException) -> Exception:
    """The error to raise for a failed call: Unavailable if a retry may help.

    A permanent failure (wrong request, no permission, no table) is a fault of Slipway or of the
    installation. It is returned unchanged.
    """
    code = code_of(error)
    if code in _PERMANENT:
        return error
    return Unavailable(f"the database did not answer ({code})")


@contextmanager
def reading() -> Iterator[None]:
    """Turn PynamoDB's failures inside the block into the errors of `failure`."""
    budget.check()
    try:
        yield
    except DoesNotExist:
        raise
    except PynamoDBException as error:
        raise failure(error) from error


def get(model: type[_M], key: int | str, *, missing: str) -> _M:
    """The row, by a consistent read; raises NotFound with the text `missing`."""
    found = find(model, key)
    if found is None:
        raise NotFound(missing)
    return found


def find(model: type[_M], key: int | str) -> _M | None:
    """The row, by a consistent read, or None."""
    with reading():
        try:
            return model.get(key, consistent_read=True)
        except DoesNotExist:
            return None


def find_all(
    model: type[_M], keys: Iterable[int | str], only: list[str] | None = None
) -> dict[int | str, _M]:
    """The rows with these keys, by key, in consistent reads of up to a hundred rows.

    With `only` they have no other attributes. The names are those in the table.
    """
    name = str(model._hash_keyname)
    return {getattr(row, name): row for row in batches(model, set(keys), only)}


def batches(model: type[_M], keys: Iterable[Any], only: list[str] | None = None) -> Iterator[_M]:
    """The rows with these keys, in any order, in consistent reads of up to a hundred rows.

    The budget is checked before each of these reads. `only` is that of `find_all`.
    """
    rest = list(keys)
    for first in range(0, len(rest), MOST_KEYS):
        with reading():
            part = rest[first : first + MOST_KEYS]
            rows = list(model.batch_get(part, consistent_read=True, attributes_to_get=only))
        yield from rows


def page(
    index: Index[_M],
    key: int | str,
    number: Attribute[int],
    *,
    limit: int,
    before: int | None,
) -> Page[_M]:
    """One page of `index` under `key`, newest first: rows whose `number` is less than `before`."""
    condition = None if before is None else number < before
    with reading():
        found = index.query(key, condition, limit=limit, page_size=limit, scan_index_forward=False)
        rows = list(found)
    more = found.last_evaluated_key is not None
    return Page(rows, getattr(rows[-1], number.attr_name) if rows and more else None)


def page_of_ids(
    index: Index[_M],
    model: type[_M],
    key: int | str,
    number: Attribute[int],
    *,
    limit: int,
    before: int | None,
) -> Page[_M]:
    """Like `page`, for an index of ids: the rows are read from the table.

    Such an index costs one written unit for each row, whatever changes in the row later.
    """
    return page_of_keys(index, model, [key], number, limit=limit, before=before)


def page_of_keys(
    index: Index[_M],
    model: type[_M],
    keys: Sequence[int | str],
    number: Attribute[int],
    *,
    limit: int,
    before: int | None,
) -> Page[_M]:
    """Like `page_of_ids`, of the rows under any of `keys`. No row may be under two of them."""

    def position(row: _M) -> int:
        return int(getattr(row, number.attr_name))

    pages = [page(index, key, number, limit=limit, before=before) for key in keys]
    found = sorted((row for each in pages for row in each.rows), key=position, reverse=True)
    more = len(found) > limit or any(each.before is not None for each in pages)
    name = str(model._hash_keyname)
    keys_of_rows = [getattr(row, name) for row in found[:limit]]
    rows = find_all(model, keys_of_rows)
    return Page(
        [rows[each] for each in keys_of_rows if each in rows],
        position(found[:limit][-1]) if more else None,
    )


def page_of_few(
    model: type[_M],
    keys: Iterable[int | str],
    matches: Callable[[_M], bool],
    number: Attribute[int],
    *,
    limit: int,
    before: int | None,
) -> Page[_M]:
    """A page of those rows with `keys` that match, newest first. Each page reads all the rows."""

    def position(row: _M) -> int:
        return int(getattr(row, number.attr_name))

    rows = [row for row in find_all(model, keys).values() if matches(row)]
    rest = [row for row in rows if before is None or position(row) < before]
    shown = sorted(rest, key=position, reverse=True)[:limit]
    return Page(shown, position(shown[-1]) if len(rest) > limit else None)


def search(
    read: Callable[[int | None], Page[_M]],
    matches: Callable[[_M], bool],
    number: Attribute[int],
    *,
    limit: int,
    before: int | None,
) -> Page[_M]:
    """A page of the rows that match, newest first.

    `read` reads a page before a number. The search ends after a thousand rows: the page may then
    have fewer rows than `limit`, and the next page goes on.
    """
    rows: list[_M] = []
    for _ in range(_SEARCHED_PAGES):
        found = read(before)
        for row in found.rows:
            if not matches(row):
                continue
            rows.append(row)
            if len(rows) == limit:
                is_last = found.before is None and row is found.rows[-1]
                return Page(rows, None if is_last else getattr(row, number.attr_name))
        before = found.before
        if before is None:
            break
    return Page(rows, before)
