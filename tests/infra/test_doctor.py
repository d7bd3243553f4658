"""`make doctor`: this machine for real, and AWS with scripted answers."""

import ast
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.domain.schema import SCHEMA
from infra.doctor import aws, local
from infra.doctor.__main__ import main
from infra.doctor.local import NOTE, OK, WRONG, check_git, check_python
from infra.package import ROOT

QUOTA = "Concurrently running builds for Linux/Small environment"
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/slipway-dev-wakeups"


@pytest.fixture
def index() -> Iterator[str]:
    """A package index on loopback that answers /simple/."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/simple/" else 503)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://user:hush@127.0.0.1:{server.server_port}/simple/"
        finally:
            server.shutdown()
            thread.join()


def _run(index: str, *flags: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run it in a process without AWS credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PIP_INDEX_URL": index,
        "UV_INDEX_URL": "",
    }
    return subprocess.run(
        [sys.executable, *flags, "-m", "infra.doctor", "dev"],
        cwd=ROOT,
        env=kept | nothing | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_without_aws_it_checks_this_machine(index: str) -> None:
    done = _run(index)
    lines = done.stdout.splitlines()
    subjects = [line[12:].partition(":")[0] for line in lines]
    assert subjects == ["Python", "git", "Docker", "Package index", "AWS", "Nothing to fix."[12:]]
    assert lines[3].startswith("ok          Package index: 127.0.0.1:")
    assert lines[4].startswith("not checked AWS: There are no AWS credentials. The account and its")
    assert done.returncode == 0
    assert "hush" not in done.stdout


def test_it_runs_before_the_packages_are_installed(index: str) -> None:
    done = _run(index, "-S")
    assert "not checked AWS: `make setup` must run before." in done.stdout
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["__init__", "__main__", "local"])
def test_it_runs_with_an_old_python(name: str) -> None:
    text = (ROOT / f"infra/doctor/{name}.py").read_text()
    ast.parse(text, feature_version=(3, 8))
    ast.parse((ROOT / "infra/__init__.py").read_text(), feature_version=(3, 8))


def test_what_is_wrong_here_has_a_fix_and_the_exit_code_1(index: str, tmp_path: Path) -> None:
    done = _run(index.replace("simple", "down"), PATH=str(tmp_path))
    assert done.returncode == 1
    assert "wrong       git: is missing. Fix: install it" in done.stdout
    assert re.search(r"^wrong  .* 127.0.0.1:\d+ answers 503. Fix: check the", done.stdout, re.M)
    assert "note        Docker: does not run here." in done.stdout
    assert done.stdout.splitlines()[-1] == "2 to fix."


def test_an_index_that_is_not_reachable_is_wrong() -> None:
    assert local.check_index("http://127.0.0.1:9/simple/").state == WRONG
    assert local.check_index("nonsense").state == WRONG


def test_versions() -> None:
    assert check_git("git version 2.39.5 (Apple Git-154)").state == OK
    assert check_git("git version 2.30.2\n").state == WRONG
    assert check_python((3, 11), is_venv=True).state == OK
    assert check_python((3, 13), is_venv=True).state == NOTE
    assert check_python((3, 9), is_venv=True).state == WRONG


def _stack(name: str, status: str = "UPDATE_COMPLETE", **parameters: str) -> Any:
    outputs = {
        "QueueUrl": QUEUE,
        "TablePrefix": "slipway-dev",
        "WebhookSecret": "secretsmanager:arn:secret:w",
    }
    return {
        "StackName": name,
        "StackStatus": status,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in {"AlarmTopic": "arn:topic", "JobWorkers": "2", **parameters}.items()
        ],
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    }


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no\nnever"}}, operation)


def _rows(schema: int) -> Any:
    return {"Item": {"id": {"S": "schema"}, "value": {"N": str(schema)}}}


class Answers(dict[str, Any]):
    """AWS's answers by operation: a value, an exception, or a function of the request."""

    def call(self, operation: str, request: Any) -> Any:
        answer = self[operation]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if isinstance(answer, Callable) else answer  # type: ignore[arg-type]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """A healthy account with the stage dev."""
    simulated: list[Any] = []

    def simulate(request: Any) -> Any:
        simulated.append(request)
        return {
            "EvaluationResults": [
                {"EvalActionName": action, "EvalDecision": "allowed"}
                for action in request["ActionNames"]
            ]
        }

    healthy = Answers(
        GetCallerIdentity={
            "Account": "123456789012",
            "Arn": "arn:aws:sts::123456789012:assumed-role/deployer/ada",
        },
        GetRole={"Role": {"Arn": "arn:aws:iam::123456789012:role/team/deployer"}},
        SimulatePrincipalPolicy=simulate,
        DescribeStacks=lambda request: {"Stacks": [_stack(request["StackName"])]},
        ListServiceQuotas={"Quotas": [{"QuotaName": QUOTA, "Value": 20.0}]},
        GetAccountSettings={"AccountLimit": {"UnreservedConcurrentExecutions": 1000}},
        DescribeSecret={"Name": "slipway-dev/webhook", "VersionIdsToStages": {"1": ["AWSCURRENT"]}},
        DescribeAlarms={
            "MetricAlarms": [
                {"AlarmName": "slipway-dev-dead-wakeups", "StateValue": "OK", "StateReason": ""}
            ]
        },
        GetQueueAttributes={"Attributes": {"ApproximateNumberOfMessages": "0"}},
        GetItem=_rows(SCHEMA),
        simulated=simulated,
    )
    monkeypatch.setattr(
        botocore.client.BaseClient,
        "_make_api_call",
        lambda _, operation, request: healthy.call(operation, request),
    )
    return healthy


def _lines(stage: str | None = "dev") -> list[str]:
    return [str(check) for check in aws.checks(stage)]


def test_a_healthy_stage_has_nothing_to_fix(answers: Answers) -> None:
    lines = _lines()
    assert all(line.startswith("ok ") for line in lines), lines
    assert "ok          Alarms: none of 1 fires." in lines
    assert "ok          Dead letters: none." in lines
    assert f"ok          Rows: have schema {SCHEMA}." in lines
    asked = answers["simulated"]
    assert {request["PolicySourceArn"] for request in asked} == {
        "arn:aws:iam::123456789012:role/team/deployer"
    }
    resources = [arn for request in asked for arn in request["ResourceArns"]]
    assert "arn:aws:dynamodb:eu-west-1:123456789012:table/slipway-dev-jobs" in resources
    assert "arn:aws:s3:::slipway-dev-packages-123456789012-eu-west-1" in resources
    assert "arn:aws:ssm:eu-west-1:123456789012:parameter/slipway-dev-app/KmsKey" in resources


def _new_alarm(_: Any) -> Any:
    alarm = {
        "AlarmName": "slipway-dev-dead-wakeups",
        "StateValue": "ALARM",
        "AlarmDescription": "A wake-up failed.",
        "StateReason": "1 is above 0",
    }
    return {"MetricAlarms": [alarm]}


PLACE = QUEUE.rpartition("/")[0]
DEAD = {f"{QUEUE}-dead": "1", f"{PLACE}/slipway-dev-tellings-dead.fifo": "2"}
WRONG_ANSWERS = [
    (
        "ListServiceQuotas",
        {"Quotas": [{"QuotaName": QUOTA, "Value": 1.0}]},
        "allows 1 builds at once on Linux/Small, and JobWorkers is 2. CodeBuild refuses a project "
        'with a limit above the quota. Fix: deploy with ARGS="JobWorkers=1" (STAGE=dev)',
    ),
    (
        "GetAccountSettings",
        {"AccountLimit": {"UnreservedConcurrentExecutions": 5}},
        "5 executions at once are too few.",
    ),
    (
        "SimulatePrincipalPolicy",
        {"EvaluationResults": [{"EvalActionName": "x:Y", "EvalDecision": "implicitDeny"}]},
        "IAM denies x:Y",
    ),
    (
        "DescribeStacks",
        _error("ValidationError", "Stack with id slipway-dev does not exist"),
        "Stack slipway-dev: does not exist. Fix: make deploy STAGE=dev",
    ),
    (
        "DescribeStacks",
        lambda request: {"Stacks": [_stack(request["StackName"], "ROLLBACK_COMPLETE")]},
        "Stack slipway-dev: The stack slipway-dev is ROLLBACK_COMPLETE: it can only be deleted.",
    ),
    (
        "DescribeStacks",
        lambda request: {"Stacks": [_stack(request["StackName"], "UPDATE_FAILED")]},
        "Stack slipway-dev-app: UPDATE_FAILED. Fix: see its events, then make deploy STAGE=dev",
    ),
    (
        "GetItem",
        _rows(SCHEMA + 2),
        f"Rows: The rows of this stage have schema {SCHEMA + 2}, and this version knows {SCHEMA}.",
    ),
    ("DescribeSecret", {"Name": "w"}, "Webhook secret: has no value: no delivery is accepted."),
    ("DescribeAlarms", _new_alarm, "Alarm slipway-dev-dead-wakeups: fires. A wake-up failed."),
    (
        "GetQueueAttributes",
        lambda request: {"Attributes": {"ApproximateNumberOfMessages": DEAD[request["QueueUrl"]]}},
        "Dead letters: about 3. Fix: remove the cause, then make redrive STAGE=dev",
    ),
]


@pytest.mark.parametrize(("operation", "answer", "said"), WRONG_ANSWERS)
def test_what_is_wrong_in_aws_has_a_fix(
    answers: Answers, operation: str, answer: Any, said: str
) -> None:
    if operation == "DescribeStacks" and isinstance(answer, ClientError):
        answer = _error("ValidationError", "DescribeStacks")
        answer.args = ("Stack with id slipway-dev does not exist",)
    answers[operation] = answer
    found = [line for line in _lines() if said in line]
    assert found
    assert found[0].startswith("wrong ")
    assert " Fix: " in found[0]


def test_migrations_that_are_not_complete_are_noted(answers: Answers) -> None:
    answers["GetItem"] = {}
    (line,) = [line for line in _lines() if "Rows" in line]
    assert line == (
        f"note        Rows: have schema 0. The migrations to {SCHEMA} are not complete. "
        "Fix: make deploy STAGE=dev"
    )


def test_a_missing_secret_is_wrong(answers: Answers) -> None:
    answers["DescribeSecret"] = _error("ResourceNotFoundException", "DescribeSecret")
    (line,) = [line for line in _lines() if "Webhook secret" in line]
    assert line.startswith("wrong ")
    assert "does not exist" in line


@pytest.mark.parametrize(
    ("operation", "subject"),
    [
        ("SimulatePrincipalPolicy", "Permissions to deploy"),
        ("GetRole", "Permissions to deploy"),
        ("ListServiceQuotas", "CodeBuild's quota"),
        ("GetAccountSettings", "Lambda's concurrency"),
        ("DescribeStacks", "Stack slipway-dev"),
        ("DescribeSecret", "Webhook secret"),
        ("DescribeAlarms", "Alarms"),
        ("GetItem", "Rows"),
        ("GetQueueAttributes", "Dead letters"),
    ],
)
def test_a_look_that_aws_denies_is_said_and_nothing_to_fix(
    answers: Answers, operation: str, subject: str
) -> None:
    answers[operation] = _error("AccessDenied", operation)
    lines = _lines()
    assert f"not checked {subject}: AWS denies {operation}." in lines
    answers[operation] = EndpointConnectionError(endpoint_url="https://x")
    lines += _lines()
    assert not [line for line in lines if line.startswith("wrong")]
    assert [line for line in lines if line.startswith(f"not checked {subject}: Could not connect")]


def test_an_application_of_an_earlier_version_has_no_queue_of_tellings(answers: Answers) -> None:
    def of_wakeups(request: Any) -> Any:
        if request["QueueUrl"] == f"{QUEUE}-dead":
            return {"Attributes": {"ApproximateNumberOfMessages": "0"}}
        raise _error("AWS.SimpleQueueService.NonExistentQueue", "GetQueueAttributes")

    answers["GetQueueAttributes"] = of_wakeups
    assert "ok          Dead letters: none." in _lines()


def test_a_condition_that_iam_cannot_know_is_not_a_denial(answers: Answers) -> None:
    unknown = {
        "EvalActionName": "iam:CreateRole",
        "EvalDecision": "implicitDeny",
        "MissingContextValues": ["aws:RequestTag/team"],
    }
    answers["SimulatePrincipalPolicy"] = {"EvaluationResults": [unknown]}
    assert (
        "ok          Permissions to deploy: IAM's simulation allows the main actions." in _lines()
    )


@pytest.mark.parametrize(
    ("arn", "is_simulated"),
    [
        ("arn:aws:iam::123456789012:user/team/ada", True),
        ("arn:aws:iam::123456789012:root", False),
        ("arn:aws:sts::123456789012:federated-user/ada", False),
    ],
)
def test_users_are_simulated_and_others_are_said(
    answers: Answers, arn: str, is_simulated: bool
) -> None:
    answers["GetCallerIdentity"] = {"Account": "123456789012", "Arn": arn}
    said = f"not checked Permissions to deploy: IAM cannot simulate {arn}."
    assert (said not in _lines()) is is_simulated
    assert {request["PolicySourceArn"] for request in answers["simulated"]} <= {arn}


def test_a_small_account_and_no_topic_are_only_notes(answers: Answers) -> None:
    answers["GetAccountSettings"] = {"AccountLimit": {"UnreservedConcurrentExecutions": 10}}
    answers["DescribeStacks"] = lambda request: {
        "Stacks": [_stack(request["StackName"], "UPDATE_ROLLBACK_COMPLETE", AlarmTopic="")]
    }
    lines = _lines()
    notes = [line for line in lines if line.startswith("note ")]
    assert len(notes) == 4
    assert not [line for line in lines if line.startswith("wrong")]


def test_without_a_stage_only_the_account_is_checked(answers: Answers) -> None:
    del answers["DescribeStacks"]
    assert _lines(None)[-1] == "not checked Stages: give one, such as STAGE=dev."


def test_credentials_that_do_not_work_are_wrong(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers["GetCallerIdentity"] = _error("ExpiredToken", "GetCallerIdentity")
    monkeypatch.setattr(local, "checks", lambda: iter(()))
    assert main(["dev"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("wrong       AWS credentials: do not work: An error occurred")
    assert printed[0].endswith("Fix: sign in again.")
    assert printed[1:] == ["1 to fix."]
