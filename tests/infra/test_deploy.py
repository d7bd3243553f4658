"""What a deploy asks of CloudFormation. Requests and answers are data here; nothing is deployed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.deploy import apply_stack, environment_of

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
    return boto3.client(
        "cloudformation",
        region_name="eu-west-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.fixture
def stub(cloudformation: "CloudFormationClient") -> Iterator[Stubber]:
    """Answers in the order given, and fails on any other request."""
    with Stubber(cloudformation) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def _described(status: str) -> dict[str, Any]:
    return {
        "Stacks": [
            {
                "StackName": "slipway-dev",
                "CreationTime": "2026-11-22T12:00:00Z",
                "StackStatus": status,
                "Parameters": [
                    {"ParameterKey": "ResourcePrefix", "ParameterValue": "slipway-dev"},
                    {"ParameterKey": "JobWorkers", "ParameterValue": "4"},
                ],
                "Outputs": [{"OutputKey": "QueueUrl", "OutputValue": "https://sqs/q"}],
            }
        ]
    }


def _no_updates(stub: Stubber) -> None:
    """AWS: UpdateStack's answer when template and parameters are as they were."""
    stub.add_client_error(
        "update_stack", "ValidationError", "No updates are to be performed.", http_status_code=400
    )


def test_a_stack_that_is_missing_is_created(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    stub.add_client_error(
        "describe_stacks", "ValidationError", "Stack with id slipway-dev does not exist"
    )
    given = [{"ParameterKey": "JobWorkers", "ParameterValue": "4"}]
    stub.add_response("create_stack", {"StackId": "id"}, {**COMMON, "Parameters": given})
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    outputs = apply_stack(cloudformation, "slipway-dev", TEMPLATE, {"JobWorkers": "4"})
    assert outputs == {"QueueUrl": "https://sqs/q"}


def test_an_update_keeps_the_parameters_that_are_not_given(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    parameters = [
        {"ParameterKey": "ResourcePrefix", "ParameterValue": "slipway-dev"},
        {"ParameterKey": "JobWorkers", "UsePreviousValue": True},
    ]
    stub.add_response("update_stack", {"StackId": "id"}, {**COMMON, "Parameters": parameters})
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    stub.add_response("describe_stacks", _described("UPDATE_COMPLETE"))
    apply_stack(cloudformation, "slipway-dev", TEMPLATE, {"ResourcePrefix": "slipway-dev"})


def test_a_stack_that_is_already_right_is_left_alone(
    cloudformation: "CloudFormationClient", stub: Stubber
) -> None:
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    _no_updates(stub)
    stub.add_response("describe_stacks", _described("CREATE_COMPLETE"))
    assert apply_stack(cloudformation, "slipway-dev", TEMPLATE, {}) == {"QueueUrl": "https://sqs/q"}


def test_only_cloudformation_reads_the_webhook_s_secret() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway-dev/webhook-AbCdEf"
    outputs = {"WebhookSecret": arn, "CodebuildProject": "slipway-dev-builds", "Packages": "bucket"}
    assert environment_of(outputs) == {
        "WEBHOOK_SECRET": f"{{{{resolve:secretsmanager:{arn}}}}}",
        "CODEBUILD_PROJECT": "slipway-dev-builds",
    }
