"""Addresses, names and texts: pure functions, in tables."""

import io
import os
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from slipway_cli import views
from slipway_cli.address import read_address
from slipway_cli.errors import WrongUsage
from slipway_cli.names import read_job
from slipway_cli.text import ago, clean, duration, one_line, shell_word, until

from tests.cli import rows

HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07[bold]x[/bold] \x9b2J\u202eabc :boom: a\rb\x08\ud800"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://slipway.example.com", "https://slipway.example.com"),
        ("https://Slipway.example.com/api/", "https://slipway.example.com/api"),
        ("https://a.execute-api.eu-west-1.amazonaws.com/api/v1", None),
        (" https://a.example:8443/v1/ ", "https://a.example:8443"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_may_have_a_path_and_end_with_v1(given: str, url: str | None) -> None:
    expected = url or "https://a.execute-api.eu-west-1.amazonaws.com/api"
    assert read_address(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "slipway.example.com",
        "ftp://slipway.example.com",
        "https://",
        "https://user:password@slipway.example.com",
        "https://slipway.example.com/?a=b",
        "https://slipway.example.com/#x",
        "https://slipway.example.com:port",
        "https://slipway..example.com",
        f"https://{'a' * 64}.example.com",
        "https://slipway.example.com/a b",
        "http://slipway.example.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
    ],
)
def test_an_address_that_is_none_or_sends_the_token_unprotected_is_refused(given: str) -> None:
    with pytest.raises(WrongUsage):
        read_address(given)


def test_http_to_another_machine_needs_consent() -> None:
    assert read_address("http://10.0.0.1", insecure_http=True) == "http://10.0.0.1"


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("build-12", "", "build-12"),
        ("deploy-45", "", "deploy-45"),
        ("45", "deploy", "deploy-45"),
        ("deploy-45", "deploy", "deploy-45"),
        ("12", "build", "build-12"),
    ],
)
def test_a_job_is_named_by_its_type_and_number(text: str, kind: str, name: str) -> None:
    assert str(read_job(text, kind)) == name


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("12", ""),
        ("build-", ""),
        ("build-0", ""),
        ("build-12x", ""),
        ("service-3", ""),
        ("build-12", "deploy"),
        ("build-\u0661", ""),
        ("\u0661", "build"),
        ("build-12\n", ""),
        ("../../tokens", ""),
    ],
)
def test_another_name_is_refused(text: str, kind: str) -> None:
    with pytest.raises(WrongUsage, match="must have a form like"):
        read_job(text, kind)


def test_hostile_text_cannot_control_the_terminal() -> None:
    assert clean(HOSTILE) == "red [bold]x[/bold] 2Jabc :boom: ab"
    assert one_line("a\nb\t c\u2028d") == "a b c d"
    assert one_line("abcdef", 4) == "abc…"


@given(st.text())
def test_no_text_keeps_a_character_that_a_terminal_obeys(text: str) -> None:
    for shown in (clean(text), one_line(text, 20)):
        assert not [
            each for each in shown if each != "\t" and (each < " " or "\x7f" <= each < "\xa0")
        ]
        shown.encode()


@pytest.mark.parametrize("name", ["a  b/x", "it's/x", "$HOME/x", "a;b/x", "`x`/y"])
def test_the_name_of_a_service_can_be_copied_into_a_shell(name: str) -> None:
    assert shlex.split(views.quoted(name)) == [name]


@pytest.mark.parametrize(
    "value",
    [
        "A=1",
        "A=",
        "A=a b",
        "A=it's",
        "A=$HOME",
        "A=a\nb",
        "A=a\tb\\n'c'",
        "A=\x1b[31mred",
        "A=ä\x85é",
    ],
)
def test_a_value_is_shown_as_a_word_that_a_shell_reads_back(value: str) -> None:
    word = shell_word(value)
    assert clean(word) == word
    done = subprocess.run(
        ["bash", "-c", f"printf %s {word}"],
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == value


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86400, "1 day")],
)
def test_a_duration_has_its_largest_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_how_long_ago_a_time_was() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert ago("2026-01-02T03:04:00Z", now) == "5 s ago"
    assert ago((now - timedelta(days=3)).isoformat(), now) == "3 days ago"
    assert ago(None) == ago("soon") == ""


def test_how_far_away_a_time_is() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert until("2026-01-02T03:09:05Z", now) == "in 5 min"
    assert until("2026-01-02T03:04:05Z", now) == until("2026-01-02T03:00:00Z", now) == "now"
    assert until(None) == ""


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (rows.build(1, "queued", waiting_for="build-9"), "waits for build-9"),
        (
            rows.build(1, "queued", waiting_for="build-9", position=3),
            "waits for build-9 (number 3 in the line)",
        ),
        (
            rows.deployment(
                2,
                "queued",
                waiting_for="checks of the commit that run: lint",
                waiting_for_checks=rows.checks(running=["lint"], missing=["test"]),
            ),
            "waits for the checks lint, test, began 3 h ago, deadline in 5 h",
        ),
        (
            rows.summary(2, "queued", waiting_for_checks=rows.checks(required="all")),
            "waits for all checks of the commit, began 3 h ago, deadline in 5 h",
        ),
        (
            rows.summary(
                2, "queued", waiting_for_checks=rows.checks(trouble="GitHub answered 503")
            ),
            "waits for the checks lint, test (GitHub answered 503), began 3 h ago, deadline in 5 h",
        ),
        (
            rows.summary(
                2, "queued", waiting_for_checks=rows.checks(running=[str(at) for at in range(7)])
            ),
            "waits for the checks 0, 1, 2, 3, 4 and 2 more, began 3 h ago, deadline in 5 h",
        ),
        (rows.build(1, "building", remaining_seconds=0), "building, 40 %, takes longer than usual"),
        (rows.build(1, "building", step="building 4/9"), "building 4/9, 40 %"),
        (
            rows.deployment(2, "deploying", step="2 of 3 tasks run", remaining_seconds=130),
            "2 of 3 tasks run, 40 %, about 2 min left",
        ),
        (rows.deployment(2, "rolled_back"), "rolled back"),
    ],
)
def test_the_progress_of_a_job_in_words(row: dict[str, Any], words: str) -> None:
    assert views.words_of(row) == words


def test_the_problems_of_a_service_come_with_the_reason() -> None:
    broken = rows.service(
        health={"running": 1, "desired": 3, "since": None, "why": "OutOfMemory"},
        failed_deployment=rows.summary(4, "failed", error="exit code 1", finished_at=None),
        drift="ECS runs web:9",
        attention="a message failed five times",
    )
    assert views.problems(broken) == [
        "1 of 3 tasks run: OutOfMemory",
        "deploy-4 failed: exit code 1",
        "ECS runs web:9",
        "a message failed five times",
    ]
    assert views.problems(rows.service()) == []


def test_broken_services_come_first_then_busy_ones() -> None:
    services = [
        rows.service("a"),
        rows.service("b", active=rows.summary(5, "deploying")),
        rows.service("c", drift="ECS runs web:9"),
        rows.service("d", open_builds=1),
    ]
    assert [each["name"] for each in views.by_urgency(services)] == ["c", "b", "d", "a"]


def test_a_failure_shows_cause_tasks_log_and_next_step_once() -> None:
    task = {"task": "t", "container": "web", "exit_code": 1, "reason": "Essential container exited"}
    row = rows.deployment(
        4,
        "failed",
        error="container web exited with code 1 (ECS: tasks failed to start)",
        failure=rows.failure(tasks=[task, task]),
    )
    assert [each.plain for each in views.failure(row)] == [
        "deploy-4 failed: container web exited with code 1",
        "  web, exit code 1: Essential container exited",
        "  | Traceback:",
        "  | KeyError: 'DATABASE_URL'",
        "Next step: Set the variable that the program needs.",
    ]


def test_a_plan_shows_names_and_what_the_request_ends() -> None:
    names = {"added": ["A"], "removed": ["B"], "changed": ["C"]}
    none: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    container = {
        "name": "web",
        "image_now": "a",
        "image_then": "b",
        "environment": names,
        "secrets": none,
        "settings": ["command"],
    }
    made = rows.plan(
        commits={"now": "1", "then": "2", "compare_url": "https://github.com/a/b/compare/1...2"},
        changes={"containers": [container], "settings": ["cpu"]},
        config={"environment": names, "secrets": none, "sizes": ["cpu"]},
        ends=[{"deployment_id": 9, "status": "rolled_back"}],
        starts_after=8,
        release_command=["migrate", "--now"],
        desired_count=3,
        findings=[{"code": "role_missing", "severity": "error", "message": "no role x"}],
    )
    assert _printed(*views.plan("Deploy", made)).splitlines() == [
        "Deploy",
        "Now          main-7 (deploy-3)",
        "Then         main-6 (deploy-2)",
        "Commits      https://github.com/a/b/compare/1...2",
        "Changes      web: image; variables +A -B ~C; settings command",
        "Changes      task definition: cpu",
        "Config       variables +A -B ~C; cpu",
        "Ends         deploy-9 (rolled back)",
        "Begins       after the end of deploy-8",
        "Runs first   migrate --now",
        "Tasks        3",
        "Auto-deploy  will be paused",
        "error: no role x",
    ]


def test_no_view_lets_hostile_text_control_the_terminal() -> None:
    """Every text of every row is hostile; the views print none of its sequences or markup."""
    bad = _hostile(
        rows.service(
            failed_deployment=rows.summary(4, "failed", error="x"),
            active=rows.summary(5, "deploying"),
            waiting=rows.summary(6, "queued", waiting_for_checks=rows.checks(trouble="x")),
            rollback_trouble="x",
            auto_deploy_paused="x",
            drift="x",
            attention="x",
            health={"running": 1, "desired": 3, "since": None, "why": "x"},
        )
    )
    failed = _hostile(rows.deployment(4, "failed", error="x", failure=rows.failure()))
    pull = {"number": 2, "title": HOSTILE, "withheld": [HOSTILE]}
    built = _hostile(rows.build(5, pull_request=pull))
    config = {"environment": {"A": HOSTILE}, "secrets": {"B": HOSTILE}, "released": True}
    printed = _printed(
        views.services_table([bad]),
        *views.services_list([bad]),
        views.status(bad, [failed], rows.preview(possible=False, reason=HOSTILE)),
        views.status(bad, [failed], None),
        *views.failure(failed),
        views.history_table([failed, built]),
        *views.history_list([failed, built]),
        *views.plan(one_line(HOSTILE), _hostile(rows.plan())),
        *views.config(config),
    )
    assert "[bold]x[/bold]" in printed
    assert ":boom:" in printed
    assert not [
        each for each in printed if each != "\n" and not " " <= each < "\x7f" and each < "\xa0"
    ]
    assert "\u202e" not in printed


def _hostile(value: Any) -> Any:
    """The value with hostile texts, except for the words that the API itself chooses."""
    if isinstance(value, dict):
        fixed = {"status", "severity", "finished_at", "created_at", "auto_deploy"}
        return {key: each if key in fixed else _hostile(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_hostile(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def _printed(*parts: Any) -> str:
    """What a console without colours prints, without spaces at the ends of lines."""
    console = Console(
        file=io.StringIO(), width=500, markup=False, emoji=False, highlight=False, no_color=True
    )
    console.print(*parts, sep="\n")
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())
