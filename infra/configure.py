"""`make configure` lets `chalice deploy` deploy the application of one stage, from this checkout.

It writes a project of Chalice's into `.chalice/stages/<stage>`: the code, the libraries with their
hashes, the settings of the stage, and the names of its functions, rules and API as Chalice's state.
So `chalice deploy` updates what the application's stack has made, and makes nothing beside it.

All of this is read from CloudFormation and written again before each `chalice deploy`: nothing is
lost with these files, and they hold no secret. chalicelib/checkout.py starts `deploy_with_chalice`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from chalicelib.domain.schema import SCHEMA
from infra.api_stage import STAGE
from infra.deploy import (
    Choices,
    Package,
    application_template,
    deploy_application,
    environment_of,
    find_installation,
)
from infra.drift import names_in_aws, read_template
from infra.functions import HANDLERS, function_name
from infra.gateway_responses import gateway_responses
from infra.indexes import read_part
from infra.lean import OURS
from infra.package import (
    LAMBDA_PLATFORM,
    ROOT,
    Installation,
    PackagingFailed,
    stack_template,
    write_package,
)
from infra.rules import rule_name
from infra.stacks import Refused, find_outputs, find_stack, open_session
from infra.upgrade import read_schema, why_not

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

PROJECTS = ROOT / ".chalice/stages"
# All that a request or an event passes through. `chalice deploy` changes only the code and routes.
_CHECKED = frozenset(
    {
        "AWS::Events::Rule",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Lambda::Permission",
        "AWS::SQS::Queue",
        "AWS::SQS::QueuePolicy",
        "AWS::Serverless::Api",
        "AWS::Serverless::Function",
    }
)


@dataclass(frozen=True)
class Place:
    """Where a configured stage is, and for which processor its libraries are."""

    account: str
    region: str
    platform: str


@dataclass(frozen=True)
class Packaged:
    """A stage of this checkout: its outputs, and its package and template in `output`."""

    session: boto3.Session
    stage: str
    to: Installation
    outputs: Mapping[str, str]
    output: Path

    @property
    def stack(self) -> str:
        return f"{self.to.prefix}-app"


def configure(stage: str, *, yes: bool, package: Package, platform: str) -> None:
    """Write the settings of a stage for `chalice deploy`, and set what Chalice cannot set.

    Creates the application's stack if there is none. `package` is `write_package` for `platform`.
    Raises Refused.
    """
    made = _package(stage, package)
    place = Place(made.to.account, made.to.region, platform)
    if find_stack(made.session.client("cloudformation"), made.stack) is None:
        print(f"The application of {stage} is not deployed, so its stack is created first.")
        choices = Choices({}, yes=yes)
        deploy_application(made.session, made.to.prefix, made.outputs, made.output, choices)
    _write_project(made, place)
    _set_the_rest(made)
    print(
        f"This checkout is configured for {stage} in account {place.account}, {place.region}.\n"
        f"Deploy its code and routes with: chalice deploy --stage {stage}"
    )


def deploy_with_chalice(stage: str) -> int:
    """Let Chalice deploy the code and routes of this checkout, and set the rest; its exit status.

    Raises Refused before anything is changed if the credentials are for another place than the
    stage was configured for, or if more has changed than code and routes.
    """
    place = Place(**json.loads(_place_of(stage).read_text()))

    def package(output: Path, *, stage: str, to: Installation) -> None:
        if (to.account, to.region) != (place.account, place.region):
            raise Refused(
                f"Nothing was done: {stage} is configured for account {place.account}, "
                f"{place.region}, and these credentials are for {to.account}, {to.region}.\n"
                f"Use the right ones, or run `make configure STAGE={stage}` again."
            )
        write_package(output, stage=stage, to=to, platform=place.platform)

    made = _package(stage, package)
    project = _write_project(made, place)
    chalice = str(Path(sys.executable).with_name("chalice"))
    command = [chalice, "--project-dir", str(project), "deploy", "--stage", stage]
    functions = ", ".join(function_name(made.to.prefix, each) for each in HANDLERS.values())
    routes = f"the routes of the API {made.to.prefix}"
    print(f"Chalice replaces the code of {functions}, and {routes}.", flush=True)
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status == 0:
        _set_the_rest(made)
    else:
        sys.stderr.write(
            "Chalice has not finished, so the functions may have different code.\n"
            f"Fix the cause and run this again, or run: make deploy STAGE={stage}\n"
        )
    return status


def _package(stage: str, package: Package) -> Packaged:
    session, prefix = open_session(), f"slipway-{stage}"
    base = find_stack(session.client("cloudformation"), prefix)
    if base is None or not base.outputs:
        raise Refused(
            f"The stage {stage} is not deployed to {session.region_name} in this account.\n"
            f"Deploy it first: make deploy STAGE={stage}"
        )
    to = find_installation(session, prefix, base.parameters)
    output = ROOT / "build" / stage
    print(f"account {to.account}, region {to.region}: packaging", flush=True)
    package(output, stage=stage, to=to)
    _refuse_other_tables(session, stage, prefix)
    return Packaged(session, stage, to, base.outputs, output)


def _refuse_other_tables(session: boto3.Session, stage: str, prefix: str) -> None:
    """Raises Refused if the code may need what the stage's stack or rows do not have."""
    if not _same_template(session.client("cloudformation"), prefix, stack_template()):
        raise Refused(
            f"Nothing was done: the template of the stack {prefix} is not that of this checkout.\n"
            f"Deploy it with: make deploy STAGE={stage}"
        )
    stored = read_schema(session.client("dynamodb"), prefix)
    if unusable := why_not(stored):
        raise Refused(unusable)
    if stored < SCHEMA:
        raise Refused(
            f"Nothing was done: rows have schema {stored}, and {SCHEMA} needs a migration.\n"
            f"Run it with: make deploy STAGE={stage}"
        )


def _same_template(cloudformation: "CloudFormationClient", stack: str, template: str) -> bool:
    """Whether a stack was last deployed with this template, which is YAML.

    CloudFormation keeps the former template if only descriptions or policies of deletion change. So
    they are not compared: `make deploy` would not help.
    """
    found: Any = cloudformation.get_template(StackName=stack, TemplateStage="Original")
    body = found["TemplateBody"]
    return isinstance(body, str) and _essence(body) == _essence(template)


def _essence(template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    resources = read_part(template, "Resources")
    return (
        {name: (each["Type"], each.get("Properties")) for name, each in resources.items()},
        {name: each["Value"] for name, each in read_part(template, "Outputs").items()},
    )


def _place_of(stage: str) -> Path:
    return PROJECTS / stage / "place.json"


def _write_project(made: Packaged, place: Place) -> Path:
    """Write the project for Chalice; return its directory. Raises Refused."""
    cloudformation = made.session.client("cloudformation")
    if find_stack(cloudformation, made.stack) is None:
        raise Refused(
            f"Nothing was done: the application of {made.stage} is not deployed.\n"
            f"Run `make configure STAGE={made.stage}` first."
        )
    _refuse_other_changes(made, read_template(cloudformation, made.stack))
    names = names_in_aws(cloudformation, made.stack)
    functions = made.session.client("lambda")
    found = {
        handler: functions.get_function(FunctionName=names[logical_id])
        for logical_id, handler in HANDLERS.items()
    }
    sources = {
        HANDLERS[each]: _source(functions, names[each], what)
        for each, what in (("OnWakeup", "wake-ups"), ("OnTelling", "tellings"))
    }
    project = PROJECTS / made.stage
    shutil.rmtree(project, ignore_errors=True)
    _unpack(made.output / "deployment.zip", project)
    settings = project / ".chalice"
    address = find_outputs(cloudformation, made.stack)["EndpointURL"].rstrip("/")
    _write(settings / "config.json", _config(made, found, address))
    state = _state(sources, names, found, made)
    _write(settings / "deployed" / f"{made.stage}.json", state)
    # The last one: the stage is configured if it is there.
    _write(_place_of(made.stage), vars(place))
    return project


def _refuse_other_changes(made: Packaged, deployed: Mapping[str, Any]) -> None:
    sam = (made.output / "sam.json").read_text()
    ours = json.loads(application_template(sam, code="", environment=environment_of(made.outputs)))
    left, right = (_without_code_and_routes(each["Resources"]) for each in (deployed, ours))
    changed = sorted(name for name in left | right if left.get(name) != right.get(name))
    if changed:
        raise Refused(
            f"Nothing was done: not only code and routes have changed: {', '.join(changed)}.\n"
            f"Deploy this with: make deploy STAGE={made.stage}"
        )


def _without_code_and_routes(resources: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {
            key: each
            for key, each in resource["Properties"].items()
            if key not in {"CodeUri", "DefinitionBody"}
        }
        for name, resource in resources.items()
        if resource["Type"] in _CHECKED
    }


def _unpack(package: Path, project: Path) -> None:
    """Unpack the lean package: our files, and the libraries to `vendor`, which Chalice ships."""
    with zipfile.ZipFile(package) as archive:
        for entry in archive.infolist():
            first = Path(entry.filename).parts[0]
            # Chalice adds its own runtime.
            if first not in {"chalice", "__pycache__"}:
                place = archive.extract(entry, project if first in OURS else project / "vendor")
                # Lambda's user is another one than the owner of the files.
                os.chmod(place, 0o644)


def _config(made: Packaged, found: Mapping[str, Any], address: str) -> dict[str, Any]:
    """Chalice's configuration: that of the example, with the stage's own values.

    `address` is that of the API.
    """
    config: dict[str, Any] = json.loads((ROOT / ".chalice/config.json").read_text())
    del config["environment_variables"]
    limits = config.pop("lambda_functions")
    variables = environment_of(made.outputs)
    secret = {"WEBHOOK_SECRET": variables.pop("WEBHOOK_SECRET")}
    stage: dict[str, Any] = {
        "environment_variables": variables,
        "manage_iam_role": False,
        "lambda_functions": {
            handler: {
                **limits[handler],
                "iam_role_arn": function["Configuration"]["Role"],
                # Chalice removes tags that it does not know, and Lambda refuses to remove AWS's.
                "tags": function.get("Tags", {}),
                # Chalice removes a reservation that it does not know.
                "reserved_concurrency": function.get("Concurrency", {}).get(
                    "ReservedConcurrentExecutions"
                ),
            }
            for handler, function in found.items()
        },
    }
    # As `application_template` in infra/deploy.py. The first is only a reference.
    stage["lambda_functions"]["api_handler"]["environment_variables"] = secret
    stage["lambda_functions"]["on_telling"]["environment_variables"] = {
        "PUBLIC_URL": variables.get("PUBLIC_URL", address)
    }
    return {**config, "stages": {made.stage: stage}}


def _source(functions: Any, function: str, what: str) -> Mapping[str, Any]:
    """The mapping with which a queue invokes the function. Raises Refused if there is none.

    `what` are the messages of the queue.
    """
    mappings = functions.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    if not mappings:
        raise Refused(
            f"Nothing was done: no queue invokes {function}. Its trigger was deleted by hand.\n"
            f"In Lambda's console, add the stage's queue of {what} as a trigger of {function}."
            " Then run this again."
        )
    mapping: Mapping[str, Any] = mappings[0]
    return mapping


def _state(
    sources: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    found: Mapping[str, Any],
    made: Packaged,
) -> dict[str, Any]:
    """What Chalice would have written after it had made these resources (1.34, planner.py)."""
    arns = {handler: each["Configuration"]["FunctionArn"] for handler, each in found.items()}
    to = made.to
    resources: list[dict[str, str]] = [
        {"resource_type": "lambda_function", "name": handler, "lambda_arn": arn}
        for handler, arn in arns.items()
    ]
    resources += [
        *(
            {
                "resource_type": "sqs_event",
                "name": f"{handler}-sqs-event-source",
                "queue": source["EventSourceArn"].rpartition(":")[2],
                "queue_arn": source["EventSourceArn"],
                "event_uuid": source["UUID"],
                "lambda_arn": arns[handler],
            }
            for handler, source in sources.items()
        ),
        *(
            {
                "resource_type": "cloudwatch_event",
                "name": f"{handler}-event",
                "rule_name": rule_name(to.prefix, handler),
            }
            for handler in ("on_cloud_event", "on_schedule")
        ),
        {"resource_type": "rest_api", "name": "rest_api", "rest_api_id": names["RestAPI"]},
    ]
    return {"schema_version": "2.0", "backend": "api", "resources": resources}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _set_the_rest(made: Packaged) -> None:
    """Set the answers of API Gateway's own errors, which Chalice's definition of the API lacks."""
    # An account may create one deployment in five seconds ("Amazon API Gateway quotas"), and
    # Chalice has just created one.
    patient = Config(retries={"mode": "standard", "total_max_attempts": 8})
    apigateway = made.session.client("apigateway", config=patient)
    names = names_in_aws(made.session.client("cloudformation"), made.stack)
    set_responses(apigateway, names["RestAPI"])


def set_responses(apigateway: Any, api: str) -> bool:
    """Set the API's gateway responses, and deploy them; whether any was missing or different."""
    wanted = gateway_responses()
    seen = {
        each["responseType"]: {key: each.get(key) for key in wanted[each["responseType"]]}
        for each in apigateway.get_gateway_responses(restApiId=api, limit=500)["items"]
        if each["responseType"] in wanted
    }
    missing = {kind: each for kind, each in wanted.items() if seen.get(kind) != each}
    if missing:
        print("setting what Chalice does not: the error answers of API Gateway", flush=True)
    for kind, response in missing.items():
        apigateway.put_gateway_response(
            restApiId=api,
            responseType=kind,
            **response,
        )
    if missing:
        apigateway.create_deployment(restApiId=api, stageName=STAGE)
    return bool(missing)


def main(
    arguments: Sequence[str] | None = None,
    package: Package = write_package,
    platform: str = LAMBDA_PLATFORM,
) -> None:
    """Configure this checkout so that `chalice deploy --stage STAGE` deploys the stage."""
    parser = argparse.ArgumentParser(prog="make configure", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    parser.add_argument("--yes", action="store_true", help="create a stack without a question")
    # What chalicelib/checkout.py asks for.
    parser.add_argument("--chalice", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.chalice:
            sys.exit(deploy_with_chalice(options.stage))
        configure(options.stage, yes=options.yes, package=package, platform=platform)
    except (Refused, PackagingFailed) as refusal:
        sys.exit(str(refusal))
    except (BotoCoreError, ClientError, WaiterError) as error:
        sys.exit(f"{error}\nFix the cause and run this again: it may be repeated.")


if __name__ == "__main__":
    main()
