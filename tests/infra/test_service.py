"""`make service STAGE=…` against moto's CloudFormation and the API, over HTTP."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import WaiterError
from moto.cloudformation import parsing
from moto.ecs import models as ecs_models

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from infra.service import stage
from infra.service.__main__ import main
from infra.stacks import look_up
from tests.support.client import Api
from tests.support.served import served

# Parts of the template that moto does not create.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")

STACK = "slipway-dev-service-shop-web"
GIT = "https://github.com/acme/web"
CREATE = ["--stage", "dev", "--name", "shop/web", "--git", GIT, "--yes"]
DELETE = ["--stage", "dev", "--name", "shop/web", "--delete", "--yes"]
PATTERNS = {"RepositoryPattern": "team/*", "TaskRoles": "ecs-*", "TaskLogGroups": "/ecs/*"}


def _client(name: str) -> Any:
    return boto3.client(name)  # type: ignore[call-overload]


def _deploy_stage(api_url: str, **patterns: str) -> None:
    """Make the two stacks of the stage dev, with what this command reads."""
    values = {**PATTERNS, **patterns}
    outputs = {
        "GitHosts": "github.com",
        "WebhookSecret": "secretsmanager:arn:aws:secretsmanager:eu-west-1:1:secret:w",
        **{name: values[name] for name in ("TaskRoles", "TaskLogGroups")},
    }
    _make_stack("slipway-dev", values, outputs)
    _make_stack("slipway-dev-app", {}, {"EndpointURL": f"{api_url}/"})


def _make_stack(name: str, parameters: dict[str, str], outputs: dict[str, str]) -> None:
    template = {
        "Parameters": {each: {"Type": "String"} for each in parameters},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {each: {"Value": value} for each, value in outputs.items()},
    }
    _client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )


@pytest.fixture
def url(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the API, with a token in SLIPWAY_TOKEN."""
    from app import app

    monkeypatch.setenv("SLIPWAY_TOKEN", create_token("operator", Role.ADMIN).secret)
    with served(app) as address:
        yield address.rstrip("/")


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let CloudFormation create ECS services in the embedded ECS, too."""
    create = ecs_models.Service.create_from_cloudformation_json

    def create_in_both(name: str, template: Any, account: str, region: str, **more: Any) -> Any:
        properties = template["Properties"]
        _client("ecs").create_service(
            cluster=properties["Cluster"],
            serviceName=properties["ServiceName"],
            taskDefinition=properties["TaskDefinition"],
            desiredCount=1,
        )
        return create(name, template, account, region, **more)

    monkeypatch.setattr(ecs_models.Service, "create_from_cloudformation_json", create_in_both)


@pytest.fixture
def deployed(url: str) -> str:
    """The stage dev with the usual patterns."""
    _deploy_stage(url)
    return url


def _refusal(*arguments: str) -> str:
    with pytest.raises(SystemExit) as refused:
        main(list(arguments))
    return str(refused.value)


def _parameters(name: str = STACK) -> dict[str, str]:
    stack = _client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}


def _stacks() -> set[str]:
    found = _client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in found}


def test_it_creates_the_stack_and_registers_the_service(
    deployed: str, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*CREATE, "--port", "3000", "MaxTasks=6"])
    given = _parameters()
    assert given["RolePath"] == "/"
    assert given["TaskRole"] == "ecs-dev-shop-web"
    assert given["ExecutionRole"] == "ecs-dev-shop-web-execution"
    assert given["TrafficRole"] == "ecs-dev-shop-web-traffic"
    assert given["LogGroup"] == "/ecs/dev-shop-web"
    assert given["TaskSubnets"] == given["Subnets"] != ""
    assert (given["Port"], given["MaxTasks"], given["ProjectId"]) == ("3000", "6", "1")
    service = api.get("/v1/services/1").body
    assert {name: service[name] for name in ("name", "git_url", "branch", "auto_deploy")} == {
        "name": "web",
        "git_url": "https://github.com/acme/web.git",
        "branch": "main",
        "auto_deploy": True,
    }
    assert service["image_repository"] == "team/shop/web"
    target = [service[name] for name in ("ecs_cluster", "ecs_service", "containers")]
    assert target == ["dev-shop-web", "dev-shop-web", ["web"]]
    running = _client("ecs").describe_services(cluster=target[0], services=[target[1]])
    assert running["services"][0]["status"] == "ACTIVE"
    printed = capsys.readouterr().out
    balancer = _client("elbv2").describe_load_balancers()["LoadBalancers"][0]
    for line in (
        "account 123456789012, eu-west-1, stage dev",
        f"address  http://{balancer['DNSName']}/",
        "Until the first release it answers with an example page of AWS.",
        "Add it at https://github.com/acme/web/settings/hooks/new",
        f"Payload URL       {deployed}/v1/webhooks/github",
        "Content type      application/json",
        "--secret-id arn:aws:secretsmanager:eu-west-1:1:secret:w --query",
        "Just the push event",
        "http, as there is no CertificateArn, from the whole internet",
        "git push origin main",
        "must listen on port 3000",
    ):
        assert line in printed


def test_a_second_run_changes_nothing(
    deployed: str, api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(CREATE)
    before = (_parameters(), api.get("/v1/audit").body["items"])
    capsys.readouterr()
    monkeypatch.setattr(stage, "_apply", lambda *_: pytest.fail("the stack was touched"))
    main(CREATE)
    assert (_parameters(), api.get("/v1/audit").body["items"]) == before
    printed = capsys.readouterr().out
    assert f"stack {STACK} is as wanted" in printed
    assert "was registered before, with the id 1" in printed


def test_a_run_continues_where_another_one_has_failed(
    deployed: str, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = stage._apply

    def fail(*_: object) -> None:
        raise WaiterError("StackCreateComplete", "it failed", {})

    monkeypatch.setattr(stage, "_apply", fail)
    assert "run this again" in _refusal(*CREATE)
    monkeypatch.setattr(stage, "_apply", apply)
    main(CREATE)
    assert [each["name"] for each in api.get("/v1/projects").body["items"]] == ["shop"]
    assert api.get("/v1/services/1").body["name"] == "web"


def test_an_update_keeps_the_release_that_runs(
    deployed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(CREATE)
    # moto cannot update these resources.
    given: dict[str, str] = {}
    monkeypatch.setattr(parsing.ResourceMap, "update", lambda _, *sent: given.update(sent[1]))
    ecs = _client("ecs")
    release = ecs.register_task_definition(
        family="dev-shop-web", containerDefinitions=[{"name": "web", "image": "x", "memory": 64}]
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(cluster="dev-shop-web", service="dev-shop-web", taskDefinition=release)
    capsys.readouterr()
    main([*CREATE, "HealthPath=/health"])
    assert (given["HealthPath"], given["Running"]) == ("/health", release)
    printed = capsys.readouterr().out
    assert f"stack {STACK} changes: HealthPath" in printed
    assert "It answers with the newest release." in printed


def _weigh(first: int, second: int) -> None:
    """What ECS does to the listener rule when it shifts traffic."""
    outputs = {
        each["OutputKey"]: each["OutputValue"]
        for each in _client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0][
            "Outputs"
        ]
    }
    groups = [
        {"TargetGroupArn": outputs["TargetGroup"], "Weight": first},
        {"TargetGroupArn": outputs["AlternateTargetGroup"], "Weight": second},
    ]
    _client("elbv2").modify_rule(
        RuleArn=outputs["Rule"],
        Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
    )


@pytest.mark.parametrize(
    ("weights", "live"), [((100, 0), "TargetGroup"), ((0, 100), "AlternateTargetGroup")]
)
def test_an_update_leaves_the_traffic_where_ecs_has_shifted_it(
    deployed: str, monkeypatch: pytest.MonkeyPatch, weights: tuple[int, int], live: str
) -> None:
    main([*CREATE, "--strategy", "BLUE_GREEN"])
    assert _parameters()["Strategy"] == "BLUE_GREEN"
    given: dict[str, str] = {}
    monkeypatch.setattr(parsing.ResourceMap, "update", lambda _, *sent: given.update(sent[1]))
    _weigh(*weights)
    main([*CREATE, "HealthPath=/health"])
    assert (given["Strategy"], given["Live"]) == ("BLUE_GREEN", live)


def test_no_update_is_made_while_ecs_shifts_the_traffic(
    deployed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(CREATE)
    monkeypatch.setattr(parsing.ResourceMap, "update", lambda *_: pytest.fail("it was updated"))
    _weigh(90, 10)
    said = _refusal(*CREATE, "HealthPath=/health")
    assert "ECS is shifting the traffic of shop/web" in said
    assert len(said.splitlines()) == 2


def test_a_service_from_before_gets_the_role_that_shifts_traffic(
    deployed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(CREATE)
    before = dict(_parameters())
    del before["TrafficRole"]
    given: dict[str, str] = {}
    monkeypatch.setattr(parsing.ResourceMap, "update", lambda _, *sent: given.update(sent[1]))

    def look_up_before(client: Any, name: str) -> Any:
        found = look_up(client, name)
        return found and dataclasses.replace(found, parameters=before)

    monkeypatch.setattr("infra.service.stage.look_up", look_up_before)
    main([*CREATE, "HealthPath=/health"])
    assert given["TrafficRole"] == "ecs-dev-shop-web-traffic"
    assert "changes: HealthPath, TrafficRole" in capsys.readouterr().out


def test_an_existing_repository_is_used(deployed: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([*CREATE, "Repository=team/app"])
    assert _parameters()["CreateRepository"] == "false"
    assert "ECR repository team/app, which exists" in capsys.readouterr().out


def test_a_path_of_roles_and_other_patterns_are_matched(url: str) -> None:
    _deploy_stage(url, TaskRoles="shop/*-role", RepositoryPattern="*", TaskLogGroups="/apps/*")
    main(CREATE)
    given = _parameters()
    assert given["RolePath"] == "/shop/"
    assert given["TaskRole"] == "dev-shop-web-role"
    assert given["ExecutionRole"] == "dev-shop-web-execution-role"
    assert given["TrafficRole"] == "dev-shop-web-traffic-role"
    assert given["Repository"] == "shop/web"
    assert given["LogGroup"] == "/apps/dev-shop-web"


def _shared_listener() -> str:
    ec2, elb = _client("ec2"), _client("elbv2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
    group = ec2.create_security_group(GroupName="lb", Description="lb", VpcId=vpc)["GroupId"]
    balancer = elb.create_load_balancer(Name="lb", Subnets=subnets, SecurityGroups=[group])
    listener = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )["Listeners"][0]["ListenerArn"]
    elb.create_rule(
        ListenerArn=listener,
        Priority=7,
        Conditions=[{"Field": "host-header", "Values": ["other.example.com"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )
    return str(listener)


def test_a_shared_listener_gets_rules_for_the_domain(
    deployed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    listener = _shared_listener()
    assert "DOMAIN is missing" in _refusal(*CREATE, f"Listener={listener}")
    main([*CREATE, "--domain", "web.example.com", f"Listener={listener}"])
    elb = _client("elbv2")
    assert len(elb.describe_load_balancers()["LoadBalancers"]) == 1
    rules = {rule["Priority"]: rule for rule in elb.describe_rules(ListenerArn=listener)["Rules"]}
    assert set(rules) == {"7", "8", "9", "default"}
    assert rules["9"]["Conditions"] == [
        {"Field": "host-header", "HostHeaderConfig": {"Values": ["web.example.com"]}}
    ]
    printed = capsys.readouterr().out
    assert "address  http://web.example.com/" in printed
    assert "Point web.example.com to lb-" in printed
    main([*CREATE, "--domain", "web.example.com", f"Listener={listener}"])
    assert f"stack {STACK} is as wanted" in capsys.readouterr().out
    assert "its own certificates" in _refusal(*CREATE, "CertificateArn=arn:y")


def test_a_certificate_makes_it_https(deployed: str, capsys: pytest.CaptureFixture[str]) -> None:
    arn = _client("acm").request_certificate(DomainName="web.example.com")["CertificateArn"]
    main([*CREATE, "--domain", "web.example.com", f"CertificateArn={arn}"])
    elb = _client("elbv2")
    balancer = elb.describe_load_balancers()["LoadBalancers"][0]
    listeners = {
        listener["Protocol"]: listener
        for listener in elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])[
            "Listeners"
        ]
    }
    assert listeners["HTTP"]["DefaultActions"][0]["Type"] == "redirect"
    rules = elb.describe_rules(ListenerArn=listeners["HTTPS"]["ListenerArn"])["Rules"]
    assert {rule["Priority"] for rule in rules} == {"1", "2", "default"}
    printed = capsys.readouterr().out
    assert "address  https://web.example.com/" in printed
    assert f"Point web.example.com to {balancer['DNSName']} in your DNS" in printed


REFUSED = [
    (["--name", "shop"], "NAME is 'shop': it must be the project and the service"),
    (["--name", "Shop/web"], "NAME is 'Shop/web'"),
    (["--name", "shop/web-"], "NAME is 'shop/web-'"),
    (["--name", f"shop/{'w' * 45}"], "IAM allows 64"),
    (["--git", "git@github.com:acme/web"], "GIT is 'git@github.com:acme/web'"),
    (["--git", "https://example.com/acme/web"], "builds of this stage fetch only from github.com"),
    (["Repository=other/web"], "does not match the stage's RepositoryPattern, team/*"),
    (["Repository=team/Web"], "cannot be the name of an ECR repository"),
    (["HealthPath=/health"], "HealthPath must be / at first"),
    (["Stage=prod"], "Stage cannot be set"),
    (["MinTasks=5"], "MinTasks=5 is above MaxTasks=4"),
    (["Listener=arn:x", "Domain=a.example.com", "CertificateArn=arn:y"], "its own certificates"),
    (["Vpc=vpc-1"], "Vpc and Subnets must be given together"),
]


@pytest.mark.parametrize(("arguments", "reason"), REFUSED)
def test_a_refusal_says_why_and_changes_nothing(
    deployed: str, api: Api, arguments: list[str], reason: str
) -> None:
    said = _refusal(*CREATE, *arguments)
    assert reason in said
    assert len(said.splitlines()) == 2
    assert api.get("/v1/projects").body["items"] == []
    assert _stacks() == {"slipway-dev", "slipway-dev-app"}


def test_a_wrong_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*CREATE, "--port", "0"])
    assert "PORT is '0': it must be a number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pattern", "value"), [("TaskRoles", "ecs-tasks"), ("TaskLogGroups", "/logs")]
)
def test_a_pattern_that_fits_only_one_name_is_refused(url: str, pattern: str, value: str) -> None:
    _deploy_stage(url, **{pattern: value})
    said = _refusal(*CREATE)
    assert f"The stage's {pattern} is {value}, which is one" in said
    assert "Widen it" in said


def test_a_stage_that_is_not_deployed_is_refused(url: str) -> None:
    assert "The stage dev is not deployed to eu-west-1" in _refusal(*CREATE)
    _make_stack("slipway-dev", PATTERNS, {"GitHosts": "github.com"})
    assert "The stage dev has no API" in _refusal(*CREATE)


def test_a_region_without_a_default_vpc_is_refused(deployed: str) -> None:
    ec2 = _client("ec2")
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        ec2.delete_vpc(VpcId=vpc["VpcId"])
    said = _refusal(*CREATE)
    assert "There is no default VPC in eu-west-1." in said
    assert 'ARGS="Vpc=vpc-… Subnets=subnet-…,subnet-…"' in said


def test_subnets_in_one_zone_are_refused(deployed: str) -> None:
    subnet = _client("ec2").describe_subnets()["Subnets"][0]
    said = _refusal(*CREATE, f"Vpc={subnet['VpcId']}", f"Subnets={subnet['SubnetId']}")
    assert "needs subnets in two availability zones" in said


def test_a_missing_token_says_how_to_get_one(
    deployed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_TOKEN", "slw_wrong")
    said = _refusal(*CREATE)
    assert "does not accept the token" in said
    assert "export SLIPWAY_TOKEN=$(make token STAGE=dev)" in said


def test_another_service_of_this_name_is_refused(
    deployed: str, api: Api, project: int, new_service: dict[str, Any]
) -> None:
    api.post(f"/v1/projects/{project}/services", {**new_service, "name": "web"})
    said = _refusal(*CREATE)
    assert "Slipway already has a service shop/web, which is another one" in said
    assert "ecs_cluster is main, not dev-shop-web" in said
    assert _stacks() == {"slipway-dev", "slipway-dev-app"}


def test_what_cannot_change_is_refused(deployed: str) -> None:
    main(CREATE)
    assert "Port cannot change after the creation" in _refusal(*CREATE, "--port", "9000")
    said = _refusal(*CREATE[:2], "--name", "shop/web", "--git", "https://github.com/acme/api")
    assert "git_url is https://github.com/acme/web.git, not https://github.com/acme/api" in said


def test_two_names_with_one_stack_are_kept_apart(deployed: str) -> None:
    main([*CREATE, "--name", "a-b/c"])
    for action in (CREATE, DELETE):
        said = _refusal(*action, "--name", "a/b-c")
        assert "slipway-dev-service-a-b-c belongs to the service a-b/c" in said


def test_a_failed_creation_shows_its_causes(deployed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def wait(self, **_: object) -> None:
            raise WaiterError("StackCreateComplete", "failure", {})

    class Events:
        def paginate(self, **_: object) -> list[Any]:
            events = [
                ("EcsService", "CREATE_FAILED", "Resource creation cancelled"),
                ("Rule", "CREATE_FAILED", "Priority '2' is currently in use"),
                ("TaskGroup", "CREATE_COMPLETE", ""),
            ]
            keys = ("LogicalResourceId", "ResourceStatus", "ResourceStatusReason")
            return [{"StackEvents": [dict(zip(keys, each, strict=True)) for each in events]}]

    opened = stage.Aws.__init__

    def init(self: stage.Aws, name: str) -> None:
        opened(self, name)
        monkeypatch.setattr(self.cloudformation, "get_waiter", lambda _: Failing())
        monkeypatch.setattr(self.cloudformation, "get_paginator", lambda _: Events())

    monkeypatch.setattr(stage.Aws, "__init__", init)
    said = _refusal(*CREATE)
    assert "  Rule: Priority '2' is currently in use\n" in said
    assert "cancelled" not in said


def test_a_delete_keeps_the_images_unless_told(
    deployed: str, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    main(CREATE)
    main(DELETE)
    assert _stacks() == {"slipway-dev", "slipway-dev-app"}
    assert api.get("/v1/services").body["items"] == []
    assert "kept: the images in the ECR repository team/shop/web" in capsys.readouterr().out
    # moto deletes the repository with the stack; AWS keeps it.
    ecr = _client("ecr")
    ecr.create_repository(repositoryName="team/shop/web")
    main([*DELETE, "--images"])
    names = {each["repositoryName"] for each in ecr.describe_repositories()["repositories"]}
    assert "team/shop/web" not in names
    capsys.readouterr()
    main([*DELETE, "--images"])
    assert "There is no service shop/web to delete." in capsys.readouterr().out


def _assert_needs_yes(refusal: str) -> None:
    cause, fix = refusal.splitlines()
    assert cause.startswith("Nothing was changed: the input is not a terminal")
    assert "--yes" in fix


def test_without_a_terminal_a_service_is_created_only_with_yes(
    deployed: str, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    _assert_needs_yes(_refusal(*CREATE[:-1]))
    assert f"stack {STACK}" in capsys.readouterr().out
    assert STACK not in _stacks()
    assert api.get("/v1/projects").body["items"] == []


def test_without_a_terminal_a_service_is_changed_only_with_yes(deployed: str) -> None:
    main(CREATE)
    before = _parameters()
    _assert_needs_yes(_refusal(*CREATE[:-1], "MaxTasks=9"))
    assert _parameters() == before


def test_without_a_terminal_a_repeat_that_changes_nothing_needs_no_yes(
    deployed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(CREATE)
    main(CREATE[:-1])
    assert f"stack {STACK} is as wanted" in capsys.readouterr().out


def test_a_delete_without_a_terminal_needs_yes(deployed: str, api: Api) -> None:
    main(CREATE)
    _assert_needs_yes(_refusal(*DELETE[:-1]))
    assert STACK in _stacks()
    assert len(api.get("/v1/services").body["items"]) == 1


@pytest.mark.parametrize(("typed", "is_deleted"), [("shop/web", True), ("shop", False)])
def test_a_person_types_the_name_to_delete(
    deployed: str, monkeypatch: pytest.MonkeyPatch, typed: str, is_deleted: bool
) -> None:
    main(CREATE)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: typed)
    if is_deleted:
        main(DELETE[:-1])
    else:
        assert "the answer was not shop/web" in _refusal(*DELETE[:-1])
    assert (STACK in _stacks()) is not is_deleted


def test_a_service_of_another_target_stays_in_slipway(
    deployed: str, api: Api, project: int, new_service: dict[str, Any]
) -> None:
    api.post(f"/v1/projects/{project}/services", {**new_service, "name": "web"})
    main(DELETE)
    assert len(api.get("/v1/services").body["items"]) == 1


@pytest.mark.parametrize("typed", ["", "y", "no"])
def test_an_answer_other_than_yes_creates_nothing(
    deployed: str, api: Api, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: typed)
    assert "the answer was not yes" in _refusal(*CREATE[:-1])
    assert api.get("/v1/projects").body["items"] == []
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    main(CREATE[:-1])
    assert STACK in _stacks()
