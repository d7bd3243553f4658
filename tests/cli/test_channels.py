"""`slipway channels`: what is asked of the API, what people read, and the exit codes."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from slipway_cli import channel_views
from slipway_cli.main import run

from chalicelib.domain.channels import ChannelKind
from tests.cli import rows
from tests.cli.conftest import TOKEN, Slipway, by_method
from tests.cli.test_words import HOSTILE, _hostile, _printed
from tests.support.scripted_api import Response, ScriptedApi, problem

ROOT = Path(__file__).parents[2]
TESTED = "2026-01-03T00:00:00Z"
NO_SECRET = "a channel of kind slack needs secret"


@pytest.fixture
def told(api: ScriptedApi) -> ScriptedApi:
    """A channel of all projects, and one of a project; everything succeeds."""
    of_project = rows.channel(2, kind="github", name="GitHub", project_id=1)
    api.on("GET /v1/channels", rows.page(of_project, rows.channel()))
    api.on("GET /v1/channels/kinds", rows.kinds())
    api.on("GET /v1/services", rows.page(rows.service()))
    api.on("GET /v1/projects", rows.page({"id": 1, "name": "shop"}))
    api.on("POST /v1/channels", Response(rows.channel(3), 201))
    api.on("PATCH /v1/channels/1", rows.channel(name="Others"))
    api.on("POST /v1/channels/1/test", Response(rows.channel(), 202))
    api.on("GET /v1/channels/1", rows.channel(), rows.channel(tested_at=TESTED))
    api.on("DELETE /v1/channels/1", Response(b"", 204))
    return api


def refused(code: str, detail: str, field: str) -> Response:
    return Response({"status": 400, "code": code, "detail": detail, "field": field}, 400)


def sent(api: ScriptedApi, method: str) -> list[Any]:
    return [each.body for each in by_method(api.received, method)]


@pytest.mark.parametrize("command", [["channels"], ["channels", "list"]])
def test_channels_are_listed_with_what_they_are_told_of_and_how_they_work(
    told: ScriptedApi, slipway: Slipway, command: list[str]
) -> None:
    bad = {"trouble": "Slack answered 404", "failing_since": TESTED, "tested_at": TESTED}
    told.on(
        "GET /v1/channels",
        rows.page(
            rows.channel(4, service_id=1, project_id=1, tested_at=TESTED),
            rows.channel(3, **bad, off_since=TESTED),
            rows.channel(2, **bad, project_id=1),
            rows.channel(1),
        ),
    )
    done = slipway(*command)
    words = [" ".join(line.split()) for line in done.out.splitlines()]
    assert words[0] == "CHANNEL KIND NAME TOLD OF STATE TESTED"
    for line, parts in zip(
        words[1:],
        [
            ("4 slack Team shop/web works",),
            ("3 slack Team all projects off for", ": Slack answered 404"),
            ("2 slack Team project shop failing for",),
            ("1 slack Team all projects not tested never",),
        ],
        strict=True,
    ):
        assert all(part in line for part in parts), line
    assert json.loads(slipway(*command, "--json").out)["channels"][0]["id"] == 4


def test_without_channels_the_list_says_how_to_begin(told: ScriptedApi, slipway: Slipway) -> None:
    told.on("GET /v1/channels", rows.page())
    assert slipway("channels").err == (
        "No channels. To see what each kind needs: slipway channels kinds\n"
    )


def test_a_kind_that_the_command_line_does_not_know_is_shown_and_created(
    told: ScriptedApi, slipway: Slipway
) -> None:
    done = slipway("channels", "kinds", "--project", "Shop")
    assert "It needs the target of pigeon:" in done.out
    assert "aws pigeons create-loft" in done.out
    assert "slipway channels create pigeon --project Shop --target '<loft>-1'" in done.out
    assert "Usual events: build.failed\nOther events: build.queued\n" in done.out
    assert slipway("channels", "create", "pigeon", "--target", "loft-1").exit_code == 0
    assert sent(told, "POST") == [{"kind": "pigeon", "name": "pigeon", "target": "loft-1"}]


def test_a_kind_that_needs_no_secret_is_created_without_one(
    told: ScriptedApi, slipway: Slipway
) -> None:
    kinds = rows.kinds()
    kinds["items"][0]["without"] = "the app"
    told.on("GET /v1/channels/kinds", kinds)
    assert slipway("channels", "kinds").out.splitlines()[1:5] == [
        "  It needs nothing, and uses the app:",
        "    slipway channels create slack",
        "  Or it needs the secret of slack:",
        "    aws secretsmanager create-secret --name slipway/tell/all/slack",
    ]
    assert slipway("channels", "create", "slack").exit_code == 0
    assert sent(told, "POST") == [{"kind": "slack", "name": "slack"}]


def test_a_channel_is_created_for_a_service_with_events_and_branches(
    told: ScriptedApi, slipway: Slipway
) -> None:
    words = "--secret s --event build.failed --event build.queued --branch main --service web"
    done = slipway("channels", "create", "slack", "--name", "My team", *words.split())
    assert done.exit_code == 0
    assert done.out == "Channel 3 is created: Team.\n"
    assert done.err == "To test it: slipway channels test 3\n"
    assert sent(told, "POST") == [
        {
            "kind": "slack",
            "name": "My team",
            "secret": "s",
            "events": ["build.failed", "build.queued"],
            "branches": ["main"],
            "service_id": 1,
        }
    ]


def test_without_its_secret_a_channel_is_refused_with_the_commands_that_create_it(
    told: ScriptedApi, slipway: Slipway
) -> None:
    told.on("POST /v1/channels", refused("missing_field", NO_SECRET, "secret"))
    done = slipway("channels", "create", "slack", "--name", "My team")
    assert (done.exit_code, done.out) == (2, "")
    assert done.err.splitlines() == [
        f"{NO_SECRET} (field secret)",
        "Write this into the file value.txt: the secret of slack. Then run:",
        "  aws secretsmanager create-secret --name slipway/tell/all/slack",
        "Delete the file, and run:",
        "  slipway channels create slack --name 'My team' "
        "--secret secretsmanager:slipway/tell/all/slack",
    ]
    done = slipway("channels", "create", "slack", "--json")
    assert json.loads(done.out)["error"]["code"] == "missing_field"


def test_other_refusals_name_the_field(told: ScriptedApi, slipway: Slipway) -> None:
    detail = "kind must be one of slack, pigeon"
    told.on("POST /v1/channels", refused("invalid_kind", detail, "kind"))
    done = slipway("channels", "create", "pager")
    assert (done.exit_code, done.err) == (2, f"{detail} (field kind)\n")


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("--name Others", {"name": "Others"}),
        ("--secret s --branch a --branch b", {"secret": "s", "branches": ["a", "b"]}),
        ("--usual-events --all-branches", {"events": [], "branches": []}),
        ("--event build.failed --target t", {"events": ["build.failed"], "target": "t"}),
    ],
)
def test_a_change_sends_only_what_is_named(
    told: ScriptedApi, slipway: Slipway, words: str, changes: dict[str, Any]
) -> None:
    done = slipway("channels", "update", "team", *words.split())
    assert (done.exit_code, sent(told, "PATCH")) == (0, [changes])
    assert "Channel   1: Others" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("update 1", "Name what to change"),
        ("update 1 --usual-events --event build.failed", "exclude each other"),
        ("update 1 --all-branches --branch main", "exclude each other"),
        ("show Nobody", "No channel Nobody. There is: 2 (GitHub), 1 (Team)"),
        ("create slack --project other", "No project other. There is: shop"),
        ("create slack --service web --project other", "shop/web is not in the project other"),
        ("remove 1", "add --yes: slipway channels remove 1 --yes"),
        ("nonsense", "No such command"),
    ],
)
def test_a_wrong_command_line_changes_nothing(
    told: ScriptedApi, slipway: Slipway, words: str, message: str
) -> None:
    done = slipway("channels", *words.split())
    assert (done.exit_code, done.out) == (2, "")
    assert message in done.err
    assert {each.method for each in told.received} <= {"GET"}


def test_of_two_channels_with_one_name_the_number_chooses(
    told: ScriptedApi, slipway: Slipway
) -> None:
    told.on("GET /v1/channels", rows.page(rows.channel(2), rows.channel(1)))
    done = slipway("channels", "show", "team")
    assert done.exit_code == 2
    assert "Use a number: 2 (Team), 1 (Team)" in done.err
    assert "Channel   1: Team" in slipway("channels", "show", "1").out


def test_a_test_waits_for_its_result(
    told: ScriptedApi, slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_cli.commands.channels.time.sleep", lambda _: None)
    done = slipway("channels", "test", "Team")
    assert done.exit_code == 0
    assert done.out == "The receiver of channel 1, Team has taken a test message.\n"
    looks = [each for each in told.received if each.path == "/v1/channels/1"]
    assert len(looks) == 2


def test_a_test_of_github_says_what_it_does_not_show(told: ScriptedApi, slipway: Slipway) -> None:
    off = rows.channel(kind="github", off_since=TESTED, failing_since=TESTED, trouble="x")
    told.on("GET /v1/channels", rows.page(off))
    told.on("GET /v1/channels/1", rows.channel(kind="github", tested_at=TESTED))
    done = slipway("channels", "test", "1")
    assert done.out.splitlines() == [
        "GitHub answered for channel 1, Team.",
        "Whether the token may write statuses is seen at the next one.",
        "The channel was off, and is on again.",
    ]
    told.on("GET /v1/channels/1", rows.channel(kind="github", secret=None, tested_at="2027"))
    assert slipway("channels", "test", "1").out.startswith(
        "GitHub answered for channel 1, Team.\nThe"
    )


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        (
            {"trouble": "the receiver answered 404"},
            [
                "Next step: The secret slipway/tell/all/slack must be the secret of slack.",
                "To replace it: aws secretsmanager put-secret-value --secret-id "
                "slipway/tell/all/slack --secret-string file://value.txt",
            ],
        ),
        (
            {"trouble": "the secret secretsmanager:slipway/tell/all/slack cannot be read"},
            [
                "Next step: The secret slipway/tell/all/slack must be the secret of slack.",
                "To create it: aws secretsmanager create-secret --name "
                "slipway/tell/all/slack --secret-string file://value.txt",
                "To replace it: aws secretsmanager put-secret-value --secret-id "
                "slipway/tell/all/slack --secret-string file://value.txt",
            ],
        ),
        (
            {"trouble": "gone", "kind": "pigeon", "secret": None, "target": "loft-1"},
            ["Next step: loft-1 must be the target of pigeon."],
        ),
        ({"trouble": "gone", "kind": "pigeon", "secret": None}, []),
    ],
)
def test_a_test_that_fails_says_why_and_what_to_do(
    told: ScriptedApi, slipway: Slipway, changes: dict[str, Any], steps: list[str]
) -> None:
    row = rows.channel(tested_at=TESTED, failing_since=TESTED, **changes)
    told.on("GET /v1/channels/1", row)
    done = slipway("channels", "test", "1")
    assert (done.exit_code, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"The test of channel 1, Team failed: {changes['trouble']}",
        *steps,
        "Then: slipway channels test 1",
    ]
    done = slipway("channels", "test", "1", "--json")
    assert (done.exit_code, json.loads(done.out)) == (1, row)


def test_a_test_without_a_result_says_how_to_look(
    told: ScriptedApi, slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_cli.commands.channels.time.sleep", lambda _: None)
    told.on("GET /v1/channels/1", rows.channel())
    done = slipway("channels", "test", "1")
    assert done.exit_code == 1
    assert done.err.splitlines() == [
        "The test has no result yet.",
        "The test goes on; look with: slipway channels show 1",
    ]


def test_a_channel_that_fails_is_shown_with_what_to_do(told: ScriptedApi, slipway: Slipway) -> None:
    bad = rows.channel(trouble="gone", failing_since=TESTED)
    told.on("GET /v1/channels", rows.page(bad))
    done = slipway("channels", "show", "team")
    assert "Trouble   gone" in done.out
    assert done.err.startswith("Next step: The secret slipway/tell/all/slack must be")
    told.on("GET /v1/channels/kinds", problem(503, "unavailable", "AWS is busy", Retry_After="0"))
    assert slipway("channels", "show", "team").exit_code == 0


def test_a_channel_is_removed_after_a_question(told: ScriptedApi, slipway: Slipway) -> None:
    done = slipway("channels", "remove", "Team", "--yes")
    assert (done.exit_code, done.out) == (0, "Deleted: channel 1, Team.\n")
    assert done.err == "Its secret stays in AWS: secretsmanager:slipway/tell/all/slack\n"
    assert [each.path for each in by_method(told.received, "DELETE")] == ["/v1/channels/1"]


@pytest.mark.parametrize(("answer", "deleted"), [(b"n\n", 0), (b"y\n", 1)])
def test_no_to_the_question_keeps_the_channel(
    told: ScriptedApi, home: Path, answer: bytes, deleted: int
) -> None:
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(home), "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-m", "slipway_cli", "channels", "remove", "Team"],
        env={
            **environment,
            "PYTHONPATH": str(ROOT / "cli"),
            "SLIPWAY_URL": told.url,
            "SLIPWAY_TOKEN": TOKEN,
        },
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.write(ours, answer)
    code = process.wait(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert code == 1 - deleted
    assert len(by_method(told.received, "DELETE")) == deleted


def test_the_help_names_each_kind(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert run(["channels", "create", "--help"]) == 0
    shown = capsys.readouterr().out
    assert [kind for kind in ChannelKind if kind not in shown] == []


def test_no_view_of_channels_lets_hostile_text_control_the_terminal() -> None:
    kept = {"failing_since": TESTED, "tested_at": TESTED, "off_since": TESTED}
    row = {**_hostile(rows.channel(trouble="x", target="x")), **kept}
    kinds = _hostile(rows.kinds())
    kind = kinds["items"][0]
    printed = _printed(
        channel_views.table([row], {1: channel_views.scope(row, {}, {})}),
        channel_views.details(row, channel_views.scope(row, {}, {})),
        *channel_views.kinds(kinds, [HOSTILE]),
        *channel_views.how_to_create(kind, [HOSTILE]),
        *channel_views.failed_test(row),
        *channel_views.good_test(row, was_off=True),
        *channel_views.mend(row, kind),
    )
    assert "[bold]x[/bold]" in printed
    assert not [
        each for each in printed if each != "\n" and not " " <= each < "\x7f" and each < "\xa0"
    ]
    assert "\u202e" not in printed
