"""The policy that `make policy` prints covers the templates, and what the commands call.

`make rehearse` deploys and deletes with a user who has only this policy.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase

import botocore.session
import pytest
from botocore import xform_name
from moto import mock_aws

from infra import destroy
from infra.functions import HANDLERS, function_name
from infra.package import ROOT, _additions
from infra.permissions import (
    DEPLOY,
    DOCTOR,
    GITHUB_APP,
    LONGEST_POLICY,
    SERVICE,
    Grant,
    an_example,
    context_of,
    policy,
    resources_of,
    values_of,
)
from infra.rules import rule_name
from tests.infra.test_destroy import make_stage
from tests.support.sdk import record_calls

HERE = values_of("dev", {}, region="eu-west-1", account="123456789012")
# What Chalice writes into the application's template.
OF_CHALICE = {"AWS::IAM::Role", "AWS::Lambda::Permission", "AWS::Serverless::Function"}
# What infra/rules.py adds to it.
OF_RULES = {"AWS::Events::Rule"}


def _types(text: str) -> set[str]:
    return set(re.findall(r"^    Type: (AWS::\S+)$", text, re.MULTILINE)) - {"AWS::EC2::VPC::Id"}


def _granted(grants: Iterable[Grant]) -> set[str]:
    return {kind for grant in grants for kind in grant.types}


def test_each_type_of_the_stage_has_a_grant() -> None:
    additions = _additions("slipway-dev")["Resources"].values()
    application = {each["Type"] for each in additions if "Type" in each}
    wanted = _types((ROOT / "infra/stack.yaml").read_text()) | application | OF_CHALICE | OF_RULES
    # The example repository needs the policy of `make service`, too.
    assert _granted(DEPLOY) == wanted - {"AWS::ECR::Repository"} | {"AWS::Serverless::Api"}


def test_each_type_of_a_service_has_a_grant() -> None:
    assert _granted(SERVICE) == _types((ROOT / "infra/service.yaml").read_text())


@pytest.mark.parametrize("grants", [DEPLOY, SERVICE, GITHUB_APP])
def test_a_policy_is_not_longer_than_iam_takes(grants: tuple[Grant, ...]) -> None:
    # The longest that stack.yaml allows.
    directory = {"BuildLogDir": "/" + 199 * "x"}
    made = policy(grants, values_of("prod", directory))
    assert len(json.dumps(made, separators=(",", ":"))) <= LONGEST_POLICY


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_names_of_functions_rules_and_logs_are_those_of_the_templates(stage: str) -> None:
    values = values_of(stage, {}, region="eu-west-1", account="123456789012")
    resources = [arn for grant in DEPLOY for arn in resources_of(grant, values)]
    place, prefix = "eu-west-1:123456789012", f"slipway-{stage}"
    for handler in HANDLERS.values():
        name = function_name(prefix, handler)
        for arn in (
            f"lambda:{place}:function:{name}",
            f"logs:{place}:log-group:/aws/lambda/{name}",
            f"events:{place}:rule/{rule_name(prefix, handler)}",
        ):
            assert any(fnmatchcase(f"arn:aws:{arn}", each) for each in resources), arn


@pytest.mark.parametrize("grants", [DEPLOY, SERVICE, GITHUB_APP])
def test_whatever_is_changed_belongs_to_the_stage_where_aws_has_names(
    grants: tuple[Grant, ...],
) -> None:
    """Roles above all: who may create any role may do anything."""
    for grant in grants:
        for arn in resources_of(grant, HERE):
            if arn.startswith("arn:aws:iam:"):
                assert re.search(r":role/(slipway-dev-|ecs-|aws-service-role/)", arn), arn
        if any(each.startswith("iam:") for each in grant.actions) and grant is not DOCTOR:
            assert "*" not in grant.resources
        if "iam:PassRole" in grant.actions or "iam:AttachRolePolicy" in grant.actions:
            assert grant.condition


def test_an_example_is_a_resource_of_the_grant_and_meets_its_condition() -> None:
    for grant in DEPLOY:
        assert fnmatchcase(an_example(grant, HERE), resources_of(grant, HERE)[0])
        assert "*" not in "".join(context_of(grant, HERE).values())
    sources = next(each for each in DEPLOY if each.sid == "Sources")
    function = "arn:aws:lambda:eu-west-1:123456789012:function:slipway-dev-on_wakeup"
    assert context_of(sources, HERE) == {"lambda:FunctionArn": function}


# Actions that have another name than the call (the service authorization reference).
ACTIONS = {
    "s3.ListObjectVersions": {"s3:ListBucketVersions"},
    "s3.DeleteObjects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "service-quotas.ListServiceQuotas": {"servicequotas:ListServiceQuotas"},
    "sts.GetCallerIdentity": set(),  # needs no permission
}


def is_granted(name: str) -> bool:
    """Whether a call, `service.Operation`, is allowed on some resource."""
    return all(
        any(fnmatchcase(action, each) for grant in DEPLOY for each in grant.actions)
        for action in ACTIONS.get(name, {name.replace(".", ":", 1)})
    )


def test_what_a_destroy_callsis_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    with mock_aws():
        make_stage()
        calls = record_calls(monkeypatch)
        destroy.main(["dev", "DATA=delete", "--yes"])
    assert {"dynamodb.DeleteTable", "s3.DeleteBucket"} <= calls.counted.keys()
    assert [name for name in calls.counted if not is_granted(name)] == []


def test_what_the_doctor_callsis_granted() -> None:
    text = (ROOT / "infra/doctor/aws.py").read_text()
    chained = re.findall(r'client\(\s*"([a-z-]+)"\s*\)\.(?:get_paginator\("(\w+)"\)|(\w+))', text)
    calls = set()
    for service, paginated, called in chained:
        names = botocore.session.get_session().get_service_model(service).operation_names
        operation = {xform_name(each): each for each in names}[paginated or called]
        calls.add(f"{service}.{operation}")
    assert "service-quotas.ListServiceQuotas" in calls
    assert [name for name in calls if not is_granted(name)] == []


def _printed(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Without credentials: it calls no AWS."""
    return subprocess.run(
        [sys.executable, "-m", "infra.permissions", *arguments],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if not name.startswith("AWS_")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_policy_prints_the_policy_of_one_stage() -> None:
    made = json.loads(_printed("prod", "BuildLogDir=/mine").stdout)
    text = json.dumps(made)
    assert "slipway-prod-" in text
    assert "slipway-dev" not in text
    assert "log-group:/mine/builds*" in text
    assert made["Version"] == "2012-10-17"
    assert "$" not in text


def test_the_policy_for_services_needs_the_patterns_of_the_stage() -> None:
    refused = _printed("dev", "--service")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "The policy for make service needs the stage's RepositoryPattern and TaskRoles.",
        "Use your own names in: make policy STAGE=dev "
        'ARGS="--service RepositoryPattern=team/* TaskRoles=ecs-*"',
    ]
    made = _printed("dev", "--service", "RepositoryPattern=shop/*", "TaskRoles=shop-*").stdout
    assert "repository/shop/*" in made
    assert "role/shop-*" in made


def test_the_policy_for_a_github_app_changes_only_keys_that_sign_for_apps() -> None:
    done = _printed("dev", "--github-app")
    made = {each["Sid"]: each for each in json.loads(done.stdout)["Statement"]}
    assert made["AppAlias"]["Resource"] == ["arn:aws:kms:*:*:alias/slipway-dev-github-app"]
    keys = {"StringEquals": {"kms:KeyUsage": "SIGN_VERIFY", "kms:KeyOrigin": "EXTERNAL"}}
    assert {made[sid]["Condition"] == keys for sid in ("CreateAppKey", "AppKeys")} == {True}
    assert _printed("dev", "--github-app", "--service").returncode == 2
