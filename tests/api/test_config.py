"""`/v1/services/{service_id}/config`: who reads and changes it, what is refused, what is shown."""

import json
import logging
from typing import Any

import pytest

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from tests.faults.rows import history, rows
from tests.support.client import Answer, Api
from tests.support.embedded import Cloud, client, keep_secret, register, run_on_ecs
from tests.support.sdk import Calls
from tests.support.written import nothing_is_written

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
KEY: dict[str, str | None] = {"Idempotency-Key": "k"}
ROLE = "arn:aws:iam::123456789012:role/hello"
PATH = "/v1/services/1/config"


def holder(cloud: Cloud, role: Role, **restriction: Any) -> Api:
    """A client with a new token of a role."""
    token = create_token("x", role, **restriction).secret
    api = cloud.api.as_holder_of(token)
    api.get("/v1/projects")  # the first use of a token writes its row
    return api


def change(cloud: Cloud, **changes: Any) -> Answer:
    return cloud.api.patch(PATH, changes)


@pytest.fixture
def one(cloud: Cloud) -> Cloud:
    """Release 1 runs, of a definition whose execution role may read secrets."""
    client("ecs").register_task_definition(
        family="hello",
        executionRoleArn=ROLE,
        containerDefinitions=[{"name": "app", "image": "hello:owner", "memory": 128}],
    )
    run_on_ecs("hello")
    cloud.finish_rollout()
    cloud.release(1)
    return cloud


def arn_of(name: str) -> str:
    keep_secret("x", name)
    return str(client("secretsmanager").describe_secret(SecretId=name)["ARN"])


def test_a_new_service_has_an_empty_config(cloud: Cloud) -> None:
    assert cloud.api.get(PATH).body == {
        "environment": {},
        "secrets": {},
        "cpu": None,
        "memory": None,
        "desired_count": None,
        "released": False,
        "deployment_id": None,
    }


def test_a_change_names_the_deployment_that_brings_it(one: Cloud) -> None:
    answer = change(one, environment={"LEVEL": "debug"})
    assert (answer.status, answer.body) == (
        202,
        {
            "deployment_id": 2,
            "job_id": "deploy-2",
            "status": "queued",
            "not_deployed": None,
            "code": None,
        },
    )
    assert answer.headers["location"].endswith("/v1/cicd/deployments/2")
    again = change(one, environment={"LEVEL": "debug", "MISSING": None})
    assert (again.status, again.body) == (202, answer.body)


def test_an_unchanged_config_writes_nothing(one: Cloud) -> None:
    change(one, environment={"LEVEL": "debug"}, cpu=256)
    one.settle()
    one.finish_rollout()
    with nothing_is_written():
        for body in ({}, {"cpu": 256}, {"environment": {"LEVEL": "debug", "X": None}}):
            assert one.api.patch(PATH, body, headers=KEY).status == 200


def test_a_repeated_change_is_made_once(one: Cloud) -> None:
    body = {"environment": {"LEVEL": "debug"}}
    first = one.api.patch(PATH, body, headers=KEY)
    change(one, environment={"LEVEL": "info"})
    with nothing_is_written():
        again = one.api.patch(PATH, body, headers=KEY)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert one.api.get(PATH).body["environment"] == {"LEVEL": "info"}
    other = one.api.patch(PATH, {"cpu": 256}, headers=KEY)
    assert (other.status, other.body["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize("body", [{"deploy": False}, {}])
def test_a_repeat_of_a_change_that_was_kept_is_answered_alike(
    cloud: Cloud, body: dict[str, Any]
) -> None:
    """Without `deploy` there is nothing to deploy: the service has no release yet."""
    body = {"environment": {"LEVEL": "debug"}, **body}
    first = cloud.api.patch(PATH, body, headers=KEY)
    change(cloud, environment={"LEVEL": "info"})
    again = cloud.api.patch(PATH, body, headers=KEY)
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert cloud.api.get(PATH).body["environment"] == {"LEVEL": "info"}


def test_the_plan_of_a_change_shows_names_and_writes_nothing(one: Cloud, calls: Calls) -> None:
    change(one, environment={"LEVEL": "hidden-1", "GONE": "hidden-2"})
    one.settle()
    one.finish_rollout()
    body = {
        "environment": {"LEVEL": "hidden-3", "GONE": None, "NEW": "hidden-4"},
        "memory": 512,
        "desired_count": 3,
    }
    with nothing_is_written():
        answer = one.api.patch(f"{PATH}?dry_run=true", body, headers=KEY)
    plan = answer.body
    assert answer.status == 200
    assert "hidden" not in answer.text
    names = {"added": ["NEW"], "removed": ["GONE"], "changed": ["LEVEL"]}
    none: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    assert plan["config"] == {
        "environment": names,
        "secrets": none,
        "sizes": ["memory", "desired_count"],
    }
    (app,) = plan["changes"]["containers"]
    assert (app["environment"], plan["changes"]["settings"]) == (names, ["memory"])
    assert plan["desired_count"] == 3
    assert plan["image_now"]["image"] == plan["image_then"]["image"]
    assert (plan["possible"], plan["starts_after"], plan["auto_deploy"]) == (
        True,
        None,
        "unchanged",
    )
    one.begin_release(2)
    plan = one.api.patch(f"{PATH}?dry_run=true", body).body
    assert plan["starts_after"] == 3
    assert plan["image_then"]["build_id"] == 2


def test_a_plan_of_a_change_that_no_deployment_brings_says_so(one: Cloud) -> None:
    def planned(**body: Any) -> Answer:
        with nothing_is_written():
            return one.api.patch(f"{PATH}?dry_run=true", body)

    for body in ({}, {"deploy": False, "cpu": 256}):
        answer = planned(**body)
        assert (answer.status, answer.body) == (200, one.api.patch(PATH, body).body)
        assert answer.body["not_deployed"]
    assert planned().body["possible"] is True
    change(one, cpu=256)
    one.settle()
    assert planned().body == one.api.patch(PATH, {}).body
    assert planned().body["deployment_id"] == 2
    assert planned(cpu=512).body["starts_after"] == 2


def test_a_plan_without_a_release_says_so(cloud: Cloud) -> None:
    answer = cloud.api.patch(f"{PATH}?dry_run=true", {"cpu": 256})
    assert (answer.status, answer.body["not_deployed"]) == (
        200,
        "the service has no release yet; the first one takes the config",
    )


def test_a_deployments_plan_has_the_config(one: Cloud) -> None:
    change(one, environment={"LEVEL": "hidden"}, deploy=False, desired_count=4)
    plan = one.plan(one.build(1)["image_tag"])
    (app,) = plan["changes"]["containers"]
    assert app["environment"]["added"] == ["LEVEL"]
    assert (plan["desired_count"], plan["config"]) == (4, None)


def test_a_missing_secret_is_found_before_anything_is_written(one: Cloud) -> None:
    body = {"secrets": {"DB": f"{SECRET}db-a1B2c3:user::"}}
    with nothing_is_written():
        answer = one.api.patch(PATH, body)
    assert (answer.status, answer.body["code"]) == (409, "preflight_failed")
    (finding,) = answer.body["findings"]
    assert (finding["code"], finding["subject"]) == ("secret_missing", f"{SECRET}db-a1B2c3")
    assert one.api.patch(PATH, {**body, "deploy": False}).status == 200
    plan = one.plan(one.build(1)["image_tag"])
    assert [each["code"] for each in plan["findings"]] == ["secret_missing"]
    assert one.deploy(one.build(1)["image_tag"]).body["code"] == "preflight_failed"


def test_secrets_need_an_execution_role(cloud: Cloud) -> None:
    cloud.release(1)
    answer = change(cloud, secrets={"DB": arn_of("db")})
    assert [each["code"] for each in answer.body["findings"]] == ["execution_role_missing"]


def test_fargate_has_no_task_of_every_size(one: Cloud) -> None:
    client("ecs").register_task_definition(
        family="hello",
        requiresCompatibilities=["FARGATE"],
        executionRoleArn=ROLE,
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        containerDefinitions=[{"name": "app", "image": "hello:owner"}],
    )
    run_on_ecs("hello")
    one.finish_rollout()
    one.deploy_build(1)
    one.settle()
    one.finish_rollout()
    answer = change(one, memory=4096)
    (finding,) = answer.body["findings"]
    assert (answer.status, finding["code"]) == (409, "size_not_supported")
    assert "memory can be 512, 1024, 2048" in finding["message"]
    assert change(one, cpu=512, memory=4096).status == 202


# Who may do what.


def test_a_viewer_neither_reads_nor_changes_the_config(one: Cloud) -> None:
    viewer = holder(one, Role.VIEWER)
    with nothing_is_written():
        assert viewer.get(PATH).status == 403
        assert viewer.patch(PATH, {"cpu": 256}).status == 403


def test_a_deployer_changes_everything_but_secrets(one: Cloud) -> None:
    deployer = holder(one, Role.DEPLOYER, project_id=1, service_id=1)
    body = {"environment": {"A": "1"}, "cpu": 256, "memory": 512, "desired_count": 3}
    assert deployer.patch(PATH, body).status == 202
    assert deployer.get(PATH).body["environment"] == {"A": "1"}
    arn = arn_of("slipway/task/1/db")
    for api in (deployer, holder(one, Role.DEPLOYER)):
        with nothing_is_written():
            for secrets in ({"DB": arn}, {"DB": None}, {}):
                assert api.patch(PATH, {"secrets": secrets}).status == 403


def test_secrets_are_those_of_the_project_for_a_restricted_admin(one: Cloud) -> None:
    own, foreign = arn_of("slipway/task/1/db"), arn_of("slipway/task/2/db")
    project = holder(one, Role.ADMIN, project_id=1)
    service = holder(one, Role.ADMIN, project_id=1, service_id=1)
    with nothing_is_written():
        answer = service.patch(PATH, {"secrets": {"DB": own}})
        assert answer.status == 403
        for reference in (foreign, arn_of("slipway/build/1/db"), f"{SECRET}slipway/git/1/x"):
            for query in ("", "?dry_run=true"):
                answer = project.patch(f"{PATH}{query}", {"secrets": {"DB": reference}})
                assert (answer.status, answer.body["code"]) == (403, "secret_not_allowed")
                assert "slipway/task/1/" in answer.body["detail"]
    assert project.patch(PATH, {"secrets": {"DB": own}}).status == 202
    assert change(one, secrets={"OTHER": foreign}).status == 202
    assert project.patch(PATH, {"secrets": {"OTHER": None}}).status == 202
    assert one.api.get(PATH).body["secrets"] == {"DB": own}


# Values are shown to those who may deploy, and nowhere else.


def test_a_value_is_in_no_other_answer_no_audit_entry_and_no_log(
    one: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="slipway")
    change(one, environment={"LEVEL": "hidden-1", "OLD": "hidden-2"}, cpu=256, reason="why")
    one.settle()
    one.finish_rollout()
    change(one, environment={"LEVEL": "hidden-3", "OLD": None}, cpu=512, memory=512)
    one.settle()
    one.finish_rollout()
    one.roll_back()
    one.settle()
    one.fail_rollout()
    paths = [
        "/v1/services/1",
        "/v1/projects/1/services",
        "/v1/cicd/services/1/deployments",
        "/v1/cicd/services/1/rollback",
        "/v1/cicd/deployments/4",
        "/v1/cicd/deployments/3/receipt",
        "/v1/cicd/jobs",
        "/v1/cicd/jobs/deploy-3",
        "/v1/audit?service_id=1",
        "/v1/audit",
    ]
    for path in paths:
        answer = one.api.get(path)
        assert answer.status == 200, answer.text
        assert "hidden" not in answer.text, path
    assert "hidden" not in caplog.text
    assert "hidden" not in json.dumps(list(rows("receipts").values()), default=str)
    refused = change(one, environment={"LEVEL": "hidden\x00"})
    assert refused.status == 400
    assert "hidden" not in refused.text


def test_the_audit_trail_names_what_has_changed(one: Cloud) -> None:
    change(one, environment={"LEVEL": "a", "OLD": "b"}, cpu=256, reason="tune")
    change(one, environment={"LEVEL": "c", "OLD": None, "NEW": "d"}, cpu=None, desired_count=3)
    first, second = (
        json.loads(each["details"])
        for each in sorted(history(), key=lambda each: int(each["sequence"]))
        if each["action"] == "service.config_changed"
    )
    none: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    assert first == {
        "environment": {"added": ["LEVEL", "OLD"], "removed": [], "changed": []},
        "secrets": none,
        "before": {"cpu": None},
        "after": {"cpu": 256},
        "deployment_id": 2,
        "reason": "tune",
    }
    assert second == {
        "environment": {"added": ["NEW"], "removed": ["OLD"], "changed": ["LEVEL"]},
        "secrets": none,
        "before": {"cpu": 256, "desired_count": None},
        "after": {"cpu": None, "desired_count": 3},
        "deployment_id": 2,
        "reason": None,
    }


def test_an_owners_definition_keeps_its_own_variables(cloud: Cloud) -> None:
    run_on_ecs(register("hello", "hello:owner", OWN="owner"))
    cloud.finish_rollout()
    cloud.release(1)
    assert cloud.api.get(PATH).body["environment"] == {}
    assert change(cloud, environment={"OWN": None}).status == 200
