"""The rows in `rows.json`, which the version before wrote, and what it answered about them.

`python -m tests.upgrade.stored` writes the file again, with the version before (`versions.BEFORE`).
"""

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

import tests.support.fixtures  # noqa: F401  # first: it sets the product's environment
from chalicelib.domain.timing import WATCH
from chalicelib.store.models import MODELS, Channel
from tests.faults.invariants import check_settled
from tests.faults.trials import recover, warm_up
from tests.support.embedded import Cloud, Functions, client
from tests.upgrade import story, versions
from tests.upgrade.versions import BEFORE, Mix

PATH = Path(__file__).parent / "rows.json"
# The version before has no channels.
TABLES = tuple(model.Meta.table_name for model in MODELS if model is not Channel)
Item = dict[str, Any]


def stored() -> Any:
    """The content of the file: `commit`, `now`, `tables` with their items, `answers` by path."""
    return json.loads(PATH.read_text())


@contextmanager
def told(functions: Functions | None = None) -> Iterator[Cloud]:
    """A cloud in which the story was told, by the present version or by `functions`."""
    warm_up()
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        story.fix_ids(monkeypatch)
        logging.disable(logging.CRITICAL)
        try:
            cloud = Cloud(monkeypatch, functions)
            story.tell(cloud)
        finally:
            logging.disable(logging.NOTSET)
        yield cloud


@contextmanager
def restored() -> Iterator[Cloud]:
    """A cloud with the rows of the file, and with the state of AWS that they were written with."""
    with told() as cloud:
        file = stored()
        dynamodb = client("dynamodb")
        for table in TABLES:
            for item in _items(table):
                dynamodb.delete_item(TableName=table, Key=_key(table, item))
            for item in file["tables"][table]:
                dynamodb.put_item(TableName=table, Item=item)
        assert cloud._now == file["now"], "the story has changed: write rows.json again"
        yield cloud


def end_all(cloud: Cloud, accepted: Collection[str] = (), others: Collection[str] = ()) -> None:
    """Let all work end, let each service be looked at once more, and check the invariants.

    The parameters are those of `check_settled`.
    """
    recover(cloud)
    cloud.advance(WATCH)
    recover(cloud)
    check_settled(set(accepted), others)


def paths(tables: dict[str, list[Item]]) -> list[str]:
    """The paths of the API that show the rows."""
    found = ["/v1/services", "/v1/cicd/queue", "/v1/cicd/jobs?limit=100", "/v1/audit?limit=100"]
    found += ["/v1/projects", "/v1/tokens", "/v1/webhooks/github/deliveries", "/v1/cicd/metrics"]
    for item in tables["slipway-projects"]:
        number = item["id"]["N"]
        found += [f"/v1/projects/{number}", f"/v1/projects/{number}/services"]
        found += [f"/v1/cicd/projects/{number}/metrics"]
    for item in tables["slipway-services"]:
        if "deleted_at" not in item:
            path, cicd = (f"/v1{each}/services/{item['id']['N']}" for each in ("", "/cicd"))
            found += [path, f"{path}/config", f"{path}/access", f"{cicd}/metrics"]
            found += [f"{cicd}/builds?limit=100", f"{cicd}/deployments?limit=100"]
    for item in tables["slipway-jobs"]:
        noun = {"build": "builds", "deploy": "deployments"}[item["kind"]["S"]]
        found += [f"/v1/cicd/jobs/{item['id']['S']}", f"/v1/cicd/{noun}/{item['number']['N']}"]
    for item in tables["slipway-tokens"]:
        found.append(f"/v1/tokens/{item['number']['N']}")
    for item in tables["slipway-receipts"]:
        kind, _, rest = item["id"]["S"].partition(":")
        if kind == "release":
            number, _, _ = rest.partition(":")
            found.append(f"/v1/cicd/deployments/{number}/receipt")
        if rest.startswith("all:"):
            found.append(f"/v1/webhooks/github/deliveries/{rest.removeprefix('all:')}")
    return sorted(found)


def _items(table: str) -> list[Item]:
    pages = client("dynamodb").get_paginator("scan").paginate(TableName=table)
    found = [item for page in pages for item in page["Items"]]
    return sorted(found, key=lambda item: json.dumps(_key(table, item)))


def _key(table: str, item: Item) -> Item:
    described = client("dynamodb").describe_table(TableName=table)["Table"]
    return {each["AttributeName"]: item[each["AttributeName"]] for each in described["KeySchema"]}


def _in_lines(value: Any, depth: int = 0) -> str:
    """JSON with a line for each row and each answer, so that a difference can be read."""
    if depth == 3 or not isinstance(value, dict | list) or (depth == 2 and isinstance(value, dict)):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    if isinstance(value, list):
        return "[\n" + ",\n".join(_in_lines(each, depth + 1) for each in value) + "\n]"
    named = (f"{json.dumps(name)}: {_in_lines(each, depth + 1)}" for name, each in value.items())
    return "{\n" + ",\n".join(named) + "\n}"


def main() -> None:
    """Let the version before tell the story, and keep its rows and answers."""
    with told(Mix(versions.only_before).functions()) as cloud:
        tables = {table: _items(table) for table in TABLES}
        answers = {}
        for path in paths(tables):
            answer = cloud.api.get(path)
            assert answer.status == 200, f"{path}: {answer.text}"
            answers[path] = answer.body
        content = {"commit": BEFORE, "now": cloud._now, "tables": tables, "answers": answers}
        PATH.write_text(_in_lines(content) + "\n")
    print(f"{PATH}: {sum(map(len, tables.values()))} rows, {len(answers)} answers")


if __name__ == "__main__":
    main()
