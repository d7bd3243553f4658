"""Paths, tags and messages decide whether a push is built, and the delivery shows the decision."""

import json
from typing import Any

import pytest

from chalicelib.domain.tokens import Role
from chalicelib.store.claims import followers
from chalicelib.store.tokens import create_token
from chalicelib.store.writes import change
from chalicelib.store.writes import commit as save
from tests.faults.rows import rows
from tests.support.builders import delivery_headers, real_payload
from tests.support.client import Answer
from tests.support.embedded import REPOSITORY, Cloud, add_followers, keep_secret, sha
from tests.support.sdk import Calls
from tests.support.written import nothing_is_written

PATH = "/v1/webhooks/github"
HELLO_WORLD = f"github.com/{REPOSITORY.lower()}"
TAG_OBJECT = "a" * 40
COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"


def deliver(cloud: Cloud, payload: dict[str, Any], delivery: str = "d-1") -> Answer:
    body = json.dumps(payload).encode()
    return cloud.api.post(PATH, raw=body, headers=delivery_headers(body, delivery=delivery))


def commit(number: int, *files: str, **lists: Any) -> dict[str, Any]:
    return {"id": sha(number), "added": [], "removed": [], "modified": list(files), **lists}


def push(cloud: Cloud, number: int, *files: str, **changes: Any) -> Answer:
    """Push one commit to master that changes files; the delivery is d-<number>."""
    payload = {"before": "f" * 40, "commits": [commit(number, *files)], **changes}
    return cloud.push(sha(number), delivery=f"d-{number}", **payload)


def reasons(cloud: Cloud, delivery: str) -> dict[int, str]:
    shown = cloud.api.get(f"{PATH}/deliveries/{delivery}").body
    return {each["service_id"]: each["reason"] for each in shown["services"]}


def started(answer: Answer) -> list[int]:
    return [each["service_id"] for each in answer.body.get("builds", [])]


# Paths.


def test_only_services_whose_paths_a_push_changes_are_built(cloud: Cloud) -> None:
    hello = cloud.service_id
    api = cloud.add_service("api", paths=["api/**", "!**/*.md"])
    docs = cloud.add_service("docs", paths=["docs/**"])
    assert started(push(cloud, 1, "docs/a.md", "docs/b.md")) == [hello, docs]
    assert started(push(cloud, 2, "api/README.md", "api/app.py")) == [hello, api]
    assert started(push(cloud, 3, "api/README.md")) == [hello]
    assert reasons(cloud, "d-1") == {
        hello: "a build was started",
        api: "no changed file matches its paths (docs/a.md and 1 more)",
        docs: "a build was started: docs/a.md matches docs/**",
    }
    assert reasons(cloud, "d-2")[api] == "a build was started: api/app.py matches api/**"
    assert reasons(cloud, "d-3")[api] == "no changed file matches its paths (api/README.md)"


def test_the_files_of_all_commits_of_a_push_count(cloud: Cloud) -> None:
    cloud.change_service(paths=["api/**"])
    commits = [commit(1, added=["api/x"]), commit(2, "web/y"), commit(3, removed=["docs/z"])]
    assert started(push(cloud, 3, commits=commits)) == [cloud.service_id]
    assert not started(push(cloud, 4, commits=[commit(4, removed=["docs/z"])]))
    assert started(push(cloud, 5, commits=[commit(5, removed=["api/x"])])) == [cloud.service_id]


def test_a_push_that_no_service_builds_is_answered_with_the_reason(cloud: Cloud) -> None:
    cloud.change_service(paths=["api/**"])
    answer = push(cloud, 1, "docs/a.md")
    assert (answer.status, answer.body["ignored"]) == (
        200,
        "no changed file matches its paths (docs/a.md)",
    )
    cloud.add_service("web", paths=["web/**"])
    cloud.add_service("elsewhere", branch="develop")
    answer = push(cloud, 2, "docs/a.md", "docs/b.md")
    assert answer.body["ignored"] == "no changed file matches its paths (docs/a.md and 1 more)"
    assert rows("jobs") == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"forced": True}, "the push was forced"),
        ({"created": True}, "the push created the branch"),
        ({"before": "0" * 40}, "the push created the branch"),
        ({"commits": []}, "the push lists no commits"),
        ({"commits": [{"id": sha(1)}]}, "a commit has no lists of files"),
        ({"commits": [commit(7, "docs/a")]}, "the listed commits end before the pushed one"),
        (
            {"commits": [commit(number, "docs/a") for number in range(2048)]},
            "GitHub lists at most 2,048 commits of a push",
        ),
        (
            {"commits": [commit(1, *(f"docs/{number}" for number in range(3000)))]},
            "GitHub lists at most 3,000 files of a commit",
        ),
    ],
)
def test_where_the_lists_of_files_may_be_cut_the_push_is_built(
    cloud: Cloud, changes: dict[str, Any], reason: str
) -> None:
    cloud.change_service(paths=["api/**"])
    assert started(push(cloud, 1, "docs/a", **changes)) == [cloud.service_id]
    expected = f"a build was started: paths were not compared: {reason}"
    assert reasons(cloud, "d-1") == {cloud.service_id: expected}


def test_the_first_push_of_a_branch_is_built(cloud: Cloud) -> None:
    cloud.change_service(paths=["api/**"])
    assert started(deliver(cloud, real_payload("push.branch_created"))) == [cloud.service_id]
    assert reasons(cloud, "d-1")[cloud.service_id].endswith("the push created the branch")


def test_file_names_that_cannot_be_stored_are_replaced_in_reasons(cloud: Cloud) -> None:
    cloud.change_service(paths=["api/**"])
    assert push(cloud, 1, "\ud800\x1b[2J\u202e").status == 200
    (reason,) = reasons(cloud, "d-1").values()
    assert reason == "no changed file matches its paths (\ufffd\ufffd[2J\ufffd)"


def test_a_redelivery_is_judged_by_the_paths_of_today(cloud: Cloud) -> None:
    cloud.change_service(paths=["api/**"])
    assert push(cloud, 1, "docs/a.md").status == 200
    cloud.change_service(paths=[])
    assert started(push(cloud, 1, "docs/a.md")) == [cloud.service_id]
    assert reasons(cloud, "d-1") == {cloud.service_id: "a build was started"}


# Messages.


@pytest.mark.parametrize(
    "message",
    [
        "Release [skip ci]",
        "Release\n\nby the robot\n\n[ci skip]",
        "[no ci] x",
        "[Skip Actions]",
        "x [actions skip]",
    ],
)
def test_a_commit_whose_message_asks_for_no_build_is_not_built(cloud: Cloud, message: str) -> None:
    other = cloud.add_service("other", branch="develop")
    payload = real_payload("push.branch_created")
    payload["head_commit"]["message"] = message
    answer = deliver(cloud, payload)
    marker = message[message.index("[") : message.index("]") + 1]
    reason = f"the head commit's message has {marker}"
    assert (answer.status, answer.body["ignored"]) == (200, reason)
    assert reasons(cloud, "d-1") == {
        cloud.service_id: reason,
        other: "it follows the branch develop",
    }
    assert rows("jobs") == {}


def test_only_the_head_commit_can_ask_for_no_build(cloud: Cloud) -> None:
    commits = [{**commit(1, "a"), "message": "[skip ci]"}, commit(2, "b")]
    assert started(push(cloud, 2, commits=commits)) == [cloud.service_id]


# Tags.


def annotated(**changes: Any) -> dict[str, Any]:
    """GitHub's push of a tag, as it is for an annotated tag: `after` is the tag object."""
    return real_payload("push.tag_created", after=TAG_OBJECT, ref="refs/tags/v1.0", **changes)


def test_an_annotated_tag_builds_and_deploys_the_commit_that_it_names(cloud: Cloud) -> None:
    cloud.change_service(tags=["v*"], paths=["never/**"])
    other = cloud.add_service("other", tags=["rc-*"])
    without = cloud.add_service("without")
    answer = deliver(cloud, annotated())
    assert (answer.status, started(answer)) == (202, [cloud.service_id])
    build = cloud.build(1)
    assert (build["git_ref"], build["ref_type"], build["commit_sha"]) == ("v1.0", "tag", COMMIT)
    assert build["image_tag"] == f"hello:v1.0-{COMMIT[:12]}-1"
    assert build["trigger"] == "push"
    shown = cloud.api.get(f"{PATH}/deliveries/d-1").body
    assert (shown["ref"], shown["sha"]) == ("refs/tags/v1.0", COMMIT)
    assert reasons(cloud, "d-1") == {
        cloud.service_id: "a build was started: the tag matches v*",
        other: "it does not build the tag v1.0",
        without: "it builds no tags",
    }
    cloud.settle()
    cloud.finish_build(1)
    cloud.finish_rollout()
    assert cloud.build(1)["deployment_id"] == 1
    assert cloud.service()["current_deployment_id"] == 1


def test_a_push_of_a_tag_makes_the_calls_of_a_push_to_a_branch(cloud: Cloud, calls: Calls) -> None:
    cloud.change_service(tags=["v*"])
    cloud.add_service("other", branch="develop", tags=["v*"])
    calls.clear()
    assert len(started(deliver(cloud, annotated()))) == 2
    assert calls.counted == {
        "dynamodb.GetItem": 2,
        "dynamodb.BatchGetItem": 1,
        # The channels, which each process knows for half a minute.
        "dynamodb.Query": 1,
        "dynamodb.UpdateItem": 1,
        "dynamodb.TransactWriteItems": 1,
        "sqs.SendMessageBatch": 1,
    }


def test_a_lightweight_tag_builds_its_commit_once(cloud: Cloud) -> None:
    cloud.change_service(tags=["**"])
    payload = real_payload("push.tag_created")
    assert started(deliver(cloud, payload)) == [cloud.service_id]
    again = deliver(cloud, payload, "d-2")
    assert (again.status, again.body["duplicate"]) == (200, True)
    build = cloud.build(1)
    assert (build["git_ref"], build["commit_sha"]) == ("simple-tag", COMMIT)


def test_a_tag_and_a_branch_of_one_name_are_two_things(cloud: Cloud) -> None:
    """The pushes arrive within one second and have the same commit."""
    cloud.change_service(branch="v1.0")
    tagged = cloud.add_service("tagged", branch="other", tags=["v*"])
    assert started(deliver(cloud, annotated(), "d-1")) == [tagged]
    branch = real_payload("push.branch_created", ref="refs/heads/v1.0")
    assert started(deliver(cloud, branch, "d-2")) == [cloud.service_id]
    assert [cloud.build(number)["ref_type"] for number in (1, 2)] == ["tag", "branch"]


def test_a_tag_that_the_service_no_longer_builds_is_not_deployed(cloud: Cloud) -> None:
    """Not even if the service follows a branch of the same name."""
    cloud.change_service(branch="v1.0", tags=["v*"])
    deliver(cloud, annotated())
    cloud.change_service(tags=[])
    cloud.settle()
    cloud.finish_build(1)
    assert cloud.build(1)["not_deployed"] == "the service does not build the tag v1.0 any more"


def test_a_tag_of_a_skipped_commit_is_not_built(cloud: Cloud) -> None:
    cloud.change_service(tags=["v*"])
    payload = annotated()
    payload["head_commit"]["message"] = "Release 1.0 [skip ci]"
    assert deliver(cloud, payload).body["ignored"] == "the head commit's message has [skip ci]"


def test_a_deleted_tag_builds_nothing(cloud: Cloud) -> None:
    cloud.change_service(tags=["v*"])
    answer = deliver(cloud, annotated(deleted=True, head_commit=None) | {"after": "0" * 40})
    assert answer.body["ignored"] == "tag v1.0 was deleted"


def test_at_most_thirty_services_of_a_repository_build_tags(cloud: Cloud) -> None:
    """One tag may start the builds of all of them, in one transaction."""
    add_followers(range(100, 130), "other", tags=True)
    path = f"/v1/services/{cloud.service_id}"
    answer = cloud.api.patch(path, {"tags": ["v*"]})
    assert (answer.status, answer.body["code"]) == (409, "too_many_services")
    assert answer.body["field"] == "tags"
    assert cloud.api.patch(path, {"paths": ["a"], "tags": []}).status == 200


def test_followers_that_were_stored_before_tags_build_branches_only(cloud: Cloud) -> None:
    row, _ = followers(HELLO_WORLD)
    assert row is not None
    old = {"project_id": cloud.project, "branch": "master", "webhook_secret": None}
    save(change(row, followers={str(cloud.service_id): old}))
    assert deliver(cloud, annotated()).status == 200
    assert started(deliver(cloud, real_payload("push.branch_created"))) == [cloud.service_id]
    cloud.change_service(tags=["v*"])
    assert started(deliver(cloud, annotated())) == [cloud.service_id]


# The test of a push.


def preview(cloud: Cloud, payload: dict[str, Any], **more: Any) -> Answer:
    return cloud.api.post(f"{PATH}/test", payload, **more)


def test_a_tested_push_has_the_same_result_as_its_delivery(cloud: Cloud) -> None:
    cloud.change_service(paths=["api/**"], tags=["v*"])
    cloud.add_service("docs", paths=["docs/**"])
    cloud.add_service("elsewhere", branch="develop", tags=["v2*"])
    skipped = real_payload("push.branch_created")
    skipped["head_commit"]["message"] = "[skip ci]"
    notes = real_payload("push.branch_created", ref="refs/notes/x")
    old = real_payload("push.branch_created")
    old["repository"]["pushed_at"] = 1557933657
    pushes = [
        real_payload("push.branch_created"),
        real_payload("push.branch_created"),  # a duplicate
        real_payload("push.tag_created"),
        annotated(),
        skipped,
        notes,
        old,
        real_payload("push.branch_created", created=False, before="1" * 40),
        real_payload("push.branch_created", forced=True, after="2" * 40),
    ]
    for number, payload in enumerate(pushes):
        with nothing_is_written():
            tested = preview(cloud, payload)
        assert tested.status == 200, tested.text
        answer = deliver(cloud, payload, f"d-{number}")
        shown = cloud.api.get(f"{PATH}/deliveries/d-{number}").body
        assert {
            name: shown[name] for name in ("outcome", "reason", "repository", "ref", "sha")
        } == {name: value for name, value in tested.body.items() if name != "services"}
        assert shown["reason"] == answer.body.get("ignored")
        assert [
            {**each, "build_id": None} if each["outcome"] == "started" else each
            for each in shown["services"]
        ] == [
            {**each, "reason": each["reason"].replace("would be started", "was started")}
            for each in tested.body["services"]
        ]
    outcomes = [cloud.api.get(f"{PATH}/deliveries/d-{n}").body["outcome"] for n in range(9)]
    assert {"started", "duplicate", "ignored"} == set(outcomes)


def test_a_tested_push_says_what_would_be_built(cloud: Cloud) -> None:
    cloud.change_service(paths=["README*"])
    payload = real_payload("push.branch_created", created=False, before="1" * 40)
    assert preview(cloud, payload).body == {
        "outcome": "started",
        "reason": None,
        "repository": HELLO_WORLD,
        "ref": "refs/heads/master",
        "sha": COMMIT,
        "services": [
            {
                "service_id": cloud.service_id,
                "outcome": "started",
                "build_id": None,
                "reason": "a build would be started: README.md matches README*",
            }
        ],
    }


def test_a_test_assumes_the_webhook_of_each_service(cloud: Cloud) -> None:
    own = cloud.add_service("own", webhook_secret=keep_secret("the-secret-of-own"))
    services = preview(cloud, real_payload("push.branch_created")).body["services"]
    assert [(each["service_id"], each["outcome"]) for each in services] == [
        (cloud.service_id, "started"),
        (own, "started"),
    ]


def test_a_restricted_admin_sees_only_its_own_services_in_a_test(cloud: Cloud) -> None:
    mine = cloud.add_service("mine", branch="other")
    payload = real_payload("push.branch_created")
    deliver(cloud, payload)
    token = create_token("mine", Role.ADMIN, project_id=cloud.project, service_id=mine).secret
    answer = cloud.api.as_holder_of(token).post(f"{PATH}/test", payload)
    assert [each["service_id"] for each in answer.body["services"]] == [mine]
    assert answer.body["reason"] == f"no service follows branch master of {HELLO_WORLD}"


def test_a_large_push_can_be_tested(cloud: Cloud) -> None:
    commits = [{**commit(n, f"docs/{n}"), "message": "x" * 2000} for n in range(2047)]
    payload = real_payload("push.branch_created", commits=commits)
    assert 4_000_000 < len(json.dumps(payload)) < 5_000_000
    assert preview(cloud, payload).body["outcome"] == "started"


def test_pushes_and_tags_are_not_built_where_auto_build_is_off(cloud: Cloud) -> None:
    other = cloud.add_service("other")
    cloud.change_service(auto_build=False, auto_deploy=True, tags=["*"])
    answer = push(cloud, 1)
    assert [each["service_id"] for each in answer.body["builds"]] == [other]
    assert reasons(cloud, "d-1")[cloud.service_id] == "auto_build is off"
    cloud.push(sha(2), delivery="d-2", ref="refs/tags/v1", base_ref=None)
    assert reasons(cloud, "d-2")[cloud.service_id] == "auto_build is off"

    number = cloud.ask_for_build()
    cloud.settle()
    assert cloud.build(number)["status"] == "building"
    cloud.change_service(auto_build=True)
    built = {each["service_id"] for each in push(cloud, 3).body["builds"]}
    assert built == {cloud.service_id, other}
