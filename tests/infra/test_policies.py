"""The hand-written IAM policies grant each function only its own actions on Slipway's resources."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.client import BaseClient
from moto import mock_aws

from chalicelib.api.http.endpoints import ENDPOINTS, NUMBERED
from chalicelib.domain.github_app import key_alias
from chalicelib.domain.release_commands import TAG, started_by
from chalicelib.settings import settings
from chalicelib.store.connection import CONNECT_TIMEOUT
from infra.functions import function_name
from infra.local.aws.pump import Pump
from infra.package import EXAMPLE, ROOT, Installation, move
from tests.faults.cases import CASES
from tests.faults.trials import recover
from tests.faults.use_cases import push_was_found
from tests.support.client import Api
from tests.support.embedded import Cloud, add_topic, client, cloud, keep_secret, sha
from tests.support.github.app import APP, create_key
from tests.support.sdk import record_calls

__all__ = ["cloud"]

# The policy of the function, the action, and the table or index.
Used = tuple[str, str, str]
POLICIES = sorted((ROOT / ".chalice").glob("policy-*.json"))
# The only actions for which AWS allows no narrower resource: the service authorization reference,
# and "Restricting access to Parameter Store parameters using IAM policies". ListTasks takes a
# container instance, which Fargate has not.
WITHOUT_RESOURCE = {"ecs:DescribeTaskDefinition", "ecs:ListTasks", "ssm:DescribeParameters"}


def _statements(name: str) -> list[dict[str, Any]]:
    policy = json.loads((ROOT / f".chalice/policy-{name}.json").read_text())
    statements: list[dict[str, Any]] = policy["Statement"]
    return statements


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _actions(name: str) -> set[str]:
    return {
        action
        for statement in _statements(name)
        if statement["Effect"] == "Allow"
        for action in _list(statement["Action"])
    }


def _granted_rows(name: str) -> set[tuple[str, str]]:
    """(action, table or index) of DynamoDB."""
    return {
        (action.removeprefix("dynamodb:"), arn.rpartition("table/")[2])
        for statement in _statements(name)
        for action in _list(statement["Action"])
        for arn in _list(statement["Resource"])
        if action.startswith("dynamodb:")
    }


def _called() -> set[str]:
    """The actions behind every `client("service").operation(…)` in chalicelib."""
    actions = set()
    for path in (ROOT / "chalicelib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Call(func=ast.Name(id="client"), args=[ast.Constant(str(name))]),
                        attr=operation,
                    )
                ):
                    actions.add(f"{name}:{_operation(name, operation)}")
    return actions


def _operation(service: str, method: str) -> str:
    names = botocore.session.get_session().get_service_model(service).operation_names
    return {xform_name(name): name for name in names}[method]


# Some actions differ from the calls: a batch needs the permission of single sends, Lambda itself
# reads the queue and writes logs, and a task definition is registered with its tags and roles.
CALLED = (_called() - {"sqs:SendMessageBatch"}) | {
    "sqs:SendMessage",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "ecs:TagResource",
    "iam:PassRole",
}
ALL = [path.stem.removeprefix("policy-") for path in POLICIES]
# They follow builds and deployments.
PIPELINE = ("cloud-event", "schedule", "wakeup")


def test_each_policy_belongs_to_one_function() -> None:
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    named = [function["iam_policy_file"] for function in config["lambda_functions"].values()]
    assert sorted(named) == [path.name for path in POLICIES]
    assert config["autogen_policy"] is False


@pytest.mark.parametrize("name", ALL)
def test_no_action_has_a_wildcard(name: str) -> None:
    assert not [action for action in _actions(name) if "*" in action]


@pytest.mark.parametrize("name", ALL)
def test_every_resource_is_named_where_aws_allows_it(name: str) -> None:
    for statement in _statements(name):
        if "*" in _list(statement["Resource"]):
            assert set(_list(statement["Action"])) <= WITHOUT_RESOURCE
        else:
            for arn in _list(statement["Resource"]):
                assert re.match(r"arn:aws:[a-z]+:(eu-west-1)?:123456789012:[^*]", arn)


# The kinds of resources of each action in the service authorization reference. A statement with
# another kind grants nothing. ECS's documentation gives those of its service deployments together
# ("Permissions required for viewing Amazon ECS service deployments").
KINDS = {
    "codebuild:*": {"project"},
    "dynamodb:*": {"table"},
    "ecr:*": {"repository"},
    "events:*": {"event-bus"},
    "ecs:DescribeServiceDeployments": {"service", "service-deployment", "service-revision"},
    "ecs:DescribeServiceRevisions": {"service", "service-deployment", "service-revision"},
    "ecs:ContinueServiceDeployment": {"service-deployment"},
    "ecs:StopServiceDeployment": {"service-deployment"},
    "ecs:*Service*": {"service"},
    "ecs:DescribeTasks": {"task"},
    "ecs:StopTask": {"task"},
    "ecs:RunTask": {"task-definition"},
    "ecs:RegisterTaskDefinition": {"task-definition"},
    "ecs:TagResource": {"task", "task-definition"},
    "iam:*": {"role"},
    "kms:*": {"key"},
    "logs:*": {"log-group"},
    "secretsmanager:*": {"secret"},
    "sns:*": {""},
    "sqs:*": {""},
    "ssm:*": {"parameter"},
}


@pytest.mark.parametrize("name", ALL)
def test_every_resource_is_of_a_kind_that_its_action_takes(name: str) -> None:
    for statement in _statements(name):
        for action in set(_list(statement["Action"])) - WITHOUT_RESOURCE:
            kinds = next(kinds for each, kinds in KINDS.items() if fnmatchcase(action, each))
            for arn in _list(statement["Resource"]):
                path = arn.split(":", 5)[5]
                kind = re.split("[:/]", path)[0] if re.search("[:/]", path) else ""
                assert kind in kinds, (action, arn)
                # A stream of a log group has its own ARN, also a table's index. The roll-ups of a
                # project are a partition of their table.
                is_partition = arn.endswith(":table/slipway-rollups")
                if action in {"logs:GetLogEvents", "dynamodb:Query"} and not is_partition:
                    assert ":log-stream:" in arn or "/index/" in arn


@pytest.mark.parametrize("name", ALL)
def test_a_role_can_only_be_passed_to_ecs_and_its_tasks(name: str) -> None:
    """To ECS itself for Lambda hooks: UpdateService repeats them, with the roles that call them."""
    for statement in _statements(name):
        if "iam:PassRole" in _list(statement["Action"]):
            assert statement["Action"] == "iam:PassRole"
            services = ["ecs-tasks.amazonaws.com", "ecs.amazonaws.com"]
            assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": services}}


def test_only_the_key_of_the_github_app_signs_and_not_for_the_api() -> None:
    """KMS, "Use aliases to control access to KMS keys": an ARN of an alias allows no key."""
    for name in ALL:
        found = [each for each in _statements(name) if "kms:Sign" in _list(each["Action"])]
        assert len(found) == (name != "api")
        for prefix in ("slipway", "slipway-dev"):
            moved = json.loads(move(json.dumps(found), Installation(prefix=prefix)))
            for statement in moved:
                alias = {"kms:RequestAlias": key_alias(prefix)}
                assert statement["Condition"] == {"StringEquals": alias}


@pytest.mark.parametrize("name", ALL)
def test_only_new_task_definitions_and_new_tasks_can_be_tagged(name: str) -> None:
    creates = {"task-definition": "RegisterTaskDefinition", "task": "RunTask"}
    for statement in _statements(name):
        if "ecs:TagResource" in _list(statement["Action"]):
            kind = statement["Resource"].split(":")[5].partition("/")[0]
            assert statement["Condition"] == {"StringEquals": {"ecs:CreateAction": creates[kind]}}


@pytest.mark.parametrize("name", ALL)
def test_only_tasks_that_slipway_started_can_be_stopped(name: str) -> None:
    """They have this tag, and no task can be started without it."""
    tags = {
        "ecs:RunTask": "aws:RequestTag/StartedBySlipway",
        "ecs:StopTask": "aws:ResourceTag/StartedBySlipway",
    }
    for statement in _statements(name):
        for action in tags.keys() & set(_list(statement["Action"])):
            own = started_by("slipway", "deploy-*")
            assert statement["Condition"] == {"StringLike": {tags[action]: own}}
            moved = move(json.dumps(statement), Installation(prefix="slipway-dev"))
            assert started_by("slipway-dev", "deploy-*") in moved
            assert own not in moved
    assert TAG in tags["ecs:RunTask"]


def test_the_api_starts_no_build_and_touches_no_service() -> None:
    used = {a for a in _actions("api") if a.startswith(("codebuild:", "ecs:", "iam:"))}
    # Only for preflight and plans, for rollbacks to releases without a kept definition, and for the
    # tasks and the logs of deployments.
    assert used == {
        "ecs:DescribeServices",
        "ecs:DescribeTaskDefinition",
        "ecs:DescribeTasks",
        "ecs:ListTasks",
        "iam:GetRole",
    }


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("secretsmanager:GetSecretValue", "secretsmanager:eu-west-1:123456789012:secret:"),
        ("ssm:GetParameter", "ssm:eu-west-1:123456789012:parameter/"),
    ],
)
def test_the_api_cannot_read_the_secrets_of_builds_tasks_and_channels(
    action: str, arn: str
) -> None:
    (denied,) = (
        each for each in _statements("api") if each["Effect"] == "Deny" and each["Action"] == action
    )
    kinds = ("git", "build", "task", "tell")
    assert denied["Resource"] == [f"arn:aws:{arn}slipway/{kind}/*" for kind in kinds]
    moved = json.loads(move(json.dumps(denied), Installation(prefix="slipway-dev")))
    assert moved["Resource"] == [f"arn:aws:{arn}slipway-dev/{kind}/*" for kind in kinds]


def test_all_triggers_of_the_pipeline_have_the_same_permissions() -> None:
    consuming = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    triggered = [_actions(name) - consuming for name in PIPELINE]
    assert triggered[0] == triggered[1] == triggered[2]


def test_who_tells_channels_starts_nothing_and_reads_only_their_secrets() -> None:
    services = {action.split(":")[0] for action in _actions("telling")}
    assert services == {"dynamodb", "events", "kms", "logs", "secretsmanager", "sns", "sqs"}
    # It may only report to the pipeline what it has found.
    sent_to = [
        each["Resource"]
        for each in _statements("telling")
        if "sqs:SendMessage" in _list(each["Action"])
    ]
    assert sent_to == ["arn:aws:sqs:eu-west-1:123456789012:slipway-wakeups"]
    secrets = [
        _list(each["Resource"])
        for each in _statements("telling")
        if "secretsmanager:GetSecretValue" in _list(each["Action"])
    ]
    assert secrets == [["arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/tell/*"]]
    changed = {
        (action, table)
        for action, table in _granted_rows("telling")
        if action in {"PutItem", "UpdateItem", "DeleteItem"}
    }
    assert changed == {
        ("UpdateItem", "slipway-jobs"),
        ("UpdateItem", "slipway-services"),
        ("UpdateItem", "slipway-channels"),
        ("PutItem", "slipway-history"),
    }


def test_a_queue_is_read_only_by_its_own_function() -> None:
    for name in ALL:
        read = {
            arn.rpartition(":")[2]
            for each in _statements(name)
            if "sqs:ReceiveMessage" in _list(each["Action"])
            for arn in _list(each["Resource"])
        }
        own = {
            "wakeup": {"slipway-wakeups"},
            "telling": {"slipway-tellings.fifo"},
            # It marks the rows that dead letters name.
            "schedule": {"slipway-wakeups-dead"},
        }
        assert read == own.get(name, set())


def test_every_function_may_look_at_the_roles_that_tasks_may_have() -> None:
    passed = {
        statement["Resource"]
        for statement in _statements("wakeup")
        if statement["Action"] == "iam:PassRole"
    }
    for name in (*PIPELINE, "api"):
        seen = {each["Resource"] for each in _statements(name) if each["Action"] == "iam:GetRole"}
        assert seen == passed


def test_no_function_reads_the_values_of_secrets_of_tasks() -> None:
    for name in ALL:
        for statement in _statements(name):
            for action in {
                "secretsmanager:GetSecretValue",
                "ssm:GetParameter",
                "ssm:GetParameters",
            }:
                if action in _list(statement["Action"]) and statement["Effect"] == "Allow":
                    below = {"api": "slipway/*", "telling": "slipway/tell/*"}[name]
                    assert all(arn.endswith(f"{below}") for arn in _list(statement["Resource"]))


def test_every_function_but_that_of_channels_reads_the_logs_of_builds_and_of_tasks() -> None:
    logs = "arn:aws:logs:eu-west-1:123456789012:log-group:{}:log-stream:*"
    for name in (*PIPELINE, "api"):
        resources = [
            resource
            for statement in _statements(name)
            if "logs:GetLogEvents" in _list(statement["Action"])
            for resource in _list(statement["Resource"])
        ]
        assert resources == [logs.format("/slipway/builds"), logs.format("/ecs/*")]


def test_exactly_the_actions_that_the_code_calls_are_granted() -> None:
    granted = set[str]().union(*map(_actions, ALL))
    comparable = {
        action for action in granted if action.split(":")[0] in {a.split(":")[0] for a in CALLED}
    }
    assert comparable == CALLED


def test_only_the_api_uses_tokens_and_changes_projects() -> None:
    for name in ALL:
        projects = {row for row in _granted_rows(name) if row[1].startswith("slipway-projects")}
        assert name == "api" or projects == {("GetItem", "slipway-projects")}
        # The pipeline takes pushes that were found, like the API those that are delivered.
        receipts = {"GetItem", "PutItem", "UpdateItem"} if name in PIPELINE else set()
        for table, allowed in (("tokens", set()), ("receipts", receipts)):
            actions = {
                action for action, target in _granted_rows(name) if target == f"slipway-{table}"
            }
            assert name == "api" or actions == allowed, (name, table)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> set[Used]:
    """What each function does in AWS during the test."""
    seen: set[Used] = set()
    running: list[str] = []
    invoke, request = Pump._invoke, Api.request
    call: Any = vars(BaseClient)["_make_api_call"]

    def as_function(name: str, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        running.append(name)
        try:
            return run(*args, **kwargs)
        finally:
            running.pop()

    def recorded(client: Any, operation: str, request: dict[str, Any]) -> Any:
        # The pump's own clients stand for Lambda, and have other time-outs.
        if running and client.meta.config.connect_timeout == CONNECT_TIMEOUT:
            service = client.meta.service_model.service_name
            seen.update((running[-1], *used) for used in _uses(service, operation, request))
        return call(client, operation, request)

    monkeypatch.setattr(
        Pump,
        "_invoke",
        lambda pump, name, event: as_function(POLICY_OF[name], invoke, pump, name, event),
    )
    monkeypatch.setattr(Api, "request", lambda *a, **k: as_function("api", request, *a, **k))
    monkeypatch.setattr(BaseClient, "_make_api_call", recorded)
    return seen


POLICY_OF = {
    "on_wakeup": "wakeup",
    "on_telling": "telling",
    "on_cloud_event": "cloud-event",
    "on_schedule": "schedule",
}


def _uses(service: str, operation: str, request: dict[str, Any]) -> set[tuple[str, str]]:
    """(action, table or index) of a call. Of other services than DynamoDB only the action.

    A transaction needs the permission of each of its parts (DynamoDB, "IAM for transactions").
    """
    if service != "dynamodb":
        return {(_NAMED_OTHERWISE.get(operation, f"{service}:{operation}"), "")}
    if operation == "TransactWriteItems":
        verbs = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
        verbs["ConditionCheck"] = "ConditionCheckItem"
        return {
            (f"dynamodb:{verbs[kind]}", part["TableName"])
            for item in request["TransactItems"]
            for kind, part in item.items()
        }
    if operation == "BatchGetItem":
        return {("dynamodb:BatchGetItem", table) for table in request["RequestItems"]}
    # Both versions of an upgrade read their own indexes, so a policy names no single one.
    index = "/index/*" if "IndexName" in request else ""
    return {(f"dynamodb:{operation}", request["TableName"] + index)}


# A batch of messages needs the permission of single ones.
_NAMED_OTHERWISE = {"SendMessageBatch": "sqs:SendMessage"}


def _granted(name: str) -> set[tuple[str, str]]:
    """What a policy grants, in the form of `_uses`, without what Lambda itself needs."""
    rows = {(f"dynamodb:{action}", target) for action, target in _granted_rows(name)}
    others = {(action, "") for action in _actions(name) if not action.startswith("dynamodb:")}
    return rows | others - {(action, "") for action in _NEEDED_BY_LAMBDA.get(name, ())} - _ALONGSIDE


# Lambda writes the logs, reads the queue and keeps failed events with the function's role.
_NEEDED_BY_LAMBDA = {
    "wakeup": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    "telling": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
}
# AWS checks these with other actions: tags and roles come with RegisterTaskDefinition and RunTask.
_ALONGSIDE = {
    (action, "")
    for action in ("logs:CreateLogStream", "logs:PutLogEvents", "ecs:TagResource", "iam:PassRole")
}


@pytest.mark.sweep
def test_each_function_may_do_exactly_what_the_use_cases_need(calls: set[Used]) -> None:
    """The triggers of the pipeline take the same steps, so what one of them needs, all may do."""
    for case in CASES:
        with mock_aws(), pytest.MonkeyPatch.context() as monkeypatch:
            cloud = Cloud(monkeypatch)
            cloud.handlers_may_fail = True
            case.prepare(cloud)
            case.run(cloud)
            recover(cloud)
    with mock_aws(), pytest.MonkeyPatch.context() as monkeypatch:
        _read_everything(Cloud(monkeypatch))
    used = {name: {(action, row) for each, action, row in calls if each == name} for name in ALL}
    triggered = set[tuple[str, str]]().union(*(used[name] for name in PIPELINE))
    for name in ALL:
        assert used[name] - _granted(name) == set(), name
        needed = triggered if name in PIPELINE else used[name]
        assert _granted(name) - needed == set(), name


def _read_everything(cloud: Cloud) -> None:
    """Ask every route that only reads."""
    cloud.release(1)
    names = {"job_id": "build-1", "delivery_id": "1", "version": "1", "name": "1"}
    for each in ENDPOINTS:
        if each.method == "GET":
            numbers = dict.fromkeys(NUMBERED, 1)
            assert cloud.api.get(each.path.format(**names, **numbers)).status < 500, each.path
    for restriction in ("project_id=1", "service_id=1"):
        assert cloud.api.get(f"/v1/audit?{restriction}").status == 200


def test_every_table_access_from_push_to_rollback_is_granted(
    cloud: Cloud, calls: set[Used]
) -> None:
    cloud.api.post("/v1/projects", {"name": "another"})
    assert cloud.api.get("/v1/projects").status == 200
    other = cloud.add_service("other", branch="spare")
    cloud.release(1)
    cloud.release(2)
    cloud.push(sha(3))
    for path in ("builds", "deployments", "rollback"):
        assert cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/{path}").status == 200
    assert cloud.api.get(f"/v1/projects/{cloud.project}/services").status == 200
    for path in ("", f"projects/{cloud.project}/", f"services/{cloud.service_id}/"):
        assert cloud.api.get(f"/v1/cicd/{path}metrics").status == 200
    assert cloud.build(3)["position"] == 1
    cloud.lose_messages()
    cloud.tick()
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout(settle=False)
    cloud.tick()
    cloud.end_build(3, "FAILED")
    assert cloud.api.post("/v1/cicd/builds/3/retry").status == 202
    cloud.settle()
    cloud.end_build(4, "FAILED")
    cloud.change_service(branch="other")
    assert cloud.api.request("DELETE", f"/v1/services/{other}").status == 204

    assert calls <= {(name, *use) for name in ALL for use in _granted(name)}
    assert {name for name, _, _ in calls} == {*PIPELINE, "api"}


@pytest.fixture
def no_github(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing answers at the address of GitHub's API."""
    with monkeypatch.context() as patched:
        patched.setenv("GITHUB_API", "http://127.0.0.1:9")
        patched.setenv("GITHUB_APP", APP)
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.mark.usefixtures("no_github")
def test_every_call_for_a_channel_is_granted(cloud: Cloud, calls: set[Used]) -> None:
    """GitHub does not answer, so that the trouble is written, too."""
    secret = keep_secret("a token", "slipway/tell/all/github")
    wanted = {"kind": "github", "name": "shop", "secret": secret}
    channel = cloud.api.post("/v1/channels", wanted).body["id"]
    add_topic(cloud)
    client("events").create_event_bus(Name="slipway-ci")
    bus = {"kind": "eventbridge", "name": "bus", "target": "slipway-ci"}
    # Else each build would wait for a token of the App.
    own = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/1/shop-a1B2c3"
    assert cloud.api.patch("/v1/projects/1", {"git_credential": own}).status == 200
    create_key()
    by_app = {"kind": "github", "name": "app"}
    for body in (bus, by_app):
        assert cloud.api.post("/v1/channels", body).status == 201
    for release in (1, 2):
        cloud.release(release)
    for path in ("", f"/{channel}"):
        assert cloud.api.get(f"/v1/channels{path}").status == 200
    assert cloud.api.post(f"/v1/channels/{channel}/test", {}).status == 202
    cloud.settle()
    assert "does not answer" in cloud.api.get(f"/v1/channels/{channel}").body["trouble"]
    cloud.push(sha(3))
    cloud.settle()
    cloud.lose_messages()
    for _ in range(39):
        cloud.advance(60 * 60)
        cloud.tick()
        cloud.settle()
    cloud.roll_back()  # it pauses auto-deploy, which channels are told of the service
    cloud.settle()
    assert cloud.api.get(f"/v1/channels/{channel}").body["off_since"]
    assert cloud.api.patch(f"/v1/channels/{channel}", {"name": "other"}).status == 200
    assert cloud.api.request("DELETE", f"/v1/channels/{channel}").status == 204

    assert calls <= {(name, *use) for name in ALL for use in _granted(name)}
    used = {(action, row) for name, action, row in calls if name == "telling"}
    assert _granted("telling") - used == _LOOKING


# What a look at a head needs besides.
_LOOKING = {("dynamodb:GetItem", "slipway-claims"), ("sqs:SendMessage", "")}


def test_every_call_for_a_lost_push_is_granted(cloud: Cloud, calls: set[Used]) -> None:
    push_was_found(cloud)
    cloud.settle()
    assert cloud.build(1)["commit_sha"] == sha(9)
    assert calls <= {(name, *use) for name in ALL for use in _granted(name)}
    assert {("telling", *use) for use in _LOOKING} <= calls


def test_no_function_changes_or_deletes_an_entry_of_the_audit_trail(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IAM cannot say "put only new items": no condition key of DynamoDB tells whether an item
    exists ("Actions, resources, and condition keys for Amazon DynamoDB"). So each put must.
    """
    for name in ALL:
        uses = {action for action, target in _granted_rows(name) if target == "slipway-history"}
        assert uses - {"BatchGetItem"} == {"PutItem"}
    recorded = record_calls(monkeypatch)
    cloud.release(1)
    cloud.release(2)
    assert cloud.roll_back().status == 202
    cloud.settle()
    parts = [
        item
        for transaction in recorded.to("dynamodb.TransactWriteItems")
        for item in transaction["TransactItems"]
    ]
    puts = [item["Put"] for item in parts if "Put" in item]
    assert {"slipway-history", "slipway-jobs"} <= {put["TableName"] for put in puts}
    alone = recorded.to("dynamodb.PutItem")
    assert {put["TableName"] for put in alone} == {"slipway-claims", "slipway-receipts"}
    for put in [*puts, *alone]:
        assert "attribute_not_exists" in put["ConditionExpression"]
        assert " OR " not in put["ConditionExpression"]
    assert recorded.to("dynamodb.BatchWriteItem") == []


def test_policies_of_an_installation_contain_only_its_own_names() -> None:
    mine = Installation("210987654321", "us-east-2", prefix="slipway-dev", build_log_dir="/dev")
    for path in POLICIES:
        moved = move(path.read_text(), mine)
        assert json.loads(moved)
        assert EXAMPLE.account not in moved
        assert EXAMPLE.region not in moved
        assert not re.search(r"[:/]slipway(?!-dev)", moved)


def test_policies_of_an_installation_name_its_own_logs_and_roles() -> None:
    mine = Installation(
        prefix="slipway-dev",
        build_log_dir="/slipway-dev/logs",
        task_roles="shop/run-*",
        task_log_groups="/shop/*",
    )
    api = move((ROOT / ".chalice/policy-api.json").read_text(), mine)
    assert ":log-group:/slipway-dev/logs/builds:log-stream:*" in api
    assert ":log-group:/shop/*:log-stream:*" in api
    wakeup = move((ROOT / ".chalice/policy-wakeup.json").read_text(), mine)
    assert ":log-group:/slipway-dev/logs/builds:log-stream:*" in wakeup
    assert '"arn:aws:iam::123456789012:role/shop/run-*"' in wakeup
    assert ":log-group:/shop/*:log-stream:*" in wakeup
    assert ":log-group:/ecs/*" not in wakeup


def test_a_function_of_a_moved_installation_writes_to_its_own_logs() -> None:
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    logs = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda"
    for handler, each in config["lambda_functions"].items():
        policy = (ROOT / ".chalice" / each["iam_policy_file"]).read_text()
        moved = json.loads(move(policy, Installation(prefix="slipway-dev")))
        (own,) = (found for found in moved["Statement"] if found["Sid"] == "WriteOwnLogs")
        name = function_name("slipway-dev", handler)
        assert fnmatchcase(f"{logs}/{name}:log-stream:2026/11/28", own["Resource"])
        assert not fnmatchcase(f"{logs}/slipway-prod:log-stream:2026/11/28", own["Resource"])


def test_the_example_moved_to_itself_is_unchanged() -> None:
    for path in POLICIES:
        assert move(path.read_text(), EXAMPLE) == path.read_text()
