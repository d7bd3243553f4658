"""The line of queued builds: its order, and what a build in it waits for."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.line import Line, OpenBuild, Place, form_line, place_in
from chalicelib.domain.timing import PERIOD, STUCK

NOW = 10_000


def queued(number: int, service: int, *, due_at: int = NOW) -> OpenBuild:
    return OpenBuild(number, service, due_at, in_codebuild=False)


def running(number: int, service: int) -> OpenBuild:
    return OpenBuild(number, service, NOW, in_codebuild=True)


def line_of(
    builds: Iterable[OpenBuild],
    turns: Mapping[int, int] | None = None,
    *,
    pulls: Collection[int] = (),
    limit: int = 2,
) -> Line:
    return form_line(builds, turns or {}, pulls=pulls, limit=limit, now=NOW)


@pytest.mark.parametrize(
    ("services", "turns", "order"),
    [
        # The service of each build, oldest first; the marks of services; the order of the builds.
        ((), {}, ()),
        ((1, 1, 1), {}, (1, 2, 3)),
        ((1, 1, 2), {}, (1, 3, 2)),
        ((1, 1, 1, 2, 2, 3), {}, (1, 4, 6, 2, 5, 3)),
        # A service that has had a turn comes after those that were waiting then.
        ((1, 1, 2), {1: 3}, (3, 1, 2)),
        ((1, 1, 2), {1: 4}, (3, 1, 2)),
        ((1, 2, 3), {1: 4, 2: 5}, (3, 1, 2)),
        # A service that joins after another's turn comes after it.
        ((1, 1, 2), {1: 2}, (1, 3, 2)),
    ],
)
def test_services_take_turns_and_the_oldest_build_of_each_comes_first(
    services: tuple[int, ...], turns: dict[int, int], order: tuple[int, ...]
) -> None:
    builds = [queued(number, service) for number, service in enumerate(services, start=1)]
    assert line_of(builds, turns).waiting == order
    assert line_of(reversed(builds), turns).waiting == order


@pytest.mark.parametrize(
    ("services", "pulls", "order"),
    [
        ((1, 1, 1), {1, 2}, (3, 1, 2)),
        ((1, 1, 1), {1, 2, 3}, (1, 2, 3)),
        # A service keeps its turn, and the turns of others stay as they are.
        ((1, 2, 1, 2), {1}, (3, 2, 1, 4)),
        ((1, 1, 1, 2), {1, 2}, (3, 4, 1, 2)),
    ],
)
def test_builds_of_pull_requests_come_after_the_others_of_their_service(
    services: tuple[int, ...], pulls: set[int], order: tuple[int, ...]
) -> None:
    builds = [queued(number, service) for number, service in enumerate(services, start=1)]
    assert line_of(builds, pulls=pulls).waiting == order


@pytest.mark.parametrize(
    ("in_codebuild", "waiting", "next_ones"),
    [(0, 3, 2), (1, 3, 1), (2, 3, 1), (5, 3, 1), (0, 1, 1), (0, 0, 0)],
)
def test_as_many_builds_are_next_as_there_is_room_and_at_least_one(
    in_codebuild: int, waiting: int, next_ones: int
) -> None:
    builds = [running(number, 1) for number in range(1, in_codebuild + 1)]
    builds += [queued(number, 1) for number in range(100, 100 + waiting)]
    line = line_of(builds, limit=2)
    assert line.running == in_codebuild
    assert line.next == tuple(range(100, 100 + next_ones))


def test_a_stuck_build_blocks_no_other_build() -> None:
    overdue = NOW - STUCK - 1
    builds = [queued(1, 1, due_at=overdue), queued(2, 1), queued(3, 2, due_at=NOW - STUCK)]
    assert line_of(builds).waiting == (2, 3, 1)


def test_a_service_gets_a_mark_only_if_another_service_waits() -> None:
    assert line_of([queued(1, 1), queued(2, 1), running(3, 2)]).turn is None
    assert line_of([queued(1, 1), queued(2, 2), running(7, 2)]).turn == 8
    assert line_of([queued(1, 1), queued(2, 2)], {1: 9}).turn == 10


def test_a_build_far_behind_looks_at_the_line_less_often() -> None:
    line = line_of([queued(number, 1) for number in range(1, 1001)], limit=2)
    assert [line.patience(number) for number in (1, 4, 5, 1000)] == [
        PERIOD,
        PERIOD,
        2 * PERIOD,
        10 * PERIOD,
    ]
    steps_each_minute = sum(PERIOD / line.patience(number) for number in line.waiting)
    assert steps_each_minute < 110


class Simulation:
    """Builds that are accepted, started and ended one by one, in the order of the line."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.numbers = 0
        self.turns: dict[int, int] = {}
        self.open: dict[int, OpenBuild] = {}
        self.started: list[int] = []

    @property
    def waiting(self) -> set[int]:
        """The services with a queued build."""
        return {each.service_id for each in self.open.values() if not each.in_codebuild}

    def accept(self, service: int) -> int:
        self.numbers += 1
        self.open[self.numbers] = queued(self.numbers, service)
        return self.numbers

    def run(self) -> None:
        """End the oldest running build if there is no room, and start the next one."""
        at_work = [each.number for each in self.open.values() if each.in_codebuild]
        if len(at_work) == self.limit:
            del self.open[at_work[0]]
        line = line_of(self.open.values(), self.turns, limit=self.limit)
        if line.next:
            build = self.open[line.next[0]]
            self.open[build.number] = running(build.number, build.service_id)
            self.started.append(build.service_id)
            if line.turn is not None:
                self.turns[build.service_id] = line.turn


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_sixty_builds_of_one_service_delay_another_service_by_one_build(limit: int) -> None:
    simulation = Simulation(limit)
    for _ in range(60):
        simulation.accept(1)
    for _ in range(limit):
        simulation.run()
    for _ in range(3):
        simulation.accept(2)
    before = len(simulation.started)
    for _ in range(6):
        simulation.run()
    assert simulation.started[before:] == [1, 2, 1, 2, 1, 2]


@given(
    limit=st.integers(1, 3),
    events=st.lists(st.one_of(st.integers(1, 5), st.just(0)), max_size=80),
)
def test_no_service_gets_two_more_turns_than_another_that_waits(
    limit: int, events: list[int]
) -> None:
    """0 starts a build; another number is the service of a new build."""
    simulation = Simulation(limit)
    # How many builds had been started when a waiting service joined, or had its last turn.
    since: dict[int, int] = {}
    for event in events:
        if event:
            simulation.accept(event)
        else:
            before = len(simulation.started)
            simulation.run()
            for service in simulation.started[before:]:
                since.pop(service)
        for service in simulation.waiting:
            since.setdefault(service, len(simulation.started))
            others = Counter(simulation.started[since[service] :])
            assert max(others.values(), default=0) <= 2


@pytest.mark.parametrize(
    ("number", "at_work", "error", "place"),
    [
        (1, 0, None, Place(1, "its start: it is the next")),
        (
            1,
            0,
            "refused",
            Place(1, "CodeBuild; Slipway repeats the call within a minute: refused"),
        ),
        (
            1,
            2,
            None,
            Place(1, "the end of one of 2 running builds; Slipway runs at most 2 at once"),
        ),
        (
            2,
            2,
            None,
            Place(2, "1 build before it in Slipway's line; Slipway runs at most 2 at once"),
        ),
        (
            3,
            0,
            None,
            Place(3, "2 builds before it in Slipway's line; Slipway runs at most 2 at once"),
        ),
    ],
)
def test_a_place_says_what_the_build_waits_for(
    number: int, at_work: int, error: str | None, place: Place
) -> None:
    assert place_in(Line((1, 2, 3), at_work, limit=2), number, error) == place
