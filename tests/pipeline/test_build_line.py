"""Queued builds: which one starts next, which limit of time applies, and what a user sees."""

from typing import Any

import pytest

from chalicelib.domain.line import Line
from chalicelib.pipeline.line import read_line
from chalicelib.pipeline.reconcilers import loop
from chalicelib.pipeline.reconcilers.loop import reconcile
from chalicelib.store.claims import next_number
from infra.local.aws import codebuild
from tests.support.embedded import MINUTE, Cloud, client, sha
from tests.support.sdk import Calls, Trouble


def queue_builds(cloud: Cloud, count: int, service: int | None = None) -> list[int]:
    """Request builds of different refs for a service; return their numbers."""
    path = f"/v1/cicd/services/{service or cloud.service_id}/build"
    answers = [cloud.api.post(path, {"git_ref": f"ref-{number}"}) for number in range(count)]
    return [int(answer.body["build_id"]) for answer in answers]


def occupy(cloud: Cloud, count: int = 2) -> list[str]:
    """Start builds in the CodeBuild project as an operator does; return their ids."""
    builds = [client("codebuild").start_build(projectName="slipway-builds") for _ in range(count)]
    codebuild.engine().drain_events()
    return [str(each["build"]["id"]) for each in builds]


def statuses(cloud: Cloud, numbers: list[int]) -> list[str]:
    return [cloud.build(number)["status"] for number in numbers]


# Which build starts next.


def test_sixty_builds_of_one_service_delay_another_service_by_one_build(cloud: Cloud) -> None:
    cloud.change_service(max_open_builds=100)
    queue_builds(cloud, 60)
    cloud.settle()
    other = cloud.add_service("other")
    (own,) = queue_builds(cloud, 1, other)
    cloud.settle()
    assert cloud.build(own)["position"] == 2
    cloud.end_build(1, "FAILED")
    assert cloud.builds_in_codebuild() == ["build-1", "build-2", "build-3"]
    assert cloud.build(own)["position"] == 1
    cloud.end_build(2, "FAILED")
    assert cloud.builds_in_codebuild()[3:] == [f"build-{own}"]


def test_two_services_with_many_builds_take_turns(cloud: Cloud) -> None:
    other = cloud.add_service("other")
    first, second = queue_builds(cloud, 4), queue_builds(cloud, 3, other)
    cloud.settle()
    for _ in range(5):
        cloud.end_build(int(cloud.builds_in_codebuild()[-1].partition("-")[2]), "FAILED")
    started = [int(job_id.partition("-")[2]) for job_id in cloud.builds_in_codebuild()]
    assert started[::2] == first
    assert started[1::2] == second


def test_a_service_has_had_its_turn_if_the_answer_to_its_start_was_lost(
    cloud: Cloud, trouble: Trouble
) -> None:
    occupy(cloud, 1)
    other = cloud.add_service("other")
    first, second = queue_builds(cloud, 2)
    (own,) = queue_builds(cloud, 1, other)
    trouble.lose_answers("codebuild.StartBuild")
    cloud.pump.settle()
    cloud.advance(6 * MINUTE)  # the token of the call has expired, so the build is searched
    cloud.wake(f"build-{first}")
    assert cloud.build(first)["codebuild_id"] is not None
    assert [cloud.build(number)["position"] for number in (own, second)] == [1, 2]


def test_the_last_build_does_not_start_first_after_an_outage(cloud: Cloud) -> None:
    numbers = queue_builds(cloud, 4)
    cloud.lose_messages()
    cloud.advance(10 * MINUTE)
    cloud.wake(f"build-{numbers[-1]}")
    assert cloud.builds_in_codebuild() == []
    cloud.tick()
    assert cloud.builds_in_codebuild()[0] == f"build-{numbers[0]}"


def test_only_the_next_build_calls_codebuild_while_it_is_full(cloud: Cloud, calls: Calls) -> None:
    queue_builds(cloud, 20)
    cloud.settle()
    calls.clear()
    for _ in range(3):
        cloud.tick()
    assert len(calls.to("codebuild.StartBuild")) <= 3
    assert {
        each["idempotencyToken"].rpartition("-")[0] for each in calls.to("codebuild.StartBuild")
    } == {"build-3"}


def test_a_look_at_the_line_reads_at_most_a_thousand_rows(cloud: Cloud, calls: Calls) -> None:
    queue_builds(cloud, 3)
    cloud.settle()
    calls.clear()
    cloud.wake("build-3")
    (query,) = calls.to("dynamodb.Query")
    assert (query["IndexName"], query["Limit"]) == ("due", 1000)


def test_the_line_moves_with_every_event_and_message_lost(cloud: Cloud) -> None:
    numbers = queue_builds(cloud, 4)
    cloud.settle()
    for number in (1, 2):
        cloud.end_build(number, "FAILED", settle=False)
    cloud.lose_events()
    cloud.tick()
    cloud.lose_messages()
    cloud.tick()
    assert cloud.builds_in_codebuild() == [f"build-{number}" for number in numbers]


def test_a_build_that_no_worker_can_step_does_not_block_the_line(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_builds(cloud, 2)
    cloud.settle()
    stuck, healthy = queue_builds(cloud, 2)
    cloud.settle()
    step = loop.RECONCILERS["build"]

    def fail_for_the_first(number: int) -> None:
        if number == stuck:
            raise RuntimeError("a row that no worker can step")
        step(number)

    monkeypatch.setattr(loop, "RECONCILERS", {**loop.RECONCILERS, "build": fail_for_the_first})
    cloud.handlers_may_fail = True
    cloud.end_build(1, "FAILED")
    for _ in range(6):
        cloud.tick()
    cloud.settle()
    assert statuses(cloud, [stuck, healthy]) == ["queued", "building"]


def test_a_build_refused_at_the_limit_is_as_before_the_call(cloud: Cloud) -> None:
    """It can be cancelled at once, because CodeBuild has started nothing."""
    queue_builds(cloud, 3)
    cloud.settle()
    assert "Cannot have more than 2 active builds" in cloud.build(3)["error"]
    answer = cloud.api.post("/v1/cicd/jobs/build-3/cancel")
    assert answer.body["status"] == "cancelled"


# Which limit of time applies.


def test_time_in_codebuilds_own_queue_is_not_build_time(cloud: Cloud) -> None:
    codebuild.engine().account_limit = 0
    cloud.push(sha(1))
    cloud.settle()
    for _ in range(25):
        cloud.tick()
    queued = cloud.build(1)
    assert (queued["status"], queued["started_at"]) == ("queued", None)
    assert queued["codebuild_id"] is not None
    assert queued["position"] is None
    assert queued["waiting_for"].startswith("CodeBuild's own queue")
    codebuild.engine().account_limit = 1
    cloud.settle()
    began = cloud.build(1)
    assert (began["status"], began["waiting_for"]) == ("building", None)
    assert began["started_at"] == "2026-11-22T00:25:00Z"
    for _ in range(29):
        cloud.tick()
    assert cloud.build(1)["status"] == "building"
    cloud.finish_build(1)
    assert cloud.build(1)["status"] == "success"


def test_a_build_that_begins_and_ends_between_two_looks_shows_when_it_began(cloud: Cloud) -> None:
    codebuild.engine().account_limit = 0
    cloud.push(sha(1))
    cloud.settle()
    cloud.advance(10)
    codebuild.engine().account_limit = 1
    assert codebuild.engine().claim() is not None
    cloud.advance(20)
    cloud.finish_build(1, settle=False)
    cloud.lose_events()
    cloud.tick()
    build = cloud.build(1)
    assert (build["status"], build["started_at"]) == ("success", "2026-11-22T00:00:10Z")


def test_a_build_that_codebuild_does_not_begin_in_time_says_so(cloud: Cloud) -> None:
    codebuild.engine().account_limit = 0
    cloud.change_service(queued_minutes=7)
    cloud.push(sha(1))
    cloud.settle()
    for _ in range(7):
        cloud.tick()
    assert cloud.build(1)["status"] == "queued"
    cloud.tick()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"].startswith("waited 7 minutes in CodeBuild's own queue")
    assert build["failure"]["phase"] == "queue"
    assert "Service Quotas" in build["failure"]["next_step"]


def late_build(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A build nine minutes after its push, if CodeBuild ends no build by itself."""
    cloud.push(sha(1))
    cloud.settle()
    monkeypatch.setattr(codebuild.Engine, "expire", lambda _: None)
    for _ in range(9):
        cloud.tick()
    return cloud.build(1)


def test_a_build_that_codebuild_forgets_to_time_out_in_its_queue_is_stopped(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    codebuild.engine().account_limit = 0
    cloud.change_service(queued_minutes=5)
    build = late_build(cloud, monkeypatch)
    assert build["status"] == "failed"
    assert build["error"].startswith("waited 5 minutes in CodeBuild's own queue")
    assert not codebuild.engine().alive(build["codebuild_id"])


def test_a_build_that_runs_too_long_names_build_minutes(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.change_service(build_minutes=5)
    build = late_build(cloud, monkeypatch)
    assert build["status"] == "failed"
    assert build["error"].startswith("ran longer than its build_minutes (5) and was stopped")


def test_waiting_behind_slipways_own_builds_is_no_failure(cloud: Cloud) -> None:
    cloud.change_service(queued_minutes=5, build_minutes=60)
    numbers = queue_builds(cloud, 3)
    cloud.settle()
    for _ in range(50):
        cloud.tick()
    assert statuses(cloud, numbers) == ["building", "building", "queued"]
    cloud.finish_build(1)
    assert statuses(cloud, numbers) == ["success", "building", "building"]


def test_a_build_does_not_fail_after_an_outage_of_slipway_while_others_run(cloud: Cloud) -> None:
    """The schedule did not run for longer than the build may wait."""
    cloud.change_service(queued_minutes=5, build_minutes=120)
    numbers = queue_builds(cloud, 3)
    cloud.settle()
    cloud.advance(60 * MINUTE)
    for number in reversed(numbers):
        cloud.wake(f"build-{number}")
    assert statuses(cloud, numbers) == ["building", "building", "queued"]


def test_a_build_fails_after_its_queued_minutes_if_others_take_the_capacity(cloud: Cloud) -> None:
    cloud.change_service(queued_minutes=5)
    foreign = occupy(cloud)
    (number,) = queue_builds(cloud, 1)
    cloud.pump.settle()
    for _ in range(5):
        cloud.tick()
    waiting = cloud.build(number)
    assert waiting["status"] == "queued"
    assert waiting["waiting_for"].startswith("CodeBuild; Slipway repeats the call")
    cloud.tick()
    build = cloud.build(number)
    assert build["status"] == "failed"
    assert build["error"].startswith("waited 5 minutes for CodeBuild while no other build of")
    assert all(each in build["error"] for each in foreign)
    assert "Cannot have more than 2 active builds" in build["error"]


def test_a_late_build_still_starts_if_there_is_room(cloud: Cloud) -> None:
    """The schedule did not run for hours."""
    (number,) = queue_builds(cloud, 1)
    cloud.lose_messages()
    cloud.advance(300 * MINUTE)
    cloud.pump.tick()
    assert cloud.builds_in_codebuild() == [f"build-{number}"]


def test_a_build_fails_with_the_refusal_if_the_other_builds_cannot_be_read(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.change_service(queued_minutes=1)
    occupy(cloud)
    (number,) = queue_builds(cloud, 1)
    cloud.lose_messages()
    cloud.advance(2 * MINUTE)
    trouble.refuse("codebuild.ListBuildsForProject", "AccessDeniedException")
    cloud.pump.tick()
    build = cloud.build(number)
    assert build["status"] == "failed"
    assert "unknown builds (CodeBuild ListBuildsForProject" in build["error"]


# What a user sees.


def test_a_queued_build_shows_its_position_and_what_it_waits_for(cloud: Cloud) -> None:
    numbers = queue_builds(cloud, 5)
    fresh = cloud.build(1)
    assert (fresh["position"], fresh["waiting_for"]) == (1, "its start: it is the next")
    cloud.settle()
    shown = [cloud.build(number) for number in numbers]
    assert [each["position"] for each in shown] == [None, None, 1, 2, 3]
    assert [each["waiting_for"] for each in shown] == [
        None,
        None,
        "the end of one of 2 running builds; Slipway runs at most 2 at once",
        "1 build before it in Slipway's line; Slipway runs at most 2 at once",
        "2 builds before it in Slipway's line; Slipway runs at most 2 at once",
    ]
    listed = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/builds").body["items"]
    assert {(each["position"], each["waiting_for"]) for each in listed} == {(None, None)}


def test_a_build_with_a_throttled_call_shows_the_answer_of_codebuild(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.refuse("codebuild.StartBuild", "ThrottlingException", "Rate exceeded")
    queue_builds(cloud, 1)
    cloud.pump.settle()
    assert cloud.build(1)["waiting_for"] == (
        "CodeBuild; Slipway repeats the call within a minute: CodeBuild StartBuild: Rate exceeded"
    )


def test_a_cancelled_build_that_may_be_in_codebuild_shows_that_it_waits_for_its_end(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.lose_answers("codebuild.StartBuild")
    queue_builds(cloud, 1)
    cloud.pump.settle()
    cloud.api.post("/v1/cicd/jobs/build-1/cancel")
    assert cloud.build(1)["waiting_for"].startswith("its end: CodeBuild may have got it")


# How many builds may be open.


def test_a_service_has_at_most_its_number_of_open_builds(cloud: Cloud) -> None:
    cloud.change_service(max_open_builds=3)
    queue_builds(cloud, 3)
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    answer = cloud.api.post(path, {"git_ref": "one-more"})
    assert (answer.status, answer.body["code"]) == (409, "too_many_builds")
    assert answer.body["detail"] == (
        f"service {cloud.service_id} has 3 open builds (build-1, build-2, build-3), and its "
        "max_open_builds is 3; wait until one has ended, cancel one, or raise the setting"
    )
    cloud.api.post("/v1/cicd/jobs/build-2/cancel")
    assert cloud.api.post(path, {"git_ref": "one-more"}).status == 202
    other = cloud.add_service("other")
    assert len(queue_builds(cloud, 1, other)) == 1


def test_two_requests_at_once_cannot_both_take_the_last_place(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.change_service(max_open_builds=1)
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    original = next_number
    faster: list[int] = []

    def overtaken(counter: str) -> int:
        if not faster:
            faster.append(0)
            faster.append(cloud.api.post(path, {"git_ref": "faster"}).status)
        return original(counter)

    monkeypatch.setattr("chalicelib.pipeline.commands.builds.next_number", overtaken)
    answer = cloud.api.post(path, {"git_ref": "slower"})
    assert faster == [0, 202]
    assert (answer.status, answer.body["code"]) == (409, "too_many_builds")
    assert cloud.api.get(f"{path}s").body["items"][0]["git_ref"] == "faster"


def test_a_push_above_the_limit_says_why_and_its_redelivery_is_judged_again(cloud: Cloud) -> None:
    cloud.change_service(max_open_builds=1, supersede_builds=False)
    other = cloud.add_service("other")
    queue_builds(cloud, 1)
    answer = cloud.push(sha(1), delivery="the-one")
    assert [each["service_id"] for each in answer.body["builds"]] == [other]
    path = "/v1/webhooks/github/deliveries/the-one"
    verdict = next(
        each
        for each in cloud.api.get(path).body["services"]
        if each["service_id"] == cloud.service_id
    )
    assert verdict["outcome"] == "ignored"
    assert "max_open_builds is 1" in verdict["reason"]
    assert verdict["reason"].endswith("then redeliver")
    cloud.api.post("/v1/cicd/jobs/build-1/cancel")
    again = cloud.push(sha(1), delivery="the-one")
    assert [each["service_id"] for each in again.body["builds"]] == [cloud.service_id]


def test_a_push_that_no_service_has_room_for_says_why(cloud: Cloud) -> None:
    cloud.change_service(max_open_builds=1, supersede_builds=False)
    queue_builds(cloud, 1)
    answer = cloud.push(sha(1))
    assert answer.status == 200
    assert "max_open_builds is 1" in answer.body["ignored"]


def test_services_keep_their_places_while_codebuild_is_full(cloud: Cloud) -> None:
    """A refused call starts no build, so the service has not had its turn."""
    cloud.change_service(max_open_builds=100)
    other, third = cloud.add_service("other"), cloud.add_service("third")
    queue_builds(cloud, 2)
    cloud.settle()
    (first, *_) = queue_builds(cloud, 5, other)
    (second,) = queue_builds(cloud, 1, third)
    cloud.settle()
    before = [cloud.build(number)["position"] for number in (first, second)]
    assert sorted(before) == [1, 2]
    for _ in range(5):
        cloud.tick()
        cloud.settle()
        assert [cloud.build(number)["position"] for number in (first, second)] == before


def test_a_late_build_waits_while_builds_of_slipway_have_the_capacity(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage several workers act at once. The first ones take the capacity."""
    queue_builds(cloud, 3)
    cloud.advance(61 * MINUTE)
    others = iter(("build-1", "build-2"))

    def read_line_and_wait(**of: Any) -> Line:
        line = read_line(**of)
        for row_id in others:
            reconcile(row_id)
        return line

    monkeypatch.setattr("chalicelib.pipeline.reconcilers.builds.read_line", read_line_and_wait)
    reconcile("build-3")
    assert cloud.build(3)["status"] == "queued"
    cloud.settle()
    cloud.finish_build(1)
    cloud.settle()
    cloud.tick()
    cloud.settle()
    assert cloud.build(3)["status"] == "building"
