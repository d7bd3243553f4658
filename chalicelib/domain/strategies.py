"""The strategy of a service's rollouts: how ECS moves it to a new revision.

Sources: DeploymentConfiguration, LinearConfiguration and CanaryConfiguration in the ECS API
reference; "Amazon ECS service deployments" in the developer guide.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chalicelib.domain.fields import Installation, Rule

ROLLING, BLUE_GREEN, LINEAR, CANARY = "ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"
TYPES = (ROLLING, BLUE_GREEN, LINEAR, CANARY)
# The member that holds the steps, and the names in it of the percentage and of the minutes.
_STEPS: Mapping[str, tuple[str, str, str]] = {
    LINEAR: ("linearConfiguration", "stepPercent", "stepBakeTimeInMinutes"),
    CANARY: ("canaryConfiguration", "canaryPercent", "canaryBakeTimeInMinutes"),
}
# ECS's defaults for them.
_DEFAULT_STEPS: Mapping[str, tuple[float, int]] = {LINEAR: (10.0, 6), CANARY: (5.0, 10)}
_LEAST_PERCENT: Mapping[str, float] = {LINEAR: 3.0, CANARY: 0.1}
# Members that only one strategy has.
_MEMBERS_OF: Mapping[str, tuple[str, ...]] = {
    ROLLING: ("deploymentCircuitBreaker", "earlySuccessCriteria"),
    BLUE_GREEN: (),
    LINEAR: ("linearConfiguration",),
    CANARY: ("canaryConfiguration",),
}
# Members that must be switched off for another strategy: ECS may keep a member that is left out.
_OFF: Mapping[str, Mapping[str, bool]] = {
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "earlySuccessCriteria": {"enable": False},
}
_BAKE = "bakeTimeInMinutes"
_MOST_MINUTES = 1440
_FIELDS = ("type", "percent", "step_minutes", "bake_minutes")
# The settings that a type has besides `type`.
_FIELDS_OF: Mapping[str, tuple[str, ...]] = {
    ROLLING: (),
    BLUE_GREEN: ("bake_minutes",),
    LINEAR: ("percent", "step_minutes", "bake_minutes"),
    CANARY: ("percent", "step_minutes", "bake_minutes"),
}

StrategyType = Annotated[
    Literal["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"],
    Meta(
        description="how ECS moves to a new release. `ROLLING` replaces the tasks in groups. "
        "`BLUE_GREEN` starts all new tasks and then moves all traffic to them at once. `LINEAR` "
        "moves it in equal steps. `CANARY` moves a small part first, and then the rest"
    ),
]
Percent = Annotated[
    float,
    Meta(
        ge=0.1,
        le=100.0,
        description="the percentage of the production traffic that each step of `LINEAR`, from "
        "3.0, or the first step of `CANARY`, from 0.1, moves: a multiple of 0.1 up to 100.0. "
        "Without it ECS moves 10.0 or 5.0",
    ),
]
StepMinutes = Annotated[
    int,
    Meta(
        ge=0,
        le=_MOST_MINUTES,
        description="a whole number from 0 to 1440: the minutes that ECS waits between two steps "
        "of `LINEAR`, or after the first step of `CANARY`. Without it ECS waits 6 or 10",
    ),
]
BakeMinutes = Annotated[
    int,
    Meta(
        ge=0,
        le=_MOST_MINUTES,
        description="a whole number from 0 to 1440: the minutes that the tasks of the earlier "
        "release stay after all traffic has moved. `BLUE_GREEN` requires it. Without it `LINEAR` "
        "and `CANARY` keep that of the ECS service",
    ),
]


class Strategy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The strategy of the rollouts of a service. Slipway puts it into the ECS service with each
    rollout. Hooks, alarms and load balancers stay as the ECS service has them.
    """

    type: StrategyType
    percent: Percent | None = None
    step_minutes: StepMinutes | None = None
    bake_minutes: BakeMinutes | None = None


def _checked(value: Strategy, _installation: Installation) -> Strategy:
    own = _FIELDS_OF[value.type]
    for name in _FIELDS[1:]:
        if getattr(value, name) is not None and name not in own:
            raise ValueError(f"strategy.{name} has no meaning with the type {value.type}")
    if value.type == BLUE_GREEN and value.bake_minutes is None:
        raise ValueError("strategy.bake_minutes is required with the type BLUE_GREEN")
    if value.percent is not None:
        least = _LEAST_PERCENT[value.type]
        tenths = value.percent * 10
        if value.percent < least or abs(tenths - round(tenths)) > 1e-6:
            raise ValueError(_explain_percent(value.type))
        return msgspec.structs.replace(value, percent=round(tenths) / 10)
    return value


def _explain_percent(kind: str) -> str:
    return (
        f"strategy.percent must be a multiple of 0.1 from {_LEAST_PERCENT[kind]} to 100.0 with the "
        f"type {kind}"
    )


def _explain(value: Any) -> str:
    """Why a value does not fit the schema: the first field that does not."""
    if not isinstance(value, dict):
        return 'strategy must be an object, such as {"type": "BLUE_GREEN", "bake_minutes": 5}'
    unknown = next((name for name in value if name not in _FIELDS), None)
    if unknown is not None:
        return f"strategy has no field {unknown[:50]!r}: its fields are {', '.join(_FIELDS)}"
    kind = value.get("type")
    if kind not in TYPES:
        return f"strategy.type must be one of {', '.join(TYPES)}"
    for name in ("step_minutes", "bake_minutes"):
        minutes = value.get(name)
        is_whole = isinstance(minutes, int) and not isinstance(minutes, bool)
        if minutes is not None and not (is_whole and 0 <= minutes <= _MOST_MINUTES):
            return f"strategy.{name} must be a whole number from 0 to {_MOST_MINUTES}"
    if kind not in _STEPS:
        return f"strategy.percent has no meaning with the type {kind}"
    return _explain_percent(kind)


StrategySetting = Annotated[
    Strategy | None,
    Meta(
        description="how ECS moves to a new release. Without it the strategy of the ECS service "
        "stays"
    ),
    Rule(normal=_checked, explain=_explain),
]


def from_stored(stored: Mapping[str, Any]) -> Strategy:
    """A setting as a row has it: the percentage is a text."""
    percent = stored.get("percent")
    return Strategy(**{**stored, "percent": None if percent is None else float(percent)})


def strategy_of(configuration: Mapping[str, Any]) -> str:
    """The strategy of a deploymentConfiguration. Older services have none: they are rolling."""
    found: str = configuration.get("strategy", ROLLING)
    return found


def at_once(described: Mapping[str, Any], setting: Strategy | None) -> Strategy | None:
    """The strategy of a way back under a `setting`: what has run well before needs no steps.

    Steps that the ECS service has, and not the setting, stay: no later rollout would restore them.
    """
    if setting is None or setting.type not in _STEPS:
        return setting
    if steps_of(_with_setting(described, setting)) != steps_of(_with_setting({}, setting)):
        return setting
    return Strategy(type="BLUE_GREEN", bake_minutes=None if setting.bake_minutes is None else 0)


def merged(described: Mapping[str, Any], setting: Strategy | None) -> dict[str, Any]:
    """The deploymentConfiguration for UpdateService: that of the ECS service with the `setting`.

    It repeats the whole described one, since ECS resets parts that are left out. Slipway switches
    the circuit breaker on for rolling updates: ECS has none for the other strategies.
    """
    wanted = dict(described) if setting is None else _with_setting(described, setting)
    if strategy_of(wanted) != ROLLING:
        return wanted
    breaker = wanted.get("deploymentCircuitBreaker", {})
    return {**wanted, "deploymentCircuitBreaker": {**breaker, "enable": True, "rollback": True}}


def _with_setting(described: Mapping[str, Any], setting: Strategy) -> dict[str, Any]:
    foreign = {
        name for kind, names in _MEMBERS_OF.items() if kind != setting.type for name in names
    }
    kept = {name: each for name, each in described.items() if name not in foreign}
    off = {name: dict(_OFF[name]) for name in foreign & _OFF.keys() if is_on(described, name)}
    wanted: dict[str, Any] = {**kept, **off, "strategy": setting.type}
    if setting.type in _STEPS:
        member, percent, minutes = _STEPS[setting.type]
        values = {percent: setting.percent, minutes: setting.step_minutes}
        given = {name: value for name, value in values.items() if value is not None}
        wanted[member] = {**kept.get(member, {}), **given}
    if setting.bake_minutes is not None:
        wanted[_BAKE] = setting.bake_minutes
    elif setting.type == BLUE_GREEN:  # a way back: ECS requires the member
        wanted.setdefault(_BAKE, 0)
    return wanted


def steps_of(configuration: Mapping[str, Any]) -> tuple[float, int]:
    """The percentage of a step and the minutes after it; 100 and 0 for a strategy without steps."""
    kind = strategy_of(configuration)
    if kind not in _STEPS:
        return 100.0, 0
    member, percent, minutes = _STEPS[kind]
    found, usual = configuration.get(member, {}), _DEFAULT_STEPS[kind]
    return found.get(percent, usual[0]), found.get(minutes, usual[1])


def waits_of(configuration: Mapping[str, Any]) -> int:
    """The minutes that a rollout waits at least: between the steps, and in the bake time.

    "This bake time is not applied after reaching 100 percent traffic" (LinearConfiguration).
    """
    _, minutes = steps_of(configuration)
    return (len(weights_of(configuration)) - 1) * minutes + bake_of(configuration)


def weights_of(configuration: Mapping[str, Any]) -> tuple[float, ...]:
    """The percentages of the traffic that the new tasks get, one for each step."""
    percent, _ = steps_of(configuration)
    is_canary = strategy_of(configuration) == CANARY
    steps = 1 if is_canary and percent < 100 else math.ceil(100 / percent) - 1
    # Percentages are multiples of 0.1.
    return (*(round(percent * each, 1) for each in range(1, steps + 1)), 100.0)


def bake_of(configuration: Mapping[str, Any]) -> int:
    """The minutes of the bake time after all traffic has moved."""
    return configuration.get(_BAKE) or 0


def rolling_bake_of(configuration: Mapping[str, Any]) -> int:
    """The minutes for which a rolling update may stand still when its tasks run.

    DeploymentEarlySuccessCriteria in the API reference names a bake time of rolling updates.
    """
    return bake_of(configuration) if strategy_of(configuration) == ROLLING else 0


def is_on(configuration: Mapping[str, Any], member: str) -> bool:
    """Whether a member that can be switched on is on."""
    return bool(configuration.get(member, {}).get("enable"))


def is_watched(configuration: Mapping[str, Any]) -> bool:
    """Whether ECS has an alarm or a hook that may end a rollout."""
    return is_on(configuration, "alarms") or bool(configuration.get("lifecycleHooks"))
