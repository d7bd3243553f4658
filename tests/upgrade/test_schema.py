"""The schema of the rows: migrations that run meanwhile, and versions that are too old for it."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from chalicelib.domain.schema import ROW, SCHEMA
from chalicelib.store import schema
from chalicelib.store.models import Claim, Service
from chalicelib.store.tokens import USED_EVERY
from infra.upgrade import read_schema, upgrade
from tests.faults.injector import Injector
from tests.faults.rows import rows
from tests.support.embedded import Cloud, client, sha
from tests.support.sdk import Calls, Killed


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Ends the process: the next commit is the first of a new one."""

    def end() -> None:
        monkeypatch.setattr(schema, "_is_checked", False)

    monkeypatch.setattr(os, "environ", os.environ.copy())
    yield end
    monkeypatch.undo()


def store(number: int) -> None:
    """Another version has raised the schema of the rows."""
    Claim(ROW, value=number).save()


def make_old(*numbers: int) -> None:
    for number in numbers:
        Service.get(number).update(actions=[Service.listed.remove()])


def start_again() -> None:
    """Two services are older than the list, and no migration has run."""
    client("dynamodb").delete_item(TableName="slipway-claims", Key={"id": {"S": ROW}})
    make_old(1, 2)


def listed(cloud: Cloud) -> list[int]:
    return [each["id"] for each in cloud.api.get("/v1/services").body["items"]]


def test_a_version_that_is_too_old_for_the_rows_changes_nothing(
    cloud: Cloud, new_process: Callable[[], None], calls: Calls
) -> None:
    cloud.handlers_may_fail = True
    cloud.push(sha(1))
    store(SCHEMA + 2)
    new_process()
    cloud.advance(USED_EVERY)
    tables = ("services", "jobs", "claims", "receipts", "tokens")
    before = {table: rows(table) for table in tables}
    calls.clear()
    refused = cloud.push(sha(2))
    assert refused.status == 503
    said = f"the rows have schema {SCHEMA + 2}, and this version of Slipway knows {SCHEMA}"
    assert said in refused.body["detail"]
    assert cloud.api.post("/v1/projects", {"name": "new"}).status == 503
    assert cloud.api.get("/v1/cicd/builds/1").body["status"] == "queued"
    cloud.pump.deliver_messages()
    cloud.tick()
    assert {table: rows(table) for table in tables} == before
    outside = [name for name in calls.counted if not name.startswith(("dynamodb.", "sqs."))]
    assert all(
        name.partition(".")[2].startswith(("Describe", "Get", "List", "Batch")) for name in outside
    )


def test_the_version_before_works_with_rows_of_the_next_schema_and_lowers_it(
    cloud: Cloud, new_process: Callable[[], None]
) -> None:
    store(SCHEMA + 1)
    new_process()
    cloud.release(1)
    assert cloud.service()["current_deployment_id"] == 1
    assert Claim.get(ROW).value == SCHEMA


def test_two_processes_of_the_version_before_that_begin_at_once_both_work(
    cloud: Cloud, new_process: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(SCHEMA + 1)
    new_process()
    lower = schema._lower

    def lower_second(row: Claim) -> bool:
        Claim.get(ROW).update(actions=[Claim.value.set(SCHEMA)])
        return lower(row)

    monkeypatch.setattr(schema, "_lower", lower_second)
    cloud.push(sha(1))
    assert cloud.build(1)["status"] == "queued"
    assert Claim.get(ROW).value == SCHEMA


def test_a_process_looks_at_the_schema_once(
    cloud: Cloud, new_process: Callable[[], None], calls: Calls
) -> None:
    new_process()
    for name in ("one", "two"):
        assert cloud.api.post("/v1/projects", {"name": name}).status == 201
    read = [each for each in calls.to("dynamodb.GetItem") if each["Key"] == {"id": {"S": ROW}}]
    assert len(read) == 1


def test_the_migration_raises_the_schema_once_all_services_are_listed(cloud: Cloud) -> None:
    second, deleted = cloud.add_service("second"), cloud.add_service("deleted")
    make_old(1, second, deleted)
    assert cloud.api.delete(f"/v1/services/{deleted}").status == 204
    assert listed(cloud) == []
    assert read_schema(client("dynamodb"), "slipway") == 0
    assert upgrade({}) == 2
    assert listed(cloud) == [second, 1]
    assert read_schema(client("dynamodb"), "slipway") == SCHEMA
    make_old(1)
    assert upgrade({}) == 0


def test_a_migration_that_dies_at_any_call_is_continued(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.add_service("second")
    faults = Injector(monkeypatch)
    number = 0
    while True:
        start_again()
        faults.reset()
        faults.fail(number, "the process died after the call")
        try:
            upgrade({})
        except Killed:
            is_raised = read_schema(client("dynamodb"), "slipway") == SCHEMA
            assert not is_raised or len(listed(cloud)) == 2
        else:
            break
        upgrade({})
        assert listed(cloud) == [2, 1]
        assert Claim.get(ROW).value == SCHEMA
        number += 1
    assert number >= 5


def migrate_at(at: int, changed: list[int], number: int, name: str) -> None:
    """After call `at` of a migration, another one runs completely."""
    if number == at:
        changed.append(upgrade({}))


def test_two_migrations_at_once_are_harmless(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.add_service("second")
    faults = Injector(monkeypatch)
    number = 0
    while True:
        start_again()
        faults.reset()
        others: list[int] = []
        faults.after = partial(migrate_at, number, others)
        upgrade({})
        assert listed(cloud) == [2, 1]
        assert Claim.get(ROW).value == SCHEMA
        if not others:
            break
        number += 1
    assert number >= 5


def test_the_schema_stays_low_if_the_version_before_writes_during_the_migration(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback during the migration: the rows are gone over again."""
    store(0)
    cloud.add_service("second")
    faults = Injector(monkeypatch)

    def write_as_before(number: int, name: str) -> None:
        is_first_scan = faults.names.count("dynamodb.Scan") == 1
        if name == "dynamodb.Scan" and is_first_scan:
            make_old(2)
            Claim.get(ROW).update(actions=[Claim.value.set(0)])

    faults.after = write_as_before
    assert upgrade({}) == 1
    assert listed(cloud) == [2, 1]
    assert faults.names.count("dynamodb.Scan") == 4


def test_what_replaced_functions_have_begun_ends_before_the_migration(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of the version before may write for 31 seconds after its function was replaced."""

    def sleep(seconds: float) -> None:
        assert seconds == 31
        make_old(1)

    monkeypatch.setattr(time, "sleep", sleep)
    assert upgrade({}, replaced=True) == 1
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("there is no migration to run"))
    assert upgrade({}, replaced=True) == 0
