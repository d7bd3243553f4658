"""What `make configure` writes, and that Chalice with it makes nothing new.

No stack is deployed here, because moto does not know SAM: `make rehearse` does that.
"""

import base64
import hashlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore import xform_name
from chalice.awsclient import TypedAWSClient
from moto.server import ThreadedMotoServer

from chalicelib.domain.schema import ROW, SCHEMA
from infra import configure, drift
from infra.configure import Packaged, Place, set_responses
from infra.deploy import application_template, environment_of
from infra.functions import HANDLERS, function_name
from infra.gateway_responses import gateway_responses
from infra.package import LAMBDA_PLATFORM, Installation, package_application, write_application
from infra.rules import rule_name
from infra.stacks import Refused
from tests.infra.test_permissions import is_granted
from tests.support.sdk import record_calls

ACCOUNT, REGION, PREFIX = "123456789012", "eu-west-1", "slipway-dev"
SECRET = f"secretsmanager:arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{PREFIX}/webhook-AbCdEf"
TO = Installation(ACCOUNT, REGION, prefix=PREFIX)
PLACE = Place(ACCOUNT, REGION, LAMBDA_PLATFORM)
OUTPUTS = {
    "WebhookSecret": SECRET,
    "JobWorkers": "4",
    "TablePrefix": PREFIX,
    "QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{PREFIX}-wakeups",
    "Registry": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
    "Packages": "packages",
    "TaskRoles": "ecs-*",
}
ADDRESS = f"https://a1b2c3.execute-api.{REGION}.amazonaws.com/api"
TRUST = '{"Version": "2012-10-17", "Statement": []}'


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the stage dev, with one file of a library: a test must not download."""
    directory = tmp_path_factory.mktemp("package")
    application = directory / "application"
    write_application(application, TO)
    (application / "vendor").mkdir()
    (application / "vendor/library.py").write_text("")
    package_application(application, directory, stage="dev", region=REGION, prefix=PREFIX)
    return directory


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An AWS of this test's own, for this process and for others; gives its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    # Servers of one process share their state.
    reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    with urllib.request.urlopen(reset):
        yield f"http://{host}:{port}"
    server.stop()


def _code(text: str = "") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), text)
    return made.getvalue()


def _tags(logical_id: str) -> dict[str, str]:
    return {
        "aws-chalice": "version=1.34.0:stage=dev:app=slipway",
        "aws:cloudformation:logical-id": logical_id,
        "aws:cloudformation:stack-name": f"{PREFIX}-app",
        "lambda:createdBy": "SAM",
    }


@pytest.fixture
def names(aws: str) -> dict[str, str]:
    """The resources of an application's stack in AWS, by logical id."""
    functions, iam = boto3.client("lambda"), boto3.client("iam")
    sqs = boto3.client("sqs")
    sqs.create_queue(QueueName=f"{PREFIX}-wakeups")
    sqs.create_queue(QueueName=f"{PREFIX}-tellings.fifo", Attributes={"FifoQueue": "true"})
    found = {}
    for logical_id, handler in HANDLERS.items():
        role = iam.create_role(RoleName=f"{handler}-role", AssumeRolePolicyDocument=TRUST)
        made = functions.create_function(
            FunctionName=function_name(PREFIX, handler),
            Runtime="python3.11",
            Role=role["Role"]["Arn"],
            Handler="app.app",
            Code={"ZipFile": _code()},
            Tags=_tags(logical_id),
        )
        found[logical_id] = made["FunctionName"]
    functions.put_function_concurrency(
        FunctionName=found["OnWakeup"], ReservedConcurrentExecutions=10
    )
    for logical_id, queue in (("OnWakeup", "wakeups"), ("OnTelling", "tellings.fifo")):
        functions.create_event_source_mapping(
            EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{PREFIX}-{queue}",
            FunctionName=found[logical_id],
            BatchSize=1,
        )
    found["RestAPI"] = boto3.client("apigateway").create_rest_api(name=PREFIX)["id"]
    return found


@pytest.fixture
def made(output: Path, aws: str) -> Packaged:
    return Packaged(boto3.Session(), "dev", TO, OUTPUTS, output)


@pytest.fixture
def deployed(
    output: Path, names: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, Any]:
    """The template of the application's stack, which is that of this checkout."""
    template: dict[str, Any] = json.loads(
        application_template(
            (output / "sam.json").read_text(),
            code="s3://packages/code.zip",
            environment=environment_of(OUTPUTS),
        )
    )
    monkeypatch.setattr(configure, "find_stack", lambda *_: True)
    monkeypatch.setattr(configure, "find_outputs", lambda *_: {"EndpointURL": f"{ADDRESS}/"})
    monkeypatch.setattr(configure, "names_in_aws", lambda *_: names)
    monkeypatch.setattr(configure, "read_template", lambda *_: template)
    monkeypatch.setattr(configure, "PROJECTS", tmp_path / "stages")
    return template


def _plan(project: Path, aws: str) -> str:
    """What `chalice deploy` would call, in Chalice's own words."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("chalice"),
            *("--project-dir", project, "dev", "plan", "--stage", "dev"),
        ],
        env={**os.environ, "AWS_ENDPOINT_URL": aws, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_chalice_updates_what_the_stack_has_made_and_makes_nothing(
    made: Packaged, deployed: dict[str, Any], names: dict[str, str], aws: str
) -> None:
    plan = _plan(configure._write_project(made, PLACE), aws)
    methods = [line.split()[-1] for line in plan.splitlines() if "method_name:" in line]
    # This call gives an existing rule its pattern. It makes a rule only if the name is new.
    rules = methods.count("get_or_create_rule_arn")
    assert rules == 2
    assert {name for name in methods if name.startswith(("create", "import", "delete"))} == {
        "delete_function_concurrency"  # of the four functions without a reservation
    }
    assert methods.count("update_function") == 5
    assert methods.count("delete_function_concurrency") == 4
    assert methods.count("put_function_concurrency") == 1
    assert methods.count("update_lambda_event_source") == 2
    assert methods.count("update_api_from_swagger") == 1
    resources = deployed["Resources"]
    for logical_id, handler in HANDLERS.items():
        name = function_name(PREFIX, handler)
        assert resources[logical_id]["Properties"]["FunctionName"] == name
        assert re.search(rf"function_name: {name} *$", plan, re.MULTILINE)
    for logical_id in ("OnCloudEvent", "OnSchedule"):
        rule = resources[f"{logical_id}Rule"]["Properties"]
        assert rule["Name"] == rule_name(PREFIX, HANDLERS[logical_id])
        assert rule["Name"] in plan
        assert [target["Id"] for target in rule["Targets"]] == ["1"]
    assert f"'title': '{PREFIX}'" in plan


@pytest.mark.parametrize(
    ("function", "messages"), [("OnWakeup", "wake-ups"), ("OnTelling", "tellings")]
)
def test_a_function_without_its_queue_is_said_before_anything_is_written(
    made: Packaged, deployed: dict[str, Any], names: dict[str, str], function: str, messages: str
) -> None:
    functions, name = boto3.client("lambda"), names[function]
    (source,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    functions.delete_event_source_mapping(UUID=source["UUID"])
    with pytest.raises(Refused, match=f"no queue invokes {name}.*\n.*queue of {messages}"):
        configure._write_project(made, PLACE)
    assert not (configure.PROJECTS / "dev").exists()


def _operations(method: str, seen: set[str]) -> set[str]:
    """What a method of Chalice's client calls, as `service.Operation`."""
    if method in seen:
        return set()
    seen.add(method)
    text = inspect.getsource(getattr(TypedAWSClient, method))
    names = set(re.findall(r"\.(\w+)\b", text))
    found = {
        f"{service}.{operation}"
        for service in re.findall(r"_client\(['\"](\w+)['\"]\)", text)
        for operation in botocore.session.get_session().get_service_model(service).operation_names
        if xform_name(operation) in names
    }
    used = set(re.findall(r"self\.(\w+)\(", text)) & set(dir(TypedAWSClient)) - {"_client"}
    return found.union(*(_operations(each, seen) for each in used))


def test_the_deployers_policy_allows_what_configure_and_chalice_call(
    made: Packaged,
    deployed: dict[str, Any],
    names: dict[str, str],
    aws: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _add_a_method(names["RestAPI"])
    calls = record_calls(monkeypatch)
    project = configure._write_project(made, PLACE)
    set_responses(boto3.client("apigateway"), names["RestAPI"])
    planned = re.findall(r"method_name: (\w+)", _plan(project, aws))
    # These read what the plan is made from (1.34, deploy/planner.py).
    reads = ["get_rest_api", "lambda_function_exists", "verify_event_source_current"]
    called = {*calls.counted}.union(*(_operations(each, set()) for each in (*planned, *reads)))
    assert {
        "lambda.ListEventSourceMappings",
        "lambda.UpdateFunctionCode",
        "lambda.UpdateEventSourceMapping",
        "events.PutRule",
        "events.PutTargets",
    } <= called
    # API Gateway's actions are the methods of HTTP, on the paths of the API.
    gateway = {"apigateway.PutRestApi", "apigateway.CreateDeployment", "apigateway.UpdateRestApi"}
    assert gateway <= called
    others = {name for name in called if not name.startswith("apigateway.")}
    assert [name for name in others if not is_granted(name)] == []
    assert all(is_granted(f"apigateway.{each}") for each in ("GET", "PATCH", "POST", "PUT"))


OWN_VARIABLES = {
    "api_handler": {"WEBHOOK_SECRET": SECRET},
    "on_telling": {"PUBLIC_URL": ADDRESS},
}


def test_the_settings_are_those_of_the_stage(
    made: Packaged, deployed: dict[str, Any], names: dict[str, str]
) -> None:
    project = configure._write_project(made, PLACE)
    config = json.loads((project / ".chalice/config.json").read_text())
    assert "environment_variables" not in config
    assert list(config["stages"]) == ["dev"]
    stage = config["stages"]["dev"]
    variables = environment_of(OUTPUTS)
    del variables["WEBHOOK_SECRET"]
    assert stage["environment_variables"] == variables
    assert stage["manage_iam_role"] is False
    for logical_id, handler in HANDLERS.items():
        function = stage["lambda_functions"][handler]
        template = deployed["Resources"][logical_id]["Properties"]
        assert function["lambda_timeout"] == template["Timeout"]
        assert function["lambda_memory_size"] == template["MemorySize"]
        assert function["iam_role_arn"] == f"arn:aws:iam::{ACCOUNT}:role/{handler}-role"
        assert function["tags"] == _tags(logical_id)
        own = OWN_VARIABLES.get(handler)
        assert function.get("environment_variables") == own
        seen = {**variables, **(own or {})}
        set_by_stack = dict(template["Environment"]["Variables"])
        if handler == "on_telling":  # CloudFormation fills in the same address
            assert set_by_stack["PUBLIC_URL"]["Fn::Sub"].startswith("https://${RestAPI}.execute-")
            set_by_stack["PUBLIC_URL"] = ADDRESS
        assert set_by_stack == seen


def test_an_address_of_its_own_is_that_of_the_stage(
    made: Packaged, deployed: dict[str, Any], output: Path
) -> None:
    own = replace(made, outputs={**OUTPUTS, "PublicUrl": "https://slipway.example"})
    sam = (output / "sam.json").read_text()
    environment = environment_of(own.outputs)
    deployed |= json.loads(application_template(sam, code="", environment=environment))
    project = configure._write_project(own, PLACE)
    stage = json.loads((project / ".chalice/config.json").read_text())["stages"]["dev"]
    assert stage["lambda_functions"]["on_telling"]["environment_variables"] == {
        "PUBLIC_URL": "https://slipway.example"
    }


def test_the_project_has_our_code_and_the_libraries_and_no_requirements(
    made: Packaged, deployed: dict[str, Any]
) -> None:
    project = configure._write_project(made, PLACE)
    assert (project / "app.py").exists()
    assert (project / "chalicelib/access.py").exists()
    # Chalice would install these without their hashes.
    assert not (project / "requirements.txt").exists()
    assert [path.name for path in (project / "vendor").iterdir()] == ["library.py"]
    files = [path for path in project.rglob("*") if path.is_file()]
    shipped = [path for path in files if ".chalice" not in path.relative_to(project).parts]
    assert {path.stat().st_mode & 0o777 for path in shipped if path.name != "place.json"} == {0o644}


def test_other_changes_than_code_and_routes_need_make_deploy(
    made: Packaged, deployed: dict[str, Any]
) -> None:
    resources = deployed["Resources"]
    resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"] = {}
    configure._write_project(made, PLACE)
    resources["OnWakeup"]["Properties"]["Timeout"] = 1
    resources["OnScheduleRole"]["Properties"]["Policies"] = []
    del resources["OnCloudEventRule"]
    with pytest.raises(Refused) as refused:
        configure._write_project(made, PLACE)
    assert str(refused.value).splitlines() == [
        "Nothing was done: not only code and routes have changed: OnCloudEventRule, "
        "OnScheduleRole, OnWakeup.",
        "Deploy this with: make deploy STAGE=dev",
    ]


def test_the_answers_of_api_gateway_are_set_once(names: dict[str, str]) -> None:
    apigateway, api = boto3.client("apigateway"), names["RestAPI"]
    _add_a_method(api)
    assert set_responses(apigateway, api) is True
    items = apigateway.get_gateway_responses(restApiId=api)["items"]
    assert {each["responseType"]: each["statusCode"] for each in items} == {
        kind: each["statusCode"] for kind, each in gateway_responses().items()
    }
    assert len(apigateway.get_deployments(restApiId=api)["items"]) == 1
    assert set_responses(apigateway, api) is False
    assert len(apigateway.get_deployments(restApiId=api)["items"]) == 1


def test_a_deploy_finds_what_another_command_has_deployed(
    names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"s3://packages/{hashlib.sha256(_code()).hexdigest()}"
    resources = {each: {"Properties": {"CodeUri": f"{key}.zip"}} for each in HANDLERS}
    # A forced deploy adds a text to the key.
    resources["OnSchedule"]["Properties"]["CodeUri"] = f"{key}-ab12.zip"
    apigateway, api = boto3.client("apigateway"), names["RestAPI"]
    _add_a_method(api)
    ours = apigateway.create_deployment(restApiId=api, stageName="api")["id"]
    stack = {**names, "RestAPIDeployment0123456789": ours}
    monkeypatch.setattr(drift, "read_template", lambda *_: {"Resources": resources})
    monkeypatch.setattr(drift, "names_in_aws", lambda *_: stack)
    code = boto3.client("lambda")
    sums = {code.get_function_configuration(FunctionName=names[f])["CodeSha256"] for f in HANDLERS}
    assert sums == {base64.b64encode(hashlib.sha256(_code()).digest()).decode()}
    assert drift.redeployed_outside(boto3.Session(), f"{PREFIX}-app") == []
    code.update_function_code(FunctionName=names["OnSchedule"], ZipFile=_code("other"))
    assert drift.redeployed_outside(boto3.Session(), f"{PREFIX}-app") == ["OnSchedule"]
    apigateway.create_deployment(restApiId=api, stageName="api")
    assert drift.redeployed_outside(boto3.Session(), f"{PREFIX}-app") == ["OnSchedule", "RestAPI"]
    # An earlier version may have fewer functions.
    del resources["OnTelling"], names["OnTelling"]
    assert drift.redeployed_outside(boto3.Session(), f"{PREFIX}-app") == ["OnSchedule", "RestAPI"]


def _add_a_method(api: str) -> None:
    """An API without a method cannot be deployed."""
    apigateway = boto3.client("apigateway")
    root = apigateway.get_resources(restApiId=api)["items"][0]["id"]
    at: Any = {"restApiId": api, "resourceId": root, "httpMethod": "GET"}
    apigateway.put_method(**at, authorizationType="NONE")
    apigateway.put_integration(**at, type="MOCK")


def test_a_stage_that_is_not_deployed_is_deployed_first(aws: str) -> None:
    with pytest.raises(SystemExit) as ended:
        configure.main(["dev"])
    assert str(ended.value).splitlines() == [
        "The stage dev is not deployed to eu-west-1 in this account.",
        "Deploy it first: make deploy STAGE=dev",
    ]


def _base_stack() -> None:
    """The stack of the tables, with another template than this checkout's."""
    stack: dict[str, Any] = {
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"A": {"Value": "a"}},
    }
    keys = ("BuildLogDir", "TaskRoles")
    stack["Parameters"] = {key: {"Type": "String", "Default": key} for key in keys}
    boto3.client("cloudformation").create_stack(StackName=PREFIX, TemplateBody=json.dumps(stack))


def _no_package(output: Path, *, stage: str, to: Installation) -> None:
    """Write nothing: a package is not needed for this."""


def test_a_stage_with_another_stack_than_this_checkout_needs_make_deploy(
    aws: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code may need an index or an output that the stack does not have."""
    _base_stack()
    with pytest.raises(SystemExit) as ended:
        configure.main(["dev"], package=_no_package)
    assert str(ended.value).splitlines() == [
        "Nothing was done: the template of the stack slipway-dev is not that of this checkout.",
        "Deploy it with: make deploy STAGE=dev",
    ]
    assert capsys.readouterr().out == f"account {ACCOUNT}, region {REGION}: packaging\n"


@pytest.mark.parametrize(
    ("schema", "lines"),
    [
        (
            SCHEMA + 2,
            [
                f"The rows of this stage have schema {SCHEMA + 2}, and this version knows "
                f"{SCHEMA}.",
                "Check out a newer version.",
            ],
        ),
        (
            SCHEMA - 1,
            [
                f"Nothing was done: rows have schema {SCHEMA - 1}, and {SCHEMA} needs a migration.",
                "Run it with: make deploy STAGE=dev",
            ],
        ),
    ],
)
def test_rows_of_another_schema_need_more_than_chalice(
    schema: int, lines: list[str], aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _base_stack()
    monkeypatch.setattr(configure, "_same_template", lambda *_: True)
    boto3.client("dynamodb").create_table(
        TableName=f"{PREFIX}-claims",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    boto3.client("dynamodb").put_item(
        TableName=f"{PREFIX}-claims", Item={"id": {"S": ROW}, "value": {"N": str(schema)}}
    )
    with pytest.raises(SystemExit) as ended:
        configure.main(["dev"], package=_no_package)
    assert str(ended.value).splitlines() == lines


def test_the_template_of_the_stack_is_compared_as_it_was_deployed(aws: str) -> None:
    cloudformation = boto3.client("cloudformation")
    body = """\
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: one}}
Outputs:
  Name: {Description: It has a name., Value: !GetAtt Queue.QueueName}
"""
    cloudformation.create_stack(StackName=PREFIX, TemplateBody=body)

    def same(old: str, new: str) -> bool:
        return configure._same_template(cloudformation, PREFIX, body.replace(old, new))

    assert same("", "")
    assert same("It has", "This is")
    assert not same("Queue: {", "Other: {")
    assert not same("one", "two")
    assert not same("Name: {", "Other: {")
    assert not same("Queue.QueueName", "Queue.Arn")


def test_a_failed_deploy_of_chalice_says_what_to_do_next(
    made: Packaged,
    deployed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(configure, "_package", lambda *_: made)
    configure._write_project(made, PLACE)
    chalice = tmp_path / "chalice"
    chalice.write_text("#!/bin/sh\necho chalice runs\nexit 3\n")
    chalice.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SystemExit) as ended:
        configure.main(["dev", "--chalice"])
    assert ended.value.code == 3
    done = capfd.readouterr()
    assert done.out.splitlines() == [
        "Chalice replaces the code of slipway-dev, slipway-dev-on_wakeup, "
        "slipway-dev-on_telling, slipway-dev-on_cloud_event, slipway-dev-on_schedule, and the "
        "routes of the API slipway-dev.",
        "chalice runs",
    ]
    assert done.err.splitlines() == [
        "Chalice has not finished, so the functions may have different code.",
        "Fix the cause and run this again, or run: make deploy STAGE=dev",
    ]


def test_chalice_deploys_only_to_the_account_that_was_configured(
    aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _base_stack()
    monkeypatch.setattr(configure, "PROJECTS", tmp_path)
    (tmp_path / "dev").mkdir()
    other = {**vars(PLACE), "account": "210987654321"}
    (tmp_path / "dev/place.json").write_text(json.dumps(other))
    with pytest.raises(SystemExit) as ended:
        configure.main(["dev", "--chalice"])
    assert str(ended.value).splitlines() == [
        "Nothing was done: dev is configured for account 210987654321, eu-west-1, and these "
        "credentials are for 123456789012, eu-west-1.",
        "Use the right ones, or run `make configure STAGE=dev` again.",
    ]
