"""A person approves the production traffic of a deployment, or does not. The embedded ECS shifts
the traffic and waits at its hooks.
"""

from typing import Any

import pytest

from chalicelib.aws import ecs as control
from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from infra.local.aws import ecs, ecs_records, ecs_shift
from tests.support.client import Answer, Api
from tests.support.embedded import CLUSTER, MINUTE, Cloud, client, put_image
from tests.support.sdk import Calls, Killed, Trouble, change_answers
from tests.support.shifts import shift_traffic

BLUE_GREEN = {"type": "BLUE_GREEN", "bake_minutes": 5}
LINEAR = {"type": "LINEAR", "percent": 40.0, "step_minutes": 1, "bake_minutes": 0}
STAGE = "PRE_PRODUCTION_TRAFFIC_SHIFT"
PAUSE: dict[str, Any] = {"targetType": "PAUSE", "lifecycleStages": [STAGE]}


@pytest.fixture
def guarded(cloud: Cloud) -> Cloud:
    """A service with one release, whose deployments need approval."""
    shift_traffic(cloud, strategy=BLUE_GREEN, approval=True, approval_minutes=60)
    return cloud


@pytest.fixture
def other(cloud: Cloud) -> Api:
    """A deployer that has asked for nothing."""
    return cloud.api.as_holder_of(create_token("other", Role.DEPLOYER).secret)


@pytest.fixture(params=["stages of the guide", "stages of the API reference"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs twice: the sources differ in which stages ECS shows."""
    monkeypatch.setattr(ecs_records, "DOCUMENTED_ONLY", "reference" in request.param)


def pass_time(cloud: Cloud, seconds: int) -> None:
    """Time passes, ECS goes on, and its events arrive."""
    cloud.advance(seconds)
    ecs.engine().advance()
    cloud.settle()


def begin(cloud: Cloud, number: int = 2) -> int:
    """Push and build commit `number`, and bring its rollout to the hook; return the deployment."""
    build = cloud.begin_release(number)
    reach_hook(cloud)
    return int(cloud.build(build)["deployment_id"])


def reach_hook(cloud: Cloud) -> None:
    cloud.finish_rollout()
    pass_time(cloud, 10)


def approve(api: Api, number: int, **body: Any) -> Answer:
    return api.post(f"/v1/cicd/deployments/{number}/approve", body)


def reject(api: Api, number: int, **body: Any) -> Answer:
    return api.post(f"/v1/cicd/deployments/{number}/reject", body)


def traffic(cloud: Cloud) -> dict[str, float]:
    """The percentage of production traffic of each task definition."""
    weights = ecs.engine().weights(CLUSTER, "hello")
    rows = client("ecs").describe_services(cluster=CLUSTER, services=["hello"])["services"]
    return {each["taskDefinition"]: weights[each["id"]] for each in rows[0]["deployments"]}


def traffic_of(cloud: Cloud, number: int) -> float:
    return traffic(cloud).get(cloud.deployment(number)["task_definition"], 0.0)


def configuration() -> Any:
    rows = client("ecs").describe_services(cluster=CLUSTER, services=["hello"])["services"]
    return rows[0]["deploymentConfiguration"]


def audit(cloud: Cloud, action: str) -> list[Any]:
    entries = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}").body["items"]
    return [each for each in entries if each["action"] == action]


@pytest.mark.usefixtures("both_ways")
def test_production_traffic_waits_for_an_approval(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    waits = guarded.deployment(number)
    assert (waits["status"], waits["awaiting"]) == ("deploying", "approval")
    assert waits["approval"]["number"] == 1
    assert traffic_of(guarded, number) == 0.0
    answer = approve(other, number, reason="the tests are green")
    assert (answer.status, answer.body["awaiting"]) == (202, None)
    assert answer.headers["location"] == f"/v1/cicd/deployments/{number}"
    guarded.settle()
    pass_time(guarded, 10)
    assert traffic_of(guarded, number) == 100.0
    pass_time(guarded, 6 * MINUTE)
    assert guarded.statuses(number) == ["success"]
    (approval,) = guarded.deployment(number)["approvals"]
    assert (approval["action"], approval["by"], approval["reason"]) == (
        "approve",
        "token:other",
        "the tests are green",
    )
    (entry,) = audit(guarded, "deployment.approved")
    assert (entry["actor"], entry["details"]["reason"]) == ("token:other", "the tests are green")


def test_a_deployment_that_awaits_approval_has_no_other_deadline(
    guarded: Cloud, other: Api
) -> None:
    guarded.change_service(deploy_minutes=5)
    number = begin(guarded)
    for _ in range(50):
        guarded.tick()
    assert guarded.deployment(number)["awaiting"] == "approval"
    assert guarded.deployment(number)["step"].startswith("awaits approval until 2026-11-22T")
    approve(other, number)
    guarded.settle()
    pass_time(guarded, 10)
    pass_time(guarded, 6 * MINUTE)
    assert guarded.statuses(number) == ["success"]


@pytest.mark.usefixtures("both_ways")
def test_a_rejected_deployment_ends_at_once_and_the_release_before_stays(
    guarded: Cloud, other: Api
) -> None:
    number = begin(guarded)
    answer = reject(other, number, reason="orders are missing")
    assert (answer.status, answer.body["status"]) == (202, "cancelled")
    assert answer.body["error"] == "rejected by token:other: orders are missing"
    again = reject(other, number, reason="orders are missing")
    assert (again.status, again.body) == (202, answer.body)
    guarded.settle()
    pass_time(guarded, MINUTE)
    assert traffic_of(guarded, number) == 0.0
    assert traffic_of(guarded, 1) == 100.0
    (entry,) = audit(guarded, "deployment.rejected")
    assert (entry["actor"], entry["details"]["reason"]) == ("token:other", "orders are missing")
    late = approve(guarded.api, number).body
    assert late["code"] == "job_ended"
    assert late["detail"].endswith("(cancelled): rejected by token:other: orders are missing")
    for _ in range(3):
        guarded.tick()
    assert (guarded.service()["current_deployment_id"], guarded.service()["drift"]) == (1, None)


@pytest.mark.parametrize("ends", ["rejected", "cancelled", "not answered"])
def test_a_deployment_without_success_keeps_where_its_rollout_ended(
    guarded: Cloud, other: Api, ends: str
) -> None:
    guarded.change_service(strategy=LINEAR)
    number = begin(guarded)
    approve(other, number)
    guarded.settle()
    pass_time(guarded, 2 * MINUTE)
    before = guarded.deployment(number)
    if ends == "rejected":
        reject(other, number, reason="orders are missing")
    elif ends == "cancelled":
        guarded.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    else:
        pass_time(guarded, 61 * MINUTE)
    for _ in range(3):
        pass_time(guarded, 2 * MINUTE)
    assert traffic_of(guarded, number) == 0.0
    ended = guarded.deployment(number)
    assert ended["finished_at"] is not None
    shown = [ended[name] for name in ("strategy", "stage", "traffic", "awaiting", "approval")]
    assert shown == ["LINEAR", before["stage"], 40.0, None, None]
    (overview,) = guarded.api.get("/v1/services").body["items"]
    assert overview["last_deployment"]["traffic"] == 40.0


def test_a_rejection_of_what_awaits_none_says_how_to_end_it(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    approve(other, number)
    guarded.settle()
    pass_time(guarded, 10)
    refused = reject(other, number)
    assert (refused.status, refused.body["code"]) == (409, "not_awaiting_approval")
    assert f"POST /v1/cicd/jobs/deploy-{number}/cancel ends it" in refused.body["detail"]


def test_a_release_that_a_rollback_left_shows_no_stage(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    finish(guarded, other, number)
    assert guarded.roll_back(reason="errors").status == 202
    guarded.settle()
    reach_hook(guarded)
    pass_time(guarded, 6 * MINUTE)
    left = guarded.deployment(number)
    assert [left[name] for name in ("status", "stage", "traffic")] == ["rolled_back", None, None]


@pytest.mark.usefixtures("both_ways")
def test_a_deployment_that_nobody_approves_in_time_fails(guarded: Cloud) -> None:
    number = begin(guarded)
    pass_time(guarded, 61 * MINUTE)
    pass_time(guarded, MINUTE)
    failed = guarded.deployment(number)
    assert failed["status"] == "failed"
    assert failed["error"] == "nobody approved it within 60 minutes (approval_minutes)"
    assert failed["failure"]["phase"] == "approval"
    assert traffic_of(guarded, 1) == 100.0
    assert audit(guarded, "deployment.approved") == []


def test_the_time_out_of_a_hook_that_ecs_shows_no_more_is_no_approval(
    guarded: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guide says of `lifecycleHookDetails` that it has active hooks."""
    number = begin(guarded)
    guarded.advance(60 * MINUTE)
    with monkeypatch.context() as between:
        between.setattr(ecs_records.Record, "lifecycle_hook_details", [])
        between.setattr(ecs_shift.Shift, "_time_out", lambda *_: None)
        guarded.tick()
    pass_time(guarded, MINUTE)
    assert audit(guarded, "deployment.approved") == []
    failed = guarded.deployment(number)
    assert failed["error"] == "nobody approved it within 60 minutes (approval_minutes)"


def test_the_time_for_an_approval_ends(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    guarded.advance(60 * MINUTE)
    answer = approve(other, number)
    assert (answer.status, answer.body["code"]) == (409, "not_awaiting_approval")
    assert "the time for it ended at 2026-11-22T" in answer.body["detail"]


def test_an_approval_that_reaches_ecs_too_late_changes_nothing(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    guarded.advance(58 * MINUTE)
    assert approve(other, number).status == 202
    guarded.lose_messages()
    pass_time(guarded, 3 * MINUTE)
    pass_time(guarded, MINUTE)
    assert guarded.statuses(number) == ["failed"]
    assert "the approval of token:other came too late" in guarded.deployment(number)["error"]
    assert traffic_of(guarded, 1) == 100.0


def test_an_approval_that_ecs_refuses_until_its_time_is_over_says_why(
    guarded: Cloud, other: Api, trouble: Trouble
) -> None:
    number = begin(guarded)
    trouble.refuse("ecs.ContinueServiceDeployment", "AccessDeniedException", "denied", times=100)
    approve(other, number)
    guarded.settle()
    pass_time(guarded, 61 * MINUTE)
    pass_time(guarded, MINUTE)
    error = guarded.deployment(number)["error"]
    assert error == (
        "ECS did not take the approval of token:other in time: "
        "ECS ContinueServiceDeployment: denied"
    )


def test_the_token_that_asked_for_a_deployment_does_not_approve_it(
    guarded: Cloud, other: Api
) -> None:
    number = int(guarded.deploy(f"hello@{put_image('hello', 'x')}").body["deployment_id"])
    guarded.settle()
    reach_hook(guarded)
    answer = approve(guarded.api, number)
    assert (answer.status, answer.body["code"]) == (403, "own_deployment")
    assert "An admin can allow it with the setting approve_own" in answer.body["detail"]
    guarded.change_service(approve_own=True)
    assert approve(guarded.api, number).status == 202


def test_whoever_may_deploy_approves_the_deployment_of_a_push(guarded: Cloud) -> None:
    number = begin(guarded)
    assert guarded.deployment(number)["requested_by"].startswith("github:")
    assert approve(guarded.api, number).status == 202


@pytest.mark.usefixtures("both_ways")
def test_each_step_of_a_linear_rollout_needs_an_approval(guarded: Cloud, other: Api) -> None:
    guarded.change_service(strategy=LINEAR)
    number = begin(guarded)
    seen = []
    for step in (1, 2, 3):
        shown = guarded.deployment(number)
        assert (shown["awaiting"], shown["approval"]["number"]) == ("approval", step)
        hook = shown["approval"]["hook_id"]
        assert approve(other, number, hook_id=hook).status == 202
        guarded.settle()
        pass_time(guarded, 2 * MINUTE)
        seen.append(traffic_of(guarded, number))
    assert seen == [40.0, 80.0, 100.0]
    pass_time(guarded, MINUTE)
    assert guarded.statuses(number) == ["success"]
    assert [each["number"] for each in guarded.deployment(number)["approvals"]] == [1, 2, 3]


@pytest.mark.usefixtures("both_ways")
def test_all_steps_can_be_approved_at_once(guarded: Cloud, other: Api) -> None:
    guarded.change_service(strategy=LINEAR)
    number = begin(guarded)
    assert approve(other, number, steps="all").status == 202
    for _ in range(4):
        guarded.settle()
        pass_time(guarded, 2 * MINUTE)
    assert guarded.statuses(number) == ["success"]
    (approval,) = guarded.deployment(number)["approvals"]
    assert approval["steps"] == "all"


def test_the_wait_for_an_approval_is_no_part_of_the_expected_time(
    guarded: Cloud, other: Api
) -> None:
    for number in (2, 3):
        begin(guarded, number)
        assert guarded.deployment(number)["remaining_seconds"] is None
        pass_time(guarded, 50 * MINUTE)
        finish(guarded, other, number)
    guarded.begin_release(4)
    assert guarded.deployment(4)["remaining_seconds"] < 10 * MINUTE


def test_an_approved_deployment_says_that_it_is_approved_until_ecs_goes_on(
    guarded: Cloud, other: Api
) -> None:
    number = begin(guarded)
    answer = approve(other, number, reason="the tests are green")
    assert answer.body["step"] == "is approved, and ECS is told to go on"
    guarded.settle()
    pass_time(guarded, 10)
    assert guarded.deployment(number)["step"].startswith("the production traffic moves")


def test_the_log_of_a_deployment_says_who_has_answered(guarded: Cloud, other: Api) -> None:
    guarded.change_service(strategy=LINEAR)
    number = begin(guarded)
    approve(other, number)
    guarded.settle()
    pass_time(guarded, 2 * MINUTE)
    approve(guarded.api, number, steps="all", reason="the tests are green")
    log = guarded.api.get(f"/v1/cicd/deployments/{number}/logs?format=text").text
    assert "[slipway] approval 1 is given by token:other\n" in log
    assert "[slipway] approval 2 and all later ones are given by token:" in log
    assert ": the tests are green\n" in log


def test_a_plan_says_which_approvals_a_deployment_needs(guarded: Cloud, other: Api) -> None:
    image = guarded.build(1)["image_tag"]
    assert guarded.plan(image)["approval"] == {"minutes": 60, "traffic": [100.0]}
    guarded.change_service(strategy=LINEAR, approval_minutes=5)
    assert guarded.plan(image)["approval"] == {"minutes": 5, "traffic": [40.0, 80.0, 100.0]}
    guarded.change_service(strategy={"type": "CANARY", "percent": 2.5})
    assert guarded.plan(image)["approval"] == {"minutes": 5, "traffic": [2.5, 100.0]}
    number = begin(guarded)
    assert guarded.preview()["plan"]["approval"] is None
    assert reject(other, number).status == 202
    guarded.change_service(approval=False)
    assert guarded.plan(image)["approval"] is None
    guarded.change_service(approval=True, strategy={"type": "ROLLING"})
    refused = guarded.plan(image)
    assert (refused["possible"], refused["approval"]) == (False, None)


def test_slipways_own_hook_is_no_reason_not_to_warn_of_a_rollout_that_nothing_watches(
    guarded: Cloud, other: Api
) -> None:
    image = guarded.build(1)["image_tag"]
    before = [each["code"] for each in guarded.plan(image)["findings"]]
    assert before == ["rollout_not_watched"]
    finish(guarded, other, begin(guarded))
    assert len(configuration()["lifecycleHooks"]) == 1
    assert [each["code"] for each in guarded.plan(image)["findings"]] == before


def test_an_approval_of_the_step_before_is_not_one_of_this_step(guarded: Cloud, other: Api) -> None:
    guarded.change_service(strategy=LINEAR)
    number = begin(guarded)
    first = guarded.deployment(number)["approval"]["hook_id"]
    assert approve(other, number, hook_id=first).status == 202
    guarded.settle()
    pass_time(guarded, 2 * MINUTE)
    again = approve(other, number, hook_id=first)
    assert (again.status, again.body["awaiting"]) == (202, "approval")
    pass_time(guarded, 2 * MINUTE)
    assert traffic_of(guarded, number) == 40.0
    for answer in (
        approve(other, number, hook_id="ecs-pause-x"),
        approve(other, number, hook_id=first, steps="all"),
        reject(other, number, hook_id=first),
    ):
        assert (answer.status, answer.body["code"]) == (409, "other_hook")
        assert answer.body["field"] == "hook_id"
    assert len(audit(guarded, "deployment.approved")) == 1


def test_a_second_approval_of_a_hook_has_no_effect(
    guarded: Cloud, other: Api, calls: Calls
) -> None:
    number = begin(guarded)
    first, second = approve(other, number), approve(guarded.api, number)
    assert (first.status, second.status) == (202, 202)
    assert second.body["approvals"] == first.body["approvals"]
    guarded.settle()
    pass_time(guarded, 10)
    assert len(audit(guarded, "deployment.approved")) == 1
    assert calls.counted["ecs.ContinueServiceDeployment"] == 1
    late = approve(other, number)
    assert (late.status, late.body["code"]) == (409, "not_awaiting_approval")


def test_a_deployment_that_does_not_wait_for_an_approval_gets_none(
    guarded: Cloud, other: Api
) -> None:
    build = guarded.begin_release(2)
    number = int(guarded.build(build)["deployment_id"])
    behind = int(guarded.deploy(f"hello@{put_image('hello', 'x')}").body["deployment_id"])
    for each in (number, behind):
        for answer in (approve(other, each), reject(other, each)):
            assert (answer.status, answer.body["code"]) == (409, "not_awaiting_approval")
    reach_hook(guarded)
    assert guarded.deployment(behind)["waiting_for"] == (
        f"the end of deployment {number}, which awaits approval"
    )


@pytest.mark.parametrize("fault", ["lost", "killed before", "killed after"])
def test_an_approval_reaches_ecs_once_although_its_call_fails(
    guarded: Cloud, other: Api, trouble: Trouble, fault: str
) -> None:
    number = begin(guarded)
    approve(other, number)
    if fault == "lost":
        trouble.lose_answers("ecs.ContinueServiceDeployment")
        guarded.settle()
    else:
        plan = trouble.kill_before if fault == "killed before" else trouble.kill_after
        plan("ecs.ContinueServiceDeployment")
        with pytest.raises(Killed):
            guarded.settle()
    guarded.tick()
    guarded.settle()
    pass_time(guarded, 10)
    pass_time(guarded, 6 * MINUTE)
    guarded.tick()
    assert guarded.statuses(number) == ["success"]
    assert guarded.deployment(number)["approvals"][0]["by"] == "token:other"


def test_an_approval_that_another_worker_has_given_is_no_trouble(
    guarded: Cloud, other: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = begin(guarded)
    approve(other, number)
    original, seen = control.continue_rollout, []

    def after_another(arn: str, hook_id: str) -> None:
        seen.append(hook_id)
        original(arn, hook_id)
        original(arn, hook_id)

    monkeypatch.setattr(control, "continue_rollout", after_another)
    guarded.wake(f"service-{guarded.service_id}")
    assert len(seen) == 1
    assert guarded.deployment(number)["error"] is None
    pass_time(guarded, 10)
    pass_time(guarded, 6 * MINUTE)
    assert guarded.statuses(number) == ["success"]


@pytest.mark.parametrize("call", ["ecs.ContinueServiceDeployment", "ecs.DescribeServices"])
def test_aws_is_busy_after_a_long_wait_for_an_approval(
    guarded: Cloud, other: Api, trouble: Trouble, call: str
) -> None:
    guarded.change_service(approval_minutes=20160)
    number = begin(guarded)
    guarded.advance(7 * 24 * 60 * MINUTE)
    approve(other, number)
    trouble.refuse(call, "ThrottlingException", "rate exceeded")
    guarded.settle()
    shown = guarded.deployment(number)
    assert (shown["status"], "rate exceeded" in shown["error"]) == ("deploying", True)
    guarded.tick()
    guarded.settle()
    pass_time(guarded, 10)
    pass_time(guarded, 6 * MINUTE)
    assert guarded.statuses(number) == ["success"]
    assert guarded.deployment(number)["error"] is None


def test_an_approval_is_given_without_messages_and_events(guarded: Cloud, other: Api) -> None:
    build = guarded.begin_release(2)
    number = int(guarded.build(build)["deployment_id"])
    guarded.finish_rollout(settle=False)
    guarded.lose_events()
    guarded.tick()
    guarded.lose_events()
    assert guarded.deployment(number)["awaiting"] == "approval"
    approve(other, number)
    guarded.lose_messages()
    for _ in range(8):
        guarded.tick()
        guarded.lose_events()
    assert guarded.statuses(number) == ["success"]


@pytest.mark.usefixtures("both_ways")
def test_why_ecs_does_not_take_an_approval_is_shown(
    guarded: Cloud, other: Api, trouble: Trouble
) -> None:
    number = begin(guarded)
    trouble.refuse("ecs.ContinueServiceDeployment", "AccessDeniedException", "not allowed", times=1)
    approve(other, number)
    guarded.settle()
    shown = guarded.deployment(number)
    assert (shown["status"], shown["awaiting"]) == ("deploying", None)
    assert "ECS ContinueServiceDeployment: not allowed" in shown["error"]
    guarded.tick()
    assert guarded.deployment(number)["error"] is None


def answer_on_ecs(cloud: Cloud, action: str = "CONTINUE") -> None:
    """The owner answers the hook that waits, without Slipway."""
    api = client("ecs")
    listed = api.list_service_deployments(cluster=CLUSTER, service="hello")["serviceDeployments"]
    arn = max(listed, key=lambda each: each["createdAt"])["serviceDeploymentArn"]
    found = api.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]
    (hook,) = [h for h in found["lifecycleHookDetails"] if h["status"] == "AWAITING_ACTION"]
    api.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"], action=action)


@pytest.mark.usefixtures("both_ways")
def test_an_approval_outside_slipway_is_recorded(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    answer_on_ecs(guarded)
    pass_time(guarded, 10)
    (approval,) = guarded.deployment(number)["approvals"]
    assert approval["by"] == "outside"
    (entry,) = audit(guarded, "deployment.approved")
    assert entry["actor"] == "outside"
    pass_time(guarded, 6 * MINUTE)
    assert guarded.statuses(number) == ["success"]


def test_an_approval_outside_slipway_is_recorded_although_nobody_saw_the_hook(
    guarded: Cloud,
) -> None:
    build = guarded.begin_release(2)
    number = int(guarded.build(build)["deployment_id"])
    guarded.finish_rollout(settle=False)
    guarded.advance(10)
    answer_on_ecs(guarded)
    guarded.advance(6 * MINUTE)
    guarded.settle()
    guarded.tick()
    assert guarded.statuses(number) == ["success"]
    (entry,) = audit(guarded, "deployment.approved")
    assert entry["actor"] == "outside"


def test_a_new_rollout_of_the_same_revision_is_no_approval(guarded: Cloud) -> None:
    """The owner takes the rollout back and begins it again before Slipway looks."""
    number = begin(guarded)
    api, record = client("ecs"), ecs.engine().service(CLUSTER, "hello").records[0]
    first = guarded.deployment(number)["approval"]["hook_id"]
    api.stop_service_deployment(serviceDeploymentArn=record.service_deployment_arn)
    guarded.advance(10)
    definition = guarded.deployment(number)["task_definition"]
    api.update_service(cluster=CLUSTER, service="hello", taskDefinition=definition)
    guarded.lose_events()
    guarded.tick()
    guarded.settle()
    assert audit(guarded, "deployment.approved") == []
    assert (guarded.deployment(number)["approvals"], guarded.deployment(number)["awaiting"]) == (
        [],
        None,
    )
    reach_hook(guarded)
    waits = guarded.deployment(number)
    assert (waits["status"], waits["awaiting"]) == ("deploying", "approval")
    assert waits["approval"]["hook_id"] != first


def test_a_rejection_outside_slipway_fails_the_deployment(guarded: Cloud) -> None:
    number = begin(guarded)
    answer_on_ecs(guarded, "ROLLBACK")
    pass_time(guarded, MINUTE)
    assert guarded.statuses(number) == ["failed"]
    assert audit(guarded, "deployment.approved") == []
    assert traffic_of(guarded, 1) == 100.0


def set_hooks(*hooks: Any, **more: Any) -> None:
    """The owner changes the hooks of the ECS service."""
    wanted = {**configuration(), "lifecycleHooks": list(hooks), **more}
    if wanted["strategy"] != "ROLLING":
        wanted.pop("deploymentCircuitBreaker", None)
    if wanted["strategy"] != "LINEAR":
        wanted.pop("linearConfiguration", None)
    client("ecs").update_service(cluster=CLUSTER, service="hello", deploymentConfiguration=wanted)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "strategy", [{"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5}, {"strategy": "CANARY"}]
)
def test_the_hooks_of_the_owner_at_other_stages_stay_and_are_not_answered(
    guarded: Cloud, other: Api, strategy: Any
) -> None:
    theirs = {
        "targetType": "PAUSE",
        "lifecycleStages": ["POST_SCALE_UP", "POST_PRODUCTION_TRAFFIC_SHIFT"],
    }
    set_hooks(theirs, **strategy)
    guarded.change_service(strategy=None)
    number = begin(guarded)
    assert guarded.deployment(number)["awaiting"] == "hook"
    assert approve(other, number).body["code"] == "not_awaiting_approval"
    answer_on_ecs(guarded)
    pass_time(guarded, 10)
    for _ in range(2 if strategy["strategy"] == "CANARY" else 1):
        assert guarded.deployment(number)["awaiting"] == "approval"
        assert approve(other, number).status == 202
        guarded.settle()
        pass_time(guarded, 11 * MINUTE)
    assert (guarded.deployment(number)["awaiting"], traffic_of(guarded, number)) == ("hook", 100.0)
    assert guarded.deployment(number)["error"] is None
    answer_on_ecs(guarded)
    pass_time(guarded, 10)
    assert {each["actor"] for each in audit(guarded, "deployment.approved")} == {"token:other"}
    assert theirs in configuration()["lifecycleHooks"]


@pytest.mark.parametrize(
    ("shown", "theirs"),
    [
        (None, None),
        ("PRODUCTION_TRAFFIC_SHIFT", None),
        ("PRODUCTION_TRAFFIC_SHIFT", "PRE_SCALE_UP"),
        ("BAKE_TIME", "PRE_SCALE_UP"),
    ],
)
def test_each_approval_is_asked_for_whatever_ecs_calls_the_stage(
    guarded: Cloud,
    other: Api,
    monkeypatch: pytest.MonkeyPatch,
    shown: str | None,
    theirs: str | None,
) -> None:
    def rename(answer: dict[str, Any]) -> None:
        for each in answer["serviceDeployments"]:
            if each.get("lifecycleStage") == STAGE:
                each["lifecycleStage"] = shown
            if each.get("lifecycleStage") is None:
                each.pop("lifecycleStage", None)

    change_answers(monkeypatch, "ecs.DescribeServiceDeployments", rename)
    hooks = [{"targetType": "PAUSE", "lifecycleStages": [theirs]}] if theirs else []
    set_hooks(*hooks, strategy="BLUE_GREEN", bakeTimeInMinutes=5)
    guarded.change_service(strategy=LINEAR)
    number = begin(guarded)
    if theirs is not None:
        assert guarded.deployment(number)["awaiting"] == "hook"
        answer_on_ecs(guarded)
        reach_hook(guarded)
    for step in (1, 2, 3):
        assert guarded.deployment(number)["awaiting"] == "approval"
        assert guarded.deployment(number)["approval"]["number"] == step
        assert approve(other, number).status == 202
        guarded.settle()
        pass_time(guarded, 2 * MINUTE)
    pass_time(guarded, MINUTE)
    assert guarded.statuses(number) == ["success"]


@pytest.mark.usefixtures("both_ways")
def test_a_hook_that_may_be_the_owners_is_not_answered(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    theirs = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}
    set_hooks(theirs, *configuration()["lifecycleHooks"])
    client("ecs").update_service(cluster=CLUSTER, service="hello", forceNewDeployment=True)
    pass_time(guarded, 10)
    reach_hook(guarded)
    waits = guarded.deployment(number)
    assert (waits["status"], waits["awaiting"]) == ("deploying", "hook")
    assert "ECS does not say whether it is the one for the approval" in waits["error"]
    assert approve(other, number).body["code"] == "not_awaiting_approval"
    answer_on_ecs(guarded)
    pass_time(guarded, 10)
    assert traffic_of(guarded, number) == 0.0
    guarded.advance(10)
    answer_on_ecs(guarded)
    pass_time(guarded, 10)
    pass_time(guarded, 6 * MINUTE)
    assert guarded.statuses(number) == ["success"]
    assert {each["actor"] for each in audit(guarded, "deployment.approved")} == {"outside"}


@pytest.mark.parametrize(
    "theirs",
    [
        PAUSE,
        # ECS may show this stage for both.
        {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP", "POST_TEST_TRAFFIC_SHIFT"]},
        # It looks like the one that Slipway would add.
        {**PAUSE, "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"}},
    ],
)
def test_a_hook_of_the_owner_that_cannot_be_told_apart_refuses_the_deployment(
    guarded: Cloud, theirs: Any
) -> None:
    set_hooks(theirs, strategy="BLUE_GREEN", bakeTimeInMinutes=5)
    image = f"hello@{put_image('hello', 'x')}"
    answer = guarded.deploy(image)
    assert (answer.status, answer.body["code"]) == (409, "preflight_failed")
    (finding,) = answer.body["findings"]
    assert finding["code"] == "approval_hook_conflict"
    assert theirs["lifecycleStages"][-1] in finding["message"]
    assert "move it to the stage PRE_SCALE_UP or POST_SCALE_UP" in finding["message"]
    guarded.change_service(approval=False)
    assert guarded.deploy(image).status == 202
    guarded.settle()
    assert configuration()["lifecycleHooks"] == [theirs]


def test_a_rolling_update_cannot_be_approved(guarded: Cloud) -> None:
    guarded.change_service(strategy=None)
    answer = guarded.deploy(f"hello@{put_image('hello', 'x')}")
    assert (answer.status, answer.body["code"]) == (409, "preflight_failed")
    (finding,) = answer.body["findings"]
    assert (finding["code"], finding["subject"]) == ("approval_needs_traffic_shift", "approval")
    number = int(guarded.build(guarded.begin_release(2))["deployment_id"])
    assert guarded.statuses(number) == ["failed"]


def test_what_refuses_an_approval_stands_before_warnings(guarded: Cloud) -> None:
    ecs.engine().manage(CLUSTER, "hello")
    answer = guarded.deploy(f"hello@{put_image('hello', 'x')}")
    assert [(each["severity"], each["code"]) for each in answer.body["findings"]] == [
        ("error", "approval_not_in_express_mode"),
        ("warning", "express_mode"),
    ]


def finish(cloud: Cloud, api: Api, number: int) -> None:
    """Approve a deployment that waits, and let it end."""
    approve(api, number)
    cloud.settle()
    pass_time(cloud, 10)
    pass_time(cloud, 6 * MINUTE)
    assert cloud.statuses(number) == ["success"]


@pytest.mark.usefixtures("both_ways")
def test_a_rollback_needs_no_approval(guarded: Cloud, other: Api) -> None:
    finish(guarded, other, begin(guarded))
    assert len(configuration()["lifecycleHooks"]) == 1
    number = int(guarded.roll_back(reason="errors").body["deployment_id"])
    guarded.settle()
    reach_hook(guarded)
    pass_time(guarded, 6 * MINUTE)
    assert guarded.statuses(number) == ["success"]
    assert configuration().get("lifecycleHooks", []) == []


def test_a_deployment_after_approval_was_switched_off_removes_only_slipways_hook(
    guarded: Cloud, other: Api
) -> None:
    theirs = {
        "targetType": "PAUSE",
        "lifecycleStages": ["PRE_SCALE_UP"],
        "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"},
    }
    finish(guarded, other, begin(guarded))
    set_hooks(theirs, *configuration()["lifecycleHooks"])
    guarded.change_service(approval=False)
    guarded.begin_release(3)
    assert configuration()["lifecycleHooks"] == [theirs]


def test_another_number_of_minutes_replaces_the_hook(guarded: Cloud, other: Api) -> None:
    finish(guarded, other, begin(guarded))
    guarded.change_service(approval_minutes=90)
    begin(guarded, 3)
    (hook,) = configuration()["lifecycleHooks"]
    assert hook["timeoutConfiguration"]["timeoutInMinutes"] == 90


def test_a_deployment_that_has_begun_keeps_its_need_of_an_approval(
    guarded: Cloud, other: Api
) -> None:
    number = int(guarded.build(guarded.begin_release(2))["deployment_id"])
    guarded.change_service(approval=False, approval_minutes=5)
    reach_hook(guarded)
    assert guarded.deployment(number)["awaiting"] == "approval"
    finish(guarded, other, number)


def test_a_deployment_needs_an_approval_if_that_was_switched_on_before_its_begin(
    guarded: Cloud, other: Api
) -> None:
    guarded.change_service(approval=False)
    number = int(guarded.deploy(f"hello@{put_image('hello', 'x')}").body["deployment_id"])
    guarded.change_service(approval=True)
    guarded.settle()
    reach_hook(guarded)
    assert guarded.deployment(number)["awaiting"] == "approval"
    assert traffic_of(guarded, number) == 0.0


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("change", ["no hook", "rolling"])
def test_a_deployment_whose_hook_another_party_removes_fails_and_is_taken_back(
    guarded: Cloud, other: Api, change: str
) -> None:
    number = begin(guarded)
    more = {"strategy": "ROLLING"} if change == "rolling" else {}
    set_hooks(**more)
    client("ecs").update_service(cluster=CLUSTER, service="hello", forceNewDeployment=True)
    pass_time(guarded, 1)
    failed = guarded.deployment(number)
    assert failed["status"] == "failed"
    assert "ECS does not wait for its approval: another party" in failed["error"]
    assert failed["failure"]["next_step"] == (
        "Look in CloudTrail who has called UpdateService, and deploy the image again."
    )
    for _ in range(3):
        guarded.tick()
        guarded.settle()
    reach_hook(guarded)
    pass_time(guarded, 10 * MINUTE)
    assert traffic_of(guarded, number) == 0.0
    assert traffic_of(guarded, 1) == 100.0


def test_an_approval_of_one_step_is_none_of_all_traffic(guarded: Cloud, other: Api) -> None:
    guarded.change_service(strategy=LINEAR)
    number = begin(guarded)
    approve(other, number)
    guarded.settle()
    pass_time(guarded, 10)
    assert traffic_of(guarded, number) == 40.0
    more = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5}
    wanted = {**configuration(), "lifecycleHooks": [], **more}
    del wanted["linearConfiguration"]
    client("ecs").update_service(
        cluster=CLUSTER, service="hello", deploymentConfiguration=wanted, forceNewDeployment=True
    )
    pass_time(guarded, 1)
    assert guarded.statuses(number) == ["failed"]
    assert "ECS does not wait for its approval" in guarded.deployment(number)["error"]


@pytest.mark.parametrize("more", [{}, {"strategy": "ROLLING"}])
def test_approved_steps_count_although_the_owner_changes_the_ecs_service_meanwhile(
    guarded: Cloud, other: Api, more: dict[str, str]
) -> None:
    """A tool sets its hooks and its strategy. The rollout under way keeps its own."""
    guarded.change_service(strategy=LINEAR)
    number = begin(guarded)
    set_hooks(**more)
    for _ in range(3):
        assert guarded.deployment(number)["awaiting"] == "approval"
        assert approve(other, number).status == 202
        guarded.settle()
        pass_time(guarded, 2 * MINUTE)
    pass_time(guarded, MINUTE)
    assert guarded.statuses(number) == ["success"]
    assert traffic_of(guarded, number) == 100.0


def test_another_rollout_of_the_same_revision_is_no_approval(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    first = guarded.deployment(number)["approval"]["hook_id"]
    client("ecs").update_service(cluster=CLUSTER, service="hello", forceNewDeployment=True)
    pass_time(guarded, 10)
    reach_hook(guarded)
    waits = guarded.deployment(number)
    assert (waits["awaiting"], waits["approvals"]) == ("approval", [])
    assert waits["approval"]["hook_id"] != first
    assert audit(guarded, "deployment.approved") == []
    finish(guarded, other, number)


def test_a_cancelled_deployment_that_awaits_approval_gets_no_traffic(guarded: Cloud) -> None:
    number = begin(guarded)
    guarded.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    guarded.settle()
    pass_time(guarded, MINUTE)
    assert guarded.deployment(number)["awaiting"] is None
    assert traffic_of(guarded, number) == 0.0
    assert traffic_of(guarded, 1) == 100.0


def test_the_event_of_a_hook_shows_it_at_once(guarded: Cloud) -> None:
    number = int(guarded.build(guarded.begin_release(2))["deployment_id"])
    guarded.finish_rollout(settle=False)
    guarded.advance(10)
    ecs.engine().advance()
    events = guarded.take_events()
    (waits,) = [each for each in events if each["detail-type"] == "ECS Hook State Change"]
    guarded.hear(waits)
    assert guarded.deployment(number)["awaiting"] == "approval"


def test_an_answer_with_a_key_is_given_once(guarded: Cloud, other: Api) -> None:
    number = begin(guarded)
    path, key = f"/v1/cicd/deployments/{number}/approve", {"Idempotency-Key": "k"}
    first = other.post(path, {"reason": "green"}, headers=key)
    guarded.settle()
    pass_time(guarded, 10)
    again = other.post(path, {"reason": "green"}, headers=key)
    assert (first.status, again.status) == (202, 202)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.body["approvals"] == first.body["approvals"]
    another = other.post(path, {"reason": "red"}, headers=key)
    assert (another.status, another.body["code"]) == (409, "idempotency_key_reused")
