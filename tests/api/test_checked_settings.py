"""Settings that name something missing are refused when a service is saved."""

from typing import Any

import msgspec
import pytest

from chalicelib.aws.clients import client as aws_client
from chalicelib.store.models import Service
from chalicelib.store.writes import change, commit
from tests.support.client import Api
from tests.support.embedded import register
from tests.support.sdk import Calls, Trouble, change_answers
from tests.support.written import nothing_is_written

NO_TARGET = dict.fromkeys(("ecs_cluster", "ecs_service", "containers"))


def test_a_missing_image_repository_is_refused_with_the_command_that_creates_it(
    api: Api, project: int, service: int, new_service: dict[str, Any]
) -> None:
    missing = {"image_repository": "team/nothere"}
    with nothing_is_written():
        for answer in (
            api.post(f"/v1/projects/{project}/services", {**new_service, **missing, "name": "b"}),
            api.patch(f"/v1/services/{service}", missing),
        ):
            assert (answer.status, answer.body["code"]) == (400, "image_repository_not_found")
            assert answer.body["field"] == "image_repository"
            assert answer.body["detail"] == (
                "ECR has no image repository team/nothere. Create the repository: aws ecr "
                "create-repository --repository-name team/nothere --region eu-west-1"
            )
    aws_client("ecr").create_repository(repositoryName="team/nothere")
    assert api.patch(f"/v1/services/{service}", missing).status == 200


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_an_image_repository_is_accepted_if_ecr_does_not_say(
    api: Api, project: int, new_service: dict[str, Any], trouble: Trouble, code: str
) -> None:
    trouble.refuse("ecr.DescribeImages", code)
    body = {**new_service, "image_repository": "team/nothere"}
    assert api.post(f"/v1/projects/{project}/services", body).status == 201


def test_an_image_repository_is_accepted_if_ecr_gives_no_answer(
    api: Api, service: int, trouble: Trouble
) -> None:
    trouble.lose_answers("ecr.DescribeImages")
    assert api.patch(f"/v1/services/{service}", {"image_repository": "nothere"}).status == 200


def test_ecr_is_not_asked_about_an_unchanged_repository(
    api: Api, service: int, calls: Calls
) -> None:
    changes = {"image_repository": "myapp", "branch": "next"}
    assert api.patch(f"/v1/services/{service}", changes).status == 200
    assert calls.to("ecr.DescribeImages") == []


def with_another_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    aws_client("ecs").create_service(
        cluster="main",
        serviceName="theirs",
        taskDefinition=register("theirs", "theirs:1"),
        desiredCount=1,
    )

    def change(answer: dict[str, Any]) -> None:
        for each in answer["services"]:
            if each["serviceName"] == "theirs":
                each["deploymentController"] = {"type": "EXTERNAL"}

    change_answers(monkeypatch, "ecs.DescribeServices", change)


@pytest.mark.parametrize(
    ("target", "code", "detail"),
    [
        (
            {"ecs_service": "nothere"},
            "ecs_service_not_found",
            "there is no active ECS service nothere in cluster main. Create it, or change "
            "ecs_cluster and ecs_service",
        ),
        (
            {"ecs_cluster": "nothere"},
            "ecs_service_not_found",
            "there is no ECS cluster nothere. Create it, or change ecs_cluster and ecs_service",
        ),
        (
            {"ecs_service": "theirs"},
            "ecs_controller_unsupported",
            "the ECS service theirs is deployed by EXTERNAL; Slipway needs the ECS deployment "
            "controller. Create an ECS service with it, and change ecs_service",
        ),
    ],
)
def test_an_ecs_service_that_cannot_be_deployed_is_refused(
    api: Api,
    project: int,
    service: int,
    new_service: dict[str, Any],
    target: dict[str, str],
    code: str,
    detail: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_another_controller(monkeypatch)
    with nothing_is_written():
        for answer in (
            api.post(f"/v1/projects/{project}/services", {**new_service, **target, "name": "b"}),
            api.patch(f"/v1/services/{service}", target),
        ):
            assert (answer.status, answer.body["code"]) == (400, code)
            assert (answer.body["field"], answer.body["detail"]) == ("ecs_service", detail)


def test_an_ecs_service_is_accepted_if_ecs_does_not_say(
    api: Api, service: int, trouble: Trouble
) -> None:
    path = f"/v1/services/{service}"
    trouble.refuse("ecs.DescribeServices", "AccessDeniedException")
    assert api.patch(path, {"ecs_service": "nothere"}).status == 200
    trouble.lose_answers("ecs.DescribeServices")
    assert api.patch(path, {"ecs_service": "nothere-either"}).status == 200


def test_ecs_is_not_asked_about_an_unchanged_service(api: Api, service: int, calls: Calls) -> None:
    changes = {"ecs_service": "hello", "branch": "next", "containers": ["app", "sidecar"]}
    assert api.patch(f"/v1/services/{service}", changes).status == 200
    assert calls.to("ecs.DescribeServices") == []


def test_auto_deploy_needs_an_ecs_target(
    api: Api, project: int, service: int, new_service: dict[str, Any]
) -> None:
    path, own = f"/v1/projects/{project}/services", f"/v1/services/{service}"
    on = {"auto_deploy": True}
    bare = {**new_service, **NO_TARGET, "name": "bare"}
    with nothing_is_written():
        assert_refused(api.post(path, {**bare, **on}), 400)
        assert_refused(api.patch(own, {**NO_TARGET, **on}), 400)
    assert api.patch(own, on).status == 200
    with nothing_is_written():
        assert_refused(api.patch(own, NO_TARGET), 409)
    assert api.patch(own, {**NO_TARGET, "auto_deploy": False}).status == 200
    with nothing_is_written():
        assert_refused(api.patch(own, on), 409)
    target = {"ecs_cluster": "main", "ecs_service": "hello", "containers": ["app"]}
    assert api.patch(own, {**target, **on}).status == 200


def assert_refused(answer: Any, status: int) -> None:
    assert (answer.status, answer.body["code"]) == (status, "auto_deploy_without_target")
    assert answer.body["field"] == "auto_deploy"
    assert "set ecs_cluster, ecs_service, containers" in answer.body["detail"]


def test_a_service_from_before_this_rule_can_be_changed(api: Api, service: int) -> None:
    row = Service.get(service)
    old = msgspec.structs.replace(row.settings, **NO_TARGET, auto_deploy=True)
    commit(change(row, settings=old))
    assert api.patch(f"/v1/services/{service}", {"branch": "next"}).status == 200
    assert api.patch(f"/v1/services/{service}", {"auto_deploy": False}).status == 200
