"""A stage on the emulator, as its users see it: the commands of the operator, and the API."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.package import ROOT
from infra.rehearse.readback import client
from infra.seeing import NotSeen, send, to_json

# The variables with the operator's credentials, once it has some of its own.
operator: dict[str, str] = {}


def run(module: str, *arguments: str, checkout: Path = ROOT) -> str:
    """Run a command of the operator, as `make` does; return what it prints. Raises NotSeen."""
    over_tls = [sys.executable, "-m", "infra.rehearse.over_tls", module, *arguments]
    done = start(over_tls, checkout)
    if done.returncode:
        raise NotSeen(f"{module} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def chalice(*arguments: str, checkout: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command of Chalice in a checkout, as a person does."""
    return start([str(Path(sys.executable).with_name("chalice")), *arguments], checkout)


def start(command: list[str], checkout: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command of the operator without a terminal, and wait for its end."""
    return subprocess.run(
        command,
        cwd=checkout,
        env=os.environ | operator,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class Api:
    """The deployed API. The emulator tells APIs apart by the name of the host."""

    def __init__(self, url: str, deployed: str) -> None:
        address = re.search(r"^ *export API=https://([^.]+)\.execute-api", deployed, re.MULTILINE)
        if address is None:
            raise NotSeen(f"the deploy printed no address of the API:\n{deployed}")
        self.host = f"{address[1]}.execute-api.localhost:{url.rpartition(':')[2]}"
        self._url, self.token = f"{url}/api", ""

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """Make one call with the token; return the parsed answer. Raises NotSeen."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.send(method, path, headers, None if body is None else to_json(body), expect)

    def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, expect: int
    ) -> Any:
        """Make one call with these headers."""
        headers = {**headers, "Host": self.host}
        return send(self._url, method, path, headers, body, expect=expect, seconds=60)


def function(stack: str, logical_id: str) -> str:
    """The name of a function of a stack."""
    found = client("cloudformation").describe_stack_resource(
        StackName=stack, LogicalResourceId=logical_id
    )
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def log_of(name: str) -> list[str]:
    """The lines of a function's log."""
    logs, group = client("logs"), f"/aws/lambda/{name}"
    return [
        event["message"]
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
    ]


def everything(part: str) -> list[str]:
    """All that the account has with `part` in its name, each as "kind name"."""
    lists: dict[str, Callable[[], list[str]]] = {
        "stack": lambda: _names("cloudformation", "describe_stacks", "Stacks", "StackName"),
        "table": lambda: client("dynamodb").list_tables()["TableNames"],
        "bucket": lambda: _names("s3", "list_buckets", "Buckets", "Name"),
        "queue": lambda: client("sqs").list_queues().get("QueueUrls", []),
        "secret": lambda: _names("secretsmanager", "list_secrets", "SecretList", "Name"),
        "log group": lambda: _names("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "function": lambda: _names("lambda", "list_functions", "Functions", "FunctionName"),
        "source": lambda: _names(
            "lambda", "list_event_source_mappings", "EventSourceMappings", "EventSourceArn"
        ),
        "role": lambda: _names("iam", "list_roles", "Roles", "RoleName"),
        "policy": lambda: _names("iam", "list_policies", "Policies", "PolicyName"),
        "rule": lambda: _names("events", "list_rules", "Rules", "Name"),
        "alarm": lambda: _names("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "dashboard": lambda: _names(
            "cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"
        ),
        "project": lambda: client("codebuild").list_projects()["projects"],
        "API": lambda: _names("apigateway", "get_rest_apis", "items", "name"),
    }
    return sorted(
        f"{kind} {name}" for kind, names in lists.items() for name in names() if part in name
    )


def _names(service: str, operation: str, key: str, name: str) -> list[str]:
    aws = client(service)
    if aws.can_paginate(operation):
        return [
            each[name] for page in aws.get_paginator(operation).paginate() for each in page[key]
        ]
    return [each[name] for each in getattr(aws, operation)()[key]]
