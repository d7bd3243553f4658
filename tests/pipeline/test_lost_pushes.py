"""A push whose delivery never comes is found at GitHub, and built like a delivered one."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.github.server import GitHub
from tests.support.embedded import MINUTE, REPOSITORY, Cloud, keep_secret, sha
from tests.support.github.connected import TELLS, TOKEN, add_github_channel, connected
from tests.support.sdk import Calls, Killed, Trouble
from tests.support.written import everything_written

PERIOD = 5
RIGHTS = {**TELLS, "contents": "read"}


@pytest.fixture
def github(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """GitHub with commit 1 on master, which Slipway has looked at, and a channel to it.

    Each request and answer has the form of GitHub's own description.
    """
    github = GitHub(clock=lambda: cloud._now)
    github.add_repository(REPOSITORY, default_branch="master")
    github.push(REPOSITORY, "master", sha(1))
    with connected(github, monkeypatch):
        add_github_channel(cloud, github, RIGHTS)
        wait(cloud)
        yield github


def wait(cloud: Cloud, minutes: int = PERIOD) -> None:
    for _ in range(minutes):
        cloud.tick()
        cloud.settle()


def push(cloud: Cloud, github: GitHub, number: int, **details: Any) -> int:
    """Push a commit to master at GitHub, without a delivery; return the time of the push."""
    github.push(REPOSITORY, "master", sha(number), **details)
    return int(cloud._now)


def deliver(cloud: Cloud, number: int, at: int, *, before: int, **changes: Any) -> Any:
    return cloud.push(sha(number), before=sha(before), pushed_at=at, **changes)


def commits(cloud: Cloud) -> list[str]:
    """The commits of all builds, the first build first."""
    listed = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/builds").body["items"]
    return [each["commit_sha"] for each in reversed(listed)]


def records(cloud: Cloud) -> list[Any]:
    found: list[Any] = cloud.api.get("/v1/webhooks/github/deliveries").body["items"]
    return found


def looks(github: GitHub) -> list[int]:
    """The statuses of GitHub's answers to questions about heads."""
    return [each.status for each in github.requests() if "/git/ref/" in each.path]


def test_a_push_without_a_delivery_is_built_within_two_periods(
    cloud: Cloud, github: GitHub
) -> None:
    at = push(cloud, github, 2, message="Fix the cart\n\nLong.")
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]
    build = cloud.build(1)
    assert (build["commit_message"], build["trigger"]) == ("Fix the cart", "push")
    assert build["requested_by"] == "github:Codertocat"
    (record,) = records(cloud)
    assert record["outcome"] == "started"
    assert record["sha"] == sha(2)
    assert record["found_after_seconds"] == 5 * MINUTE
    (verdict,) = record["services"]
    assert verdict["build_id"] == 1
    assert verdict["reason"] == (
        "a build was started: found 5 minutes after the push, before any delivery of it came"
    )
    assert at == int(cloud._now) - 2 * PERIOD * MINUTE


def test_with_all_deliveries_dropped_each_head_is_released(cloud: Cloud, github: GitHub) -> None:
    for number in (2, 3, 4):
        push(cloud, github, number)
        wait(cloud, 2 * PERIOD)
        cloud.finish_build(number - 1)
        cloud.finish_rollout()
    assert commits(cloud) == [sha(2), sha(3), sha(4)]
    assert cloud.statuses(1, 2, 3) == ["success"] * 3


def test_a_delivery_that_comes_later_builds_nothing(cloud: Cloud, github: GitHub) -> None:
    """GitHub's list of activities and its delivery may differ by some seconds."""
    at = push(cloud, github, 2)
    wait(cloud, 2 * PERIOD)
    answer = deliver(cloud, 2, at - 2, before=1)
    assert (answer.status, answer.body["duplicate"]) == (200, True)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]
    assert [each["outcome"] for each in records(cloud)] == ["duplicate", "started"]


def test_a_push_that_was_delivered_is_not_found(cloud: Cloud, github: GitHub) -> None:
    at = push(cloud, github, 2)
    deliver(cloud, 2, at + 1, before=1)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]
    assert len(records(cloud)) == 1


def test_a_delivery_under_way_is_waited_for(cloud: Cloud, github: GitHub) -> None:
    wait(cloud, PERIOD - 1)
    at = push(cloud, github, 2)
    wait(cloud, 1)
    assert len(looks(github)) == 2
    assert commits(cloud) == []
    deliver(cloud, 2, at, before=1)
    wait(cloud, 2 * PERIOD)
    assert len(records(cloud)) == 1


def test_a_push_back_to_an_earlier_commit_is_found(cloud: Cloud, github: GitHub) -> None:
    at = push(cloud, github, 2)
    deliver(cloud, 2, at, before=1)
    cloud.advance(30)
    at = push(cloud, github, 3)
    deliver(cloud, 3, at, before=2)
    cloud.advance(20)
    push(cloud, github, 2)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2), sha(3), sha(2)]


def test_a_new_channel_and_a_new_service_find_no_earlier_push(cloud: Cloud, github: GitHub) -> None:
    assert commits(cloud) == []
    assert records(cloud) == []
    push(cloud, github, 2)
    number = cloud.add_service("other")
    wait(cloud, 4 * PERIOD)
    assert commits(cloud) == [sha(2)]
    assert cloud.api.get(f"/v1/cicd/services/{number}/builds").body["items"] == []
    push(cloud, github, 3)
    wait(cloud, 2 * PERIOD)
    assert len(cloud.api.get(f"/v1/cicd/services/{number}/builds").body["items"]) == 1


def test_paths_are_judged_by_the_files_since_the_known_commit(cloud: Cloud, github: GitHub) -> None:
    cloud.change_service(paths=["site/**"])
    push(cloud, github, 2, files=["docs/a.md"])
    push(cloud, github, 3, files=["docs/b.md"])
    wait(cloud, 2 * PERIOD)
    (record,) = records(cloud)
    assert record["outcome"] == "ignored"
    assert record["reason"] == "no changed file matches its paths (docs/a.md and 1 more)"
    push(cloud, github, 4, files=["site/index.html"])
    push(cloud, github, 5, files=["docs/c.md"])
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(5)]


def test_a_forced_push_is_built_without_comparing_paths(cloud: Cloud, github: GitHub) -> None:
    cloud.change_service(paths=["site/**"])
    push(cloud, github, 2, files=["site/index.html"])
    wait(cloud, 2 * PERIOD)
    push(cloud, github, 3, parent=sha(1), files=["docs/a.md"])
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2), sha(3)]
    assert records(cloud)[0]["services"][0]["reason"].endswith(
        "paths were not compared: the head does not follow the commit that was known before"
    )


def test_if_github_does_not_compare_the_commits_the_push_is_built(
    cloud: Cloud, github: GitHub
) -> None:
    cloud.change_service(paths=["site/**"])
    github.fail(1, 500, match="compare")
    push(cloud, github, 2, files=["docs/a.md"])
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]


def test_a_commit_that_asks_for_no_build_is_recorded_once(cloud: Cloud, github: GitHub) -> None:
    push(cloud, github, 2, message="Typo\n\n[skip ci]")
    wait(cloud, 4 * PERIOD)
    (record,) = records(cloud)
    assert record["reason"] == "the head commit's message has [skip ci]"
    assert commits(cloud) == []


def test_a_delivered_push_that_builds_nothing_is_not_found(cloud: Cloud, github: GitHub) -> None:
    cloud.change_service(auto_build=False)
    at = push(cloud, github, 2)
    deliver(cloud, 2, at, before=1)
    wait(cloud, 2 * PERIOD)
    assert len(records(cloud)) == 1


def test_only_the_newest_of_several_lost_pushes_is_built(cloud: Cloud, github: GitHub) -> None:
    for number in (2, 3, 4):
        push(cloud, github, number)
        cloud.advance(1)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(4)]


def test_a_service_whose_own_webhook_failed_gets_its_build(cloud: Cloud, github: GitHub) -> None:
    """The installation's webhook has delivered the push, and that of the service has not."""
    other = cloud.add_service("other", webhook_secret=keep_secret("s" * 20, "slipway/other"))
    wait(cloud, PERIOD)
    at = push(cloud, github, 2)
    deliver(cloud, 2, at, before=1)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]
    listed = cloud.api.get(f"/v1/cicd/services/{other}/builds").body["items"]
    assert [each["commit_sha"] for each in listed] == [sha(2)]
    assert [each["service_id"] for each in records(cloud)[0]["services"]] == [other]


def test_a_redelivery_to_a_service_that_had_built_the_push_builds_nothing_twice(
    cloud: Cloud, github: GitHub
) -> None:
    """The push was found for another service, with a time that differs from the delivery's."""
    other = cloud.add_service("other", webhook_secret=keep_secret("s" * 20, "slipway/other"))
    wait(cloud, PERIOD)
    at = push(cloud, github, 2)
    deliver(cloud, 2, at - 2, before=1)
    wait(cloud, 2 * PERIOD)
    answer = deliver(cloud, 2, at - 2, before=1)
    assert (answer.status, answer.body["duplicate"]) == (200, True)
    assert commits(cloud) == [sha(2)]
    listed = cloud.api.get(f"/v1/cicd/services/{other}/builds").body["items"]
    assert len(listed) == 1


def test_nothing_is_written_and_no_limit_is_used_while_nothing_happens(
    cloud: Cloud, github: GitHub
) -> None:
    before = everything_written()
    wait(cloud, 60)
    after = everything_written()
    assert {name for name in before if before[name] != after[name]} == set()
    asked = github.requests()[-12:]
    assert [each.status for each in asked] == [304] * 12
    assert looks(github)[1:] == [304] * 12
    assert int(asked[-1].answer_headers["X-RateLimit-Used"]) <= 3


def test_without_a_channel_nothing_is_asked_and_nothing_noted(cloud: Cloud, github: GitHub) -> None:
    assert cloud.api.delete("/v1/channels/1").status == 204
    asked = len(github.requests())
    at = push(cloud, github, 2)
    deliver(cloud, 2, at, before=1)
    push(cloud, github, 3)
    wait(cloud, 4 * PERIOD)
    assert len(github.requests()) == asked
    assert commits(cloud) == [sha(2)]
    # What is known ends with the channel, so a later channel finds no push from before.
    add_github_channel(cloud, github, RIGHTS)
    wait(cloud, 3 * PERIOD)
    assert commits(cloud) == [sha(2)]


def test_a_found_push_is_known_after_the_channel_is_gone(cloud: Cloud, github: GitHub) -> None:
    at = push(cloud, github, 2)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]
    assert cloud.api.delete("/v1/channels/1").status == 204
    deliver(cloud, 3, push(cloud, github, 3), before=2)
    answer = deliver(cloud, 2, at - 2, before=1)
    assert (answer.status, answer.body["duplicate"]) == (200, True)
    assert commits(cloud) == [sha(2), sha(3)]


def test_a_found_push_takes_four_requests(cloud: Cloud, github: GitHub) -> None:
    wait(cloud, 1)
    asked = len(github.requests())
    push(cloud, github, 2)
    cloud.change_service(paths=["docs/**"])
    wait(cloud, 2 * PERIOD)
    asked_for = [
        each.path.partition("?")[0].lower().removeprefix(f"/repos/{REPOSITORY.lower()}/")
        for each in github.requests()[asked:]
        if each.method == "GET"
    ]
    assert asked_for == [
        "git/ref/heads/master",
        "activity",
        f"git/commits/{sha(2)}",
        f"compare/{sha(1)}...{sha(2)}",
        "git/ref/heads/master",
    ]


def test_the_limit_of_requests_is_kept(cloud: Cloud, github: GitHub) -> None:
    push(cloud, github, 2)
    github.limit(0, cloud._now + 30 * MINUTE)
    wait(cloud, 25)
    assert len(looks(github)) == 2
    wait(cloud, 3 * PERIOD)
    assert commits(cloud) == [sha(2)]


def test_a_late_list_of_activities_is_waited_for(cloud: Cloud, github: GitHub) -> None:
    """Heads and activities come from different parts of GitHub."""
    push(cloud, github, 2)
    push(cloud, github, 3)
    hidden = github.repository(REPOSITORY).activities.pop()
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == []
    github.repository(REPOSITORY).activities.append(hidden)
    wait(cloud, PERIOD)
    assert commits(cloud) == [sha(3)]


def test_a_lost_answer_and_a_lost_message_only_delay_the_build(
    cloud: Cloud, github: GitHub
) -> None:
    push(cloud, github, 2)
    github.fail(1, None, match="git/commits")
    wait(cloud, PERIOD)
    for _ in range(PERIOD):
        cloud.tick()
    cloud.pump.deliver_tellings()
    cloud.lose_messages()
    cloud.settle()
    assert commits(cloud) == []
    wait(cloud, PERIOD)
    assert commits(cloud) == [sha(2)]


def test_a_late_message_about_a_found_push_does_not_build_it_after_a_later_one(
    cloud: Cloud, github: GitHub
) -> None:
    """The message may be a dead letter that was sent again."""
    push(cloud, github, 2)
    for _ in range(PERIOD):
        cloud.tick()
    cloud.pump.deliver_tellings()
    cloud.advance(2 * MINUTE)
    assert deliver(cloud, 3, push(cloud, github, 3), before=2).status == 202
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(3)]


def test_a_death_after_the_build_was_accepted_builds_nothing_twice(
    cloud: Cloud, github: GitHub, trouble: Trouble
) -> None:
    push(cloud, github, 2)
    for _ in range(PERIOD):
        cloud.tick()
    cloud.pump.deliver_tellings()
    trouble.kill_after("dynamodb.TransactWriteItems")
    with pytest.raises(Killed):
        cloud.pump.deliver_messages()
    cloud.advance(4 * MINUTE)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]


def test_a_delivery_at_the_same_moment_builds_nothing_twice(
    cloud: Cloud, github: GitHub, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delivery is accepted after the found push was judged, and before its commit."""
    from chalicelib.pipeline import deliveries

    at = push(cloud, github, 2)
    commit = deliveries._commit
    delivered: list[bool] = []

    def late(*writes: Any) -> None:
        if not delivered:
            delivered.append(True)
            assert deliver(cloud, 2, at + 2, before=1).status == 202
        commit(*writes)

    monkeypatch.setattr(deliveries, "_commit", late)
    wait(cloud, 2 * PERIOD)
    assert delivered
    assert commits(cloud) == [sha(2)]


def test_going_back_to_a_version_that_notes_nothing_builds_nothing_twice(
    cloud: Cloud, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chalicelib.pipeline.commands import pushes

    at = push(cloud, github, 2)
    with monkeypatch.context() as before:
        before.setattr(pushes, "heads_of", lambda _: None)
        deliver(cloud, 2, at + 2, before=1)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]
    assert len(records(cloud)) == 1


def test_the_test_of_a_channel_names_the_right_that_is_missing(
    cloud: Cloud, github: GitHub, caplog: pytest.LogCaptureFixture
) -> None:
    github.repository(REPOSITORY).private = True
    github.add_token(TOKEN, [REPOSITORY], TELLS)
    assert cloud.api.post("/v1/channels/1/test").status == 202
    wait(cloud, PERIOD)
    trouble = cloud.api.get("/v1/channels/1").body["trouble"]
    assert trouble.startswith("GitHub answered 403: Resource not accessible")
    assert trouble.endswith("may the token read Contents?")
    assert "the head of master of github.com/codertocat/hello-world is not known" in caplog.text


def test_a_branch_that_is_deleted_and_comes_back_is_found(cloud: Cloud, github: GitHub) -> None:
    github.delete_branch(REPOSITORY, "master")
    wait(cloud, 2 * PERIOD)
    push(cloud, github, 2)
    wait(cloud, 2 * PERIOD)
    assert commits(cloud) == [sha(2)]
