"""`make deploy`: the stack, then the application, both by CloudFormation.

CloudFormation keeps the state, so a deploy may be run from any clone, and one that fails is rolled
back. `chalice deploy` would keep it in a file of the clone and make a second API when that is lost.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from infra.package import ROOT, Installation, stack_template, write_package

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import ParameterTypeDef


def environment_of(outputs: Mapping[str, str]) -> dict[str, str]:
    """The application's environment: each output of the stack under the variable of its name.

    The webhook's secret is a dynamic reference: CloudFormation alone reads what is behind it.
    """
    values = {name: value for name, value in outputs.items() if name != "Packages"}
    values["WebhookSecret"] = f"{{{{resolve:secretsmanager:{outputs['WebhookSecret']}}}}}"
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper(): values[name] for name in values}


def apply_stack(
    cloudformation: "CloudFormationClient",
    name: str,
    template: Mapping[str, str],
    parameters: Mapping[str, str],
) -> dict[str, str]:
    """Create or update the stack `name`, wait for it, and return its outputs.

    `template` is TemplateBody or TemplateURL. Parameters of an existing stack that are not given
    keep their values. Raises ClientError or WaiterError.
    """
    known = _known_parameters(cloudformation, name)
    given: list[ParameterTypeDef] = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
    ]
    capabilities = {"Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]}
    request = {"StackName": name, **template, **capabilities}
    if known is None:
        cloudformation.create_stack(**request, Parameters=given)  # type: ignore[arg-type]
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name)
    else:
        kept = [{"ParameterKey": k, "UsePreviousValue": True} for k in known - set(parameters)]
        if _update(cloudformation, request | {"Parameters": [*given, *kept]}):
            cloudformation.get_waiter("stack_update_complete").wait(StackName=name)
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}


def _known_parameters(cloudformation: "CloudFormationClient", name: str) -> set[str] | None:
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return {parameter["ParameterKey"] for parameter in stack.get("Parameters", [])}


def _update(cloudformation: "CloudFormationClient", request: dict[str, object]) -> bool:
    try:
        cloudformation.update_stack(**request)  # type: ignore[arg-type]
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    return True


def deploy(stage: str, parameters: Mapping[str, str]) -> str:
    """Bring one stage to AWS and return the API's URL."""
    session = boto3.Session()
    identity = session.client("sts").get_caller_identity()
    installation = Installation(
        account=identity["Account"],
        region=session.client("sts").meta.region_name,
        partition=identity["Arn"].split(":")[1],
        prefix=f"slipway-{stage}",
    )
    print(f"account {installation.account}, {installation.region}: stack {installation.prefix}")
    cloudformation = session.client("cloudformation")
    names = {"ResourcePrefix": installation.prefix, "BuildLogDir": f"/{installation.prefix}"}
    outputs = apply_stack(
        cloudformation,
        installation.prefix,
        {"TemplateBody": stack_template()},
        {**names, **parameters},
    )
    output = ROOT / "build" / stage
    write_package(output, stage=stage, to=installation, environment=environment_of(outputs))
    url = _upload(session, outputs["Packages"], output)
    print(f"stack {installation.prefix}-app")
    application = apply_stack(
        cloudformation, f"{installation.prefix}-app", {"TemplateURL": url}, {}
    )
    return application["EndpointURL"]


def _upload(session: boto3.Session, bucket: str, output: Path) -> str:
    """Put the package into the bucket, named by its contents; returns the template's URL."""
    s3 = session.client("s3")

    def put(content: bytes, suffix: str) -> str:
        key = hashlib.sha256(content).hexdigest() + suffix
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        return key

    code = put((output / "deployment.zip").read_bytes(), ".zip")
    template = json.loads((output / "sam.json").read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://{bucket}/{code}"
    key = put(json.dumps(template).encode(), ".json")
    return f"https://{bucket}.s3.{s3.meta.region_name}.amazonaws.com/{key}"


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form Name=value")
    return name, value


def main(arguments: Sequence[str] | None = None) -> None:
    """Deploy one stage to the account and region that the AWS credentials are for."""
    parser = argparse.ArgumentParser(prog="make deploy", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    parser.add_argument("parameters", nargs="*", type=_assignment, metavar="Name=value")
    options = parser.parse_args(arguments)
    try:
        url = deploy(options.stage, dict(options.parameters))
    except (BotoCoreError, ClientError, WaiterError) as error:
        sys.exit(
            f"{error}\nCheck credentials and region (`aws sts get-caller-identity`) and the events "
            "of the stack, then run it again: CloudFormation has rolled back what failed."
        )
    except subprocess.CalledProcessError as error:
        sys.exit(f"chalice package failed ({error.returncode}): its message is above.")
    print(f"API      {url}\nwebhook  {url.rstrip('/')}/v1/webhooks/github")


if __name__ == "__main__":
    main()
