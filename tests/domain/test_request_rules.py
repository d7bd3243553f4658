"""Requests to AWS, compared as a whole."""

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.requests import start_build_request, update_service_request
from chalicelib.domain.service_settings import BuildSettings


@dataclass(frozen=True)
class ExampleBuild:
    """A build with the attributes of its row."""

    settings: BuildSettings
    job_id: str = "build-123"
    project_id: int = 7
    attempt: int = 1
    git_ref: str = "main"
    ref_type: str | None = "branch"
    commit_sha: str | None = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
    git_credential: str | None = None
    cache_from: str | None = "buildcache-3-main-e3b0c442"
    cache_to: str | None = None
    image: str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"
    image_tag: str = "main-6113728f27ae-123"
    log_group: str = "/slipway/builds"


SETTINGS = BuildSettings(
    git_url="https://github.com/acme/app.git",
    context_path="services/api",
    platforms=("linux/amd64", "linux/arm64"),
    build_args={"VERSION": "1", "MESSAGE": 'it\'s "$(id)"\n\u20ac'},
)
BUILD = ExampleBuild(SETTINGS)
TARGET = EcsTarget(cluster="main", service="hello", containers=("app",))


def request_for(build: ExampleBuild) -> dict[str, Any]:
    return start_build_request(build, project="slipway-builds")


CREDENTIAL = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/7/shop-a1B2c3"


@given(text=st.text(), setting=st.sampled_from(["git_url", "context_path", "dockerfile"]))
def test_settings_are_only_plain_text_in_known_variables(text: str, setting: str) -> None:
    """No setting can set GIT_TRACE, which prints git's requests to the log, or add a secret."""
    build = ExampleBuild(replace(SETTINGS, **{setting: text}), git_ref=text, commit_sha=text)
    names = {
        variable["name"]: variable["type"]
        for variable in request_for(build)["environmentVariablesOverride"]
    }
    assert set(names.values()) == {"PLAINTEXT"}
    assert {name for name in names if name.startswith("GIT_")} == {
        "GIT_URL",
        "GIT_REF",
        "GIT_SHA",
        "GIT_CREDENTIAL",
    }


def test_secrets_are_only_named() -> None:
    settings = replace(
        SETTINGS,
        secrets={"NPM": "secretsmanager:slipway/build/7/npm"},
        also_push_to={"docker.io/acme/web": "secretsmanager:slipway/build/7/hub"},
    )
    request = request_for(ExampleBuild(settings, git_credential=CREDENTIAL))
    variables = request["environmentVariablesOverride"]
    values = {variable["name"]: variable["value"] for variable in variables}
    assert {variable["type"] for variable in variables} == {"PLAINTEXT"}
    assert values["GIT_CREDENTIAL"] == CREDENTIAL
    assert values["SECRETS"] == '{"NPM":"slipway/build/7/npm"}'
    assert values["ALSO_PUSH_TO"] == '{"docker.io/acme/web":"slipway/build/7/hub"}'


@pytest.mark.parametrize(
    ("platforms", "machine"),
    [
        (("linux/amd64",), None),
        (("linux/arm64",), "ARM_CONTAINER"),
        (("linux/arm64", "linux/amd64"), None),
        (("linux/s390x",), None),
    ],
)
def test_an_image_for_only_arm64_is_built_on_an_arm_machine(
    platforms: tuple[Any, ...], machine: str | None
) -> None:
    request = request_for(ExampleBuild(replace(SETTINGS, platforms=platforms)))
    assert request.get("environmentTypeOverride") == machine
    assert ("aarch64" in request.get("imageOverride", "")) is (machine is not None)


def test_a_build_gets_all_its_settings_as_variables() -> None:
    variables = {
        "JOB_ID": "build-123",
        "PROJECT_ID": "7",
        "GIT_URL": "https://github.com/acme/app.git",
        "GIT_REF": "main",
        "REF_TYPE": "branch",
        "GIT_SHA": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "GIT_CREDENTIAL": "",
        "SUBMODULES": "false",
        "LFS": "false",
        "HISTORY": "false",
        "CONTEXT_PATH": "services/api",
        "DOCKERFILE": "services/api/Dockerfile",
        "TARGET": "",
        "PLATFORMS": "linux/amd64,linux/arm64",
        "BUILD_ARGS": r'{"MESSAGE":"it' + r"'" + r's \"$(id)\"\n\u20ac","VERSION":"1"}',
        "SECRETS": "{}",
        "PROVENANCE": "true",
        "SBOM": "true",
        "CACHE_FROM": "buildcache-3-main-e3b0c442",
        "CACHE_TO": "",
        "IMAGE": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app",
        "IMAGE_TAG": "main-6113728f27ae-123",
        "ALSO_PUSH_TO": "{}",
        "ALSO_PUSH_REQUIRED": "false",
    }
    assert request_for(BUILD) == {
        "projectName": "slipway-builds",
        "idempotencyToken": "build-123-1",
        "timeoutInMinutesOverride": 30,
        "queuedTimeoutInMinutesOverride": 60,
        "environmentVariablesOverride": [
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()
        ],
        "logsConfigOverride": {
            "cloudWatchLogs": {
                "status": "ENABLED",
                "groupName": "/slipway/builds",
                "streamName": "build-123",
            }
        },
    }


def test_the_sdk_accepts_the_start_build_request() -> None:
    shape = get_session().get_service_model("codebuild").shape_for("StartBuildInput")
    for build in (BUILD, ExampleBuild(replace(SETTINGS, platforms=("linux/arm64",)))):
        assert ParamValidator().validate(request_for(build), shape).generate_report() == ""


@given(st.permutations(["A", "B", "C", "D"]))
def test_the_order_of_build_args_does_not_change_the_request(names: list[str]) -> None:
    one = request_for(ExampleBuild(replace(SETTINGS, build_args=dict.fromkeys(names, "x"))))
    other = request_for(ExampleBuild(replace(SETTINGS, build_args=dict.fromkeys("ABCD", "x"))))
    assert one == other


def test_a_service_is_updated_and_never_forced() -> None:
    definition = "arn:aws:ecs:eu-west-1:123456789012:task-definition/hello:7"
    request = update_service_request(
        TARGET, task_definition=definition, deployment_configuration={"maximumPercent": 200}
    )
    assert request == {
        "cluster": "main",
        "service": "hello",
        "taskDefinition": definition,
        "deploymentConfiguration": {"maximumPercent": 200},
    }


def test_the_configuration_of_a_service_may_stay() -> None:
    request = update_service_request(
        TARGET, task_definition="hello:7", deployment_configuration=None, desired_count=3
    )
    assert request == {
        "cluster": "main",
        "service": "hello",
        "desiredCount": 3,
        "taskDefinition": "hello:7",
    }
