"""`approve`, `reject` and `rollout`, and how commands that wait show an awaited approval."""

import json
from typing import Any

import pytest

from tests.cli import rows
from tests.cli.conftest import Ran, Slipway, by_method
from tests.support.scripted_api import Response, ScriptedApi, problem

DEPLOYMENT = "/v1/cicd/deployments/4"
APPROVE, REJECT = f"POST {DEPLOYMENT}/approve", f"POST {DEPLOYMENT}/reject"
HOW = "To approve it: slipway approve deploy-4. To reject it: slipway reject deploy-4\n"


@pytest.fixture
def shop(api: ScriptedApi) -> ScriptedApi:
    """A service whose deployment 4 awaits approval, and succeeds after it."""
    api.on("GET /v1/services", rows.page(rows.service(active=rows.awaiting())))
    api.on("GET /v1/services/1", _settings(current_deployment_id=4))
    api.on(f"GET {DEPLOYMENT}", rows.awaiting(), rows.deployment(4))
    accepted = rows.awaiting(awaiting=None, approval=None, approvals=[rows.approval()])
    api.on(APPROVE, Response(accepted, 202))
    api.on(REJECT, Response(rows.awaiting(status="cancelled", awaiting=None), 202))
    return api


def _settings(**changes: Any) -> dict[str, Any]:
    """A service with its settings of rollouts."""
    return {
        "id": 1,
        "name": "web",
        "strategy": None,
        "approval": False,
        "approval_minutes": 1440,
        "approve_own": False,
        **changes,
    }


def _sent(api: ScriptedApi) -> list[tuple[str, Any]]:
    return [(each.path, each.body) for each in by_method(api.received, "POST")]


# --- approve -----------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [["4"], ["deploy-4"], ["web"], ["shop/web"], []])
def test_an_approval_is_for_the_step_that_was_shown(
    shop: ScriptedApi, slipway: Slipway, named: list[str]
) -> None:
    done = slipway("approve", *named, "--yes", "--reason", "It looks good")
    assert done.exit_code == 0
    body = {"hook_id": "hook-1", "steps": "next", "reason": "It looks good"}
    assert _sent(shop) == [(f"{DEPLOYMENT}/approve", body)]
    shown = " ".join(done.err.split())
    for words in (
        "Approve deploy-4 of shop/web",
        "Release 3f2a1b4c Fix the login",
        "Image myapp:main-7",
        "Asked by token:ada",
        "Runs now 3f2a1b4c Fix the login (deploy-3)",
        "Strategy canary",
        "Step 1",
        "Traffic 10 % of production traffic goes to it now",
        "Tests 100 % of test traffic goes to it",
        "Deadline in 5 h",
    ):
        assert words in shown
    assert done.out == "shop/web runs deploy-4: 3f2a1b4c Fix the login\n"


def test_all_steps_are_approved_at_once(shop: ScriptedApi, slipway: Slipway) -> None:
    done = slipway("approve", "4", "--all", "--yes")
    assert "Approve all steps of deploy-4 of shop/web" in done.err
    assert _sent(shop) == [(f"{DEPLOYMENT}/approve", {"hook_id": "hook-1", "steps": "all"})]


def test_an_approval_waits_for_the_next_step_that_awaits_one(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    answered = [rows.approval()]
    shop.on(
        f"GET {DEPLOYMENT}",
        rows.awaiting(),
        rows.awaiting(awaiting=None, approval=None, approvals=answered, step="10 % of traffic"),
        rows.awaiting(hook="hook-2", traffic=20, approvals=answered),
    )
    done = slipway("approve", "4", "--yes")
    words = "The step is approved. deploy-4 awaits approval of the next one.\n"
    assert (done.exit_code, done.out) == (0, words)
    lines = done.err.splitlines(keepends=True)
    assert lines[-3:] == [
        "deploy-4: 10 % of traffic, 40 %\n",
        "deploy-4: awaits approval, deadline in 5 h, 20 % of the traffic\n",
        HOW,
    ]


@pytest.mark.parametrize("status", ["failed", "cancelled", "superseded", "rolled_back"])
def test_an_approved_deployment_that_does_not_run_is_exit_code_1(
    shop: ScriptedApi, slipway: Slipway, status: str
) -> None:
    ended = rows.deployment(4, status, error="the new tasks answer with 500")
    shop.on(f"GET {DEPLOYMENT}", rows.awaiting(), ended)
    shop.on("GET /v1/services/1", _settings(current_deployment_id=3))
    done = slipway("approve", "4", "--yes")
    assert (done.exit_code, done.out) == (1, "")
    assert "the new tasks answer with 500" in done.err
    assert done.err.endswith("shop/web runs deploy-3, as before.\n")


def test_an_approval_need_not_be_waited_for(shop: ScriptedApi, slipway: Slipway) -> None:
    done = slipway("approve", "4", "--yes", "--no-wait")
    assert (done.exit_code, done.out) == (0, "The approval of deploy-4 is accepted.\n")
    follow = "The approval of deploy-4 is accepted; follow it with: slipway status shop/web\n"
    assert done.err.endswith(follow)


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_without_a_terminal_an_answer_needs_yes(
    shop: ScriptedApi, slipway: Slipway, verb: str
) -> None:
    done = slipway(verb, "web")
    assert done.exit_code == 2
    assert f"add --yes: slipway {verb} deploy-4 --step 1 --yes" in done.err
    assert _sent(shop) == []


@pytest.mark.parametrize("verb", ["approve", "reject"])
@pytest.mark.parametrize(
    ("row", "words"),
    [
        (rows.deployment(4, service_id=1), "does not await approval: success"),
        (
            rows.deployment(4, "cancelled", service_id=1, error="rejected by token:grace: Slow"),
            "does not await approval: cancelled: rejected by token:grace: Slow",
        ),
        (rows.awaiting(awaiting="hook", approval=None), "awaits a hook of the ECS service"),
        (rows.awaiting(awaiting=None, approval=None, step="scales up"), "approval: scales up"),
        (
            rows.awaiting(awaiting=None, approval=None, step="scales up"),
            "To end it: slipway cancel deploy-4",
        ),
    ],
)
def test_what_does_not_await_approval_says_what_it_does(
    shop: ScriptedApi, slipway: Slipway, verb: str, row: dict[str, Any], words: str
) -> None:
    shop.on(f"GET {DEPLOYMENT}", row)
    done = slipway(verb, "4", "--yes")
    assert (done.exit_code, done.out) == (1, "")
    assert words in done.err
    assert _sent(shop) == []


def test_the_deployment_must_be_the_only_one_that_awaits_approval(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    other = rows.service("api", id=2, active=rows.awaiting(5))
    shop.on("GET /v1/services", rows.page(rows.service(active=rows.awaiting()), other))
    done = slipway("approve", "--yes")
    assert done.exit_code == 2
    assert "Name one: deploy-4 (shop/web), deploy-5 (shop/api)" in done.err
    shop.on("GET /v1/services", rows.page(rows.service()))
    assert slipway("approve", "--yes") == Ran(1, "", "No deployment awaits approval.\n")
    named = Ran(1, "", "No deployment of shop/web awaits approval.\n")
    assert slipway("reject", "web", "--yes") == named
    assert _sent(shop) == []


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (problem(409, "other_hook", "another step awaits approval now"), 1, "another step"),
        (problem(409, "not_awaiting_approval", "deployment 4 shifts traffic"), 1, "shifts traffic"),
        (problem(403, "own_deployment", "this token asked for it"), 3, "this token asked for it"),
        (problem(409, "job_ended", "deployment 4 has ended"), 1, "has ended"),
    ],
)
@pytest.mark.parametrize("request_", [APPROVE, REJECT])
def test_a_refused_answer_says_why(
    shop: ScriptedApi, slipway: Slipway, request_: str, answer: Response, code: int, words: str
) -> None:
    shop.on(request_, answer)
    done = slipway(request_.rpartition("/")[2], "4", "--yes", "--json")
    assert done.exit_code == code
    assert words in json.loads(done.out)["error"]["message"]


def test_a_lost_answer_says_that_the_approval_may_be_accepted(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    shop.on(APPROVE, problem(503, "unavailable", "AWS is busy", Retry_After="0"))
    done = slipway("approve", "4", "--yes")
    assert done.exit_code == 3
    look = "may have accepted the request; look with: slipway status shop/web"
    assert f"{look}; repeat it only with: slipway approve deploy-4 --step 1 --yes" in done.err
    assert len({each.headers["Idempotency-Key"] for each in by_method(shop.received, "POST")}) == 1


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_repeat_does_not_answer_the_next_step(
    shop: ScriptedApi, slipway: Slipway, verb: str
) -> None:
    second = rows.awaiting(hook="hook-2")
    second["approval"]["number"] = 2
    shop.on(f"GET {DEPLOYMENT}", second)
    done = slipway(verb, "4", "--step", "1", "--yes")
    words = "deploy-4 of shop/web awaits approval of step 2, not of step 1.\n"
    assert done == Ran(1, "", words)
    assert _sent(shop) == []


# --- reject ------------------------------------------------------------------------------------


def test_a_rejection_ends_the_deployment_that_was_shown(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    done = slipway("reject", "web", "--yes", "--reason", "Too slow")
    words = "deploy-4 is rejected. ECS returns to the release before.\n"
    assert (done.exit_code, done.out) == (0, words)
    assert "Reject deploy-4 of shop/web" in done.err
    assert _sent(shop) == [(f"{DEPLOYMENT}/reject", {"hook_id": "hook-1", "reason": "Too slow"})]


@pytest.mark.parametrize(
    ("command", "member"),
    [
        (["approve", "web", "--yes"], "image_digest"),
        (["approve", "web", "--yes", "--no-wait"], "approvals"),
        (["reject", "web", "--yes"], "approvals"),
        (["rollout", "web"], "approval_minutes"),
    ],
)
def test_json_is_the_answer_of_the_api(
    shop: ScriptedApi, slipway: Slipway, command: list[str], member: str
) -> None:
    done = slipway(*command, "--json")
    assert done.exit_code == 0
    assert member in json.loads(done.out)


# --- what waits and what lists -----------------------------------------------------------------


def test_a_deployment_that_awaits_approval_is_waited_for_and_says_how_to_answer(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    accepted = {"deployment_id": 4, "job_id": "deploy-4", "status": "queued"}
    shop.on("POST /v1/cicd/services/1/deploy", Response(accepted, 202))
    shop.on("GET /v1/cicd/builds/7", rows.build(7))
    shop.on(f"GET {DEPLOYMENT}", rows.awaiting(), rows.awaiting(progress=41), rows.deployment(4))
    done = slipway("deploy", "web", "build-7")
    assert done.exit_code == 0
    assert done.err == (
        f"deploy-4: awaits approval, deadline in 5 h, 10 % of the traffic\n{HOW}deploy-4: success\n"
    )


def test_a_rejected_deployment_is_exit_code_1_for_who_waits_for_it(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    accepted = {"deployment_id": 4, "job_id": "deploy-4", "status": "queued"}
    shop.on("POST /v1/cicd/services/1/deploy", Response(accepted, 202))
    shop.on("GET /v1/cicd/builds/7", rows.build(7))
    rejected = rows.deployment(
        4,
        "cancelled",
        error="rejected by token:grace: Too slow",
        stage="PRE_PRODUCTION_TRAFFIC_SHIFT",
        traffic=10.0,
    )
    shop.on(f"GET {DEPLOYMENT}", rows.awaiting(), rejected)
    shop.on("GET /v1/services/1", _settings(current_deployment_id=3))
    done = slipway("deploy", "web", "build-7")
    assert (done.exit_code, done.out) == (1, "")
    assert "deploy-4 cancelled: rejected by token:grace: Too slow" in done.err
    where = "ended in the stage PRE_PRODUCTION_TRAFFIC_SHIFT with 10 % of the traffic"
    assert f"It {where}." in done.err
    shop.on("GET /v1/cicd/services/1/builds", rows.page())
    shop.on("GET /v1/cicd/services/1/deployments", rows.page(rejected))
    assert where in " ".join(slipway("history", "web").out.split())


def test_lists_show_what_awaits_approval_before_other_work(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    busy = rows.service("a", id=2, active=rows.summary(5, "deploying", finished_at=None))
    awaiting = rows.service(active=rows.awaiting())
    shop.on("GET /v1/services", rows.page(busy, awaiting))
    done = slipway("status")
    words = "2 services, 0 with problems, 2 with work under way, 1 with a deployment that awaits"
    assert done.out.startswith(words)
    assert done.out.index("shop/web") < done.out.index("shop/a")
    assert "deploy-4 awaits approval, deadline in 5 h" in " ".join(done.out.split())
    shown = " ".join(slipway("status", "web").out.split())
    assert "Approve slipway approve deploy-4 Reject slipway reject deploy-4" in shown


def test_a_list_shows_the_traffic_of_a_release(shop: ScriptedApi, slipway: Slipway) -> None:
    summary = rows.awaiting(awaiting=None, approval=None, traffic=2.5, step=None)
    shop.on("GET /v1/services", rows.page(rows.service(active=summary)))
    assert "deploy-4 deploying, 2.5 % of the traffic" in slipway("services").out


def test_history_says_who_approved_and_why(shop: ScriptedApi, slipway: Slipway) -> None:
    answers = [
        rows.approval(by="outside"),
        rows.approval("hook-2", steps="all", reason="It [looks] good"),
        rows.approval("hook-3", action="reject"),
    ]
    shop.on("GET /v1/cicd/services/1/builds", rows.page())
    row = rows.deployment(4, approvals=answers)
    shop.on("GET /v1/cicd/services/1/deployments", rows.page(row))
    shown = " ".join(slipway("history", "web").out.split())
    words = "approved all steps by token:grace: It [looks] good; rejected by token:grace"
    assert f"approved outside Slipway; {words}" in shown


@pytest.mark.parametrize(
    ("planned", "words"),
    [
        ({"strategy": "CANARY", "waits_minutes": 13}, "canary, with waits of at least 13 min"),
        ({"strategy": "BLUE_GREEN", "waits_minutes": 0}, "Strategy blue/green Auto-deploy"),
        ({"strategy": "ROLLING", "waits_minutes": 0}, None),
        (
            {"strategy": "BLUE_GREEN", "approval": {"minutes": 1440, "traffic": [100.0]}},
            "Approval needed before 100 % of production traffic, within 24 h",
        ),
        (
            {"strategy": "CANARY", "approval": {"minutes": 30, "traffic": [2.5, 100.0]}},
            "Approval needed before 2.5 %, 100 % of production traffic, each within 30 min",
        ),
        (
            {"strategy": "LINEAR", "approval": {"minutes": 30, "traffic": [40.0, 80.0, 100.0]}},
            "Approval needed before 40 %, 80 %, 100 % of production traffic, each within 30 min",
        ),
        (
            {"strategy": "CANARY", "approval": None, "image_then": rows.plan()["image_then"]},
            "Approval not needed for a rollback",
        ),
    ],
)
def test_a_plan_shows_a_strategy_that_shifts_traffic(
    shop: ScriptedApi, slipway: Slipway, planned: dict[str, Any], words: str | None
) -> None:
    image = {"image": "myapp", "image_tag": "main-7", "deployment_id": None}
    shop.on("POST /v1/cicd/services/1/deploy", rows.plan(**{"image_then": image, **planned}))
    shop.on("GET /v1/cicd/builds/7", rows.build(7))
    shown = " ".join(slipway("deploy", "web", "build-7", "--plan").out.split())
    assert words in shown if words else "Strategy" not in shown


# --- the settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "Strategy as the ECS service has it Approval not needed"),
        (
            {"strategy": {"type": "CANARY", "percent": 2.5, "step_minutes": 5, "bake_minutes": 90}},
            "Strategy canary, 2.5 % first, 5 min after the first step, bake time 90 min",
        ),
        ({"strategy": {"type": "LINEAR", "percent": 10}}, "linear, 10 % in each step"),
        ({"strategy": {"type": "BLUE_GREEN", "bake_minutes": 120}}, "blue/green, bake time 2 h"),
        ({"strategy": {"type": "ROLLING"}}, "Strategy rolling"),
        (
            {"approval": True},
            "needed before production traffic, within 24 h, not by the token that asked",
        ),
        ({"approval": True, "approve_own": True, "approval_minutes": 30}, "30 min, also by the"),
    ],
)
def test_the_settings_of_rollouts_are_shown(
    shop: ScriptedApi, slipway: Slipway, settings: dict[str, Any], words: str
) -> None:
    shop.on("GET /v1/services/1", _settings(**settings))
    done = slipway("rollout", "web")
    assert done.exit_code == 0
    assert words in " ".join(done.out.split())
    assert by_method(shop.received, "PATCH") == []


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (["--strategy", "blue_green"], {"strategy": {"type": "BLUE_GREEN"}}),
        (
            ["--strategy", "CANARY", "--percent", "2.5", "--step-minutes", "0"],
            {"strategy": {"type": "CANARY", "percent": 2.5, "step_minutes": 0}},
        ),
        (
            ["--bake-minutes", "7"],
            {"strategy": {"type": "LINEAR", "percent": 10, "bake_minutes": 7}},
        ),
        (["--strategy", "ecs", "--no-approval"], {"strategy": None, "approval": False}),
        (
            ["--approval", "--approval-minutes", "60", "--approve-own"],
            {"approval": True, "approval_minutes": 60, "approve_own": True},
        ),
    ],
)
def test_options_change_the_settings_of_rollouts(
    shop: ScriptedApi, slipway: Slipway, options: list[str], changes: dict[str, Any]
) -> None:
    present = {"type": "LINEAR", "percent": 10, "step_minutes": None, "bake_minutes": None}
    shop.on("GET /v1/services/1", _settings(strategy=present))
    shop.on("PATCH /v1/services/1", _settings(**changes))
    done = slipway("rollout", "web", *options)
    assert (done.exit_code, done.err) == (
        0,
        "Deployments that begin from now on are rolled out like this.\n",
    )
    (asked,) = by_method(shop.received, "PATCH")
    assert asked.body == changes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--percent", "5"], "Name a strategy, such as --strategy canary"),
        (["--strategy", "ecs", "--percent", "5"], "--strategy ecs has no options"),
        (["--strategy", "green"], "'green' is not one of"),
    ],
)
def test_options_without_their_strategy_are_refused(
    shop: ScriptedApi, slipway: Slipway, options: list[str], words: str
) -> None:
    done = slipway("rollout", "web", *options)
    assert (done.exit_code, done.out) == (2, "")
    assert words in done.err
    assert by_method(shop.received, "PATCH") == []
