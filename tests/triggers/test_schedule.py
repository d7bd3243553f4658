"""The schedule: due rows, the longest due first, until the function's time is nearly used up."""

from types import SimpleNamespace

import pytest

from tests.support.embedded import MINUTE, Cloud, sha
from tests.support.events import schedule_event
from tests.support.sdk import Trouble


def run(cloud: Cloud, *milliseconds: int) -> None:
    """Invoke the function with these remaining times, one a query; the last one repeats."""
    remaining = list(milliseconds)
    context = SimpleNamespace(
        get_remaining_time_in_millis=lambda: (
            remaining.pop(0) if len(remaining) > 1 else remaining[0]
        )
    )
    cloud.app.handler_map["on_schedule"](schedule_event(), context)


def test_the_schedule_processes_due_rows(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.advance(MINUTE)
    run(cloud, 30_000)
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_the_longest_due_row_comes_first_and_others_wait_for_the_next_run(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
    cloud.push(sha(1))
    cloud.advance(1)
    cloud.push(sha(2))
    cloud.advance(MINUTE)
    run(cloud, 30_000, 9_000)
    assert cloud.builds_in_codebuild() == ["build-1"]
    cloud.advance(MINUTE)
    run(cloud, 30_000)
    assert cloud.builds_in_codebuild() == ["build-1", "build-2"]


def test_the_queue_gets_the_rows_that_the_schedule_has_no_time_for(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
    for number in (1, 2):
        cloud.push(sha(number))
        cloud.advance(1)
    cloud.lose_messages()
    cloud.advance(MINUTE)
    run(cloud, 30_000, 9_000)
    assert cloud.builds_in_codebuild() == ["build-1"]
    cloud.pump.deliver_messages()
    assert cloud.builds_in_codebuild() == ["build-1", "build-2"]


def test_a_row_that_cannot_be_read_does_not_stop_the_next_one(
    cloud: Cloud, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.push(sha(1))
    cloud.advance(1)
    cloud.push(sha(2))
    cloud.advance(MINUTE)
    trouble.refuse("dynamodb.GetItem", "ProvisionedThroughputExceededException")
    run(cloud, 30_000)
    assert "build-1: the database did not answer" in caplog.text
    assert cloud.builds_in_codebuild() == ["build-2"]
