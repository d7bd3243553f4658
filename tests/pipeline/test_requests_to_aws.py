"""The complete requests that change CodeBuild and ECS, as the SDK receives them."""

from tests.support.embedded import CLUSTER, CONFIGURATION, REGISTRY, Cloud, sha
from tests.support.sdk import Calls

BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def test_start_build_carries_every_setting_of_the_service(cloud: Cloud, calls: Calls) -> None:
    cloud.change_service(
        submodules=True,
        lfs=True,
        history=True,
        target="web",
        secrets={"NPM": "secretsmanager:slipway/build/1/npm"},
        provenance=False,
        sbom=False,
        also_push_to={"docker.io/acme/web": "secretsmanager:slipway/build/1/hub"},
        also_push_required=True,
        context_path="services/api",
        dockerfile="docker/Dockerfile.prod",
        platforms=["linux/amd64", "linux/arm64"],
        build_args={"VERSION": "1; rm -rf /", "EMPTY": ""},
        queued_minutes=20,
        build_minutes=45,
    )
    cloud.push(sha(0xABC))
    cloud.settle()
    variables = {
        "JOB_ID": "build-1",
        "PROJECT_ID": "1",
        "GIT_URL": "https://github.com/Codertocat/Hello-World.git",
        "GIT_REF": "master",
        "REF_TYPE": "branch",
        "GIT_SHA": sha(0xABC),
        "GIT_CREDENTIAL": "",
        "SUBMODULES": "true",
        "LFS": "true",
        "HISTORY": "true",
        "CONTEXT_PATH": "services/api",
        "DOCKERFILE": "docker/Dockerfile.prod",
        "TARGET": "web",
        "PLATFORMS": "linux/amd64,linux/arm64",
        "BUILD_ARGS": '{"EMPTY":"","VERSION":"1; rm -rf /"}',
        "SECRETS": '{"NPM":"slipway/build/1/npm"}',
        "PROVENANCE": "false",
        "SBOM": "false",
        "CACHE_FROM": "buildcache-1-master-fc613b4d",
        "CACHE_TO": "buildcache-1-master-fc613b4d",
        "IMAGE": f"{REGISTRY}/hello",
        "IMAGE_TAG": "master-000000000000-1",
        "ALSO_PUSH_TO": '{"docker.io/acme/web":"slipway/build/1/hub"}',
        "ALSO_PUSH_REQUIRED": "true",
    }
    assert calls.to("codebuild.StartBuild") == [
        {
            "projectName": "slipway-builds",
            "idempotencyToken": "build-1-1",
            "timeoutInMinutesOverride": 45,
            "queuedTimeoutInMinutesOverride": 20,
            "environmentVariablesOverride": [
                {"name": name, "value": value, "type": "PLAINTEXT"}
                for name, value in variables.items()
            ],
            "logsConfigOverride": {
                "cloudWatchLogs": {
                    "status": "ENABLED",
                    "groupName": "/slipway/builds",
                    "streamName": "build-1",
                }
            },
        }
    ]


def test_only_a_push_to_the_services_branch_writes_the_build_cache(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.push(sha(1))
    cloud.ask_for_build(git_ref="master")
    cloud.ask_for_build(git_ref="feature")
    cloud.settle()
    caches = [
        {v["name"]: v["value"] for v in request["environmentVariablesOverride"]}
        for request in calls.to("codebuild.StartBuild")
    ]
    main = "buildcache-1-master-fc613b4d"
    assert [(each["CACHE_FROM"], each["CACHE_TO"]) for each in caches][:2] == [
        (main, main),
        (main, ""),
    ]


def test_a_rollout_changes_only_the_image_and_the_circuit_breaker(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    calls.clear()
    digest = cloud.finish_build(1)
    defaults = {"cpu": 0, "portMappings": [], "essential": True, "environment": []}
    registered = calls.to("ecs.RegisterTaskDefinition")
    assert [without_empty(each) for each in registered] == [
        {
            "family": "hello",
            "taskRoleArn": "arn:aws:iam::123456789012:role/hello",
            "networkMode": "bridge",
            "containerDefinitions": [
                without_empty(
                    {
                        **defaults,
                        "name": "app",
                        "image": f"{REGISTRY}/hello@{digest}",
                        "memory": 128,
                    }
                ),
                without_empty({**defaults, "name": "sidecar", "image": "proxy:1", "memory": 64}),
            ],
            "tags": [{"key": "team", "value": "shop"}],
        }
    ]
    assert calls.to("ecs.UpdateService") == [
        {
            "cluster": CLUSTER,
            "service": "hello",
            "taskDefinition": cloud.deployment(1)["task_definition"],
            "deploymentConfiguration": {**CONFIGURATION, **BREAKER},
        }
    ]
    assert calls.to("codebuild.StopBuild") == []


def without_empty(value: object) -> object:
    """The value without empty members at any depth: AWS reads them as not set."""
    if isinstance(value, dict):
        inner = {key: without_empty(each) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each not in ([], {}, None)}
    return [without_empty(each) for each in value] if isinstance(value, list) else value


def test_no_update_forces_a_new_ecs_deployment(cloud: Cloud, calls: Calls) -> None:
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    updates = calls.to("ecs.UpdateService")
    assert [sorted(each) for each in updates] == [
        ["cluster", "deploymentConfiguration", "service", "taskDefinition"]
    ] * 3
