"""The first deploy asks for the parameters without a default; a stage from before keeps its own.

moto stands for CloudFormation, with small templates: the stack itself is not deployed here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from cfnlint.decode import decode
from moto import mock_aws

from infra import deploy, package
from infra.package import ROOT, Installation, PackagingFailed
from infra.parameters import EXAMPLES, REQUIRED
from infra.stacks import find_stack

PARAMETERS = decode(str(ROOT / "infra/stack.yaml"))[0]["Parameters"]
FIRST = 'make deploy STAGE=dev ARGS="RepositoryPattern=team/* TaskRoles=ecs-*"'


class Deploys:
    """Runs `make deploy STAGE=dev` up to the application's stack, which moto cannot create."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.packaged: list[Installation] = []
        self._capsys = capsys
        monkeypatch.setattr(deploy, "stack_template", _template)
        monkeypatch.setattr(deploy, "write_package", self._package)
        monkeypatch.setattr(deploy, "_upload", self._stop)

    def _package(self, *_: object, to: Installation, **__: object) -> None:
        self.packaged.append(to)

    def _stop(self, *_: object) -> str:
        raise PackagingFailed("the stack is deployed")

    def run(self, *parameters: str) -> tuple[str, str]:
        """The printed text and the last message."""
        with pytest.raises(SystemExit) as ended:
            deploy.main(["dev", "--yes", *parameters])
        return self._capsys.readouterr().out, str(ended.value)

    def stack(self) -> dict[str, str] | None:
        """The values of the stage's stack."""
        found = find_stack(boto3.client("cloudformation"), "slipway-dev")
        return dict(found.parameters) if found else None


def _template(**defaults: str) -> str:
    """A template with the stage's parameters, and defaults of those that are named."""
    names = ["ResourcePrefix", "BuildLogDir", "JobWorkers", *EXAMPLES]
    parameters: dict[str, dict[str, str]] = {name: {"Type": "String"} for name in names}
    for name, value in {"JobWorkers": "2", **defaults}.items():
        parameters[name]["Default"] = value
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "ResourcePrefix"}}}
    return json.dumps({"Parameters": parameters, "Resources": {"Queue": queue}})


@pytest.fixture
def deploys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Deploys]:
    with mock_aws():
        yield Deploys(monkeypatch, capsys)


@pytest.fixture
def old_stage(deploys: Deploys) -> None:
    """A stage from the time when both patterns were `*` by default.

    moto 5.2 can keep only values that were given, so they are given here.
    """
    defaults = {"JobWorkers": "2", "RepositoryPattern": "*", "TaskRoles": "*"}
    values = {"ResourcePrefix": "slipway-dev", "BuildLogDir": "/slipway-dev", **defaults}
    boto3.client("cloudformation").create_stack(
        StackName="slipway-dev",
        TemplateBody=_template(**defaults),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in values.items()
        ],
    )


def test_the_table_holds_exactly_the_parameters_without_a_default() -> None:
    expected = {
        name: parameter["Description"]
        for name, parameter in PARAMETERS.items()
        if "Default" not in parameter
    }
    assert {each.name: each.description for each in REQUIRED} == expected


def test_a_parameter_accepts_its_example_and_no_empty_value() -> None:
    for name, example in EXAMPLES.items():
        pattern = PARAMETERS[name]["AllowedPattern"]
        assert re.fullmatch(pattern, example)
        assert not re.fullmatch(pattern, "")
        # A stage that was deployed with this value keeps it.
        assert re.fullmatch(pattern, "*")
        for wrong in (" ", "team/* other/*", "team/*,other/*", "arn:aws:iam::1:role/ecs"):
            if "," not in wrong or name == "RepositoryPattern":
                assert not re.fullmatch(pattern, wrong), (name, wrong)


def test_a_first_deploy_names_all_that_is_missing_and_changes_nothing(deploys: Deploys) -> None:
    printed, message = deploys.run()
    repositories, roles, paste = message.splitlines()
    assert repositories.startswith("RepositoryPattern is required. Pattern of the ECR repositories")
    assert roles.startswith("TaskRoles is required. Pattern of the IAM roles")
    assert paste == f"Nothing was changed in AWS. Use your own names in: {FIRST}"
    assert (printed, deploys.packaged, deploys.stack()) == ("", [], None)


def test_the_command_to_paste_keeps_what_was_given(deploys: Deploys) -> None:
    _, message = deploys.run("JobWorkers=4", "TaskRoles=mine-*")
    lines = message.splitlines()
    assert [line.split()[0] for line in lines] == ["RepositoryPattern", "Nothing"]
    assert 'ARGS="JobWorkers=4 TaskRoles=mine-* RepositoryPattern=team/*"' in lines[-1]


def test_an_empty_value_counts_as_missing(deploys: Deploys) -> None:
    _, message = deploys.run("RepositoryPattern=shop/*", "TaskRoles=")
    assert message.startswith("TaskRoles is required.")
    assert 'ARGS="RepositoryPattern=shop/* TaskRoles=ecs-*"' in message
    assert deploys.stack() is None


def test_a_stage_keeps_its_patterns_without_a_word(deploys: Deploys) -> None:
    chosen = ["RepositoryPattern=*", "TaskRoles=mine-*"]
    first, _ = deploys.run(*chosen)
    again, message = deploys.run("JobWorkers=4")
    assert message == "the stack is deployed"
    assert "required" not in again
    assert "wide" not in first + again
    assert [to.task_roles for to in deploys.packaged] == ["mine-*", "mine-*"]
    assert deploys.stack() == {
        "ResourcePrefix": "slipway-dev",
        "BuildLogDir": "/slipway-dev",
        "JobWorkers": "4",
        "RepositoryPattern": "*",
        "TaskRoles": "mine-*",
    }


@pytest.mark.usefixtures("old_stage")
def test_a_stage_with_the_former_defaults_keeps_them_and_shows_once_how_to_narrow_them(
    deploys: Deploys,
) -> None:
    printed, message = deploys.run()
    repositories, roles, narrow, *_ = printed.splitlines()
    assert repositories.startswith("RepositoryPattern=* is too wide. Pattern of the ECR")
    assert roles.startswith("TaskRoles=* is too wide. Pattern of the IAM roles")
    assert narrow == f"The stage keeps working. Narrow it with your own names: {FIRST}"
    assert message == "the stack is deployed"
    assert [to.task_roles for to in deploys.packaged] == ["*"]
    assert (deploys.stack() or {}).items() >= {"RepositoryPattern": "*", "TaskRoles": "*"}.items()
    assert "wide" not in deploys.run()[0]


@pytest.mark.usefixtures("old_stage")
def test_a_stage_that_narrows_one_former_default_sees_only_the_other(deploys: Deploys) -> None:
    printed, _ = deploys.run("TaskRoles=mine-*")
    lines = [line for line in printed.splitlines() if "wide" in line]
    assert [line.split("=")[0] for line in lines] == ["RepositoryPattern"]
    assert 'ARGS="TaskRoles=mine-* RepositoryPattern=team/*"' in printed


@pytest.mark.usefixtures("old_stage")
def test_a_stage_cannot_set_a_required_parameter_to_nothing(deploys: Deploys) -> None:
    _, message = deploys.run("TaskRoles=")
    assert message.startswith("TaskRoles is required.")
    assert deploys.packaged == []
    assert (deploys.stack() or {})["TaskRoles"] == "*"


def test_a_package_without_aws_has_the_examples_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(package, "install_libraries", lambda *_, **__: None)
    monkeypatch.setattr("sys.argv", ["make package", "--output", str(tmp_path)])
    package.main()
    passed = {
        statement["Resource"]
        for resource in json.loads((tmp_path / "dev/sam.json").read_text())["Resources"].values()
        for policy in resource["Properties"].get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "iam:PassRole"
    }
    assert passed == {"arn:aws:iam::123456789012:role/ecs-*"}
    assert "example account 123456789012 with TaskRoles=ecs-*" in capsys.readouterr().out
