"""The resources over HTTP: created, listed, shown, changed, deleted."""

from http import HTTPStatus
from typing import Any

import pytest

from chalicelib import clock
from chalicelib.aws.clients import client as aws_client
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus
from chalicelib.store.jobs import finish, get_build, opened, service_key
from chalicelib.store.models import Build, Deployment, Service
from chalicelib.store.writes import change, commit, create, discard
from tests.support.builders import SHA, WEBHOOK_SECRET
from tests.support.client import Api
from tests.support.embedded import put_image

DIGEST = "sha256:" + "a" * 64


def create_deployment(service: int, number: int, **columns: Any) -> Deployment:
    standard = {
        "status": DeploymentStatus.QUEUED,
        "image_tag": f"main-{number}",
        "image_digest": DIGEST,
    }
    row = Deployment(
        f"deploy-{number}",
        number=number,
        project_id=1,
        service_id=service,
        service_key=service_key(service, "deploy"),
        opened=opened("deploy", number, 1_800_000_000),
        requested_by="token:ci",
        trigger="manual",
        image_repository="myapp",
        image=f"registry/myapp@{DIGEST}",
        created_at=1_800_000_000,
        deadline_at=1_800_000_100,
        **{**standard, **columns},
    )
    commit(create(row))
    return row


def create_successful_build(api: Api, service: int) -> Build:
    """Create a successful build, with the row that the pipeline would write."""
    number = api.post(f"/v1/cicd/services/{service}/build", {}).body["build_id"]
    commit(change(get_build(number), status=BuildStatus.BUILDING))
    build = get_build(number)
    commit(
        finish(build, BuildStatus.SUCCESS, at=clock.now(), image_digest=DIGEST),
        change(Service.get(service), open_builds=discard(number)),
    )
    return get_build(number)


def test_a_project_is_created_shown_and_listed(api: Api) -> None:
    created = api.post("/v1/projects", {"name": "shop"})
    assert created.status == HTTPStatus.CREATED
    assert created.headers["location"] == "/v1/projects/1"
    assert created.body["name"] == "shop"
    assert created.body["created_at"].endswith("Z")
    assert api.get("/v1/projects/1").body == created.body
    assert api.get("/v1/projects").body == {"items": [created.body], "next_cursor": None}
    again = api.post("/v1/projects", {"name": "SHOP"})
    assert (again.status, again.body["code"]) == (409, "name_taken")


def test_the_pages_of_a_list_have_every_row_newest_first(api: Api) -> None:
    for number in range(5):
        api.post("/v1/projects", {"name": f"p{number}"})
    seen, path = [], "/v1/projects?limit=2"
    while path:
        page = api.get(path).body
        seen += [project["id"] for project in page["items"]]
        cursor = page["next_cursor"]
        path = cursor and f"/v1/projects?limit=2&cursor={cursor}"
    assert seen == [5, 4, 3, 2, 1]


def test_a_new_service_has_default_settings(api: Api, project: int) -> None:
    body = {
        "name": "web",
        "git_url": "https://github.com/Codertocat/Hello-World",
        "image_repository": "team/web",
    }
    created = api.post(f"/v1/projects/{project}/services", body)
    assert created.status == HTTPStatus.CREATED
    assert created.headers["location"] == "/v1/services/1"
    assert api.get("/v1/services/1").body == created.body
    shown = {name: value for name, value in created.body.items() if not name.endswith("_at")}
    assert shown == {
        "id": 1,
        "project_id": project,
        "name": "web",
        "git_url": "https://github.com/Codertocat/Hello-World.git",
        "branch": "main",
        "paths": [],
        "tags": [],
        "build_pull_requests": False,
        "submodules": False,
        "lfs": False,
        "history": False,
        "context_path": ".",
        "dockerfile": "Dockerfile",
        "target": None,
        "platforms": ["linux/amd64"],
        "build_args": {},
        "secrets": {},
        "provenance": True,
        "sbom": True,
        "image_repository": "team/web",
        "image_from": None,
        "also_push_to": {},
        "also_push_required": False,
        "ecs_cluster": None,
        "ecs_service": None,
        "containers": None,
        "webhook_secret": None,
        "auto_build": True,
        "auto_deploy": False,
        "require_checks": None,
        "checks_minutes": 60,
        "auto_deploy_paused": None,
        "queued_minutes": 60,
        "max_open_builds": 20,
        "supersede_builds": True,
        "build_minutes": 30,
        "deploy_minutes": 20,
        "strategy": None,
        "release_command": None,
        "release_command_minutes": 15,
        "approval": False,
        "approval_minutes": 1440,
        "approve_own": False,
        "badge": False,
        "environment_name": None,
        "environment_url": None,
        "current_deployment_id": None,
        "active_deployment_id": None,
        "waiting_deployment_id": None,
        "failed_deployment_id": None,
        "failing_since": None,
        "drift": None,
        "health": None,
        "tasks": None,
        "receipt": None,
        "rollback_trouble": None,
        "attention": None,
        "simulated": False,
    }


def test_a_new_service_in_a_missing_project_is_404(api: Api, new_service: dict[str, Any]) -> None:
    assert api.post("/v1/projects/9/services", new_service).status == 404


def test_a_patch_of_a_service_changes_only_the_given_fields(api: Api, service: int) -> None:
    before = api.get(f"/v1/services/{service}").body
    changed = api.patch(f"/v1/services/{service}", {"branch": "next", "auto_deploy": True})
    assert changed.status == 200
    times = {"updated_at": changed.body["updated_at"]}
    assert changed.body == {**before, **times, "branch": "next", "auto_deploy": True}
    gone = api.patch(
        f"/v1/services/{service}",
        {"ecs_cluster": None, "ecs_service": None, "containers": None, "auto_deploy": False},
    )
    assert gone.body["ecs_service"] is None


def test_a_build_without_a_ref_builds_the_branch_of_the_service(api: Api, service: int) -> None:
    answer = api.post(f"/v1/cicd/services/{service}/build", {})
    assert answer.status == HTTPStatus.ACCEPTED
    assert api.get("/v1/cicd/builds/1").body["git_ref"] == "master"


def test_a_branch_and_an_image_repository_may_be_written_in_full(
    api: Api, project: int, new_service: dict[str, Any]
) -> None:
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    full = {"branch": "refs/heads/feature/x", "image_repository": f"{registry}/team/app"}
    created = api.post(f"/v1/projects/{project}/services", {**new_service, **full})
    assert created.status == HTTPStatus.CREATED, created.text
    assert created.body["branch"] == "feature/x"
    assert created.body["image_repository"] == "team/app"


def test_a_deleted_service_is_404_and_its_history_stays_readable(
    api: Api, project: int, service: int
) -> None:
    create_successful_build(api, service)
    create_deployment(service, 1)
    assert api.delete(f"/v1/services/{service}").status == 204
    assert api.get(f"/v1/services/{service}").status == 404
    for work in ("build", "deploy", "rollback"):
        body = {"image_tag": "myapp:main-1"} if work == "deploy" else {}
        assert api.post(f"/v1/cicd/services/{service}/{work}", body).status == 404
    assert api.delete(f"/v1/services/{service}").status == 404
    assert api.get(f"/v1/projects/{project}/services").body["items"] == []
    for path in ("builds/1", "builds/1/logs", "deployments/1", "jobs/build-1", "jobs/deploy-1"):
        assert api.get(f"/v1/cicd/{path}").status == 200
    for path in ("builds", "deployments"):
        listed = api.get(f"/v1/cicd/services/{service}/{path}").body["items"]
        assert [row["id"] for row in listed] == [1]


def test_a_build_has_the_settings_of_its_service(api: Api, service: int) -> None:
    answer = api.post(f"/v1/cicd/services/{service}/build", {})
    assert answer.status == HTTPStatus.ACCEPTED
    assert answer.body == {"build_id": 1, "job_id": "build-1", "status": "queued"}
    build = api.get(answer.headers["location"]).body
    expected = {
        "id": 1,
        "project_id": 1,
        "service_id": service,
        "git_url": "https://github.com/Codertocat/Hello-World.git",
        "git_ref": "master",
        "context_path": ".",
        "dockerfile": "Dockerfile",
        "image_tag": "myapp:master-1",
        "status": "queued",
        "log_path": None,
        "started_at": None,
        "finished_at": None,
        "trigger": "manual",
        "requested_by": "token:tests",
    }
    assert {name: build[name] for name in expected} == expected
    queue = aws_client("sqs").receive_message(
        QueueUrl=aws_client("sqs").get_queue_url(QueueName="slipway-wakeups")["QueueUrl"]
    )
    assert queue["Messages"][0]["Body"] == '{"v": 1, "reconcile": "build-1"}'


@pytest.mark.parametrize(
    ("sent", "name", "kind", "tag"),
    [
        ("refs/tags/v1.0", "v1.0", "tag", "myapp:v1.0-1"),
        ("refs/heads/63e9150", "63e9150", "branch", "myapp:63e9150-1"),
        ("fix/#123", "fix/#123", None, "myapp:fix-123-1"),
        ("feature/\u65e5\u672c", "feature/\u65e5\u672c", None, "myapp:feature-1"),
        ("it's=(a),b", "it's=(a),b", None, "myapp:it-s-a-b-1"),
    ],
)
def test_a_build_names_any_ref_that_git_allows(
    api: Api, service: int, sent: str, name: str, kind: str | None, tag: str
) -> None:
    assert api.post(f"/v1/cicd/services/{service}/build", {"git_ref": sent}).status == 202
    build = api.get("/v1/cicd/builds/1").body
    assert (build["git_ref"], build["ref_type"], build["image_tag"]) == (name, kind, tag)


def test_a_null_field_builds_nothing_by_mistake(api: Api, service: int) -> None:
    for field in ("git_ref", "git_url", "platforms", "build_args"):
        answer = api.post(f"/v1/cicd/services/{service}/build", {field: None})
        assert (answer.status, answer.body["field"]) == (400, field)
    assert api.get("/v1/cicd/jobs").body["items"] == []


def test_a_build_request_may_override_the_settings_of_the_service(api: Api, service: int) -> None:
    body = {
        "git_url": "https://github.com/codertocat/hello-world",
        "git_ref": SHA.upper(),
        "context_path": "services/api",
        "dockerfile": "docker/Dockerfile",
        "platforms": ["linux/arm64"],
        "build_args": {"MODE": "a 'quoted' $(value)\n"},
    }
    assert api.post(f"/v1/cicd/services/{service}/build", body).status == 202
    build = api.get("/v1/cicd/builds/1").body
    assert build["commit_sha"] == build["git_ref"] == SHA
    assert {name: build[name] for name in body if name not in {"git_url", "git_ref"}} == {
        name: value for name, value in body.items() if name not in {"git_url", "git_ref"}
    }


def test_builds_are_listed_by_status(api: Api, service: int) -> None:
    create_successful_build(api, service)
    api.post(f"/v1/cicd/services/{service}/build", {})

    def ids(query: str) -> list[int]:
        page = api.get(f"/v1/cicd/services/{service}/builds{query}").body
        return [build["id"] for build in page["items"]]

    assert ids("") == [2, 1]
    assert ids("?status=success") == [1]
    assert ids("?status=failed") == []


def test_a_job_shows_the_state_of_its_build_or_deployment(api: Api, service: int) -> None:
    create_successful_build(api, service)
    job = api.get("/v1/cicd/jobs/build-1").body
    assert (job["id"], job["type"], job["status"], job["progress"]) == (
        "build-1",
        "build",
        "success",
        100,
    )
    assert (job["build_id"], job["deployment_id"], job["service_id"]) == (1, None, service)
    create_deployment(service, 7, status=DeploymentStatus.SUPERSEDED)
    job = api.get("/v1/cicd/jobs/deploy-7").body
    assert (job["type"], job["status"], job["deployment_id"]) == ("deploy", "cancelled", 7)


def test_a_build_of_the_service_is_deployed_by_its_tag(api: Api, service: int) -> None:
    build = create_successful_build(api, service)
    digest = put_image("myapp", build.image_tag)
    commit(change(build, image_digest=digest))
    body = {"image_tag": f"myapp:{build.image_tag}", "reason": "<script>alert(1)</script>"}
    answer = api.post(f"/v1/cicd/services/{service}/deploy", body)
    assert answer.status == HTTPStatus.ACCEPTED, answer.text
    assert answer.body == {"deployment_id": 1, "job_id": "deploy-1", "status": "queued"}
    assert answer.headers["location"] == "/v1/cicd/deployments/1"
    deployment = api.get("/v1/cicd/deployments/1").body
    assert deployment["image_tag"] == "myapp:master-1"
    assert (deployment["image_digest"], deployment["build_id"]) == (digest, 1)
    assert deployment["reason"] == "<script>alert(1)</script>"
    assert api.get(f"/v1/services/{service}").body["active_deployment_id"] == 1
    listed = api.get(f"/v1/cicd/services/{service}/deployments").body
    assert listed == {"items": [{**deployment, "waiting_for": None}], "next_cursor": None}


def test_an_image_that_does_not_exist_cannot_be_deployed(api: Api, service: int) -> None:
    put_image("myapp", "other")
    answer = api.post(f"/v1/cicd/services/{service}/deploy", {"image_tag": "myapp:main-deadbee"})
    assert (answer.status, answer.body["code"]) == (404, "image_not_found")


def test_a_service_without_a_target_cannot_be_deployed(api: Api, service: int) -> None:
    api.patch(
        f"/v1/services/{service}", {"ecs_cluster": None, "ecs_service": None, "containers": None}
    )
    answer = api.post(f"/v1/cicd/services/{service}/deploy", {"image_tag": "myapp:main-1"})
    assert (answer.status, answer.body["code"]) == (409, "service_not_configured")


def test_a_deployment_by_digest_shows_the_digest(api: Api, service: int) -> None:
    create_deployment(service, 1, image_tag="")
    assert api.get("/v1/cicd/deployments/1").body["image_tag"] == f"myapp@{DIGEST}"


def test_without_an_earlier_release_preview_and_rollback_say_the_same(
    api: Api, service: int
) -> None:
    path = f"/v1/cicd/services/{service}/rollback"
    preview = api.get(path)
    assert (preview.body["possible"], preview.body["target"]) == (False, None)
    answer = api.post(path, headers={"Content-Type": None})
    assert (answer.status, answer.body["code"]) == (409, "nothing_to_roll_back")
    assert answer.body["code"] == preview.body["code"]
    assert answer.body["detail"] == preview.body["reason"]


def test_a_rollback_restores_the_target_of_its_preview(api: Api, service: int) -> None:
    digest = put_image("myapp", "main-1")
    done = {
        "status": DeploymentStatus.SUCCESS,
        "progress": 100,
        "task_definition": "arn:1",
        "target": EcsTarget(cluster="main", service="hello", containers=("app",)),
    }
    create_deployment(service, 101, image_digest=digest, **done)
    create_deployment(service, 102, image_digest=digest, rollback_to=101, **done)
    commit(change(Service.get(service), current=102))
    path = f"/v1/cicd/services/{service}/rollback"
    assert api.get(path).body["target"]["id"] == 101
    answer = api.post(path, {"reason": "it is on fire"})
    assert answer.status == HTTPStatus.ACCEPTED, answer.text
    rollback = api.get(answer.headers["location"]).body
    assert (rollback["restores"], rollback["rollback_of"]) == (101, 102)
    assert rollback["reason"] == "it is on fire"
    shown = api.get(f"/v1/services/{service}").body
    assert shown["active_deployment_id"] == rollback["id"]
    assert shown["auto_deploy"] is False
    assert shown["auto_deploy_paused"] is None


@pytest.fixture
def log(api: Api, service: int) -> str:
    """A running build with three lines of log; the path of the log."""
    api.post(f"/v1/cicd/services/{service}/build", {})
    logs, stream = (
        aws_client("logs"),
        {
            "logGroupName": "/slipway/builds",
            "logStreamName": "build-1/0f0f",
        },
    )
    logs.create_log_group(logGroupName="/slipway/builds")
    logs.create_log_stream(**stream)
    start = clock.now() * 1000
    lines = ["#1 load\n", "\x1b[31mred\x1b[0m AKIAIOSFODNN7EXAMPLE\n", "<b>done</b>\n"]
    logs.put_log_events(
        **stream,
        logEvents=[{"timestamp": start + n, "message": line} for n, line in enumerate(lines)],
    )
    commit(
        change(
            get_build(1),
            status=BuildStatus.BUILDING,
            log_path="/slipway/builds/build-1/0f0f",
        )
    )
    return "/v1/cicd/builds/1/logs"


def test_a_build_without_output_has_an_empty_log(api: Api, service: int) -> None:
    api.post(f"/v1/cicd/services/{service}/build", {})
    answer = api.get("/v1/cicd/builds/1/logs")
    assert answer.body == {
        "lines": [],
        "next_cursor": None,
        "complete": False,
        "expired": False,
    }
    assert answer.headers["retry-after"] == "2"


def test_the_log_of_a_running_build_is_followed_by_its_cursor(api: Api, log: str) -> None:
    first = api.get(f"{log}?limit=2")
    assert [line["message"] for line in first.body["lines"]] == ["#1 load", "red ***"]
    assert first.body["lines"][0]["timestamp"].endswith(".000Z")
    assert first.headers["retry-after"] == "2"
    second = api.get(f"{log}?cursor={first.body['next_cursor']}").body
    assert [line["message"] for line in second["lines"]] == ["<b>done</b>"]
    third = api.get(f"{log}?cursor={second['next_cursor']}").body
    assert (third["lines"], third["complete"]) == ([], False)


def test_a_log_can_be_read_as_plain_text(api: Api, log: str) -> None:
    answer = api.get(f"{log}?format=text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == (
        f"#1 load\nred ***\n<b>done</b>\n[more lines may follow: GET {log}?format=text"
        f"&cursor={answer.headers['x-next-cursor']}]\n"
    )
    rest = api.get(f"{log}?cursor={answer.headers['x-next-cursor']}").body
    assert (rest["lines"], rest["next_cursor"]) == ([], answer.headers["x-next-cursor"])


def test_no_page_of_a_log_contains_the_webhook_secret(api: Api, log: str) -> None:
    logs = aws_client("logs")
    stream = {"logGroupName": "/slipway/builds", "logStreamName": "build-1/0f0f"}
    later = clock.now() * 1000 + 10
    for number, line in enumerate([f"< {WEBHOOK_SECRET[:20]}", f"{WEBHOOK_SECRET[20:]} >"]):
        logs.put_log_events(**stream, logEvents=[{"timestamp": later + number, "message": line}])
    together = [line["message"] for line in api.get(log).body["lines"]]
    assert together[3:] == ["< ***", "*** >"]
    shown, cursor = [], ""
    for _ in range(5):
        page = api.get(f"{log}?limit=1{cursor}").body
        shown += [line["message"] for line in page["lines"]]
        cursor = f"&cursor={page['next_cursor']}"
    # A part of fewer than 16 characters stays visible: hiding it would confirm a guess.
    assert shown == [*together[:-1], f"{WEBHOOK_SECRET[20:]} >"]


def test_commit_message_author_and_error_of_a_build_are_cleaned(api: Api, service: int) -> None:
    api.post(f"/v1/cicd/services/{service}/build", {})
    commit(
        finish(
            get_build(1),
            BuildStatus.FAILED,
            at=clock.now(),
            error="BUILD FAILED:\nfatal: https://me:hunter2@github.com/x refused\r\n",
            commit_message=f"\x1b[31mUse {WEBHOOK_SECRET}\u202e",
            author="Ada\u200f ghp_" + "a" * 36,
        )
    )
    build = api.get("/v1/cicd/builds/1").body
    assert (build["commit_message"], build["author"]) == ("Use ***", "Ada ***")
    assert build["error"] == "BUILD FAILED: fatal: https://***@github.com/x refused"
    assert api.get("/v1/cicd/jobs/build-1").body["error"] == build["error"]


def test_a_whole_number_may_be_written_with_a_decimal_point(api: Api, service: int) -> None:
    answer = api.request("PATCH", f"/v1/services/{service}", raw=b'{"build_minutes": 4.5e1}')
    assert (answer.status, answer.body["build_minutes"]) == (200, 45)
