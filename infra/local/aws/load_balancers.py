"""The load balancer of a service of the embedded ECS, by its names.

The embedded AWS has no API of load balancers. `machines.forwarder` answers in its place, and no
part of Slipway calls that API.
"""

import hashlib
from typing import Any

_LOAD_BALANCING = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
_ROLES = "arn:aws:iam::123456789012:role"


def load_balancers(service: str, container: str, port: int) -> list[Any]:
    """The `loadBalancers` of CreateService, as infra/service.yaml has them.

    ECS can shift the traffic of such a service in any strategy.
    """
    balancer = f"app/{service[:32]}/{_identity(service)}"
    rule = f"{_LOAD_BALANCING}:listener-rule/{balancer}/{_identity('http')}"
    return [
        {
            "containerName": container,
            "containerPort": port,
            "targetGroupArn": _target_group(f"{service[:26]}-blue"),
            "advancedConfiguration": {
                "alternateTargetGroupArn": _target_group(f"{service[:26]}-green"),
                "productionListenerRule": f"{rule}/{_identity('production')}",
                "testListenerRule": f"{rule}/{_identity('test')}",
                "roleArn": f"{_ROLES}/{service[:56]}-traffic",
            },
        }
    ]


def _target_group(name: str) -> str:
    return f"{_LOAD_BALANCING}:targetgroup/{name}/{_identity(name)}"


def _identity(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]
