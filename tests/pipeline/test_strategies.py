"""Rollouts that move traffic: blue/green, linear and canary."""

from contextlib import suppress
from typing import Any

import pytest

from chalicelib.pipeline.reconcilers.loop import reconcile
from infra.local.aws import ecs, ecs_records, ecs_rollouts, ecs_stages
from tests.faults.injector import Injector
from tests.faults.rows import services
from tests.support.ecs_shifts import BALANCER, FUNCTION, function, pause
from tests.support.embedded import (
    CLUSTER,
    CONFIGURATION,
    Cloud,
    balance,
    client,
    ecs_service,
    register,
    run_on_ecs,
)
from tests.support.sdk import Calls, Killed, Trouble

CANARY: dict[str, Any] = {
    **CONFIGURATION,
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 60},
    "bakeTimeInMinutes": 30,
}
BLUE_GREEN: dict[str, Any] = {**CONFIGURATION, "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 30}
SETTING = {"type": "CANARY", "percent": 12.5, "step_minutes": 2, "bake_minutes": 3}


def configure(cloud: Cloud, configuration: dict[str, Any], *hooks: dict[str, Any]) -> None:
    """The owner gives the ECS service a strategy and hooks."""
    balance(cloud)
    own = configuration | ({"lifecycleHooks": list(hooks)} if hooks else {})
    client("ecs").update_service(cluster=CLUSTER, service="hello", deploymentConfiguration=own)


def pass_minutes(cloud: Cloud, minutes: int) -> None:
    for _ in range(minutes):
        cloud.tick()
    cloud.settle()


def release_second(
    cloud: Cloud, configuration: dict[str, Any], *hooks: dict[str, Any], minutes: int
) -> None:
    """Release 1 runs, and the tasks of release 2 have been healthy for so many minutes."""
    cloud.release(1)
    configure(cloud, configuration, *hooks)
    cloud.begin_release(2)
    cloud.finish_rollout()
    pass_minutes(cloud, minutes)


def record_of_ecs() -> Any:
    """The newest service deployment."""
    return ecs.engine().service(CLUSTER, "hello").records[0]


def answer_hook(action: str = "CONTINUE") -> None:
    """The owner answers the hook that waits."""
    record = record_of_ecs()
    (hook,) = [each for each in record.lifecycle_hook_details if each.status == "AWAITING_ACTION"]
    client("ecs").continue_service_deployment(
        serviceDeploymentArn=record.service_deployment_arn, hookId=hook.hook_id, action=action
    )


def traffic(cloud: Cloud, number: int) -> tuple[Any, ...]:
    row = cloud.deployment(number)
    return tuple(row[name] for name in ("status", "strategy", "stage", "traffic", "awaiting"))


def image_of(number: int, cloud: Cloud) -> str:
    return str(cloud.deployment(number)["image_digest"])


@pytest.fixture(params=["all", "documented"])
def answers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECS shows all that it may, or only what the API reference surely has."""
    monkeypatch.setattr(ecs_records, "DOCUMENTED_ONLY", request.param == "documented")


def test_a_strategy_is_stored_shown_and_in_the_audit_trail(cloud: Cloud) -> None:
    path = f"/v1/services/{cloud.service_id}"
    answer = cloud.api.patch(path, {"strategy": SETTING})
    assert (answer.status, answer.body["strategy"]) == (200, SETTING)
    assert cloud.service()["strategy"] == SETTING
    # The version before reads only whole numbers.
    assert services()[cloud.service_id]["settings"]["strategy"]["percent"] == "12.5"
    linear = {"type": "LINEAR", "percent": None, "step_minutes": None, "bake_minutes": None}
    cloud.change_service(strategy={"type": "LINEAR"})
    assert cloud.service()["strategy"] == linear
    cloud.change_service(strategy=None)
    assert cloud.service()["strategy"] is None
    changes = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}").body["items"]
    shown = [each["details"] for each in changes if each["action"] == "service.updated"][:3]
    assert [each["after"]["strategy"] for each in shown] == [None, linear, SETTING]


@pytest.mark.usefixtures("answers")
def test_a_canary_shows_its_stages_and_its_deadline_counts_the_waits(
    cloud: Cloud, calls: Calls
) -> None:
    """`deploy_minutes` is 20. The canary waits 60 minutes and then bakes for 30."""
    configure(cloud, CANARY)
    calls.clear()
    cloud.begin_release(1)
    cloud.tick()
    assert traffic(cloud, 1) == ("deploying", "CANARY", "SCALE_UP", 0, None)
    assert cloud.deployment(1)["step"] == "0 of 2 tasks run"
    cloud.finish_rollout()
    pass_minutes(cloud, 40)
    assert traffic(cloud, 1) == ("deploying", "CANARY", "PRODUCTION_TRAFFIC_SHIFT", 10, None)
    assert cloud.deployment(1)["test_traffic"] == 100
    assert cloud.deployment(1)["step"] == (
        "the production traffic moves (the new tasks get 10 % of the traffic and 100 % of the test "
        "traffic)"
    )
    before = cloud.deployment(1)["progress"]
    pass_minutes(cloud, 30)
    assert traffic(cloud, 1) == ("deploying", "CANARY", "BAKE_TIME", 100, None)
    assert before < cloud.deployment(1)["progress"] < 100
    pass_minutes(cloud, 25)
    assert traffic(cloud, 1) == ("success", "CANARY", None, None, None)
    (sent,) = calls.to("ecs.UpdateService")
    described = client("ecs").describe_services(cluster=CLUSTER, services=["hello"])
    assert sent["deploymentConfiguration"] == described["services"][0]["deploymentConfiguration"]
    assert sent["deploymentConfiguration"].items() >= CANARY.items()


def test_the_setting_of_a_service_becomes_the_strategy_of_its_rollouts(cloud: Cloud) -> None:
    balance(cloud)
    hook = pause("POST_SCALE_UP")
    own = {**CONFIGURATION, "lifecycleHooks": [hook], "maximumPercent": 175}
    client("ecs").update_service(cluster=CLUSTER, service="hello", deploymentConfiguration=own)
    cloud.change_service(strategy=SETTING)
    cloud.begin_release(1)
    record = record_of_ecs()
    assert record.deployment_configuration == {
        "maximumPercent": 175,
        "minimumHealthyPercent": 50,
        "lifecycleHooks": [hook],
        "strategy": "CANARY",
        "canaryConfiguration": {"canaryPercent": 12.5, "canaryBakeTimeInMinutes": 2},
        "bakeTimeInMinutes": 3,
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    }


def test_a_way_back_moves_all_traffic_at_once_and_the_next_deployment_in_steps(
    cloud: Cloud,
) -> None:
    balance(cloud)
    cloud.change_service(strategy=SETTING)
    for number in (1, 2):
        cloud.begin_release(number)
        cloud.finish_rollout()
        pass_minutes(cloud, 7)
        assert cloud.statuses(number) == ["success"]
    assert cloud.roll_back().status == 202
    cloud.settle()
    assert traffic(cloud, 3)[:2] == ("deploying", "BLUE_GREEN")
    cloud.finish_rollout()
    pass_minutes(cloud, 1)
    assert cloud.statuses(3) == ["success"]
    cloud.deploy(cloud.build(2)["image_tag"])
    cloud.settle()
    assert traffic(cloud, 4)[:2] == ("deploying", "CANARY")


def test_a_deadline_stands_still_while_a_hook_of_the_owner_waits(cloud: Cloud) -> None:
    configure(cloud, BLUE_GREEN, pause("POST_TEST_TRAFFIC_SHIFT"))
    cloud.begin_release(1)
    cloud.finish_rollout()
    pass_minutes(cloud, 300)
    stage = ("deploying", "BLUE_GREEN", "POST_TEST_TRAFFIC_SHIFT", 0, "hook")
    assert traffic(cloud, 1) == stage
    assert cloud.deployment(1)["step"] == (
        "waits for a PAUSE hook in the stage POST_TEST_TRAFFIC_SHIFT (the new tasks get 100 % of "
        "the test traffic)"
    )
    answer_hook()
    pass_minutes(cloud, 35)
    assert cloud.statuses(1) == ["success"]


@pytest.mark.usefixtures("answers")
def test_a_rollout_that_does_not_move_fails_and_is_taken_back(cloud: Cloud, calls: Calls) -> None:
    cloud.release(1)
    configure(cloud, CANARY)
    cloud.begin_release(2)
    pass_minutes(cloud, 30)
    failed = cloud.deployment(2)
    assert failed["status"] == "failed"
    assert "the rollout has not moved for 20 minutes: 0 of 2 tasks run" in failed["error"]
    assert len(calls.to("ecs.StopServiceDeployment")) == 1
    assert record_of_ecs().status == "ROLLBACK_SUCCESSFUL"
    assert image_of(1, cloud) in cloud.image_on_ecs()
    assert cloud.rollouts() == 3  # one of the owner's, and one of each release


STAGES = [
    ("PRE_SCALE_UP", 0),
    ("POST_SCALE_UP", 0),
    ("POST_TEST_TRAFFIC_SHIFT", 0),
    ("PRE_PRODUCTION_TRAFFIC_SHIFT", 0),
    ("POST_PRODUCTION_TRAFFIC_SHIFT", 100),
]


@pytest.mark.parametrize(("stage", "weight"), STAGES)
def test_a_cancel_at_any_stage_has_ecs_take_the_rollout_back(
    cloud: Cloud, calls: Calls, stage: str, weight: int
) -> None:
    release_second(cloud, BLUE_GREEN, pause(stage), minutes=2)
    assert traffic(cloud, 2) == ("deploying", "BLUE_GREEN", stage, weight, "hook")
    calls.clear()
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    cloud.tick()
    cloud.settle()
    assert cloud.statuses(2) == ["cancelled"]
    record = record_of_ecs()
    assert record.status == "ROLLBACK_SUCCESSFUL"
    assert calls.to("ecs.StopServiceDeployment") == [
        {"serviceDeploymentArn": record.service_deployment_arn, "stopType": "ROLLBACK"}
    ]
    assert calls.to("ecs.UpdateService") == []
    assert image_of(1, cloud) in cloud.image_on_ecs()
    assert cloud.service()["drift"] is None


def test_a_cancel_in_the_bake_time_flips_the_weights_back(cloud: Cloud) -> None:
    release_second(cloud, BLUE_GREEN, minutes=3)
    assert traffic(cloud, 2)[2:4] == ("BAKE_TIME", 100)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    pass_minutes(cloud, 2)
    assert record_of_ecs().status == "ROLLBACK_SUCCESSFUL"
    assert image_of(1, cloud) in cloud.image_on_ecs()


@pytest.mark.usefixtures("answers")
def test_a_rollback_of_a_rollout_under_way_is_the_rollback_of_ecs(
    cloud: Cloud, calls: Calls
) -> None:
    """It starts no task and no second rollout."""
    release_second(cloud, CANARY, minutes=5)
    assert traffic(cloud, 2)[3] == 10
    calls.clear()
    assert cloud.roll_back(reason="wrong prices").status == 202
    cloud.settle()
    cloud.tick()
    cloud.settle()
    assert cloud.statuses(2, 3) == ["rolled_back", "success"]
    assert calls.to("ecs.UpdateService") == []
    assert calls.to("ecs.RegisterTaskDefinition") == []
    assert len(calls.to("ecs.StopServiceDeployment")) == 1
    restored, rollback = cloud.deployment(1), cloud.deployment(3)
    assert (rollback["restores"], rollback["rollback_of"]) == (1, 2)
    assert rollback["task_definition"] == restored["task_definition"] == cloud.definition_on_ecs()
    assert cloud.service()["drift"] is None
    pass_minutes(cloud, 15)
    assert (cloud.service()["drift"], cloud.service()["current_deployment_id"]) == (None, 3)


@pytest.mark.usefixtures("answers")
def test_a_rollback_while_ecs_rolls_back_already_needs_no_call(cloud: Cloud, calls: Calls) -> None:
    release_second(cloud, CANARY, minutes=5)
    client("ecs").stop_service_deployment(
        serviceDeploymentArn=record_of_ecs().service_deployment_arn, stopType="ROLLBACK"
    )
    calls.clear()
    assert cloud.roll_back().status == 202
    pass_minutes(cloud, 2)
    assert cloud.statuses(2, 3) == ["rolled_back", "success"]
    assert calls.to("ecs.StopServiceDeployment") == []
    assert calls.to("ecs.UpdateService") == []


def test_a_rollback_waits_while_the_call_that_it_undoes_may_be_in_flight(
    cloud: Cloud, calls: Calls, trouble: Trouble
) -> None:
    cloud.release(1)
    configure(cloud, CANARY)
    cloud.handlers_may_fail = True
    trouble.kill_before("ecs.UpdateService")
    with suppress(Killed):
        cloud.begin_release(2)
    calls.clear()
    assert cloud.roll_back().status == 202
    cloud.wake(f"service-{cloud.service_id}")
    assert cloud.statuses(2, 3) == ["rolled_back", "queued"]
    pass_minutes(cloud, 1)
    assert cloud.statuses(2, 3) == ["rolled_back", "success"]
    assert calls.to("ecs.UpdateService") == calls.to("ecs.StopServiceDeployment") == []


def test_a_rollback_to_an_older_release_takes_the_rollout_back_first(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.release(1)
    cloud.release(2)
    configure(cloud, BLUE_GREEN)
    cloud.begin_release(3)
    cloud.finish_rollout()
    pass_minutes(cloud, 3)
    calls.clear()
    assert cloud.roll_back(deployment_id=1).status == 202
    pass_minutes(cloud, 2)
    assert calls.counted["ecs.StopServiceDeployment"] == 1
    assert [each["taskDefinition"] for each in calls.to("ecs.UpdateService")] == [
        cloud.deployment(4)["task_definition"]
    ]
    cloud.finish_rollout()
    pass_minutes(cloud, 35)
    assert cloud.statuses(3, 4) == ["rolled_back", "success"]
    assert image_of(1, cloud) in cloud.image_on_ecs()


def test_a_deployment_that_waits_begins_after_the_cancelled_one_is_taken_back(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.release(1)
    configure(cloud, BLUE_GREEN, pause("POST_SCALE_UP"))
    cloud.begin_release(2)
    cloud.finish_rollout()
    cloud.begin_release(3)
    assert cloud.statuses(2, 3) == ["deploying", "queued"]
    calls.clear()
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    pass_minutes(cloud, 2)
    assert cloud.statuses(2, 3) == ["cancelled", "deploying"]
    ends = ("StopServiceDeployment", "UpdateService")
    changes = [name for name, _ in calls.made if name.endswith(ends)]
    assert changes == ["ecs.StopServiceDeployment", "ecs.UpdateService"]
    first, second = ecs.engine().service(CLUSTER, "hello").records[:2]
    assert (first.status, second.status) == ("IN_PROGRESS", "ROLLBACK_SUCCESSFUL")


@pytest.mark.usefixtures("answers")
def test_a_stop_by_the_owner_fails_the_deployment_with_the_reason(cloud: Cloud) -> None:
    release_second(cloud, CANARY, minutes=5)
    client("ecs").stop_service_deployment(
        serviceDeploymentArn=record_of_ecs().service_deployment_arn, stopType="ROLLBACK"
    )
    pass_minutes(cloud, 2)
    assert cloud.statuses(2) == ["failed"]
    assert record_of_ecs().status_reason in cloud.deployment(2)["error"]
    assert image_of(1, cloud) in cloud.image_on_ecs()
    service = cloud.service()
    assert (service["drift"], service["auto_deploy_paused"]) == (None, None)


def test_a_hook_of_the_owner_that_is_refused_fails_the_deployment(cloud: Cloud) -> None:
    release_second(cloud, BLUE_GREEN, pause("PRE_PRODUCTION_TRAFFIC_SHIFT"), minutes=2)
    answer_hook("ROLLBACK")
    pass_minutes(cloud, 2)
    assert cloud.statuses(2) == ["failed"]
    assert record_of_ecs().status_reason == cloud.deployment(2)["error"]
    assert image_of(1, cloud) in cloud.image_on_ecs()


def test_a_hook_that_nobody_answers_fails_the_deployment(cloud: Cloud) -> None:
    cloud.release(1)
    hook = pause("POST_SCALE_UP", timeoutInMinutes=30, action="ROLLBACK")
    configure(cloud, BLUE_GREEN, hook)
    cloud.begin_release(2)
    cloud.finish_rollout()
    pass_minutes(cloud, 33)
    assert cloud.statuses(2) == ["failed"]
    assert record_of_ecs().status_reason == cloud.deployment(2)["error"]


def test_a_function_that_refuses_and_an_alarm_fail_the_deployment(cloud: Cloud) -> None:
    cloud.release(1)
    hook = function("POST_SCALE_UP")
    alarms = {"alarmNames": ["errors"], "enable": True, "rollback": True}
    configure(cloud, {**CANARY, "alarms": alarms}, hook)
    ecs.engine().answer_hook(FUNCTION, "FAILED")
    cloud.begin_release(2)
    cloud.finish_rollout()
    pass_minutes(cloud, 2)
    assert cloud.statuses(2) == ["failed"]
    assert "function:check returned FAILED status" in cloud.deployment(2)["error"]
    ecs.engine().answer_hook(FUNCTION, "SUCCEEDED")
    cloud.begin_release(3)
    cloud.finish_rollout()
    pass_minutes(cloud, 5)
    ecs.engine().alarm("errors")
    pass_minutes(cloud, 2)
    assert cloud.statuses(3) == ["failed"]
    assert "one or more active alarms" in cloud.deployment(3)["error"]
    assert image_of(1, cloud) in cloud.image_on_ecs()


@pytest.mark.usefixtures("answers")
def test_a_new_rollout_of_the_owner_in_the_middle_stays(cloud: Cloud, calls: Calls) -> None:
    release_second(cloud, CANARY, minutes=5)
    theirs = str(cloud.deployment(1)["task_definition"])
    client("ecs").update_service(cluster=CLUSTER, service="hello", taskDefinition=theirs)
    calls.clear()
    pass_minutes(cloud, 3)
    assert cloud.statuses(2) == ["superseded"]
    assert calls.to("ecs.StopServiceDeployment") == calls.to("ecs.UpdateService") == []


def test_a_lost_answer_to_a_stop_is_repeated_until_the_rollout_goes_back(
    cloud: Cloud, trouble: Trouble
) -> None:
    release_second(cloud, CANARY, minutes=5)
    trouble.lose_answers("ecs.StopServiceDeployment")
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    pass_minutes(cloud, 3)
    assert record_of_ecs().status == "ROLLBACK_SUCCESSFUL"
    assert image_of(1, cloud) in cloud.image_on_ecs()


def test_two_workers_take_a_rollout_back_at_once(
    cloud: Cloud, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_second(cloud, CANARY, minutes=2)
    assert cloud.roll_back().status == 202
    faults, others = Injector(monkeypatch), [1]

    def act_as_another(number: int, name: str) -> None:
        if name == "ecs.StopServiceDeployment" and others:
            others.pop()
            reconcile(f"service-{cloud.service_id}")

    faults.before = act_as_another
    calls.clear()
    pass_minutes(cloud, 2)
    assert not others
    assert cloud.statuses(2, 3) == ["rolled_back", "success"]
    assert record_of_ecs().status == "ROLLBACK_SUCCESSFUL"
    assert calls.to("ecs.UpdateService") == []


def test_a_stop_that_aws_refuses_leads_to_a_new_rollout(
    cloud: Cloud, trouble: Trouble, calls: Calls
) -> None:
    cloud.release(1)
    configure(cloud, BLUE_GREEN, pause("POST_SCALE_UP"))
    cloud.begin_release(2)
    cloud.finish_rollout()
    trouble.refuse("ecs.StopServiceDeployment", "AccessDeniedException", times=100)
    calls.clear()
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    pass_minutes(cloud, 1)
    (update,) = calls.to("ecs.UpdateService")
    assert update["taskDefinition"] == cloud.deployment(1)["task_definition"]


def test_a_service_of_express_mode_keeps_its_configuration(cloud: Cloud, calls: Calls) -> None:
    configure(cloud, CANARY)
    ecs.engine().manage(CLUSTER, "hello")
    calls.clear()
    cloud.change_service(strategy=SETTING)
    cloud.begin_release(1)
    cloud.finish_rollout()
    (sent,) = calls.to("ecs.UpdateService")
    assert "deploymentConfiguration" not in sent
    pass_minutes(cloud, 100)
    assert cloud.statuses(1) == ["success"]


def test_a_rolling_update_shows_no_traffic(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.tick()
    assert traffic(cloud, 1) == ("deploying", None, None, None, None)
    assert cloud.deployment(1)["step"] == "0 of 2 tasks run"


def test_a_plan_shows_the_strategy_and_how_long_ecs_waits(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.finish_rollout()
    configure(cloud, CANARY)
    image = cloud.build(1)["image_tag"]
    plan = cloud.plan(image)
    assert (plan["strategy"], plan["waits_minutes"]) == ("CANARY", 90)
    assert [each["code"] for each in plan["findings"]] == ["rollout_not_watched"]
    cloud.change_service(strategy={"type": "LINEAR", "percent": 25, "bake_minutes": 0})
    assert (cloud.plan(image)["strategy"], cloud.plan(image)["waits_minutes"]) == ("LINEAR", 18)
    back = cloud.preview()["plan"]
    assert (back["strategy"], back["waits_minutes"]) == ("BLUE_GREEN", 0)
    cloud.begin_release(3)
    cloud.finish_rollout()
    pass_minutes(cloud, 2)
    assert traffic(cloud, 3)[1:4] == ("LINEAR", "PRODUCTION_TRAFFIC_SHIFT", 25)
    preview = cloud.preview()
    assert (preview["target"]["id"], preview["plan"]["waits_minutes"]) == (2, 0)


CODES = [
    ({"type": "CANARY"}, False, 409, ["strategy_needs_traffic_shift", "rollout_not_watched"]),
    ({"type": "LINEAR"}, False, 409, ["strategy_needs_traffic_shift", "rollout_not_watched"]),
    (
        {"type": "BLUE_GREEN", "bake_minutes": 1},
        False,
        202,
        ["strategy_moves_no_traffic", "rollout_not_watched"],
    ),
    ({"type": "CANARY"}, True, 202, ["rollout_not_watched"]),
    ({"type": "ROLLING"}, False, 202, []),
]


@pytest.mark.parametrize(("setting", "balanced", "status", "codes"), CODES)
def test_a_strategy_is_checked_before_the_rollout(
    cloud: Cloud, setting: dict[str, Any], balanced: bool, status: int, codes: list[str]
) -> None:
    cloud.release(1)
    if balanced:
        balance(cloud)
    cloud.change_service(strategy=setting)
    answer = cloud.deploy(cloud.build(1)["image_tag"])
    assert answer.status == status
    findings = answer.body["findings"] if status == 409 else cloud.deployment(2)["findings"]
    assert [each["code"] for each in findings] == codes
    cloud.settle()
    if status == 202:
        assert cloud.statuses(2) == ["deploying"]


def test_a_balancer_without_a_second_target_group_is_found(cloud: Cloud) -> None:
    plain = {name: value for name, value in BALANCER.items() if name != "advancedConfiguration"}
    client("ecs").update_service(cluster=CLUSTER, service="hello", loadBalancers=[plain])
    cloud.finish_rollout()
    cloud.change_service(strategy={"type": "BLUE_GREEN", "bake_minutes": 1})
    cloud.begin_release(1)
    assert cloud.statuses(1) == ["failed"]
    assert "Give each load balancer of the ECS service" in cloud.deployment(1)["error"]


def test_the_circuit_breaker_is_switched_off_where_it_may_not_act(
    cloud: Cloud, calls: Calls
) -> None:
    """UpdateService may keep a member that is left out, and refuse one that is on."""
    balance(cloud)
    early = {"enable": True, "healthyPercent": 60, "sourceServiceRevisionCleanup": "BLOCKING"}
    cloud.release(1)  # a rolling update, for which Slipway has switched the breaker on
    own = ecs_service()["deploymentConfiguration"] | {"earlySuccessCriteria": early}
    client("ecs").update_service(cluster=CLUSTER, service="hello", deploymentConfiguration=own)
    cloud.change_service(strategy=SETTING)
    calls.clear()
    cloud.begin_release(2)
    (sent,) = calls.to("ecs.UpdateService")
    configuration = sent["deploymentConfiguration"]
    assert configuration["deploymentCircuitBreaker"] == {"enable": False, "rollback": False}
    assert configuration["earlySuccessCriteria"] == {"enable": False}


@pytest.mark.parametrize("shown", ["BAKE_TIME", "POST_PRODUCTION_TRAFFIC_SHIFT", None])
def test_a_deadline_counts_the_waits_whichever_stage_ecs_shows_for_them(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, shown: str | None
) -> None:
    """No source says which stage a canary shows during its first wait."""
    configure(cloud, CANARY | {"bakeTimeInMinutes": 0})
    monkeypatch.setattr(ecs_records.Record, "lifecycle_stage", shown)
    cloud.begin_release(1)
    cloud.finish_rollout()
    pass_minutes(cloud, 50)
    assert cloud.statuses(1) == ["deploying"]
    pass_minutes(cloud, 20)
    assert cloud.statuses(1) == ["success"]


def test_a_rollout_without_its_revision_yet_is_waited_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API reference requires no member of a service deployment."""
    cloud.release(1)
    configure(cloud, BLUE_GREEN)
    with monkeypatch.context() as early:
        early.setattr(ecs_records.Record, "target_service_revision", None)
        cloud.begin_release(2)
        cloud.tick()
        assert cloud.statuses(2) == ["deploying"]
    cloud.finish_rollout()
    pass_minutes(cloud, 35)
    assert cloud.statuses(2) == ["success"]


def test_a_late_call_that_ecs_does_not_take_back_keeps_the_approval_and_the_count(
    cloud: Cloud, trouble: Trouble, calls: Calls
) -> None:
    cloud.release(1)
    configure(cloud, BLUE_GREEN)
    cloud.change_service(approval=True)
    cloud.begin_release(2)
    late = cloud.deployment(2)["task_definition"]
    cloud.begin_release(3)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    pass_minutes(cloud, 2)
    trouble.refuse("ecs.StopServiceDeployment", "AccessDeniedException", times=100)
    run_on_ecs(late)  # a paused worker makes its call now
    calls.clear()
    cloud.tick()
    cloud.settle()
    (update,) = calls.to("ecs.UpdateService")
    assert update["taskDefinition"] == cloud.deployment(3)["task_definition"]
    hooks = update["deploymentConfiguration"]["lifecycleHooks"]
    assert [each["targetType"] for each in hooks] == ["PAUSE"]
    assert cloud.statuses(3) == ["deploying"]


def test_the_bake_time_of_a_rolling_update_counts_for_its_deadline(cloud: Cloud) -> None:
    configuration = {**CONFIGURATION, "strategy": "ROLLING", "bakeTimeInMinutes": 60}
    client("ecs").update_service(
        cluster=CLUSTER, service="hello", deploymentConfiguration=configuration
    )
    cloud.begin_release(1)
    ecs.engine().bake(CLUSTER, "hello")
    pass_minutes(cloud, 55)
    assert cloud.statuses(1) == ["deploying"]
    cloud.finish_rollout()
    pass_minutes(cloud, 2)
    assert cloud.statuses(1) == ["success"]


@pytest.mark.usefixtures("answers")
def test_a_rollout_that_an_alarm_stops_without_a_rollback_fails_at_once(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.release(1)
    alarms = {"alarmNames": ["errors"], "enable": True, "rollback": False}
    configure(cloud, CANARY | {"alarms": alarms})
    cloud.begin_release(2)
    cloud.finish_rollout()
    pass_minutes(cloud, 2)
    ecs.engine().alarm("errors")
    pass_minutes(cloud, 2)
    assert cloud.statuses(2) == ["failed"]
    assert "alarm" in cloud.deployment(2)["error"]
    (update,) = [each for each in calls.to("ecs.UpdateService") if "taskDefinition" in each][2:]
    assert update["taskDefinition"] == cloud.deployment(1)["task_definition"]


def test_a_deployment_says_that_it_waits_for_a_rollback_of_ecs(cloud: Cloud) -> None:
    cloud.release(1)
    # A hook of this stage also runs in a rollback.
    configure(cloud, BLUE_GREEN, function("PRODUCTION_TRAFFIC_SHIFT"))
    cloud.begin_release(2)
    cloud.finish_rollout()
    pass_minutes(cloud, 2)
    ecs.engine().answer_hook(FUNCTION, "IN_PROGRESS")
    cloud.begin_release(3)
    assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    pass_minutes(cloud, 2)
    assert cloud.statuses(3) == ["queued"]
    undone = cloud.deployment(2)["task_definition"]
    assert cloud.deployment(3)["error"] == f"ECS takes the rollout of {undone} back"
    ecs.engine().answer_hook(FUNCTION, "SUCCEEDED")
    pass_minutes(cloud, 2)
    assert (cloud.statuses(3), cloud.deployment(3)["error"]) == (["deploying"], None)


def test_a_way_back_keeps_the_values_of_the_owner_that_the_setting_has_not(cloud: Cloud) -> None:
    configure(cloud, CANARY)
    cloud.change_service(strategy={"type": "CANARY", "percent": 20, "step_minutes": 1})
    for number in (1, 2):
        cloud.begin_release(number)
        cloud.finish_rollout()
        pass_minutes(cloud, 35)
        assert cloud.statuses(number) == ["success"]
    assert cloud.roll_back().status == 202
    pass_minutes(cloud, 1)
    back = record_of_ecs().deployment_configuration
    assert (back["strategy"], back["bakeTimeInMinutes"]) == ("BLUE_GREEN", 30)
    assert cloud.statuses(3) == ["deploying"]


def test_the_first_deployment_takes_no_rollout_of_the_owner_back(
    cloud: Cloud, calls: Calls
) -> None:
    """As with rolling updates, it begins a rollout of its own."""
    configure(cloud, BLUE_GREEN)
    run_on_ecs(register("hello", "nginx:1"))
    calls.clear()
    cloud.begin_release(1)
    assert calls.to("ecs.StopServiceDeployment") == []
    assert len(calls.to("ecs.UpdateService")) == 1
    pass_minutes(cloud, 1)
    cloud.finish_rollout()
    pass_minutes(cloud, 35)
    assert cloud.statuses(1) == ["success"]


@pytest.mark.parametrize("goes_back", [True, False])
def test_a_slow_way_back_of_ecs_ends_no_deployment_that_waits_for_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, goes_back: bool
) -> None:
    """ECS needs ten minutes more for each move of a Network Load Balancer's traffic."""
    cloud.release(1)
    configure(cloud, BLUE_GREEN)
    monkeypatch.setattr(ecs_stages, "SHIFT", 620)
    cloud.begin_release(2)
    cloud.finish_rollout()
    pass_minutes(cloud, 30)
    assert traffic(cloud, 2)[2:4] == ("BAKE_TIME", 100)
    if goes_back:
        assert cloud.roll_back().status == 202
    else:
        cloud.begin_release(3)
        assert cloud.api.post("/v1/cicd/jobs/deploy-2/cancel").status == 202
    cloud.settle()
    pass_minutes(cloud, 25)
    assert record_of_ecs().status == ("ROLLBACK_SUCCESSFUL" if goes_back else "IN_PROGRESS")
    assert cloud.statuses(3) == ["success" if goes_back else "deploying"]


def test_a_record_that_ecs_still_names_after_it_was_replaced_fails_nothing(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of ECS are eventually consistent. The owner has forced a new rollout."""
    release_second(cloud, CANARY, minutes=2)
    replaced = record_of_ecs().service_deployment_arn
    client("ecs").update_service(cluster=CLUSTER, service="hello", forceNewDeployment=True)
    with monkeypatch.context() as early:
        early.setattr(ecs_rollouts.Service, "current_service_deployment", replaced)
        pass_minutes(cloud, 2)
        assert cloud.statuses(2) == ["deploying"]
    cloud.finish_rollout()
    pass_minutes(cloud, 95)
    assert cloud.statuses(2) == ["success"]


@pytest.mark.usefixtures("answers")
def test_a_rollout_keeps_its_strategy_although_the_owner_changes_that_of_the_ecs_service(
    cloud: Cloud,
) -> None:
    """A tool that manages the ECS service sets its strategy back, and begins no rollout."""
    cloud.release(1)
    configure(cloud, CANARY)
    cloud.begin_release(2)
    cloud.finish_rollout()
    pass_minutes(cloud, 5)
    own = {**CONFIGURATION, "strategy": "ROLLING"}
    client("ecs").update_service(cluster=CLUSTER, service="hello", deploymentConfiguration=own)
    pass_minutes(cloud, 65)
    assert traffic(cloud, 2) == ("deploying", "CANARY", "BAKE_TIME", 100, None)
    pass_minutes(cloud, 30)
    assert cloud.statuses(2) == ["success"]
