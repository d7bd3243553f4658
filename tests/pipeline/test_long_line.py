"""Many queued builds: what they cost each minute, and that the line still moves."""

import pytest

from tests.bench.units import Meter
from tests.support.embedded import Cloud
from tests.support.sdk import Calls

SERVICES = 8


def queue_builds(cloud: Cloud, count: int, services: list[int]) -> None:
    for number in range(count):
        path = f"/v1/cicd/services/{services[number % len(services)]}/build"
        answer = cloud.api.post(path, {"git_ref": f"ref-{number}"})
        assert answer.status == 202, answer.text


def test_the_number_of_readings_of_the_line_does_not_grow_with_the_line(
    cloud: Cloud, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = [cloud.add_service(f"s{n}", branch=f"b{n}") for n in range(SERVICES)]
    meter = Meter(monkeypatch)
    readings, read = [], []
    for more in (60, 90):
        calls.clear()
        queue_builds(cloud, more, services)
        cloud.settle()
        readings.append(line_readings(calls))
        cloud.tick()
        cloud.settle()
        calls.clear()
        meter.clear()
        for _ in range(4):
            cloud.tick()
            cloud.settle()
        readings.append(line_readings(calls) // 4)
        read.append(meter.reads)
    # The first builds are next, and those of a short line read it by themselves.
    assert readings[0] < 60
    assert readings[1] <= 3
    # The messages of all these builds arrive within five seconds.
    assert readings[2] <= 1
    assert readings[3] <= 3
    assert read[1] <= 3 * read[0]


def line_readings(calls: Calls) -> int:
    return sum(each.get("Limit") == 1000 for each in calls.to("dynamodb.Query"))


def test_the_next_build_starts_within_two_minutes_if_its_call_is_lost(cloud: Cloud) -> None:
    cloud.change_service(max_open_builds=30)
    queue_builds(cloud, 30, [cloud.service_id])
    cloud.settle()
    cloud.tick()
    cloud.settle()
    for number in range(3, 30):
        assert cloud.api.post(f"/v1/cicd/jobs/build-{number}/cancel").status == 202
    cloud.end_build(1, "FAILED", settle=False)
    cloud.lose_events()
    cloud.lose_messages()
    cloud.tick()
    cloud.lose_messages()
    cloud.tick()
    assert cloud.build(30)["codebuild_id"] is not None
