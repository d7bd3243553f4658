"""A commit changes the rows in memory as it changes the table."""

from typing import Any

import pytest
from pynamodb.models import Model

from chalicelib.errors import Stale, Unavailable
from chalicelib.store import writes
from chalicelib.store.models import Claim, Project, Service
from chalicelib.store.writes import add, change, commit, create, discard, remove
from tests.support.embedded import Cloud, sha
from tests.support.sdk import Trouble


def stored(row: Model) -> dict[str, Any]:
    """The attributes of a row as the table has them now."""
    return in_memory(next(each for each in type(row).scan() if _keys(each) == _keys(row)))


def _keys(row: Model) -> Any:
    return row._get_hash_range_key_serialized_values()


def in_memory(row: Model) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in row.get_attributes()}
    return {name: value for name, value in values.items() if value is not None}


@pytest.fixture
def row(cloud: Cloud) -> Service:
    return Service.get(cloud.service_id)


@pytest.mark.parametrize(
    "values",
    [
        {"drift": "changed", "current": 7},
        {"called_at": None},
        {"open_builds": add(1, 2)},
        {"open_builds": discard(9)},
        {"open_builds": discard(8, 9)},
    ],
    ids=["set", "remove", "add to a set", "take out of a set", "empty a set"],
)
def test_a_changed_row_is_in_memory_as_in_the_table(row: Service, values: dict[str, Any]) -> None:
    commit(change(row, called_at=5, open_builds=add(8, 9)))
    commit(change(row, **values))
    assert in_memory(row) == stored(row)


def test_the_settings_are_stored_whole_as_one_map(cloud: Cloud, row: Service) -> None:
    cloud.change_service(platforms=["linux/arm64"], build_args={"A": "", "B": "é"})
    fresh = Service.get(row.id)
    assert fresh.settings.platforms == ("linux/arm64",)
    assert fresh.settings.build_args == {"A": "", "B": "é"}
    assert fresh.settings.build.git_url == row.settings.git_url
    assert fresh.settings.webhook_secret is None


def test_a_refused_commit_changes_nothing_in_memory(row: Service) -> None:
    stale = Service.get(row.id)
    commit(change(row, drift="first"))
    before = in_memory(stale)
    with pytest.raises(Stale):
        commit(change(stale, drift="second"))
    assert in_memory(stale) == before


def test_a_change_whose_answer_is_lost_once_is_made_once(row: Service, trouble: Trouble) -> None:
    trouble.lose_answers("dynamodb.UpdateItem", times=1)
    commit(change(row, drift="first"))
    assert in_memory(row) == stored(row)
    commit(change(row, drift="second"))
    assert (row.drift, row.version) == ("second", Service.get(row.id).version)


def test_the_same_change_by_another_worker_is_not_taken_for_the_own_one(
    row: Service, trouble: Trouble
) -> None:
    mine = Service.get(row.id)
    commit(change(row, drift="same"))
    trouble.lose_answers("dynamodb.UpdateItem", times=1)
    with pytest.raises(Stale):
        commit(change(mine, drift="same"))
    assert mine.version < row.version


def test_a_conflict_with_a_transaction_is_tried_again(row: Service, trouble: Trouble) -> None:
    trouble.refuse("dynamodb.UpdateItem", "TransactionConflictException", times=2)
    commit(change(row, drift="x"))
    assert in_memory(row) == stored(row)


def test_a_change_whose_answer_is_lost_before_a_conflict_is_made_once(
    row: Service, trouble: Trouble
) -> None:
    """A transaction on the row, which fails in the end, meets the repetition of the change."""
    trouble.lose_answers("dynamodb.UpdateItem", times=1)
    trouble.refuse("dynamodb.UpdateItem", "TransactionConflictException", times=1)
    commit(change(row, drift="x"))
    assert in_memory(row) == stored(row)


def test_changes_of_one_row_are_merged_and_must_not_contradict(row: Service) -> None:
    commit(change(row, drift="x", current=1), change(row, current=1, waiting=2))
    assert (row.drift, row.current, row.waiting) == ("x", 1, 2)
    with pytest.raises(ValueError, match="two values for current"):
        commit(change(row, current=1), change(row, current=2))
    with pytest.raises(ValueError, match="exclude each other"):
        commit(change(row, current=1), remove(row))


def test_a_new_row_is_written_once(row: Service) -> None:
    commit(create(Claim("x", owner="a")))
    with pytest.raises(Stale):
        commit(create(Claim("x", owner="b")))
    assert Claim.get("x").owner == "a"


def test_every_row_is_in_memory_as_in_the_table_all_along_a_story(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    apply = writes._apply

    def apply_and_compare(write: writes.Write) -> None:
        nonlocal compared
        apply(write)
        if write.versioned and not write.new and not write.gone:
            assert in_memory(write.row) == stored(write.row)
            compared += 1

    monkeypatch.setattr(writes, "_apply", apply_and_compare)
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    cloud.push(sha(3), delivery="third")
    cloud.settle()
    assert cloud.api.post("/v1/cicd/jobs/build-3/cancel").status == 202
    cloud.settle()
    assert cloud.api.patch("/v1/projects/1", {"name": "store"}).status == 200
    assert Project.get(1).name == "store"
    assert compared > 20


def test_a_change_without_an_answer_is_an_unavailable_database(
    row: Service, trouble: Trouble
) -> None:
    trouble.lose_answers("dynamodb.UpdateItem")
    with pytest.raises(Unavailable, match="the database did not answer"):
        commit(change(row, drift="x"))
