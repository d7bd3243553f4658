"""What of the application's stack has been deployed by another command than `make deploy`.

CloudFormation does not see this: it compares a new template with the last one.
"""

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import boto3

from infra.api_stage import STAGE
from infra.functions import FUNCTIONS

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

# The code's key in the bucket begins with the SHA-256 of the package: `_upload` in infra/deploy.py.
_PACKAGE = re.compile(r"/([0-9a-f]{64})[^/]*\.zip$")


def read_template(cloudformation: "CloudFormationClient", stack: str) -> dict[str, Any]:
    """The template of an existing stack, as it was deployed."""
    body: Any = cloudformation.get_template(StackName=stack, TemplateStage="Original")
    text = body["TemplateBody"]
    template: dict[str, Any] = json.loads(text) if isinstance(text, str) else text
    return template


def names_in_aws(cloudformation: "CloudFormationClient", stack: str) -> dict[str, str]:
    """The names of a stack's resources in AWS, by logical id."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
        if each.get("PhysicalResourceId")
    }


def redeployed_outside(session: boto3.Session, stack: str) -> list[str]:
    """Logical ids of functions with other code, and of the API if it has another definition."""
    cloudformation, functions = session.client("cloudformation"), session.client("lambda")
    resources = read_template(cloudformation, stack)["Resources"]
    names = names_in_aws(cloudformation, stack)
    changed = []
    # An earlier version may have fewer functions.
    for function in resources.keys() & set(FUNCTIONS):
        package = _PACKAGE.search(str(resources[function]["Properties"]["CodeUri"]))
        if package is not None and function in names:
            found = functions.get_function_configuration(FunctionName=names[function])
            if found["CodeSha256"] != base64.b64encode(bytes.fromhex(package[1])).decode():
                changed.append(function)
    if "RestAPI" in names:
        # SAM makes a deployment of the API from each definition, and names it by its hash.
        ours = {name for each, name in names.items() if each.startswith("RestAPIDeployment")}
        stages = session.client("apigateway").get_stages(restApiId=names["RestAPI"])["item"]
        if any(each["stageName"] == STAGE and each["deploymentId"] not in ours for each in stages):
            changed.append("RestAPI")
    return sorted(changed)
