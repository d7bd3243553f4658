"""`make destroy` deletes the application of a deployed stage and, if it is told to, the data.

Without `DATA=delete` the stack with the data stays, and the next deploy uses it again. So no name
of a table is ever in use by a table that belongs to no stack.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from pynamodb.exceptions import PynamoDBException

from chalicelib.errors import Unavailable
from infra.confirm import confirm
from infra.deploy import environment_of
from infra.removal import REMOVALS
from infra.stacks import Refused, Stack, look_up, open_session
from infra.under_way import under_way

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

# In seconds: an hour, as AWS's own waiter has, but shorter steps.
_PATIENCE: Any = {"Delay": 3, "MaxAttempts": 1200}


@dataclass(frozen=True)
class Resource:
    """A resource of a stack: its id in the template, its type, and its name or ARN."""

    logical_id: str
    type: str
    name: str


@dataclass(frozen=True)
class Found:
    """What exists of a stage, and whether its data is to be deleted.

    `application` and `base` are its two stacks. `base` has the data, in `resources`.
    """

    stage: str
    application: Stack | None
    base: Stack | None
    resources: Sequence[Resource]
    data: bool

    @property
    def prefix(self) -> str:
        return f"slipway-{self.stage}"

    @property
    def deletes_base(self) -> bool:
        return self.base is not None and self.data


def destroy(stage: str, *, data: bool, yes: bool) -> None:
    """Delete a stage's application and, with `data`, everything else that the stage made.

    May be repeated after a failure. Raises Refused.
    """
    session = open_session()
    cloudformation = session.client("cloudformation")
    account = session.client("sts").get_caller_identity()["Account"]
    found = _find(cloudformation, stage, data=data)
    print(f"account {account}, region {session.region_name}, stage {stage}")
    _show(session, found)
    if found.application is None and not found.deletes_base:
        print("There is nothing to delete: the application is not deployed.")
        return
    if found.application is not None and not yes:
        _refuse_while_working(found)
    confirm(f"Delete this in account {account}?", stage, yes=yes)
    if found.application is not None:
        _delete(cloudformation, f"{found.prefix}-app")
    if found.deletes_base:
        # The stack last: it is the list of what remains after a failure.
        for resource in found.resources:
            if remove := REMOVALS.get(resource.type):
                print(f"deleting {resource.logical_id}")
                remove(session, resource.name)
        _delete(cloudformation, found.prefix)
    print(f"The stage {stage} is deleted{'' if data else ', and its data is kept'}.")


def _find(cloudformation: "CloudFormationClient", stage: str, *, data: bool) -> Found:
    prefix = f"slipway-{stage}"
    base = look_up(cloudformation, prefix)
    return Found(
        stage=stage,
        application=look_up(cloudformation, f"{prefix}-app"),
        base=base,
        resources=_resources(cloudformation, prefix) if base is not None and data else [],
        data=data,
    )


def _resources(cloudformation: "CloudFormationClient", stack: str) -> list[Resource]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        Resource(
            each["LogicalResourceId"], each["ResourceType"], each.get("PhysicalResourceId", "")
        )
        for page in pages
        for each in page["StackResourceSummaries"]
        if each.get("PhysicalResourceId")
    ]


def _show(session: boto3.Session, found: Found) -> None:
    stage, prefix = found.stage, found.prefix
    if found.application is not None:
        print(f"deletes the stack {prefix}-app: the API, the functions and their logs, the rules")
        print("keeps   the role with which API Gateway writes access logs: it is the account's")
    if found.deletes_base:
        _show_deleted(session, found)
    elif found.base is not None:
        print(
            f"keeps   the stack {prefix}: tables, queues, packages, logs of builds, the webhook's "
            "secret\n"
            f"        make deploy STAGE={stage} uses them again; the API then has a new address\n"
            f'        make destroy STAGE={stage} ARGS="DATA=delete" deletes them'
        )


def _show_deleted(session: boto3.Session, found: Found) -> None:
    print(f"deletes the stack {found.prefix} and what it holds, which cannot be undone:")
    for resource in found.resources:
        if resource.type in REMOVALS:
            print(f"        {resource.logical_id}  {resource.name}")
    for resource in found.resources:
        if resource.type == "AWS::ECR::Repository":
            print(f"keeps   the ECR repository {resource.name}: ECS may run its images")
    if yours := _yours(session, found.prefix, {each.name for each in found.resources}):
        print(f"keeps   secrets and parameters that you have made: {', '.join(yours)}")
    services = _stacks(session, f"{found.prefix}-service-")
    if services:
        print(
            f"keeps   the stacks of services: {', '.join(services)}\n"
            "        make service with DELETE=yes deletes one, and needs the stage"
        )
    print("keeps   ECS services, task definitions and images")


def _yours(session: boto3.Session, prefix: str, ours: set[str]) -> list[str]:
    """Names of secrets and parameters below the stage's prefix. Running tasks may read them."""
    secrets = session.client("secretsmanager").get_paginator("list_secrets")
    named: Any = [{"Key": "name", "Values": [f"{prefix}/"]}]
    parameters = session.client("ssm").get_paginator("describe_parameters")
    below: Any = [{"Key": "Name", "Option": "BeginsWith", "Values": [f"/{prefix}/"]}]
    return [
        each["Name"]
        for page in secrets.paginate(Filters=named)
        for each in page["SecretList"]
        if not ours & {each["ARN"], each["Name"]}
    ] + [
        each["Name"]
        for page in parameters.paginate(ParameterFilters=below)
        for each in page["Parameters"]
    ]


def _stacks(session: boto3.Session, prefix: str) -> list[str]:
    pages = session.client("cloudformation").get_paginator("describe_stacks").paginate()
    names = (each["StackName"] for page in pages for each in page["Stacks"])
    return sorted(name for name in names if name.startswith(prefix))


def _refuse_while_working(found: Found) -> None:
    if found.base is None or not found.base.outputs:
        return
    if jobs := under_way(environment_of(found.base.outputs)):
        shown = ", ".join(jobs[:10]) + (", …" if len(jobs) > 10 else "")
        raise Refused(
            f"Nothing was changed: {len(jobs)} jobs of {found.stage} have not ended: {shown}.\n"
            "Wait for them or cancel them, or delete the stage anyway with --yes in ARGS. ECS and "
            "CodeBuild then end what they have begun."
        )


def _delete(cloudformation: "CloudFormationClient", stack: str) -> None:
    print(f"deleting the stack {stack}")
    cloudformation.delete_stack(StackName=stack)
    deleted = cloudformation.get_waiter("stack_delete_complete")
    deleted.wait(StackName=stack, WaiterConfig=_PATIENCE)


def _data(text: str) -> bool:
    if text != "DATA=delete":
        raise argparse.ArgumentTypeError(f"{text!r} is not DATA=delete")
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Delete one stage from the account and region of the AWS credentials."""
    parser = argparse.ArgumentParser(prog="make destroy", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    parser.add_argument(
        "data", nargs="?", type=_data, metavar="DATA=delete", help="delete the data, too"
    )
    parser.add_argument(
        "--yes", action="store_true", help="delete without a question, also while jobs run"
    )
    options = parser.parse_intermixed_args(arguments)
    try:
        destroy(options.stage, data=bool(options.data), yes=options.yes)
    except Refused as refusal:
        sys.exit(str(refusal))
    except (BotoCoreError, ClientError, WaiterError, PynamoDBException, Unavailable) as error:
        sys.exit(
            f"{error}\nFix the cause (see the events of the stack, and what these credentials may "
            "do) and run this again: it deletes what is left."
        )


if __name__ == "__main__":
    main()
