"""A log says when it is complete, when more lines follow, and when CloudWatch has deleted it."""

import json
import re
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from moto.logs.models import logs_backends

from chalicelib.domain.lag import LAG
from tests.support.client import Answer
from tests.support.codebuild_log import failed_log
from tests.support.embedded import Cloud, client, sha
from tests.support.sdk import Calls

LOG = "/v1/cicd/builds/1/logs"
GONE = "[this log has expired: CloudWatch has deleted its lines]\n"


@pytest.fixture
def failed(cloud: Cloud) -> Cloud:
    """A build that has just failed, and printed three lines."""
    cloud.push(sha(1))
    cloud.settle()
    for phase in ("DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD"):
        cloud.enter_phase(1, phase)
    done = "[Container] Phase complete: BUILD State: FAILED"
    cloud.end_build(1, "FAILED", log=["one", "two", done])
    assert cloud.build(1)["status"] == "failed"
    return cloud


def read(cloud: Cloud, query: str = "") -> Answer:
    answer = cloud.api.get(f"{LOG}?{query}")
    assert answer.status == 200, answer.text
    return answer


def messages(answer: Answer) -> list[str]:
    return [line["message"] for line in answer.body["lines"]]


def delete_lines(cloud: Cloud) -> None:
    """What CloudWatch does after the retention time: the empty stream stays."""
    for group in logs_backends["123456789012"]["eu-west-1"].groups.values():
        for stream in group.streams.values():
            stream.events.clear()


def delete_stream(cloud: Cloud) -> None:
    group, job, stream = cloud.build(1)["log_path"].rsplit("/", 2)
    client("logs").delete_log_stream(logGroupName=group, logStreamName=f"{job}/{stream}")


def test_a_log_is_not_complete_in_the_first_seconds_after_the_end(failed: Cloud) -> None:
    first = read(failed)
    assert (len(messages(first)), first.body["complete"]) == (3, False)
    assert "retry-after" not in first.headers
    at_the_end = f"cursor={first.body['next_cursor']}"
    waiting = read(failed, at_the_end)
    assert (messages(waiting), waiting.body["complete"]) == ([], False)
    assert waiting.headers["retry-after"] == "2"
    failed.write_log(1, "late")
    assert messages(read(failed, at_the_end)) == ["late"]
    failed.advance(LAG - 1)
    assert read(failed).body["complete"] is False
    failed.advance(1)
    whole = read(failed)
    assert (len(messages(whole)), whole.body["complete"]) == (4, True)
    assert "retry-after" not in whole.headers


def test_the_end_of_a_complete_log_is_complete_without_lines(failed: Cloud) -> None:
    failed.advance(LAG)
    first = read(failed)
    last = read(failed, f"cursor={first.body['next_cursor']}")
    assert (messages(last), last.body["complete"], last.body["expired"]) == ([], True, False)


def test_the_log_of_a_running_build_is_never_complete(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.write_log(1, "one")
    cloud.advance(600)
    assert read(cloud).body["complete"] is False


@pytest.mark.parametrize("empty", [1, 2])
def test_a_single_empty_answer_of_cloudwatch_is_not_the_end(
    failed: Cloud, monkeypatch: pytest.MonkeyPatch, empty: int
) -> None:
    """GetLogEvents may return no lines while more follow (its API reference)."""
    failed.advance(60)
    after_two = cursor_of(failed)
    answers = iter(range(empty))

    def get_log_events(**request: Any) -> Any:
        if next(answers, None) is None:
            return client("logs").get_log_events(**request)
        token = request["nextToken"]
        return {"events": [], "nextForwardToken": token if empty == 1 else f"{token}0"}

    with monkeypatch.context() as patch:
        logs = SimpleNamespace(get_log_events=get_log_events)
        patch.setattr("chalicelib.aws.logs.client", lambda _: logs)
        page = read(failed, after_two)
    assert (messages(page), page.body["complete"]) == ([], False)
    assert len(messages(read(failed, after_two))) == 1


def test_a_text_says_that_more_lines_follow(failed: Cloud) -> None:
    failed.advance(60)
    shown, cursor = [], ""
    for _ in range(2):
        page = read(failed, f"format=text&limit=2{cursor}")
        cursor = f"&cursor={page.headers['x-next-cursor']}"
        shown += page.text.splitlines()
    assert shown == [
        "one",
        "two",
        f"[more lines may follow: GET {LOG}?format=text&limit=2&{cursor_of(failed)}]",
        "[Container] Phase complete: BUILD State: FAILED",
    ]


def address_in(line: str) -> str:
    """The address of the next page in the last line of a text."""
    found = re.fullmatch(r"\[more lines may follow: GET (\S+)\]", line)
    assert found, line
    return found[1]


def cursor_of(cloud: Cloud) -> str:
    return f"cursor={read(cloud, 'limit=2').body['next_cursor']}"


def test_the_text_of_a_whole_log_has_only_its_lines(failed: Cloud) -> None:
    failed.advance(60)
    assert read(failed, "format=text").text.splitlines() == messages(read(failed))


def test_the_text_of_a_long_log_ends_with_the_cursor_of_the_rest(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED", log=failed_log(*(f"#7 {n}" for n in range(1100))))
    cloud.advance(60)
    first = read(cloud, "format=text")
    *lines, more = first.text.splitlines()
    assert len(lines) == 1000
    rest = cloud.api.get(address_in(more)).text.splitlines()
    assert len(lines) + len(rest) == len(failed_log(*map(str, range(1100))))
    assert not rest[-1].startswith("[more lines")


@pytest.mark.parametrize("delete", [delete_lines, delete_stream])
def test_a_log_that_cloudwatch_has_deleted_says_so(failed: Cloud, delete: Any) -> None:
    failed.advance(91 * 24 * 3600)
    assert read(failed).body["expired"] is False
    delete(failed)
    page = read(failed).body
    assert (page["lines"], page["complete"], page["expired"]) == ([], True, True)
    assert read(failed, "format=text").text == GONE


def test_a_log_without_lines_of_a_build_of_today_is_not_called_expired(failed: Cloud) -> None:
    """CloudWatch keeps lines for at least a day, so something else has prevented them."""
    failed.advance(60)
    delete_lines(failed)
    page = read(failed).body
    assert (page["lines"], page["complete"], page["expired"]) == ([], True, False)


def test_a_log_deleted_between_two_pages_says_so(failed: Cloud) -> None:
    failed.advance(91 * 24 * 3600)
    after_two = cursor_of(failed)
    delete_stream(failed)
    assert read(failed, after_two).body["expired"] is True


def test_a_log_of_a_build_that_never_ran_a_command_is_empty_and_complete(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED", log=[], fail_phase="PROVISIONING", message="No machine is free")
    cloud.advance(60)
    page = read(cloud).body
    assert (page["lines"], page["complete"], page["expired"]) == ([], True, False)
    assert read(cloud, "format=text").text == ""


def test_a_page_of_a_log_is_one_read_and_its_end_two_more(failed: Cloud, calls: Calls) -> None:
    failed.advance(60)
    for query, reads in (("limit=2", 1), ("", 3), (cursor_of(failed), 3)):
        calls.clear()
        read(failed, query)
        assert len(calls.to("logs.GetLogEvents")) == reads, query


def test_the_last_lines_of_a_log_come_with_the_cursor_of_what_follows(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.write_log(1, *(f"line {n}" for n in range(50)))
    page = read(cloud, "tail=3")
    assert messages(page) == ["line 47", "line 48", "line 49"]
    assert (page.body["complete"], page.headers["retry-after"]) == (False, "2")
    cloud.write_log(1, "line 50", "line 51")
    shown, cursor = [], page.body["next_cursor"]
    for _ in range(4):
        page = read(cloud, f"tail=3&limit=1&cursor={cursor}")
        shown += messages(page)
        cursor = page.body["next_cursor"]
    assert shown == ["line 50", "line 51"]


def test_the_end_of_a_whole_log_is_complete(failed: Cloud) -> None:
    failed.advance(60)
    for tail, shown in ((1, 1), (3, 3), (10_000, 3)):
        page = read(failed, f"tail={tail}")
        assert (len(messages(page)), page.body["complete"]) == (shown, True), tail
    text = read(failed, "format=text&tail=2").text.splitlines()
    assert text == ["two", "[Container] Phase complete: BUILD State: FAILED"]


def test_the_text_of_the_last_lines_says_where_the_log_goes_on(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.write_log(1, "one", "two", "three")
    *lines, more = read(cloud, "tail=2&format=text").text.splitlines()
    assert lines == ["two", "three"]
    cloud.write_log(1, "four")
    assert "tail" not in address_in(more)
    assert cloud.api.get(address_in(more)).text.splitlines()[0] == "four"


def test_the_end_of_a_missing_log_is_empty(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.enter_phase(1, "BUILD")
    page = read(cloud, "tail=5").body
    assert (page["lines"], page["complete"]) == ([], False)


@pytest.mark.parametrize("empty", [1, 2])
def test_an_empty_answer_of_cloudwatch_hides_no_last_lines(
    failed: Cloud, monkeypatch: pytest.MonkeyPatch, empty: int
) -> None:
    """A page that is empty or not full is not the end (GetLogEvents in the API reference)."""
    before = [f"b/{n:056d}" for n in range(3, 3 + empty)]

    def get_log_events(**request: Any) -> Any:
        if not before:
            return client("logs").get_log_events(**request)
        token = before.pop()
        return {"events": [], "nextForwardToken": f"f/{3:056d}", "nextBackwardToken": token}

    with monkeypatch.context() as patch:
        logs = SimpleNamespace(get_log_events=get_log_events)
        patch.setattr("chalicelib.aws.logs.client", lambda _: logs)
        page = read(failed, "tail=2")
    assert messages(page) == ["two", "[Container] Phase complete: BUILD State: FAILED"]
    failed.write_log(1, "late")
    assert messages(read(failed, f"cursor={page.body['next_cursor']}")) == ["late"]


def test_a_page_from_the_end_that_is_not_full_is_filled(
    failed: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = client("logs").get_log_events

    def get_log_events(**request: Any) -> Any:
        return real(**{**request, "limit": 1})

    with monkeypatch.context() as patch:
        logs = SimpleNamespace(get_log_events=get_log_events)
        patch.setattr("chalicelib.aws.logs.client", lambda _: logs)
        page = read(failed, "tail=2")
    assert messages(page) == ["two", "[Container] Phase complete: BUILD State: FAILED"]
    failed.write_log(1, "late")
    assert messages(read(failed, f"cursor={page.body['next_cursor']}")) == ["late"]


def lambda_response(answer: Answer) -> int:
    """The bytes of the function's response, in which Lambda's runtime escapes the body again."""
    return len(json.dumps({"statusCode": 200, "headers": answer.headers, "body": answer.text}))


LAMBDA_LIMIT = 6 * 1024 * 1024  # "Lambda quotas": invocation payload


@pytest.mark.parametrize("character", ['"', "\\", "x", "ä", "😀", "\t"])
def test_a_line_of_a_megabyte_is_a_page(cloud: Cloud, character: str) -> None:
    """An event has at most 1 MB (PutLogEvents, "Maximum event size")."""
    cloud.push(sha(1))
    cloud.settle()
    line = character * (1024 * 1024 // len(character.encode()) - 10)
    cloud.write_log(1, "before", line, "after")
    shown, query = [], ""
    for _ in range(4):
        began = time.process_time()
        page = read(cloud, query)
        assert time.process_time() - began < 3
        assert lambda_response(page) < LAMBDA_LIMIT
        shown += messages(page)
        query = f"cursor={page.body['next_cursor']}"
    assert shown == ["before", line, "after"]
    assert lambda_response(read(cloud, "tail=10000")) < LAMBDA_LIMIT
    assert messages(read(cloud, "tail=2")) == [line, "after"]


def test_pages_of_long_lines_fit_into_an_answer(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    lines = [f"{n:05}" + '"' * 195 for n in range(20_000)]
    for start in range(0, len(lines), 10_000):
        cloud.write_log(1, *lines[start : start + 10_000])
    shown: list[str] = []
    query = "limit=10000"
    while len(shown) < len(lines):
        page = read(cloud, query)
        assert 0 < lambda_response(page) < LAMBDA_LIMIT
        shown += messages(page)
        query = f"limit=10000&cursor={page.body['next_cursor']}"
    assert shown == lines


class MillionLines:
    """CloudWatch with a log of a million lines, as GetLogEvents pages through it."""

    total = 1_000_000

    def __init__(self) -> None:
        self.calls = 0

    def get_log_events(self, **request: Any) -> Mapping[str, Any]:
        self.calls += 1
        limit, token = request["limit"], request.get("nextToken")
        if token is None:
            first = 0 if request["startFromHead"] else self.total - limit
        else:
            first = int(token[2:]) if token.startswith("f") else int(token[2:]) - limit
        last = min(first + limit, self.total)
        return {
            "events": [{"timestamp": n, "message": f"{n}\n"} for n in range(first, last)],
            "nextForwardToken": f"f/{last}",
            "nextBackwardToken": f"b/{first}",
        }


def test_a_log_of_a_million_lines_is_read_in_pages(
    failed: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed.advance(60)
    log = MillionLines()
    monkeypatch.setattr("chalicelib.aws.logs.client", lambda _: log)
    last = read(failed, "tail=10000")
    assert messages(last) == [str(n) for n in range(990_000, log.total)]
    assert (last.body["complete"], log.calls) == (True, 3)
    following, query = 0, "limit=10000"
    for _ in range(3):
        page = read(failed, query)
        assert messages(page) == [str(n) for n in range(following, following + 10_000)]
        assert page.body["complete"] is False
        following += 10_000
        query = f"limit=10000&cursor={page.body['next_cursor']}"
