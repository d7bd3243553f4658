"""`infra/stack.yaml` agrees with the models, the settings, Chalice and the buildspec."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from cfnlint.api import ManualArgs, lint
from moto import mock_aws

from chalicelib.domain.credentials import GitCredential
from chalicelib.domain.webhook_secrets import OwnSecretReference, is_reference
from chalicelib.errors import InvalidInput
from chalicelib.settings import VARIABLES, read_settings
from chalicelib.store.tables import create_tables
from infra.deploy import environment_of
from infra.local.aws.queues import create_queues
from infra.local.aws.resources import BUILD_MINUTES, QUEUED_MINUTES
from infra.package import ROOT, stack_template
from tests.support.fields import read

REGION = "eu-west-1"


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref X` as {"Ref": "X"}."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {tag: loader.construct_sequence(node, deep=True)}


_Template.add_multi_constructor("!", _short_form)


def _load(text: str) -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(text, _Template)
    return template


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return _load(stack_template())


@pytest.fixture(scope="module")
def resources(stack: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = stack["Resources"]
    return found


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


@pytest.fixture
def described_tables(aws: None) -> dict[str, dict[str, Any]]:
    """The tables of the models, as DynamoDB describes them, by name."""
    create_tables()
    client = boto3.client("dynamodb", region_name=REGION)
    return {
        name: {
            **client.describe_table(TableName=name)["Table"],
            **client.describe_time_to_live(TableName=name),
        }
        for name in client.list_tables()["TableNames"]
    }


def _tables(resources: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of the stack's tables, by their names with the default prefix."""
    return {
        resource["Properties"]["TableName"]["Sub"].replace("${ResourcePrefix}", "slipway"): (
            resource["Properties"]
        )
        for resource in resources.values()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }


def _shape(table: dict[str, Any]) -> dict[str, Any]:
    """Keys, types and indexes of a template or of a description, without their order."""

    def keys(schema: list[dict[str, str]]) -> dict[str, str]:
        return {key["KeyType"]: key["AttributeName"] for key in schema}

    def projection(value: dict[str, Any]) -> tuple[str, list[str]]:
        return value["ProjectionType"], sorted(value.get("NonKeyAttributes", []))

    return {
        "keys": keys(table["KeySchema"]),
        "types": {a["AttributeName"]: a["AttributeType"] for a in table["AttributeDefinitions"]},
        "indexes": {
            index["IndexName"]: (keys(index["KeySchema"]), projection(index["Projection"]))
            for index in table.get("GlobalSecondaryIndexes", [])
        },
    }


def test_cfn_lint_finds_no_problem_in_the_stack_and_its_buildspec() -> None:
    for template in ((ROOT / "infra/stack.yaml").read_text(), stack_template()):
        assert [str(match) for match in lint(template, config=ManualArgs(regions=[REGION]))] == []


def test_each_table_matches_its_model(
    resources: dict[str, Any], described_tables: dict[str, dict[str, Any]]
) -> None:
    expected = {name: _shape(table) for name, table in described_tables.items()}
    assert {name: _shape(table) for name, table in _tables(resources).items()} == expected


def test_rows_expire_exactly_as_in_the_models(
    resources: dict[str, Any], described_tables: dict[str, dict[str, Any]]
) -> None:
    expected = {
        name: table["TimeToLiveDescription"].get("AttributeName")
        for name, table in described_tables.items()
    }
    found = {
        name: table.get("TimeToLiveSpecification", {}).get("AttributeName")
        for name, table in _tables(resources).items()
    }
    assert found == expected
    assert any(found.values())


def test_tables_survive_the_deletion_of_the_stack(resources: dict[str, Any]) -> None:
    for resource in resources.values():
        if resource["Type"] == "AWS::DynamoDB::Table":
            properties = resource["Properties"]
            assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
            assert properties["DeletionProtectionEnabled"] is True
            assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
            assert properties["BillingMode"] == "PAY_PER_REQUEST"


def test_a_wake_up_is_tried_five_times_and_then_kept_for_two_weeks(
    resources: dict[str, Any],
) -> None:
    queue = resources["WakeupQueue"]["Properties"]
    dead = resources["DeadWakeupQueue"]["Properties"]
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"GetAtt": "DeadWakeupQueue.Arn"},
        "maxReceiveCount": 5,
    }
    assert dead["MessageRetentionPeriod"] == 14 * 24 * 60 * 60
    assert queue["SqsManagedSseEnabled"] is dead["SqsManagedSseEnabled"] is True


def test_a_wake_up_stays_hidden_six_times_as_long_as_its_consumer_may_run(
    resources: dict[str, Any],
) -> None:
    """AWS: "Creating and configuring an Amazon SQS queue for use with Lambda"."""
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    timeout = config["lambda_functions"]["on_wakeup"]["lambda_timeout"]
    assert resources["WakeupQueue"]["Properties"]["VisibilityTimeout"] == 6 * timeout


def test_other_accounts_cannot_send_a_wake_up(resources: dict[str, Any]) -> None:
    """IAM User Guide, "AWS global condition context keys": aws:PrincipalAccount is in every
    request; where a key is missing, StringNotEquals is true ("String condition operators").
    """
    policies = [r for r in resources.values() if r["Type"] == "AWS::SQS::QueuePolicy"]
    (policy,) = (policy["Properties"] for policy in policies)
    assert policy["Queues"] == [{"Ref": "WakeupQueue"}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement.pop("Sid")
    assert statement == {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": {"GetAtt": "WakeupQueue.Arn"},
        "Condition": {"StringNotEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}},
    }


@pytest.mark.parametrize("hosts", ["github.com", "github.com,git.acme-corp.example"])
def test_git_hosts_that_the_stack_accepts_are_valid_settings(
    stack: dict[str, Any], hosts: str
) -> None:
    pattern = stack["Parameters"]["GitHosts"]["AllowedPattern"]
    assert re.fullmatch(pattern, hosts)
    for wrong in ("", "github.com,", "a,,b", "git.acme.example:8443", "https://a", "-a", "a."):
        assert not re.fullmatch(pattern, wrong)
    required = {"QUEUE_URL": "https://sqs.example/1/q", "REGISTRY": "localhost"}
    read = read_settings({**required, "GIT_HOSTS": hosts}).git_hosts
    assert read == set(hosts.split(","))


@pytest.mark.usefixtures("aws")
def test_the_embedded_cloud_has_the_same_queues(resources: dict[str, Any]) -> None:
    create_queues()
    sqs = boto3.client("sqs", region_name=REGION)

    def attributes(name: str) -> dict[str, str]:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return {str(key): value for key, value in found.items()}

    for resource in ("WakeupQueue", "DeadWakeupQueue"):
        properties = resources[resource]["Properties"]
        local = attributes(properties["QueueName"]["Sub"].replace("${ResourcePrefix}", "slipway"))
        for number in (
            "VisibilityTimeout",
            "MessageRetentionPeriod",
            "ReceiveMessageWaitTimeSeconds",
        ):
            assert local[number] == str(properties[number])
    redrive = json.loads(attributes("slipway-wakeups")["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(":slipway-wakeups-dead")
    assert (
        redrive["maxReceiveCount"]
        == resources["WakeupQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
    )


def test_the_embedded_cloud_has_the_same_build_timeouts(resources: dict[str, Any]) -> None:
    project = resources["BuildProject"]["Properties"]
    assert project["TimeoutInMinutes"] == BUILD_MINUTES
    assert project["QueuedTimeoutInMinutes"] == QUEUED_MINUTES


def test_codebuild_gets_the_buildspec_unchanged(resources: dict[str, Any]) -> None:
    source = resources["BuildProject"]["Properties"]["Source"]
    buildspec = Path(ROOT / "infra/buildspec.yml").read_text()
    assert source == {"Type": "NO_SOURCE", "BuildSpec": buildspec}
    assert yaml.safe_load(buildspec)["version"] == 0.2


def test_as_many_builds_run_at_once_as_there_are_job_workers(resources: dict[str, Any]) -> None:
    project = resources["BuildProject"]["Properties"]
    assert project["ConcurrentBuildLimit"] == {"Ref": "JobWorkers"}


def test_privileged_images_are_pinned(stack: dict[str, Any], resources: dict[str, Any]) -> None:
    variables = {
        variable["Name"]: variable["Value"]
        for variable in resources["BuildProject"]["Properties"]["Environment"][
            "EnvironmentVariables"
        ]
    }
    buildspec = (ROOT / "infra/buildspec.yml").read_text()
    for name in ("BuildkitImage", "BinfmtImage"):
        image = stack["Parameters"][name]["Default"]
        assert ":" in image
        assert not image.endswith(":latest")
        assert variables[name.replace("Image", "_IMAGE").upper()] == {"Ref": name}
    assert stack["Parameters"]["BinfmtImage"]["Default"] in buildspec


def test_every_alarm_notifies_the_topic_if_there_is_one(resources: dict[str, Any]) -> None:
    alarms = [r for r in resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == 2
    for alarm in alarms:
        condition, topics, otherwise = alarm["Properties"]["AlarmActions"]["If"]
        assert (condition, topics) == ("HasAlarmTopic", [{"Ref": "AlarmTopic"}])
        assert otherwise == {"Ref": "AWS::NoValue"}


def _build_role(resources: dict[str, Any]) -> list[dict[str, Any]]:
    (policy,) = resources["BuildRole"]["Properties"]["Policies"]
    statements: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return statements


def test_a_build_can_only_use_logs_ecr_and_secrets(
    resources: dict[str, Any],
) -> None:
    actions = {
        a
        for s in _build_role(resources)
        for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])
    }
    assert {action.split(":")[0] for action in actions} == {"logs", "ecr", "secretsmanager"}


def test_a_build_can_read_no_secrets_except_git_credentials(
    resources: dict[str, Any],
) -> None:
    (found,) = (
        statement["Resource"]["Sub"].rpartition(":secret:")[2]
        for statement in _build_role(resources)
        if statement["Action"] == "secretsmanager:GetSecretValue"
    )
    assert found == "slipway/git/*"
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/{}-a1B2c3"
    assert read(GitCredential, arn.format("git/shop"), "git_credential")
    webhook = resources["WebhookSecret"]["Properties"]["Name"]["Sub"]
    for prefix in ("slipway", "slipway-dev"):
        reference = f"secretsmanager:{prefix}/{{}}"
        own = read(OwnSecretReference, reference.format("web"), "secret", table_prefix=prefix)
        for name in (own.partition(":")[2], webhook.replace("${ResourcePrefix}", prefix)):
            assert not fnmatchcase(f"{name}-a1B2c3", found)
        with pytest.raises(InvalidInput):
            read(OwnSecretReference, reference.format("git/shop"), "secret", table_prefix=prefix)
    with pytest.raises(InvalidInput):
        read(GitCredential, arn.format("shop"), "git_credential")


def test_the_outputs_are_the_variables_of_the_settings(stack: dict[str, Any]) -> None:
    outputs = environment_of(dict.fromkeys(stack["Outputs"], "any"))
    required = {name for name, variable in VARIABLES.items() if variable.default is None}
    assert required <= set(outputs) <= set(VARIABLES)


def test_a_rotated_webhook_secret_needs_no_deploy(
    stack: dict[str, Any], resources: dict[str, Any]
) -> None:
    name = resources["WebhookSecret"]["Properties"]["Name"]["Sub"]
    assert stack["Outputs"]["WebhookSecret"]["Value"] == {"Sub": "secretsmanager:${WebhookSecret}"}
    api = json.loads((ROOT / ".chalice/policy-api.json").read_text())
    granted = {
        each["Resource"]
        for each in api["Statement"]
        if each["Action"] == "secretsmanager:GetSecretValue"
    }
    (pattern,) = granted
    arn = pattern.removesuffix("slipway/*") + name.replace("${ResourcePrefix}", "slipway") + "-AbCd"
    assert fnmatchcase(arn, pattern)
    environment = {"WEBHOOK_SECRET": f"secretsmanager:{arn}", "QUEUE_URL": "https://q/a"}
    read = read_settings(environment | {"REGISTRY": "localhost"})
    assert is_reference(read.webhook_secret)


def test_the_defaults_of_stack_and_settings_agree(stack: dict[str, Any]) -> None:
    parameters = stack["Parameters"]
    required = {"QUEUE_URL": "https://sqs.example/1/slipway-wakeups", "REGISTRY": "localhost"}
    settings = read_settings(required)
    prefix = parameters["ResourcePrefix"]["Default"]
    assert settings.table_prefix == prefix
    assert settings.codebuild_project == f"{prefix}-builds"
    assert settings.job_workers == parameters["JobWorkers"]["Default"]
    assert settings.build_log_dir == parameters["BuildLogDir"]["Default"]


def test_event_rules_schedules_and_source_mappings_are_left_to_chalice(
    resources: dict[str, Any],
) -> None:
    types = {resource["Type"] for resource in resources.values()}
    assert not {kind for kind in types if kind.startswith(("AWS::Events", "AWS::Scheduler"))}
    assert "AWS::Lambda::EventSourceMapping" not in types


def test_only_the_build_cache_tag_may_move(resources: dict[str, Any]) -> None:
    repository = resources["Repository"]["Properties"]
    assert repository["ImageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert [
        exclusion["ImageTagMutabilityExclusionFilterValue"]
        for exclusion in repository["ImageTagMutabilityExclusionFilters"]
    ] == ["buildcache"]
    rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert rules[0]["selection"]["tagPatternList"] == ["buildcache"]
