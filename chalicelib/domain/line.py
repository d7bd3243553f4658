"""Slipway's line: the order in which queued builds start.

Services take turns, and the oldest build of a service comes first; its builds of pull requests come
after its others. So a service with many queued builds delays the build of another service by one
build and not by all of them, and pull requests do not delay a push. The order is
computed from rows that may lag. It decides which build tries next, and never whether a build has
been started.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from chalicelib.domain.timing import PERIOD, STUCK

# Waiting builds look at the line once in this many periods at most.
_SLOWEST = 10


class OpenBuild(msgspec.Struct, frozen=True):
    """A build that has not ended.

    `in_codebuild`: CodeBuild has accepted it. `runs`: it has also left CodeBuild's own queue.
    """

    number: int
    service_id: int
    due_at: int
    in_codebuild: bool
    runs: bool = False


class Line(msgspec.Struct, frozen=True):
    """The waiting builds in their order, and how many builds CodeBuild has, of at most `limit`.

    `turn` is the mark that a service gets when a build of it starts; None if no other service
    waits.
    """

    waiting: tuple[int, ...]
    running: int
    limit: int
    turn: int | None = None

    @property
    def next(self) -> tuple[int, ...]:
        """The builds that should start now.

        The first one tries even if the limit seems to be reached: CodeBuild counts exactly.
        """
        return self.waiting[: max(1, self.limit - self.running)]

    def position(self, number: int) -> int:
        """The place of a waiting build; 1 is the next."""
        return self.waiting.index(number) + 1

    def patience(self, number: int) -> int:
        """The seconds until a waiting build looks at the line again, if nothing wakes it.

        Builds before it take longer than that, unless each takes less than half a period.
        """
        return PERIOD * min(_SLOWEST, 1 + self.waiting.index(number) // (2 * self.limit))


def waiting_services(builds: Iterable[OpenBuild]) -> set[int]:
    """The services with a build in the line."""
    return {build.service_id for build in builds if not build.in_codebuild}


def form_line(
    builds: Iterable[OpenBuild],
    turns: Mapping[int, int],
    *,
    pulls: Collection[int] = (),
    limit: int,
    now: int,
) -> Line:
    """The line of all open builds. `turns` are the marks of services that have had a turn, and
    `pulls` are the numbers of builds of pull requests.

    A service joins at the end when a build of it is accepted (its place is the build's number), and
    again when a build of it starts (its place is the mark). A waiting build that is long overdue is
    stuck: no worker can take its step. It goes to the end, so that it blocks no other build.
    """
    open_builds = sorted(builds, key=lambda build: build.number)
    waiting = [build for build in open_builds if not build.in_codebuild]
    stuck = [build for build in waiting if now - build.due_at > STUCK]
    moving = [build for build in waiting if now - build.due_at <= STUCK]
    marks = [build.number for build in open_builds] + list(turns.values())
    return Line(
        waiting=(*_in_turns(moving, turns, pulls), *_in_turns(stuck, turns, pulls)),
        running=len(open_builds) - len(waiting),
        limit=limit,
        turn=max(marks) + 1 if len(waiting_services(waiting)) > 1 else None,
    )


def _in_turns(
    builds: Iterable[OpenBuild], turns: Mapping[int, int], pulls: Collection[int]
) -> list[int]:
    services: dict[int, list[int]] = {}
    for build in builds:
        services.setdefault(build.service_id, []).append(build.number)
    places = {each: _place(numbers[0], turns.get(each, 0)) for each, numbers in services.items()}
    order = sorted(
        (rank, places[service], number)
        for service, numbers in services.items()
        for rank, number in enumerate(sorted(numbers, key=lambda each: (each in pulls, each)))
    )
    return [number for _, _, number in order]


def _place(oldest: int, mark: int) -> tuple[int, bool]:
    """A service that has had its turn comes after the builds that were accepted until then."""
    return max(oldest, mark), mark >= oldest


class Place(msgspec.Struct, frozen=True):
    """What a queued build waits for; in the line also its position, 1 for the next."""

    position: int | None = None
    waiting_for: str | None = None


CODEBUILDS_QUEUE = (
    "CodeBuild's own queue: the account runs as many builds at once as its quota allows"
)


def place_in(line: Line, number: int, error: str | None) -> Place:
    """The place of a waiting build. `error` is the answer of CodeBuild to its last call."""
    position = line.position(number)
    limit = f"Slipway runs at most {line.limit} at once"
    if number not in line.next:
        before = "1 build" if position == 2 else f"{position - 1} builds"
        reason = f"{before} before it in Slipway's line; {limit}"
    elif line.running >= line.limit:
        reason = f"the end of one of {line.running} running builds; {limit}"
    elif error:
        reason = f"CodeBuild; Slipway repeats the call within a minute: {error}"
    else:
        reason = "its start: it is the next"
    return Place(position, reason)
