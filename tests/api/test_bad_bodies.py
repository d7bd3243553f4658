"""Bodies that must not get in: each is refused with its code and field, and nothing is written."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.api.bodies import MAX_BYTES
from tests.client import Api
from tests.written import nothing_is_written

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
SHA256 = "sha256:" + "a" * 64

BUILD_FIELDS: list[tuple[str, Any, int, str]] = [
    ("git_url", "", 400, "invalid_git_url"),
    ("git_url", 123, 400, "invalid_git_url"),
    ("git_url", "ext::sh -c touch% /tmp/pwn", 400, "invalid_git_url"),
    ("git_url", "EXT::sh -c id", 400, "invalid_git_url"),
    ("git_url", "fd::17/foo", 400, "invalid_git_url"),
    ("git_url", "file:///etc/passwd", 400, "invalid_git_url"),
    ("git_url", "/etc/passwd", 400, "invalid_git_url"),
    ("git_url", "git@github.com:a/b.git", 400, "invalid_git_url"),
    ("git_url", "https://user:ghp_x@github.com/a/b.git", 400, "invalid_git_url"),
    ("git_url", "https://github.com\\@evil.example/a/b", 400, "invalid_git_url"),
    ("git_url", "https://169.254.169.254/a/b.git", 400, "invalid_git_url"),
    ("git_url", "https://github.com/a/b.git\nhost=evil.example", 400, "invalid_git_url"),
    ("git_url", "https://github.com/a/b.git?ref=pull/42/head", 400, "invalid_git_url"),
    ("git_url", "https://gіthub.com/a/b.git", 400, "invalid_git_url"),  # noqa: RUF001
    ("git_url", "https://github.com/other-org/other-repo.git", 403, "repo_not_allowed"),
    ("git_ref", 7, 400, "invalid_git_ref"),
    ("git_ref", True, 400, "invalid_git_ref"),
    ("git_ref", "", 400, "invalid_git_ref"),
    ("git_ref", " ", 400, "invalid_git_ref"),
    ("git_ref", "-main", 400, "invalid_git_ref"),
    ("git_ref", "a..b", 400, "invalid_git_ref"),
    ("git_ref", "a^", 400, "invalid_git_ref"),
    ("git_ref", "a\0b", 400, "invalid_git_ref"),
    ("git_ref", "`id`", 400, "invalid_git_ref"),
    ("git_ref", "a\u202eb", 400, "invalid_git_ref"),
    ("git_ref", "0" * 40, 400, "invalid_git_ref"),
    ("git_ref", "a" * 201, 400, "invalid_git_ref"),
    ("context_path", "../", 400, "invalid_path"),
    ("context_path", "--build-arg=A=b", 400, "invalid_path"),
    ("context_path", "https://evil.example/ctx.tar.gz", 400, "invalid_path"),
    ("context_path", "", 400, "invalid_path"),
    ("context_path", 5, 400, "invalid_path"),
    ("dockerfile", "/dev/stdin", 400, "invalid_path"),
    ("dockerfile", "--output=type=local,dest=/", 400, "invalid_path"),
    ("dockerfile", "", 400, "invalid_path"),
    ("dockerfile", {"x": 1}, 400, "invalid_path"),
    ("platforms", [], 400, "invalid_platforms"),
    ("platforms", ["plan9/mips"], 400, "invalid_platforms"),
    ("platforms", "linux/amd64", 400, "invalid_platforms"),
    ("platforms", [1], 400, "invalid_platforms"),
    ("build_args", {"": "x"}, 400, "invalid_build_args"),
    ("build_args", {"LD_PRELOAD": "/x.so"}, 400, "invalid_build_args"),
    ("build_args", {"AWS_ACCESS_KEY_ID": "x"}, 400, "invalid_build_args"),
    ("build_args", {"GIT_SSH_COMMAND": "sh -c id"}, 400, "invalid_build_args"),
    ("build_args", {"A": 1}, 400, "invalid_build_args"),
    ("build_args", {f"A{number}": "x" for number in range(101)}, 400, "invalid_build_args"),
    ("build_args", ["A=1"], 400, "invalid_build_args"),
    ("buildspec", "version: 0.2", 400, "unknown_field"),
    ("service_role", "arn:aws:iam::1:role/admin", 400, "unknown_field"),
]

DEPLOY_FIELDS: list[tuple[str, Any, int, str]] = [
    ("image_tag", "", 400, "invalid_image"),
    ("image_tag", None, 400, "invalid_image"),
    ("image_tag", "myapp", 400, "invalid_image"),
    ("image_tag", "myapp:-x", 400, "invalid_image"),
    ("image_tag", "myapp:" + "a" * 129, 400, "invalid_image"),
    ("image_tag", "my//app:v1", 400, "invalid_image"),
    ("image_tag", "myapp:v1 --privileged", 400, "invalid_image"),
    ("image_tag", "myapp:v1\n", 400, "invalid_image"),
    ("image_tag", f"myapp:v1@{SHA256}@{SHA256}", 400, "invalid_image"),
    ("image_tag", "evil.example/myapp:v1", 403, "image_not_allowed"),
    (
        "image_tag",
        "999999999999.dkr.ecr.us-east-1.amazonaws.com/myapp:v1",
        403,
        "image_not_allowed",
    ),
    ("image_tag", "otherservice:v1", 403, "image_not_allowed"),
    ("reason", "x" * 501, 400, "invalid_reason"),
    ("reason", 5, 400, "invalid_reason"),
    ("force", True, 400, "unknown_field"),
]

SERVICE_FIELDS: list[tuple[str, Any, int, str]] = [
    ("name", "Hello", 400, "invalid_name"),
    ("name", "hello\n", 400, "invalid_name"),
    ("name", "a" * 64, 400, "invalid_name"),
    ("name", None, 400, "invalid_name"),
    ("git_url", "http://github.com/a/b", 400, "invalid_git_url"),
    ("branch", "a..b", 400, "invalid_git_ref"),
    ("branch", "HEAD", 400, "invalid_git_ref"),
    ("branch", "refs/heads/", 400, "invalid_git_ref"),
    ("branch", "refs/heads/HEAD", 400, "invalid_git_ref"),
    ("image_repository", "My App", 400, "invalid_image"),
    ("image_repository", "myapp:v1", 400, "invalid_image"),
    ("image_repository", "ghcr.io/myapp", 400, "invalid_image"),
    ("image_repository", "localhost/myapp", 400, "invalid_image"),
    ("image_repository", "127.0.0.1:5000/myapp", 400, "invalid_image"),
    ("image_repository", f"{REGISTRY}/", 400, "invalid_image"),
    ("image_repository", f"{REGISTRY}/My App", 400, "invalid_image"),
    ("ecs_cluster", "arn:aws:ecs:x", 400, "invalid_ecs_cluster"),
    ("ecs_service", "a\n", 400, "invalid_ecs_service"),
    ("ecs_service", None, 400, "incomplete_ecs_target"),
    ("container", "", 400, "invalid_container"),
    ("auto_deploy", "yes", 400, "invalid_auto_deploy"),
    ("build_minutes", 4, 400, "invalid_build_minutes"),
    ("build_minutes", 481, 400, "invalid_build_minutes"),
    ("build_minutes", True, 400, "invalid_build_minutes"),
    ("deploy_minutes", 1.5, 400, "invalid_deploy_minutes"),
    ("queued_minutes", "60", 400, "invalid_queued_minutes"),
    ("current", 5, 400, "unknown_field"),
]

RAW: list[tuple[str, bytes, int, str]] = [
    ("half an object", b"{bad", 400, "invalid_json"),
    ("not UTF-8", b'{"git_ref":"\xff"}', 400, "invalid_json"),
    ("null", b"null", 400, "invalid_body"),
    ("a list", b"[]", 400, "invalid_body"),
    ("a string", b'"main"', 400, "invalid_body"),
    ("not a number", b'{"git_ref":NaN}', 400, "invalid_json"),
    ("infinity", b'{"git_ref":-Infinity}', 400, "invalid_json"),
    ("a number that becomes infinite", b'{"git_ref":1e400}', 400, "invalid_body"),
    ("an endless number", b'{"git_ref":' + b"9" * 5000 + b"}", 400, "invalid_json"),
    ("half a character", b'{"git_ref":"\\ud800"}', 400, "invalid_body"),
    ("half a character in a name", b'{"\\ud800":"main"}', 400, "invalid_body"),
    ("a name twice", b'{"git_ref":"main","git_ref":"evil"}', 400, "duplicate_key"),
    ("half a character twice", b'{"\\ud800":1,"\\ud800":2}', 400, "duplicate_key"),
    ("a well of brackets", b"[" * 100_000, 400, "invalid_json"),
    ("too much", b'{"git_ref":"' + b"a" * MAX_BYTES + b'"}', 413, "body_too_large"),
]


@pytest.fixture(autouse=True)
def _nothing_is_written(service: int) -> Iterator[None]:
    with nothing_is_written():
        yield


def check_refused(
    api: Api, method: str, path: str, wanted: tuple[int, str], **request: Any
) -> dict[str, Any]:
    answer = api.request(method, path, **request)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert (answer.status, answer.body["code"]) == wanted, answer.text
    assert answer.body["status"] == answer.status
    assert answer.body["instance"] == answer.headers["x-request-id"]
    return dict(answer.body)


def test_a_bad_field_of_a_build_is_refused(api: Api, service: int) -> None:
    path = f"/v1/cicd/services/{service}/build"
    for field, value, status, code in BUILD_FIELDS:
        problem = check_refused(api, "POST", path, (status, code), body={field: value})
        assert problem["field"] == field


def test_a_bad_field_of_a_deployment_is_refused(api: Api, service: int) -> None:
    path = f"/v1/cicd/services/{service}/deploy"
    for field, value, status, code in DEPLOY_FIELDS:
        body = {"image_tag": "myapp:main-1", field: value}
        problem = check_refused(api, "POST", path, (status, code), body=body)
        assert problem["field"] == field


def test_a_bad_field_is_named_before_a_missing_one(api: Api, service: int) -> None:
    path = f"/v1/cicd/services/{service}/deploy"
    check_refused(api, "POST", path, (400, "invalid_reason"), body={"reason": "x" * 501})
    problem = check_refused(api, "POST", path, (400, "missing_field"), body={"reason": "x"})
    assert problem["field"] == "image_tag"


def test_a_bad_field_of_a_rollback_is_refused(api: Api, service: int) -> None:
    path = f"/v1/cicd/services/{service}/rollback"
    for value in (0, -1, "1", True, 1.5, 2**60):
        body = {"deployment_id": value}
        check_refused(api, "POST", path, (400, "invalid_deployment_id"), body=body)
    problem = check_refused(api, "POST", path, (404, "not_found"), body={"deployment_id": 4711})
    assert problem["field"] == "deployment_id"


def test_a_bad_field_of_a_service_is_refused_when_it_is_created_and_changed(
    api: Api, project: int, service: int, new_service: dict[str, Any]
) -> None:
    for field, value, status, code in SERVICE_FIELDS:
        body = {**new_service, "name": "other", "ecs_service": "other", field: value}
        path = f"/v1/projects/{project}/services"
        created = check_refused(api, "POST", path, (status, code), body=body)
        path = f"/v1/services/{service}"
        changed = check_refused(api, "PATCH", path, (status, code), body={field: value})
        assert created["field"] == changed["field"] == field


def test_a_bad_name_of_a_project_is_refused(api: Api) -> None:
    for name in ("", " shop", "shop ", "shop\n", "a/b", "é", "a" * 64, 5, None):
        check_refused(api, "POST", "/v1/projects", (400, "invalid_name"), body={"name": name})
    check_refused(api, "POST", "/v1/projects", (400, "missing_field"), body={})


def test_what_a_name_must_be_is_said_in_words(api: Api, service: int) -> None:
    refused = check_refused(api, "POST", "/v1/projects", (400, "invalid_name"), body={"name": " "})
    assert refused["detail"].startswith("name must be 1 to 63 letters, digits, spaces")
    for field in ("name", "ecs_cluster", "ecs_service", "container"):
        path, wanted = f"/v1/services/{service}", (400, f"invalid_{field}")
        refused = check_refused(api, "PATCH", path, wanted, body={field: "!"})
        assert refused["detail"].startswith(f"{field} must be a ")
        assert "regex" not in refused["detail"]


def test_a_body_is_required_where_a_field_is(api: Api, project: int, service: int) -> None:
    for path in (f"projects/{project}/services", f"cicd/services/{service}/deploy"):
        check_refused(api, "POST", f"/v1/{path}", (400, "invalid_json"), raw=b"")


def test_a_body_that_is_no_json_object_is_refused(api: Api, service: int) -> None:
    for what, raw, status, code in RAW:
        path = f"/v1/cicd/services/{service}/build"
        assert check_refused(api, "POST", path, (status, code), raw=raw), what


def test_a_body_of_another_media_type_is_refused(api: Api, service: int) -> None:
    for sent in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        check_refused(
            api,
            "POST",
            f"/v1/cicd/services/{service}/build",
            (415, "unsupported_media_type"),
            body={},
            headers={"Content-Type": sent},
        )
