"""Text from outside mentions nobody, adds no link and no markup, whatever the receiver is."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from chalicelib.domain.messages import (
    JobData,
    Message,
    as_discord,
    as_slack,
    as_teams,
    as_text,
    as_webhook,
    signed_headers,
)

HOSTILE = "<!channel> @everyone <@U1> [x](https://evil.example) **b** `c` <https://evil.example|y>"
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


def message(title: str = "shop/web: build 7 failed", commit: str = "Fix") -> Message:
    return Message(
        id="slipway-1-build-7-build_failed",
        event="build.failed",
        at=1_795_305_600,
        title=title,
        facts={"Commit": commit, "Author": ""},
        url="https://slipway.example/#/builds/7",
        is_good=False,
        data=JobData(
            job_id="build-7",
            type="build",
            number=7,
            status="failed",
            service="shop/web",
            service_id=1,
            project_id=1,
            commit_sha=None,
            commit_message=None,
            requested_by="ci",
            cause="Failed",
            hook_id=None,
            approve_by=None,
            created_at="2026-11-22T00:00:00Z",
            started_at=None,
            finished_at=None,
            url=None,
        ),
    )


def test_slack_gets_only_plain_text_and_an_escaped_notification() -> None:
    body = as_slack(message(title=HOSTILE, commit=HOSTILE))
    assert "<" not in body["text"]
    header, section, actions = body["blocks"]
    assert header["text"]["type"] == "plain_text"
    assert {field["type"] for field in section["fields"]} == {"plain_text"}
    assert actions["elements"][0]["url"] == "https://slipway.example/#/builds/7"
    assert "mrkdwn" not in json.dumps(body)


def test_discord_may_mention_nobody_and_reads_no_markup() -> None:
    body = as_discord(message(title=HOSTILE, commit=HOSTILE))
    assert body["allowed_mentions"] == {"parse": []}
    (embed,) = body["embeds"]
    for text in (embed["title"], embed["fields"][0]["value"]):
        assert r"\[x\]\(https\:" in text
        assert r"\<\!channel\>" in text


def test_teams_gets_text_runs_which_have_no_markup() -> None:
    (attachment,) = as_teams(message(commit=HOSTILE))["attachments"]
    blocks = attachment["content"]["body"]
    assert {block["type"] for block in blocks} == {"RichTextBlock"}
    assert blocks[1]["inlines"][0]["text"] == f"Commit: {HOSTILE}"


def test_an_email_is_lines_of_facts_without_empty_ones() -> None:
    assert as_text(message()).splitlines() == [
        "shop/web: build 7 failed",
        "Commit: Fix",
        "https://slipway.example/#/builds/7",
    ]


def test_a_signature_is_that_of_the_specifications_own_library() -> None:
    body = json.dumps(as_webhook(message())).encode()
    headers = signed_headers(KEY, "slipway-1", body, at=int(time.time()))
    read = Webhook(KEY).verify(body, headers)
    assert read["type"] == "build.failed"
    assert read["timestamp"] == "2026-11-22T00:00:00Z"


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_c2hvcnQ=", KEY[6:], "whsec_*" + KEY[7:]])
def test_a_key_of_another_form_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        signed_headers(key, "id", b"{}", at=0)


@given(text=st.text(max_size=3000))
def test_every_text_fits_into_the_limits_of_the_receivers(text: str) -> None:
    found = message(title=text, commit=text)
    slack = as_slack(found)
    assert len(slack["blocks"][0]["text"]["text"]) <= 150
    for block in slack["blocks"][1:-1]:
        assert all(len(field["text"]) <= 2000 for field in block["fields"])
    (embed,) = as_discord(found)["embeds"]
    assert len(embed["title"]) <= 256
    assert all(len(field["value"]) <= 1024 for field in embed["fields"])
