"""Plans: a dry run of a deployment, and the preview of a rollback, show what would change."""

from typing import Any

import pytest

from chalicelib.pipeline.commands import rollbacks
from chalicelib.store import writes
from tests.support.embedded import (
    REGISTRY,
    Cloud,
    client,
    put_image,
    register,
    run_on_ecs,
    sha,
)
from tests.support.sdk import Calls
from tests.support.written import nothing_is_written

GITHUB = "https://github.com/Codertocat/Hello-World/compare"
NO_NAMES: dict[str, Any] = {"added": [], "removed": [], "changed": []}


def deploy_path(cloud: Cloud) -> str:
    return f"/v1/cicd/services/{cloud.service_id}/deploy"


def released(cloud: Cloud, number: int) -> dict[str, Any]:
    """A release as a plan names it."""
    row = cloud.deployment(number)
    return {
        "image": row["image_tag"],
        "image_digest": row["image_digest"],
        "image_tag": row["image_tag"].partition(":")[2],
        "commit_sha": row["commit_sha"],
        "build_id": row["build_id"],
        "deployment_id": number,
    }


@pytest.fixture
def two(cloud: Cloud) -> Cloud:
    """Release 2 runs, and release 1 ran before it."""
    for number in (1, 2):
        cloud.release(number)
    return cloud


def test_a_plan_shows_what_the_deployment_then_does(two: Cloud) -> None:
    two.change_service(auto_deploy=False)
    build = two.push(sha(3)).body["builds"][0]["build_id"]
    two.settle()
    digest = two.finish_build(build)
    image = two.build(build)["image_tag"]
    before = two.definition_on_ecs()
    plan = two.plan(image)
    names = {"environment": NO_NAMES, "secrets": NO_NAMES, "settings": []}
    full = {
        name: f"{REGISTRY}/hello@{each}"
        for name, each in (("image_now", two.deployment(2)["image_digest"]), ("image_then", digest))
    }
    assert plan == {
        "possible": True,
        "image_now": released(two, 2),
        "image_then": {
            "image": image,
            "image_digest": digest,
            "image_tag": image.partition(":")[2],
            "commit_sha": sha(3),
            "build_id": build,
            "deployment_id": None,
        },
        "commits": {
            "now": sha(2),
            "then": sha(3),
            "compare_url": f"{GITHUB}/{sha(2)}...{sha(3)}",
        },
        "changes": {"containers": [{"name": "app", **full, **names}], "settings": []},
        "findings": [],
        "ends": [],
        "starts_after": None,
        "expected": 2,
        "auto_deploy": "unchanged",
        "release_command": None,
        "strategy": "ROLLING",
        "waits_minutes": 0,
        "approval": None,
        "desired_count": None,
        "config": None,
    }
    two.settle()
    assert two.definition_on_ecs() == before
    number = two.deploy_build(build)
    two.settle()
    two.finish_rollout()
    assert two.image_on_ecs() == full["image_then"]
    assert two.deployment(number)["replaced"] == plan["image_now"]["deployment_id"]


def test_a_dry_run_writes_nothing_and_calls_nothing_that_changes(two: Cloud, calls: Calls) -> None:
    image = two.build(1)["image_tag"]
    calls.clear()
    with nothing_is_written():
        answer = two.api.post(
            f"{deploy_path(two)}?dry_run=true",
            {"image_tag": image},
            headers={"Idempotency-Key": "k"},
        )
    assert answer.status == 200
    assert "location" not in answer.headers
    reads = ("Get", "BatchGet", "Describe", "List")
    assert all(name.partition(".")[2].startswith(reads) for name in calls.counted)


def test_a_dry_run_uses_up_no_idempotency_key(two: Cloud) -> None:
    body, headers = {"image_tag": two.build(1)["image_tag"]}, {"Idempotency-Key": "k"}
    path = deploy_path(two)
    planned = two.api.post(f"{path}?dry_run=true", body, headers=headers)
    first = two.api.post(path, body, headers=headers)
    assert (planned.status, first.status) == (200, 202)
    assert "idempotency-replayed" not in first.headers
    again = two.api.post(f"{path}?dry_run=true", body, headers=headers)
    assert again.status == 200
    assert "idempotency-replayed" not in again.headers
    replayed = two.api.post(f"{path}?dry_run=false", body, headers=headers)
    assert (replayed.status, replayed.body) == (202, first.body)
    assert replayed.headers["idempotency-replayed"] == "true"


def test_a_dry_run_checks_the_form_of_the_idempotency_key(two: Cloud) -> None:
    answer = two.api.post(
        f"{deploy_path(two)}?dry_run=true",
        {"image_tag": two.build(1)["image_tag"]},
        headers={"Idempotency-Key": "x" * 256},
    )
    assert (answer.status, answer.body["code"]) == (400, "invalid_idempotency_key")


def not_allowed(cloud: Cloud) -> str:
    return "other:main-1"


def not_there(cloud: Cloud) -> str:
    return f"hello@sha256:{'0' * 64}"


def not_built(cloud: Cloud) -> str:
    put_image("hello", "by-hand")
    return "hello:by-hand"


@pytest.mark.parametrize("image", [not_allowed, not_there, not_built])
def test_a_dry_run_refuses_what_the_request_refuses(two: Cloud, image: Any) -> None:
    body = {"image_tag": image(two)}
    answers = [two.api.post(f"{deploy_path(two)}{each}", body) for each in ("", "?dry_run=true")]
    problems = [{**each.body, "instance": ""} for each in answers]
    assert problems[0] == problems[1]
    assert problems[0]["status"] in {403, 404}


def test_a_dry_run_of_a_service_without_a_target_is_refused(cloud: Cloud) -> None:
    target = {"ecs_cluster": None, "ecs_service": None, "containers": None}
    cloud.change_service(auto_deploy=False, **target)
    answer = cloud.api.post(f"{deploy_path(cloud)}?dry_run=true", {"image_tag": "hello:x"})
    assert (answer.status, answer.body["code"]) == (409, "service_not_configured")


def test_the_plan_of_the_first_deployment_names_the_image_that_the_owner_runs(
    cloud: Cloud,
) -> None:
    plan = cloud.plan(f"hello@{put_image('hello', 'good')}")
    assert plan["image_now"] == {
        "image": "hello:before",
        "image_digest": None,
        "image_tag": None,
        "commit_sha": None,
        "build_id": None,
        "deployment_id": None,
    }
    assert plan["commits"] is None


def test_the_plan_names_what_runs_and_not_what_slipway_deployed_last(two: Cloud) -> None:
    run_on_ecs(register("hello", f"hello@sha256:{'9' * 64}"))
    two.finish_rollout()
    now = two.plan(two.build(1)["image_tag"])["image_now"]
    assert (now["image_digest"], now["deployment_id"]) == (f"sha256:{'9' * 64}", None)


def test_a_plan_names_the_waiting_deployment_that_would_end(two: Cloud) -> None:
    first, second = (f"hello@{put_image('hello', tag)}" for tag in ("c", "d"))
    two.deploy(first)
    two.deploy(second)
    plan = two.plan(first)
    assert (plan["starts_after"], plan["ends"]) == (
        3,
        [{"deployment_id": 4, "status": "superseded"}],
    )
    preview = two.preview()["plan"]
    assert preview["starts_after"] is None
    assert plan["expected"] == preview["expected"] == 3
    assert preview["ends"] == [
        {"deployment_id": 3, "status": "rolled_back"},
        {"deployment_id": 4, "status": "superseded"},
    ]
    assert two.roll_back().status == 202
    assert two.statuses(3, 4) == ["rolled_back", "superseded"]


@pytest.mark.parametrize("verb", ["deploy", "rollback"])
def test_a_request_with_an_old_plan_is_refused_and_changes_nothing(two: Cloud, verb: str) -> None:
    image = two.build(1)["image_tag"]
    body = {"image_tag": image} if verb == "deploy" else {"deployment_id": 1}
    path = f"/v1/cicd/services/{two.service_id}/{verb}"
    key = {"headers": {"Idempotency-Key": "one"}}
    plan = two.plan(image) if verb == "deploy" else two.preview(1)["plan"]
    assert plan["expected"] == 2
    two.deploy(f"hello@{put_image('hello', 'c')}")
    answer = two.api.post(path, {**body, "expected": 2}, **key)
    assert (answer.status, answer.body["code"]) == (409, "plan_is_old")
    assert "deployment 3" in answer.body["detail"]
    assert two.statuses(3) == ["queued"]
    accepted = two.api.post(path, {**body, "expected": 3}, **key)
    assert accepted.status == 202
    again = two.api.post(path, {**body, "expected": 3}, **key)  # its answer was lost
    assert (again.status, again.body) == (202, accepted.body)


def test_a_plan_of_a_first_deployment_is_old_once_there_is_another(cloud: Cloud) -> None:
    images = [f"hello@{put_image('hello', tag)}" for tag in ("a", "b")]
    assert cloud.plan(images[0])["expected"] is None
    body = {"image_tag": images[0], "expected": None}
    assert cloud.deploy(images[1]).status == 202
    for verb in ("deploy", "rollback"):
        path = f"/v1/cicd/services/{cloud.service_id}/{verb}"
        sent = body if verb == "deploy" else {"expected": None}
        answer = cloud.api.post(path, sent)
        assert (answer.status, answer.body["code"]) == (409, "plan_is_old")
        assert answer.body["detail"].startswith(
            "the plan was made when there was no deployment, and now there is deployment 1"
        )


def test_a_plan_of_a_first_deployment_can_be_confirmed(cloud: Cloud) -> None:
    image = f"hello@{put_image('hello', 'a')}"
    body = {"image_tag": image, "expected": cloud.plan(image)["expected"]}
    assert cloud.api.post(deploy_path(cloud), body).status == 202


def test_a_plan_becomes_old_until_the_rollback_is_written(
    two: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = writes.commit

    def late(*rows: writes.Write) -> None:
        monkeypatch.setattr(rollbacks, "commit", written)
        assert two.deploy(f"hello@{put_image('hello', 'c')}").status == 202
        written(*rows)

    monkeypatch.setattr(rollbacks, "commit", late)
    answer = two.roll_back(deployment_id=1, expected=2)
    assert (answer.status, answer.body["code"]) == (409, "plan_is_old")
    assert two.deployment(two.service()["active_deployment_id"])["trigger"] == "manual"


def test_a_plan_says_what_happens_to_auto_deploy(two: Cloud) -> None:
    image = two.build(2)["image_tag"]
    assert two.plan(image)["auto_deploy"] == "unchanged"
    assert two.preview()["plan"]["auto_deploy"] == "paused"
    two.roll_back()
    two.settle()
    two.finish_rollout()
    assert two.service()["auto_deploy_paused"]
    assert two.plan(image)["auto_deploy"] == "resumed"
    assert two.preview(2)["plan"]["auto_deploy"] == "unchanged"
    two.deploy(image)
    two.settle()
    two.finish_rollout()
    assert two.service()["auto_deploy_paused"] is None
    two.change_service(auto_deploy=False)
    assert two.preview()["plan"]["auto_deploy"] == "unchanged"


def test_the_preview_of_a_rollback_shows_its_image_and_the_commits_that_it_takes_back(
    two: Cloud,
) -> None:
    plan = two.preview()["plan"]
    assert (plan["image_now"], plan["image_then"]) == (released(two, 2), released(two, 1))
    assert plan["commits"] == {
        "now": sha(2),
        "then": sha(1),
        "compare_url": f"{GITHUB}/{sha(1)}...{sha(2)}",
    }


def test_the_preview_of_a_rollback_names_the_configuration_that_changes(cloud: Cloud) -> None:
    run_on_ecs(register("hello", "hello:a", LEVEL="old-value", GONE="gone-value"))
    cloud.finish_rollout()
    cloud.release(1)
    client("ecs").register_task_definition(
        family="hello",
        cpu="512",
        taskRoleArn="arn:aws:iam::123456789012:role/hello",
        executionRoleArn="arn:aws:iam::123456789012:role/hello",
        containerDefinitions=[
            {
                "name": "app",
                "image": "hello:b",
                "memory": 128,
                "environment": [{"name": "LEVEL", "value": "new-value"}],
                "secrets": [{"name": "TOKEN", "valueFrom": "token"}],
            },
            {"name": "sidecar", "image": "proxy:2", "memory": 64},
        ],
    )
    client("ssm").put_parameter(Name="token", Value="token-value", Type="String")
    run_on_ecs("hello")
    cloud.finish_rollout()
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout()
    answer = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/rollback?deployment_id=1")
    changes = answer.body["plan"]["changes"]
    app, sidecar = changes["containers"]
    assert app["environment"] == {"added": ["GONE"], "removed": [], "changed": ["LEVEL"]}
    assert app["secrets"] == {"added": [], "removed": ["TOKEN"], "changed": []}
    assert app["image_now"] == app["image_then"]
    assert (sidecar["image_now"], sidecar["image_then"]) == ("proxy:2", "proxy:1")
    assert changes["settings"] == ["cpu", "executionRoleArn"]
    assert "-value" not in answer.text


def test_a_preview_without_a_target_has_no_plan(cloud: Cloud) -> None:
    preview = cloud.preview()
    assert preview["code"] == "nothing_to_roll_back"
    assert (preview["plan"], preview["findings"]) == (None, [])


def test_a_plan_needs_the_permission_of_a_deployment(two: Cloud) -> None:
    body = {"image_tag": two.build(1)["image_tag"]}
    neighbour = two.add_service("neighbour", branch="develop")
    callers = [("viewer", {}, 403), ("deployer", {"service_id": neighbour}, 404)]
    for role, restriction, status in callers:
        made = two.api.post("/v1/tokens", {"name": role, "role": role, **restriction}).body
        api = two.api.as_holder_of(made["token"])
        answers = [api.post(f"{deploy_path(two)}{each}", body) for each in ("", "?dry_run=true")]
        problems = [{**each.body, "instance": ""} for each in answers]
        assert problems[0] == problems[1]
        assert problems[0]["status"] == status
