"""The dashboard says only what is true: lists, times, health and charts, in a real browser."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import Opener, refresh
from tests.page.test_dashboard import heading, started
from tests.support.embedded import CLUSTER, Cloud, create_ecs_service, register, run_on_ecs

pytestmark = pytest.mark.long


def add_services(cloud: Cloud, count: int) -> None:
    path = f"/v1/projects/{cloud.project}/services"
    for at in range(count):
        url = f"https://github.com/acme/app-{at}.git"
        body = {"name": f"service-{at:02}", "git_url": url, "image_repository": "hello"}
        assert cloud.api.post(path, body).status == 201


def answer_with(page: Page, path: str, status: int, body: str, kind: str = "text/html") -> None:
    page.route(path, lambda route: route.fulfill(status=status, content_type=kind, body=body))


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (503, "{}", "The services cannot be read now"),
        (403, '{"detail": "Forbidden by a firewall"}', "Forbidden by a firewall"),
        (200, "<html>Sign in to the hotel's network</html>", "The answer is not from Slipway"),
    ],
)
def test_a_list_that_cannot_be_read_is_not_said_to_be_live_or_stable(
    cloud: Cloud, open_page: Opener, status: int, body: str, why: str
) -> None:
    cloud.release(1)
    page = open_page()
    summary = page.locator(".head p").first
    expect(summary).to_have_text("1 service · all stable")
    page.wait_for_load_state("networkidle")
    answer_with(page, "**/v1/services?*", status, body)
    refresh(page)
    expect(page.locator("main .banner")).to_contain_text(why)
    expect(page.locator(".pulse")).to_have_text("Not connected")
    expect(summary).to_have_text("1 service")
    # The other polls get their answers, and must not hide it.
    with page.expect_response("**/v1/cicd/queue"):
        refresh(page)
    expect(page.locator(".pulse")).to_have_text("Not connected")
    page.unroute_all(behavior="wait")
    refresh(page)
    expect(summary).to_have_text("1 service · all stable")
    expect(page.locator(".pulse")).to_have_text("Live")


def test_a_list_of_which_a_page_is_missing_is_not_said_to_be_stable(
    cloud: Cloud, open_page: Opener
) -> None:
    add_services(cloud, 50)
    page = open_page(token=None)
    answer_with(page, "**/v1/services?*cursor*", 503, "{}")
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    expect(page.locator("main .banner")).to_contain_text("Not all services are shown")
    expect(page.locator(".head p").first).to_have_text("50 services so far")
    page.unroute_all(behavior="wait")


def test_the_queue_is_shown_behind_any_number_of_newer_jobs(
    cloud: Cloud, open_page: Opener
) -> None:
    running = started(cloud)
    waiting = [cloud.ask_for_build(git_ref=f"ref-{at}") for at in range(3)]
    cloud.settle()
    page = open_page(token=None)
    # The list of jobs has only newer ones.
    answer_with(page, "**/v1/cicd/jobs?*", 200, '{"items": [], "next_cursor": null}')
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    under_way = page.get_by_role("region", name="Under way")
    expect(under_way).to_contain_text(f"Build {running} of hello")
    queue = page.get_by_role("region", name="Queue")
    expect(queue).to_contain_text(f"Build {waiting[1]} of hello")
    expect(queue).to_contain_text("Place 1")
    page.wait_for_load_state("networkidle")
    answer_with(page, "**/v1/cicd/queue", 503, "{}")
    refresh(page)
    expect(queue).to_contain_text("The queue cannot be read now.")
    page.unroute_all(behavior="wait")


def test_a_queue_that_is_not_listed_to_its_end_says_so(cloud: Cloud, open_page: Opener) -> None:
    build = {"id": 7, "job_id": "build-7", "status": "queued", "service_id": 1, "position": 1}
    page = open_page(token=None)
    body = json.dumps({"items": [build], "total": 130})
    answer_with(page, "**/v1/cicd/queue", 200, body)
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    queue = page.get_by_role("region", name="Queue")
    expect(queue).to_contain_text("130 builds wait; not all are shown.")
    page.unroute_all(behavior="wait")


def test_a_running_log_is_asked_for_once_in_a_while(cloud: Cloud, open_page: Opener) -> None:
    number = started(cloud)
    page = open_page(token=None)
    page.clock.install()
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        line = {"timestamp": "2026-11-22T00:00:00.000Z", "message": f"line {len(asked)}"}
        body = {"lines": [line], "next_cursor": str(len(asked)), "complete": False}
        route.fulfill(content_type="application/json", body=json.dumps(body | {"expired": False}))

    page.route("**/logs?*", answer)
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    heading(page, "Services")
    page.goto(f"{page.url.partition('#')[0]}#/builds/{number}")
    for count in (1, 2, 3):
        expect(page.locator(".log-foot")).to_contain_text(f"{count} lines")
        assert len(asked) == count
        page.clock.run_for(1700)
    page.unroute_all(behavior="wait")


def test_a_log_goes_on_after_an_answer_that_is_not_from_slipway(
    cloud: Cloud, open_page: Opener
) -> None:
    number = started(cloud)
    cloud.write_log(number, "the first line")
    page = open_page(f"/builds/{number}")
    expect(page.get_by_text("the first line")).to_be_visible()
    answer_with(page, "**/logs?*", 200, "<html>Sign in to the hotel's network</html>")
    expect(page.locator(".log-foot")).to_contain_text("cannot be read now")
    expect(page.locator(".pulse")).to_have_text("Not connected")
    page.unroute_all(behavior="wait")
    cloud.write_log(number, "the second line")
    refresh(page)
    expect(page.get_by_text("the second line")).to_be_visible(timeout=2000)  # not at the next try


def test_no_entry_is_lost_when_newer_ones_come(cloud: Cloud, open_page: Opener) -> None:
    def change(times: int) -> None:
        for _ in range(times):
            cloud.change_service(build_minutes=10 + len(minutes) % 50)
            minutes.append(10 + len(minutes) % 50)

    minutes: list[int] = []
    change(60)
    page = open_page("/audit")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Load older").click()
    real = len(cloud.api.get("/v1/audit?limit=100").body["items"])
    expect(rows).to_have_count(real)
    change(20)  # all in one second
    refresh(page)
    expect(rows).to_have_count(real + 20)
    expect(rows.first).to_contain_text("22 Nov 2026, 00:0")  # a phone has no hover
    # More than a page: the first two pages are shown, and nothing is missing between them.
    change(55)
    refresh(page)
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Load older").click()
    expect(rows).to_have_count(real + 75)


def test_no_event_is_lost_when_newer_ones_come(cloud: Cloud, open_page: Opener) -> None:
    def build(times: int) -> None:
        for _ in range(times):
            number = cloud.ask_for_build()
            cloud.api.post(f"/v1/cicd/jobs/build-{number}/cancel")
            cloud.advance(60)

    build(25)
    page = open_page(f"/services/{cloud.service_id}", timezone_id="America/Los_Angeles")
    events = page.locator(".event")
    expect(events).to_have_count(20)
    # It is the 22nd in UTC. All times are the reader's, and so are the days.
    expect(page.locator(".day")).to_have_text("Saturday, 21 November 2026")
    page.get_by_role("button", name="Show older").click()
    expect(events).to_have_count(25)
    build(5)
    refresh(page)
    expect(events).to_have_count(30)


@pytest.mark.parametrize("wrong", [-1800, 7200])
def test_a_wrong_clock_of_the_computer_changes_no_time(
    cloud: Cloud, open_page: Opener, wrong: int
) -> None:
    cloud.release(1)
    cloud.advance(600)
    number = started(cloud)
    cloud.advance(120)
    page = open_page(token=None)
    page.add_init_script(
        f"const real = Date.now.bind(Date); Date.now = () => real() + {wrong * 1000};"
    )
    page.reload()
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    row = page.locator(".services tbody tr").first
    expect(row.locator("td[data-label=Since]")).to_contain_text("12 min ago")
    page.goto(f"{page.url.partition('#')[0]}#/builds/{number}")
    steps = page.get_by_role("region", name="Steps")
    expect(steps.locator(".card-aside")).to_have_text(re.compile("^2 min"))


def test_health_that_was_not_seen_is_not_said_to_be_good(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    page = open_page(token=None)

    def show(tasks: Any) -> None:
        def answer(route: Route) -> None:
            found = route.fetch()
            body = found.json()
            for service in body["items"]:
                service["tasks"] = tasks
            route.fulfill(response=found, body=json.dumps(body))

        page.unroute_all(behavior="wait")
        page.route("**/v1/services?*", answer)

    cell = page.locator("td[data-label=Tasks]").first
    show(None)
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    expect(cell).to_have_text("Not seen yet")
    expect(cell.locator(".status")).to_have_class(re.compile("ended"))
    show({"running": 0, "desired": 0, "seen_at": "2026-11-22T00:00:00Z"})
    page.reload()
    expect(cell).to_have_text("0 wanted")
    expect(cell.locator(".status")).to_have_class(re.compile("ended"))
    expect(cell.locator("span[title]").first).to_have_attribute("title", re.compile("^since "))
    page.unroute_all(behavior="wait")


def test_each_dora_key_has_a_chart_and_a_table_for_the_keyboard(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    cloud.advance(600)
    cloud.release(3)
    page = open_page("/metrics")
    wanted = {
        "Deployment frequency": "2",
        "Lead time": "s|min",
        "Change failure rate": "33 %",
        "Time to restore": "min",
    }
    for title, value in wanted.items():
        chart = page.get_by_role("region", name=title)
        place = chart.locator(".u-over")
        box = place.bounding_box()
        assert box is not None
        place.hover(position={"x": box["width"] - 4, "y": box["height"] / 2})
        expect(chart.locator(".chart-value")).to_have_text(re.compile(f": .*({value})"))
        chart.locator("summary").focus()
        page.keyboard.press("Enter")
        expect(chart.locator("tbody tr").first).to_contain_text(re.compile(value))
    chart = page.get_by_role("region", name="Deployments per day")
    chart.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(chart.locator("tbody tr")).to_have_count(30)
    expect(chart.locator("tbody tr").first).to_contain_text("2")


def test_a_link_to_another_line_of_the_same_log_moves_there(
    cloud: Cloud, open_page: Opener
) -> None:
    number = started(cloud)
    cloud.write_log(number, *(f"line {at} of many" for at in range(1, 501)))
    page = open_page(f"/builds/{number}?line=10")
    chosen = page.locator(".log-row.chosen")
    expect(chosen).to_contain_text("line 10 of many")
    page.evaluate(f"location.hash = '#/builds/{number}?line=400'")
    expect(chosen).to_contain_text("line 400 of many")
    expect(chosen).to_be_in_viewport()
    page.go_back()
    expect(chosen).to_contain_text("line 10 of many")
    expect(chosen).to_be_in_viewport()


def test_lines_are_chosen_with_the_keyboard(cloud: Cloud, open_page: Opener) -> None:
    number = started(cloud)
    cloud.write_log(number, *(f"line {at} of many" for at in range(1, 301)))
    page = open_page(f"/builds/{number}?line=5")
    expect(page.locator(".log-row.chosen")).to_be_visible()
    page.locator(".log-scroll").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Line 5", exact=True)).to_be_focused()
    for _ in range(60):
        page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Line 65", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    assert page.url.endswith("?line=65")
    expect(page.locator(".log-row.chosen")).to_be_in_viewport()


def test_the_filter_and_the_page_of_services_are_in_the_address(
    cloud: Cloud, open_page: Opener
) -> None:
    add_services(cloud, 60)
    page = open_page()
    expect(page.get_by_text("61 services ·")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    first = page.locator(".services tbody .name").first
    expect(first).to_have_text("service-24")
    last = page.locator(".services tbody .name").last
    last.scroll_into_view_if_needed()
    top = page.evaluate("scrollY")
    assert top > 0
    last.click()
    heading(page, "service-48")
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(first).to_have_text("service-24")
    page.wait_for_function(f"scrollY === {top}", timeout=5000)
    field = page.get_by_label("Filter services")
    field.fill("service-01")
    expect(first).to_have_text("service-01")
    page.get_by_role("link", name="Services", exact=True).first.click()
    expect(field).to_have_value("")
    expect(page.get_by_text("Page 1 of 3")).to_be_visible()


def test_what_was_chosen_outside_slipway_is_not_said_to_be_a_release(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.release(1), cloud.release(2)
    cloud.advance(300)
    run_on_ecs(register("hello", "hello:hotfix"), "hello")
    cloud.wake(f"service-{cloud.service_id}")
    cloud.settle()
    page = open_page("/")
    expect(page.locator(".services tbody tr")).to_contain_text("ECS runs something else")
    page.get_by_role("link", name="hello").first.click()
    expect(page.get_by_role("region", name="Last release")).to_contain_text("Deployment 2")
    expect(page.locator(".event", has_text="Deployment 2").first).to_contain_text("last release")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("label", has_text="Build 1").click()
    now = dialog.locator(".side").first
    expect(now).to_contain_text("No release of Slipway")
    expect(now).to_contain_text("hello:hotfix")
    expect(now).not_to_contain_text("rolled out")
    dialog.get_by_role("button", name="Close", exact=True).first.click()
    expect(page.get_by_text("runs now", exact=False)).to_have_count(0)


def test_a_service_of_the_images_of_another_one_names_it(cloud: Cloud, open_page: Opener) -> None:
    create_ecs_service("worker", desired=1)
    body = {"name": "worker", "image_from": cloud.service_id, "ecs_cluster": CLUSTER}
    body |= {"ecs_service": "worker", "containers": ["app"], "auto_deploy": True}
    path = f"/v1/projects/{cloud.project}/services"
    worker = cloud.api.post(path, body).body["id"]
    page = open_page(f"/services/{worker}")
    expect(page.locator(".head p")).to_have_text("Deploys the images of hello")
    under_way = page.get_by_role("region", name="Under way")
    expect(under_way).to_contain_text("The next image of hello is deployed.")
    page.evaluate("location.hash += '/nothing'")
    expect(page.get_by_text("Not found")).to_be_visible()


def test_what_is_not_known_yet_is_not_said_to_be_nothing(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    page = open_page(token=None)
    answer_with(page, "**/v1/cicd/**", 503, "{}")
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="hello").first.click()
    under_way = page.get_by_role("region", name="Under way")
    expect(under_way).to_have_text(re.compile("What is under way cannot be read now.$"))
    runs = page.get_by_role("region", name="Runs now")
    expect(runs).to_contain_text("Slipway could not show the release")
    page.unroute_all(behavior="wait")
    refresh(page)
    expect(runs).to_contain_text("Build 1")
    expect(under_way).to_contain_text("Nothing is under way.")
    page.evaluate("window.reportError = () => {}")
    answer_with(page, "**/v1/cicd/metrics?*", 200, '{"from": 0}')
    page.get_by_role("link", name="Metrics").first.click()
    expect(page.get_by_role("alert")).to_contain_text("This part of the page has failed")
    page.get_by_role("link", name="Tokens").first.click()
    heading(page, "Tokens")
    page.unroute_all(behavior="wait")
