"""A service may wait for the checks of a commit before it deploys the commit's image."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.settings import settings
from chalicelib.store import reads
from infra.local.github.server import GitHub
from tests.support.builders import WEBHOOK_SECRET, delivery_headers
from tests.support.client import Answer
from tests.support.embedded import MINUTE, REPOSITORY, Cloud, sha
from tests.support.github.connected import TELLS, TOKEN, add_github_channel, connected
from tests.support.sdk import Killed, Trouble

SETTINGS: dict[str, Any] = {"require_checks": ["test"], "checks_minutes": 30}


@pytest.fixture
def github(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """GitHub with the commits 1 to 9, and a channel that may read their checks.

    Each request and answer has the form of GitHub's own description.
    """
    github = GitHub(clock=lambda: cloud._now)
    github.add_repository(REPOSITORY)
    for number in range(1, 10):
        github.add_commit(REPOSITORY, sha(number))
    with connected(github, monkeypatch):
        add_github_channel(cloud, github, {**TELLS, "checks": "read"})
        yield github


@pytest.fixture
def waits(cloud: Cloud, github: GitHub) -> Cloud:
    """The service waits for the check "test"."""
    cloud.change_service(**SETTINGS)
    return cloud


def built(cloud: Cloud, number: int) -> int:
    """Push commit `number` and build it; return the number of its deployment."""
    build = int(cloud.push(sha(number)).body["builds"][0]["build_id"])
    cloud.settle()
    cloud.finish_build(build)
    return int(cloud.build(build)["deployment_id"])


def pass_time(cloud: Cloud, minutes: int) -> None:
    for _ in range(minutes):
        cloud.tick()
        cloud.settle()


def hear(cloud: Cloud, event: str, payload: dict[str, Any], **headers: Any) -> Answer:
    """GitHub delivers another event than a push."""
    name = f"https://github.com/{REPOSITORY}"
    body = {"repository": {"full_name": REPOSITORY, "html_url": name}, **payload}
    raw = json.dumps(body).encode()
    signed = delivery_headers(raw, delivery="other", secret=WEBHOOK_SECRET) | {
        "X-GitHub-Event": event,
        **headers,
    }
    return cloud.api.post("/v1/webhooks/github", raw=raw, headers=signed)


def asked(github: GitHub) -> int:
    """How many requests have asked for checks."""
    return sum("/commits/" in each.path for each in github.requests())


def test_a_push_is_deployed_when_its_check_has_passed(waits: Cloud, github: GitHub) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test", None)
    number = built(waits, 1)
    row = waits.deployment(number)
    assert row["status"] == "queued"
    assert row["step"] == "waits for checks"
    assert row["waiting_for"] == "checks of the commit that run: test"
    assert row["waiting_for_checks"] == {
        "required": ["test"],
        "running": ["test"],
        "missing": [],
        "since": row["created_at"],
        "deadline_at": "2026-11-22T00:30:00Z",
        "asked_at": row["created_at"],
        "trouble": None,
    }
    service = waits.service()
    assert service["active_deployment_id"] is None
    assert service["waiting_deployment_id"] == number
    (listed,) = waits.api.get("/v1/services").body["items"]
    assert listed["waiting"]["waiting_for_checks"] == row["waiting_for_checks"]
    github.add_check_run(REPOSITORY, sha(1), "test", "success")
    pass_time(waits, 1)
    row = waits.deployment(number)
    assert (row["status"], row["waiting_for_checks"]) == ("deploying", None)
    (listed,) = waits.api.get("/v1/services").body["items"]
    assert listed["active"]["waiting_for_checks"] is None
    waits.finish_rollout()
    assert waits.statuses(number) == ["success"]


def test_a_deployment_that_waits_for_checks_is_listed_behind_jobs_that_have_ended(
    waits: Cloud, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "_SEARCHED_PAGES", 1)
    monkeypatch.setattr("chalicelib.store.jobs.MOST_KEYS", 1)
    github.add_check_run(REPOSITORY, sha(1), "test", None)
    number = built(waits, 1)
    build = waits.ask_for_build()
    assert waits.api.post(f"/v1/cicd/jobs/build-{build}/cancel").status == 202
    pass_time(waits, 12)
    (row,) = waits.api.get("/v1/cicd/jobs?status=queued").body["items"]
    assert row["id"] == f"deploy-{number}"


def test_a_service_without_the_setting_asks_nothing(cloud: Cloud, github: GitHub) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test", None)
    assert cloud.statuses(cloud.release(1)) == ["success"]
    assert asked(github) == 0


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out", "action_required"])
def test_a_failed_check_ends_the_deployment(waits: Cloud, github: GitHub, conclusion: str) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test", conclusion)
    number = built(waits, 1)
    row = waits.deployment(number)
    assert (row["status"], row["failure"]["phase"]) == ("failed", "checks")
    assert row["error"] == "not deployed: the check test of the commit has failed"
    (run,) = github.repository(REPOSITORY).check_runs[sha(1)]
    assert run["html_url"] in row["failure"]["next_step"]
    service = waits.service()
    assert service["waiting_deployment_id"] is None
    assert service["failed_deployment_id"] == number
    assert service["failing_since"] is None
    # A person may deploy it anyway.
    manual = waits.deploy_build(row["build_id"])
    waits.settle()
    waits.finish_rollout()
    assert waits.statuses(manual) == ["success"]


@pytest.mark.parametrize("conclusion", ["success", "neutral", "skipped"])
def test_a_check_that_did_not_fail_has_passed(
    waits: Cloud, github: GitHub, conclusion: str
) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test", conclusion)
    assert waits.statuses(built(waits, 1)) == ["deploying"]


def test_a_status_is_a_check_too(waits: Cloud, github: GitHub) -> None:
    waits.change_service(require_checks=["ci/test"])
    post_status(github, 1, "ci/test", "pending")
    number = built(waits, 1)
    assert waits.deployment(number)["waiting_for_checks"]["running"] == ["ci/test"]
    post_status(github, 1, "ci/test", "success")
    pass_time(waits, 1)
    assert waits.statuses(number) == ["deploying"]


def post_status(github: GitHub, number: int, context: str, state: str) -> None:
    from infra.local.github import changes

    body = {"state": state, "context": context, "target_url": "https://ci.example/1"}
    with github.lock:
        repository, token = github.repository(REPOSITORY), github.tokens[TOKEN]
        changes.create_status(github, repository, sha(number), body, token)


def test_a_failed_status_names_its_page(waits: Cloud, github: GitHub) -> None:
    waits.change_service(require_checks=["ci/test"])
    post_status(github, 1, "CI/test", "error")
    failure = waits.deployment(built(waits, 1))["failure"]
    assert failure["next_step"].startswith("Read https://ci.example/1. ")


def test_the_deadline_ends_the_deployment_with_what_is_missing(
    waits: Cloud, github: GitHub
) -> None:
    waits.change_service(require_checks=["test", "lint"])
    github.add_check_run(REPOSITORY, sha(1), "test", None)
    number = built(waits, 1)
    pass_time(waits, 29)
    assert waits.statuses(number) == ["queued"]
    pass_time(waits, 3)
    row = waits.deployment(number)
    assert row["status"] == "failed"
    assert row["error"] == (
        "not deployed: after 30 minutes (checks_minutes) it still waits for checks of the commit "
        "that run: test, and checks that GitHub does not show yet: lint"
    )


def test_the_newest_run_of_a_name_counts(waits: Cloud, github: GitHub) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test", "failure", app="GitHub Actions")
    github.add_check_run(REPOSITORY, sha(1), "test", "success", app="GitHub Actions")
    assert waits.statuses(built(waits, 1)) == ["deploying"]


def test_each_app_counts(waits: Cloud, github: GitHub) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test", "failure", app="Other CI")
    github.add_check_run(REPOSITORY, sha(1), "test", "success", app="GitHub Actions")
    assert waits.statuses(built(waits, 1)) == ["failed"]


@pytest.mark.parametrize("required", ["all", ["test"]])
def test_jobs_of_two_workflows_with_one_name_all_count(
    waits: Cloud, github: GitHub, required: Any
) -> None:
    """GitHub Actions is one app. It makes a suite for each run of a workflow."""
    waits.change_service(require_checks=required)
    for conclusion in ("failure", "success"):
        suite = github.add_check_suite(REPOSITORY, sha(1), "completed", conclusion, runs=1)
        github.add_check_run(
            REPOSITORY, sha(1), "test", conclusion, app="GitHub Actions", suite=suite
        )
    assert waits.statuses(built(waits, 1)) == ["failed"]


def test_more_than_a_page_of_check_runs_is_read(waits: Cloud, github: GitHub) -> None:
    waits.change_service(require_checks="all")
    github.add_check_run(REPOSITORY, sha(1), "the oldest", None)
    for number in range(250):
        github.add_check_run(REPOSITORY, sha(1), f"test {number}")
    number = built(waits, 1)
    pass_time(waits, 3)
    assert waits.deployment(number)["waiting_for_checks"]["running"] == ["the oldest"]
    before = len(github.requests())
    pass_time(waits, 5)
    again = [each.status for each in github.requests()[before:] if "/commits/" in each.path]
    # Answers that are known cost no request of the hourly limit.
    assert len(again) >= 15
    assert set(again) == {304}


# "all"


def test_all_checks_are_those_that_github_shows_two_minutes_after_the_push(
    waits: Cloud, github: GitHub
) -> None:
    waits.change_service(require_checks="all")
    number = built(waits, 1)
    assert waits.deployment(number)["waiting_for"] == "the checks of the commit"
    pass_time(waits, 1)
    assert waits.statuses(number) == ["queued"]
    pass_time(waits, 2)
    assert waits.statuses(number) == ["deploying"]


def test_a_long_build_needs_no_such_time(waits: Cloud, github: GitHub) -> None:
    waits.change_service(require_checks="all")
    waits.push(sha(1))
    waits.settle()
    waits.advance(3 * MINUTE)
    waits.finish_build(1)
    assert waits.statuses(1) == ["deploying"]


def test_all_checks_are_not_those_of_slipway(waits: Cloud, github: GitHub) -> None:
    """The status of another service's build fails, and that of this one is pending when asked."""
    waits.change_service(require_checks="all")
    post_status(github, 1, "slipway/other/web", "failure")
    number = built(waits, 1)
    pass_time(waits, 3)
    assert waits.statuses(number) == ["deploying"]


def test_a_workflow_whose_next_job_has_not_begun_is_waited_for(
    waits: Cloud, github: GitHub
) -> None:
    waits.change_service(require_checks="all")
    suite = github.add_check_suite(REPOSITORY, sha(1), "in_progress", runs=1)
    github.add_check_suite(REPOSITORY, sha(1), "queued", app="An App That Does Nothing")
    github.add_check_run(REPOSITORY, sha(1), "first job", "success")
    number = built(waits, 1)
    pass_time(waits, 5)
    assert waits.deployment(number)["waiting_for_checks"]["running"] == ["GitHub Actions"]
    github.add_check_run(REPOSITORY, sha(1), "second job", "success")
    github.end_check_suite(REPOSITORY, sha(1), suite, "success")
    pass_time(waits, 1)
    assert waits.statuses(number) == ["deploying"]


def test_a_workflow_that_cannot_start_has_failed(waits: Cloud, github: GitHub) -> None:
    waits.change_service(require_checks="all")
    github.add_check_suite(REPOSITORY, sha(1), "completed", "startup_failure")
    row = waits.deployment(built(waits, 1))
    assert row["error"] == "not deployed: the check GitHub Actions of the commit has failed"


# Who passes, replaces and ends a deployment that waits


def test_a_newer_push_replaces_one_that_waits(waits: Cloud, github: GitHub) -> None:
    one, two = built(waits, 1), built(waits, 2)
    assert waits.statuses(one, two) == ["superseded", "queued"]
    github.add_check_run(REPOSITORY, sha(1), "test")
    pass_time(waits, 2)
    assert waits.statuses(one, two) == ["superseded", "queued"]
    github.add_check_run(REPOSITORY, sha(2), "test")
    pass_time(waits, 1)
    assert waits.statuses(one, two) == ["superseded", "deploying"]


def test_a_manual_deployment_does_not_wait_and_ends_the_push_before_it(
    waits: Cloud, github: GitHub
) -> None:
    waiting = built(waits, 1)
    plan = waits.plan(waits.build(1)["image_tag"])
    assert plan["ends"] == [{"deployment_id": waiting, "status": "superseded"}]
    manual = waits.deploy_build(1)
    waits.settle()
    assert waits.statuses(waiting, manual) == ["superseded", "deploying"]
    assert waits.service()["waiting_deployment_id"] is None
    github.add_check_run(REPOSITORY, sha(1), "test")
    waits.finish_rollout()
    pass_time(waits, 3)
    assert waits.statuses(waiting, manual) == ["superseded", "success"]


def test_a_rollback_does_not_wait_and_goes_back_from_what_runs(
    cloud: Cloud, github: GitHub
) -> None:
    first, second = cloud.release(1), cloud.release(2)
    cloud.change_service(**SETTINGS)
    waiting = built(cloud, 3)
    preview = cloud.preview()
    assert preview["target"]["id"] == first
    assert preview["plan"]["ends"] == [{"deployment_id": waiting, "status": "superseded"}]
    rollback = int(cloud.roll_back().body["deployment_id"])
    cloud.settle()
    assert cloud.statuses(waiting, rollback) == ["superseded", "deploying"]
    assert cloud.deployment(rollback)["restores"] == first
    cloud.finish_rollout()
    assert cloud.statuses(second, rollback) == ["rolled_back", "success"]


def test_a_rollback_while_another_deployment_runs_ends_both(cloud: Cloud, github: GitHub) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.change_service(**SETTINGS)
    waiting = built(cloud, 3)
    assert cloud.roll_back().status == 202
    cloud.settle()
    assert cloud.statuses(2, waiting) == ["rolled_back", "superseded"]
    cloud.finish_rollout()
    assert cloud.statuses(4) == ["success"]


def test_one_that_waits_can_be_cancelled(waits: Cloud, github: GitHub) -> None:
    number = built(waits, 1)
    assert waits.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel").status == 202
    github.add_check_run(REPOSITORY, sha(1), "test")
    pass_time(waits, 3)
    assert waits.statuses(number) == ["cancelled"]
    service = waits.service()
    assert (service["waiting_deployment_id"], service["active_deployment_id"]) == (None, None)


def test_checks_that_pass_during_a_rollout_put_the_deployment_into_the_line(
    cloud: Cloud, github: GitHub
) -> None:
    first = cloud.build(cloud.begin_release(1))["deployment_id"]
    cloud.change_service(**SETTINGS)
    second = built(cloud, 2)
    assert cloud.statuses(first, second) == ["deploying", "queued"]
    github.add_check_run(REPOSITORY, sha(2), "test")
    pass_time(cloud, 1)
    assert cloud.deployment(second)["waiting_for"] == (
        f"the end of deployment {first}, which is active"
    )
    cloud.finish_rollout()
    cloud.finish_rollout()
    assert cloud.statuses(first, second) == ["success", "success"]


def test_the_end_of_a_rollout_does_not_begin_one_that_waits(cloud: Cloud, github: GitHub) -> None:
    first = cloud.build(cloud.begin_release(1))["deployment_id"]
    cloud.change_service(**SETTINGS)
    second = built(cloud, 2)
    cloud.finish_rollout()
    pass_time(cloud, 3)
    assert cloud.statuses(first, second) == ["success", "queued"]
    github.add_check_run(REPOSITORY, sha(2), "test")
    pass_time(cloud, 1)
    assert cloud.statuses(second) == ["deploying"]


def test_a_change_of_the_config_does_not_wait(cloud: Cloud, github: GitHub) -> None:
    cloud.release(1)
    cloud.change_service(**SETTINGS)
    waiting = built(cloud, 2)
    path = f"/v1/services/{cloud.service_id}/config"
    changed = cloud.api.patch(path, {"environment": {"COLOUR": "blue"}}).body
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(changed["deployment_id"], waiting) == ["success", "queued"]
    github.add_check_run(REPOSITORY, sha(2), "test")
    pass_time(cloud, 1)
    cloud.finish_rollout()
    assert cloud.statuses(waiting) == ["success"]


def test_the_time_of_the_rollout_counts_from_the_checks(waits: Cloud, github: GitHub) -> None:
    waits.change_service(deploy_minutes=5, checks_minutes=60)
    number = built(waits, 1)
    pass_time(waits, 40)
    github.add_check_run(REPOSITORY, sha(1), "test")
    pass_time(waits, 4)
    waits.finish_rollout()
    assert waits.statuses(number) == ["success"]


def test_a_service_is_watched_while_a_deployment_waits(cloud: Cloud, github: GitHub) -> None:
    cloud.release(1)
    cloud.change_service(**SETTINGS)
    built(cloud, 2)
    seen = cloud.service()["tasks"]
    assert seen["running"] == 2
    pass_time(cloud, 12)
    assert cloud.service()["drift"] is None


def test_a_service_with_a_waiting_deployment_cannot_be_deleted(
    waits: Cloud, github: GitHub
) -> None:
    built(waits, 1)
    answer = waits.api.request("DELETE", f"/v1/services/{waits.service_id}")
    assert (answer.status, answer.body["code"]) == (409, "service_busy")


def test_each_service_decides_about_the_images_of_another(cloud: Cloud, github: GitHub) -> None:
    worker = cloud.add_dependent("worker", **SETTINGS)
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1)
    (dependent,) = cloud.build(1)["dependents"]
    assert dependent["service_id"] == worker
    own, other = cloud.build(1)["deployment_id"], dependent["deployment_id"]
    assert cloud.statuses(own, other) == ["deploying", "queued"]
    github.add_check_run(REPOSITORY, sha(1), "test")
    assert hear(cloud, "check_run", {"check_run": {"head_sha": sha(1)}}).status == 200
    cloud.settle()
    assert cloud.statuses(other) == ["deploying"]


# Hints of the webhook


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("check_run", {"action": "completed", "check_run": {"head_sha": sha(1)}}),
        ("check_suite", {"action": "completed", "check_suite": {"head_sha": sha(1)}}),
        ("workflow_run", {"action": "completed", "workflow_run": {"head_sha": sha(1)}}),
        ("status", {"sha": sha(1), "state": "success"}),
    ],
)
def test_an_event_of_github_has_it_asked_at_once(
    waits: Cloud, github: GitHub, event: str, payload: dict[str, Any]
) -> None:
    number = built(waits, 1)
    github.add_check_run(REPOSITORY, sha(1), "test")
    waits.advance(5)
    assert hear(waits, event, payload).body["ignored"] == "GitHub is asked"
    waits.settle()
    assert waits.statuses(number) == ["deploying"]


def test_an_event_decides_nothing(waits: Cloud, github: GitHub) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test", None)
    number = built(waits, 1)
    for conclusion in ("success", "failure"):
        waits.advance(5)
        run = {"head_sha": sha(1), "name": "test", "conclusion": conclusion}
        hear(waits, "check_run", {"check_run": run})
        waits.settle()
    assert waits.statuses(number) == ["queued"]


def test_an_event_for_another_commit_asks_nothing(waits: Cloud, github: GitHub) -> None:
    built(waits, 1)
    before = asked(github)
    for payload in (
        {"check_run": {"head_sha": sha(2)}},
        {"check_run": {"head_sha": "x"}},
        {"check_run": None},
        {},
    ):
        waits.advance(5)
        assert hear(waits, "check_run", payload).status == 200
    waits.settle()
    assert asked(github) == before


def test_many_events_at_once_ask_once_more(waits: Cloud, github: GitHub) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test", None)
    built(waits, 1)
    waits.advance(5)
    before = asked(github)
    for _ in range(50):
        hear(waits, "check_run", {"check_run": {"head_sha": sha(1)}})
    waits.advance(5)
    waits.settle()
    assert asked(github) - before == 2  # check runs and statuses


# Trouble


def test_a_github_that_does_not_answer_is_shown_and_asked_again(
    waits: Cloud, github: GitHub
) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test")
    github.fail(2, 502, match="/commits/")
    number = built(waits, 1)
    assert waits.deployment(number)["waiting_for_checks"]["trouble"] == "GitHub answered 502"
    pass_time(waits, 2)
    assert waits.statuses(number) == ["deploying"]


def test_the_limit_of_requests_is_kept(waits: Cloud, github: GitHub) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test")
    github.limit(0, waits._now + 10 * MINUTE)
    number = built(waits, 1)
    before = asked(github)
    pass_time(waits, 5)
    hear(waits, "check_run", {"check_run": {"head_sha": sha(1)}})
    waits.settle()
    assert asked(github) == before
    assert "rate limit" in waits.deployment(number)["waiting_for_checks"]["trouble"]
    pass_time(waits, 7)
    assert waits.statuses(number) == ["deploying"]


def test_a_channel_that_was_removed_is_named_at_once(waits: Cloud, github: GitHub) -> None:
    number = built(waits, 1)
    assert waits.api.request("DELETE", "/v1/channels/1").status == 204
    pass_time(waits, 1)
    trouble = waits.deployment(number)["waiting_for_checks"]["trouble"]
    assert trouble == "the service has no channel of kind github that is on"
    pass_time(waits, 32)
    row = waits.deployment(number)
    assert row["status"] == "failed"
    assert trouble in row["error"]


def test_a_hanging_github_delays_no_other_service(
    waits: Cloud, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = waits.add_service("other")
    monkeypatch.setattr("chalicelib.outbound.http.SECONDS", 0.05)
    github.hang(30, times=100)
    build = waits.push(sha(1)).body["builds"]
    waits.settle()
    for each in build:
        waits.finish_build(each["build_id"])
    waits.finish_rollout("other")
    numbers = {each["service_id"]: waits.build(each["build_id"]) for each in build}
    assert waits.statuses(numbers[other]["deployment_id"]) == ["success"]
    assert waits.statuses(numbers[waits.service_id]["deployment_id"]) == ["queued"]


def test_a_lost_message_is_sent_again(waits: Cloud, github: GitHub) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test")
    waits.push(sha(1))
    waits.settle()
    waits.finish_build(1, settle=False)
    waits.pump.deliver_events()
    waits.pump.deliver_messages()
    waits.lose_tellings()
    waits.settle()
    assert waits.statuses(1) == ["queued"]
    pass_time(waits, 2)
    assert waits.statuses(1) == ["deploying"]


def test_a_death_after_the_question_loses_nothing(
    waits: Cloud, github: GitHub, trouble: Trouble
) -> None:
    github.add_check_run(REPOSITORY, sha(1), "test")
    waits.push(sha(1))
    waits.settle()
    waits.finish_build(1, settle=False)
    waits.pump.deliver_events()
    waits.pump.deliver_messages()
    trouble.kill_before("dynamodb.UpdateItem")
    with pytest.raises(Killed):
        waits.settle()
    waits.advance(4 * MINUTE)
    pass_time(waits, 2)
    assert waits.statuses(1) == ["deploying"]


# The setting


def test_checks_need_a_channel(cloud: Cloud) -> None:
    answer = cloud.api.patch(f"/v1/services/{cloud.service_id}", SETTINGS)
    assert (answer.status, answer.body["code"]) == (409, "no_github_channel")
    assert answer.body["field"] == "require_checks"
    assert "POST /v1/channels" in answer.body["detail"]


def test_checks_need_a_repository_on_github(
    cloud: Cloud, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_HOSTS", "github.com,gitlab.com")
    settings.cache_clear()
    cloud.change_service(git_url="https://gitlab.com/acme/app.git")
    answer = cloud.api.patch(f"/v1/services/{cloud.service_id}", SETTINGS)
    assert (answer.status, answer.body["code"]) == (409, "repository_not_on_github")
    cloud.change_service(git_url=f"https://github.com/{REPOSITORY}.git")
    cloud.change_service(**SETTINGS)
    answer = cloud.api.patch(
        f"/v1/services/{cloud.service_id}", {"git_url": "https://gitlab.com/acme/app.git"}
    )
    assert (answer.status, answer.body["code"]) == (409, "repository_not_on_github")
    cloud.change_service(git_url="https://gitlab.com/acme/app.git", require_checks=None)


def test_a_change_of_the_setting_leaves_what_waits(waits: Cloud, github: GitHub) -> None:
    number = built(waits, 1)
    waits.change_service(require_checks=None)
    pass_time(waits, 2)
    assert waits.deployment(number)["waiting_for_checks"]["required"] == ["test"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"auto_deploy": False}, "auto_deploy is off"),
        ({"branch": "release"}, "the service follows release now"),
    ],
)
def test_checks_that_pass_after_the_service_has_changed_deploy_nothing(
    waits: Cloud, github: GitHub, changes: dict[str, Any], why: str
) -> None:
    number = built(waits, 1)
    waits.change_service(**changes)
    github.add_check_run(REPOSITORY, sha(1), "test")
    pass_time(waits, 2)
    row = waits.deployment(number)
    assert (row["status"], row["error"]) == ("superseded", f"not deployed: {why}")
    service = waits.service()
    assert (service["active_deployment_id"], service["waiting_deployment_id"]) == (None, None)


def test_checks_that_pass_deploy_if_auto_deploy_is_on_again(waits: Cloud, github: GitHub) -> None:
    number = built(waits, 1)
    waits.change_service(auto_deploy=False)
    pass_time(waits, 1)
    waits.change_service(auto_deploy=True)
    github.add_check_run(REPOSITORY, sha(1), "test")
    pass_time(waits, 1)
    assert waits.statuses(number) == ["deploying"]
