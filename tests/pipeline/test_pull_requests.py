"""Pull requests of the same repository are built without secrets, and never deployed."""

import json
from typing import Any

import pytest

from chalicelib.store.services import get_service
from tests.faults.rows import rows
from tests.support.builders import delivery_headers, real_payload
from tests.support.client import Answer
from tests.support.codebuild_log import RUN_FAILED, failed_log
from tests.support.embedded import (
    MINUTE,
    REPOSITORY,
    Cloud,
    client,
    keep_secret,
    put_image,
    put_manifest,
    sha,
)
from tests.support.sdk import Trouble
from tests.support.written import nothing_is_written

NPM, HUB = "secretsmanager:slipway/build/1/npm", "secretsmanager:slipway/build/1/hub"
FORK = {"id": 9, "full_name": "mallory/Hello-World", "clone_url": "https://github.com/m/x.git"}


@pytest.fixture(autouse=True)
def pull_requests_are_built(cloud: Cloud) -> None:
    cloud.seconds_before_push = 1
    cloud.change_service(build_pull_requests=True)


def reason(cloud: Cloud, answer: Answer, service: int | None = None) -> str:
    shown = cloud.api.get(f"/v1/webhooks/github/deliveries/{answer.body['delivery']}").body
    (found,) = [
        each["reason"]
        for each in shown["services"]
        if each["service_id"] == (service or cloud.service_id)
    ]
    return str(found)


def started(answer: Answer) -> list[int]:
    return [each["build_id"] for each in answer.body.get("builds", ()) if "status" in each]


def occupy(cloud: Cloud) -> None:
    """Two builds of other refs take the capacity."""
    for ref in ("a", "b"):
        cloud.ask_for_build(git_ref=ref)
    cloud.settle()


def statuses(cloud: Cloud, *numbers: int) -> list[str]:
    return [cloud.build(number)["status"] for number in numbers]


def variables(cloud: Cloud, number: int) -> dict[str, str]:
    """What the build in CodeBuild was started with."""
    found = client("codebuild").batch_get_builds(ids=[cloud.build(number)["codebuild_id"]])
    listed = found["builds"][0]["environment"]["environmentVariables"]
    return {each["name"]: each["value"] for each in listed}


# What is built.


def test_the_head_commit_of_a_pull_request_is_built(cloud: Cloud) -> None:
    answer = cloud.pull("opened", sha(1))
    assert answer.status == 202, answer.text
    assert started(answer) == [1]
    build = cloud.build(1)
    assert (build["trigger"], build["commit_sha"]) == ("pull_request", sha(1))
    assert (build["git_ref"], build["ref_type"]) == ("changes", "branch")
    assert build["pull_request"] == {"number": 2, "title": "Update the README", "withheld": []}
    assert (build["author"], build["requested_by"]) == ("octocat", "github:Codertocat")
    assert build["image_tag"] == f"hello:pr-2-{sha(1)[:12]}-1"
    assert reason(cloud, answer) == "a build was started"
    shown = cloud.api.get("/v1/webhooks/github/deliveries").body["items"][0]
    assert (shown["event"], shown["pull_request"]) == ("pull_request", 2)
    assert (shown["ref"], shown["sha"]) == ("refs/heads/changes", sha(1))
    cloud.settle()
    cloud.finish_build(1)
    build = cloud.build(1)
    assert (build["status"], build["commit_message"]) == ("success", "seven")


def test_githubs_own_example_is_built(cloud: Cloud) -> None:
    body = json.dumps(real_payload("pull_request.opened")).encode()
    headers = delivery_headers(body, event="pull_request")
    answer = cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)
    assert answer.status == 202, answer.text
    build = cloud.build(1)
    assert build["pull_request"]["title"] == "Update the README with new information."
    assert build["commit_sha"] == "ec26c3e57ca3a959ca5aad62de7213c562f8c821"


def test_a_push_to_a_pull_request_and_its_reopening_are_built(cloud: Cloud) -> None:
    assert started(cloud.pull("synchronize", sha(1), before=sha(9))) == [1]
    assert started(cloud.pull("reopened", sha(2))) == [2]


def test_a_draft_is_built(cloud: Cloud) -> None:
    assert started(cloud.pull("opened", sha(1), pull_request__draft=True)) == [1]


def test_by_default_no_pull_request_is_built(cloud: Cloud) -> None:
    other = cloud.add_service("other")
    assert cloud.service(other)["build_pull_requests"] is False
    answer = cloud.pull("opened", sha(1))
    assert started(answer) == [1]
    assert reason(cloud, answer, other) == "build_pull_requests is off"


@pytest.mark.parametrize(
    ("settings", "changes", "expected"),
    [
        ({"auto_build": False}, {}, "auto_build is off"),
        (
            {},
            {"pull_request__title": "Typo [skip ci]"},
            "the title of the pull request has [skip ci]",
        ),
        ({}, {"action": "labeled"}, "the action labeled of a pull request has no effect"),
        (
            {},
            {"pull_request__head__repo": FORK},
            "its branch is in the fork mallory/hello-world: pull requests of forks are not built",
        ),
        ({}, {"pull_request__head__repo": None}, "the repository of its branch was deleted"),
        # Somebody else has taken the old name of a renamed repository.
        (
            {},
            {"pull_request__head__repo": {**FORK, "full_name": REPOSITORY}},
            "its branch is in the fork codertocat/hello-world: pull requests of forks are not "
            "built",
        ),
        (
            {},
            {"pull_request__head__repo__full_name": "mallory/Hello-World"},
            "its branch is in the fork mallory/hello-world: pull requests of forks are not built",
        ),
        (
            {},
            {"pull_request__base__repo": FORK},
            "it is a pull request of mallory/hello-world, and not of codertocat/hello-world",
        ),
        (
            {},
            {"repository__clone_url": "https://github.com/evil/other.git"},
            "its clone_url is not that of github.com/codertocat/hello-world",
        ),
        (
            {},
            {"pull_request__head__ref": "x\u202ey"},
            "the name of its branch has control or direction characters",
        ),
        (
            {},
            {"pull_request__updated_at": "2026-01-01T00:00:00Z"},
            "it is more than 30 days old; push to the pull request again",
        ),
        ({}, {"pull_request__updated_at": "2027-01-01T00:00:00Z"}, "its updated_at is in the "),
    ],
)
def test_what_is_not_built_has_a_reason(
    cloud: Cloud, settings: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    if settings:
        cloud.change_service(**settings)
    answer = cloud.pull(**{"action": "opened", **changes})
    assert answer.status == 200, answer.text
    assert rows("jobs") == {}
    assert answer.body["ignored"].startswith(expected)
    assert reason(cloud, answer).startswith(expected)


def test_only_pull_requests_to_the_branch_of_the_service_are_built(cloud: Cloud) -> None:
    answer = cloud.pull("opened", sha(1), pull_request__base__ref="develop")
    assert reason(cloud, answer) == "it follows the branch master"
    assert answer.body["ignored"] == (
        "no service follows branch develop of github.com/codertocat/hello-world"
    )


def test_paths_do_not_apply_because_the_event_lists_no_files(cloud: Cloud) -> None:
    cloud.change_service(paths=["docs/**"])
    answer = cloud.pull("opened", sha(1))
    assert started(answer) == [1]
    assert reason(cloud, answer) == (
        "a build was started: paths were not compared: the event of a pull request lists no files"
    )


def test_a_head_commit_is_built_once(cloud: Cloud) -> None:
    cloud.pull("opened", sha(1), delivery="first")
    again = cloud.pull("opened", sha(1), delivery="first")
    reopened = cloud.pull("reopened", sha(1))
    for answer in (again, reopened):
        assert answer.body["duplicate"] is True
        assert answer.body["builds"] == [
            {"service_id": cloud.service_id, "build_id": 1, "job_id": "build-1", "status": None}
        ]
    why = "this commit of the pull request had started its build before"
    assert reason(cloud, reopened) == why


def test_a_service_with_its_own_secret_is_started_only_by_that_secret(cloud: Cloud) -> None:
    own = keep_secret("the-secret-of-its-own", "slipway/hello")
    cloud.change_service(webhook_secret=own)
    answer = cloud.pull("opened", sha(1))
    assert "not signed with the service's own webhook secret" in reason(cloud, answer)
    assert started(cloud.pull("opened", sha(1), secret="the-secret-of-its-own")) == [1]


@pytest.mark.parametrize("branch", ["$(id)", "-rf", "refs/heads/x", "a'b\"c", "日本", "v1;id"])
def test_the_branch_may_have_any_name_that_git_allows(cloud: Cloud, branch: str) -> None:
    assert started(cloud.pull("opened", sha(1), pull_request__head__ref=branch)) == [1]
    assert cloud.build(1)["git_ref"] == branch
    cloud.settle()
    assert variables(cloud, 1)["GIT_REF"] == branch
    assert variables(cloud, 1)["IMAGE_TAG"] == f"pr-2-{sha(1)[:12]}-1"


def test_the_title_is_shown_clean_and_without_secrets(cloud: Cloud) -> None:
    title = "\x1b[31mUse ghp_" + "a" * 36 + "\u202e\nsecond line"
    cloud.pull("opened", sha(1), pull_request__title=title)
    shown = cloud.build(1)["pull_request"]["title"]
    assert "ghp_" not in shown
    assert not {"\x1b", "\u202e", "\n"} & set(shown)
    assert "second" not in shown


@pytest.mark.parametrize("title", [None, 5, "", "x" * 5000])
def test_a_title_may_be_anything(cloud: Cloud, title: object) -> None:
    cloud.pull("opened", sha(1), pull_request__title=title)
    assert cloud.build(1)["pull_request"]["title"] in {"", "x" * 200}


# Without secrets, and without an effect on images of the branch.


def test_a_build_of_a_pull_request_has_no_secrets_and_writes_no_cache(cloud: Cloud) -> None:
    cloud.change_service(secrets={"npm": NPM}, also_push_to={"docker.io/acme/web": HUB})
    cloud.pull("opened", sha(1))
    cloud.push(sha(2))
    cloud.settle()
    build = cloud.build(1)
    assert (build["secrets"], build["also_push_to"]) == ({}, {})
    assert build["pull_request"]["withheld"] == ["secrets", "also_push_to"]
    pull, push = variables(cloud, 1), variables(cloud, 2)
    assert (pull["SECRETS"], pull["ALSO_PUSH_TO"]) == ("{}", "{}")
    assert push["SECRETS"] != "{}"
    assert pull["CACHE_FROM"] == push["CACHE_TO"] != ""
    assert pull["CACHE_TO"] == ""
    assert cloud.build(2)["pull_request"] is None


def test_a_retry_stays_a_build_of_the_pull_request(cloud: Cloud) -> None:
    cloud.pull("opened", sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    cloud.change_service(secrets={"npm": NPM})
    answer = cloud.api.post("/v1/cicd/builds/1/retry")
    assert answer.status == 202, answer.text
    build = cloud.build(2)
    assert (build["trigger"], build["commit_sha"]) == ("pull_request", sha(1))
    assert build["pull_request"] == {
        "number": 2,
        "title": "Update the README",
        "withheld": ["secrets"],
    }
    assert (build["secrets"], build["retry_of"]) == ({}, 1)
    cloud.settle()
    assert variables(cloud, 2)["CACHE_TO"] == ""
    cloud.finish_build(2)
    assert "never deployed" in cloud.build(2)["not_deployed"]


@pytest.mark.parametrize("said", ["secret npm not found: not found", "secret npm: not found"])
def test_a_step_that_needs_a_secret_fails_with_the_next_step(cloud: Cloud, said: str) -> None:
    """Both texts are BuildKit's: the first one was reported to docker/compose in 2023."""
    cloud.change_service(secrets={"npm": NPM})
    cloud.pull("opened", sha(1))
    cloud.settle()
    cloud.end_build(
        1,
        "FAILED",
        log=[line.replace(RUN_FAILED, f"failed to solve: {said}") for line in failed_log()],
    )
    failure = cloud.build(1)["failure"]
    assert said in failure["summary"]
    assert failure["next_step"].startswith("Builds of pull requests have no secrets")


# Never deployed.


def test_a_build_of_a_pull_request_is_not_deployed_by_itself(cloud: Cloud) -> None:
    worker = cloud.add_dependent("worker")
    cloud.pull("opened", sha(1))
    cloud.settle()
    cloud.finish_build(1)
    build = cloud.build(1)
    why = (
        "builds of pull requests are never deployed: merge pull request 2, or build its branch by "
        "hand"
    )
    assert (build["deployment_id"], build["not_deployed"]) == (None, why)
    assert [each["not_deployed"] for each in build["dependents"]] == [why]
    assert cloud.service(worker)["active_deployment_id"] is None
    assert cloud.service()["active_deployment_id"] is None


def test_a_deployment_of_such_a_build_is_refused_with_the_next_step(cloud: Cloud) -> None:
    worker = cloud.add_dependent("worker")
    cloud.pull("opened", sha(1))
    cloud.settle()
    digest = cloud.finish_build(1)
    tag = cloud.build(1)["image_tag"]
    with nothing_is_written():
        for image in (tag, f"{tag}@{digest}", f"hello@{digest}"):
            for service in (cloud.service_id, worker):
                path = f"/v1/cicd/services/{service}/deploy"
                for query in ("", "?dry_run=true"):
                    answer = cloud.api.post(path + query, {"image_tag": image})
                    assert answer.status == 409, answer.text
                    assert answer.body["code"] == "pull_request_build"
                    assert answer.body["field"] == "image_tag"
                    assert answer.body["detail"] == (
                        "build 1 is of pull request 2, and builds of pull requests are never "
                        "deployed: merge pull request 2, or build its branch by hand"
                    )


def put_same_image(tag: str) -> str:
    """Push an image whose digest does not depend on the tag; return it."""
    media_type = "application/vnd.oci.image.manifest.v1+json"
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
    config["digest"] = "sha256:" + "0" * 64
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []}
    return put_manifest("hello", tag, manifest)


def end_with_same_image(cloud: Cloud, number: int) -> str:
    digest = put_same_image(cloud.build(number)["image_tag"].removeprefix("hello:"))
    cloud.end_build(number, "SUCCEEDED", IMAGE_DIGEST=digest)
    return digest


def deploy(cloud: Cloud, image: str) -> Answer:
    return cloud.api.post(f"/v1/cicd/services/{cloud.service_id}/deploy", {"image_tag": image})


def test_an_image_that_a_push_has_built_too_is_deployed_by_its_digest(cloud: Cloud) -> None:
    """If all steps come from the cache, both builds make the same image."""
    cloud.change_service(auto_deploy=False)
    cloud.push(sha(1))
    cloud.settle()
    digest = end_with_same_image(cloud, 1)
    cloud.pull("opened", sha(2))
    cloud.settle()
    assert end_with_same_image(cloud, 2) == digest
    answer = deploy(cloud, f"hello@{digest}")
    assert answer.status == 202, answer.text


def test_a_tag_by_hand_makes_no_image_of_a_pull_request_deployable(cloud: Cloud) -> None:
    cloud.pull("opened", sha(1))
    cloud.settle()
    digest = end_with_same_image(cloud, 1)
    assert put_same_image("v1") == digest
    assert put_same_image(f"master-{sha(1)[:12]}-1") == digest
    assert deploy(cloud, f"hello@{digest}").body["code"] == "pull_request_build"


def test_without_an_answer_of_ecr_the_image_of_a_pull_request_is_still_refused(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.pull("opened", sha(1))
    cloud.settle()
    digest = end_with_same_image(cloud, 1)
    trouble.refuse("ecr.DescribeImages", "ServerException")
    assert deploy(cloud, f"hello@{digest}").body["code"] == "pull_request_build"


def test_the_image_of_a_pull_request_whose_build_was_cancelled_is_not_deployed(
    cloud: Cloud,
) -> None:
    """CodeBuild may push the image before it stops."""
    cloud.pull("opened", sha(1))
    cloud.settle()
    tag = cloud.build(1)["image_tag"]
    digest = put_image(*tag.split(":"))
    assert cloud.api.post("/v1/cicd/jobs/build-1/cancel", {}).status == 202
    cloud.end_build(1, "STOPPED")
    assert cloud.build(1)["status"] == "cancelled"
    answer = deploy(cloud, f"hello@{digest}")
    assert (answer.status, answer.body["code"]) == (409, "pull_request_build")


def test_pull_requests_do_not_count_in_the_order_of_pushes(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.pull("opened", sha(2))
    cloud.settle()
    cloud.finish_build(2)
    cloud.finish_build(1)
    assert cloud.build(1)["deployment_id"] == 1


def test_a_failed_pull_request_is_not_the_last_build_of_the_service(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1)
    cloud.finish_rollout()
    cloud.pull("opened", sha(2))
    cloud.settle()
    cloud.end_build(2, "FAILED")
    (shown,) = cloud.api.get("/v1/services").body["items"]
    assert shown["last_build"]["id"] == 1
    assert shown["open_builds"] == 0
    assert get_service(cloud.service_id).open_pulls is None


# The line of builds.


def test_a_later_push_to_a_pull_request_supersedes_its_queued_build(cloud: Cloud) -> None:
    occupy(cloud)
    cloud.pull("opened", sha(1))
    cloud.pull("opened", sha(5), pull_request__number=3)
    cloud.pull("synchronize", sha(2), before=sha(1))
    cloud.push(sha(3), branch="master")
    cloud.settle()
    assert statuses(cloud, 3, 4, 5, 6) == ["superseded", "queued", "queued", "queued"]
    assert cloud.build(3)["superseded_by"] == 5
    assert cloud.build(3)["error"] == "superseded by build 5, of a later push to changes"


def test_a_branch_that_goes_back_to_an_earlier_commit_is_built_again(cloud: Cloud) -> None:
    occupy(cloud)
    cloud.pull("opened", sha(1), delivery="first")
    cloud.pull("synchronize", sha(2), before=sha(1))
    cloud.settle()
    assert statuses(cloud, 3, 4) == ["superseded", "queued"]
    assert cloud.pull("opened", sha(1), delivery="first").body["duplicate"] is True
    assert started(cloud.pull("synchronize", sha(1), before=sha(2))) == [5]
    cloud.settle()
    assert statuses(cloud, 4, 5) == ["superseded", "queued"]


def test_a_closed_pull_request_ends_its_queued_builds_and_no_others(cloud: Cloud) -> None:
    other = cloud.add_service("other", build_pull_requests=True)
    cloud.pull("opened", sha(1))
    cloud.settle()
    cloud.pull("synchronize", sha(2), before=sha(1))
    cloud.pull("opened", sha(3), pull_request__number=3)
    cloud.settle()
    assert statuses(cloud, 1, 2, 3, 4, 5, 6) == ["building"] * 2 + ["queued"] * 4
    answer = cloud.pull("closed", sha(2), delivery="closing")
    assert answer.body["ignored"] == "pull request 2 was closed"
    assert statuses(cloud, 1, 2, 3, 4, 5, 6) == [
        *("building", "building", "cancelled", "cancelled", "queued", "queued")
    ]
    ended = cloud.build(3)
    assert ended["error"] == "pull request 2 was closed"
    assert ended["cancelled_by"] == "github:Codertocat"
    assert reason(cloud, answer) == "the pull request was closed; ended build-3"
    assert reason(cloud, answer, other) == "the pull request was closed; ended build-4"
    entries = cloud.api.get("/v1/audit").body["items"]
    assert [each["subject"] for each in entries if each["action"] == "build.cancelled"] == [
        "build-4",
        "build-3",
    ]
    assert cloud.pull("closed", sha(2), delivery="closing").status == 200
    assert started(cloud.pull("reopened", sha(2))) == [7, 8]


def test_a_pull_request_of_another_number_or_a_fork_that_is_closed_ends_nothing(
    cloud: Cloud,
) -> None:
    occupy(cloud)
    cloud.pull("opened", sha(1))
    answer = cloud.pull("closed", sha(1), pull_request__number=3)
    assert reason(cloud, answer) == "the pull request was closed; no build of it was queued"
    assert statuses(cloud, 3) == ["queued"]


def test_an_old_closing_ends_no_build_of_a_pull_request_that_was_reopened(cloud: Cloud) -> None:
    """GitHub redelivers for three days: the closing may arrive after the reopening."""
    occupy(cloud)
    closed_at = "2026-11-21T23:59:00Z"
    cloud.pull("reopened", sha(1))
    answer = cloud.pull("closed", sha(1), pull_request__updated_at=closed_at)
    assert reason(cloud, answer) == "the pull request was closed; no build of it was queued"
    assert statuses(cloud, 3) == ["queued"]


def test_pull_requests_keep_no_push_and_no_tag_out_of_a_service_that_builds_each(
    cloud: Cloud,
) -> None:
    cloud.change_service(max_open_builds=1, supersede_builds=False, tags=["v*"])
    cloud.pull("opened", sha(1))
    assert "max_open_builds is 1" in reason(cloud, cloud.pull("opened", sha(2)))
    assert cloud.push(sha(3)).status == 202
    refused = cloud.push(sha(4))
    assert refused.status == 200
    assert "has 2 open builds" in reason(cloud, refused)


def test_pull_requests_count_as_open_builds_and_never_keep_a_push_out(cloud: Cloud) -> None:
    cloud.change_service(max_open_builds=3)
    occupy(cloud)
    cloud.pull("opened", sha(1))
    refused = cloud.pull("opened", sha(5), pull_request__number=3)
    assert refused.status == 200
    assert "max_open_builds is 3" in reason(cloud, refused)
    # It replaces the queued build of its pull request.
    assert started(cloud.pull("synchronize", sha(2), before=sha(1))) == [4]
    assert cloud.push(sha(3)).status == 202
    cloud.settle()
    assert statuses(cloud, 3, 4, 5) == ["superseded", "queued", "queued"]


def test_a_push_starts_before_the_pull_requests_of_its_service(cloud: Cloud) -> None:
    occupy(cloud)
    for number in (11, 12, 13):
        cloud.pull("opened", sha(number), pull_request__number=number)
        cloud.settle()
    assert [cloud.build(each)["position"] for each in (3, 4, 5)] == [1, 2, 3]
    cloud.push(sha(2))
    cloud.settle()
    assert [cloud.build(each)["position"] for each in (6, 3, 4, 5)] == [1, 2, 3, 4]
    cloud.end_build(1, "FAILED")
    assert cloud.builds_in_codebuild() == ["build-1", "build-2", "build-6"]


def test_many_pull_requests_of_one_service_delay_another_service_by_one_build(
    cloud: Cloud,
) -> None:
    other = cloud.add_service("other", branch="develop")
    for number in range(11, 18):
        cloud.pull("opened", sha(number), pull_request__number=number)
        cloud.settle()
    own = int(cloud.push(sha(1), branch="develop").body["builds"][0]["build_id"])
    assert cloud.build(own)["service_id"] == other
    cloud.settle()
    assert cloud.build(own)["position"] == 2


def test_a_lost_message_delays_a_pull_request_by_one_run_of_the_schedule(cloud: Cloud) -> None:
    cloud.pull("opened", sha(1))
    cloud.lose_messages()
    cloud.advance(MINUTE)
    cloud.tick()
    cloud.settle()
    assert cloud.builds_in_codebuild() == ["build-1"]
