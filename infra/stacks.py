"""CloudFormation stacks in the account and region of the AWS credentials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.exceptions import ClientError, WaiterError

from infra.changes import Change, read_changes

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import ParameterTypeDef, StackTypeDef

# AWS: "Stack update behaviors" and "Stack failure options".
_ONLY_TO_DELETE = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})
_FAILED = frozenset({"CREATE_FAILED", "UPDATE_FAILED"})
# A change set for a new stack makes a stack without resources. It stays until it is deployed.
PLANNED = "REVIEW_IN_PROGRESS"
# In seconds: an hour, as AWS's own waiters have, but shorter steps.
_PATIENCE: Any = {"Delay": 3, "MaxAttempts": 1200}
# The two reasons of a change set that fails because it would change nothing.
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


class Refused(Exception):
    """A command cannot run. The last line of the message is the fix, the lines before the cause."""


@dataclass(frozen=True)
class Stack:
    """A stack that exists, as CloudFormation describes it. Its `id` stays valid when it is gone."""

    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    id: str = ""


@dataclass(frozen=True)
class Plan:
    """What a deploy would change in the stack `name`: a change set that is not executed yet.

    `before` is the stack's status, or None for a new stack. `change_set` is None if a failed stack
    is only tried again.
    """

    name: str
    before: str | None
    change_set: str | None
    changes: tuple[Change, ...]
    request: Mapping[str, Any]


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
    """The stack of this name, or None. A stack that was only planned counts as missing.

    Raises Refused if CloudFormation can only delete the stack.
    """
    found = look_up(cloudformation, name)
    if found is not None and found.status in _ONLY_TO_DELETE:
        stage = name.removeprefix("slipway-").removesuffix("-app")
        raise Refused(
            f"The stack {name} is {found.status}: it can only be deleted.\n"
            f'Delete the stage: make destroy STAGE={stage}. With ARGS="DATA=delete" its tables are '
            "deleted, too."
        )
    return None if found is None or found.status == PLANNED else found


def look_up(cloudformation: "CloudFormationClient", name: str) -> Stack | None:
    """The stack of this name in any state, or None."""
    try:
        return _read(cloudformation.describe_stacks(StackName=name)["Stacks"][0])
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def plan_stack(
    cloudformation: "CloudFormationClient",
    name: str,
    template: Mapping[str, str],
    parameters: Mapping[str, str],
) -> Plan | None:
    """Make a change set that creates or updates the stack `name`; None if nothing would change.

    `template` is TemplateBody or TemplateURL. Parameters that are not given keep the values of the
    existing stack if the template still has them. Carry the plan out or discard it. Raises Refused
    or ClientError.
    """
    stack = find_stack(cloudformation, name)
    given: list[ParameterTypeDef] = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
    ]
    if stack is not None:
        kept = stack.parameters.keys() & _parameters_of(cloudformation, template)
        given += [
            {"ParameterKey": key, "UsePreviousValue": True}
            for key in sorted(kept - parameters.keys())
        ]
    request = {
        "StackName": name,
        **template,
        "Parameters": given,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    before = stack.status if stack else None
    made = cloudformation.create_change_set(
        **request,  # type: ignore[arg-type]
        ChangeSetName=f"deploy-{uuid4().hex}",
        ChangeSetType="UPDATE" if stack else "CREATE",
    )["Id"]
    plan = Plan(name, before, made, (), request)
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(
            ChangeSetName=made, StackName=name, WaiterConfig=_PATIENCE
        )
    except WaiterError as error:
        discard(cloudformation, plan)
        reason = str(error.last_response.get("StatusReason", error))
        if not any(text in reason for text in _NO_CHANGES):
            raise Refused(
                f"CloudFormation refuses to change the stack {name}: {reason}\n"
                "Fix the cause and run this again. Nothing was changed."
            ) from None
        return Plan(name, before, None, (), request) if before in _FAILED else None
    return Plan(name, before, made, read_changes(cloudformation, name, made), request)


def carry_out(cloudformation: "CloudFormationClient", plan: Plan) -> None:
    """Execute a plan and wait for its end.

    A failed creation is not rolled back, and the next deploy continues it: a rollback would leave
    tables behind, and their names would then be in use. Raises ClientError or WaiterError.
    """
    # CloudFormation continues a failed stack only with this option.
    keep = plan.before is None or plan.before in _FAILED
    option: dict[str, Any] = {"DisableRollback": True} if keep else {}
    if plan.change_set is None:
        cloudformation.update_stack(**plan.request, **option)
    else:
        cloudformation.execute_change_set(
            ChangeSetName=plan.change_set, StackName=plan.name, **option
        )
    if plan.before is None:
        created = cloudformation.get_waiter("stack_create_complete")
        created.wait(StackName=plan.name, WaiterConfig=_PATIENCE)
    else:
        updated = cloudformation.get_waiter("stack_update_complete")
        updated.wait(StackName=plan.name, WaiterConfig=_PATIENCE)


def discard(cloudformation: "CloudFormationClient", plan: Plan) -> None:
    """Delete the plan's change set, and the stack without resources that a first one has made."""
    if plan.change_set is not None:
        cloudformation.delete_change_set(ChangeSetName=plan.change_set, StackName=plan.name)
    if plan.before is None:
        cloudformation.delete_stack(StackName=plan.name)


def find_outputs(cloudformation: "CloudFormationClient", name: str) -> Mapping[str, str]:
    """The outputs of the existing stack `name`."""
    return _read(cloudformation.describe_stacks(StackName=name)["Stacks"][0]).outputs


def _read(stack: "StackTypeDef") -> Stack:
    return Stack(
        status=stack["StackStatus"],
        parameters={p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])},
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])},
        id=stack.get("StackId", ""),
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
