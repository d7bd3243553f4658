"""`make deploy` deploys the stack and then the application, both with CloudFormation.

CloudFormation keeps the state, so any clone can deploy, and a failed deploy can be repeated.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from pynamodb.exceptions import PynamoDBException

from chalicelib.domain.timing import WORKER_LIFE
from chalicelib.errors import Unavailable
from infra.changes import losses
from infra.confirm import confirm
from infra.drift import read_template, redeployed_outside
from infra.indexes import plan_steps, read_tables, wait_for_indexes
from infra.package import (
    EXAMPLE,
    ROOT,
    Installation,
    PackagingFailed,
    stack_template,
    write_package,
)
from infra.parameters import assignment, what_is_missing, what_is_wide
from infra.stacks import (
    Plan,
    Refused,
    carry_out,
    discard,
    find_defaults,
    find_outputs,
    find_stack,
    open_session,
    plan_stack,
)
from infra.upgrade import read_schema, upgrade, why_not

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

# The name, in the metadata of the application's template, of the last forced deploy.
AGAIN = "Again"
_NO_VARIABLES = frozenset({"Packages", "TaskLogGroups", "TaskRoles"})


class Package(Protocol):
    """Replaces `output` with the package of one stage, as `write_package` does."""

    def __call__(self, output: Path, *, stage: str, to: Installation) -> None: ...


def environment_of(outputs: Mapping[str, str]) -> dict[str, str]:
    """The application's environment from the stack's outputs: QueueUrl becomes QUEUE_URL."""
    return {
        re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper(): value
        for name, value in outputs.items()
        if name not in _NO_VARIABLES
    }


def application_template(
    sam: str, *, code: str, environment: Mapping[str, str], again: str | None = None
) -> str:
    """Add the code's location and the environment to Chalice's template.

    Only the API function gets WEBHOOK_SECRET: no other function reads webhook secrets. Without
    PUBLIC_URL in `environment`, only OnTelling gets one, the API's own address: the API cannot
    refer to itself. `again` is a text that makes the API's definition differ from an equal one with
    another `again`.
    """
    template = json.loads(sam)
    if again is not None:
        template["Metadata"] = {AGAIN: again}
        information = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["info"]
        information["description"] = f"Deployed again: {again}"
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            variables: dict[str, Any] = dict(environment)
            if name != "APIHandler":
                variables.pop("WEBHOOK_SECRET")
            if name == "OnTelling":
                own = template["Outputs"]["EndpointURL"]["Value"]["Fn::Sub"].rstrip("/")
                variables.setdefault("PUBLIC_URL", {"Fn::Sub": own})
            resource["Properties"]["CodeUri"] = code
            resource["Properties"]["Environment"] = {"Variables": variables}
    return json.dumps(template)


def parameters_for(
    prefix: str, given: Mapping[str, str], before: Mapping[str, str] | None
) -> dict[str, str]:
    """The stack parameters to send for a stage. `before` is None if there is no stack yet."""
    first = {"BuildLogDir": f"/{prefix}"} if before is None else {}
    return {**first, **given, "ResourcePrefix": prefix}


@dataclass(frozen=True)
class Choices:
    """What the operator has chosen: parameters, losses that are allowed, whether to ask."""

    parameters: Mapping[str, str]
    allowed: frozenset[str] = frozenset()
    yes: bool = False


def deploy(stage: str, choices: Choices, package: Package | None = None) -> None:
    """Deploy one stage to AWS and print how to use it."""
    session = open_session()
    prefix, given = f"slipway-{stage}", choices.parameters
    cloudformation = session.client("cloudformation")
    stack = find_stack(cloudformation, prefix)
    before = stack.parameters if stack else None
    if missing := what_is_missing(stage, given, before):
        raise Refused(missing)
    if before is not None:
        if unusable := why_not(read_schema(session.client("dynamodb"), prefix)):
            raise Refused(unusable)
        defaults = find_defaults(cloudformation, prefix)
        if wide := what_is_wide(stage, given, before, defaults):
            print(wide)
    parameters = parameters_for(prefix, given, before)
    to = find_installation(session, prefix, {**(before or {}), **parameters})
    print(f"account {to.account}, region {to.region}: packaging")
    # Package before the first change in AWS: a failure then leaves AWS unchanged.
    output = ROOT / "build" / stage
    (package or write_package)(output, stage=stage, to=to)
    template = stack_template()
    dynamodb = session.client("dynamodb")
    # An interrupted deploy may have left an index that DynamoDB still deletes.
    wait_for_indexes(dynamodb, template, prefix)
    steps = plan_steps(template, read_tables(dynamodb, template, prefix))
    if steps.after or len(steps.before) > 1:
        print(
            f"indexes of tables change, one at a time: the stack {prefix} is updated "
            f"{len(steps.before)} times before the functions and {len(steps.after)} times after"
        )
    choices = _take(session, prefix, steps.before, parameters, choices)
    outputs = find_outputs(cloudformation, prefix)
    choices = deploy_application(session, prefix, outputs, output, choices)
    if changed := upgrade(environment_of(outputs), replaced=before is not None):
        print(f"rows of an earlier version that were changed: {changed}")
    if steps.after:
        sleep(WORKER_LIFE)  # the last workers of the version before read its indexes until then
    _take(session, prefix, steps.after, {}, choices)
    api = find_outputs(cloudformation, f"{prefix}-app")["EndpointURL"]
    print(_how_to_use(stage, api.rstrip("/"), f"{prefix}/webhook"))


def deploy_application(
    session: boto3.Session,
    prefix: str,
    outputs: Mapping[str, str],
    output: Path,
    choices: Choices,
) -> Choices:
    """Create or update the application's stack with the package in `output`.

    `outputs` are those of the other stack. Returns the choices for what follows: what is confirmed
    once is not asked again. Raises Refused if it is not confirmed.
    """
    cloudformation, name = session.client("cloudformation"), f"{prefix}-app"
    again = None
    if find_stack(cloudformation, name) is not None:
        again = read_template(cloudformation, name).get("Metadata", {}).get(AGAIN)
        if changed := redeployed_outside(session, name):
            print(f"deployed by another command than this one: {', '.join(changed)}")
            # CloudFormation compares templates, not what they have made. So it needs another one.
            again = uuid4().hex
    url = _upload(session, outputs, output, again)
    return _change(cloudformation, name, {"TemplateURL": url}, {}, choices)


def _take(
    session: boto3.Session,
    prefix: str,
    steps: Sequence[str],
    parameters: Mapping[str, str],
    choices: Choices,
) -> Choices:
    """Update the stack of the tables step by step; return the choices for what follows."""
    cloudformation, dynamodb = session.client("cloudformation"), session.client("dynamodb")
    for step in steps:
        choices = _change(cloudformation, prefix, {"TemplateBody": step}, parameters, choices)
        wait_for_indexes(dynamodb, step, prefix)
    return choices


def _change(
    cloudformation: "CloudFormationClient",
    name: str,
    template: Mapping[str, str],
    parameters: Mapping[str, str],
    choices: Choices,
) -> Choices:
    """Show how a stack will change, ask, and change it; return the choices without a question.

    Raises Refused if the change loses data, or if it is not confirmed.
    """
    plan = plan_stack(cloudformation, name, template, parameters)
    if plan is None:
        print(f"stack {name}: no change")
        return choices
    try:
        print(f"stack {name}, {_summary(plan)}")
        for change in plan.changes:
            print(f"  {change}")
        _refuse_losses(plan, choices.allowed)
        confirm(f"Deploy this to {name}?", "yes", yes=choices.yes)
    except BaseException:
        discard(cloudformation, plan)
        raise
    carry_out(cloudformation, plan)
    return replace(choices, yes=True)


def _summary(plan: Plan) -> str:
    if plan.change_set is None:
        return f"is {plan.before}, and is tried again"
    if not plan.changes:
        return "only outputs change"
    return f"resources to {'change' if plan.before else 'create'}: {len(plan.changes)}"


def _refuse_losses(plan: Plan, allowed: frozenset[str]) -> None:
    lost = losses(plan.changes, allowed)
    if not lost:
        return
    options = " ".join(f"--allow {change.name}" for change in lost)
    raise Refused(
        "\n".join(
            [
                *(f"This deploy would lose data: {' '.join(str(each).split())}" for each in lost),
                "Nothing was changed in this stack. A new table or bucket is empty. If you want "
                f"this, add to ARGS: {options}",
            ]
        )
    )


def find_installation(
    session: boto3.Session, prefix: str, parameters: Mapping[str, str]
) -> Installation:
    """The installation with this prefix and these parameters, in the session's account."""
    identity = session.client("sts").get_caller_identity()
    return Installation(
        account=identity["Account"],
        region=session.region_name,
        partition=identity["Arn"].split(":")[1],
        prefix=prefix,
        build_log_dir=parameters["BuildLogDir"],
        task_roles=parameters["TaskRoles"],
        task_log_groups=parameters.get("TaskLogGroups", EXAMPLE.task_log_groups),
    )


def _upload(
    session: boto3.Session, outputs: Mapping[str, str], output: Path, again: str | None
) -> str:
    """Upload the package under names from hashes of its contents; return the template's URL."""
    bucket, s3 = outputs["Packages"], session.client("s3")

    def put(content: bytes, suffix: str) -> str:
        key = hashlib.sha256(content).hexdigest() + suffix
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        return key

    suffix = ".zip" if again is None else f"-{again}.zip"
    code = put((output / "deployment.zip").read_bytes(), suffix)
    template = application_template(
        (output / "sam.json").read_text(),
        code=f"s3://{bucket}/{code}",
        environment=environment_of(outputs),
        again=again,
    )
    key = put(template.encode(), ".json")
    return f"{s3.meta.endpoint_url}/{bucket}/{key}"


def _how_to_use(stage: str, api: str, secret: str) -> str:
    return "\n".join(
        [
            f"webhook  {api}/v1/webhooks/github. This prints its secret:",
            f"         aws secretsmanager get-secret-value --secret-id {secret} "
            "--query SecretString --output text",
            "This makes a token and sets the variables of the README's session:",
            f"  export API={api} TOKEN=$(make token STAGE={stage})",
        ]
    )


def main(arguments: Sequence[str] | None = None, package: Package | None = None) -> None:
    """Deploy one stage to the account and region of the AWS credentials."""
    parser = argparse.ArgumentParser(prog="make deploy", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    parser.add_argument("parameters", nargs="*", type=assignment, metavar="Name=value")
    parser.add_argument("--yes", action="store_true", help="change the stacks without a question")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="RESOURCE",
        help="let this deploy replace or remove this table or bucket; may be repeated",
    )
    options = parser.parse_intermixed_args(arguments)
    choices = Choices(dict(options.parameters), frozenset(options.allow), options.yes)
    try:
        deploy(options.stage, choices, package)
    except (Refused, PackagingFailed) as refusal:
        sys.exit(str(refusal))
    except (BotoCoreError, ClientError, WaiterError, PynamoDBException, Unavailable) as error:
        sys.exit(
            f"{error}\nFix the cause (see the events of the stack, and whether these credentials "
            "may write to the stage's tables) and run this again: it will "
            "continue where it stopped."
        )


if __name__ == "__main__":
    main()
