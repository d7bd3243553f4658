"""The log of a deployment: what Slipway, ECS, the release command and the containers said."""

import json
from typing import Any

import pytest

from chalicelib.domain.lag import LAG
from chalicelib.pipeline.glances import SHARED
from infra.local.aws import ecs
from tests.support.client import Answer
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    client,
    ecs_service,
    log_to_cloudwatch,
    put_image,
    sha,
)
from tests.support.sdk import Calls, Trouble

HOUR = 3600
COMMAND = ["python", "manage.py", "migrate"]


def read(cloud: Cloud, query: str = "", *, number: int = 1) -> Answer:
    answer = cloud.api.get(f"/v1/cicd/deployments/{number}/logs?{query}")
    assert answer.status == 200, answer.text
    return answer


def messages(answer: Answer) -> list[str]:
    return [line["message"] for line in answer.body["lines"]]


def said_by(source: str, answer: Answer) -> list[str]:
    return [m.removeprefix(f"[{source}] ") for m in messages(answer) if m.startswith(f"[{source}]")]


def following(cloud: Cloud, page: Answer, *, number: int = 1, query: str = "") -> Answer:
    return read(cloud, f"cursor={page.body['next_cursor']}&{query}", number=number)


def read_all(cloud: Cloud, query: str = "", *, number: int = 1) -> list[str]:
    """The messages of all pages, until the log is complete."""
    page = read(cloud, query, number=number)
    shown = messages(page)
    for _ in range(200):
        if page.body["complete"]:
            return shown
        page = following(cloud, page, number=number, query=query)
        shown += messages(page)
    raise AssertionError("the log has no end")


def write(cloud: Cloud, *lines: str, task: int = 0) -> None:
    """The main container of a task of the newest rollout writes lines."""
    engine = ecs.engine()
    found = engine.tasks(ecs_service()["deployments"][0]["id"])[task]
    (container,) = (each for each in found.containers if each.name == "app")
    engine.fleet.logs.write(container.definition, found.id, lines)


def run_tasks(running: int) -> None:
    """So many tasks of the newest rollout are healthy."""
    ecs.engine().report(CLUSTER, "hello", ecs_service()["deployments"][0]["id"], running=running)


def test_a_rollout_is_followed_from_its_begin_to_its_end(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.advance(5)
    cloud.begin_release(1)
    page = read(cloud)
    assert (page.body["complete"], page.headers["retry-after"]) == (False, "2")
    shown = messages(page)
    assert shown[0].startswith("[slipway] ")
    assert "accepted from" in shown[0]
    assert any("the rollout of hello:" in each for each in shown)
    assert any(each.startswith("[ecs] (service hello)") for each in shown)
    cloud.advance(SHARED + 1)
    run_tasks(1)
    write(cloud, "listening")
    page = following(cloud, page)
    assert said_by("app", page) == ["listening"]
    shown += messages(page)
    write(cloud, "first request")
    page = following(cloud, page)
    assert messages(page) == ["[app] first request"]
    shown += messages(page)
    cloud.advance(SHARED + 1)
    cloud.finish_rollout()
    page = following(cloud, page)
    assert said_by("slipway", page) == ["ended: success"]
    assert any("steady state" in each or "completed" in each for each in said_by("ecs", page))
    shown += messages(page)
    assert page.body["complete"] is False
    cloud.advance(LAG)
    page = following(cloud, page)
    assert (messages(page), page.body["complete"]) == ([], True)
    assert "retry-after" not in page.headers
    assert sorted(shown) == sorted(read_all(cloud))
    times = [line["timestamp"] for line in read(cloud).body["lines"]]
    assert times == sorted(times)


def test_a_failed_rollout_says_why_its_tasks_stopped_and_what_they_wrote(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    cloud.fail_rollout(exit_code=3, log=["starting", "KeyError: 'DATABASE_URL'"])
    cloud.advance(LAG)
    shown = read_all(cloud)
    stopped = [each for each in shown if " stopped: container app exited with code 3" in each]
    assert len(stopped) == 3
    assert "[app] KeyError: 'DATABASE_URL'" in shown
    assert any(each.startswith("[slipway] ended: failed: container app") for each in shown)
    assert any("deployment failed" in each for each in shown if each.startswith("[ecs]"))


def interrupt(cloud: Cloud, how: str, number: int) -> None:
    if how == "roll back":
        assert cloud.roll_back().status == 202
    else:
        cloud.api.post(f"/v1/cicd/jobs/deploy-{number}/cancel")
    cloud.advance(1)
    cloud.settle()
    cloud.finish_rollout()


@pytest.mark.parametrize("how", ["roll back", "cancel"])
def test_the_log_of_an_interrupted_rollout_outlives_what_ecs_shows(cloud: Cloud, how: str) -> None:
    log_to_cloudwatch(cloud)
    cloud.release(1)
    cloud.advance(MINUTE)
    cloud.begin_release(2)
    run_tasks(1)
    write(cloud, "KeyError: boom")
    cloud.tick()
    cloud.advance(5)
    interrupt(cloud, how, 2)
    cloud.advance(LAG)
    early = read_all(cloud, number=2)
    assert "[app] KeyError: boom" in early
    events = [each for each in early if each.startswith("[ecs] (service hello)")]
    assert any("has started 2 tasks" in each for each in events)
    cloud.advance(2 * HOUR)
    late = read_all(cloud, number=2)
    assert [each for each in late if each.startswith("[ecs] (service hello)")] == events
    assert "[app] KeyError: boom" in late
    assert late[-2] == "[slipway] what ECS said after Slipway's last look was not kept"


def test_the_log_of_a_crash_loop_that_was_cancelled_has_its_events(cloud: Cloud) -> None:
    """The number of running tasks never changes."""
    cloud.begin_release(1)
    new = ecs_service()["deployments"][0]["id"]
    cloud.tick()
    for _ in range(2):
        ecs.engine().report(CLUSTER, "hello", new, running=0, failed=1, exit_code=3)
        cloud.tick()
    early = events_shown(cloud)
    interrupt(cloud, "cancel", 1)
    assert cloud.statuses(1) == ["cancelled"]
    cloud.advance(2 * HOUR)
    assert len(early) > 1
    assert events_shown(cloud) == early


@pytest.mark.parametrize("how", ["roll back", "cancel"])
def test_what_ecs_said_after_the_loops_last_look_is_kept_when_a_request_ends_a_rollout(
    cloud: Cloud, how: str
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.tick()
    new = ecs_service()["deployments"][0]["id"]
    cloud.advance(50)
    ecs.engine().report(CLUSTER, "hello", new, running=0, failed=1, exit_code=3)
    early = [each for each in messages(read(cloud, number=2)) if each.startswith("[ecs] (service")]
    cloud.advance(1)
    interrupt(cloud, how, 2)
    cloud.advance(2 * HOUR)
    late = [each for each in read_all(cloud, number=2) if each.startswith("[ecs] (service")]
    assert len(early) > 1
    assert late == early


def test_a_rollout_ends_by_a_request_although_ecs_does_not_answer(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.begin_release(1)
    trouble.refuse("ecs.DescribeServices", "ThrottlingException", times=20)
    assert cloud.api.post("/v1/cicd/jobs/deploy-1/cancel").status == 202
    trouble.end()
    assert cloud.statuses(1) == ["cancelled"]
    assert events_shown(cloud)


def test_a_log_says_what_was_not_kept(cloud: Cloud, trouble: Trouble) -> None:
    cloud.release(1)
    cloud.deploy(f"hello@{put_image('hello', 'other')}")
    cloud.wake(f"service-{cloud.service_id}")
    assert cloud.deployment(2)["started_at"] is not None
    trouble.refuse("ecs.DescribeServices", "ThrottlingException", times=20)
    cloud.api.post("/v1/cicd/jobs/deploy-2/cancel")
    trouble.end()
    cloud.advance(2 * HOUR)
    shown = read_all(cloud, number=2)
    assert shown[-2] == "[slipway] what ECS and the containers said was not kept"
    assert shown[-1].startswith("[slipway] ended: cancelled")


def test_a_rollout_goes_on_if_its_tasks_cannot_be_noted(cloud: Cloud, trouble: Trouble) -> None:
    cloud.begin_release(1)
    run_tasks(1)
    trouble.refuse("ecs.ListTasks", "AccessDeniedException", times=1)
    cloud.tick()
    trouble.end()
    assert cloud.deployment(1)["step"] == "1 of 2 tasks run"
    cloud.finish_rollout()
    assert cloud.statuses(1) == ["success"]


@pytest.mark.parametrize("logs_stay", [True, False])
def test_the_log_of_a_failure_outlives_what_ecs_shows(cloud: Cloud, logs_stay: bool) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    cloud.fail_rollout(exit_code=3, log=["starting", "KeyError: 'DATABASE_URL'"])
    cloud.advance(LAG)
    early = read_all(cloud)
    cloud.advance(2 * HOUR)
    if not logs_stay:
        client("logs").delete_log_group(logGroupName="/ecs/hello")
    late = read_all(cloud)
    for part in ("[slipway]", "[ecs] (service hello)"):
        assert [e for e in late if e.startswith(part)] == [e for e in early if e.startswith(part)]
    assert "[app] KeyError: 'DATABASE_URL'" in late
    assert any("stopped: container app exited with code 3" in each for each in late)


def test_the_end_of_a_kept_log_is_not_repeated_with_a_cursor(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    cloud.fail_rollout(exit_code=3, log=["starting"])
    client("logs").delete_log_group(logGroupName="/ecs/hello")
    cloud.advance(2 * HOUR)
    page = read(cloud)
    assert "[app] starting" in messages(page)
    again = following(cloud, page)
    assert (messages(again), again.body["complete"]) == ([], True)


def test_the_log_of_an_old_success_has_its_events(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(LAG)
    early = read_all(cloud)
    cloud.advance(30 * 24 * HOUR)
    cloud.release(2)
    late = read_all(cloud)
    assert late == early
    assert any(each.startswith("[ecs] (service hello)") for each in late)


def test_lines_of_a_release_after_its_deployment_are_not_in_the_log(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.release(1)
    write(cloud, "part of the deployment")
    cloud.advance(LAG + 1)
    write(cloud, *(f"request {n}" for n in range(300)))
    shown = read_all(cloud)
    assert "[app] part of the deployment" in shown
    assert not [each for each in shown if "request" in each]


def test_events_of_the_next_rollout_are_not_in_the_log(cloud: Cloud) -> None:
    cloud.release(1)
    own = events_shown(cloud)
    cloud.advance(1)
    cloud.begin_release(2)
    assert events_shown(cloud) == own
    cloud.advance(LAG)
    assert events_shown(cloud) == own
    (started,) = said_by("ecs", read(cloud, number=2))
    assert "has started 2 tasks" in started
    assert started not in own


def events_shown(cloud: Cloud) -> list[str]:
    return [each for each in messages(read(cloud)) if each.startswith("[ecs] (service")]


def test_the_output_of_a_release_command_is_read_while_it_runs_and_whole(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.change_service(release_command=COMMAND)
    cloud.begin_release(1)
    launcher = ecs.engine().launcher
    launcher.begin(launcher.started[-1])
    cloud.settle()
    task = launcher.started[-1]
    (container,) = (each for each in task.containers if each.name == "app")
    ecs.engine().fleet.logs.write(container.definition, task.id, [f"row {n}" for n in range(150)])
    page = read(cloud, "limit=100")
    assert "the release command is started: python manage.py migrate" in said_by("slipway", page)
    shown = said_by("release command", page)
    assert shown[0] == "row 0"
    page = following(cloud, page)
    shown += said_by("release command", page)
    assert shown == [f"row {n}" for n in range(150)]
    launcher.end(task, 0, log=["done"])
    cloud.settle()
    page = following(cloud, page)
    assert said_by("release command", page) == ["done"]
    assert "the release command has ended with exit code 0" in said_by("slipway", page)
    assert any(each.startswith("the rollout of") for each in said_by("slipway", page))


def test_the_output_of_a_failed_release_command_outlives_cloudwatch(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.change_service(release_command=COMMAND)
    cloud.begin_release(1)
    cloud.end_command(2, log=["no such table: users"])
    cloud.advance(LAG)
    client("logs").delete_log_group(logGroupName="/ecs/hello")
    shown = read_all(cloud)
    assert shown.count("[release command] no such table: users") == 1
    assert "[slipway] the release command has ended with exit code 2" in shown


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_of_any_size_have_each_line_once(cloud: Cloud, limit: int) -> None:
    log_to_cloudwatch(cloud)
    cloud.change_service(release_command=COMMAND)
    cloud.begin_release(1)
    cloud.end_command(0, log=["migrated", "done"])
    cloud.fail_rollout(exit_code=1, log=["one", "two"])
    cloud.advance(LAG)
    whole = read_all(cloud)
    assert len(whole) > 10
    page = read(cloud, f"limit={limit}")
    paged = messages(page)
    while not page.body["complete"]:
        page = following(cloud, page, query=f"limit={limit}")
        assert len(messages(page)) <= limit
        paged += messages(page)
    assert sorted(paged) == sorted(whole)


def test_a_long_crash_loop_is_followed_without_repetition(cloud: Cloud) -> None:
    cloud.begin_release(1)
    page = read(cloud)
    shown = messages(page)
    new = ecs_service()["deployments"][0]["id"]
    for _ in range(30):
        ecs.engine().report(CLUSTER, "hello", new, running=0, failed=20, exit_code=1)
        page = following(cloud, page)
        shown += messages(page)
        cloud.advance(HOUR // 5 + 1)
    assert len([each for each in shown if " stopped: " in each]) >= 600
    assert len(set(shown)) == len(shown)


def test_the_last_lines_come_with_the_cursor_of_what_follows(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    run_tasks(1)
    cloud.advance(1)
    write(cloud, *(f"line {n}" for n in range(300)))
    page = read(cloud, "tail=2")
    assert messages(page) == ["[app] line 298", "[app] line 299"]
    write(cloud, "line 300")
    assert messages(following(cloud, page, query="tail=2")) == ["[app] line 300"]


def test_text_ends_with_the_address_of_what_follows(cloud: Cloud) -> None:
    cloud.begin_release(1)
    text = read(cloud, "format=text&tail=1").text.splitlines()
    assert text[-1].startswith("[more lines may follow: GET /v1/cicd/deployments/1/logs?format=")
    address = text[-1].partition("GET ")[2].removesuffix("]")
    assert len(cloud.api.get(address).text.splitlines()) == 1
    cloud.finish_rollout()
    cloud.advance(LAG)
    whole = read(cloud, "format=text").text.splitlines()
    assert whole == read_all(cloud)


def test_secrets_and_values_of_variables_are_hidden(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud, PASSWORD="correct-horse")
    cloud.begin_release(1)
    run_tasks(1)
    write(cloud, "password correct-horse", f"\x1b[31mtoken ghp_{'a1' * 20}\x1b[0m")
    assert said_by("app", read(cloud)) == ["password ***", "token ***"]


def test_a_page_without_room_for_a_containers_log_does_not_show_its_kept_end(cloud: Cloud) -> None:
    """The next page reads the log itself."""
    log_to_cloudwatch(cloud)
    cloud.change_service(release_command=COMMAND)
    cloud.begin_release(1)
    cloud.end_command(0, log=["x" * 400 for _ in range(800)])
    cloud.fail_rollout(exit_code=3, log=["KeyError: boom"])
    cloud.advance(LAG)
    whole = read_all(cloud, "limit=500")
    assert whole.count("[app] KeyError: boom") == 3  # one line of each task
    assert sorted(read_all(cloud, "limit=5000")) == sorted(whole)


@pytest.mark.parametrize(
    ("refused", "left"),
    [
        ("ecs.DescribeServices", {"slipway", "app", "ecs"}),  # events that the loop has noted
        ("ecs.ListTasks", {"slipway", "ecs"}),
        ("ecs.DescribeTasks", {"slipway", "ecs"}),
        ("logs.GetLogEvents", {"slipway", "ecs"}),
    ],
)
def test_a_denied_look_is_a_line_of_the_log(
    cloud: Cloud, trouble: Trouble, refused: str, left: set[str]
) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    run_tasks(1)
    write(cloud, "listening")
    page, denied = None, []
    for _ in range(2):
        trouble.refuse(refused, "AccessDeniedException: not authorized", times=6)
        page = read(cloud) if page is None else following(cloud, page)
        trouble.end()
        denied += [each for each in said_by("slipway", page) if each.startswith("not shown: ")]
    assert len(denied) == 1
    assert "not authorized" in denied[0]
    trouble.refuse(refused, "AccessDeniedException: not authorized", times=6)
    assert {each.partition("]")[0][1:] for each in messages(read(cloud))} == left


@pytest.mark.parametrize(
    "failing", ["ecs.DescribeServices", "ecs.ListTasks", "ecs.DescribeTasks", "logs.GetLogEvents"]
)
def test_a_look_without_an_answer_is_made_again_with_the_next_page(
    cloud: Cloud, trouble: Trouble, failing: str
) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    cloud.fail_rollout(exit_code=3, log=["starting"])
    cloud.advance(LAG)
    whole = read_all(cloud)
    cloud.advance(SHARED + 1)
    trouble.refuse(failing, "ThrottlingException", times=20)
    page = read(cloud)
    trouble.end()
    assert page.body["complete"] is False
    rest, seen = page, messages(page)
    while not rest.body["complete"]:
        rest = following(cloud, rest)
        seen += messages(rest)
    assert sorted(seen) == sorted(whole)


def test_the_number_of_calls_is_bounded_with_many_tasks(cloud: Cloud, calls: Calls) -> None:
    log_to_cloudwatch(cloud)
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=150)
    cloud.begin_release(1)
    run_tasks(150)
    calls.clear()
    read(cloud)
    assert calls.counted == {
        "dynamodb.GetItem": 3,
        "ecs.DescribeServices": 1,
        "ecs.ListTasks": 2,
        "ecs.DescribeTasks": 2,
        "logs.GetLogEvents": 10,
    }


def looks_at_ecs(calls: Calls) -> dict[str, int]:
    found = {name: n for name, n in calls.counted.items() if name.startswith("ecs.")}
    calls.clear()
    return found


def test_viewers_of_a_rollout_share_the_looks_at_ecs(cloud: Cloud, calls: Calls) -> None:
    cloud.begin_release(1)
    calls.clear()
    path = "/v1/cicd/deployments/1"
    tag = cloud.api.get(path).headers["etag"]
    once = {"ecs.ListTasks": 2, "ecs.DescribeTasks": 1}
    assert looks_at_ecs(calls) == once
    for _ in range(5):
        assert cloud.api.get(path, headers={"If-None-Match": tag}).status == 304
        cloud.deployment(1)
    assert looks_at_ecs(calls) == {}
    for _ in range(5):
        read(cloud)
    assert looks_at_ecs(calls) == {"ecs.DescribeServices": 1}
    cloud.advance(SHARED + 1)
    run_tasks(1)
    calls.clear()
    for _ in range(5):
        read(cloud)
        tasks = cloud.deployment(1)["tasks"]
    assert looks_at_ecs(calls) == {**once, "ecs.DescribeServices": 1}
    own = [each for each in tasks if each["revision"] == tasks[0]["revision"]]
    assert sum(each["started_at"] is not None for each in own) == 1


def test_viewers_of_different_services_share_no_look(cloud: Cloud) -> None:
    cloud.add_service("other", branch="other")
    cloud.begin_release(1)
    cloud.push(sha(2), branch="other")
    cloud.settle()
    cloud.finish_build(2)
    tasks = [{each["id"] for each in cloud.deployment(number)["tasks"]} for number in (1, 2)]
    assert all(tasks)
    assert not tasks[0] & tasks[1]


def test_the_last_page_needs_a_look_after_the_end(cloud: Cloud, calls: Calls) -> None:
    """Its deployment's tasks may stop until then."""
    cloud.release(1)
    cloud.advance(LAG - 1)
    assert read(cloud).body["complete"] is False
    cloud.advance(1)
    calls.clear()
    assert read(cloud).body["complete"] is True
    assert looks_at_ecs(calls)["ecs.ListTasks"] == 2


def test_a_page_of_many_long_lines_fits_into_an_answer(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    run_tasks(2)
    line = '"' * 1_000_000
    page = read(cloud)
    for task in (0, 1):
        write(cloud, line, line, task=task)
    shown = []
    for _ in range(6):
        page = following(cloud, page)
        shown += said_by("app", page)
        size = len(json.dumps({"statusCode": 200, "body": page.text}))
        assert size < 6 * 1024 * 1024  # "Lambda quotas": invocation payload
    assert shown == [line] * 4


def test_an_event_of_several_lines_is_shown_as_lines(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    run_tasks(1)
    write(cloud, "Traceback:\n  File\nKeyError\n")
    assert said_by("app", read(cloud)) == ["Traceback:", "  File", "KeyError"]


def test_an_event_of_very_many_lines_is_one_line(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    run_tasks(1)
    write(cloud, "x\n" * 500_000)
    page = read(cloud, "limit=10000")
    assert said_by("app", page) == ["x" * 500_000]


def test_a_deployment_that_waits_has_a_log(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.deploy(f"hello@{put_image('hello', 'other')}")
    page = read(cloud, number=2)
    assert len(messages(page)) == 1
    assert page.body["complete"] is False
    cloud.api.post("/v1/cicd/jobs/deploy-2/cancel")
    cloud.advance(LAG)
    assert read_all(cloud, number=2)[-1].startswith("[slipway] ended: cancelled: cancelled by")


def test_a_forged_cursor_leads_to_no_other_log(cloud: Cloud, calls: Calls) -> None:
    """A cursor has tokens only: the streams come from the deployment's own tasks."""
    log_to_cloudwatch(cloud)
    cloud.begin_release(1)
    run_tasks(1)
    page = read(cloud)
    calls.clear()
    following(cloud, page)
    own = {task.id for task in ecs.engine().tasks(ecs_service()["deployments"][0]["id"])}
    streams = {call["logStreamName"] for call in calls.to("logs.GetLogEvents")}
    assert streams
    assert all(stream.rpartition("/")[2] in own for stream in streams)


def test_a_cursor_of_another_log_is_refused(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    cursor: Any = read(cloud).body["next_cursor"]
    answer = cloud.api.get(f"/v1/cicd/deployments/2/logs?cursor={cursor}")
    assert (answer.status, answer.body["code"]) == (400, "invalid_cursor")
