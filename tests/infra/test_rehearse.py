"""What `make rehearse` compares, and what it says that it does not. The rehearsal is a verb."""

import re
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.package import ROOT, stack_template
from infra.rehearse import readback
from infra.rehearse.deploy import LEFT_OUT
from infra.rehearse.intended import Intended, Template
from infra.rehearse.readback import NOT_KEPT, differences

INSTALL = (ROOT / "docs/install.md").read_text()
PARAMETERS = {
    "ResourcePrefix": "slipway-dev",
    "JobWorkers": "4",
    "BaseRepositories": "docker-hub/*,base",
    "RepositoryPattern": "team/*",
    "ExampleRepository": "",
    "ImageMirrorCredential": "",
    "AlarmTopic": "",
}


def _resources() -> dict[str, Intended]:
    template = Template(
        stack_template(),
        PARAMETERS,
        {"PushRole": "p", "Packages": "b"},
        lambda _, name, key: f"{name}.{key}",
    )
    return {each.logical_id: each for each in template.resources()}


def test_the_functions_of_a_template_are_resolved() -> None:
    resources = _resources()
    assert resources["JobsTable"].properties["TableName"] == "slipway-dev-jobs"
    assert resources["BuildProject"].properties["ConcurrentBuildLimit"] == "4"
    assert "Repository" not in resources
    assert "AlarmActions" not in resources["DeadWakeupAlarm"].properties
    queue = resources["WakeupQueue"].properties
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "DeadWakeupQueue.Arn"
    (policy,) = resources["PushRole"].properties["Policies"]
    statements = {each["Sid"]: each for each in policy["PolicyDocument"]["Statement"]}
    assert "ReadTheMirrorsCredential" not in statements
    start = "arn:aws:ecr:eu-west-1:123456789012:repository/"
    assert statements["PullBaseImages"]["Resource"] == [
        f"{start}docker-hub/*",
        f"{start}base",
        start,
    ]


def test_every_type_of_the_stack_is_read_back() -> None:
    assert {each.type for each in _resources().values()} <= readback._READERS.keys()


@pytest.mark.parametrize(
    ("wanted", "seen", "lines"),
    [
        ({"Name": "a", "On": True}, {"name": "a", "on": "true", "More": 1}, []),
        ({"Threshold": 600}, {"threshold": 600.0}, []),
        ({"Keys": [{"A": 1}, {"A": 2}]}, {"keys": [{"a": 2}, {"a": 1}]}, []),
        ({"Name": "a"}, {"Name": "b"}, [".Name: 'b', not 'a'"]),
        ({"Name": "a"}, {}, [".Name: None, not 'a'"]),
        ({"Keys": ["a"]}, {"Keys": ["a", "b"]}, [".Keys: ['a', 'b'], not ['a']"]),
        ({"Deep": {"Key": 1}}, {"Deep": "1"}, [".Deep: '1' is no object"]),
        ({"Deep": {"Key": 1}}, {"Deep": {"Key": 2}}, [".Deep.Key: 2, not 1"]),
    ],
)
def test_a_difference_has_its_place(wanted: Any, seen: Any, lines: list[str]) -> None:
    assert list(differences(wanted, seen)) == lines


def test_a_table_that_is_not_as_its_template_says_is_found() -> None:
    wanted = _resources()["JobsTable"]
    properties = {
        name: each
        for name, each in wanted.properties.items()
        if name not in NOT_KEPT["AWS::DynamoDB::Table"]
    }
    at = Intended("JobsTable", wanted.type, properties, "slipway-dev-jobs")
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(**properties)
        assert list(readback._compare(at)) == []
        dynamodb.update_table(TableName="slipway-dev-jobs", DeletionProtectionEnabled=False)
        assert list(readback._compare(at)) == [
            "JobsTable.DeletionProtectionEnabled: False, not True"
        ]


def test_the_document_names_all_that_is_left_out() -> None:
    named = set(re.findall(r"`([A-Za-z:]+)`", INSTALL))
    assert named >= LEFT_OUT
    assert NOT_KEPT["AWS::CodeBuild::Project"] <= named
    assert "TimeToLiveSpecification" in named
    assert "point-in-time recovery" in INSTALL
    assert "webhook secret" in INSTALL
    assert NOT_KEPT["AWS::S3::Bucket"] <= named
    assert len(NOT_KEPT) == 4


def test_the_emulator_is_installed_by_hashes_only() -> None:
    place = ROOT / "infra/rehearse"
    (wanted,) = re.findall(r"^[^#\n]+$", (place / "requirements.txt").read_text(), re.MULTILINE)
    locked = (place / "constraints.txt").read_text()
    assert wanted.replace("[full]", "") in locked
    packages = re.split(r"\n(?=[a-z])", locked)[1:]
    assert len(packages) > 20
    assert all("--hash=sha256:" in package for package in packages)
