"""The OpenAPI document: current, valid, complete, and with examples that work."""

import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from app import app
from infra.openapi.__main__ import SERVED, rendered
from tests.support.builders import delivery_headers
from tests.support.client import Answer, Api
from tests.support.embedded import (
    Cloud,
    add_topic,
    balance,
    client,
    create_ecs_service,
    create_image_repository,
    put_image,
)

DOCUMENT: Any = json.loads((SERVED / "openapi.json").read_text())
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
# A deployment must await them.
ANSWERS = ("approve_deployment", "reject_deployment")
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


@pytest.mark.parametrize("name", ["openapi.json", "docs.html"])
def test_the_served_files_match_the_routes(name: str) -> None:
    same = (SERVED / name).read_text() == rendered()[name]
    assert same, f"{name} is stale: run `make openapi` and commit it"


def test_the_document_is_valid_openapi_3_1(api: Api) -> None:
    served = api.get("/v1/openapi.json", headers={"Authorization": None})
    assert served.headers["content-type"] == "application/json"
    assert served.body == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_the_document_describes_every_route_and_no_other() -> None:
    described = {(method, path) for method, path, _ in OPERATIONS.values()}
    assert described == {(m, path) for path, methods in app.routes.items() for m in methods}


def test_the_document_marks_public_routes_and_required_fields() -> None:
    public = {name for name, (_, _, each) in OPERATIONS.items() if each.get("security") == []}
    about = {"get_health", "get_readiness", "get_openapi", "get_docs"}
    assert public == {*about, "get_page", "get_asset", "get_badge", "receive_github"}
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["NewService"]["required"] == ["name"]
    *named, last = OPERATIONS["list_builds"][2]["parameters"]
    assert [each["name"] for each in named] == ["service_id", "limit", "cursor", "status"]
    assert last == {"$ref": "#/components/parameters/If-None-Match"}


def test_the_document_describes_githubs_request_and_its_answers() -> None:
    operation = OPERATIONS["receive_github"][2]
    assert [each["name"] for each in operation["parameters"]] == [
        "X-Hub-Signature-256",
        "X-GitHub-Event",
        "X-GitHub-Delivery",
    ]
    assert operation["requestBody"]["required"] is True
    assert {"200", "202", "400", "401", "413", "415", "503"} <= set(operation["responses"])


def test_the_document_warns_that_build_args_are_not_for_secrets() -> None:
    for name in ("NewService", "ServiceChanges", "NewBuild"):
        schema = DOCUMENT["components"]["schemas"][name]
        assert "Do not pass secrets" in str(schema["properties"]["build_args"])


def test_the_document_lists_the_statuses_and_headers_of_an_operation() -> None:
    def responses(name: str) -> dict[str, set[str]]:
        return {
            status: set(each["headers"]) - {"X-Request-Id"} if "headers" in each else set()
            for status, each in OPERATIONS[name][2]["responses"].items()
        }

    gateway = {"429", "500", "504"}
    assert set(responses("get_docs")) == {"200", "304"} | gateway
    assert responses("get_build")["304"] == {"ETag"}
    assert set(responses("get_build")) == {"200", "304", "400", "401", "404", "503"} | gateway
    assert responses("list_projects")["200"] == {"Link"}
    assert responses("list_builds")["200"] == responses("list_builds")["304"] == {"ETag", "Link"}
    assert responses("start_build")["202"] == {"Location", "Idempotency-Replayed"}
    refused = {"400", "401", "403", "404", "409", "413", "415", "503"} | gateway
    assert set(responses("start_build")) == {"202"} | refused
    components = DOCUMENT["components"]["responses"]
    assert "WWW-Authenticate" in components["401"]["headers"]
    assert all("Retry-After" in components[status]["headers"] for status in ("429", "503"))
    assert all("X-Request-Id" in each["headers"] for each in components.values())


def _bodies(operation: Any) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    found: dict[str, Any] = content.get("examples", {})
    return found


@pytest.fixture
def world(cloud: Cloud) -> Cloud:
    """A cloud with every object that the examples refer to."""
    for number in (1, 2):
        cloud.ask_for_build(git_ref="master")
        cloud.settle()
        cloud.finish_build(number)
        cloud.deploy_build(number)
        cloud.settle()
        cloud.finish_rollout()
    cloud.ask_for_build(git_ref="master")
    cloud.change_service(badge=True)
    cloud.add_service("second")
    for name in ("team/web", "team/worker"):
        create_image_repository(name)
    client("ecs").create_cluster(clusterName="default")
    for name in ("web", "jobs"):
        create_ecs_service(name, cluster="default")
    cloud.api.post("/v1/tokens", {"name": "other", "role": "viewer"})
    for _ in range(2):
        add_topic(cloud)
    ping = b"{}"
    headers = delivery_headers(ping, event="ping", delivery=DELIVERY)
    assert cloud.api.post("/v1/webhooks/github", raw=ping, headers=headers).status == 200
    return cloud


def test_every_example_works_unchanged(world: Cloud) -> None:
    sent = 0
    for name, (method, path, operation) in sorted(OPERATIONS.items(), key=lambda each: each[1][0]):
        if name in ANSWERS:
            continue
        for parameter in operation.get("parameters", []):
            if parameter.get("in") == "path":
                path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        if name == "retry":
            path = path.replace("/1/", f"/{_cancelled_build(world)}/")
        for example in _bodies(operation).values() or [None]:
            answer = _send(world.api, method, path, example)
            assert answer.status < 300, (name, example, answer.text)
            _check_documented(answer, operation)
            sent += 1
            if name in {"deploy", "roll_back"}:
                world.settle()
                world.finish_rollout()
    assert sent > len(OPERATIONS)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_examples_of_answers_to_a_deployment_work_unchanged(cloud: Cloud, name: str) -> None:
    balance(cloud)
    strategy = {"type": "BLUE_GREEN", "bake_minutes": 0}
    cloud.change_service(approval=True, approve_own=True, strategy=strategy)
    method, path, operation = OPERATIONS[name]
    for tag, example in _bodies(operation).items():
        number = cloud.deploy(f"hello@{put_image('hello', tag)}").body["deployment_id"]
        cloud.settle()
        cloud.finish_rollout()
        cloud.tick()
        answer = _send(cloud.api, method, path.format(deployment_id=number), example)
        assert answer.status == 202, answer.text
        _check_documented(answer, operation)
        for _ in range(3):
            cloud.tick()
        assert cloud.service()["active_deployment_id"] is None


def _cancelled_build(world: Cloud) -> int:
    number = world.ask_for_build()
    world.api.post(f"/v1/cicd/jobs/build-{number}/cancel")
    return number


def _send(api: Api, method: str, path: str, example: Any) -> Answer:
    if example is None:
        return api.request(method, path)
    body = json.dumps(example["value"]).encode()
    if path != "/v1/webhooks/github":
        return api.request(method, path, raw=body)
    return api.post(path, raw=body, headers=delivery_headers(body, delivery="another"))


def _check_documented(answer: Answer, operation: Any) -> None:
    documented = operation["responses"][str(answer.status)]
    declared = {header.lower() for header in documented["headers"]}
    sometimes = {"link", "idempotency-replayed", "retry-after", "x-next-cursor"}
    assert declared - sometimes <= set(answer.headers)
    assert set(answer.headers) & {*sometimes, "etag", "location"} <= declared
    if answer.text:
        assert answer.headers["content-type"].partition(";")[0] in documented["content"]


def test_every_body_has_an_example() -> None:
    for name, (_, _, operation) in OPERATIONS.items():
        if "requestBody" in operation:
            assert _bodies(operation), name


def test_the_page_shows_every_operation_and_loads_no_other_file(api: Api) -> None:
    answer = api.get("/docs", headers={"Authorization": None})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for name in OPERATIONS:
        assert f'<section id="{name}">' in answer.text
    for status in DOCUMENT["components"]["responses"]:
        assert f'id="error-{status}"' in answer.text
    for needle in ("<script", " src=", "@import", "url(", "http-equiv", "<link", "javascript:"):
        assert needle not in answer.text


def test_everything_on_the_page_is_escaped() -> None:
    from infra.openapi.page import page

    hostile = json.dumps("<script>'\"&")[1:-1]
    shown = page(json.loads(json.dumps(DOCUMENT).replace("project", hostile)))
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
