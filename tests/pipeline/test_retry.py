"""Retrying a build: the same commit, with the trigger and the order of the first build."""

import pytest

from tests.support.client import Answer
from tests.support.embedded import MINUTE, Cloud, put_image, sha
from tests.support.sdk import Calls


@pytest.fixture(autouse=True)
def pushes_one_after_the_other(cloud: Cloud) -> None:
    cloud.seconds_before_push = 1


def retry(cloud: Cloud, number: int, **headers: str | None) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return cloud.api.request("POST", f"/v1/cicd/builds/{number}/retry", headers=sent)


def failed_push(cloud: Cloud, commit: int = 1) -> int:
    number = int(cloud.push(sha(commit)).body["builds"][0]["build_id"])
    cloud.settle()
    cloud.end_build(number, "FAILED")
    return number


def test_a_retried_push_is_deployed_as_the_first_would_have_been(cloud: Cloud) -> None:
    first = failed_push(cloud)
    answer = retry(cloud, first)
    assert answer.status == 202
    assert answer.body == {"build_id": 2, "job_id": "build-2", "status": "queued"}
    assert answer.headers["location"] == "/v1/cicd/builds/2"
    cloud.settle()
    before, again = cloud.build(first), cloud.build(2)
    same = ("trigger", "git_ref", "commit_sha", "commit_message", "author")
    assert [again[name] for name in same] == [before[name] for name in same]
    assert (again["retry_of"], again["requested_by"]) == (first, "token:tests")
    cloud.finish_build(2)
    cloud.finish_rollout()
    assert cloud.build(2)["deployment_id"] == 1
    assert cloud.service()["current_deployment_id"] == 1


def test_a_retry_of_an_earlier_push_is_not_deployed_over_a_later_one(cloud: Cloud) -> None:
    """Both pushes came in the same second, and the retry has the higher number."""
    first = failed_push(cloud)
    cloud.release(2)
    retry(cloud, first)
    cloud.settle()
    cloud.finish_build(3)
    assert cloud.build(3)["status"] == "success"
    assert cloud.build(3)["not_deployed"] == "build 2 of a later push was built already"


def test_the_next_push_is_deployed_over_a_retry(cloud: Cloud) -> None:
    retry(cloud, failed_push(cloud))
    cloud.settle()
    cloud.finish_build(2)
    cloud.finish_rollout()
    cloud.release(2)
    assert cloud.service()["current_deployment_id"] == 2


def test_of_two_retries_of_one_push_the_first_to_succeed_is_deployed(cloud: Cloud) -> None:
    first = failed_push(cloud)
    for _ in range(2):
        retry(cloud, first)
    cloud.settle()
    for number in (2, 3):
        cloud.finish_build(number)
    assert cloud.build(2)["deployment_id"] == 1
    assert cloud.build(3)["not_deployed"] == "build 2 of this push was deployed already"


def test_a_retry_does_not_replace_a_later_manual_deployment(cloud: Cloud) -> None:
    first = failed_push(cloud)
    cloud.advance(MINUTE)
    cloud.deploy(f"hello@{put_image('hello', 'by-hand')}")
    cloud.settle()
    cloud.finish_rollout()
    retry(cloud, first)
    cloud.settle()
    cloud.end_build(2, "FAILED")
    retry(cloud, 2)
    cloud.settle()
    cloud.finish_build(3)
    assert cloud.build(3)["retry_of"] == first
    assert cloud.build(3)["not_deployed"] == "a manual deployment or rollback came after this push"


def test_a_retry_after_an_earlier_manual_deployment_is_deployed(cloud: Cloud) -> None:
    cloud.deploy(f"hello@{put_image('hello', 'by-hand')}")
    cloud.settle()
    cloud.finish_rollout()
    cloud.advance(MINUTE)
    retry(cloud, failed_push(cloud))
    cloud.settle()
    cloud.finish_build(2)
    assert cloud.build(2)["deployment_id"] == 2


def test_a_retry_has_the_present_settings_and_the_choices_of_the_first_request(
    cloud: Cloud, calls: Calls
) -> None:
    number = cloud.ask_for_build(
        git_ref="v1", platforms=["linux/arm64"], build_args={"LEVEL": "chosen"}
    )
    cloud.settle()
    cloud.end_build(number, "FAILED")
    cloud.change_service(
        platforms=["linux/amd64"], build_args={"LEVEL": "of the service"}, dockerfile="New"
    )
    retry(cloud, number)
    cloud.settle()
    again = cloud.build(2)
    assert (again["trigger"], again["git_ref"]) == ("manual", "v1")
    assert again["platforms"] == ["linux/arm64"]
    assert again["build_args"] == {"LEVEL": "chosen"}
    assert again["dockerfile"] == "New"
    cloud.end_build(2, "FAILED")
    retry(cloud, 2)
    assert cloud.build(3)["platforms"] == ["linux/arm64"]
    assert cloud.build(3)["retry_of"] == number


def test_a_retry_of_a_branch_builds_the_commit_that_the_first_build_fetched(cloud: Cloud) -> None:
    number = cloud.ask_for_build(git_ref="main")
    cloud.settle()
    cloud.end_build(number, "FAILED")  # CodeBuild exports COMMIT_SHA
    retry(cloud, number)
    assert cloud.build(2)["commit_sha"] == sha(7)


def test_a_retry_of_a_branch_without_a_known_commit_builds_the_branch(cloud: Cloud) -> None:
    number = cloud.ask_for_build(git_ref="main")
    cloud.api.post(f"/v1/cicd/jobs/build-{number}/cancel")
    retry(cloud, number)
    again = cloud.build(2)
    assert (again["git_ref"], again["commit_sha"]) == ("main", None)


def test_an_open_or_successful_build_cannot_be_retried(cloud: Cloud) -> None:
    cloud.push(sha(1))
    answers = [retry(cloud, 1)]
    cloud.settle()
    answers.append(retry(cloud, 1))
    cloud.finish_build(1)
    answers.append(retry(cloud, 1))
    assert [(each.status, each.body["code"]) for each in answers] == [
        (409, "build_open"),
        (409, "build_open"),
        (409, "build_succeeded"),
    ]
    assert "it is building; wait for its end or cancel it" in answers[1].body["detail"]
    assert "deploy its image" in answers[2].body["detail"]
    assert cloud.api.get("/v1/cicd/builds/2").status == 404


def test_a_superseded_build_can_be_retried(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.push(sha(number))
    cloud.settle()
    assert cloud.build(1)["status"] == "superseded"
    cloud.end_build(2, "FAILED")
    assert retry(cloud, 1).status == 202
    cloud.settle()
    cloud.finish_build(3)
    assert cloud.build(3)["deployment_id"] == 1


def test_a_retry_with_an_idempotency_key_is_accepted_once(cloud: Cloud) -> None:
    first = failed_push(cloud)
    answers = [retry(cloud, first, Idempotency_Key="k") for _ in range(2)]
    assert [each.body["build_id"] for each in answers] == [2, 2]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert cloud.api.get("/v1/cicd/builds/3").status == 404


def test_a_retry_counts_as_an_open_build(cloud: Cloud) -> None:
    cloud.change_service(max_open_builds=1)
    first = failed_push(cloud)
    cloud.ask_for_build(git_ref="other")
    answer = retry(cloud, first)
    assert (answer.status, answer.body["code"]) == (409, "too_many_builds")


def test_a_build_of_a_deleted_service_cannot_be_retried(cloud: Cloud) -> None:
    first = failed_push(cloud)
    assert cloud.api.delete(f"/v1/services/{cloud.service_id}").status == 204
    assert retry(cloud, first).status == 404


def test_a_retry_is_in_the_audit_trail(cloud: Cloud) -> None:
    first = failed_push(cloud)
    retry(cloud, first)
    entries = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}").body["items"]
    newest = entries[0]
    assert (newest["action"], newest["subject"]) == ("build.requested", "build-2")
    assert newest["details"]["retry_of"] == first


def test_a_missing_build_cannot_be_retried(cloud: Cloud) -> None:
    assert retry(cloud, 99).status == 404


def test_a_retry_is_not_deployed_over_a_later_push_that_was_built_but_not_deployed(
    cloud: Cloud,
) -> None:
    first = failed_push(cloud)
    cloud.change_service(auto_deploy=False)
    cloud.push(sha(2))
    cloud.settle()
    cloud.finish_build(2)
    assert cloud.build(2)["not_deployed"] == "auto_deploy is off"
    cloud.change_service(auto_deploy=True)
    retry(cloud, first)
    cloud.settle()
    cloud.finish_build(3)
    assert cloud.build(3)["not_deployed"] == "build 2 of a later push was built already"


def test_a_retry_is_deployed_if_no_build_of_its_push_was(cloud: Cloud) -> None:
    cloud.change_service(auto_deploy=False)
    first = failed_push(cloud)
    for number in (2, 3):
        retry(cloud, first)
        cloud.settle()
        cloud.finish_build(number)
        cloud.change_service(auto_deploy=True)
    assert cloud.build(2)["not_deployed"] == "auto_deploy is off"
    assert cloud.build(3)["deployment_id"] == 1


def test_a_retry_is_built_even_if_a_later_push_is_being_built(cloud: Cloud) -> None:
    first = failed_push(cloud)
    cloud.push(sha(2))
    cloud.settle()
    retry(cloud, first)
    cloud.settle()
    assert cloud.build(3)["status"] == "building"
    cloud.finish_build(2)
    cloud.finish_build(3)
    assert cloud.build(3)["not_deployed"] == "build 2 of a later push was built already"
