"""The pump calls the handlers instead of Lambda's event sources."""

from typing import Any

import pytest

from tests.support.embedded import Cloud, cloud, sha

__all__ = ["cloud"]


def test_at_the_end_a_running_handler_has_no_time_left_and_deliveries_stop(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []

    def on_schedule(_: Any, context: Any) -> None:
        left.append(context.get_remaining_time_in_millis())
        cloud.pump.end()
        left.append(context.get_remaining_time_in_millis())

    monkeypatch.setitem(cloud.app.handler_map, "on_schedule", on_schedule)
    cloud.push(sha(1))
    cloud.tick()
    assert left[0] > 0
    assert left[1] == 0
    cloud.settle()
    assert cloud.build(1)["status"] == "queued"


def test_no_message_is_delivered_after_the_end(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def on_wakeup(event: Any, _: Any) -> None:
        seen.append(event)
        cloud.pump.end()

    monkeypatch.setitem(cloud.app.handler_map, "on_wakeup", on_wakeup)
    cloud.push(sha(1))
    cloud.push(sha(2))
    cloud.pump.step()
    assert len(seen) == 1
