"""The requests to CloudFormation. A stub gives the answers, so no stack is deployed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from infra.changes import Change, read_changes
from infra.stacks import Plan, Refused, carry_out, discard, find_stack, open_session, plan_stack

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

TEMPLATE = {"TemplateBody": "{}"}
COMMON = {
    "StackName": "slipway-dev",
    "TemplateBody": "{}",
    "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
}


@pytest.fixture
def cloudformation() -> "CloudFormationClient":
    return boto3.client("cloudformation", region_name="eu-west-1")


@pytest.fixture
def stub(cloudformation: "CloudFormationClient") -> Iterator[Stubber]:
    """Answers in the order given, and fails on any other request."""
    with Stubber(cloudformation) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def _described(status: str, *gone: str) -> dict[str, Any]:
    parameters = {"ResourcePrefix": "slipway-dev", "JobWorkers": "4", **dict.fromkeys(gone, "x")}
    return {
        "Stacks": [
            {
                "StackName": "slipway-dev",
                "CreationTime": "2026-11-22T12:00:00Z",
                "StackStatus": status,
                "Parameters": [
                    {"ParameterKey": key, "ParameterValue": value}
                    for key, value in parameters.items()
                ],
                "Outputs": [{"OutputKey": "QueueUrl", "OutputValue": "https://sqs/q"}],
            }
        ]
    }


def _has_summary(stub: Stubber) -> None:
    """CloudFormation answers with the template's parameters."""
    keys = ("JobWorkers", "ResourcePrefix", "AlarmTopic")
    summary = {"Parameters": [{"ParameterKey": key} for key in keys]}
    stub.add_response("get_template_summary", summary, TEMPLATE)


def _is_missing(stub: Stubber) -> None:
    stub.add_client_error(
        "describe_stacks", "ValidationError", "Stack with id slipway-dev does not exist"
    )


MADE = "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/deploy-1/2"
TABLE = {"LogicalResourceId": "JobsTable", "ResourceType": "AWS::DynamoDB::Table"}


def _is_planned(stub: Stubber, kind: str, parameters: list[dict[str, Any]], **end: Any) -> None:
    """CloudFormation makes a change set, with these parameters, that ends so."""
    request = {
        **COMMON,
        "Parameters": parameters,
        "ChangeSetName": ANY,
        "ChangeSetType": kind,
    }
    stub.add_response("create_change_set", {"Id": MADE, "StackId": "id"}, request)
    named = {"ChangeSetName": MADE, "StackName": "slipway-dev"}
    stub.add_response("describe_change_set", {"Status": "CREATE_COMPLETE", **end}, named)
    if not end:
        changes = {"Changes": [{"Type": "Resource", "ResourceChange": {"Action": "Add", **TABLE}}]}
        stub.add_response("describe_change_set", changes, named)


def _is_executed(stub: Stubber, **option: bool) -> None:
    request = {"ChangeSetName": MADE, "StackName": "slipway-dev", **option}
    stub.add_response("execute_change_set", {}, request)


def _is_deleted(stub: Stubber) -> None:
    request = {"ChangeSetName": MADE, "StackName": "slipway-dev"}
    stub.add_response("delete_change_set", {}, request)


def _plan(cloudformation: "CloudFormationClient", parameters: dict[str, str]) -> Plan:
    plan = plan_stack(cloudformation, "slipway-dev", TEMPLATE, parameters)
    assert plan is not None
    return plan


@pytest.mark.parametrize("planned_before", [False, True])
def test_a_missing_stack_is_created_and_not_rolled_back_on_failure(
    cloudformation: "CloudFormationClient", stub: Stubber, planned_before: bool
) -> None:
    """A deploy that ended at its question may leave a stack without resources."""
    if planned_before:
        stub.add_response("describe_stacks", _described("REVIEW_IN_PROGRESS"))
    else:
        _is_missing(stub)
    _is_planned(stub, "CREATE", [{"ParameterKey": "JobWorkers", "ParameterValue": "4"}])
    plan = _plan(cloudformation, {"JobWorkers": "4"})
    assert plan.changes == (Change("add", "JobsTable", "AWS::DynamoDB::Table"),)
    _is_executed(stub, DisableRollback=True)
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    carry_out(cloudformation, plan)


def test_an_update_keeps_parameters_that_are_not_given(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE", "FormerParameter"))
    _has_summary(stub)
    parameters: list[dict[str, Any]] = [
        {"ParameterKey": "ResourcePrefix", "ParameterValue": "slipway-dev"},
        {"ParameterKey": "JobWorkers", "UsePreviousValue": True},
    ]
    _is_planned(stub, "UPDATE", parameters)
    plan = _plan(cloudformation, {"ResourcePrefix": "slipway-dev"})
    _is_executed(stub)
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    carry_out(cloudformation, plan)


KEPT: list[dict[str, Any]] = [
    {"ParameterKey": "JobWorkers", "UsePreviousValue": True},
    {"ParameterKey": "ResourcePrefix", "UsePreviousValue": True},
]
UNCHANGED = {
    "Status": "FAILED",
    "StatusReason": "The submitted information didn't contain changes. Submit different "
    "information to create a change set.",
}


@pytest.mark.parametrize("status", ["CREATE_FAILED", "UPDATE_FAILED"])
def test_the_next_deploy_continues_a_failed_stack(
    cloudformation: "CloudFormationClient", stub: Stubber, status: str
) -> None:
    """UpdateStack's error in these states: "please use the disable-rollback parameter"."""
    stub.add_response("describe_stacks", _described(status))
    _has_summary(stub)
    _is_planned(stub, "UPDATE", KEPT)
    plan = _plan(cloudformation, {})
    _is_executed(stub, DisableRollback=True)
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    carry_out(cloudformation, plan)


@pytest.mark.parametrize("status", ["CREATE_FAILED", "UPDATE_FAILED"])
def test_a_failed_stack_is_tried_again_with_the_same_template(
    cloudformation: "CloudFormationClient", stub: Stubber, status: str
) -> None:
    stub.add_response("describe_stacks", _described(status))
    _has_summary(stub)
    _is_planned(stub, "UPDATE", KEPT, **UNCHANGED)
    _is_deleted(stub)
    plan = _plan(cloudformation, {})
    assert plan.change_set is None
    request = {**COMMON, "Parameters": KEPT, "DisableRollback": True}
    stub.add_response("update_stack", {"StackId": "id"}, request)
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    carry_out(cloudformation, plan)


@pytest.mark.parametrize("reason", [UNCHANGED["StatusReason"], "No updates are to be performed."])
def test_a_stack_without_changes_is_no_error(
    cloudformation: "CloudFormationClient", stub: Stubber, reason: str
) -> None:
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    _has_summary(stub)
    _is_planned(stub, "UPDATE", KEPT, Status="FAILED", StatusReason=reason)
    _is_deleted(stub)
    assert plan_stack(cloudformation, "slipway-dev", TEMPLATE, {}) is None


def test_a_template_that_cloudformation_refuses_is_shown_with_its_reason(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    _is_missing(stub)
    _is_planned(stub, "CREATE", [], Status="FAILED", StatusReason="Transform failed: no zip")
    _is_deleted(stub)
    stub.add_response("delete_stack", {}, {"StackName": "slipway-dev"})
    with pytest.raises(Refused, match=r"slipway-dev: Transform failed: no zip\n.*Nothing was"):
        plan_stack(cloudformation, "slipway-dev", TEMPLATE, {})


def test_a_discarded_plan_leaves_no_new_stack_and_every_old_one(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    _is_deleted(stub)
    stub.add_response("delete_stack", {}, {"StackName": "slipway-dev"})
    discard(cloudformation, Plan("slipway-dev", None, MADE, (), {}))
    _is_deleted(stub)
    discard(cloudformation, Plan("slipway-dev", "CREATE_COMPLETE", MADE, (), {}))


@pytest.mark.parametrize(
    ("change", "verb"),
    [
        ({"Action": "Add"}, "add"),
        ({"Action": "Import"}, "import"),
        ({"Action": "Remove", "PolicyAction": "Retain"}, "remove"),
        ({"Action": "Modify", "Replacement": "False"}, "change"),
        ({"Action": "Modify", "Replacement": "True"}, "replace"),
        ({"Action": "Modify", "Replacement": "Conditional"}, "may replace"),
        ({"Action": "Dynamic"}, "may replace"),
    ],
)
def test_each_kind_of_change_has_a_word(
    cloudformation: "CloudFormationClient", stub: Stubber, change: dict[str, Any], verb: str
) -> None:
    answer = {"Changes": [{"Type": "Resource", "ResourceChange": {**change, **TABLE}}]}
    stub.add_response("describe_change_set", {**answer, "NextToken": "more"})
    stub.add_response("describe_change_set", answer)
    first, second = read_changes(cloudformation, "slipway-dev", MADE)
    assert first == second
    assert str(first).split("  ")[0] == verb
    assert first.loses_data is (verb in {"remove", "replace", "may replace"})
    assert not replace(first, type="AWS::SQS::Queue").loses_data


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"])
def test_a_stack_that_can_only_be_deleted_is_refused_in_two_lines(
    cloudformation: "CloudFormationClient", stub: Stubber, status: str
) -> None:
    stub.add_response("describe_stacks", _described(status))
    with pytest.raises(Refused) as refused:
        find_stack(cloudformation, "slipway-dev")
    first, second = str(refused.value).splitlines()
    assert status in first
    assert "make destroy STAGE=dev" in second


def test_missing_credentials_or_region_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(Refused, match=r"No AWS region .*\n.*"):
        open_session()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Refused, match=r"There are no AWS credentials.*\n.*"):
        open_session()
