"""AWS's refusals name roles and the account. No answer of the API repeats that."""

import json
import logging
from collections.abc import Iterator

import pytest

from tests.support.embedded import Cloud, log_to_cloudwatch, sha
from tests.support.sdk import Trouble

ACCOUNT = "210987654321"
FUNCTION = f"arn:aws:sts::{ACCOUNT}:assumed-role/slipway-dev-app-OnWakeupRole-1AB/slipway-dev-app-X"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/ecs-execution"
ALWAYS = 1000


def denied(action: str, resource: str) -> str:
    """The message of a refusal (IAM User Guide, "Troubleshoot access denied error messages")."""
    return (
        f"User: {FUNCTION} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )


def answers(cloud: Cloud) -> Iterator[str]:
    """Everything that the API shows of builds and deployments."""
    paths = ["services/1", "audit", "cicd/jobs", "cicd/services/1/builds"]
    paths += ["cicd/services/1/deployments", "cicd/services/1/rollback"]
    for kind in ("builds", "deployments"):
        for each in cloud.api.get(f"/v1/cicd/services/1/{kind}").body["items"]:
            number = each["id"]
            paths += [f"cicd/{kind}/{number}", f"cicd/{kind}/{number}/logs"]
    for path in paths:
        answer = cloud.api.get(f"/v1/{path}")
        assert answer.status in {200, 409}, path
        yield answer.text


def assert_hidden(*texts: str) -> None:
    """None of the texts has an identity, and at least one the rest of AWS's message."""
    for text in texts:
        for hidden in (ACCOUNT, "assumed-role", "OnWakeupRole", "ecs-execution"):
            assert hidden not in text
    assert any("not authorized to perform" in text for text in texts)


def test_a_refused_request_does_not_name_the_role(cloud: Cloud, trouble: Trouble) -> None:
    cloud.push(sha(1))
    cloud.settle()
    arn = f"arn:aws-cn:logs:cn-north-1:{ACCOUNT}:log-group:x"
    message = denied("logs:GetLogEvents", arn).replace("arn:aws:", "arn:aws-cn:")
    trouble.refuse("logs.GetLogEvents", "AccessDeniedException", message, times=ALWAYS)
    answer = cloud.api.get("/v1/cicd/builds/1/logs")
    assert "arn:aws-cn:logs:cn-north-1:***:log-group:x" in answer.body["detail"]
    assert_hidden(answer.text)


@pytest.mark.parametrize(
    ("operation", "action", "resource"),
    [
        ("ecs.UpdateService", "ecs:UpdateService", f"arn:aws:ecs:eu-west-1:{ACCOUNT}:service/a/b"),
        ("ecs.RegisterTaskDefinition", "iam:PassRole", ROLE),
        (
            "codebuild.StartBuild",
            "codebuild:StartBuild",
            f"arn:aws:codebuild:x:{ACCOUNT}:project/x",
        ),
    ],
)
def test_failed_work_does_not_name_the_role_but_the_log_does(
    cloud: Cloud,
    trouble: Trouble,
    caplog: pytest.LogCaptureFixture,
    operation: str,
    action: str,
    resource: str,
) -> None:
    caplog.set_level(logging.INFO, logger="slipway")
    message = denied(action, resource)
    trouble.refuse(operation, "AccessDeniedException", message, times=ALWAYS)
    cloud.push(sha(1))
    cloud.settle()
    if operation != "codebuild.StartBuild":
        cloud.finish_build(1)
    assert_hidden(*answers(cloud))
    assert message in caplog.text


def test_a_finding_does_not_name_the_role(cloud: Cloud, trouble: Trouble) -> None:
    cloud.release(1)
    message = denied("ecs:DescribeServices", f"arn:aws:ecs:eu-west-1:{ACCOUNT}:service/main/hello")
    trouble.refuse("ecs.DescribeServices", "AccessDeniedException", message, times=ALWAYS)
    digest = cloud.deployment(1)["image_digest"]
    assert_hidden(cloud.deploy(f"hello@{digest}").text, *answers(cloud))


def test_the_reason_of_a_stopped_task_does_not_name_the_role(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    reason = (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
        "retrieval failed: unable to retrieve secret from asm: AccessDeniedException: "
        + denied("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:x:{ACCOUNT}:secret:db")
        + f" (role {ROLE})"
    )
    cloud.fail_rollout(reason=reason)
    failure = cloud.deployment(1)["failure"]
    assert "execution role" in failure["next_step"]
    assert_hidden(json.dumps(failure), *answers(cloud))


def test_a_failed_build_does_not_name_the_role(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    line = "An error occurred (AccessDenied) when calling the AssumeRole operation: " + denied(
        "sts:AssumeRole", ROLE
    )
    message = f"ACCESS_DENIED: Service role {ROLE} does not allow AWS CodeBuild to do that"
    cloud.end_build(1, "FAILED", log=[line], message=message)
    assert_hidden(*answers(cloud))


def test_a_failed_start_of_codebuild_does_not_name_the_role(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    message = f"CLIENT_ERROR: {denied('logs:CreateLogStream', ROLE)}"
    cloud.end_build(1, "FAILED", log=[], message=message, fail_phase="PROVISIONING")
    assert_hidden(*answers(cloud))
