"""Rollouts of the embedded ECS that shift traffic, seen through boto3."""

from typing import Any

from infra.local.aws import clock, ecs
from infra.local.aws.load_balancers import load_balancers
from tests.support.ecs_world import World

ROLE = "arn:aws:iam::123456789012:role/ecs"
# A load balancer that can give a part of the traffic to other tasks.
BALANCER: dict[str, Any] = load_balancers("hello", "app", 80)[0]
CANARY: dict[str, Any] = {
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 5},
    "bakeTimeInMinutes": 3,
}
LINEAR: dict[str, Any] = {
    "strategy": "LINEAR",
    "linearConfiguration": {"stepPercent": 30.0, "stepBakeTimeInMinutes": 1},
}
BLUE_GREEN: dict[str, Any] = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 3}
HOOKED_STAGES = [
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
]
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:check"
DAY = 24 * 3600


def pause(*stages: str, **timeout: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"targetType": "PAUSE", "lifecycleStages": list(stages)}
    return made | ({"timeoutConfiguration": timeout} if timeout else {})


def function(*stages: str) -> dict[str, Any]:
    return {"hookTargetArn": FUNCTION, "roleArn": ROLE, "lifecycleStages": list(stages)}


def begin(world: World, configuration: Any, *hooks: Any, **more: Any) -> None:
    """Begin a second rollout, after one without hooks that was completed."""
    request = {"loadBalancers": [BALANCER]} | more
    world.register()
    world.create(configuration=configuration, **request)
    end(world)
    world.register("web:2")
    hooked = configuration | ({"lifecycleHooks": list(hooks)} if hooks else {})
    ecs.engine().drain_events()
    world.update(taskDefinition="hello", deploymentConfiguration=hooked)


def end(world: World) -> None:
    """Let the rollout go on to its end."""
    ecs.engine().complete("main", "hello")
    clock.advance(DAY)
    assert world.record()["status"] == "SUCCESSFUL"


def go_on(world: World, action: str | None = None, hook: Any = None) -> None:
    """Answer the hook that awaits an action."""
    record = world.record()
    (awaiting,) = [hook] if hook else waiting(record)
    world.ecs.continue_service_deployment(
        serviceDeploymentArn=record["serviceDeploymentArn"],
        hookId=awaiting["hookId"],
        **({"action": action} if action else {}),
    )


def waiting(record: Any) -> list[Any]:
    return [each for each in record["lifecycleHookDetails"] if each["status"] == "AWAITING_ACTION"]


def stop(world: World, **how: Any) -> None:
    arn = world.record()["serviceDeploymentArn"]
    world.ecs.stop_service_deployment(serviceDeploymentArn=arn, **how)


def stage(world: World) -> tuple[str, str | None]:
    record = world.record()
    return record["status"], record.get("lifecycleStage")


def weights(world: World) -> list[tuple[str, float, float]]:
    """The task definition, production and test traffic of each deployment, newest first."""
    production = ecs.engine().weights("main", "hello")
    test = ecs.engine().test_weights("main", "hello")
    return [
        (
            each["taskDefinition"].rpartition("/")[2],
            production[each["id"]],
            test[each["id"]],
        )
        for each in world.service()["deployments"]
    ]


def hook_events() -> list[tuple[str, str]]:
    drained = ecs.engine().drain_events()
    hooks = [each["detail"] for each in drained if each["detail-type"] == "ECS Hook State Change"]
    return [(each["lifecycleStage"], each["eventName"].removeprefix("HOOK_")) for each in hooks]
