"""Work is asked for once, a confirmation names what runs, and another token sees only its own."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token, get_token, revoke_token
from tests.page.conftest import Opener, refresh
from tests.support.embedded import Cloud, sha

PRESS_AGAIN = "it may have been accepted. Press again: it is not done twice."

pytestmark = pytest.mark.long


def lose_answers(page: Page, pattern: str) -> None:
    """Slipway gets the next changes, and their answers are lost."""

    def lose(route: Route) -> None:
        if route.request.method != "POST" or "dry_run" in route.request.url:
            return route.continue_()
        route.fetch()
        route.abort()

    page.route(pattern, lose)


def find_answers(page: Page) -> None:
    page.unroute_all(behavior="ignoreErrors")


def press(page: Page, opens: str, confirms: str | re.Pattern[str]) -> Locator:
    page.get_by_role("button", name=opens, exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=confirms, exact=True).click()
    return dialog


def builds(cloud: Cloud) -> list[int]:
    found = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/builds").body["items"]
    return [build["id"] for build in found]


def deployments(cloud: Cloud) -> list[int]:
    found = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/deployments").body["items"]
    return [row["id"] for row in found]


def test_a_build_whose_answer_is_lost_is_not_asked_twice_from_a_new_dialog(
    cloud: Cloud, open_page: Opener
) -> None:
    page = open_page(f"/services/{cloud.service_id}")
    lose_answers(page, "**/build")
    dialog = press(page, "Build…", "Build")
    expect(dialog.get_by_role("alert")).to_contain_text(PRESS_AGAIN)
    page.keyboard.press("Escape")
    find_answers(page)
    page.reload()
    press(page, "Build…", "Build")
    expect(page.get_by_role("heading", level=1, name="Build 1")).to_be_visible()
    expect(page.locator(".notices")).to_contain_text("was accepted already")
    assert builds(cloud) == [1]
    page.go_back()
    press(page, "Build…", "Build")  # after an answer it is new work
    expect(page.get_by_role("heading", level=1, name="Build 2")).to_be_visible()


def test_a_repeated_build_whose_answer_is_lost_is_not_asked_twice(
    cloud: Cloud, open_page: Opener
) -> None:
    number = int(cloud.push(sha(1)).body["builds"][0]["build_id"])
    cloud.settle()
    cloud.end_build(number, "FAILED")
    page = open_page(f"/builds/{number}")
    lose_answers(page, "**/retry")
    again = page.get_by_role("button", name="Build again")
    again.click()
    expect(page.get_by_text(PRESS_AGAIN)).to_be_visible()
    page.get_by_role("link", name="Services").first.click()
    expect(page.get_by_role("heading", level=1, name="Services")).to_be_visible()
    find_answers(page)
    page.go_back()
    again.click()
    expect(page.get_by_role("heading", level=1, name=f"Build {number + 1}")).to_be_visible()
    assert builds(cloud) == [number + 1, number]


def test_a_deployment_whose_answer_is_lost_is_not_asked_twice_from_a_new_dialog(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.release(1), cloud.release(2)
    page = open_page(f"/services/{cloud.service_id}")

    def deploy(build: int) -> Locator:
        page.get_by_role("button", name="Deploy…", exact=True).click()
        return choose(build)

    def choose(build: int) -> Locator:
        dialog = page.get_by_role("dialog")
        dialog.locator("label", has_text=f"Build {build}").click()
        dialog.get_by_role("button", name="Deploy to hello").click()
        return dialog

    lose_answers(page, "**/deploy*")
    dialog = deploy(1)
    expect(dialog.get_by_role("alert")).to_contain_text(PRESS_AGAIN)
    expect(dialog.get_by_label("Reason")).to_be_disabled()  # it would be another request
    dialog.get_by_role("button", name="Close", exact=True).last.click()
    find_answers(page)
    deploy(1)
    expect(page.get_by_role("heading", level=1, name="Deployment 3")).to_be_visible()
    assert deployments(cloud) == [3, 2, 1]


def test_other_work_after_a_lost_answer_is_no_dead_end(cloud: Cloud, open_page: Opener) -> None:
    page = open_page(f"/services/{cloud.service_id}")
    lose_answers(page, "**/build")
    dialog = press(page, "Build…", "Build")
    expect(dialog.get_by_role("alert")).to_contain_text(PRESS_AGAIN)
    page.keyboard.press("Escape")
    find_answers(page)
    page.get_by_role("button", name="Build…").click()
    dialog.get_by_label("Branch, tag or commit").fill("v1")
    dialog.get_by_role("button", name="Build", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Build 2")).to_be_visible()


def test_a_token_whose_answer_is_lost_is_to_be_revoked(cloud: Cloud, open_page: Opener) -> None:
    page = open_page("/tokens")
    lose_answers(page, "**/v1/tokens")
    page.get_by_role("button", name="New token…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("ci")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text(
        "it may have been created. Look in the list and revoke it"
    )
    expect(page.locator("tbody")).to_contain_text("ci")  # the list behind is read at once
    find_answers(page)


def test_a_rollback_is_confirmed_again_if_another_release_runs_meanwhile(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.release(1), cloud.release(2)
    page = open_page(f"/services/{cloud.service_id}")
    page.get_by_role("button", name="Roll back…", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Errors in the basket")
    cloud.release(3)
    dialog.get_by_role("button", name="Roll back hello to deployment 1").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This is the new plan")
    expect(dialog.locator(".side").first).to_contain_text("Deployment 3")
    assert deployments(cloud) == [3, 2, 1]
    dialog.get_by_role("button", name="Roll back hello to deployment 2").click()
    expect(page.get_by_role("heading", level=1, name="Deployment 4")).to_be_visible()
    assert cloud.deployment(4)["rollback_of"] == 3
    assert cloud.deployment(4)["reason"] == "Errors in the basket"


def test_a_rollback_is_confirmed_again_if_a_release_begins_at_the_last_moment(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.release(1), cloud.release(2)
    page = open_page(f"/services/{cloud.service_id}")

    def release_first(route: Route) -> None:
        if route.request.method == "POST" and len(deployments(cloud)) == 2:
            cloud.begin_release(3)
        route.continue_()

    page.route("**/rollback", release_first)
    dialog = press(page, "Roll back…", "Roll back hello to deployment 1")
    expect(dialog.get_by_role("alert")).to_contain_text("This is the new plan")
    expect(dialog).to_contain_text("Deployment 3 ends rolled back")
    assert deployments(cloud) == [3, 2, 1]
    find_answers(page)


def test_a_deployment_is_confirmed_again_if_its_plan_changes(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.release(1), cloud.release(2)
    page = open_page(f"/services/{cloud.service_id}")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog")
    waiting, wait = held(page, "**/deploy?dry_run=true", "POST")
    dialog.locator("label", has_text="Build 2").click()
    wait()
    dialog.locator("label", has_text="Build 1").click()
    expect(dialog).to_contain_text("What changes")
    with page.expect_response(waiting[0].request.url):
        waiting[0].continue_()  # a late plan of what is not chosen any more
    find_answers(page)
    cloud.begin_release(3)
    dialog.get_by_role("button", name="Deploy to hello").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This is the new plan")
    expect(dialog).to_contain_text("It starts after deployment 3 has ended")
    assert deployments(cloud) == [3, 2, 1]
    dialog.get_by_role("button", name="Deploy to hello").click()
    expect(page.get_by_role("heading", level=1, name="Deployment 4")).to_be_visible()


def test_a_weaker_token_sees_nothing_of_the_stronger_one(cloud: Cloud, open_page: Opener) -> None:
    strong = create_token("strong", Role.ADMIN)
    weak = create_token("weak", Role.VIEWER, project_id=cloud.project)
    page = open_page("/tokens", token=strong.secret)
    expect(page.locator("tbody")).to_contain_text("strong")
    revoke_token(get_token(strong.row.number), actor="tests")
    refresh(page)
    sign_in_again(page, weak.secret)
    expect(page.get_by_text("Your token may not see this")).to_be_visible()
    expect(page.locator("tbody")).to_have_count(0)


def sign_in_again(page: Page, secret: str) -> None:
    dialog = page.get_by_role("dialog", name="Your token has expired")
    dialog.get_by_label("Token").fill(secret)
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog).to_have_count(0)


def test_who_i_am_is_not_that_of_the_former_token(cloud: Cloud, open_page: Opener) -> None:
    weak = create_token("weak", Role.VIEWER)
    page = open_page(f"/services/{cloud.service_id}")
    who = page.locator("details.who summary")
    expect(page.get_by_role("button", name="Build…")).to_be_visible()
    who.click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").fill(weak.secret)
    answered: list[Route] = []

    def answer_once(route: Route) -> None:  # the sign-in itself
        (route.abort if answered else route.continue_)()
        answered.append(route)

    page.route("**/v1/whoami", answer_once)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("needs the role deployer")).to_be_visible()
    refresh(page)
    page.wait_for_load_state("networkidle")
    expect(who).to_have_text("weak")
    expect(page.get_by_role("button", name="Build…")).to_have_count(0)
    find_answers(page)


def held(page: Page, pattern: str, method: str = "GET") -> tuple[list[Route], Callable[[], None]]:
    """Requests that wait for the test; and what waits until there is one."""
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == method and not waiting:
            waiting.append(route)
        else:
            route.continue_()

    page.route(pattern, hold)

    def wait() -> None:
        for _ in range(400):
            if waiting:
                return
            page.wait_for_timeout(25)
        raise AssertionError("the page did not ask")

    return waiting, wait


def test_a_late_refusal_of_the_former_token_does_not_end_the_next_one(
    cloud: Cloud, open_page: Opener
) -> None:
    short = create_token("short", Role.VIEWER)
    page = open_page(f"/services/{cloud.service_id}", token=short.secret)
    expect(page.get_by_role("heading", level=1, name="hello")).to_be_visible()
    waiting, wait = held(page, f"**/v1/services/{cloud.service_id}")
    revoke_token(get_token(short.row.number), actor="tests")
    refresh(page)
    wait()
    sign_in_again(page, cloud.api.token)
    with page.expect_response(lambda answer: answer.ok and answer.url.endswith("/services/1")):
        waiting[0].continue_()  # it is refused, and asked for again
    expect(page.get_by_role("button", name="Build…")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    find_answers(page)


def test_a_token_that_ends_keeps_an_open_dialog_for_one_that_may_as_much(
    cloud: Cloud, open_page: Opener
) -> None:
    cloud.release(1), cloud.release(2)
    short, other = create_token("short", Role.DEPLOYER), create_token("other", Role.ADMIN)
    page = open_page(f"/services/{cloud.service_id}", token=short.secret)
    page.get_by_role("button", name="Roll back…", exact=True).click()
    dialog = page.get_by_role("dialog", name="Roll back hello")
    dialog.get_by_label("Reason").fill("A long explanation")
    revoke_token(get_token(short.row.number), actor="tests")
    refresh(page)
    expired = page.get_by_role("dialog", name="Your token has expired")
    expect(expired).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    expect(expired).to_be_visible()
    sign_in_again(page, other.secret)
    expect(dialog.get_by_label("Reason")).to_have_value("A long explanation")
    dialog.get_by_role("button", name="Roll back hello to deployment 1").click()
    expect(page.get_by_role("heading", level=1, name="Deployment 3")).to_be_visible()


def test_a_dialog_stays_until_its_request_is_answered(cloud: Cloud, open_page: Opener) -> None:
    page = open_page(f"/services/{cloud.service_id}")
    waiting, wait = held(page, "**/build", "POST")
    dialog = press(page, "Build…", "Build")
    wait()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    expect(dialog.get_by_role("button", name="Close", exact=True).first).to_be_disabled()
    waiting[0].fulfill(status=409, json={"status": 409, "detail": "too many open builds"})
    expect(dialog.get_by_role("alert")).to_contain_text("Too many open builds")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    find_answers(page)


def test_a_failure_is_told_to_a_reader_who_went_on(cloud: Cloud, open_page: Opener) -> None:
    page = open_page()
    page.get_by_role("link", name="hello").click()
    waiting, wait = held(page, "**/build", "POST")
    dialog = press(page, "Build…", "Build")
    wait()
    page.go_back()
    expect(dialog).to_have_count(0)
    waiting[0].fulfill(status=409, json={"status": 409, "detail": "too many open builds"})
    expect(page.locator(".notices")).to_contain_text("Too many open builds")
    find_answers(page)


def test_a_new_token_is_shown_until_done_is_pressed(cloud: Cloud, open_page: Opener) -> None:
    page = open_page("/tokens")
    page.get_by_role("button", name="New token…").click()
    dialog = page.get_by_role("dialog")
    name = dialog.get_by_label("Name")
    name.fill("ci")
    select_past_the_edge(page, name, dialog)
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_contain_text("Copy it now")
    select_past_the_edge(page, dialog.locator("pre"), dialog)
    page.mouse.click(5, 5)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(dialog).to_contain_text("Copy it now")
    dialog.get_by_role("button", name="Done").click()
    expect(dialog).to_have_count(0)


def select_past_the_edge(page: Page, text: Locator, dialog: Locator) -> None:
    inner, outer = text.bounding_box(), dialog.bounding_box()
    assert inner is not None
    assert outer is not None
    height = inner["y"] + inner["height"] / 2
    page.mouse.move(inner["x"] + 20, height)
    page.mouse.down()
    page.mouse.move(outer["x"] + outer["width"] + 60, height, steps=3)
    page.mouse.up()


@pytest.mark.parametrize("place", ["access", "projects"])
def test_lists_are_read_to_their_end(cloud: Cloud, open_page: Opener, place: str) -> None:
    if place == "access":
        for at in range(105):
            create_token(f"t{at}", Role.ADMIN)
        page = open_page(f"/services/{cloud.service_id}/access")
        expect(page.locator(".card-aside", has_text="106 tokens")).to_be_visible()
        expect(page.locator("tbody tr")).to_have_count(106)
        return
    for at in range(105):
        assert cloud.api.post("/v1/projects", {"name": f"p{at}"}).status == 201
    page = open_page("/audit")
    expect(page.locator("main select option")).to_have_count(107)  # with "All projects"


def test_a_list_that_is_not_complete_says_so(cloud: Cloud, open_page: Opener) -> None:
    for at in range(105):
        create_token(f"t{at}", Role.ADMIN)
    page = open_page(token=None)
    page.route("**/access?*cursor*", lambda route: route.abort())
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Services")).to_be_visible()
    page.goto(f"{page.url.partition('#')[0]}#/services/{cloud.service_id}/access")
    expect(page.locator(".card-aside", has_text="100 tokens so far")).to_be_visible()
    find_answers(page)
