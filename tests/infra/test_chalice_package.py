"""The package that Chalice builds: functions, limits, roles and triggers, without AWS."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from cfnlint.api import ManualArgs, lint
from cfnlint.decode import decode
from moto import mock_aws

import app
from chalicelib.api.http.endpoints import ENDPOINTS
from chalicelib.api.http.problems import Problem
from chalicelib.cloudwatch import NAMESPACE
from chalicelib.domain.metrics import Timing
from chalicelib.settings import settings
from infra.api_stage import ANONYMOUS_LIMITS, DEFAULT_LIMIT
from infra.functions import RESERVED
from infra.local.aws.queues import create_queues
from infra.package import (
    EXAMPLE,
    LAMBDA_PLATFORM,
    ROOT,
    package_application,
    write_application,
)
from tests.support.templates import resources_for

assert app.app  # importing it declares the routes


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the dev stage, without libraries: a test must not download."""
    directory = tmp_path_factory.mktemp("package")
    application = directory / "application"
    write_application(application, EXAMPLE)
    package_application(application, directory, stage="dev", region=EXAMPLE.region)
    return directory


@pytest.fixture(scope="module")
def template(package: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((package / "sam.json").read_text())
    return found


TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# The values that `infra/stack.yaml` writes to Parameter Store, for its own defaults.
DEFAULTS = {
    "AlarmTopic": "none",
    "KmsKey": "none",
    "AccessLogRole": "create",
    "ReserveConcurrency": "false",
}


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    """The resources of a stage with the default parameters."""
    return resources_for(template, **DEFAULTS)


def test_the_parameters_come_from_the_other_stack(template: dict[str, Any]) -> None:
    stack, _ = decode(str(ROOT / "infra/stack.yaml"))
    written = {
        resource["Properties"]["Name"]["Fn::Sub"].replace("${ResourcePrefix}", "slipway"): resource
        for resource in stack["Resources"].values()
        if resource["Type"] == "AWS::SSM::Parameter"
    }
    read = {each["Default"] for each in template["Parameters"].values()}
    assert read == set(written)
    for name, parameter in template["Parameters"].items():
        # CloudFormation reads such a parameter again at each update, also with UsePreviousValue.
        assert parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
        value = written[parameter["Default"]]["Properties"]["Value"]
        if "Fn::If" in value:  # Parameter Store takes no empty value
            condition, value, otherwise = value["Fn::If"]
            assert (condition, otherwise) == (f"Has{name}", "none")
            assert stack["Parameters"][name]["Default"] == ""
        else:
            assert stack["Parameters"][name]["Default"] == DEFAULTS[name]
        assert value == {"Ref": name}


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


def _of_type(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the resources of a type, by logical id."""
    return {k: v["Properties"] for k, v in resources.items() if v["Type"] == f"AWS::{kind}"}


def test_logs_of_functions_and_of_the_api_are_kept_for_a_month(resources: dict[str, Any]) -> None:
    groups = _of_type(resources, "Logs::LogGroup")
    names = {name: each["LogGroupName"] for name, each in groups.items()}
    assert names.pop("AccessLog") == "/aws/apigateway/slipway"
    assert list(names.values()) == [
        {"Fn::Sub": f"/aws/lambda/${{{name.removesuffix('LogGroup')}}}"} for name in names
    ]
    functions = {k for k, v in resources.items() if v["Type"] == "AWS::Serverless::Function"}
    assert {name.removesuffix("LogGroup") for name in names} == functions
    assert {each["RetentionInDays"] for each in groups.values()} == {30}


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


def test_tellings_come_one_by_one_from_a_queue_that_exists_before(
    template: dict[str, Any], resources: dict[str, Any]
) -> None:
    (event,) = _events(_functions(resources)["on_telling"])
    assert event["Type"] == "SQS"
    queue, dead = (resources[name]["Properties"] for name in ("TellingQueue", "DeadTellingQueue"))
    assert event["Properties"]["Queue"]["Fn::Sub"].endswith(f":{queue['QueueName']}")
    assert queue["QueueName"] == settings().telling_queue
    assert event["Properties"]["BatchSize"] == 1
    # Lambda: "Batching window is not supported for FIFO queues".
    assert event["Properties"]["MaximumBatchingWindowInSeconds"] == 0
    assert resources["OnTelling"]["DependsOn"] == ["TellingQueue"]
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": ["DeadTellingQueue", "Arn"]},
        "maxReceiveCount": 5,
    }
    assert dead["MessageRetentionPeriod"] == 14 * 24 * 60 * 60
    (source,) = dead["RedriveAllowPolicy"]["sourceQueueArns"]
    assert source["Fn::Sub"].endswith(f":{queue['QueueName']}")
    assert queue["VisibilityTimeout"] == 6 * _functions(resources)["on_telling"]["Timeout"]


def test_the_queues_of_tellings_are_those_of_the_embedded_aws(resources: dict[str, Any]) -> None:
    with mock_aws():
        create_queues()
        sqs = boto3.client("sqs")
        for name in ("TellingQueue", "DeadTellingQueue"):
            wanted = resources[name]["Properties"]
            url = sqs.get_queue_url(QueueName=wanted["QueueName"])["QueueUrl"]
            found: Any = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            for attribute in (
                "DeduplicationScope",
                "FifoQueue",
                "FifoThroughputLimit",
                "MessageRetentionPeriod",
                "ReceiveMessageWaitTimeSeconds",
                "VisibilityTimeout",
            ):
                seen = found["Attributes"][attribute].lower()
                assert seen == str(wanted[attribute]).lower(), attribute


def test_other_accounts_cannot_send_a_telling(resources: dict[str, Any]) -> None:
    policy = resources["TellingQueuePolicy"]["Properties"]
    assert policy["Queues"] == [{"Ref": "TellingQueue"}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == {"Fn::GetAtt": ["TellingQueue", "Arn"]}
    assert statement["Condition"] == {"StringNotEquals": {"aws:PrincipalAccount": EXAMPLE.account}}


def _rule(resources: dict[str, Any], function: str) -> dict[str, Any]:
    """The properties of the only rule that invokes a function."""
    arn = {"Fn::GetAtt": [function, "Arn"]}
    (rule,) = (
        each
        for each in _of_type(resources, "Events::Rule").values()
        if arn in [target["Arn"] for target in each["Targets"]]
    )
    return rule


def test_one_rule_delivers_the_events_of_codebuild_and_ecs(resources: dict[str, Any]) -> None:
    assert _rule(resources, "OnCloudEvent")["EventPattern"] == {
        "source": ["aws.codebuild", "aws.ecs"],
        "$or": [
            {
                "detail-type": [
                    "CodeBuild Build State Change",
                    "ECS Deployment State Change",
                    "ECS Hook State Change",
                    "ECS Service Action",
                ]
            },
            {
                "detail-type": ["CodeBuild Build Phase Change"],
                "detail": {"completed-phase": ["QUEUED", "INSTALL", "PRE_BUILD"]},
            },
            {
                "detail-type": ["ECS Task State Change"],
                "detail": {"startedBy": [{"prefix": "slipway/"}]},
            },
        ],
    }


def test_the_schedule_fires_every_minute(resources: dict[str, Any]) -> None:
    assert _rule(resources, "OnSchedule")["ScheduleExpression"] == "rate(1 minute)"


def test_each_rule_may_invoke_its_function(resources: dict[str, Any]) -> None:
    for function in ("OnCloudEvent", "OnSchedule"):
        assert _of_type(resources, "Lambda::Permission")[f"{function}RulePermission"] == {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": function},
            "Principal": "events.amazonaws.com",
            "SourceArn": {"Fn::GetAtt": [f"{function}Rule", "Arn"]},
        }
    # SAM would make a second rule for an event of the function.
    types = {e["Type"] for each in _functions(resources).values() for e in _events(each)}
    assert types == {"SQS"}


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
    assert groups == _of_type(resources, "Logs::LogGroup").keys() - {"AccessLog"}
    assert len(groups) == len(_functions(resources))


def test_the_api_has_one_stage_and_the_name_of_the_installation(resources: dict[str, Any]) -> None:
    """AWS SAM, AWS::Serverless::Api: without OpenApiVersion it makes a second stage, "Stage".

    CloudWatch knows an API by its name: the metrics of two installations must not be mixed.
    """
    api = resources["RestAPI"]["Properties"]
    assert api["StageName"] == "api"
    assert api["OpenApiVersion"] == api["DefinitionBody"]["swagger"] == "2.0"
    assert api["Name"] == api["DefinitionBody"]["info"]["title"] == EXAMPLE.prefix


def test_every_request_has_a_line_in_the_access_log(template: dict[str, Any]) -> None:
    resources = resources_for(template, **DEFAULTS)
    setting = resources["RestAPI"]["Properties"]["AccessLogSetting"]
    assert setting["DestinationArn"] == {"Fn::GetAtt": ["AccessLog", "Arn"]}
    fields = json.loads(setting["Format"])
    assert fields["ip"] == "$context.identity.sourceIp"
    assert fields["status"] == "$context.status"
    # API Gateway's own refusals show the first one. A function shows the second one as its own.
    assert fields["request_id"] == "$context.requestId"
    assert fields["function_request_id"] == "$context.awsEndpointRequestId"
    assert fields["route"] == "$context.resourcePath"
    # A caller chooses these texts, and could forge fields or lines with them.
    assert not re.search(r"userAgent|context\.path|domain", setting["Format"])


def test_the_role_for_access_logs_is_the_accounts(template: dict[str, Any]) -> None:
    """API Gateway, "Set up CloudWatch logging for REST APIs": one role per account and region."""
    created = resources_for(template, **DEFAULTS)
    account = created["LogAccount"]
    assert account["Properties"] == {"CloudWatchRoleArn": {"Fn::GetAtt": ["LogRole", "Arn"]}}
    for name in ("LogAccount", "LogRole"):  # other APIs of the account may use it by then
        assert created[name]["DeletionPolicy"] == created[name]["UpdateReplacePolicy"] == "Retain"
    (managed,) = created["LogRole"]["Properties"]["ManagedPolicyArns"]
    assert managed["Fn::Sub"].endswith(":policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")
    # The stage needs the log group, and the log group the account's role.
    assert {"Ref": "LogAccount"} in [t["Value"] for t in created["AccessLog"]["Properties"]["Tags"]]

    used = resources_for(template, **DEFAULTS | {"AccessLogRole": "use"})
    assert not {"LogAccount", "LogRole"} & used.keys()
    assert "AccessLogSetting" in used["RestAPI"]["Properties"]
    assert "LogAccount" not in json.dumps(used)

    none = resources_for(template, **DEFAULTS | {"AccessLogRole": "none"})
    assert not {"LogAccount", "LogRole", "AccessLog"} & none.keys()
    assert "AccessLogSetting" not in none["RestAPI"]["Properties"]


def test_routes_without_a_token_have_lower_limits(resources: dict[str, Any]) -> None:
    public = {(each.method, each.path) for each in ENDPOINTS if each.role is None}
    assert set(ANONYMOUS_LIMITS) == public
    default, *routes = resources["RestAPI"]["Properties"]["MethodSettings"]
    assert (default["HttpMethod"], default["ResourcePath"]) == ("*", "/*")
    assert (default["ThrottlingRateLimit"], default["ThrottlingBurstLimit"]) == DEFAULT_LIMIT
    # CloudFormation, MethodSetting: a slash in a path is written ~1, and the root is one slash.
    paths = {(each["HttpMethod"], each["ResourcePath"]) for each in routes}
    assert {("GET", "/"), ("GET", "/~1docs"), ("POST", "/~1v1~1webhooks~1github")} <= paths
    assert len(paths) == len(public)
    for route in routes:
        assert 0 < route["ThrottlingRateLimit"] < DEFAULT_LIMIT[0]
        assert route["ThrottlingRateLimit"] < route["ThrottlingBurstLimit"] < DEFAULT_LIMIT[1]


def test_one_view_of_the_dashboard_may_load_all_its_files_at_once() -> None:
    page = ROOT / "chalicelib/api/page"
    files = [path for path in page.rglob("*") if path.suffix in {".js", ".css", ".svg"}]
    assert len(files) < ANONYMOUS_LIMITS["GET", "/assets/{version}/{name}"][1] / 3


def test_concurrency_is_reserved_only_if_asked(template: dict[str, Any]) -> None:
    def reserved(value: str) -> dict[str, int]:
        found = resources_for(template, **DEFAULTS | {"ReserveConcurrency": value})
        return {
            name: each["ReservedConcurrentExecutions"]
            for name, each in _of_type(found, "Serverless::Function").items()
            if "ReservedConcurrentExecutions" in each
        }

    assert reserved("false") == {}
    assert reserved("true") == RESERVED
    assert "APIHandler" not in RESERVED
    # With less than this, Lambda would throttle the queue's messages into dead letters.
    for function, handler in (("OnWakeup", "on_wakeup"), ("OnTelling", "on_telling")):
        (source,) = _events(_functions(template["Resources"])[handler])
        assert RESERVED[function] >= source["Properties"]["ScalingConfig"]["MaximumConcurrency"]
    stack, _ = decode(str(ROOT / "infra/stack.yaml"))
    described = stack["Parameters"]["ReserveConcurrency"]["Description"]
    total = sum(RESERVED.values())
    assert f" {total} " in described
    assert f" {total + 100}." in described  # Lambda keeps 100 for all other functions


def test_failed_events_are_kept_with_their_reason(resources: dict[str, Any]) -> None:
    queue = resources["FailedInvocations"]["Properties"]
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 60 * 60
    assert queue["SqsManagedSseEnabled"] is True
    for name, function in _functions(resources).items():
        if name in {"on_cloud_event", "on_schedule"}:
            assert function["EventInvokeConfig"]["DestinationConfig"] == {
                "OnFailure": {
                    "Type": "SQS",
                    "Destination": {"Fn::GetAtt": ["FailedInvocations", "Arn"]},
                }
            }
            # SAM grants this only to roles that it makes itself.
            (policy,) = resources[function["Role"]["Fn::GetAtt"][0]]["Properties"]["Policies"]
            granted = [
                each["Resource"]
                for each in policy["PolicyDocument"]["Statement"]
                if each["Action"] == "sqs:SendMessage"
            ]
            assert f"{EXAMPLE.prefix}-failed-invocations" in [g.split(":")[-1] for g in granted]
            assert queue["QueueName"] == f"{EXAMPLE.prefix}-failed-invocations"
        else:
            assert "EventInvokeConfig" not in function


def test_an_own_key_encrypts_logs_and_queue_and_only_then_may_be_used(
    template: dict[str, Any],
) -> None:
    without = resources_for(template, **DEFAULTS)
    text = json.dumps(without).lower()
    # The GitHub App has a key of its own, which encrypts nothing.
    for of_app in (
        "kms:sign",
        "kms:requestalias",
        f":kms:{EXAMPLE.region}:{EXAMPLE.account}:key/*",
    ):
        text = text.replace(of_app, "")
    assert "kms" not in text
    resources = resources_for(template, **DEFAULTS | {"KmsKey": KEY})
    for group in _of_type(resources, "Logs::LogGroup").values():
        assert group["KmsKeyId"] == KEY
    for queue in _of_type(resources, "SQS::Queue").values():
        assert queue["KmsMasterKeyId"] == KEY
        assert "SqsManagedSseEnabled" not in queue
    policy = resources["UseOfTheKey"]["Properties"]
    roles = {each["Role"]["Fn::GetAtt"][0] for each in _functions(resources).values()}
    assert {each["Ref"] for each in policy["Roles"]} == roles
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Resource"] == KEY
    services = statement["Condition"]["StringEquals"]["kms:ViaService"]
    assert {each["Fn::Sub"].partition(".")[0] for each in services} == {
        "dynamodb",
        "secretsmanager",
        "sns",
        "sqs",
        "ssm",
    }


def test_every_alarm_tells_the_topic_if_there_is_one(template: dict[str, Any]) -> None:
    alarms = _of_type(resources_for(template, **DEFAULTS), "CloudWatch::Alarm")
    for alarm in alarms.values():
        assert "AlarmActions" not in alarm
    told = resources_for(template, **DEFAULTS | {"AlarmTopic": TOPIC})
    for alarm in _of_type(told, "CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == [TOPIC]
        assert alarm["AlarmName"].startswith(f"{EXAMPLE.prefix}-")
    names = [alarm["AlarmName"] for alarm in alarms.values()]
    assert len(set(names)) == len(names)


def test_there_are_alarms_for_everything_that_stops_work(resources: dict[str, Any]) -> None:
    alarms = _of_type(resources, "CloudWatch::Alarm").values()
    watched = [
        (each["Namespace"], each["MetricName"], {d["Name"]: d["Value"] for d in each["Dimensions"]})
        for each in alarms
    ]
    for function in _of_type(resources, "Serverless::Function"):
        for metric in ("Errors", "Throttles"):
            assert ("AWS/Lambda", metric, {"FunctionName": {"Ref": function}}) in watched
    api = {"ApiName": resources["RestAPI"]["Properties"]["Name"], "Stage": "api"}
    webhook = {**api, "Method": "POST", "Resource": "/v1/webhooks/github"}
    failed, tellings, dead = (
        {"QueueName": {"Fn::GetAtt": [queue, "QueueName"]}}
        for queue in ("FailedInvocations", "TellingQueue", "DeadTellingQueue")
    )
    for row in (
        ("AWS/ApiGateway", "5XXError", api),
        ("AWS/ApiGateway", "4XXError", api),
        ("AWS/ApiGateway", "Latency", webhook),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", failed),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", dead),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", tellings),
        (NAMESPACE, "OverdueSeconds", {"Installation": EXAMPLE.prefix}),
        (NAMESPACE, "ChannelsOff", {"Installation": EXAMPLE.prefix}),
    ):
        assert row in watched
    # Only with detailed metrics there is a latency of one route.
    detailed = [
        each["ResourcePath"]
        for each in resources["RestAPI"]["Properties"]["MethodSettings"]
        if each["MetricsEnabled"]
    ]
    assert detailed == ["/~1v1~1webhooks~1github"]


def test_an_alarm_also_tells_that_the_schedule_does_not_run(template: dict[str, Any]) -> None:
    """CloudWatch, "Configuring how alarms treat missing data": without data the state of this
    alarm becomes INSUFFICIENT_DATA, which is also the state of a new alarm.
    """
    told = resources_for(template, **DEFAULTS | {"AlarmTopic": TOPIC})
    alarm = told["OverdueAlarm"]["Properties"]
    assert alarm["TreatMissingData"] == "missing"
    assert alarm["InsufficientDataActions"] == [TOPIC]
