"""How a deploy combines the stack's outputs and Chalice's package. No stack is deployed here."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.domain.schema import SCHEMA
from infra import deploy, upgrade
from infra.deploy import application_template, environment_of, main, parameters_for
from infra.package import Installation, PackagingFailed, require_lambda_python
from infra.stacks import look_up

REFERENCE = (
    "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway-dev/webhook-AbCdEf"
)


def _template() -> str:
    function = {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "./deployment.zip"}}
    resources = {"APIHandler": function, "OnWakeup": function, "RestAPI": {"Type": "other"}}
    return json.dumps({"Resources": resources})


def test_each_output_becomes_a_variable_except_those_for_deploys() -> None:
    outputs = {
        "WebhookSecret": REFERENCE,
        "CodebuildProject": "b",
        "Packages": "p",
        "TaskRoles": "*",
    }
    assert environment_of(outputs) == {"WEBHOOK_SECRET": REFERENCE, "CODEBUILD_PROJECT": "b"}


def test_only_the_api_gets_the_webhook_secret() -> None:
    environment = {"WEBHOOK_SECRET": "s", "QUEUE_URL": "q"}
    made = json.loads(
        application_template(_template(), code="s3://b/c.zip", environment=environment)
    )
    api, wakeup = (made["Resources"][name]["Properties"] for name in ("APIHandler", "OnWakeup"))
    assert api["Environment"] == {"Variables": environment}
    assert wakeup["Environment"] == {"Variables": {"QUEUE_URL": "q"}}
    assert api["CodeUri"] == wakeup["CodeUri"] == "s3://b/c.zip"
    assert made["Resources"]["RestAPI"] == {"Type": "other"}


@pytest.mark.parametrize("own", [None, "https://slipway.example"])
def test_the_function_that_tells_knows_the_address_of_the_dashboard(own: str | None) -> None:
    sam = json.loads(_template())
    sam["Resources"]["OnTelling"] = sam["Resources"]["OnWakeup"]
    address = "https://${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}/api"
    sam["Outputs"] = {"EndpointURL": {"Value": {"Fn::Sub": f"{address}/"}}}
    environment = {"WEBHOOK_SECRET": "s"} | ({"PUBLIC_URL": own} if own else {})
    made = json.loads(application_template(json.dumps(sam), code="c", environment=environment))
    variables = made["Resources"]["OnTelling"]["Properties"]["Environment"]["Variables"]
    assert variables == {"PUBLIC_URL": own or {"Fn::Sub": address}}
    # The API cannot refer to its own address: CloudFormation refuses a circle.
    assert "Fn::Sub" not in json.dumps(made["Resources"]["APIHandler"])


def test_a_forced_deploy_changes_the_definition_of_the_api() -> None:
    sam = json.loads(_template())
    sam["Resources"]["RestAPI"]["Properties"] = {"DefinitionBody": {"info": {"title": "slipway"}}}
    environment = {"WEBHOOK_SECRET": "s"}
    made = json.loads(
        application_template(json.dumps(sam), code="c", environment=environment, again="ab12")
    )
    definition = made["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    assert definition["info"] == {"title": "slipway", "description": "Deployed again: ab12"}
    # The next deploy reads it here, and so changes nothing.
    assert made["Metadata"] == {"Again": "ab12"}


def test_the_uploaded_template_refers_to_the_secret_without_its_value(tmp_path: Path) -> None:
    (tmp_path / "deployment.zip").write_bytes(b"zip")
    (tmp_path / "sam.json").write_text(_template())
    with mock_aws():
        location: Any = {"LocationConstraint": "eu-west-1"}
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="packages", CreateBucketConfiguration=location)
        secrets = boto3.client("secretsmanager")
        arn = secrets.create_secret(Name="slipway-dev/webhook", SecretString="hush")["ARN"]
        outputs = {"Packages": "packages", "WebhookSecret": f"secretsmanager:{arn}"}
        url = deploy._upload(boto3.Session(), outputs, tmp_path, None)
        place, _, key = url.rpartition("/")
        assert place == "https://s3.eu-west-1.amazonaws.com/packages"
        template = s3.get_object(Bucket="packages", Key=key)["Body"].read().decode()
    assert "hush" not in template
    api = json.loads(template)["Resources"]["APIHandler"]["Properties"]
    assert api["Environment"]["Variables"]["WEBHOOK_SECRET"] == f"secretsmanager:{arn}"


def test_the_log_directory_is_set_with_the_new_stack_and_then_kept() -> None:
    prefix = {"ResourcePrefix": "slipway-dev"}
    assert parameters_for("slipway-dev", {}, None) == {"BuildLogDir": "/slipway-dev", **prefix}
    assert parameters_for("slipway-dev", {}, {"BuildLogDir": "/builds"}) == prefix
    given = {"BuildLogDir": "/given"}
    assert parameters_for("slipway-dev", given, None) == {**given, **prefix}


def test_a_deploy_prints_a_line_that_sets_the_variables_of_the_readme() -> None:
    shown = deploy._how_to_use("dev", "https://x.example/api", "slipway-dev/webhook")
    assert shown.splitlines()[-1].strip() == (
        "export API=https://x.example/api TOKEN=$(make token STAGE=dev)"
    )


def test_the_names_of_a_stage_cannot_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("ResourcePrefix=mine", "JobWorkers", "=4"):
        with pytest.raises(SystemExit):
            main(["dev", wrong])
    assert "ResourcePrefix is slipway-<stage>" in capsys.readouterr().err


def test_a_failed_package_leaves_aws_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(output: Path, *, stage: str, to: Installation) -> None:
        assert (to.prefix, to.build_log_dir, to.task_roles) == ("slipway-dev", "/mine", "mine-*")
        raise PackagingFailed("chalice package failed\nfix it")

    monkeypatch.setattr(deploy, "find_stack", lambda *_: None)
    monkeypatch.setattr(deploy, "write_package", fail)
    monkeypatch.setattr(deploy, "plan_stack", lambda *_: pytest.fail("a stack was touched"))
    with mock_aws(), pytest.raises(SystemExit, match="chalice package failed\nfix it"):
        main(["dev", "--yes", "BuildLogDir=/mine", "TaskRoles=mine-*", "RepositoryPattern=team/*"])


def test_only_the_python_version_of_lambda_can_package() -> None:
    require_lambda_python((3, 11))
    with pytest.raises(PackagingFailed, match=r"for Python 3\.11, and \.venv has 3\.13\.\n.*"):
        require_lambda_python((3, 13))


class Terminal(io.StringIO):
    """A terminal on which a person types this text."""

    def isatty(self) -> bool:
        return True


def _stack(jobs_key: str = "id", **more: Any) -> str:
    """A template with a table, whose key names `jobs_key`, and a queue."""
    table = {
        "TableName": {"Fn::Sub": "${ResourcePrefix}-jobs"},
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": jobs_key, "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": jobs_key, "AttributeType": "S"}],
    }
    names = ["ResourcePrefix", "BuildLogDir", "RepositoryPattern", "TaskRoles"]
    return json.dumps(
        {
            "Parameters": {name: {"Type": "String"} for name in names},
            "Resources": {
                "JobsTable": {"Type": "AWS::DynamoDB::Table", "Properties": table},
                "Queue": {"Type": "AWS::SQS::Queue"},
                **more,
            },
        }
    )


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Runs `make deploy STAGE=dev` up to the application's stack; returns its last message."""

    def stop(*_: object) -> str:
        raise PackagingFailed("the stack is deployed")

    monkeypatch.setattr(deploy, "write_package", lambda *_, **__: None)
    monkeypatch.setattr(deploy, "_upload", stop)

    def run(*arguments: str, template: str, typed: str | None = None) -> str:
        monkeypatch.setattr(deploy, "stack_template", lambda: template)
        monkeypatch.setattr("sys.stdin", io.StringIO() if typed is None else Terminal(typed))
        with pytest.raises(SystemExit) as ended:
            main(["dev", "RepositoryPattern=team/*", *arguments, "TaskRoles=ecs-*"])
        return str(ended.value)

    with mock_aws():
        yield run


def _status() -> str | None:
    found = look_up(boto3.client("cloudformation"), "slipway-dev")
    return found.status if found else None


def test_a_deploy_shows_account_region_and_resources_and_then_asks(
    stage: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    for typed in ("y\n", "\n", ""):  # the last one is Ctrl-D
        assert "the answer was not yes" in stage(template=_stack(), typed=typed)
        assert _status() is None
    printed = capsys.readouterr().out
    assert "account 123456789012, region eu-west-1" in printed
    assert "stack slipway-dev, resources to create: 2" in printed
    assert "  add          JobsTable  AWS::DynamoDB::Table" in printed
    assert stage(template=_stack(), typed="yes\n") == "the stack is deployed"
    assert _status() == "CREATE_COMPLETE"


def test_a_script_changes_nothing_without_yes(stage: Callable[..., str]) -> None:
    refused = stage(template=_stack())
    assert refused.splitlines()[0].startswith("Nothing was changed: the input is not a terminal")
    assert "--yes" in refused.splitlines()[1]
    assert _status() is None
    assert stage("--yes", template=_stack()) == "the stack is deployed"


def test_an_interrupted_question_leaves_no_stack(
    stage: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy, "confirm", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stage(template=_stack())
    assert _status() is None


def test_a_deploy_that_removes_a_table_is_refused_until_the_table_is_named(
    stage: Callable[..., str],
) -> None:
    stage("--yes", template=_stack())
    without = json.loads(_stack())
    del without["Resources"]["JobsTable"]
    refused = stage("--yes", template=json.dumps(without))
    assert refused.splitlines() == [
        "This deploy would lose data: remove JobsTable AWS::DynamoDB::Table",
        "Nothing was changed in this stack. A new table or bucket is empty. If you want this, add "
        "to ARGS: --allow JobsTable",
    ]
    assert boto3.client("dynamodb").list_tables()["TableNames"] == ["slipway-dev-jobs"]
    other = stage("--yes", "--allow", "Queue", template=json.dumps(without))
    assert other == refused
    named = stage("--yes", "--allow", "JobsTable", template=json.dumps(without))
    assert named == "the stack is deployed"
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []


@pytest.fixture
def deployed(stage: Callable[..., str]) -> Callable[[int], None]:
    """A stage that was deployed. The function stores the schema of its rows."""
    stage("--yes", template=_stack())
    dynamodb = boto3.client("dynamodb")
    dynamodb.create_table(
        TableName="slipway-dev-claims",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )

    def store(schema: int) -> None:
        item: Any = {"id": {"S": "schema"}, "value": {"N": str(schema)}}
        dynamodb.put_item(TableName="slipway-dev-claims", Item=item)

    return store


def test_a_version_that_is_too_old_for_the_rows_is_not_deployed(
    stage: Callable[..., str], deployed: Callable[[int], None]
) -> None:
    deployed(SCHEMA + 1)
    queue = {"Type": "AWS::SQS::Queue"}
    assert stage("--yes", template=_stack(Second=queue)) == "the stack is deployed"
    deployed(SCHEMA + 2)
    refused = stage("--yes", template=_stack(Second=queue, Third=queue))
    assert refused.splitlines() == [
        f"The rows of this stage have schema {SCHEMA + 2}, and this version knows {SCHEMA}.",
        "Check out a newer version.",
    ]
    assert len(boto3.client("sqs").list_queues()["QueueUrls"]) == 2


def test_a_version_is_deployed_only_after_the_migrations_that_it_needs(
    stage: Callable[..., str], deployed: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "NEEDED", 1)
    refused = stage("--yes", template=_stack())
    assert refused.splitlines() == [
        "The rows of this stage have schema 0, and this version needs 1.",
        "Deploy an earlier version first: one that raises the schema to 1.",
    ]
    deployed(1)
    changed = _stack(Second={"Type": "AWS::SQS::Queue"})
    assert stage("--yes", template=changed) == "the stack is deployed"


def test_the_migrations_run_after_the_functions_are_replaced(
    stage: Callable[..., str],
    deployed: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = []

    def change(_: Any, name: str, *__: Any) -> bool:
        steps.append(name)
        return True

    def migrate(environment: Any, *, replaced: bool) -> int:
        steps.append(f"migrate, replaced={replaced}")
        return 7

    monkeypatch.setattr(deploy, "_upload", lambda *_: "https://packages.example/template")
    monkeypatch.setattr(deploy, "_change", change)
    monkeypatch.setattr(deploy, "upgrade", migrate)
    monkeypatch.setattr(deploy, "find_outputs", lambda *_: {"EndpointURL": "https://x/api"})
    main(["dev", "--yes"])
    assert steps == ["slipway-dev", "slipway-dev-app", "migrate, replaced=True"]
    assert "rows of an earlier version that were changed: 7" in capsys.readouterr().out
