"""The requests to CloudFormation. A stub gives the answers, so no stack is deployed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.stacks import Refused, apply_stack, find_stack, open_session

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


def test_a_missing_stack_is_created_and_not_rolled_back_on_failure(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    _is_missing(stub)
    request = {
        **COMMON,
        "Parameters": [{"ParameterKey": "JobWorkers", "ParameterValue": "4"}],
        "DisableRollback": True,
    }
    stub.add_response("create_stack", {"StackId": "id"}, request)
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    outputs = apply_stack(cloudformation, "slipway-dev", TEMPLATE, {"JobWorkers": "4"})
    assert outputs == {"QueueUrl": "https://sqs/q"}


def test_an_update_keeps_parameters_that_are_not_given(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE", "FormerParameter"))
    _has_summary(stub)
    parameters = [
        {"ParameterKey": "ResourcePrefix", "ParameterValue": "slipway-dev"},
        {"ParameterKey": "JobWorkers", "UsePreviousValue": True},
    ]
    stub.add_response("update_stack", {"StackId": "id"}, {**COMMON, "Parameters": parameters})
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    apply_stack(cloudformation, "slipway-dev", TEMPLATE, {"ResourcePrefix": "slipway-dev"})


@pytest.mark.parametrize("status", ["CREATE_FAILED", "UPDATE_FAILED"])
def test_the_next_deploy_continues_a_failed_stack(
    cloudformation: "CloudFormationClient", stub: Stubber, status: str
) -> None:
    """UpdateStack's error in these states: "please use the disable-rollback parameter"."""
    stub.add_response("describe_stacks", _described(status))
    _has_summary(stub)
    kept = [
        {"ParameterKey": "JobWorkers", "UsePreviousValue": True},
        {"ParameterKey": "ResourcePrefix", "UsePreviousValue": True},
    ]
    request = {**COMMON, "Parameters": kept, "DisableRollback": True}
    stub.add_response("update_stack", {"StackId": "id"}, request)
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    apply_stack(cloudformation, "slipway-dev", TEMPLATE, {})


def test_a_stack_without_changes_is_no_error(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    _has_summary(stub)
    stub.add_client_error("update_stack", "ValidationError", "No updates are to be performed.")
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    assert apply_stack(cloudformation, "slipway-dev", TEMPLATE, {}) == {"QueueUrl": "https://sqs/q"}


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"])
def test_a_stack_that_can_only_be_deleted_is_refused_in_two_lines(
    cloudformation: "CloudFormationClient", stub: Stubber, status: str
) -> None:
    stub.add_response("describe_stacks", _described(status))
    with pytest.raises(Refused) as refused:
        find_stack(cloudformation, "slipway-dev")
    first, second = str(refused.value).splitlines()
    assert status in first
    assert "aws cloudformation delete-stack --stack-name slipway-dev" in second


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
