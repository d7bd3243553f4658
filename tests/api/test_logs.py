"""A log says when it is complete, when more lines follow, and when CloudWatch has deleted it."""

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
        f"[more lines may follow: add {cursor_of(failed)} to this request]",
        "[Container] Phase complete: BUILD State: FAILED",
    ]


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
    cursor = more.partition("add ")[2].partition(" ")[0]
    rest = read(cloud, f"format=text&{cursor}").text.splitlines()
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
