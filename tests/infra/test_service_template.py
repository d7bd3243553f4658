"""`infra/service.yaml`: least privilege, and what Slipway expects of an ECS service."""

from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from infra.package import ROOT, stack_template
from infra.service.names import Name, matches, roles_for
from tests.support.templates import load_template

TEXT = (ROOT / "infra/service.yaml").read_text()


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = load_template(TEXT)["Resources"]
    return found


def _properties(resources: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = resources[name]["Properties"]
    return found


def test_cfn_lint_finds_no_problem() -> None:
    assert [str(match) for match in lint(TEXT, config=ManualArgs(regions=["eu-west-1"]))] == []
    assert len(TEXT.encode()) < 51_200  # CloudFormation: TemplateBody


def test_the_application_may_do_nothing_until_its_owner_says_so(resources: dict[str, Any]) -> None:
    role = _properties(resources, "ApplicationRole")
    assert not {"Policies", "ManagedPolicyArns"} & role.keys()


def test_tasks_start_with_only_their_image_logs_and_secrets(resources: dict[str, Any]) -> None:
    (policy,) = _properties(resources, "StartRole")["Policies"]
    granted = {
        statement["Sid"]: (statement["Action"], statement["Resource"])
        for statement in policy["PolicyDocument"]["Statement"]
    }
    wide = [sid for sid, (_, resource) in granted.items() if resource == "*"]
    assert wide == ["LogInToEcr"]  # ECR has no narrower resource for GetAuthorizationToken
    ends = {
        sid: resource["Sub"].partition("${AWS::AccountId}:")[2]
        for sid, (_, resource) in granted.items()
        if sid not in wide
    }
    assert ends == {
        "PullTheImage": "repository/${Repository}",
        "WriteLogs": "log-group:${LogGroup}:*",
        "ReadSecretsOfTheProject": "secret:slipway-${Stage}/task/${ProjectId}/*",
        "ReadParametersOfTheProject": "parameter/slipway-${Stage}/task/${ProjectId}/*",
    }


def test_only_ecs_tasks_of_this_account_get_the_roles(resources: dict[str, Any]) -> None:
    for name in ("ApplicationRole", "StartRole"):
        (statement,) = _properties(resources, name)["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert statement["Condition"] == {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        }


def test_only_the_load_balancer_reaches_the_tasks(resources: dict[str, Any]) -> None:
    assert "SecurityGroupIngress" not in _properties(resources, "TaskGroup")
    rule = _properties(resources, "TasksFromLoadBalancer")
    assert "CidrIp" not in rule
    assert rule["FromPort"] == rule["ToPort"] == {"Ref": "Port"}


def test_the_placeholder_leaves_nothing_behind_but_the_port(resources: dict[str, Any]) -> None:
    (container,) = _properties(resources, "FirstTaskDefinition")["ContainerDefinitions"]
    # A release keeps all of the container but its image.
    assert not {"Command", "EntryPoint", "HealthCheck"} & container.keys()
    assert container["Environment"] == [{"Name": "PORT", "Value": {"Ref": "Port"}}]


def test_an_update_leaves_the_release_and_the_number_of_tasks(resources: dict[str, Any]) -> None:
    service = _properties(resources, "EcsService")
    assert "DesiredCount" not in service
    assert service["TaskDefinition"] == {
        "If": ["IsRunning", {"Ref": "Running"}, {"Ref": "FirstTaskDefinition"}]
    }


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"])
def test_each_strategy_has_the_settings_that_ecs_knows_for_it(
    resources: dict[str, Any], strategy: str
) -> None:
    """API reference, DeploymentConfiguration."""
    conditions = {name: name == f"Is{_CAMEL[strategy]}" for name in ("IsRolling", "IsLinear")}
    conditions["IsCanary"] = strategy == "CANARY"
    found = {
        name: _chosen(value, conditions)
        for name, value in _properties(resources, "EcsService")["DeploymentConfiguration"].items()
    }
    bake, wait = {"Ref": "BakeMinutes"}, {"Ref": "StepMinutes"}
    linear = {"StepPercent": {"Ref": "StepPercent"}, "StepBakeTimeInMinutes": wait}
    canary = {"CanaryPercent": {"Ref": "CanaryPercent"}, "CanaryBakeTimeInMinutes": wait}
    own: dict[str, dict[str, Any]] = {
        "ROLLING": {},
        "BLUE_GREEN": {"BakeTimeInMinutes": bake},
        "LINEAR": {"BakeTimeInMinutes": bake, "LinearConfiguration": linear},
        "CANARY": {"BakeTimeInMinutes": bake, "CanaryConfiguration": canary},
    }
    is_rolling = strategy == "ROLLING"
    assert {name: value for name, value in found.items() if value is not None} == {
        "Strategy": {"Ref": "Strategy"},
        "MinimumHealthyPercent": 100,
        "MaximumPercent": 200,
        "DeploymentCircuitBreaker": {"Enable": is_rolling, "Rollback": is_rolling},
        **own[strategy],
    }


_CAMEL = {"ROLLING": "Rolling", "BLUE_GREEN": "BlueGreen", "LINEAR": "Linear", "CANARY": "Canary"}


def _chosen(value: Any, conditions: dict[str, bool]) -> Any:
    """What an If stands for; None for no value."""
    while isinstance(value, dict) and "If" in value:
        condition, one, other = value["If"]
        value = one if conditions[condition] else other
    return None if value == {"Ref": "AWS::NoValue"} else value


def test_ecs_can_shift_the_traffic_in_any_strategy(resources: dict[str, Any]) -> None:
    """API reference, AdvancedConfiguration, and "Amazon ECS infrastructure IAM role ...".

    "If your service uses Elastic Load Balancing, update it with the new advancedConfiguration and
    start a rolling deployment": a rolling service has the configuration before it changes.
    """
    (balancer,) = _properties(resources, "EcsService")["LoadBalancers"]
    assert balancer["TargetGroupArn"] == {"Ref": "TargetGroup"}
    assert balancer["AdvancedConfiguration"] == {
        "AlternateTargetGroupArn": {"Ref": "AlternateTargetGroup"},
        "ProductionListenerRule": {"Ref": "Rule"},
        "TestListenerRule": {"Ref": "TestRule"},
        "RoleArn": {"GetAtt": "ShiftRole.Arn"},
    }
    role = _properties(resources, "ShiftRole")
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "ecs.amazonaws.com"}
    (policy,) = role["ManagedPolicyArns"]
    assert policy["Sub"].endswith(
        ":iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"
    )
    assert "Policies" not in role


def test_both_rules_have_both_target_groups(resources: dict[str, Any]) -> None:
    for name in ("Rule", "TestRule"):
        (action,) = _properties(resources, name)["Actions"]
        assert action["ForwardConfig"]["TargetGroups"] == [
            {"TargetGroupArn": {"Ref": "TargetGroup"}, "Weight": {"If": ["IsExchanged", 0, 100]}},
            {
                "TargetGroupArn": {"Ref": "AlternateTargetGroup"},
                "Weight": {"If": ["IsExchanged", 100, 0]},
            },
        ]
    one, other = (_properties(resources, each) for each in ("TargetGroup", "AlternateTargetGroup"))
    assert one == other


def test_the_repository_is_the_one_that_the_stage_recommends(resources: dict[str, Any]) -> None:
    own = dict(_properties(resources, "EcrRepository"))
    recommended = dict(load_template(stack_template())["Resources"]["Repository"])
    wanted = dict(recommended["Properties"])
    assert own.pop("RepositoryName") == {"Ref": "Repository"}
    wanted.pop("RepositoryName")
    assert own == wanted
    assert resources["EcrRepository"]["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize("pattern", ["*", "ecs-*", "shop/*", "shop/ecs-*-role", "*-ecs-*"])
def test_the_roles_match_the_stage_s_pattern(pattern: str) -> None:
    roles = roles_for(pattern, Name("shop", "web").in_stage("dev"))
    names = (roles.task, roles.execution, roles.traffic)
    for name in names:
        assert matches(pattern, f"{roles.path}{name}".lstrip("/"))
    assert len(set(names)) == len(names)
