"""`make destroy`: what it deletes, keeps and refuses, and how it goes on after a failure.

moto stands for AWS, with small templates. `make rehearse` deletes the real stacks.
"""

import io
import json
import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from infra import destroy
from infra.destroy import Resource, main
from infra.stacks import Stack
from tests.support.embedded import Cloud, client, put_image

KEPT = {"DeletionPolicy": "Retain"}
BASE = {
    "JobsTable": {
        **KEPT,
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": "slipway-dev-jobs",
            "BillingMode": "PAY_PER_REQUEST",
            "DeletionProtectionEnabled": True,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        },
    },
    "Packages": {
        **KEPT,
        "Type": "AWS::S3::Bucket",
        "Properties": {
            "BucketName": "slipway-dev-packages",
            "VersioningConfiguration": {"Status": "Enabled"},
        },
    },
    "BuildLogs": {
        **KEPT,
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": "/slipway-dev/builds"},
    },
    "Repository": {
        **KEPT,
        "Type": "AWS::ECR::Repository",
        "Properties": {"RepositoryName": "team/web"},
    },
    "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "slipway-dev-wakeups"}},
}
APPLICATION = {
    "Logs": {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": "/aws/lambda/slipway-dev-app-api"},
    }
}
EVERYTHING = {
    "stacks": ["slipway-dev", "slipway-dev-app"],
    "tables": ["slipway-dev-jobs"],
    "buckets": ["slipway-dev-packages"],
    "logs": ["/aws/lambda/slipway-dev-app-api", "/slipway-dev/builds"],
    "secrets": ["slipway-dev/webhook"],
    "queues": ["slipway-dev-wakeups"],
    "repositories": ["team/web"],
}
# ECS may run the images of the repository.
NOTHING: dict[str, list[str]] = {**{name: [] for name in EVERYTHING}, "repositories": ["team/web"]}


def make_stage(stage: str = "dev") -> None:
    """Deploy both stacks, and put two versions of a package into the bucket."""
    cloudformation = client("cloudformation")
    for name, resources in ((f"slipway-{stage}", BASE), (f"slipway-{stage}-app", APPLICATION)):
        template = json.dumps({"Resources": resources}).replace("slipway-dev", f"slipway-{stage}")
        if stage != "dev":
            template = template.replace("team/web", f"{stage}/web")
        cloudformation.create_stack(StackName=name, TemplateBody=template)
    # moto's CloudFormation has no secrets; `_with_secret` adds it to the list of resources.
    client("secretsmanager").create_secret(Name=f"slipway-{stage}/webhook", SecretString="x")
    for content in (b"1", b"2"):
        bucket = f"slipway-{stage}-packages"
        client("s3").put_object(Bucket=bucket, Key="code.zip", Body=content)
    client("s3").delete_object(Bucket=bucket, Key="code.zip")


def what_exists(of: str = "dev") -> dict[str, list[str]]:
    """The names of everything in the account that belongs to a stage."""
    stacks = client("cloudformation").describe_stacks()["Stacks"]
    queues = client("sqs").list_queues().get("QueueUrls", [])
    found = {
        "stacks": [each["StackName"] for each in stacks],
        "tables": client("dynamodb").list_tables()["TableNames"],
        "buckets": [each["Name"] for each in client("s3").list_buckets()["Buckets"]],
        "logs": [
            each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]
        ],
        "secrets": [
            each["Name"]
            for each in client("secretsmanager").list_secrets(IncludePlannedDeletion=True)[
                "SecretList"
            ]
        ],
        "queues": [url.rsplit("/", 1)[-1] for url in queues],
        "repositories": [
            each["repositoryName"] for each in client("ecr").describe_repositories()["repositories"]
        ],
    }
    mine = (f"slipway-{of}", "team/" if of == "dev" else f"{of}/")
    return {
        kind: sorted(name for name in names if any(part in name for part in mine))
        for kind, names in found.items()
    }


@pytest.fixture(autouse=True)
def _with_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = destroy._resources

    def add(cloudformation: Any, stack: str) -> list[Resource]:
        secret = Resource("WebhookSecret", "AWS::SecretsManager::Secret", f"{stack}/webhook")
        return [*listed(cloudformation, stack), secret]

    monkeypatch.setattr(destroy, "_resources", add)


@pytest.fixture
def account() -> Iterator[None]:
    with mock_aws():
        yield


def refused(*arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return str(ended.value)


@pytest.mark.usefixtures("account")
def test_the_application_is_deleted_and_the_data_is_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_stage()
    main(["dev", "--yes"])
    kept = {**EVERYTHING, "stacks": ["slipway-dev"], "logs": ["/slipway-dev/builds"]}
    assert what_exists() == kept
    printed = capsys.readouterr().out
    assert printed.startswith("account 123456789012, region eu-west-1, stage dev\n")
    assert "deletes the stack slipway-dev-app" in printed
    assert "make deploy STAGE=dev uses them again" in printed
    main(["dev", "--yes"])
    assert what_exists() == kept
    assert "There is nothing to delete" in capsys.readouterr().out


@pytest.mark.usefixtures("account")
def test_nothing_of_the_stage_remains_with_data_delete(capsys: pytest.CaptureFixture[str]) -> None:
    make_stage()
    client("secretsmanager").create_secret(Name="slipway-dev/build/1/npm", SecretString="x")
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName="slipway-dev-service-web", TemplateBody=template)
    ssm = client("ssm")
    ssm.put_parameter(Name="/slipway-dev/web", Value="x", Type="String")
    main(["dev", "DATA=delete", "--yes"])
    assert what_exists() == {
        **NOTHING,
        "stacks": ["slipway-dev-service-web"],
        "secrets": ["slipway-dev/build/1/npm"],
    }
    printed = capsys.readouterr().out
    assert "JobsTable  slipway-dev-jobs\n" in printed
    assert "keeps   the ECR repository team/web: ECS may run its images" in printed
    assert "keeps   the stacks of services: slipway-dev-service-web\n" in printed
    yours = "keeps   secrets and parameters that you have made: "
    assert f"{yours}slipway-dev/build/1/npm, /slipway-dev/web\n" in printed
    main(["dev", "--yes", "DATA=delete"])
    assert "There is nothing to delete" in capsys.readouterr().out


@pytest.mark.usefixtures("account")
def test_the_data_can_be_deleted_after_the_application_and_the_stage_made_again() -> None:
    make_stage()
    main(["dev", "--yes"])
    main(["dev", "DATA=delete", "--yes"])
    client("ecr").delete_repository(repositoryName="team/web")
    make_stage()
    assert what_exists() == EVERYTHING


@pytest.mark.usefixtures("account")
def test_the_other_stage_stays_as_it_is() -> None:
    make_stage()
    make_stage("prod")
    before = what_exists("prod")
    assert len(before["stacks"]) == 2
    main(["dev", "DATA=delete", "--yes"])
    assert what_exists("prod") == before


@pytest.mark.usefixtures("account")
def test_only_the_stage_s_name_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    make_stage()
    monkeypatch.setattr(destroy, "under_way", lambda _: [])

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for typed in ("yes\n", "\n", "prod\n"):
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        assert "the answer was not dev" in refused("dev")
    monkeypatch.setattr("sys.stdin", io.StringIO("dev\n"))
    assert "--yes" in refused("dev", "DATA=delete")
    assert what_exists() == EVERYTHING
    monkeypatch.setattr("sys.stdin", Terminal("dev\n"))
    main(["dev"])
    assert what_exists()["stacks"] == ["slipway-dev"]


def test_another_word_than_delete_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    refused("dev", "DATA=keep")
    assert "'DATA=keep' is not DATA=delete" in capsys.readouterr().err


def test_running_jobs_are_named_and_nothing_is_deleted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {
        "WebhookSecret": "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:x",
        "TablePrefix": "slipway",
        "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/slipway-wakeups",
        "Registry": "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "JobWorkers": "2",
    }
    monkeypatch.setattr(os, "environ", os.environ.copy())
    stack = Stack("CREATE_COMPLETE", {}, outputs)
    monkeypatch.setattr(destroy, "look_up", lambda *_: stack)
    monkeypatch.setattr(destroy, "_delete", lambda *_: pytest.fail("a stack was deleted"))
    build = cloud.ask_for_build()
    deployed = cloud.deploy(f"hello@{put_image('hello', 'v1')}").body["deployment_id"]
    waiting = cloud.deploy(f"hello@{put_image('hello', 'v2')}").body["deployment_id"]
    first, second = refused("dev").splitlines()
    jobs = f"build-{build}, deploy-{deployed}, deploy-{waiting}"
    assert first == f"Nothing was changed: 3 jobs of dev have not ended: {jobs}."
    assert "--yes" in second


class Faults:
    """Lets one call of AWS fail: before it has an effect, or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.after, self.calls = 0, False, 0
        call = BaseClient._make_api_call  # type: ignore[attr-defined]

        def fail(client: Any, operation: str, request: Any) -> Any:
            if self.at:
                self.calls += 1
            if not self.at or self.calls != self.at:
                return call(client, operation, request)
            if self.after:
                call(client, operation, request)
            raise ClientError({"Error": {"Code": "Throttling", "Message": "later"}}, operation)

        monkeypatch.setattr(BaseClient, "_make_api_call", fail)

    def run(self, at: int, *, after: bool, arguments: list[str]) -> str | None:
        """Run the command with a failure of call `at`; return its last message, if it failed."""
        self.at, self.after, self.calls = at, after, 0
        try:
            main(arguments)
        except SystemExit as ended:
            return str(ended)
        finally:
            self.at = 0
        return None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_failure_at_any_call_is_made_good_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    faults = Faults(monkeypatch)
    for at in count(1):
        with mock_aws():
            make_stage()
            failure = faults.run(at, after=after, arguments=["dev", "DATA=delete", "--yes"])
            main(["dev", "DATA=delete", "--yes"])
            assert what_exists() == NOTHING, at
        if faults.calls < at:
            break
        # A call that fails anyway, for a stack that is gone, ends as it would without the fault.
        assert failure is None or "run this again: it deletes what is left" in failure
    assert at > 15
