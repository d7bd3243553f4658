"""The schedule: whatever is due, oldest first, until the function's time is nearly up."""

from types import SimpleNamespace

import pytest

from tests.support.embedded import MINUTE, Cloud, sha
from tests.support.events import schedule_event
from tests.support.sdk import Trouble


def run(cloud: Cloud, *milliseconds: int) -> None:
    """Invoke the function; the last number is what remains from then on."""
    left = list(milliseconds)
    context = SimpleNamespace(
        get_remaining_time_in_millis=lambda: left.pop(0) if len(left) > 1 else left[0]
    )
    cloud.app.handler_map["on_schedule"](schedule_event(), context)


def test_what_is_due_is_looked_at(cloud: Cloud) -> None:
    cloud.push(sha(1))
    run(cloud, 30_000)
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_the_longest_due_comes_first_and_the_rest_waits_for_the_next_minute(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.advance(1)
    cloud.push(sha(2))
    run(cloud, 30_000, 9_000)
    assert cloud.builds_in_codebuild() == ["build-1"]
    cloud.advance(MINUTE)
    run(cloud, 30_000)
    assert cloud.builds_in_codebuild() == ["build-1", "build-2"]


def test_one_that_cannot_be_moved_stops_no_other(
    cloud: Cloud, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.push(sha(1))
    cloud.advance(1)
    cloud.push(sha(2))
    trouble.refuse("dynamodb.GetItem", "ProvisionedThroughputExceededException")
    run(cloud, 30_000)
    assert "build-1: the database did not answer" in caplog.text
    assert cloud.builds_in_codebuild() == ["build-2"]
