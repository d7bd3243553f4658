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

from chalicelib.domain.images import cache_tag, image_tag
from chalicelib.domain.webhook_secrets import OwnSecretReference, is_reference
from chalicelib.errors import InvalidInput
from chalicelib.settings import VARIABLES, SettingsError, read_settings
from chalicelib.store.tables import create_tables
from infra.deploy import environment_of
from infra.local.aws.queues import create_queues
from infra.local.aws.resources import BUILD_MINUTES, QUEUED_MINUTES
from infra.package import ROOT, stack_template
from tests.support.fields import read
from tests.support.templates import load_template, resources_for

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return load_template(stack_template())


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


def _of_type(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [resource for resource in resources.values() if resource["Type"] == f"AWS::{kind}"]
    assert found
    return found


@pytest.mark.parametrize(("keep", "policy"), [("true", "Retain"), ("false", "Delete")])
def test_tables_and_build_logs_survive_the_deletion_of_the_stack_unless_told_otherwise(
    stack: dict[str, Any], keep: str, policy: str
) -> None:
    assert stack["Parameters"]["KeepData"]["Default"] == "true"
    # CloudFormation, "Intrinsic function references in DeletionPolicy and UpdateReplacePolicy".
    assert stack["Transform"] == "AWS::LanguageExtensions"
    resources = resources_for(stack, KeepData=keep)
    tables = _of_type(resources, "DynamoDB::Table")
    for resource in (*tables, *_of_type(resources, "Logs::LogGroup")):
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == policy
    for table in tables:
        assert table["Properties"]["DeletionProtectionEnabled"] is (keep == "true")


def test_every_table_can_be_restored_to_any_second_and_scales_by_itself(
    resources: dict[str, Any],
) -> None:
    for table in _of_type(resources, "DynamoDB::Table"):
        properties = table["Properties"]
        assert properties["PointInTimeRecoverySpecification"] == {
            "PointInTimeRecoveryEnabled": True
        }
        assert properties["BillingMode"] == "PAY_PER_REQUEST"


def test_the_packages_are_private_versioned_and_only_sent_encrypted(
    resources: dict[str, Any],
) -> None:
    (bucket,) = _of_type(resources, "S3::Bucket")
    # CloudFormation cannot delete a bucket with contents, so no parameter changes this.
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = properties["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    # CloudFormation needs the current ones, to return to the version before.
    assert not [key for key in rule if key.startswith("Expiration")]
    (policy,) = _of_type(resources, "S3::BucketPolicy")
    assert policy["Properties"]["Bucket"] == {"Ref": "Packages"}
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "s3:*",
    )
    assert statement["Resource"] == [{"GetAtt": "Packages.Arn"}, {"Sub": "${Packages.Arn}/*"}]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_an_own_key_encrypts_everything_that_the_stack_stores(stack: dict[str, Any]) -> None:
    assert re.fullmatch(stack["Parameters"]["KmsKey"]["AllowedPattern"], KEY)
    resources = resources_for(stack, KmsKey=KEY)
    for table in _of_type(resources, "DynamoDB::Table"):
        assert table["Properties"]["SSESpecification"] == {
            "SSEEnabled": True,
            "SSEType": "KMS",
            "KMSMasterKeyId": KEY,
        }
    for queue in _of_type(resources, "SQS::Queue"):
        # SQS refuses both kinds of encryption at once.
        assert queue["Properties"]["KmsMasterKeyId"] == KEY
        assert "SqsManagedSseEnabled" not in queue["Properties"]
    for kind in ("Logs::LogGroup", "SecretsManager::Secret"):
        for resource in _of_type(resources, kind):
            assert resource["Properties"]["KmsKeyId"] == KEY
    (bucket,) = _of_type(resources, "S3::Bucket")
    assert _encryption(bucket) == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}


def test_without_an_own_key_no_key_is_named(stack: dict[str, Any]) -> None:
    resources = resources_for(stack)
    assert "KmsKeyId" not in json.dumps(resources)
    for table in _of_type(resources, "DynamoDB::Table"):
        assert "SSESpecification" not in table["Properties"]
    for queue in _of_type(resources, "SQS::Queue"):
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert "KmsMasterKeyId" not in queue["Properties"]
    (bucket,) = _of_type(resources, "S3::Bucket")
    assert _encryption(bucket) == {"SSEAlgorithm": "AES256"}


def _encryption(bucket: dict[str, Any]) -> Any:
    (rule,) = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return rule["ServerSideEncryptionByDefault"]


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


def test_codebuild_gets_the_buildspec_without_its_comments(resources: dict[str, Any]) -> None:
    source = resources["BuildProject"]["Properties"]["Source"]
    assert source["Type"] == "NO_SOURCE"
    assert _without_comments(source["BuildSpec"]) == _without_comments(
        Path(ROOT / "infra/buildspec.yml").read_text()
    )


def _without_comments(buildspec: str) -> list[Any]:
    """Every command's lines but comments and empty ones, and the rest of the buildspec."""
    spec = yaml.safe_load(buildspec)
    commands = [
        [line for line in command.splitlines() if line and not re.match(r" *#(?!!)", line)]
        for phase in spec["phases"].values()
        for command in phase.pop("commands")
    ]
    return [*commands, spec]


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
    for name in ("BuildkitImage", "BinfmtImage", "SbomImage"):
        parameter = stack["Parameters"][name]
        assert re.fullmatch(r"[a-z/-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}", parameter["Default"])
        assert not re.fullmatch(parameter["AllowedPattern"], "moby/buildkit:latest")
        variable = name.replace("Image", "_IMAGE").upper()
        assert variables[variable] == {"Ref": name}
        assert f"${variable}" in buildspec


def test_every_alarm_notifies_the_topic_if_there_is_one(resources: dict[str, Any]) -> None:
    alarms = [r for r in resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == 2
    for alarm in alarms:
        condition, topics, otherwise = alarm["Properties"]["AlarmActions"]["If"]
        assert (condition, topics) == ("HasAlarmTopic", [{"Ref": "AlarmTopic"}])
        assert otherwise == {"Ref": "AWS::NoValue"}


def _statements(resources: dict[str, Any], role: str) -> list[dict[str, Any]]:
    (policy,) = resources[role]["Properties"]["Policies"]
    return [
        # A statement of the mirror's credential exists only with that parameter.
        each["If"][1] if "If" in each else each
        for each in policy["PolicyDocument"]["Statement"]
    ]


def _actions(statements: list[dict[str, Any]]) -> set[str]:
    return {
        action
        for statement in statements
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    }


def test_codebuild_itself_may_only_write_logs_and_assume_the_push_role(
    resources: dict[str, Any],
) -> None:
    attached = resources["AssumePushRole"]["Properties"]
    assert attached["Roles"] == [{"Ref": "BuildRole"}]
    statements = _statements(resources, "BuildRole") + attached["PolicyDocument"]["Statement"]
    assert _actions(statements) == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sts:AssumeRole",
    }
    (assume,) = (each for each in statements if each["Action"] == "sts:AssumeRole")
    assert assume["Resource"] == {"GetAtt": "PushRole.Arn"}
    (trust,) = resources["PushRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": {"GetAtt": "BuildRole.Arn"}}


def test_the_push_role_may_only_use_ecr_and_the_secrets_of_projects(
    resources: dict[str, Any],
) -> None:
    statements = _statements(resources, "PushRole")
    services = {each.split(":")[0] for each in _actions(statements)}
    assert services == {"ecr", "secretsmanager", "ssm"}
    by_id = {statement["Sid"]: statement for statement in statements}
    assert by_id["PushImagesAndCache"]["Resource"]["Sub"].endswith(
        "repository/${RepositoryPattern}"
    )
    patterns = [
        re.split(":secret:|:parameter/", each["Sub"])[1].replace("${ResourcePrefix}", "slipway")
        for each in by_id["ReadProjectSecrets"]["Resource"]
    ]
    assert patterns == ["slipway/git/*", "slipway/git/*", "slipway/build/*"]
    own = read(OwnSecretReference, "secretsmanager:slipway/web", "secret")
    webhook = resources["WebhookSecret"]["Properties"]["Name"]["Sub"]
    for name in (own.partition(":")[2], webhook.replace("${ResourcePrefix}", "slipway")):
        assert not any(fnmatchcase(f"{name}-a1B2c3", pattern) for pattern in patterns)
    for path in ("git/7/x", "build/7/x"):
        with pytest.raises(InvalidInput):
            read(OwnSecretReference, f"secretsmanager:slipway/{path}", "secret")


def test_base_images_may_come_through_a_pull_through_cache(
    stack: dict[str, Any], resources: dict[str, Any]
) -> None:
    """ECR: the first pull creates the repository and imports the image."""
    (pull,) = (
        each for each in _statements(resources, "PushRole") if each["Sid"] == "PullBaseImages"
    )
    assert {"ecr:BatchImportUpstreamImage", "ecr:CreateRepository"} <= set(pull["Action"])
    assert not [action for action in pull["Action"] if "Put" in action or "Upload" in action]
    pattern = stack["Parameters"]["BaseRepositories"]["AllowedPattern"]
    assert len(pull["Resource"]) == 3
    for accepted in ("", "docker-hub/*", "a,b,c/*"):
        assert re.fullmatch(pattern, accepted)
    for refused in ("*", "a,b,c,d", "a,", ",a", "A"):
        assert not re.fullmatch(pattern, refused)


def test_the_template_is_short_enough_for_cloudformation() -> None:
    """CloudFormation, "Quotas": a TemplateBody has at most 51,200 bytes."""
    assert len(stack_template().encode()) < 51_000


def test_the_short_template_is_the_same_stack() -> None:
    text = (ROOT / "infra/stack.yaml").read_text()
    short, long = load_template(stack_template()), load_template(text)
    for template in (short, long):
        del template["Resources"]["BuildProject"]["Properties"]["Source"]["BuildSpec"]
    assert short == long


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
        if (each["Effect"], each["Action"]) == ("Allow", "secretsmanager:GetSecretValue")
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


def test_the_addresses_that_the_stack_takes_are_those_that_the_settings_take(
    stack: dict[str, Any],
) -> None:
    required = {"QUEUE_URL": "https://sqs.example/1/slipway-wakeups", "REGISTRY": "localhost"}
    accepted = {
        "GithubApi": ("https://api.github.com", "https://github.example/api/v3"),
        "GithubApp": ("", "1234567", "Iv23liAbCdEf01234567"),
        "PublicUrl": ("", "https://slipway.example", "https://example.com/ci/dashboard"),
    }
    refused = {
        "GithubApi": ("", "github.example", "https://github.example/", "https://a b", "http://a.b"),
        "GithubApp": ("a b", "https://github.com/apps/slipway", "x" * 101),
        "PublicUrl": ("slipway.example", "https://slipway.example/", "https://a b", "ftp://a.b/c"),
    }
    variables = {"GithubApi": "GITHUB_API", "GithubApp": "GITHUB_APP", "PublicUrl": "PUBLIC_URL"}
    for name, variable in variables.items():
        parameter = stack["Parameters"][name]
        for value in (parameter["Default"], *accepted[name]):
            assert re.fullmatch(parameter["AllowedPattern"], value)
            assert getattr(read_settings(required | {variable: value}), variable.lower()) == value
        for value in refused[name]:
            assert not re.fullmatch(parameter["AllowedPattern"], value)
            with pytest.raises(SettingsError, match=variable):
                read_settings(required | {variable: value})
    hosts = stack["Parameters"]["ReceiverHosts"]
    assert hosts["Default"] == VARIABLES["RECEIVER_HOSTS"].default
    for value in (hosts["Default"], "hooks.example", "*.example.com,a.b"):
        assert re.fullmatch(hosts["AllowedPattern"], value)
        assert read_settings(required | {"RECEIVER_HOSTS": value}).receiver_hosts
    for value in ("", "*", "a.*.b", "https://a.b", "a.b/c", "a.b, c.d", "a.b,"):
        assert not re.fullmatch(hosts["AllowedPattern"], value)
    assert stack["Outputs"]["GithubApp"]["Condition"] == "HasGithubApp"
    # Without an address of its own, the functions' stack knows that of the API.
    assert stack["Outputs"]["PublicUrl"]["Condition"] == "HasPublicUrl"


def test_event_rules_schedules_and_source_mappings_are_left_to_chalice(
    resources: dict[str, Any],
) -> None:
    types = {resource["Type"] for resource in resources.values()}
    assert not {kind for kind in types if kind.startswith(("AWS::Events", "AWS::Scheduler"))}
    assert "AWS::Lambda::EventSourceMapping" not in types


def test_only_the_tags_of_build_caches_may_move(resources: dict[str, Any]) -> None:
    repository = resources["Repository"]["Properties"]
    assert repository["ImageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert [
        exclusion["ImageTagMutabilityExclusionFilterValue"]
        for exclusion in repository["ImageTagMutabilityExclusionFilters"]
    ] == ["buildcache*"]


@pytest.mark.parametrize("template", ["stack.yaml", "service.yaml"])
def test_no_image_of_a_release_is_deleted(template: str) -> None:
    """Each image of a build has a tag, which never moves. ECR, "Lifecycle policies": an image that
    an index refers to is not expired before the index is.
    """
    resources = load_template((ROOT / "infra" / template).read_text())["Resources"]
    (repository,) = _of_type(resources, "ECR::Repository")
    policy = repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"]
    selections = [rule["selection"] for rule in json.loads(policy)["rules"]]
    patterns = [p for each in selections for p in each.get("tagPatternList", [])]
    assert {each["tagStatus"] for each in selections} == {"tagged", "untagged"}
    assert patterns == ["buildcache*"]
    assert fnmatchcase(cache_tag(7, "main"), "buildcache*")
    for branch in ("main", "buildcache", "buildcache-7-main-1234abcd"):
        assert not fnmatchcase(image_tag(branch, "a" * 40, 12), "buildcache*")
