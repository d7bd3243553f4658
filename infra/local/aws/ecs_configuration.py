"""What ECS refuses in the configuration of a service, and the defaults.

Sources: the API reference (DeploymentConfiguration, LinearConfiguration, CanaryConfiguration,
DeploymentLifecycleHook) and the ECS developer guide ("Pause hooks for Amazon ECS service
deployments", "Troubleshooting Amazon ECS blue/green deployments"). Texts in quotation marks below
are the guide's. The other texts are inferred: the documents name the limits only.
"""

import infra.local.aws.moto_ecs  # noqa: F401  # isort: skip

from typing import Any

from moto.ecs.exceptions import InvalidParameterException

from infra.local.aws.ecs_stages import HOOKED, PAUSABLE

Json = dict[str, Any]
STRATEGIES = ("ROLLING", "BLUE_GREEN", "LINEAR", "CANARY")
DEFAULTS: Json = {
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
}
# The members of each strategy, their defaults, and the lowest and the highest value.
_MEMBERS: dict[str, tuple[str, dict[str, tuple[float, float, float]]]] = {
    "LINEAR": (
        "linearConfiguration",
        {"stepPercent": (10.0, 3.0, 100.0), "stepBakeTimeInMinutes": (6, 0, 1440)},
    ),
    "CANARY": (
        "canaryConfiguration",
        {"canaryPercent": (5.0, 0.1, 100.0), "canaryBakeTimeInMinutes": (10, 0, 1440)},
    ),
}
_MOST_HOOKS = 10
_LONGEST_TIMEOUT = 20_160


def read(request: Json, load_balancers: list[Json], service_connect: bool) -> Json:
    """The deployment configuration of a request, with its defaults.

    AWS resets omitted members to their defaults, so a caller must send those to keep. Raises
    InvalidParameterException if ECS refuses it for a service with these load balancers.
    """
    made: Json = DEFAULTS | request.get("deploymentConfiguration", {})
    name, members = _MEMBERS.get(made.get("strategy", ""), ("", {}))
    if name:
        made[name] = {each: rule[0] for each, rule in members.items()} | made.get(name, {})
    problem = why_refused(made, load_balancers, service_connect=service_connect)
    if problem is not None:
        raise InvalidParameterException(problem)
    return made


def connects(request: Json, before: bool = False) -> bool:
    """Whether Service Connect is enabled after a request."""
    return bool(request.get("serviceConnectConfiguration", {"enabled": before})["enabled"])


def require_scaling(strategy: str, request: Json) -> None:
    """Raises InvalidParameterException if the tasks of a daemon are counted.

    The text is the one that users of AWS report: the API reference does not have it.
    """
    if strategy == "DAEMON" and "desiredCount" in request:
        raise InvalidParameterException(
            "The daemon scheduling strategy does not support a desired count for services. Remove "
            "the desired count value and try again"
        )


def why_refused(
    configuration: Json, load_balancers: list[Json], *, service_connect: bool
) -> str | None:
    """The message of ECS's InvalidParameterException for a completed configuration; None if good.

    Inferred: that a circuit breaker that is enabled is refused where it "can only be used for
    services using the rolling update (ECS) deployment type".
    """
    strategy = configuration.get("strategy", "ROLLING")
    if strategy not in STRATEGIES:
        return f"Invalid strategy. Valid values are: {', '.join(STRATEGIES)}"
    return (
        _why_steps_refused(configuration, strategy)
        or _why_bake_refused(configuration.get("bakeTimeInMinutes"), strategy)
        or (_why_rolling_needed(configuration) if strategy != "ROLLING" else None)
        or _why_hooks_refused(configuration.get("lifecycleHooks", []))
        or _why_not_shiftable(strategy, load_balancers, service_connect=service_connect)
    )


def _why_steps_refused(configuration: Json, strategy: str) -> str | None:
    for owner, (name, _) in _MEMBERS.items():
        if name in configuration and owner != strategy:
            return f"{name} is only valid when the deployment strategy is {owner}."
    name, members = _MEMBERS.get(strategy, ("", {}))
    return _why_out_of_range(name, configuration[name], members) if name else None


def _why_bake_refused(minutes: int | None, strategy: str) -> str | None:
    if minutes is None and strategy == "BLUE_GREEN":
        return "bakeTimeInMinutes is required when the deployment strategy is BLUE_GREEN."
    if minutes is not None and not 0 <= minutes <= 1440:
        return "bakeTimeInMinutes must be between 0 and 1440."
    return None


def _why_rolling_needed(configuration: Json) -> str | None:
    if configuration["deploymentCircuitBreaker"]["enable"]:
        return "The deployment circuit breaker requires the deployment strategy ROLLING."
    if configuration.get("earlySuccessCriteria", {}).get("enable"):
        return "earlySuccessCriteria requires the deployment strategy ROLLING."
    return None


def _why_out_of_range(
    name: str, values: Json, members: dict[str, tuple[float, float, float]]
) -> str | None:
    for member, (_, lowest, highest) in members.items():
        value = values[member]
        if not lowest <= value <= highest:
            return f"{name}.{member} must be between {lowest} and {highest}."
        if member.endswith("Percent") and abs(value * 10 - round(value * 10)) > 1e-9:
            return f"{name}.{member} must be a multiple of 0.1."
    return None


def _why_hooks_refused(hooks: list[Json]) -> str | None:
    """ "You can configure a maximum of 10 pause hooks and 10 Lambda hooks per service."."""
    kinds = [each.get("targetType", "AWS_LAMBDA") for each in hooks]
    for hook, kind in zip(hooks, kinds, strict=True):
        if kind not in ("AWS_LAMBDA", "PAUSE"):
            return "Invalid targetType. Valid values are: AWS_LAMBDA, PAUSE"
        if kinds.count(kind) > _MOST_HOOKS:
            return f"At most {_MOST_HOOKS} lifecycle hooks of the type {kind} are allowed."
        stages = hook.get("lifecycleStages", [])
        if not stages or set(stages) - set(HOOKED):
            return f"lifecycleStages must have valid values: {', '.join(HOOKED)}"
        if kind == "PAUSE" and set(stages) - set(PAUSABLE):
            return "Invalid lifecycle stage provided for Pause Hook"
        target = {"hookTargetArn", "roleArn"} & hook.keys()
        if kind == "PAUSE" and target:
            return "hookTargetArn and roleArn are not valid for a pause hook."
        if kind == "AWS_LAMBDA" and len(target) < 2:
            return "hookTargetArn and roleArn are required for a Lambda hook."
        timeout = hook.get("timeoutConfiguration", {})
        if not 1 <= timeout.get("timeoutInMinutes", 1) <= _LONGEST_TIMEOUT:
            return f"timeoutInMinutes must be between 1 and {_LONGEST_TIMEOUT}."
        if timeout.get("action", "ROLLBACK") not in ("ROLLBACK", "CONTINUE"):
            return "Invalid action. Valid values are: ROLLBACK, CONTINUE"
    return None


def _why_not_shiftable(
    strategy: str, load_balancers: list[Json], *, service_connect: bool
) -> str | None:
    """ "Required resources": BLUE_GREEN works without any, the other strategies do not."""
    advanced = [each for each in load_balancers if "advancedConfiguration" in each]
    if advanced and len(advanced) < len(load_balancers):
        return (
            "Either all or none of the provided loadBalancers must have advancedConfiguration "
            "defined"
        )
    if strategy == "ROLLING":
        return None
    if len(advanced) < len(load_balancers):
        return (
            "advancedConfiguration field is required for all loadBalancers when using a "
            "non-ROLLING deployment strategy"
        )
    if strategy in _MEMBERS and not load_balancers and not service_connect:
        return f"The deployment strategy {strategy} requires a load balancer or Service Connect."
    return None
