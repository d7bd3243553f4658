"""Rollouts of the embedded ECS that shift traffic, played through the front door."""

from collections.abc import Sequence
from typing import Any

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from tests.support.embedded import Cloud, balance


def shift_traffic(cloud: Cloud, hooks: Sequence[Any] = (), **settings: Any) -> None:
    """Release 1 of the service runs behind a load balancer that can shift traffic.

    `hooks` are those of the ECS service's owner, and `settings` those of the Slipway service.
    """
    cloud.release(1)
    balance(cloud, hooks=hooks)
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
