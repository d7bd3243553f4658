"""Each command's exit code, and what it prints for people and for programs."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli import rows
from tests.cli.conftest import TOKEN, Ran, Slipway, by_method
from tests.support.scripted_api import Response, ScriptedApi, problem

ROOT = Path(__file__).parents[2]
DEPLOY = "POST /v1/cicd/services/1/deploy"
ROLLBACK = "/v1/cicd/services/1/rollback"
ACCEPTED = Response({"deployment_id": 4, "job_id": "deploy-4", "status": "queued"}, 202)
ACCEPTED_BUILD = Response({"build_id": 7, "job_id": "build-7", "status": "queued"}, 202)
BUSY = problem(503, "unavailable", "AWS is busy", Retry_After="0")
LOG: dict[str, Any] = {
    "lines": [{"timestamp": "2026-01-02T03:04:05.000Z", "message": "a [red]\x1b[31mline"}],
    "next_cursor": "c",
    "complete": True,
    "expired": False,
}


@pytest.fixture
def shop(api: ScriptedApi) -> ScriptedApi:
    """A service with a release; deploying, building and going back succeed."""
    api.on("GET /v1/services", rows.page(rows.service()))
    api.on("GET /v1/services/1", {"branch": "main", "current_deployment_id": 4})
    api.on("GET /v1/cicd/services/1/builds", rows.page(rows.build(7)))
    api.on("GET /v1/cicd/services/1/deployments", rows.page(rows.deployment(3)))
    api.on("GET /v1/cicd/builds/7", rows.build(7))
    api.on("GET /v1/cicd/builds/7/logs", LOG)
    api.on("GET /v1/cicd/deployments/4", rows.deployment(4))
    api.on("GET /v1/cicd/deployments/4/logs", LOG)
    api.on(f"GET {ROLLBACK}", rows.preview())
    api.on(f"POST {ROLLBACK}", ACCEPTED)
    api.on(DEPLOY, ACCEPTED)
    api.on("POST /v1/cicd/services/1/build", ACCEPTED_BUILD)
    api.on("POST /v1/cicd/builds/6/retry", ACCEPTED_BUILD)
    config = {"environment": {"A": "1"}, "secrets": {"S": "arn"}, "released": True}
    sizes = {"cpu": 256, "memory": None, "desired_count": None, "deployment_id": None}
    api.on("GET /v1/services/1/config", {**config, **sizes})
    api.on("PATCH /v1/services/1/config", ACCEPTED)
    return api


def _deployment_ends(api: ScriptedApi, status: str, **changes: Any) -> None:
    api.on("GET /v1/cicd/deployments/4", rows.deployment(4, status, **changes))
    current = 4 if status == "success" else 3
    api.on("GET /v1/services/1", {"branch": "main", "current_deployment_id": current})


# --- exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [("success", 0), ("failed", 1), ("cancelled", 1), ("superseded", 1), ("rolled_back", 1)],
)
@pytest.mark.parametrize(
    "command", [["deploy", "web"], ["rollback", "web", "--yes"], ["config", "web", "set", "A=2"]]
)
def test_exit_code_0_only_if_the_release_runs(
    shop: ScriptedApi, slipway: Slipway, command: list[str], status: str, code: int
) -> None:
    _deployment_ends(shop, status)
    done = slipway(*command)
    assert done.exit_code == code
    assert ("shop/web runs deploy-4" in done.out) == (code == 0)
    assert ("shop/web runs deploy-3, as before." in done.err) == (code == 1)


@pytest.mark.parametrize(("current", "runs"), [(5, "deploy-5"), (None, "no release of Slipway")])
def test_a_release_that_was_displaced_meanwhile_is_no_success(
    shop: ScriptedApi, slipway: Slipway, current: int | None, runs: str
) -> None:
    shop.on("GET /v1/services/1", {"branch": "main", "current_deployment_id": current})
    done = slipway("deploy", "web")
    assert (done.exit_code, done.out) == (1, "")
    assert f"deploy-4 succeeded, but shop/web runs {runs} now." in done.err


def test_a_release_that_cannot_be_looked_at_is_no_success(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    shop.on("GET /v1/services/1", problem(401, "unauthorized", "the token has expired"))
    done = slipway("deploy", "web")
    assert (done.exit_code, done.out) == (3, "")
    assert done.err.endswith("deploy-4 has ended: success.\n")


@pytest.mark.parametrize("status", ["superseded", "rolled_back"])
def test_another_release_than_before_is_not_called_the_same(
    shop: ScriptedApi, slipway: Slipway, status: str
) -> None:
    _deployment_ends(shop, status)
    shop.on("GET /v1/services/1", {"branch": "main", "current_deployment_id": 5})
    assert slipway("deploy", "web").err.endswith("shop/web runs deploy-5 now.\n")


def test_a_failed_deployment_shows_its_cause_and_what_to_do(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    _deployment_ends(shop, "failed", failure=rows.failure())
    shown = slipway("deploy", "web", "build-7").err
    for part in ("exited with code 1", "KeyError: 'DATABASE_URL'", "Next step: Set the variable"):
        assert part in shown


@pytest.mark.parametrize("status", ["failed", "cancelled", "superseded"])
def test_a_build_without_an_image_is_exit_code_1(
    shop: ScriptedApi, slipway: Slipway, status: str
) -> None:
    shop.on("GET /v1/cicd/builds/7", rows.build(7, "building"), rows.build(7, status))
    done = slipway("build", "shop/web")
    assert (done.exit_code, done.out) == (1, "")
    assert done.err.startswith("build-7: building, 40 %\n")


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            problem(409, "rollback_in_progress", "deployment 3 is rolling back already"),
            1,
            "rolling",
        ),
        (problem(400, "invalid_image_tag", "no tag"), 2, "no tag"),
        (problem(403, "forbidden", "requires role deployer"), 3, "requires role deployer"),
        (problem(401, "unauthorized", "the token has expired"), 3, "slipway login"),
    ],
)
def test_a_refused_request_shows_why(
    shop: ScriptedApi, slipway: Slipway, answer: Response, code: int, message: str
) -> None:
    shop.on(DEPLOY, answer)
    done = slipway("deploy", "web", "myapp:x")
    assert (done.exit_code, done.out) == (code, "")
    assert message in done.err


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["nonsense"],
        ["deploy"],
        ["deploy", "other"],
        ["logs", "12"],
        ["logs", "build-99"],
        ["rollback", "web", "--to", "build-3"],
        ["config", "web", "set"],
        ["config", "web", "set", "A"],
        ["config", "web", "unset", "NEVER_SET"],
        ["config", "web", "remove", "A"],
        ["login", "http://10.0.0.1"],
        ["deploy", "web", "--nonsense"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    shop: ScriptedApi, slipway: Slipway, command: list[str]
) -> None:
    done = slipway(*command)
    assert done.exit_code == 2
    assert done.out == ""
    assert done.err != ""
    assert by_method(shop.received, "POST") == by_method(shop.received, "PATCH") == []


def test_an_unreachable_slipway_is_exit_code_3(
    slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_URL", "http://127.0.0.1:1")
    done = slipway("services")
    assert (done.exit_code, done.out) == (3, "")
    assert "127.0.0.1:1 does not answer" in done.err


def test_without_a_terminal_only_another_step_makes_a_line(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    shop.on(
        "GET /v1/cicd/builds/7",
        rows.build(7, "building", step="building 1/2", remaining_seconds=60),
        rows.build(7, "building", step="building 1/2", remaining_seconds=55, progress=41),
        rows.build(7, "building", step="building 2/2", remaining_seconds=50),
        rows.build(7),
    )
    assert slipway("build", "web").err.splitlines() == [
        "build-7: building 1/2, 40 %, about 1 min left",
        "build-7: building 2/2, 40 %, about 50 s left",
        "build-7: success",
    ]


def test_brackets_and_colons_in_a_commit_message_are_no_markup(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    current = rows.summary(3, commit_message="[red]Fix[/red] :boom: \x1b]0;x\x07it")
    shop.on("GET /v1/services", rows.page(rows.service(current=current)))
    for command in (["services"], ["status", "web"]):
        assert "3f2a1b4c [red]Fix[/red] :boom: it" in slipway(*command).out


def test_a_lost_connection_says_what_goes_on(shop: ScriptedApi, slipway: Slipway) -> None:
    expired = problem(401, "unauthorized", "the token has expired")
    shop.on("GET /v1/cicd/deployments/4", rows.deployment(4, "deploying"), expired)
    done = slipway("deploy", "web")
    assert done.exit_code == 3
    assert done.err.endswith("deploy-4 goes on; follow it with: slipway status shop/web\n")
    shop.on(DEPLOY, problem(503, "unavailable", "busy", Retry_After="0"))
    done = slipway("deploy", "web")
    assert done.exit_code == 3
    assert "may have accepted the request" in done.err.splitlines()[-1]
    shop.on(DEPLOY, expired)
    assert "accepted" not in slipway("deploy", "web").err


@pytest.mark.parametrize(
    "answers",
    [
        [BUSY, problem(401, "unauthorized", "the token has expired")],
        [BUSY, problem(403, "forbidden", "requires role deployer")],
        [BUSY, problem(409, "concurrent_update", "changed")],
        [Response(b"<html>", 202)],
        [Response({"job_id": "deploy-4"}, 202)],
    ],
)
def test_a_refusal_after_a_lost_answer_says_that_the_work_may_be_accepted(
    shop: ScriptedApi, slipway: Slipway, answers: list[Response]
) -> None:
    look = "Slipway may have accepted the request; look with: slipway status shop/web"
    again = "; repeat it only with: slipway rollback shop/web --to deploy-2 --yes"
    shop.on(DEPLOY, *answers)
    assert slipway("deploy", "web").err.splitlines()[-1] == look
    shop.on(f"POST {ROLLBACK}", *answers)
    done = slipway("rollback", "web", "--yes", "--json")
    assert done.err.splitlines()[-1] == look + again
    assert json.loads(done.out)["error"]["uncertain"] is True


def test_work_that_disappears_while_it_is_followed_is_named(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    gone = problem(404, "not_found", "deployment 4 does not exist")
    shop.on("GET /v1/cicd/deployments/4", rows.deployment(4, "deploying"), gone)
    done = slipway("deploy", "web")
    assert done.exit_code == 3
    assert "deploy-4 was accepted, but cannot be seen any more: deployment 4" in done.err
    assert done.err.endswith("follow it with: slipway status shop/web\n")


def test_status_shows_a_failure_although_ecs_does_not_answer(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    failed = rows.summary(4, "failed", error="exit code 1")
    shop.on("GET /v1/services", rows.page(rows.service(failed_deployment=failed)))
    shop.on("GET /v1/cicd/deployments/4", BUSY)
    shop.on(f"GET {ROLLBACK}", BUSY)
    done = slipway("status", "web")
    assert done.exit_code == 0
    assert "exit code 1" in done.out
    assert "Cannot be checked now; try: slipway rollback shop/web --plan" in done.out
    assert json.loads(slipway("status", "web", "--json").out)["rollback"] is None


@pytest.mark.parametrize("is_answered", [True, False])
def test_status_shows_that_the_release_before_cannot_be_restored(
    shop: ScriptedApi, slipway: Slipway, is_answered: bool
) -> None:
    trouble = "the image of deployment 2 is gone from myapp"
    shop.on("GET /v1/services", rows.page(rows.service(rollback_trouble=trouble)))
    back = rows.preview(possible=False, target=None, reason=trouble) if is_answered else BUSY
    shop.on(f"GET {ROLLBACK}", back)
    done = slipway("status", "web")
    assert done.exit_code == 0
    word = "Not possible" if is_answered else "Perhaps not possible"
    assert f"Go back  {word}: {trouble}" in " ".join(done.out.split("\n")).replace("   ", " ")
    done = slipway("status")
    assert done.out.startswith("1 service, 0 with problems, 0 with work under way\n")
    assert f"cannot go back: {trouble}" in " ".join(done.out.split())


def test_status_and_history_show_a_wait_for_checks(shop: ScriptedApi, slipway: Slipway) -> None:
    checks = rows.checks(running=["lint"])
    waiting = rows.summary(4, "queued", finished_at=None, waiting_for_checks=checks)
    shop.on("GET /v1/services", rows.page(rows.service(waiting=waiting)))
    row = rows.deployment(4, "queued", finished_at=None, waiting_for_checks=checks)
    shop.on("GET /v1/cicd/services/1/deployments", rows.page(row))
    words = "waits for the check lint, began 3 h ago, deadline in 5 h"
    for command in (("status", "web"), ("history", "web")):
        assert words in " ".join(slipway(*command).out.split()), command
    assert "deploy-4 waits for the check lint" in slipway("status").out


def test_history_names_the_pull_request_of_a_build(shop: ScriptedApi, slipway: Slipway) -> None:
    pull = {"number": 12, "title": "Show the [basket]", "withheld": ["secrets", "also_push_to"]}
    row = rows.build(7, trigger="pull_request", requested_by="github:ada", pull_request=pull)
    shop.on("GET /v1/cicd/services/1/builds", rows.page(row))
    shown = " ".join(slipway("history", "web").out.split())
    assert "pull request 12 by github:ada; Show the [basket]; built without secrets" in shown


@pytest.mark.parametrize("body", [{"ok": True}, [], "text", 3])
def test_json_of_another_program_is_exit_code_3(
    shop: ScriptedApi, slipway: Slipway, body: Any
) -> None:
    shop.on("GET /v1/services", body)
    shop.on("GET /v1/whoami", body)
    for command in (["services"], ["whoami"], ["deploy", "web"]):
        done = slipway(*command)
        assert (done.exit_code, done.out) == (3, "")
        assert "not one of Slipway" in done.err


@pytest.mark.parametrize("number", ["\x1b[31m4", "\ud800", 4.5])
def test_a_number_that_is_none_neither_reaches_the_terminal_nor_is_a_success(
    shop: ScriptedApi, slipway: Slipway, number: Any
) -> None:
    row = rows.deployment(3, restores=number, build_id=number)
    shop.on("GET /v1/cicd/services/1/deployments", rows.page(row))
    ends = [{"deployment_id": number, "status": "superseded"}]
    plan = rows.plan(ends=ends, starts_after=number, desired_count=number)
    shop.on(f"GET {ROLLBACK}", rows.preview(plan=plan))
    shop.on(DEPLOY, {"deployment_id": number})
    for command in (["history", "web"], ["rollback", "web", "--plan"], ["deploy", "web"]):
        done = slipway(*command)
        assert "\x1b" not in done.out + done.err
    assert done.exit_code != 0
    shop.on(DEPLOY, ACCEPTED)
    shop.on("GET /v1/services/1", {"current_deployment_id": number})
    assert slipway("deploy", "web").exit_code != 0


def test_no_wait_ends_when_the_work_is_accepted(shop: ScriptedApi, slipway: Slipway) -> None:
    _deployment_ends(shop, "failed")
    done = slipway("deploy", "web", "--no-wait")
    assert (done.exit_code, done.out) == (0, "deploy-4 is accepted.\n")
    assert "deploy-4 goes on; follow it with: slipway status shop/web" in done.err


def test_a_cancel_waits_for_the_end(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on("POST /v1/cicd/jobs/build-7/cancel", {"id": "build-7"})
    stops = [rows.build(7, "building"), rows.build(7, "cancelled")]
    shop.on("GET /v1/cicd/builds/7", *stops)
    assert slipway("cancel", "build-7").exit_code == 0


@pytest.mark.parametrize(
    ("status", "words"), [("success", "has succeeded"), ("superseded", "is superseded")]
)
def test_a_cancel_that_comes_too_late_says_so(
    shop: ScriptedApi, slipway: Slipway, status: str, words: str
) -> None:
    shop.on("POST /v1/cicd/jobs/build-7/cancel", {"id": "build-7", "status": "running"})
    shop.on("GET /v1/cicd/builds/7", rows.build(7, status))
    done = slipway("cancel", "build-7")
    assert done.exit_code == 1
    assert done.err.endswith(f"Too late: build-7 {words}.\n")


def test_a_cancel_without_waiting_says_what_it_knows(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on("POST /v1/cicd/jobs/build-7/cancel", {"id": "build-7", "status": "running"})
    done = slipway("cancel", "build-7", "--no-wait")
    follow = "follow it with: slipway logs -f build-7\n"
    assert done == Ran(0, "", f"The cancel of build-7 is accepted; {follow}")
    shop.on("POST /v1/cicd/jobs/build-7/cancel", {"id": "build-7", "status": "cancelled"})
    done = slipway("cancel", "build-7", "--no-wait")
    assert done == Ran(0, "build-7 is cancelled.\n", "")


# --- Ctrl-C ------------------------------------------------------------------------------------


# A shell starts what runs in its background without SIGINT, and children keep that.
_with_ctrl_c = partial(signal.signal, signal.SIGINT, signal.default_int_handler)


def _variables(url: str) -> dict[str, str]:
    """The environment of a command with a login for the scripted API."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PYTHONPATH": str(ROOT / "cli"),
        "SLIPWAY_URL": url,
        "SLIPWAY_TOKEN": TOKEN,
    }


def _process(*arguments: str, url: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "slipway_cli", *arguments],
        env={**_variables(url), **options.pop("env", {})},
        text=True,
        preexec_fn=_with_ctrl_c,
        **options,
    )


def _interrupted(
    shop: ScriptedApi, request: str, *arguments: str, by: signal.Signals = signal.SIGINT
) -> tuple[str, str]:
    """Stdout, and the last line on stderr, of a command that gets a signal while it waits for the
    answer to a request.
    """
    slow = threading.Event()
    arrived = threading.Event()

    def never(_: Any) -> Response:
        arrived.set()
        slow.wait(30)
        return ACCEPTED

    shop.on(request, never)
    pipe = subprocess.PIPE
    with _process(*arguments, url=shop.url, stdout=pipe, stderr=pipe) as process:
        assert arrived.wait(30)
        process.send_signal(by)
        out, shown = process.communicate(timeout=30)
    slow.set()
    # A shell shows 128 and the number of the signal.
    assert process.returncode == -by
    assert "Traceback" not in shown
    return out, shown.splitlines()[-1]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_say_what_goes_on(shop: ScriptedApi, by: signal.Signals) -> None:
    wait = "GET /v1/cicd/deployments/4"
    out, shown = _interrupted(shop, wait, "deploy", "web", "--json", by=by)
    assert shown == "deploy-4 goes on; follow it with: slipway status shop/web"
    error = {"code": "interrupted", "message": "Interrupted."}
    assert json.loads(out) == {"error": {**error, "uncertain": True, "job_id": "deploy-4"}}


def test_ctrl_c_ends_a_script_before_its_next_command(shop: ScriptedApi) -> None:
    def interrupts(_: Any) -> Response:
        os.killpg(script.pid, signal.SIGINT)
        return Response(rows.deployment(4, "deploying"))

    shop.on("GET /v1/cicd/deployments/4", interrupts)
    script = subprocess.Popen(
        ["bash", "-c", '"$0" -m slipway_cli deploy web build-7; echo next', sys.executable],
        env=_variables(shop.url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_with_ctrl_c,
    )
    with script:
        assert script.communicate(timeout=30)[0] == ""


def test_ctrl_c_before_the_answer_says_that_the_request_may_be_accepted(
    shop: ScriptedApi,
) -> None:
    _, shown = _interrupted(shop, DEPLOY, "deploy", "web")
    assert shown.endswith("may have accepted the request; look with: slipway status shop/web")


def test_ctrl_c_just_after_the_end_says_how_it_ended(shop: ScriptedApi) -> None:
    _deployment_ends(shop, "failed")
    _, shown = _interrupted(shop, "GET /v1/services/1", "deploy", "web", "build-7")
    assert shown == "deploy-4 has ended: failed."


def test_ctrl_c_does_not_drop_a_cancel(shop: ScriptedApi) -> None:
    shop.on("POST /v1/cicd/jobs/build-7/cancel", {"id": "build-7", "status": "running"})
    _, shown = _interrupted(shop, "GET /v1/cicd/builds/7", "cancel", "build-7")
    assert shown == ("The cancel of build-7 is accepted; follow it with: slipway logs -f build-7")


@pytest.mark.parametrize("columns", ["20", "39", "59", "60", "150"])
def test_a_history_breaks_no_word_of_a_status_or_a_commit(
    shop: ScriptedApi, slipway: Slipway, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = slipway("history", "web").out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    words = " ".join(lines).split()
    assert {"build-7", "deploy-3", "success"} <= set(words)


# --- JSON --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "member"),
    [
        (["services"], "services"),
        (["status"], "services"),
        (["status", "web"], "rollback"),
        (["history", "web"], "jobs"),
        (["logs", "build-7"], "lines"),
        (["logs", "deploy-4", "--tail", "5"], "lines"),
        (["config", "web"], "environment"),
        (["config", "web", "show"], "environment"),
        (["build", "web"], "image_tag"),
        (["build", "web", "--no-wait"], "build_id"),
        (["retry", "build-6"], "image_tag"),
        (["deploy", "web"], "image_digest"),
        (["deploy", "web", "--no-wait"], "deployment_id"),
        (["rollback", "web", "--plan"], "plan"),
        (["rollback", "web", "--yes"], "image_digest"),
        (["config", "web", "set", "A=2"], "image_digest"),
        (["config", "web", "unset", "A", "S", "--cpu"], "image_digest"),
    ],
)
def test_json_prints_one_document_and_nothing_else(
    shop: ScriptedApi, slipway: Slipway, command: list[str], member: str
) -> None:
    done = slipway(*command, "--json")
    assert done.exit_code == 0
    assert member in json.loads(done.out)
    assert done.out.isascii()


@pytest.mark.parametrize(
    ("command", "code", "expected"),
    [
        (["deploy"], 2, "wrong_usage"),
        (["deploy", "web", "--nonsense"], 2, "wrong_usage"),
        (["nonsense"], 2, "wrong_usage"),
        (["deploy", "other"], 2, "no_service"),
        (["rollback", "web"], 2, "not_confirmed"),
        (["logs", "build-99"], 2, "not_found"),
    ],
)
def test_json_of_an_error_has_its_code(
    shop: ScriptedApi, slipway: Slipway, command: list[str], code: int, expected: str
) -> None:
    done = slipway(*command, "--json")
    assert done.exit_code == code
    assert json.loads(done.out)["error"]["code"] == expected


def test_json_of_a_lost_connection_has_the_job_that_goes_on(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    expired = problem(401, "unauthorized", "the token has expired")
    shop.on("GET /v1/cicd/deployments/4", expired)
    error = json.loads(slipway("deploy", "web", "--json").out)["error"]
    assert (error["code"], error["job_id"], error["uncertain"]) == (
        "unauthorized",
        "deploy-4",
        True,
    )


def test_a_plan_without_an_answer_changed_nothing(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on(DEPLOY, BUSY)
    done = slipway("deploy", "web", "--plan", "--json")
    assert done.exit_code == 3
    assert "uncertain" not in json.loads(done.out)["error"]


def test_json_of_failed_work_is_its_row(shop: ScriptedApi, slipway: Slipway) -> None:
    _deployment_ends(shop, "failed", failure=rows.failure())
    done = slipway("deploy", "web", "--json")
    assert done.exit_code == 1
    assert json.loads(done.out)["failure"]["exit_code"] == 1


def test_a_followed_log_is_one_json_object_a_line(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on("GET /v1/cicd/builds/7/logs", {**LOG, "complete": False}, LOG)
    done = slipway("logs", "-f", "build-7", "--json")
    assert [json.loads(line) for line in done.out.splitlines()] == LOG["lines"] * 2


# --- what is sent ------------------------------------------------------------------------------


def test_an_empty_ref_is_not_the_branch(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on("POST /v1/cicd/services/1/build", problem(400, "invalid_input", "empty"))
    assert slipway("build", "web", "--ref", "").exit_code == 2
    (sent,) = by_method(shop.received, "POST")
    assert sent.body == {"git_ref": ""}


def test_deploy_takes_the_newest_successful_build_of_the_branch(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    others = [
        # A pull request whose branch has become the service's branch.
        rows.build(12, trigger="pull_request"),
        rows.build(11, git_ref="wip"),
        rows.build(10, ref_type="tag"),
        rows.build(9, ref_type=None, image_tag="myapp:main-9"),
        rows.build(8),
    ]
    shop.on(
        "GET /v1/cicd/services/1/builds", rows.page(*others[:3], after="10"), rows.page(*others[3:])
    )
    slipway("deploy", "web", "--reason", "why")
    (sent,) = by_method(shop.received, "POST")
    assert sent.body == {"image_tag": "myapp:main-9", "reason": "why"}


def test_a_service_without_builds_deploys_those_of_its_source(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    shop.on("GET /v1/services", rows.page(rows.service(image_from=2)))
    shop.on("GET /v1/services/2", {"branch": "trunk"})
    shop.on(
        "GET /v1/cicd/services/2/builds", rows.page(rows.build(9), rows.build(5, git_ref="trunk"))
    )
    slipway("deploy", "web")
    (sent,) = by_method(shop.received, "POST")
    assert sent.body == {"image_tag": "myapp:main-5"}


def test_deploy_without_a_build_says_how_to_make_one(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on("GET /v1/cicd/services/1/builds", rows.page())
    done = slipway("deploy", "web")
    assert done.exit_code == 1
    assert "slipway build shop/web" in done.err


def test_an_image_may_have_a_name_like_a_build(shop: ScriptedApi, slipway: Slipway) -> None:
    slipway("deploy", "web", "build-tools:main-7")
    slipway("deploy", "web", "build-7")
    sent = [each.body for each in by_method(shop.received, "POST")]
    assert sent == [{"image_tag": "build-tools:main-7"}, {"image_tag": "myapp:main-7"}]


def test_a_source_of_images_that_the_token_does_not_see_is_named(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    shop.on("GET /v1/services", rows.page(rows.service(image_from=2)))
    done = slipway("deploy", "web")
    assert done.exit_code == 2
    assert "images of service 2, which this token does not see" in done.err
    assert "slipway deploy shop/web IMAGE" in done.err


def test_a_rollback_restores_the_release_that_was_shown(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    done = slipway("rollback", "web", "--yes")
    assert "Roll back shop/web to deploy-2: 3f2a1b4c Fix the login" in done.err
    (sent,) = by_method(shop.received, "POST")
    assert sent.body == {"deployment_id": 2, "expected": 3}


def test_a_rollback_to_a_deployment_previews_that_one(shop: ScriptedApi, slipway: Slipway) -> None:
    slipway("rollback", "web", "--to", "deploy-2", "--yes")
    assert [each.query for each in shop.received if each.path == ROLLBACK] == [
        {"deployment_id": "2"},
        {},
    ]


def test_a_rollback_without_a_terminal_needs_yes(shop: ScriptedApi, slipway: Slipway) -> None:
    done = slipway("rollback", "web")
    assert done.exit_code == 2
    assert done.err.endswith("add --yes: slipway rollback shop/web --to deploy-2 --yes\n")
    assert by_method(shop.received, "POST") == []


@pytest.mark.parametrize("target", [None, rows.deployment(2)])
def test_a_rollback_that_is_not_possible_shows_why(
    shop: ScriptedApi, slipway: Slipway, target: Any
) -> None:
    refused = {"possible": False, "code": "not_deployable", "reason": "the image is gone"}
    plan = None if target is None else rows.plan(possible=False)
    shop.on(f"GET {ROLLBACK}", rows.preview(**refused, target=target, plan=plan))
    for more in (["--yes"], ["--plan"], ["--plan", "--json"]):
        done = slipway("rollback", "web", *more)
        assert done.exit_code == 1
        assert "the image is gone" in done.err
    assert json.loads(done.out)["reason"] == "the image is gone"
    assert by_method(shop.received, "POST") == []


@pytest.mark.parametrize("possible", [True, False])
def test_a_plan_changes_nothing_and_says_whether_it_would_be_accepted(
    shop: ScriptedApi, slipway: Slipway, possible: bool
) -> None:
    shop.on(DEPLOY, rows.plan(possible=possible))
    shop.on("PATCH /v1/services/1/config", rows.plan(possible=possible))
    for command in (["deploy", "web"], ["config", "web", "set", "A=2"]):
        done = slipway(*command, "--plan")
        assert done.exit_code == (0 if possible else 1)
        assert "Then" in done.out
    assert [each.query for each in shop.received if each.method != "GET"] == [
        {"dry_run": "true"},
        {"dry_run": "true"},
    ]


def test_changes_of_the_configuration_are_sent_as_a_merge(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    slipway("config", "web", "set", "A=x=y", "B=", "--secret", "S=arn:1", "--cpu", "512")
    slipway("config", "web", "unset", "A", "S", "--memory", "--no-deploy", "--reason", "why")
    first, second = by_method(shop.received, "PATCH")
    assert first.body == {
        "environment": {"A": "x=y", "B": ""},
        "secrets": {"S": "arn:1"},
        "cpu": 512,
        "deploy": True,
    }
    assert second.body == {
        "environment": {"A": None},
        "secrets": {"S": None},
        "memory": None,
        "deploy": False,
        "reason": "why",
    }


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        ([], "no_release", 1),
        ([], "changed_outside", 1),
        ([], "unchanged", 0),
        (["--no-deploy"], "not_wanted", 0),
    ],
)
def test_a_change_that_is_not_deployed_is_a_failure_unless_that_was_wanted(
    shop: ScriptedApi, slipway: Slipway, options: list[str], code: str, exit_code: int
) -> None:
    """The code decides, whatever the configuration has: it may have changed in between."""
    kept = {"deployment_id": None, "job_id": None, "status": None, "not_deployed": "a reason"}
    shop.on("PATCH /v1/services/1/config", {**kept, "code": code})
    done = slipway("config", "web", "set", "A=1", *options)
    assert done.exit_code == exit_code
    assert "Nothing is deployed: a reason." in done.out + done.err
    done = slipway("config", "web", "set", "A=1", *options, "--plan")
    assert done.exit_code == exit_code
    assert "Nothing would be deployed: a reason." in done.out + done.err


def test_a_change_that_an_open_deployment_brings_is_not_waited_for_without_deploy(
    shop: ScriptedApi, slipway: Slipway
) -> None:
    _deployment_ends(shop, "failed")
    done = slipway("config", "web", "set", "A=2", "--no-deploy")
    assert (done.exit_code, done.out) == (0, "deploy-4 brings it.\n")
    done = slipway("config", "web", "set", "A=2", "--plan")
    assert (done.exit_code, done.out) == (0, "deploy-4 would bring it.\n")


@pytest.mark.parametrize(
    "command",
    [
        ["--json", "web"],
        ["web", "--json"],
        ["web", "show", "--json"],
        ["--json", "web", "show"],
    ],
)
def test_json_may_stand_anywhere_after_config(
    shop: ScriptedApi, slipway: Slipway, command: list[str]
) -> None:
    done = slipway("config", *command)
    assert done.exit_code == 0
    assert json.loads(done.out)["environment"] == {"A": "1"}


def test_json_before_the_command_of_config_reaches_it(shop: ScriptedApi, slipway: Slipway) -> None:
    for command in (["web", "--json", "set", "A=2"], ["--json", "web", "set", "A=2"]):
        assert json.loads(slipway("config", *command).out)["image_digest"]
    assert slipway("config", "--json").exit_code == 2


@pytest.mark.parametrize(
    ("released", "by", "note"),
    [
        (True, None, ""),
        (False, None, "Not released yet.\n"),
        (False, 4, "deploy-4 brings this configuration.\n"),
    ],
)
def test_the_configuration_is_shown_as_words_that_set_accepts(
    shop: ScriptedApi, slipway: Slipway, released: bool, by: int | None, note: str
) -> None:
    environment = {"A": "two words", "B": "it's $HOME"}
    config = {"environment": environment, "secrets": {"S": "arn:x"}, "released": released}
    sizes = {"cpu": 256, "memory": None, "desired_count": None, "deployment_id": by}
    shop.on("GET /v1/services/1/config", {**config, **sizes})
    words = shlex.split(slipway("config", "web").out)
    assert slipway("config", "web").err == note
    slipway("config", "web", "set", *words, "--no-deploy")
    (sent,) = by_method(shop.received, "PATCH")
    assert (sent.body["environment"], sent.body["secrets"]) == (environment, {"S": "arn:x"})
    assert sent.body["cpu"] == 256


@pytest.mark.parametrize(
    ("row", "complete", "words"),
    [
        (rows.build(7, "failed", error="no branch nope"), True, "has no log: no branch nope"),
        (rows.build(7, "cancelled"), True, "has no log: cancelled"),
        (
            rows.build(7, "queued", waiting_for="build-6"),
            False,
            "has no log yet: waits for build-6",
        ),
    ],
)
def test_a_build_that_never_started_has_a_reason_instead_of_a_log(
    shop: ScriptedApi, slipway: Slipway, row: Any, complete: bool, words: str
) -> None:
    empty: dict[str, Any] = {**LOG, "lines": [], "next_cursor": None, "complete": complete}
    shop.on("GET /v1/cicd/builds/7/logs", empty)
    shop.on("GET /v1/cicd/builds/7", row)
    assert slipway("logs", "build-7") == Ran(0, "", f"build-7 {words}\n")


def test_open_prints_the_url_where_there_is_no_browser(
    shop: ScriptedApi, slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    done = slipway("open", "shop/web")
    assert (done.exit_code, done.out) == (0, f"{shop.url}/#/services/1\n")


@pytest.mark.parametrize(("command", "on"), [("resume", True), ("pause", False)])
def test_auto_deploy_is_paused_and_resumed(
    shop: ScriptedApi, slipway: Slipway, command: str, on: bool
) -> None:
    shop.on("PATCH /v1/services/1", {"branch": "main", "auto_build": True, "auto_deploy": on})
    done = slipway(command, "web")
    assert done.exit_code == 0
    assert f"Auto-deploy of shop/web is {'on' if on else 'off'}" in done.out
    (sent,) = by_method(shop.received, "PATCH")
    assert sent.body == {"auto_deploy": on}
    assert json.loads(slipway(command, "web", "--json").out)["auto_deploy"] is on
    shop.on("PATCH /v1/services/1", problem(403, "forbidden", "requires role admin"))
    assert slipway(command, "web").exit_code == 3


@pytest.mark.parametrize(
    ("command", "on", "said"),
    [
        ("pause", False, "Pushes to shop/web are not built, and so not deployed."),
        ("resume", True, "The next push to main is built for shop/web."),
    ],
)
def test_the_building_of_pushes_is_switched_off_and_on(
    shop: ScriptedApi, slipway: Slipway, command: str, on: bool, said: str
) -> None:
    shop.on("PATCH /v1/services/1", {"branch": "main", "auto_build": on, "auto_deploy": False})
    done = slipway(command, "web", "--builds")
    assert (done.exit_code, done.out.strip()) == (0, said)
    (sent,) = by_method(shop.received, "PATCH")
    assert sent.body == {"auto_build": on}


def test_resume_says_that_pushes_are_not_built(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on("PATCH /v1/services/1", {"branch": "main", "auto_build": False, "auto_deploy": True})
    assert "slipway resume shop/web --builds" in slipway("resume", "web").err


def test_resume_says_that_auto_deploy_was_off(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on("PATCH /v1/services/1", {"branch": "main", "auto_build": True, "auto_deploy": True})
    said = "Auto-deploy of shop/web was off, not paused."
    shop.on("GET /v1/services", rows.page(rows.service(auto_deploy_paused="deployment 3")))
    assert said not in slipway("resume", "web").err
    shop.on("GET /v1/services", rows.page(rows.service(auto_deploy=False)))
    assert said in slipway("resume", "web").err


def test_status_of_a_paused_service_says_how_to_resume(shop: ScriptedApi, slipway: Slipway) -> None:
    shop.on(
        "GET /v1/services", rows.page(rows.service(auto_deploy_paused="deployment 3 rolls back"))
    )
    assert "slipway resume shop/web" in slipway("status", "web").out


# --- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["0", "1", "5", "x"])
def test_a_width_that_no_terminal_has_does_not_swallow_the_output(
    shop: ScriptedApi, slipway: Slipway, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    expected = slipway("status", "web")
    monkeypatch.setenv("COLUMNS", columns)
    assert slipway("status", "web") == expected
    assert "deploy-3" in expected.out


def test_forced_colours_do_not_garble_a_pipe(shop: ScriptedApi) -> None:
    shop.on("GET /v1/cicd/deployments/4", rows.deployment(4, "deploying"), rows.deployment(4))
    pipe = subprocess.PIPE
    env = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}
    with _process("deploy", "web", url=shop.url, stdout=pipe, stderr=pipe, env=env) as process:
        out, err = process.communicate(timeout=30)
    assert "\x1b" not in out + err
    assert "deploy-4: deploying, 40 %" in err.splitlines()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("services >/dev/full", "The output cannot be written: No space left on device"),
        ("services --json >/dev/full", "The output cannot be written: No space left on device"),
        ("logs build-7 >/dev/full", "The output cannot be written: No space left on device"),
        ("open web >/dev/full", "The output cannot be written: No space left on device"),
        ("deploy web >&-", "The output cannot be written: stdout is closed"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line_and_exit_code_1(
    shop: ScriptedApi, command: str, words: str
) -> None:
    assert _in_a_shell(shop, command) == (1, "", f"{words}\n")
    assert by_method(shop.received, "POST") == []


@pytest.mark.parametrize("to", ["/dev/full", "&-"])
def test_work_goes_on_although_its_words_cannot_be_written(shop: ScriptedApi, to: str) -> None:
    shown = "shop/web runs deploy-4: 3f2a1b4c Fix the login\n"
    assert _in_a_shell(shop, f"deploy web 2>{to}") == (0, shown, "")
    assert _in_a_shell(shop, f"deploy 2>{to}")[0] == 2


def test_work_goes_on_although_nothing_reads_its_words(shop: ScriptedApi) -> None:
    shop.on("GET /v1/cicd/deployments/4", rows.deployment(4, "deploying"), rows.deployment(4))
    reader, writer = os.pipe()
    os.close(reader)
    pipe = subprocess.PIPE
    with _process("deploy", "web", url=shop.url, stdout=pipe, stderr=writer) as process:
        os.close(writer)
        assert process.communicate(timeout=30)[0].startswith("shop/web runs deploy-4")
    assert process.returncode == 0


def _in_a_shell(shop: ScriptedApi, command: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a command with redirections."""
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -m slipway_cli {command}', sys.executable],
        env=_variables(shop.url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


# --- on a terminal -----------------------------------------------------------------------------


def _on_a_terminal(
    shop: ScriptedApi, *arguments: str, question: str = "", answer: str = "", **variables: str
) -> str:
    """What a command shows on a terminal of 60 columns, which answers its question."""
    master, slave = pty.openpty()
    size = {"COLUMNS": "60", "LINES": "24", "TERM": "xterm-256color"}
    shown = b""
    with _process(
        *arguments,
        url=shop.url,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**size, **variables},
    ) as process:
        os.close(slave)
        while select.select([master], [], [], 20)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:  # the command has ended
                break
            if answer and question.encode() in shown:
                os.write(master, answer.encode())
                answer = ""
        process.terminate()
    os.close(master)
    return shown.decode() + f"[exit {process.returncode}]"


def test_a_terminal_gets_colours_and_a_bar_and_can_confirm(shop: ScriptedApi) -> None:
    shop.on(
        "GET /v1/cicd/deployments/4",
        rows.deployment(4, "deploying", step="1 of 2 tasks run [red]"),
        rows.deployment(4),
    )
    shown = _on_a_terminal(shop, "rollback", "web", question="[y/N]", answer="y\n")
    assert "Roll back shop/web to deploy-2? [y/N]" in shown
    assert "deploy-4 1 of 2 tasks run [red]" in shown
    assert "━" in shown
    assert "\x1b[32m" in shown
    assert shown.endswith("[exit 0]")


def test_a_dumb_terminal_gets_lines(shop: ScriptedApi) -> None:
    shop.on("GET /v1/cicd/deployments/4", rows.deployment(4, "deploying"), rows.deployment(4))
    shown = _on_a_terminal(shop, "deploy", "web", "build-7", TERM="dumb")
    assert "deploy-4: deploying, 40 %\r\ndeploy-4: success\r\n" in shown
    assert "\x1b" not in shown


def test_a_no_at_the_question_changes_nothing(shop: ScriptedApi) -> None:
    shown = _on_a_terminal(shop, "rollback", "web", question="[y/N]", answer="n\n")
    assert shown.endswith("[exit 1]")
    assert by_method(shop.received, "POST") == []


def test_a_narrow_terminal_without_colours_gets_whole_words(shop: ScriptedApi) -> None:
    shop.on(
        "GET /v1/services", rows.page(rows.service("a-service-with-a-long-name", drift="x " * 90))
    )
    shown = _on_a_terminal(shop, "services", NO_COLOR="1")
    assert "shop/a-service-with-a-long-name" in shown
    assert "\x1b[3" not in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= 60


def test_the_lines_of_a_log_cannot_control_a_terminal(shop: ScriptedApi) -> None:
    assert "a [red]line\r\n" in _on_a_terminal(shop, "logs", "build-7")


def test_a_closed_pipe_ends_the_command_without_a_traceback(shop: ScriptedApi) -> None:
    lines = LOG["lines"] * 50_000
    shop.on("GET /v1/cicd/builds/7/logs", {**LOG, "lines": lines})
    pipe = subprocess.PIPE
    with _process("logs", "build-7", url=shop.url, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_login_reads_the_token_without_showing_it(shop: ScriptedApi, tmp_path: Path) -> None:
    caller = {"token_id": 1, "name": "a", "role": "viewer", "project_id": None}
    shop.on("GET /v1/whoami", {**caller, "service_id": None, "expires_at": None})
    shown = _on_a_terminal(
        shop,
        "login",
        shop.url,
        question="Token for",
        answer="slw_hidden\n",
        XDG_CONFIG_HOME=str(tmp_path),
    )
    assert shown.endswith("[exit 0]")
    assert "slw_hidden" not in shown
