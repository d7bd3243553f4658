"""GitHub shows each build on its commit, and each deployment, in the state that it has now."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.github.server import GitHub
from tests.support import codebuild_log
from tests.support.embedded import (
    MINUTE,
    REPOSITORY,
    Cloud,
    client,
    keep_secret,
    put_image,
    sha,
)
from tests.support.github.connected import TOKEN, add_github_channel, connected
from tests.support.sdk import Killed, Trouble
from tests.support.shifts import shift_traffic


@pytest.fixture
def github(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """GitHub with the commits 1 to 9, and a channel that tells it of all jobs.

    Each request and answer has the form of GitHub's own description.
    """
    github = GitHub(clock=lambda: cloud._now)
    github.add_repository(REPOSITORY)
    for number in range(1, 10):
        github.add_commit(REPOSITORY, sha(number))
    with connected(github, monkeypatch, PUBLIC_URL="https://slipway.example/api"):
        add_github_channel(cloud, github)
        yield github


def shown(github: GitHub, number: int) -> list[tuple[str, str]]:
    """The statuses of a commit, the earliest first: state and description."""
    found = github.statuses(REPOSITORY, sha(number))
    return [(each["state"], each["description"]) for each in found]


def deployments(github: GitHub) -> list[list[str]]:
    """The states of each deployment, the earliest first."""
    found = github.deployments(REPOSITORY)
    return [[status["state"] for status in each["statuses"]] for each in found]


def written(github: GitHub) -> int:
    return sum(each.method == "POST" for each in github.requests())


def told(github: GitHub) -> int:
    """The number of requests, without those that look for pushes."""
    looks = ("/git/ref/", "/activity")
    return sum(not any(look in each.path for look in looks) for each in github.requests())


def test_a_push_is_told_from_the_queue_to_the_release(cloud: Cloud, github: GitHub) -> None:
    cloud.change_service(environment_name="production", environment_url="https://shop.example/")
    cloud.push(sha(1))
    cloud.settle()
    cloud.advance(75)
    cloud.finish_build(1)
    cloud.advance(20)
    cloud.finish_rollout()
    states = [state for state, _ in shown(github, 1)]
    assert states[0] == "pending"
    assert states[-1] == "success"
    newest = github.statuses(REPOSITORY, sha(1))[-1]
    assert newest["context"] == "slipway/shop/hello"
    assert newest["description"] == "Built in 1 min 15 s"
    assert newest["target_url"] == "https://slipway.example/api/#/builds/1"
    assert deployments(github) == [["queued", "in_progress", "success"]]
    (deployment,) = github.deployments(REPOSITORY)
    assert deployment["environment"] == "production"
    assert deployment["sha"] == sha(1)
    assert deployment["statuses"][-1]["environment_url"] == "https://shop.example/"
    assert written(github) <= 8


def test_github_shows_that_a_deployment_awaits_approval(cloud: Cloud, github: GitHub) -> None:
    strategy = {"type": "BLUE_GREEN", "bake_minutes": 0}
    shift_traffic(cloud, approval=True, strategy=strategy)
    cloud.begin_release(2)
    cloud.finish_rollout()
    cloud.tick()
    cloud.settle()
    cloud.api.post("/v1/cicd/deployments/2/approve")
    for _ in range(3):
        cloud.settle()
        cloud.tick()
    cloud.settle()
    (newest,) = [each for each in github.deployments(REPOSITORY) if each["sha"] == sha(2)]
    assert [(each["state"], each["description"]) for each in newest["statuses"]][1:4] == [
        ("in_progress", "Is being rolled out"),
        ("in_progress", "Awaits approval"),
        ("in_progress", "Is being rolled out"),
    ]
    assert newest["statuses"][-1]["state"] == "success"


def test_a_pull_request_has_a_status_of_its_own_beside_that_of_the_branch(
    cloud: Cloud, github: GitHub
) -> None:
    """The head commit of a pull request can become that of the branch: a merge without a commit."""
    cloud.change_service(build_pull_requests=True)
    cloud.pull("opened", sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(2)
    newest = {each["context"]: each["state"] for each in github.statuses(REPOSITORY, sha(1))}
    assert newest == {"slipway/shop/hello/pr": "failure", "slipway/shop/hello": "success"}
    # The older build tells its state after the newer one.
    cloud.api.post("/v1/cicd/builds/1/retry")
    cloud.settle()
    newest = {each["context"]: each["state"] for each in github.statuses(REPOSITORY, sha(1))}
    assert newest == {"slipway/shop/hello/pr": "pending", "slipway/shop/hello": "success"}


def test_the_end_of_a_pull_request_is_told_for_its_queued_build(
    cloud: Cloud, github: GitHub
) -> None:
    cloud.change_service(build_pull_requests=True)
    for ref in ("a", "b"):
        cloud.ask_for_build(git_ref=ref)
    cloud.settle()
    cloud.pull("opened", sha(1))
    cloud.settle()
    cloud.pull("closed", sha(1))
    cloud.settle()
    assert shown(github, 1)[-1] == ("error", "pull request 2 was closed")


def test_a_failure_has_its_cause(cloud: Cloud, github: GitHub) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    state, description = shown(github, 1)[-1]
    assert state == "failure"
    assert description == cloud.build(1)["failure"]["summary"][:140]
    assert deployments(github) == []


def test_a_cause_with_an_emoji_is_told(cloud: Cloud, github: GitHub) -> None:
    cloud.push(sha(1))
    cloud.settle()
    log = [line.replace("sh -c make", "sh -c \U0001f4a5") for line in codebuild_log.failed_log()]
    cloud.end_build(1, "FAILED", log=log)
    assert "\U0001f4a5" in cloud.build(1)["failure"]["summary"]
    assert shown(github, 1)[-1][0] == "failure"


def test_a_release_that_is_replaced_or_rolled_back_is_inactive(
    cloud: Cloud, github: GitHub
) -> None:
    cloud.release(1)
    cloud.release(2)
    assert [states[-1] for states in deployments(github)] == ["inactive", "success"]
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    assert [states[-1] for states in deployments(github)] == ["inactive", "inactive", "success"]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_release_that_an_image_without_a_build_replaces_is_inactive(
    cloud: Cloud, github: GitHub, is_late: bool
) -> None:
    """Such a deployment has no commit, so GitHub does not show it."""
    cloud.release(1)
    if is_late:
        github.fail(1, 502)
    assert cloud.deploy(f"hello@{put_image('hello', 'by-hand')}").status == 202
    cloud.settle()
    cloud.finish_rollout()
    for _ in range(3):
        cloud.advance(MINUTE)
        cloud.tick()
        cloud.settle()
    assert [states[-1] for states in deployments(github)] == ["inactive"]


def test_after_an_outage_only_the_release_that_runs_is_active(cloud: Cloud, github: GitHub) -> None:
    cloud.release(1)
    # The second release runs and is replaced before GitHub knows of it.
    github.fail(1000, 502)
    cloud.release(2)
    cloud.release(3)
    github.faults.clear()
    for _ in range(5):
        cloud.advance(10 * MINUTE)
        cloud.pump.tick()
        cloud.settle()
    assert [states[-1] for states in deployments(github)].count("success") == 1
    assert deployments(github)[0][-1] == "inactive"


def test_a_lost_answer_creates_no_second_deployment(cloud: Cloud, github: GitHub) -> None:
    cloud.push(sha(1))
    cloud.settle()
    github.fail(1, None, after_effect=True, match=r"POST .*/deployments$")
    cloud.finish_build(1)
    cloud.finish_rollout()
    for _ in range(4):
        cloud.tick()
        cloud.settle()
    assert [states[-1] for states in deployments(github)] == ["success"]


def test_a_death_after_a_call_creates_no_second_deployment(
    cloud: Cloud, github: GitHub, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1, settle=False)
    cloud.pump.deliver_events()
    trouble.kill_before("dynamodb.UpdateItem")
    trouble.kill_before("dynamodb.UpdateItem")
    for _ in range(2):
        with pytest.raises(Killed):
            cloud.pump.deliver_tellings()
        cloud.advance(4 * MINUTE)
    cloud.settle()
    cloud.finish_rollout()
    cloud.tick()
    cloud.settle()
    assert [states[-1] for states in deployments(github)] == ["success"]
    assert shown(github, 1)[-1][0] == "success"


def test_an_older_build_of_the_commit_never_hides_a_newer_one(cloud: Cloud, github: GitHub) -> None:
    cloud.push(sha(1))
    cloud.settle()
    github.fail(2, 502, match="statuses")
    cloud.end_build(1, "FAILED")
    assert cloud.api.post("/v1/cicd/builds/1/retry").status == 202
    cloud.settle()
    cloud.finish_build(2)
    for _ in range(5):
        cloud.tick()
        cloud.settle()
    assert shown(github, 1)[-1][0] == "success"


def test_the_limit_of_requests_is_kept_and_then_the_newest_state_is_told(
    cloud: Cloud, github: GitHub
) -> None:
    github.limit(1, cloud._now + 10 * MINUTE)
    cloud.release(1)
    asked = told(github)
    for _ in range(5):
        cloud.tick()
        cloud.settle()
    # Each of the two jobs has asked once, and then waits.
    assert told(github) == asked
    channel = cloud.api.get("/v1/channels/1").body
    assert channel["failing_since"] is None
    for _ in range(7):
        cloud.tick()
        cloud.settle()
    assert shown(github, 1)[-1][0] == "success"
    assert [states[-1] for states in deployments(github)] == ["success"]


def test_a_commit_that_github_does_not_know_is_not_told_again(
    cloud: Cloud, github: GitHub, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.push(sha(77))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    asked = written(github)
    for _ in range(5):
        cloud.tick()
        cloud.settle()
    assert written(github) == asked
    assert "channel 1 refuses build-1: GitHub answered 422" in caplog.text


def test_a_token_without_rights_is_shown_and_mended(cloud: Cloud, github: GitHub) -> None:
    github.revoke(TOKEN)
    cloud.release(1)
    shown_channel = cloud.api.get("/v1/channels/1").body
    assert shown_channel["trouble"] == "GitHub answered 401: Bad credentials"
    assert cloud.statuses(1) == ["success"]
    newer = "ghp_" + "u" * 36
    github.add_token(newer, [REPOSITORY], {"statuses": "write", "deployments": "write"})
    client("secretsmanager").put_secret_value(
        SecretId="slipway/tell/all/github", SecretString=newer
    )
    cloud.advance(10 * MINUTE)
    cloud.pump.tick()
    cloud.settle()
    assert shown(github, 1)[-1][0] == "success"
    assert cloud.api.get("/v1/channels/1").body["trouble"] is None


def test_a_state_that_cannot_be_told_is_given_up_after_a_day(cloud: Cloud, github: GitHub) -> None:
    github.fail(1000, 404, match="statuses")
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    for _ in range(26):
        cloud.advance(60 * MINUTE)
        cloud.pump.tick()
        cloud.settle()
    asked = told(github)
    assert cloud.api.post("/v1/channels/1/test").status == 202
    cloud.settle()
    for _ in range(5):
        cloud.advance(60 * MINUTE)
        cloud.pump.tick()
        cloud.settle()
    assert told(github) == asked + 1


def test_a_repository_that_is_gone_switches_no_channel_off(cloud: Cloud, github: GitHub) -> None:
    cloud.push(sha(1))
    cloud.settle()
    del github.repositories[REPOSITORY.lower()]
    cloud.end_build(1, "FAILED")
    for _ in range(30):
        cloud.advance(60 * MINUTE)
        cloud.pump.tick()
        cloud.settle()
    channel = cloud.api.get("/v1/channels/1").body
    assert channel["off_since"] is None
    assert channel["trouble"] == (
        f"GitHub answered 404: Not Found. Is {REPOSITORY.lower()} still its name, and may the "
        "token write to it?"
    )


def test_a_test_switches_a_channel_on_that_works_for_other_repositories(
    cloud: Cloud, github: GitHub
) -> None:
    cloud.add_service("other", git_url="https://github.com/acme/gone.git")
    github.fail(1000, 502, match="statuses")
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    for _ in range(26):
        cloud.advance(60 * MINUTE)
        cloud.pump.tick()
        cloud.settle()
    assert cloud.api.get("/v1/channels/1").body["off_since"] is not None
    assert cloud.api.post("/v1/channels/1/test").status == 202
    cloud.settle()
    channel = cloud.api.get("/v1/channels/1").body
    assert channel["off_since"] is None
    assert "acme/gone" in channel["trouble"]


def test_a_test_ends_in_time_if_github_is_slow(
    cloud: Cloud, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.pipeline.telling.github._TEST_SECONDS", 0.2)
    for number in range(4):
        name = f"acme/app-{number}"
        github.add_repository(name)
        cloud.add_service(f"app-{number}", git_url=f"https://github.com/{name}.git")
    github.hang(0.15, times=100)
    asked = len(github.requests())
    assert cloud.api.post("/v1/channels/1/test").status == 202
    cloud.settle()
    assert cloud.api.get("/v1/channels/1").body["tested_at"] is not None
    assert len(github.requests()) - asked <= 2


def test_a_repository_of_another_host_is_not_told(
    cloud: Cloud, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.pipeline.github_access.github_host", lambda: "git.example")
    cloud.release(1)
    assert github.requests() == []


def test_a_hanging_github_delays_no_deployment(
    cloud: Cloud, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.outbound.http.SECONDS", 0.05)
    github.hang(30, times=100)
    assert cloud.statuses(cloud.release(1), cloud.release(2)) == ["success", "success"]


def test_the_test_of_a_services_channel_reads_only_its_repository(
    cloud: Cloud, github: GitHub
) -> None:
    cloud.add_service("other", git_url="https://github.com/acme/hidden.git")
    name = keep_secret(TOKEN, f"slipway/tell/{cloud.project}/github")
    body = {"kind": "github", "name": "one", "service_id": cloud.service_id, "secret": name}
    assert cloud.api.post("/v1/channels", body).status == 201
    assert cloud.api.post("/v1/channels/2/test").status == 202
    cloud.settle()
    found = cloud.api.get("/v1/channels/2").body
    assert (found["tested_at"] is not None, found["trouble"]) == (True, None)


def test_the_test_of_the_channel_reads_the_repositories(cloud: Cloud, github: GitHub) -> None:
    def tested() -> Any:
        assert cloud.api.post("/v1/channels/1/test").status == 202
        cloud.settle()
        return cloud.api.get("/v1/channels/1").body

    found = tested()
    assert (found["tested_at"] is not None, found["trouble"]) == (True, None)
    github.revoke(TOKEN)
    assert tested()["trouble"] == "GitHub answered 401: Bad credentials"
    newer = "ghp_" + "u" * 36
    github.add_token(newer, [REPOSITORY], {"statuses": "write", "deployments": "write"})
    keep_secret(newer, "slipway/tell/all/github")
    assert tested()["trouble"] is None
