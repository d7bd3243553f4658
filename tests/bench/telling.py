"""What telling GitHub costs: its requests for a push, and the time from an end to its status.

`python -m tests.bench.telling` prints these figures alone. GitHub is the one on loopback, so its
own time and the network's are missing.
"""

import logging
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto import mock_aws

import tests.support.fixtures  # noqa: F401  # first: it sets the product's environment
from infra.local.github.server import GitHub
from tests.bench.figures import Figure
from tests.support.embedded import MINUTE, REPOSITORY, Cloud, sha
from tests.support.github.connected import add_github_channel, connected

PUSHES = 10


@contextmanager
def told_github() -> Iterator[tuple[Cloud, GitHub]]:
    """A cloud with a channel to a GitHub that knows the commits."""
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        cloud = Cloud(monkeypatch)
        github = GitHub(clock=lambda: cloud._now)
        github.add_repository(REPOSITORY)
        for number in range(1, 2 * PUSHES + 2):
            github.add_commit(REPOSITORY, sha(number))
        with connected(github, monkeypatch):
            add_github_channel(cloud, github)
            yield cloud, github


def measure() -> Iterator[Figure]:
    """Play pushes until they are deployed, with every message, and with lost ones."""
    logging.disable(logging.CRITICAL)
    try:
        with told_github() as (cloud, github):
            yield from _requests(cloud, github)
            yield from _times(cloud, github)
            yield _after_a_loss(cloud, github)
    finally:
        logging.disable(logging.NOTSET)


def _requests(cloud: Cloud, github: GitHub) -> Iterator[Figure]:
    cloud.release(1)
    before = len(github.requests())
    cloud.release(2)
    made = github.requests()[before:]
    writes = sum(each.method == "POST" for each in made)
    yield Figure("GitHub: requests of a push until its release", len(made), "")
    yield Figure("GitHub: of these, writes", writes, "")


def _times(cloud: Cloud, github: GitHub) -> Iterator[Figure]:
    """From CodeBuild's event to the status on the commit, and the clock of the embedded AWS."""
    taken, passed = [], []
    for number in range(3, 3 + PUSHES):
        build = int(cloud.push(sha(number)).body["builds"][0]["build_id"])
        cloud.settle()
        cloud.end_build(build, "FAILED", settle=False)
        at, began = cloud._now, time.perf_counter()
        cloud.pump.deliver_events()
        cloud.pump.deliver_tellings()
        taken.append(time.perf_counter() - began)
        passed.append(cloud._now - at)
        assert _last_state(github, number) == "failure"
    yield Figure("GitHub: end of a build until its status", statistics.median(taken) * 1000, "ms")
    yield Figure("GitHub: the same on the embedded clock", max(passed), "s")


def _after_a_loss(cloud: Cloud, github: GitHub) -> Figure:
    """The longest wait if CodeBuild's event and the message for GitHub are lost."""
    number = 3 + PUSHES
    build = int(cloud.push(sha(number)).body["builds"][0]["build_id"])
    cloud.settle()
    cloud.end_build(build, "FAILED", settle=False)
    ended_at = cloud._now
    cloud.lose_events()
    while cloud.build(build)["status"] != "failed":
        cloud.tick()
    cloud.lose_tellings()
    while _last_state(github, number) != "failure":
        cloud.tick()
        cloud.pump.deliver_tellings()
    return Figure(
        "GitHub: the same, all messages are lost", (cloud._now - ended_at) / MINUTE, "min"
    )


def _last_state(github: GitHub, number: int) -> str:
    return str(github.statuses(REPOSITORY, sha(number))[-1]["state"])


if __name__ == "__main__":
    for figure in measure():
        print(figure)
