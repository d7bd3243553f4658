"""The version before and this one work on the same rows, while a stage is updated or goes back.

AWS replaces the functions one by one, so each call may reach either version. The migrations run
meanwhile. The invariants of `tests/faults` must hold in each story.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import pytest
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends

from chalicelib.store import due
from chalicelib.store.models import Service
from chalicelib.store.tables import create_tables
from infra.upgrade import upgrade
from tests.faults import soak
from tests.faults.injector import Injector
from tests.faults.invariants import Ledger, check_told, published
from tests.faults.rows import rows, services
from tests.faults.trials import forked
from tests.faults.use_cases import USE_CASES, UseCase
from tests.faults.world import World
from tests.support.embedded import Cloud, add_topic, sha
from tests.support.environment import ACCOUNT, REGION
from tests.support.sdk import Killed
from tests.upgrade import versions
from tests.upgrade.stored import end_all
from tests.upgrade.versions import Choice, Mix

# How AWS chooses the version of each call, from a seed.
CHOICES: dict[str, Callable[[Random], Choice]] = {
    "either": versions.chosen_by,
    "update": partial(versions.changing, back=False),
    "way back": partial(versions.changing, back=True),
    "there and back": versions.there_and_back,
}
FEW, MANY = range(2), range(2, 12)
# Minutes until everything is told: those of the queue, and of the schedule.
TO_TELL = 5


@contextmanager
def mixed_cloud(mix: Mix) -> Iterator[tuple[Cloud, pytest.MonkeyPatch]]:
    """A new cloud with the functions and the indexes of both versions."""
    versions.tables_before()
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        versions.isolate(monkeypatch)
        cloud = Cloud(monkeypatch, mix.functions())
        versions.keep_indexes(monkeypatch)
        yield cloud, monkeypatch


@contextmanager
def mixed_world() -> Iterator[tuple[World, Mix]]:
    """A new world in which the version before runs, until the choice is changed.

    Its rows are older than all migrations.
    """
    mix = Mix(versions.only_before)
    with mixed_cloud(mix) as (cloud, monkeypatch):
        world = World(cloud, monkeypatch, tells=False)
        mix.choice = versions.only_present
        add_topic(cloud)
        mix.choice = versions.only_before
        world.all_tell = versions.tells_before()
        for number in services():
            Service.get(number).update(actions=[Service.listed.remove()])
        yield world, mix


@dataclass
class Migration:
    """Runs the migrations before call `at`. If they fail, they are run again before the next."""

    at: int
    has_ended: bool = False

    def __call__(self, call: int) -> None:
        if call < self.at or self.has_ended:
            return
        with suppress(Exception, Killed), versions.present().running():
            upgrade({})
            self.has_ended = True


class Silence:
    """The jobs whose status the version before has written, if that version tells nobody."""

    def __init__(self, world: World) -> None:
        self.jobs: set[str] = set()
        self._known: dict[str, str] = {}
        self._others: Any = world.injector.observe
        if not world.all_tell:
            world.injector.observe = self.observe

    def observe(self) -> None:
        """Compare the rows with those of the last call."""
        self._others()
        for job_id, row in rows("jobs").items():
            if self._known.get(job_id) == row["status"]:
                continue
            self._known[job_id] = row["status"]
            (self.jobs.add if versions.runs_before() else self.jobs.discard)(job_id)


def play(world: World, mix: Mix, choice: str, seed: int) -> None:
    """Play the story of a seed, with the versions that another use of the seed chooses."""
    chance = Random(f"{choice} {seed}")
    migration = Migration(chance.randrange(30))
    mix.calls, mix.choice, mix.meanwhile = 0, CHOICES[choice](chance), migration
    silence = Silence(world)
    soak.play(world, seed)
    mix.calls = max(mix.calls, migration.at)
    # A stage that has gone back tells when it is updated again.
    mix.choice = versions.only_present
    for _ in range(TO_TELL):
        world.cloud.tick()
        world.cloud.settle()
    check_told(silence.jobs)
    listed = world.cloud.api.get("/v1/services").body["items"]
    assert [each["id"] for each in listed] == sorted(services(), reverse=True)
    assert migration.has_ended


def play_all(choice: str, seeds: range) -> None:
    """Play the stories of all seeds, each in a fork of one world, and report all problems."""
    problems = []
    logging.disable(logging.CRITICAL)
    try:
        with mixed_world() as (world, mix):
            for seed in seeds:
                result = forked(partial(play, world, mix, choice, seed))
                if result.trouble:
                    problems.append(f"seed {seed}\n{result.trouble}")
    finally:
        logging.disable(logging.NOTSET)
    assert not problems, f"{len(problems)} of {len(seeds)}:\n" + "\n".join(problems)


@pytest.mark.parametrize("choice", CHOICES)
def test_random_stories_hold_while_two_versions_run(choice: str) -> None:
    play_all(choice, FEW)


@pytest.mark.sweep
@pytest.mark.parametrize("choice", CHOICES)
def test_many_random_stories_hold_while_two_versions_run(choice: str) -> None:
    play_all(choice, MANY)


def tell(case: UseCase, first: Choice, then: Choice) -> None:
    """Prepare a use case under one choice; run it, and let all work end, under another one."""
    mix = Mix(first)
    with mixed_cloud(mix) as (cloud, monkeypatch):
        cloud.handlers_may_fail = True
        case.prepare(cloud)
        ledger = Ledger()
        Injector(monkeypatch).observe = ledger.observe
        mix.choice = then
        answer = case.run(cloud)
        assert answer is None or answer.status < 500, answer.text
        end_all(cloud)
        ledger.raise_first()


def each_way(case: UseCase) -> Iterator[tuple[Choice, Choice]]:
    """An update between the state before and the step, and the way back with both versions."""
    yield versions.only_before, versions.only_present
    yield versions.only_present, versions.chosen_by(Random(case.name))


@pytest.mark.parametrize("case", USE_CASES[::8], ids=lambda case: case.name)
def test_what_the_version_before_began_is_finished(case: UseCase) -> None:
    tell(case, versions.only_before, versions.only_present)


@pytest.mark.sweep
@pytest.mark.parametrize("case", USE_CASES, ids=lambda case: case.name)
def test_each_use_case_is_finished_by_either_version(case: UseCase) -> None:
    for first, then in each_way(case):
        tell(case, first, then)


def test_what_the_present_version_commits_is_told_while_two_versions_run() -> None:
    """Also if the version before delivers the events and runs the schedule."""
    with mixed_world() as (world, mix):
        cloud = world.cloud
        mix.choice = versions.only_present
        cloud.push(sha(1))
        cloud.settle()
        cloud.finish_build(1, settle=False)
        cloud.pump.deliver_events()
        cloud.lose_tellings()
        mix.choice = versions.only_before
        cloud.settle()
        cloud.finish_rollout()
        told = {each["job_id"]: each["status"] for each in published() if "job_id" in each}
        assert told.get("build-1") != "success" or versions.tells_before()
        mix.choice = versions.only_present
        for _ in range(TO_TELL):
            cloud.tick()
            cloud.settle()
        told = {each["job_id"]: each["status"] for each in published() if "job_id" in each}
        assert told["build-1"] == "success"
        # The version before ended the deployment. What the present one had marked before is told.
        assert told.get("deploy-1") in {None, "success"}
        assert not [row for row in rows("jobs").values() if "telling" in row]


def test_an_index_that_both_versions_know_is_the_same() -> None:
    """DynamoDB cannot change an index. One with another definition needs another name."""
    tables_before = versions.tables_before()
    with mock_aws():
        create_tables()
        for name, old in tables_before.items():
            table = dynamodb_backends[ACCOUNT][REGION].tables[name]
            now = {index.name: index.describe() for index in table.global_indexes}
            for index in old.global_indexes:
                assert now.get(index.name, index.describe()) == index.describe()


def test_each_version_has_its_own_modules_and_answers() -> None:
    assert versions.before().modules["chalicelib"] is not versions.present().modules["chalicelib"]
    for choice, version in (
        (versions.only_before, versions.before()),
        (versions.only_present, versions.present()),
    ):
        with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
            cloud = Cloud(monkeypatch, Mix(choice).functions())
            about = version.modules["chalicelib.api.about"]
            monkeypatch.setattr(about, "VERSION", "only this one")
            assert cloud.api.get("/v1/health").body["version"] == "only this one"


def test_a_value_that_the_version_before_does_not_know_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The trials find what they are for: here rows that the version before does not see as due."""
    versions.before()  # it has the modules of its own
    monkeypatch.setattr(due, "DUE", "now")
    with mixed_world() as (world, mix):
        mix.choice = versions.only_present
        world.cloud.push(sha(1))
        world.cloud.lose_messages()
        mix.choice = versions.only_before
        with pytest.raises(AssertionError, match="build-1 is still queued"):
            end_all(world.cloud)
