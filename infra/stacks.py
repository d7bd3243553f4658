"""CloudFormation stacks in the account and region of the AWS credentials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import ParameterTypeDef, StackTypeDef

# AWS: "Stack update behaviors" and "Stack failure options".
_ONLY_TO_DELETE = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})
_FAILED = frozenset({"CREATE_FAILED", "UPDATE_FAILED"})


class Refused(Exception):
    """A command cannot run. The last line of the message is the fix, the lines before the cause."""


@dataclass(frozen=True)
class Stack:
    """A stack that exists, as CloudFormation describes it."""

    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


def open_session() -> boto3.Session:
    """Open the session for all calls. Raises Refused without credentials or a region."""
    session = boto3.Session()
    if session.get_credentials() is None:
        raise Refused(
            "There are no AWS credentials, so no call was made.\n"
            "Sign in (`aws sso login`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID) and run this again."
        )
    if session.region_name is None:
        raise Refused(
            "No AWS region is set, so no call was made.\n"
            "Set one, for instance AWS_DEFAULT_REGION=eu-west-1, and run this again."
        )
    return session


def find_stack(cloudformation: "CloudFormationClient", name: str) -> Stack | None:
    """The stack of this name, or None.

    Raises Refused if CloudFormation can only delete the stack.
    """
    try:
        found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    if found["StackStatus"] in _ONLY_TO_DELETE:
        raise Refused(
            f"The stack {name} is {found['StackStatus']}: it can only be deleted.\n"
            f"Run `aws cloudformation delete-stack --stack-name {name}`, delete the tables that it "
            "leaves behind (their names are in use), and run this again."
        )
    return _read(found)


def apply_stack(
    cloudformation: "CloudFormationClient",
    name: str,
    template: Mapping[str, str],
    parameters: Mapping[str, str],
) -> Mapping[str, str]:
    """Create or update the stack `name`, wait for it, and return its outputs.

    `template` is TemplateBody or TemplateURL. Parameters that are not given keep the values of the
    existing stack if the template still has them. A failed creation is not rolled back, and the
    next call continues it: a rollback would leave tables behind, and their names would then be in
    use. Raises Refused, ClientError or WaiterError.
    """
    before = find_stack(cloudformation, name)
    given: list[ParameterTypeDef] = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
    ]
    capabilities = {"Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]}
    request: dict[str, object] = {"StackName": name, **template, **capabilities}
    if before is None:
        request |= {"Parameters": given, "DisableRollback": True}
        cloudformation.create_stack(**request)  # type: ignore[arg-type]
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name)
    else:
        kept = before.parameters.keys() & _parameters_of(cloudformation, template)
        request["Parameters"] = given + [
            {"ParameterKey": key, "UsePreviousValue": True}
            for key in sorted(kept - parameters.keys())
        ]
        if before.status in _FAILED:
            # CloudFormation updates a stack in these states only with this option.
            request["DisableRollback"] = True
        if _update(cloudformation, request):
            cloudformation.get_waiter("stack_update_complete").wait(StackName=name)
    return _read(cloudformation.describe_stacks(StackName=name)["Stacks"][0]).outputs


def _read(stack: "StackTypeDef") -> Stack:
    return Stack(
        status=stack["StackStatus"],
        parameters={p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])},
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])},
    )


def _parameters_of(
    cloudformation: "CloudFormationClient", template: Mapping[str, str]
) -> frozenset[str]:
    summary = cloudformation.get_template_summary(**template)  # type: ignore[arg-type]
    return frozenset(parameter["ParameterKey"] for parameter in summary.get("Parameters", []))


def find_defaults(cloudformation: "CloudFormationClient", name: str) -> Mapping[str, str]:
    """The defaults of the parameters in the template that the existing stack `name` has now."""
    summary = cloudformation.get_template_summary(StackName=name)
    return {
        parameter["ParameterKey"]: parameter["DefaultValue"]
        for parameter in summary.get("Parameters", [])
        if "DefaultValue" in parameter
    }


def _update(cloudformation: "CloudFormationClient", request: Mapping[str, object]) -> bool:
    try:
        cloudformation.update_stack(**request)  # type: ignore[arg-type]
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    return True


def stage_outputs(stage: str) -> Mapping[str, str]:
    """The outputs of a stage's stack. Raises Refused if the stage is not deployed."""
    session = open_session()
    stack = find_stack(session.client("cloudformation"), f"slipway-{stage}")
    if stack is None or not stack.outputs:
        raise Refused(
            f"The stage {stage} is not deployed to {session.region_name} in this account.\n"
            f"Deploy it first: make deploy STAGE={stage}"
        )
    return stack.outputs
