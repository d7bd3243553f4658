"""The hand-written IAM policies: each function may do what it does, on what is ours, no more."""

import ast
import json
import re
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from infra.package import EXAMPLE, ROOT, Installation, move

POLICIES = sorted((ROOT / ".chalice").glob("policy-*.json"))
# The only ones that AWS's service authorization reference gives no resource to.
WITHOUT_RESOURCE = {"ecs:DescribeTaskDefinition"}


def _statements(name: str) -> list[dict[str, Any]]:
    policy = json.loads((ROOT / f".chalice/policy-{name}.json").read_text())
    statements: list[dict[str, Any]] = policy["Statement"]
    return statements


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _actions(name: str) -> set[str]:
    return {action for statement in _statements(name) for action in _list(statement["Action"])}


def _called() -> set[str]:
    """The actions behind every `client("service").operation(…)` of the product."""
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


# What AWS asks for under another name, or besides: a batch is many sends, Lambda itself reads the
# queue and writes logs, a definition's tags and roles are registered with it.
CALLED = (_called() - {"sqs:SendMessageBatch"}) | {
    "sqs:SendMessage",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "ecs:TagResource",
}
ALL = [path.stem.removeprefix("policy-") for path in POLICIES]


def test_each_policy_belongs_to_one_function() -> None:
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    named = [function["iam_policy_file"] for function in config["lambda_functions"].values()]
    assert sorted(named) == [path.name for path in POLICIES]
    assert config["autogen_policy"] is False


@pytest.mark.parametrize("name", ALL)
def test_no_action_is_a_pattern(name: str) -> None:
    assert not [action for action in _actions(name) if "*" in action]


@pytest.mark.parametrize("name", ALL)
def test_every_resource_is_named_where_aws_allows_it(name: str) -> None:
    for statement in _statements(name):
        if "*" in _list(statement["Resource"]):
            assert set(_list(statement["Action"])) <= WITHOUT_RESOURCE
        else:
            for arn in _list(statement["Resource"]):
                assert re.match(r"arn:aws:[a-z]+:(eu-west-1)?:123456789012:[^*]", arn)


@pytest.mark.parametrize("name", ALL)
def test_a_role_can_only_be_passed_to_ecs_tasks(name: str) -> None:
    for statement in _statements(name):
        if "iam:PassRole" in _list(statement["Action"]):
            assert statement["Action"] == "iam:PassRole"
            assert statement["Condition"] == {
                "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
            }


@pytest.mark.parametrize("name", ALL)
def test_only_new_task_definitions_can_be_tagged(name: str) -> None:
    for statement in _statements(name):
        if "ecs:TagResource" in _list(statement["Action"]):
            assert statement["Condition"] == {
                "StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}
            }


def test_the_api_starts_no_build_and_touches_no_service() -> None:
    assert not {a for a in _actions("api") if a.startswith(("codebuild:", "ecs:", "iam:"))}


def test_whatever_triggers_the_pipeline_it_may_do_the_same() -> None:
    consuming = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    assert _actions("cloud-event") == _actions("schedule") == _actions("wakeup") - consuming


def test_what_the_code_calls_is_granted_and_nothing_else() -> None:
    granted = set[str]().union(*map(_actions, ALL))
    ours = {
        action for action in granted if action.split(":")[0] in {a.split(":")[0] for a in CALLED}
    }
    assert ours == CALLED


def test_an_installation_gets_policies_with_its_own_names_alone() -> None:
    mine = Installation(account="210987654321", region="us-east-2", prefix="slipway-dev")
    for path in POLICIES:
        moved = move(path.read_text(), mine)
        assert json.loads(moved)
        assert EXAMPLE.account not in moved
        assert EXAMPLE.region not in moved
        assert not re.search(r"[:/]slipway(?!-dev)", moved)


def test_a_function_writes_to_its_own_logs_after_a_move() -> None:
    moved = move(
        (ROOT / ".chalice/policy-api.json").read_text(), Installation(prefix="slipway-dev")
    )
    assert "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/slipway-dev-*" in moved


def test_the_example_moved_to_itself_is_unchanged() -> None:
    for path in POLICIES:
        assert move(path.read_text(), EXAMPLE) == path.read_text()
