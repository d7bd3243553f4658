"""How a deploy combines the stack's outputs and Chalice's package. No stack is deployed here."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra import deploy
from infra.deploy import application_template, environment_of, main, parameters_for
from infra.package import Installation, PackagingFailed, require_lambda_python

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
        url = deploy._upload(boto3.Session(), outputs, tmp_path)
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
    monkeypatch.setattr(deploy, "apply_stack", lambda *_: pytest.fail("a stack was touched"))
    with mock_aws(), pytest.raises(SystemExit, match="chalice package failed\nfix it"):
        main(["dev", "BuildLogDir=/mine", "TaskRoles=mine-*", "RepositoryPattern=team/*"])


def test_only_the_python_version_of_lambda_can_package() -> None:
    require_lambda_python((3, 11))
    with pytest.raises(PackagingFailed, match=r"for Python 3\.11, and \.venv has 3\.13\.\n.*"):
        require_lambda_python((3, 13))
