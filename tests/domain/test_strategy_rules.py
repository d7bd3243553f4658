"""The deploymentConfiguration that Slipway sends, and how long a strategy waits."""

from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from chalicelib.domain.strategies import Strategy, at_once, merged, waits_of

HOOK = {
    "targetType": "AWS_LAMBDA",
    "hookTargetArn": "arn:aws:lambda:eu-west-1:123456789012:function:smoke-test",
    "roleArn": "arn:aws:iam::123456789012:role/hooks",
    "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
}
ALARMS = {"alarmNames": ["errors"], "enable": True, "rollback": True}
BREAKER = {"enable": False, "rollback": False, "resetOnHealthyTask": True}
# What the owner of an ECS service may have, whatever its strategy is.
OWN = {
    "maximumPercent": 200,
    "minimumHealthyPercent": 50,
    "bakeTimeInMinutes": 3,
    "alarms": ALARMS,
    "lifecycleHooks": [HOOK],
}
ROLLING = {**OWN, "deploymentCircuitBreaker": BREAKER}
CANARY = {
    **OWN,
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 5.0, "canaryBakeTimeInMinutes": 10},
}
LINEAR = {
    **OWN,
    "strategy": "LINEAR",
    "linearConfiguration": {"stepPercent": 25.0, "stepBakeTimeInMinutes": 2},
}
SWITCHED_ON = {"enable": True, "rollback": True, "resetOnHealthyTask": True}


@pytest.mark.parametrize("described", [ROLLING, {**ROLLING, "strategy": "ROLLING"}])
def test_a_rolling_update_gets_the_circuit_breaker(described: dict[str, Any]) -> None:
    assert merged(described, None) == {**described, "deploymentCircuitBreaker": SWITCHED_ON}
    assert described["deploymentCircuitBreaker"] is BREAKER


@pytest.mark.parametrize("described", [{}, {"maximumPercent": 200}])
def test_a_rolling_update_without_a_circuit_breaker_gets_one(described: dict[str, Any]) -> None:
    breaker = {"enable": True, "rollback": True}
    assert merged(described, None) == {**described, "deploymentCircuitBreaker": breaker}


@pytest.mark.parametrize(
    "described",
    [CANARY, LINEAR, {**OWN, "strategy": "BLUE_GREEN"}, {**CANARY, "deploymentCircuitBreaker": {}}],
)
def test_other_strategies_are_sent_back_unchanged(described: dict[str, Any]) -> None:
    assert merged(described, None) == described


CASES = [
    (
        ROLLING,
        Strategy(type="BLUE_GREEN", bake_minutes=7),
        {**OWN, "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 7},
    ),
    (
        {**ROLLING, "earlySuccessCriteria": {"enable": False}},
        Strategy(type="CANARY"),
        {**OWN, "strategy": "CANARY", "canaryConfiguration": {}},
    ),
    (
        CANARY,
        Strategy(type="CANARY", percent=12.5),
        {
            **CANARY,
            "canaryConfiguration": {"canaryPercent": 12.5, "canaryBakeTimeInMinutes": 10},
        },
    ),
    (
        CANARY,
        Strategy(type="LINEAR", percent=20.0, step_minutes=0, bake_minutes=0),
        {
            **OWN,
            "strategy": "LINEAR",
            "bakeTimeInMinutes": 0,
            "linearConfiguration": {"stepPercent": 20.0, "stepBakeTimeInMinutes": 0},
        },
    ),
    (
        LINEAR,
        Strategy(type="ROLLING"),
        {
            **OWN,
            "strategy": "ROLLING",
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
    ),
]


@pytest.mark.parametrize(("described", "setting", "sent"), CASES)
def test_the_setting_replaces_the_strategy_and_nothing_else(
    described: dict[str, Any], setting: Strategy, sent: dict[str, Any]
) -> None:
    assert merged(described, setting) == sent
    members = get_session().get_service_model("ecs").shape_for("DeploymentConfiguration")
    assert ParamValidator().validate(sent, members).generate_report() == ""


@pytest.mark.parametrize(
    ("configuration", "minutes"),
    [
        ({}, 0),
        ({"strategy": "ROLLING", "bakeTimeInMinutes": 4}, 4),
        ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5}, 5),
        # 25, 50, 75 and 100 percent: "not applied after reaching 100 percent traffic".
        (LINEAR, 3 * 2 + 3),
        ({"strategy": "LINEAR"}, 9 * 6),
        ({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 30.0}}, 3 * 6),
        (CANARY, 10 + 3),
        ({"strategy": "CANARY"}, 10),
        ({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 100.0}}, 0),
    ],
)
def test_the_waits_of_a_strategy_are_those_between_its_steps_and_its_bake_time(
    configuration: dict[str, Any], minutes: int
) -> None:
    assert waits_of(configuration) == minutes


WAYS_BACK = [
    (CANARY, Strategy(type="CANARY", percent=5, step_minutes=1, bake_minutes=9), 0),
    (LINEAR, Strategy(type="LINEAR", percent=5, step_minutes=1), 3),
    (LINEAR, Strategy(type="CANARY"), 3),
    (CANARY, Strategy(type="CANARY"), 3),  # its steps are ECS's defaults
]


@pytest.mark.parametrize(("described", "setting", "bake"), WAYS_BACK)
def test_a_way_back_has_no_steps(described: dict[str, Any], setting: Strategy, bake: int) -> None:
    sent = merged(described, at_once(described, setting))
    assert sent == {**OWN, "strategy": "BLUE_GREEN", "bakeTimeInMinutes": bake}


@pytest.mark.parametrize("setting", [Strategy(type="LINEAR"), Strategy(type="ROLLING"), None])
def test_a_way_back_keeps_steps_that_no_later_rollout_would_restore(
    setting: Strategy | None,
) -> None:
    assert at_once(LINEAR, setting) == setting


def test_a_way_back_has_the_bake_time_that_blue_green_requires() -> None:
    assert merged({}, at_once({}, Strategy(type="CANARY")))["bakeTimeInMinutes"] == 0


def test_what_may_not_act_is_switched_off() -> None:
    described = {**ROLLING, "deploymentCircuitBreaker": SWITCHED_ON}
    early = {"enable": True, "healthyPercent": 60}
    sent = merged({**described, "earlySuccessCriteria": early}, Strategy(type="CANARY"))
    assert sent["deploymentCircuitBreaker"] == {"enable": False, "rollback": False}
    assert sent["earlySuccessCriteria"] == {"enable": False}
