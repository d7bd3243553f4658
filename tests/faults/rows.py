"""The rows of the tables, read without the product's code, so that its reads cannot hide a bug."""

from typing import Any

from moto.dynamodb.models import dynamodb_backends

Row = dict[str, Any]


def rows(table: str) -> dict[Any, Row]:
    """Every row of a table that has no range key, by hash key."""
    return {_plain(key): _row(item) for key, item in _items(table).items()}


def history() -> list[Row]:
    """Every audit entry."""
    return [_row(item) for subject in _items("history").values() for item in subject.values()]


def roll_ups() -> dict[tuple[str, str], dict[str, int]]:
    """The counters of every roll-up, by scope and day."""
    found = {}
    for days in _items("rollups").values():
        for row in map(_row, days.values()):
            found[row.pop("scope"), row.pop("day")] = row
    return found


def _items(table: str) -> Any:
    return dynamodb_backends["123456789012"]["eu-west-1"].tables[f"slipway-{table}"].items


def services() -> dict[int, Row]:
    return rows("services")


def builds(jobs: dict[str, Row] | None = None) -> dict[int, Row]:
    """The builds by number, from `jobs` or from the table."""
    return _of_kind("build", jobs)


def deployments(jobs: dict[str, Row] | None = None) -> dict[int, Row]:
    """The deployments by number, from `jobs` or from the table."""
    return _of_kind("deploy", jobs)


def _of_kind(kind: str, jobs: dict[str, Row] | None) -> dict[int, Row]:
    known = rows("jobs") if jobs is None else jobs
    return {row["number"]: row for row in known.values() if row["kind"] == kind}


def _row(item: Any) -> Row:
    return {name: _plain(value) for name, value in item.attrs.items()}


def _plain(value: Any) -> Any:
    if value.type == "N":
        return int(value.value)
    if value.type == "NS":
        return {int(number) for number in value.value}
    if value.type == "M":
        return {name: _plain(each) for name, each in value.value.items()}
    if value.type == "L":
        return [_plain(each) for each in value.value]
    if value.type == "NULL":
        return None
    return value.value
