"""The package that Chalice builds: functions, limits, roles and triggers, without AWS."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cfnlint.api import ManualArgs, lint

from chalicelib.api.http.problems import Problem
from chalicelib.cloudwatch import NAMESPACE
from chalicelib.domain.metrics import Timing
from infra.package import (
    EXAMPLE,
    LAMBDA_PLATFORM,
    ROOT,
    package_application,
    write_application,
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the dev stage, without libraries: a test must not download."""
    directory = tmp_path_factory.mktemp("package")
    application = directory / "application"
    write_application(application, EXAMPLE)
    package_application(application, directory, stage="dev", region=EXAMPLE.region)
    return directory


@pytest.fixture(scope="module")
def resources(package: Path) -> dict[str, Any]:
    template = json.loads((package / "sam.json").read_text())
    found: dict[str, Any] = template["Resources"]
    return found


def _functions(resources: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of each function, by the name of its handler in app.py."""
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    names = {name.replace("_", "").lower(): name for name in config["lambda_functions"]}
    return {
        names.get(logical_id.lower(), logical_id): resource["Properties"]
        for logical_id, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def _events(function: dict[str, Any]) -> list[dict[str, Any]]:
    return list(function.get("Events", {}).values())


def test_cfn_lint_finds_no_error_in_the_package(package: Path) -> None:
    # cfn-lint warns of a redundant DependsOn by Chalice. Only errors would stop a deploy.
    matches = lint((package / "sam.json").read_text(), config=ManualArgs(regions=[EXAMPLE.region]))
    assert [str(match) for match in matches if match.rule.id.startswith("E")] == []


def test_the_package_has_the_configured_functions_with_their_limits(
    resources: dict[str, Any],
) -> None:
    config = json.loads((ROOT / ".chalice/config.json").read_text())["lambda_functions"]
    functions = _functions(resources)
    assert set(functions) == set(config)
    for name, function in functions.items():
        assert function["Timeout"] == config[name]["lambda_timeout"]
        assert function["MemorySize"] == config[name]["lambda_memory_size"]
        assert function["Architectures"] == ["arm64"]
    assert LAMBDA_PLATFORM.endswith("_aarch64")


def test_each_function_has_the_role_of_its_own_policy(resources: dict[str, Any]) -> None:
    config = json.loads((ROOT / ".chalice/config.json").read_text())["lambda_functions"]
    for name, function in _functions(resources).items():
        role = resources[function["Role"]["Fn::GetAtt"][0]]["Properties"]
        policy = json.loads((ROOT / ".chalice" / config[name]["iam_policy_file"]).read_text())
        assert [p["PolicyDocument"] for p in role["Policies"]] == [policy]


def test_logs_of_functions_are_kept_for_a_month(resources: dict[str, Any]) -> None:
    functions = {k for k, v in resources.items() if v["Type"] == "AWS::Serverless::Function"}
    groups = [v["Properties"] for v in resources.values() if v["Type"] == "AWS::Logs::LogGroup"]
    assert {g["LogGroupName"]["Fn::Sub"]: g["RetentionInDays"] for g in groups} == {
        f"/aws/lambda/${{{function}}}": 30 for function in functions
    }


def test_each_function_logs_json_from_level_info(
    resources: dict[str, Any],
) -> None:
    for function in _functions(resources).values():
        assert function["LoggingConfig"] == {"LogFormat": "JSON", "ApplicationLogLevel": "INFO"}


def test_wake_ups_come_one_by_one_from_the_queue(resources: dict[str, Any]) -> None:
    (event,) = _events(_functions(resources)["on_wakeup"])
    assert event["Type"] == "SQS"
    assert event["Properties"]["Queue"]["Fn::Sub"].endswith(":slipway-wakeups")
    assert event["Properties"]["BatchSize"] == 1
    # AWS accepts 2 to 1000, and Chalice does not check it.
    concurrency = event["Properties"].get("ScalingConfig", {}).get("MaximumConcurrency", 2)
    assert 2 <= concurrency <= 1000


def test_one_rule_delivers_the_events_of_codebuild_and_ecs(resources: dict[str, Any]) -> None:
    events = _events(_functions(resources)["on_cloud_event"])
    assert [(event["Type"], event["Properties"]["Pattern"]) for event in events] == [
        (
            "CloudWatchEvent",
            {
                "source": ["aws.codebuild", "aws.ecs"],
                "$or": [
                    {
                        "detail-type": [
                            "CodeBuild Build State Change",
                            "CodeBuild Build Phase Change",
                            "ECS Deployment State Change",
                            "ECS Service Action",
                        ]
                    },
                    {
                        "detail-type": ["ECS Task State Change"],
                        "detail": {"startedBy": [{"prefix": "slipway/"}]},
                    },
                ],
            },
        )
    ]


def test_the_schedule_fires_every_minute(resources: dict[str, Any]) -> None:
    (event,) = _events(_functions(resources)["on_schedule"])
    assert event["Type"] == "Schedule"
    assert event["Properties"]["Schedule"] == "rate(1 minute)"


def test_the_regional_api_has_the_routes_of_the_application(resources: dict[str, Any]) -> None:
    paths = resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    assert "/v1/health" in paths
    assert "/v1/webhooks/github" in paths
    assert resources["RestAPI"]["Properties"]["EndpointConfiguration"] == "REGIONAL"


def test_errors_of_api_gateway_itself_are_problem_documents(resources: dict[str, Any]) -> None:
    definition = resources["RestAPI"]["Properties"]["DefinitionBody"]
    responses = definition["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(responses)
    for kind in ("MISSING_AUTHENTICATION_TOKEN", "RESOURCE_NOT_FOUND", "INVALID_SIGNATURE"):
        assert responses[kind]["statusCode"] == "404"
    for response in responses.values():
        headers = response["responseParameters"]
        waits = "gatewayresponse.header.Retry-After" in headers
        assert waits == (response["statusCode"] == "429")
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        (template,) = response["responseTemplates"].values()
        document = msgspec.json.decode(template, type=Problem)
        assert str(document.status) == response["statusCode"]
        assert document.instance == "$context.requestId"


def test_only_the_application_is_shipped(package: Path) -> None:
    with zipfile.ZipFile(package / "deployment.zip") as archive:
        tops = {Path(name).parts[0] for name in archive.namelist()}
        files = set(archive.namelist())
    assert tops == {"app.py", "chalice", "chalicelib"}
    assert {"chalicelib/api/openapi.json", "chalicelib/api/docs.html"} <= files
    page = ROOT / "chalicelib/api/page"
    of_page = [
        path for path in page.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert len(of_page) > 20
    assert {str(path.relative_to(ROOT)) for path in of_page} <= files


def test_the_dashboard_shows_metrics_that_the_application_writes(
    resources: dict[str, Any],
) -> None:
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown = {
        tuple(metric[:-1])
        for widget in json.loads(body)["widgets"]
        for metric in widget["properties"]["metrics"]
        if metric[0] == NAMESPACE
    }
    names = {"Builds", "Deployments", *(f"{timing.capitalize()}Seconds" for timing in Timing)}
    assert {name for _, name, *_ in shown} == names
    assert {(each[2], each[3], each[4]) for each in shown} == {
        ("Installation", EXAMPLE.prefix, "Status")
    }
    referred = set(re.findall(r"\$\{(\w+)\}", body))
    assert referred <= resources.keys()


def test_the_saved_query_reads_the_logs_of_every_function(resources: dict[str, Any]) -> None:
    query = resources["FollowAPush"]["Properties"]
    groups = {each["Ref"] for each in query["LogGroupNames"]}
    assert groups == {
        name for name, each in resources.items() if each["Type"] == "AWS::Logs::LogGroup"
    }
    assert len(groups) == len(_functions(resources))
