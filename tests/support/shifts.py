"""Rollouts of the embedded ECS that shift traffic, played through the front door."""

from collections.abc import Sequence
from typing import Any

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from tests.support.embedded import CLUSTER, Cloud, client

ELB = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
BALANCER: dict[str, Any] = {
    "targetGroupArn": f"{ELB}:targetgroup/blue/1",
    "containerName": "app",
    "containerPort": 80,
    "advancedConfiguration": {
        "alternateTargetGroupArn": f"{ELB}:targetgroup/green/2",
        "productionListenerRule": f"{ELB}:listener-rule/app/web/1/2/3",
        "testListenerRule": f"{ELB}:listener-rule/app/web/1/2/4",
        "roleArn": "arn:aws:iam::123456789012:role/ecs",
    },
}


def add_balancer(cloud: Cloud, name: str = "hello", hooks: Sequence[Any] = ()) -> None:
    """An ECS service gets a load balancer that can shift traffic, and its owner's `hooks`."""
    found = client("ecs").describe_services(cluster=CLUSTER, services=[name])["services"][0]
    configuration = {**found["deploymentConfiguration"], "lifecycleHooks": list(hooks)}
    client("ecs").update_service(
        cluster=CLUSTER,
        service=name,
        loadBalancers=[BALANCER],
        deploymentConfiguration=configuration,
    )
    cloud.finish_rollout(name)


def shift_traffic(cloud: Cloud, hooks: Sequence[Any] = (), **settings: Any) -> None:
    """Release 1 of the service runs behind a load balancer that can shift traffic.

    `hooks` are those of the ECS service's owner, and `settings` those of the Slipway service.
    """
    cloud.release(1)
    add_balancer(cloud, hooks=hooks)
    if settings:
        cloud.change_service(**settings)


def begin_shift(cloud: Cloud, *, hooks: Sequence[Any] = (), **settings: Any) -> int:
    """Begin release 2, whose tasks become healthy; return its deployment's number."""
    shift_traffic(cloud, hooks, **settings)
    build = cloud.begin_release(2)
    cloud.finish_rollout()
    look_after(cloud, 60)
    return int(cloud.build(build)["deployment_id"])


def look_after(cloud: Cloud, seconds: float) -> None:
    """Let time pass, and then the schedule fire."""
    cloud.advance(seconds)
    cloud.pump.tick()
    cloud.settle()


def approve(cloud: Cloud, number: int, reason: str | None = None) -> None:
    """Another token than the one that asked approves the next step."""
    token = create_token("linus", Role.DEPLOYER).secret
    path = f"/v1/cicd/deployments/{number}/approve"
    answer = cloud.api.as_holder_of(token).post(path, {"reason": reason})
    assert answer.status == 202, answer.text
    cloud.settle()
