"""What the checks of a commit say, and what a deployment that waits for them does next."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.checks import (
    GRACE,
    AwaitedChecks,
    Check,
    ChecksStep,
    CheckState,
    Result,
    answered,
    awaited,
    check_run,
    check_suite,
    commit_of_event,
    commit_status,
    decide_checks,
    judge,
    may_ask,
    shown_checks,
    unanswered,
    why_ended,
)

NOW = 1_795_305_600
NAMED = awaited(("test", "lint"), minutes=60, pushed_at=NOW - 300, now=NOW)
ALL = awaited("all", minutes=60, pushed_at=NOW - 300, now=NOW)
SHA = "1" * 40
PASSED, RUNNING, FAILED = CheckState.PASSED, CheckState.RUNNING, CheckState.FAILED


def check(name: str, state: CheckState, *, source: str = "ci", number: int = 1) -> Check:
    return Check(name=name, source=source, number=number, state=state)


@pytest.mark.parametrize(
    ("status", "conclusion", "state"),
    [
        ("queued", None, RUNNING),
        ("in_progress", None, RUNNING),
        ("waiting", None, RUNNING),
        ("requested", None, RUNNING),
        ("pending", None, RUNNING),
        ("completed", "success", PASSED),
        ("completed", "neutral", PASSED),
        ("completed", "skipped", PASSED),
        ("completed", "failure", FAILED),
        ("completed", "cancelled", FAILED),
        ("completed", "timed_out", FAILED),
        ("completed", "action_required", FAILED),
        ("completed", "stale", FAILED),
        ("completed", "a new word of GitHub", FAILED),
        ("completed", None, FAILED),
    ],
)
def test_a_check_run_passes_runs_or_fails(
    status: str, conclusion: str | None, state: CheckState
) -> None:
    value = {"id": 7, "name": "test", "status": status, "conclusion": conclusion}
    assert check_run(value).state is state


@pytest.mark.parametrize(
    ("text", "state"),
    [("success", PASSED), ("pending", RUNNING), ("failure", FAILED), ("error", FAILED)],
)
def test_a_status_passes_runs_or_fails(text: str, state: CheckState) -> None:
    assert commit_status({"id": 7, "context": "ci/test", "state": text}).state is state


@pytest.mark.parametrize(
    ("status", "conclusion", "runs", "state"),
    [
        ("queued", None, 0, None),
        ("queued", None, 1, RUNNING),
        ("in_progress", None, 0, RUNNING),
        ("pending", None, 0, RUNNING),
        ("completed", "success", 1, None),
        ("completed", "failure", 1, None),
        ("completed", "startup_failure", 0, FAILED),
    ],
)
def test_a_suite_counts_if_its_runs_do_not_say_everything(
    status: str, conclusion: str | None, runs: int, state: CheckState | None
) -> None:
    value = {
        "id": 7,
        "status": status,
        "conclusion": conclusion,
        "latest_check_runs_count": runs,
        "app": {"name": "GitHub Actions"},
    }
    found = check_suite(value)
    assert (found and found.state) == state
    assert found is None or found.name == "GitHub Actions"


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "https://a b", "https://x\n", "", None, 7, "https://" + "x" * 400],
)
def test_a_link_that_is_no_address_is_left_out(link: Any) -> None:
    value = {"id": 1, "name": "x", "status": "queued", "html_url": link}
    assert check_run(value).link is None


@pytest.mark.parametrize(
    ("found", "result"),
    [
        ([], Result(missing=("test", "lint"))),
        ([check("test", PASSED)], Result(missing=("lint",))),
        ([check("test", RUNNING), check("lint", PASSED)], Result(running=("test",))),
        ([check("Test", PASSED), check("lint", PASSED), check("other", FAILED)], Result()),
        # One that failed ends it, whatever else is open.
        ([check("test", FAILED)], Result(missing=("lint",), failed=check("test", FAILED))),
        # The newest of each source counts.
        (
            [check("test", FAILED), check("test", PASSED, number=2), check("lint", PASSED)],
            Result(),
        ),
        (
            [check("test", PASSED), check("test", RUNNING, number=2), check("lint", PASSED)],
            Result(running=("test",)),
        ),
        (
            [check("test", PASSED), check("test", RUNNING, source="x"), check("lint", PASSED)],
            Result(running=("test",)),
        ),
    ],
)
def test_named_checks_must_all_have_passed(found: list[Check], result: Result) -> None:
    assert judge(NAMED, found, now=NOW) == result


@pytest.mark.parametrize(
    ("found", "result"),
    [
        ([], Result()),
        ([check("a", PASSED), check("b", PASSED)], Result()),
        ([check("a", PASSED), check("b", RUNNING)], Result(running=("b",))),
        ([check("a", FAILED)], Result(failed=check("a", FAILED))),
        ([check("slipway/shop/web", FAILED), check("Slipway/x", RUNNING)], Result()),
    ],
)
def test_all_checks_but_those_of_slipway_must_have_passed(
    found: list[Check], result: Result
) -> None:
    assert judge(ALL, found, now=NOW) == result


@pytest.mark.parametrize(
    ("pushed_at", "too_early"),
    [(NOW, True), (NOW - GRACE + 1, True), (NOW - GRACE, False), (NOW + 9999, True), (None, True)],
)
def test_all_checks_pass_only_some_time_after_the_push(
    pushed_at: int | None, too_early: bool
) -> None:
    checks = awaited("all", minutes=60, pushed_at=pushed_at, now=NOW)
    assert judge(checks, [check("a", PASSED)], now=NOW).passed is not too_early
    assert judge(checks, [check("a", PASSED)], now=NOW + GRACE).passed
    named = awaited(("a",), minutes=60, pushed_at=pushed_at, now=NOW)
    assert judge(named, [check("a", PASSED)], now=NOW).passed


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({}, ChecksStep.ASK),
        ({"next_at": NOW}, ChecksStep.ASK),
        ({"next_at": NOW + 1}, ChecksStep.WAIT),
        ({"busy_until": NOW + 1}, ChecksStep.WAIT),
        ({"passed": True}, ChecksStep.BEGIN),
        ({"failed": "test"}, ChecksStep.END),
        ({"since": NOW - 3600}, ChecksStep.ASK),
        ({"since": NOW - 3601}, ChecksStep.END),
        ({"since": NOW - 3601, "busy_until": NOW + 9}, ChecksStep.END),
        ({"since": NOW - 3601, "passed": True}, ChecksStep.BEGIN),
    ],
)
def test_the_next_step(changes: dict[str, Any], step: ChecksStep) -> None:
    assert decide_checks(replace(NAMED, **changes), now=NOW) is step


def test_a_question_is_asked_unless_a_later_one_has_begun() -> None:
    asked = answered(NAMED, Result(running=("test",)), asked_at=NOW)
    assert may_ask(NAMED, wanted_at=NOW - 9, now=NOW)
    assert not may_ask(asked, wanted_at=NOW - 1, now=NOW + 9)
    assert may_ask(asked, wanted_at=NOW, now=NOW + 9)
    assert not may_ask(replace(asked, passed=True), wanted_at=NOW + 9, now=NOW + 9)
    busy = unanswered(NAMED, "busy", asked_at=NOW, busy_for=60)
    assert not may_ask(busy, wanted_at=NOW + 59, now=NOW + 59)
    assert may_ask(busy, wanted_at=NOW + 60, now=NOW + 60)


def test_an_answer_replaces_what_was_known() -> None:
    trouble = unanswered(NAMED, "GitHub answered\n502", asked_at=NOW, busy_for=60)
    assert (trouble.trouble, trouble.busy_until) == ("GitHub answered 502", NOW + 60)
    after = answered(trouble, Result(running=("test",)), asked_at=NOW + 60)
    assert (after.trouble, after.busy_until, after.running) == (None, 0, ("test",))
    assert answered(after, Result(), asked_at=NOW + 120).passed


def test_what_is_known_stays_while_github_does_not_answer() -> None:
    known = answered(NAMED, Result(running=("test",)), asked_at=NOW)
    after = unanswered(known, "GitHub answered 502", asked_at=NOW + 60)
    assert shown_checks(after) == "checks of the commit that run: test (GitHub answered 502)"


def test_the_questions_become_rarer() -> None:
    early = answered(NAMED, Result(), asked_at=NOW + 60)
    late = answered(NAMED, Result(), asked_at=NOW + 3000)
    assert early.next_at - NOW < 60 * 2 < late.next_at - NOW - 2950


def test_many_names_are_cut() -> None:
    found = [check(f"check {number:03}", RUNNING) for number in range(300)]
    after = answered(ALL, judge(ALL, found, now=NOW), asked_at=NOW)
    assert len(after.running) == 20
    assert shown_checks(after).endswith("check 004 and 15 more")


def test_the_reason_of_the_end_names_the_check_and_its_page() -> None:
    failed = replace(check("test", FAILED), link="https://ci.example/1")
    ended = why_ended(answered(NAMED, Result(failed=failed), asked_at=NOW))
    assert ended.summary == "not deployed: the check test of the commit has failed"
    assert ended.next_step is not None
    assert ended.next_step.startswith("Read https://ci.example/1. ")


names = st.sampled_from(["test", "Test", "lint", "slipway/shop/web", "deploy"])
checks = st.builds(
    Check,
    name=names,
    source=st.sampled_from(["app 1", "app 2", "statuses"]),
    number=st.integers(1, 5),
    state=st.sampled_from(CheckState),
)


@given(
    found=st.lists(checks, max_size=12, unique_by=lambda each: (each.source, each.number)),
    required=st.sampled_from(["all", ("test",), ("test", "lint")]),
)
def test_it_passes_if_and_only_if_each_newest_check_has_passed(
    found: list[Check], required: Any
) -> None:
    awaited_checks = awaited(required, minutes=1, pushed_at=1, now=NOW)
    result = judge(awaited_checks, found, now=NOW)
    counted = [
        each
        for each in found
        if not each.name.startswith("slipway/")
        and (required == "all" or each.name.lower() in required)
        and not any(
            other.name.lower() == each.name.lower()
            and other.source == each.source
            and other.number > each.number
            for other in found
        )
    ]
    present = {each.name.lower() for each in counted}
    complete = required == "all" or present == set(required)
    assert result.passed == (complete and all(each.state is PASSED for each in counted))
    assert (result.failed is not None) == any(each.state is FAILED for each in counted)
    # The order of GitHub's answer has no meaning.
    assert judge(awaited_checks, found[::-1], now=NOW) == result


@given(
    steps=st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["answer", "trouble"]))),
    minutes=st.integers(1, 480),
)
def test_a_deployment_never_waits_for_ever(steps: list[tuple[int, str]], minutes: int) -> None:
    waiting = awaited(("test",), minutes=minutes, pushed_at=None, now=NOW)
    now = NOW
    for seconds, what in steps:
        now += seconds
        if what == "answer":
            waiting = answered(waiting, Result(running=("test",)), asked_at=now)
        else:
            waiting = unanswered(waiting, "busy", asked_at=now, busy_for=21_600)
        step = decide_checks(waiting, now=now)
        assert (step is ChecksStep.END) == (now > NOW + minutes * 60)
    end = decide_checks(waiting, now=NOW + max(now - NOW, minutes * 60) + 1)
    assert end is ChecksStep.END


@pytest.mark.parametrize(
    ("event", "payload", "sha"),
    [
        ("check_run", {"check_run": {"head_sha": SHA}}, SHA),
        ("check_suite", {"check_suite": {"head_sha": SHA}}, SHA),
        ("workflow_run", {"workflow_run": {"head_sha": SHA}}, SHA),
        ("status", {"sha": SHA}, SHA),
        ("push", {"sha": SHA, "after": SHA}, None),
        ("status", {"sha": "main"}, None),
        ("status", {"sha": None}, None),
        ("check_run", {"check_run": [SHA]}, None),
        ("check_run", {"check_run": {"head_sha": [SHA]}}, None),
        ("check_run", [], None),
        ("check_run", None, None),
    ],
)
def test_the_commit_of_an_event(event: str, payload: object, sha: str | None) -> None:
    assert commit_of_event(event, payload) == sha


def test_a_stored_value_has_no_deadline_of_its_own() -> None:
    assert isinstance(NAMED, AwaitedChecks)
    assert NAMED.deadline_at == NOW + 3600
