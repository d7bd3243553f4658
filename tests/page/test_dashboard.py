"""What a person does with the dashboard, in a real browser, against the embedded cloud."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from chalicelib.domain.lag import LAG
from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token, get_token, revoke_token
from tests.page.conftest import Opener, refresh
from tests.support.codebuild_log import failed_log
from tests.support.embedded import Cloud, sha

PHONE = {"width": 360, "height": 740}


def started(cloud: Cloud, **changes: Any) -> int:
    """Push a commit; CodeBuild runs its build, whose number is returned."""
    number = int(cloud.push(sha(1), **changes).body["builds"][0]["build_id"])
    cloud.settle()
    cloud.enter_phase(number, "BUILD")
    return number


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()


def test_a_token_signs_in_for_this_tab_only_and_is_never_in_an_address(
    cloud: Cloud, open_page: Opener
) -> None:
    page = open_page(token=None)
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    field = page.get_by_label("Token")
    field.fill("not a token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("begins with slw_")
    field.fill(create_token("gone", Role.ADMIN).secret[:-1] + "x")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("token")
    field.fill(cloud.api.token)
    field.press("Enter")
    heading(page, "Services")
    assert not [each for each in [*addresses, page.url] if "slw_" in each]
    assert page.evaluate("JSON.stringify(localStorage)").find("slw_") < 0
    page.locator("summary", has_text="tests").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize(
    ("days", "said", "stored"),
    [("90", "It expires in 90 d.", "2027-02-20T00:00:00Z"), ("", "It never expires.", None)],
)
def test_a_new_token_says_when_it_expires(
    cloud: Cloud, open_page: Opener, days: str, said: str, stored: str | None
) -> None:
    page = open_page("/tokens")
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("ci")
    dialog.get_by_label("Expires").select_option(days)
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("dialog")).to_contain_text(said)
    assert cloud.api.get("/v1/tokens").body["items"][0]["expires_at"] == stored
    page.get_by_role("button", name="Done").click()
    page.locator("summary", has_text="tests").click()
    expect(page.get_by_text("Never expires")).to_be_visible()


def test_a_running_build_is_followed_to_its_end(cloud: Cloud, open_page: Opener) -> None:
    number = started(cloud)
    cloud.write_log(number, "Building the image", "#5 [1/2] FROM alpine")
    page = open_page(f"/builds/{number}")
    heading(page, f"Build {number}")
    status = page.locator(".head .status").first
    expect(status).to_have_text("Building")
    expect(page.get_by_text("#5 [1/2] FROM alpine")).to_be_visible()
    cloud.write_log(number, "#6 [2/2] RUN make")
    expect(page.locator(".log-row").get_by_text("#6 [2/2] RUN make")).to_be_visible()
    cloud.finish_build(number)
    refresh(page)
    expect(status).to_have_text("Succeeded")
    expect(page.get_by_role("link", name="Deployment 1")).to_be_visible()
    cloud.advance(LAG + 1)
    expect(page.locator(".log-foot")).to_contain_text("Complete")
    expect(page.locator("[aria-live=polite]")).to_have_text(f"Build {number} succeeded.")


def test_a_log_follows_its_end_until_the_reader_scrolls_up(cloud: Cloud, open_page: Opener) -> None:
    number = started(cloud)
    cloud.write_log(number, *(f"line {at} of many" for at in range(1, 401)))
    page = open_page(f"/builds/{number}")
    expect(page.get_by_text("line 400 of many", exact=True)).to_be_visible()
    page.locator(".log-scroll").hover()
    page.mouse.wheel(0, -3000)
    jump = page.get_by_role("button", name="Jump to end")
    expect(jump).to_be_visible()
    cloud.write_log(number, "line 401 of many")
    expect(page.locator(".log-foot")).to_contain_text("401 lines")
    expect(page.get_by_text("line 401 of many", exact=True)).not_to_be_visible()
    jump.click()
    expect(page.get_by_text("line 401 of many", exact=True)).to_be_visible()


def test_a_failed_build_shows_its_cause_without_a_click(cloud: Cloud, open_page: Opener) -> None:
    number = started(cloud)
    cloud.end_build(number, "FAILED", log=failed_log())
    failure = cloud.build(number)["failure"]
    page = open_page()
    attention = page.get_by_role("region", name="Needs attention")
    expect(attention).to_contain_text(f"Build {number} failed")
    expect(page.locator(".head p")).to_have_text("1 service · 1 needs attention")
    expect(attention).to_contain_text(cloud.build(number)["error"][:60])
    attention.get_by_role("link", name="Show why").click()
    cause = page.locator(".failure")
    expect(cause).to_contain_text(failure["summary"])
    expect(cause).to_contain_text("No rule to make target 'all'")
    expect(cause).to_be_in_viewport()
    expect(page.locator(".steps .failed-step").first).to_contain_text("Building the image")
    expect(page.locator(".result .facts div", has_text="Deployed")).to_have_text("Deployedno")


def test_a_failed_deployment_stays_in_sight_until_the_next_success(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    again = cloud.deploy_build(1)
    cloud.api.post(f"/v1/cicd/jobs/deploy-{again}/cancel")
    cloud.settle()
    page = open_page()
    attention = page.get_by_role("region", name="Needs attention")
    expect(attention).to_contain_text("Deployment 2 failed")
    attention.get_by_role("link", name="Show why").click()
    heading(page, "Deployment 2")


def test_a_rollback_is_confirmed_by_name_and_seen_to_happen(
    cloud: Cloud, open_page: Opener
) -> None:
    first, second = cloud.release(1), cloud.release(2)
    image = cloud.deployment(first)["image_tag"]
    page = open_page(f"/services/{cloud.service_id}")
    page.get_by_role("button", name="Roll back…", exact=True).click()
    dialog = page.get_by_role("dialog", name="Roll back hello")
    expect(dialog).to_contain_text(f"Deployment {second}")
    expect(dialog).to_contain_text(f"Deployment {first}")
    expect(dialog).to_contain_text(image.partition(":")[2])
    dialog.get_by_label("Reason").fill("Errors in the basket")
    dialog.get_by_role("button", name=f"Roll back hello to deployment {first}").click()
    heading(page, "Deployment 3")
    status = page.locator(".head .status").first
    cloud.settle()
    refresh(page)
    expect(status).to_have_text("Deploying")
    page.route(f"**/v1/cicd/deployments/{second + 1}", _drain)
    refresh(page)
    stopping = page.get_by_role("row").filter(has_text="Stopping").locator(".status").first
    expect(stopping).to_have_class(re.compile("ended"))  # it is no failure
    page.unroute_all(behavior="wait")
    cloud.finish_rollout()
    refresh(page)
    expect(status).to_have_text("Succeeded")
    expect(page.get_by_text("Runs now")).to_be_visible()
    assert cloud.statuses(first, second, 3) == ["success", "rolled_back", "success"]
    assert cloud.deployment(3)["reason"] == "Errors in the basket"


def _drain(route: Route) -> None:
    """ECS stops the tasks of the release before, and shows them meanwhile."""
    found = route.fetch(headers={**route.request.headers, "if-none-match": ""})
    body = found.json()
    for task in body["tasks"] or []:
        if not body["task_definition"].endswith(f"/{task['revision']}"):
            task["status"] = "STOPPING"
    route.fulfill(response=found, body=json.dumps(body))


def test_a_token_that_ends_keeps_the_place_and_the_next_one_goes_on(
    cloud: Cloud, open_page: Opener
) -> None:
    number = started(cloud)
    short = create_token("short", Role.VIEWER)
    page = open_page(f"/builds/{number}", token=short.secret)
    heading(page, f"Build {number}")
    revoke_token(get_token(short.row.number), actor="tests")
    refresh(page)
    dialog = page.get_by_role("dialog", name="Your token has expired")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Token").fill(cloud.api.token)
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog).to_have_count(0)
    assert page.url.endswith(f"#/builds/{number}")
    cloud.finish_build(number)
    refresh(page)
    expect(page.locator(".head .status").first).to_have_text("Succeeded")
    expect(page.get_by_role("button", name="Deploy…")).to_be_visible()


def test_a_role_is_offered_only_what_it_may_do(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    viewer = create_token("reader", Role.VIEWER).secret
    page = open_page(f"/services/{cloud.service_id}", token=viewer)
    heading(page, "hello")
    expect(page.get_by_text("needs the role deployer")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Deploy|Build|Roll back"))).to_have_count(0)
    page.get_by_role("link", name="Configuration").click()
    expect(page.get_by_text("Your token may not see the configuration")).to_be_visible()
    none: dict[str, Any] = {"items": [], "next_cursor": None}
    page.route("**/v1/projects?*", lambda route: route.fulfill(json=none))
    page.get_by_role("link", name="Audit").first.click()
    expect(page.get_by_text("No change yet")).to_be_visible()  # a reader chooses a project


def test_three_hundred_services_are_filtered_and_paged(cloud: Cloud, open_page: Opener) -> None:
    path = f"/v1/projects/{cloud.project}/services"
    for at in range(299):
        url = f"https://github.com/acme/app-{at}.git"
        body = {"name": f"service-{at:03}", "git_url": url, "image_repository": "hello"}
        assert cloud.api.post(path, body).status == 201
    page = open_page()
    expect(page.get_by_text("300 services ·")).to_be_visible()
    rows = page.locator(".services tbody tr")
    expect(rows).to_have_count(25)
    expect(page.get_by_text("Page 1 of 12")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(rows.first).to_contain_text("service-024")
    page.keyboard.press("/")
    page.keyboard.type("service-29")
    expect(rows).to_have_count(9)
    expect(page).to_have_url(re.compile(r"q=service-29$"))
    page.reload()
    expect(rows).to_have_count(9)


HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
LONG = "w" * 900
ARABIC = "إصلاح الخطأ (123) <b>"


def test_a_pull_request_is_shown_as_one_and_offers_no_deployment(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.change_service(
        build_pull_requests=True, secrets={"npm": "secretsmanager:slipway/build/1/npm"}
    )
    cloud.pull("opened", sha(1), pull_request__title=HOSTILE)
    cloud.settle()
    cloud.finish_build(1)
    page = open_page("/builds/1")
    heading(page, "Build 1")
    result = page.locator(".result")
    expect(result).to_contain_text(f"pull request 2: {HOSTILE}")
    expect(result).to_contain_text("secrets")
    expect(result).to_contain_text("never deployed")
    expect(page.get_by_role("button", name="Deploy…")).to_have_count(0)
    page.goto(page.url.replace("/builds/1", f"/services/{cloud.service_id}"))
    expect(page.locator(".event").first).to_contain_text("pull request 2 of octocat")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Another tag or a digest")).to_be_visible()
    expect(dialog.get_by_text("Build 1")).to_have_count(0)
    assert page.evaluate("window.hacked") is None


def test_hostile_names_are_shown_as_text_and_keep_the_layout(
    cloud: Cloud, open_page: Opener
) -> None:
    message = f"{HOSTILE} {ARABIC} {LONG}"
    branch = "fix/<script>window.hacked=1</script>&\"'" + "b" * 120
    cloud.change_service(branch=branch)
    commit = {"id": sha(1), "message": message, "author": {"name": HOSTILE}}
    number = started(cloud, branch=branch, head_commit=commit)
    cloud.write_log(number, HOSTILE, f"\x1b[31m{ARABIC}\x1b[0m", "x" * 9000, "javascript:alert(1)")
    cloud.end_build(
        number,
        "FAILED",
        message=HOSTILE,
        log=failed_log(HOSTILE),
        COMMIT_MESSAGE=message,
        COMMIT_AUTHOR=HOSTILE,
    )
    channel = {
        "kind": "slack",
        "name": "w" * 63,
        "secret": f"secretsmanager:slipway/tell/all/{'w' * 400}",
        "branches": ["b" * 120],
    }
    assert cloud.api.post("/v1/channels", channel).status == 201
    cloud.api.post("/v1/channels/1/test", {})
    cloud.settle()
    page = open_page(viewport=PHONE)
    for fragment in (
        "/",
        f"/services/{cloud.service_id}",
        f"/services/{cloud.service_id}/settings",
        f"/builds/{number}",
        "/deliveries",
        "/channels",
        "/audit",
    ):
        page.goto(f"{page.url.partition('#')[0]}#{fragment}")
        expect(page.locator("main h1")).to_be_visible()
        page.wait_for_load_state("networkidle")
        expect(page.locator("main .state.loading")).to_have_count(0)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), fragment
        cells = "[...document.querySelectorAll('main .cell')]"
        wide = f"{cells}.filter((each) => each.scrollWidth > each.clientWidth)"
        assert page.evaluate(f"{wide}.map((each) => each.innerHTML)") == [], fragment
        assert page.evaluate("window.hacked") is None, fragment
    page.goto(f"{page.url.partition('#')[0]}#/builds/{number}")
    row = page.locator(".log-row", has_text=HOSTILE).first
    expect(row).to_be_visible()
    expect(page.locator("main script, main img")).to_have_count(0)


def test_everything_can_be_done_with_the_keyboard(cloud: Cloud, open_page: Opener) -> None:
    first, _second = cloud.release(1), cloud.release(2)
    page = open_page(token=None)
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(cloud.api.token)
    page.keyboard.press("Enter")
    heading(page, "Services")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Filter services")).to_be_focused()
    _tab_to(page, "hello")
    page.keyboard.press("Enter")
    heading(page, "hello")
    _tab_to(page, "Roll back…")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Deployment {first}")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Roll back…", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text(f"Deployment {first}")
    _tab_to(page, f"Roll back hello to deployment {first}")
    page.keyboard.press("Enter")
    heading(page, "Deployment 3")


def _tab_to(page: Page, text: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    raise AssertionError(f"the Tab key does not reach {text}")


def test_a_page_that_loses_its_connection_says_so_and_recovers(
    cloud: Cloud, open_page: Opener
) -> None:
    page = open_page()
    heading(page, "Services")
    page.context.set_offline(True)
    expect(page.get_by_text("This computer is offline.")).to_be_visible()
    heading(page, "Services")
    page.get_by_role("link", name="Metrics").first.click()
    expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
    page.context.set_offline(False)
    heading(page, "Metrics")
    expect(page.get_by_text("This computer is offline.")).to_have_count(0)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


# Pages of 50,000 lines, made in the browser: 70 MB would have to come from here.
_MILLION = """
const real = fetch, line = (message) => ({ timestamp: "2026-11-22T00:00:00.000Z", message });
const lines = JSON.stringify([...Array(49999).fill(line("ok")), line("the needle")]);
window.fetch = async (path, options) => {
  if (!/\\/logs\\?/.test(path)) return real(path, options);
  const at = Number(/cursor=(\\d+)/.exec(path)?.[1] ?? 0);
  const rest = `"next_cursor": "${at + 1}", "complete": ${at === 19}, "expired": false`;
  return new Response(`{"lines": ${lines}, ${rest}}`);
};
"""


def test_a_million_lines_do_not_freeze_a_log(cloud: Cloud, open_page: Opener) -> None:
    number = started(cloud)
    page = open_page(token=None)
    page.add_init_script(_MILLION)
    page.reload()
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    heading(page, "Services")
    page.goto(f"{page.url.partition('#')[0]}#/builds/{number}?line=500000")
    expect(page.locator(".log-foot")).to_contain_text("1,000,000 lines", timeout=60_000)
    rows = page.locator(".log-row")
    assert rows.count() < 150
    expect(page.locator("#line-500000")).to_be_in_viewport()
    page.get_by_role("button", name="Jump to end").click()
    expect(page.locator("#line-1000000")).to_be_in_viewport()
    page.get_by_label("Search the log").fill("needle")
    expect(page.get_by_text("1 of 20", exact=True)).to_be_visible()
    expect(page.locator("#line-50000")).to_be_in_viewport()
    assert rows.count() < 150


def test_a_line_has_an_address(cloud: Cloud, open_page: Opener) -> None:
    number = started(cloud)
    cloud.write_log(number, *(f"line {at} of many" for at in range(1, 301)))
    page = open_page(f"/builds/{number}?line=120")
    chosen = page.locator(".log-row.chosen")
    expect(chosen).to_contain_text("line 120 of many")
    expect(chosen).to_be_in_viewport()
    page.get_by_role("link", name="Line 125", exact=True).click()
    assert page.url.endswith("?line=125")


def test_the_page_works_below_a_stage_of_api_gateway(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    page = open_page(token=None)
    host = page.url.rstrip("/")
    outside: list[str] = []

    def below(route: Route) -> None:
        path = route.request.url.removeprefix(host)
        if not path.startswith("/api/"):
            outside.append(path)
            return route.abort()
        route.fulfill(response=route.fetch(url=host + path.removeprefix("/api")))

    page.route("**/*", below)
    page.goto(f"{host}/api/")
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="hello").first.click()
    heading(page, "hello")
    expect(page.get_by_text("Deployment 1").first).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")
    assert outside == []


def test_an_idle_page_gets_answers_without_a_body(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    page = open_page(f"/services/{cloud.service_id}")
    heading(page, "hello")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_response(lambda answer: answer.url.endswith("v1/services/1")) as waited:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        refresh(page)
    assert waited.value.status == 304
    page.wait_for_load_state("networkidle")
    assert len(asked) == len(set(asked))


def test_work_is_cancelled_repeated_and_resumed(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1), cloud.release(2)
    assert cloud.roll_back().status == 202  # pauses auto-deploy
    cloud.settle()
    cloud.finish_rollout()
    number = cloud.ask_for_build()
    cloud.settle()
    page = open_page(f"/builds/{number}")
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name=f"Cancel build {number}").click()
    expect(page.get_by_text("It is being cancelled")).to_be_visible()
    for _ in range(3):
        cloud.tick()
        cloud.settle()
    refresh(page)
    expect(page.locator(".head .status").first).to_have_text("Cancelled")
    page.get_by_role("button", name="Build again").click()
    heading(page, f"Build {number + 1}")
    assert cloud.build(number + 1)["retry_of"] == number
    page.get_by_role("link", name="Services").first.click()
    attention = page.get_by_role("region", name="Needs attention")
    expect(attention).to_contain_text("Auto-deploy is paused")
    attention.get_by_role("button", name="Resume…").click()
    page.get_by_role("button", name="Resume auto-deploy").click()
    expect(attention).to_have_count(0)
    assert cloud.service()["auto_deploy_paused"] is None


def test_auto_deploy_is_switched_off_and_on(cloud: Cloud, open_page: Opener) -> None:
    page = open_page(f"/services/{cloud.service_id}")
    page.get_by_role("button", name="Auto-deploy off…").click()
    page.get_by_role("button", name="Switch it off").click()
    page.get_by_role("button", name="Auto-deploy on…").click()
    assert cloud.service()["auto_deploy"] is False
    dialog = page.get_by_role("dialog", name="Switch on auto-deploy of hello?")
    expect(dialog).not_to_contain_text("paused")
    dialog.get_by_role("button", name="Switch on auto-deploy").click()
    expect(page.get_by_role("button", name="Auto-deploy off…")).to_be_visible()
    assert cloud.service()["auto_deploy"] is True


def test_a_build_is_deployed_after_its_plan(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    cloud.change_service(auto_deploy=False)
    number = cloud.begin_release(2)
    page = open_page(f"/services/{cloud.service_id}")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog", name="Deploy hello")
    dialog.locator("label", has_text=f"Build {number}").click()
    expect(dialog).to_contain_text("What changes")
    dialog.get_by_role("button", name="Deploy to hello").click()
    heading(page, "Deployment 2")
    assert cloud.deployment(2)["build_id"] == number


def test_a_second_click_for_the_plan_deploys_nothing(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    page = open_page(f"/services/{cloud.service_id}")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog", name="Deploy hello")
    deploy = dialog.get_by_role("button", name="Deploy to hello")
    dialog.get_by_text("Another tag or a digest").click()
    expect(deploy).to_be_disabled()
    dialog.get_by_label("Image a tag").fill(cloud.build(1)["image_tag"])
    show = dialog.get_by_role("button", name="Show the plan")
    place = show.bounding_box()
    assert place is not None
    show.click()
    expect(deploy).to_be_enabled()
    expect(show).to_have_count(0)
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    expect(page.get_by_role("heading", name="hello", exact=True)).to_be_visible()
    assert cloud.statuses(1) == ["success"]
    assert (
        len(cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/deployments").body["items"]) == 1
    )


def test_a_chart_shows_the_values_of_a_day_on_hover(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    page = open_page("/metrics", viewport={"width": 1280, "height": 1600})
    chart = page.get_by_role("region", name="Deployments per day")
    place = chart.locator(".u-over")
    box = place.bounding_box()
    assert box is not None
    place.hover(position={"x": box["width"] - 4, "y": box["height"] / 2})
    expect(chart).to_contain_text("1 succeeded, 1 failed")
    for days in ("7", "30"):
        page.get_by_role("button", name=f"{days} days").press("Enter")
        expect(page.locator(".u-over").first).to_be_visible()
    place.hover(position={"x": box["width"] - 4, "y": box["height"] / 2})
    expect(chart).to_contain_text("1 succeeded, 1 failed")
    page.get_by_role("button", name="7 days").press("Enter")  # the pointer stays at day 30
    expect(chart).to_contain_text("Point at a day")
    frequency = page.locator(".tile", has_text="Change failure rate")
    expect(frequency).to_contain_text("50 %")


def test_a_list_with_older_pages_keeps_its_rows_when_new_ones_come(
    cloud: Cloud, open_page: Opener
) -> None:
    for at in range(54):
        create_token(f"old {at}", Role.VIEWER)
    cloud.advance(600)
    page = open_page("/tokens")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Load older").click()
    expect(rows).to_have_count(55)
    for at in range(3):
        create_token(f"new {at}", Role.VIEWER)
    refresh(page)
    expect(rows).to_have_count(58)
    expect(rows.first).to_contain_text("new 2")
    older = page.get_by_text("old 5", exact=True)
    expect(older).to_be_visible()
    page.get_by_role("button", name="Revoke the token old 5", exact=True).click()
    page.get_by_role("button", name="Revoke it").click()
    expect(rows).to_have_count(57)
    expect(older).to_have_count(0)
    # Slipway notes the use once an hour, so ten minutes ago may be now.
    expect(rows.filter(has_text="(yours)")).to_contain_text("in the last hour")
