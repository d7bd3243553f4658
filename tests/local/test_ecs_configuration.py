"""Deployment configurations that the embedded ECS refuses.

Each test states AWS's behaviour and its source. "Pause hooks" is the guide's page "Pause hooks for
Amazon ECS service deployments", and "Troubleshooting" is "Troubleshooting Amazon ECS blue/green
deployments".
"""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.aws import ecs
from tests.support.ecs_shifts import (
    BALANCER,
    BLUE_GREEN,
    CANARY,
    ROLE,
    begin,
    end,
    function,
    pause,
    stage,
)
from tests.support.ecs_world import World, ecs_world


@pytest.fixture
def world() -> Iterator[World]:
    with ecs_world() as world:
        yield world


def linear(**values: Any) -> dict[str, Any]:
    return {"strategy": "LINEAR", "linearConfiguration": values}


def canary(**values: Any) -> dict[str, Any]:
    return {"strategy": "CANARY", "canaryConfiguration": values}


def hooked(*hooks: Any) -> dict[str, Any]:
    return BLUE_GREEN | {"lifecycleHooks": list(hooks)}


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        ({"strategy": "GREEN"}, "Invalid strategy"),
        ({"strategy": "BLUE_GREEN"}, "bakeTimeInMinutes is required"),
        (BLUE_GREEN | {"bakeTimeInMinutes": 1441}, "bakeTimeInMinutes must be between"),
        (linear(stepPercent=2.9), "stepPercent must be between 3.0 and 100.0"),
        (linear(stepPercent=10.05), "stepPercent must be a multiple of 0.1"),
        (linear(stepBakeTimeInMinutes=1441), "stepBakeTimeInMinutes must be between 0 and 1440"),
        (canary(canaryPercent=0.05), "canaryPercent must be between 0.1 and 100.0"),
        (canary(canaryPercent=0.15), "canaryPercent must be a multiple of 0.1"),
        (canary(canaryBakeTimeInMinutes=-1), "canaryBakeTimeInMinutes must be between"),
        (BLUE_GREEN | {"canaryConfiguration": {"canaryPercent": 5.0}}, "canaryConfiguration is"),
        (CANARY | {"linearConfiguration": {"stepPercent": 5.0}}, "linearConfiguration is only"),
        (CANARY | {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}, "breaker"),
        (hooked(pause("TEST_TRAFFIC_SHIFT")), "Invalid lifecycle stage provided for Pause Hook"),
        (hooked(pause("PRODUCTION_TRAFFIC_SHIFT")), "Invalid lifecycle stage provided"),
        (hooked(pause("BAKE_TIME")), "lifecycleStages must have valid values"),
        (hooked(pause()), "lifecycleStages must have valid values"),
        (hooked(pause("PRE_SCALE_UP", timeoutInMinutes=20_161)), "timeoutInMinutes must be"),
        (hooked(pause("PRE_SCALE_UP", action="WAIT")), "Invalid action"),
        (hooked(pause("PRE_SCALE_UP") | {"roleArn": ROLE}), "not valid for a pause hook"),
        (hooked({"lifecycleStages": ["PRE_SCALE_UP"]}), "required for a Lambda hook"),
        (hooked(pause("PRE_SCALE_UP") | {"targetType": "X"}), "Invalid targetType. Valid values"),
        (hooked(*[pause("PRE_SCALE_UP")] * 11), "At most 10 lifecycle hooks of the type PAUSE"),
        (hooked(*[function("PRE_SCALE_UP")] * 11), "At most 10 lifecycle hooks of the type AWS"),
    ],
)
def test_a_configuration_beyond_its_limits_is_refused(
    world: World, configuration: Any, text: str
) -> None:
    """API reference, DeploymentConfiguration and its members; "Pause hooks", Constraints.

    "Troubleshooting" has the texts about hooks. Inferred: the other texts.
    """
    world.register()
    world.create(loadBalancers=[BALANCER])
    before = world.service()["deploymentConfiguration"]
    with pytest.raises(ClientError) as caught:
        world.update(deploymentConfiguration=configuration)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
    assert text in caught.value.response["Error"]["Message"]
    assert world.service()["deploymentConfiguration"] == before


@pytest.mark.parametrize("strategy", ["LINEAR", "CANARY", "BLUE_GREEN"])
def test_traffic_needs_a_load_balancer_with_an_advanced_configuration(
    world: World, strategy: str
) -> None:
    """ "Troubleshooting", Missing advanced configuration; "Required resources" of each strategy."""
    world.register()
    configuration = {"strategy": strategy, "bakeTimeInMinutes": 0}
    plain = {name: each for name, each in BALANCER.items() if name != "advancedConfiguration"}
    with pytest.raises(ClientError, match="advancedConfiguration field is required for all"):
        world.create(configuration=configuration, loadBalancers=[plain])
    with pytest.raises(ClientError, match="Either all or none of the provided loadBalancers"):
        world.create(configuration=configuration, loadBalancers=[BALANCER, plain])
    if strategy == "BLUE_GREEN":
        world.create(configuration=configuration)
        return
    with pytest.raises(ClientError, match="requires a load balancer or Service Connect"):
        world.create(configuration=configuration)


def test_omitted_parts_of_a_step_have_their_defaults(world: World) -> None:
    """API reference, LinearConfiguration and CanaryConfiguration."""
    world.register()
    world.create(configuration={"strategy": "LINEAR"}, loadBalancers=[BALANCER])
    shown = world.service()["deploymentConfiguration"]
    assert shown["linearConfiguration"] == {"stepPercent": 10.0, "stepBakeTimeInMinutes": 6}
    world.update(deploymentConfiguration=canary(canaryPercent=1.5))
    shown = world.service()["deploymentConfiguration"]
    assert shown["canaryConfiguration"] == {"canaryPercent": 1.5, "canaryBakeTimeInMinutes": 10}
    assert "linearConfiguration" not in shown


def test_a_service_of_express_mode_keeps_its_configuration(world: World) -> None:
    """API reference, Service.resourceManagementType. Inferred: the refusal."""
    begin(world, CANARY)
    end(world)
    ecs.engine().manage("main", "hello")
    assert world.service()["resourceManagementType"] == "ECS"
    with pytest.raises(ClientError, match="managed by ECS"):
        world.update(deploymentConfiguration=CANARY)
    world.update(forceNewDeployment=True)
    assert stage(world) == ("IN_PROGRESS", "SCALE_UP")
