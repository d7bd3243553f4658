"""Channels in the dashboard: their states, a test with its result, forms, and who sees them."""

import re
from functools import partial
from typing import Any

from playwright.sync_api import Locator, Page, Request, Route, expect

from chalicelib.domain.telling import GIVE_UP_AFTER, USUAL_EVENTS
from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from tests.page.conftest import Opener, refresh
from tests.support.embedded import Cloud, client

HOUR = 60 * 60
SLACK: dict[str, Any] = {
    "kind": "slack",
    "name": "Team",
    "secret": "secretsmanager:slipway/tell/all/team",
}


def add(cloud: Cloud, **changes: Any) -> int:
    answer = cloud.api.post("/v1/channels", {**SLACK, **changes})
    assert answer.status == 201, answer.text
    return int(answer.body["id"])


def add_topic(cloud: Cloud, **changes: Any) -> int:
    arn = client("sns").create_topic(Name="slipway-news")["TopicArn"]
    return add(cloud, **{"kind": "sns", "name": "News", "secret": None, "target": arn, **changes})


def switched_off(cloud: Cloud, number: int) -> None:
    """The channel has failed for a day."""
    cloud.release(1)
    for _ in range(GIVE_UP_AFTER // HOUR + 2):
        cloud.advance(HOUR)
        cloud.pump.tick()
        cloud.settle()
    assert cloud.api.get(f"/v1/channels/{number}").body["off_since"] is not None


def press(page: Page, button: str, title: str) -> Locator:
    page.get_by_role("button", name=button, exact=True).click()
    return page.get_by_role("dialog", name=title)


def begin_test(cloud: Cloud, page: Page, name: str) -> Locator:
    """Press Test, and deliver the message about it as soon as it is sent."""
    with page.expect_response(lambda answer: answer.url.endswith("/test")):
        dialog = press(page, f"Test the channel {name}", f"Test of {name}")
        expect(dialog).to_contain_text("Waiting for the result")
    cloud.settle()
    return dialog


def shown(cloud: Cloud, number: int) -> Any:
    return cloud.api.get(f"/v1/channels/{number}").body


def test_a_list_shows_what_each_channel_is_told_of_and_how_it_works(
    cloud: Cloud, open_page: Opener
) -> None:
    off = add(cloud)
    switched_off(cloud, off)
    works = add_topic(cloud, service_id=cloud.service_id, branches=["release/**"])
    add(cloud, kind="discord", name="Untested", project_id=cloud.project, secret=_own(cloud, "x"))
    assert cloud.api.post(f"/v1/channels/{works}/test", {}).status == 202
    cloud.settle()
    page = open_page("/channels")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    for name, parts in {
        "Team": ("slack", "all projects", "Off", "switched off", "cannot be read"),
        "News": ("sns", "shop/hello", "branches release/**", "Works", "just now"),
        "Untested": ("discord", "project shop", "Not tested", "never"),
    }.items():
        for part in parts:
            expect(rows.filter(has_text=name)).to_contain_text(part, ignore_case=True)
    page.get_by_label("Filter channels").fill("cannot be read")
    expect(rows).to_have_count(1)


def _own(cloud: Cloud, name: str) -> str:
    return f"secretsmanager:slipway/tell/{cloud.project}/{name}"


def test_a_test_waits_for_its_result_and_says_what_to_do(cloud: Cloud, open_page: Opener) -> None:
    number = add_topic(cloud)
    add(cloud)
    page = open_page("/channels")
    dialog = begin_test(cloud, page, "News")
    expect(dialog.get_by_role("status").last).to_contain_text(
        "The receiver has taken a test message"
    )
    assert shown(cloud, number)["tested_at"]
    page.keyboard.press("Escape")
    expect(page.get_by_role("row").filter(has_text="News")).to_contain_text("Works")
    dialog = begin_test(cloud, page, "Team")
    expect(dialog.get_by_role("status").last).to_contain_text("cannot be read")
    expect(dialog).to_contain_text("must be the URL of an incoming webhook of Slack")
    create = "aws secretsmanager create-secret --name slipway/tell/all/team"
    expect(dialog.locator("pre").first).to_contain_text(create)


def test_a_test_that_nobody_waits_for_says_nothing(cloud: Cloud, open_page: Opener) -> None:
    number = add_topic(cloud)
    page = open_page("/channels")

    held: list[Route] = []
    look = re.compile(rf"/v1/channels/{number}$")
    page.route(look, lambda route: held.append(route))
    with page.expect_request(look):
        press(page, "Test the channel News", "Test of News")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    with page.expect_response(look):
        held[0].continue_()
    page.evaluate("new Promise((resume) => setTimeout(resume, 100))")
    assert page.locator(".notice").count() == 0  # it would go away by itself


def test_a_test_switches_a_channel_on_again(cloud: Cloud, open_page: Opener) -> None:
    number = add_topic(cloud)
    client("sns").delete_topic(TopicArn=shown(cloud, number)["target"])
    switched_off(cloud, number)
    client("sns").create_topic(Name="slipway-news")
    page = open_page(f"/services/{cloud.service_id}")
    expect(page.get_by_text("The channel News is off")).to_be_visible()
    page.get_by_role("link", name="Channels", exact=True).last.click()
    dialog = begin_test(cloud, page, "News")
    expect(dialog).to_contain_text("The channel was off, and is on again.")
    page.keyboard.press("Escape")
    page.go_back()
    expect(page.get_by_role("heading", level=1, name="hello")).to_be_visible()
    expect(page.get_by_text("The channel News is off")).to_have_count(0)


def test_a_channel_is_created_by_the_name_of_its_secret(cloud: Cloud, open_page: Opener) -> None:
    page = open_page("/channels")
    dialog = press(page, "New channel…", "New channel")
    expect(dialog.locator("input[type=password], textarea")).to_have_count(0)
    dialog.get_by_label("Kind").select_option("slack")
    dialog.get_by_label("Told of").select_option(label="shop/hello")
    secret = dialog.get_by_role("textbox", name="Name of the secret")
    expect(secret).to_have_value(_own(cloud, "slack"))
    command = dialog.get_by_role("region", name="The command that creates the secret")
    secret.fill(_own(cloud, "team"))
    expect(command).to_have_text(
        "aws secretsmanager create-secret "
        f"--name slipway/tell/{cloud.project}/team --secret-string file://value.txt"
    )
    secret.fill("secretsmanager:slipway/tell/77/team")
    dialog.get_by_label("Name", exact=True).fill("My team")
    dialog.get_by_text("These:").click()
    expect(dialog.get_by_role("checkbox", checked=True)).to_have_count(len(USUAL_EVENTS))
    dialog.get_by_label("rollback.failed").uncheck()
    dialog.get_by_label("Branches").fill("main release/**")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This channel can use only secrets below")
    expect(secret).to_have_attribute("aria-invalid", "true")
    secret.fill(_own(cloud, "team"))
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("The channel My team is created.")).to_be_visible()
    made = shown(cloud, 1)
    assert (made["kind"], made["name"], made["service_id"]) == ("slack", "My team", 1)
    assert (made["secret"], made["branches"]) == (_own(cloud, "team"), ["main", "release/**"])
    assert set(made["events"]) == USUAL_EVENTS - {"rollback.failed"}


def test_a_target_is_named_and_created_by_its_own_command(cloud: Cloud, open_page: Opener) -> None:
    page = open_page("/channels")
    expect(page.get_by_text("No channel yet")).to_be_visible()
    dialog = press(page, "New channel…", "New channel")
    dialog.get_by_label("Kind").select_option("sns")
    target = dialog.get_by_role("textbox", name="Target")
    expect(target).to_have_value("")
    dialog.get_by_label("Kind").select_option("eventbridge")
    target.fill("slipway-events")
    expect(dialog.locator("pre")).to_have_text("aws events create-event-bus --name slipway-events")
    expect(dialog.get_by_text("Events", exact=True)).to_have_count(0)  # it is told everything
    dialog.get_by_label("Name", exact=True).fill("Rules")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The channel Rules is created.")).to_be_visible()
    assert (shown(cloud, 1)["target"], shown(cloud, 1)["project_id"]) == ("slipway-events", None)


def test_a_kind_that_needs_no_secret_is_created_without_one(
    cloud: Cloud, open_page: Opener
) -> None:
    page = open_page("/channels")

    def with_app(route: Route) -> None:
        body = route.fetch().json()
        body["items"][0]["without"] = "the GitHub App"
        route.fulfill(json=body)

    page.route("**/v1/channels/kinds", with_app)
    sent: list[Any] = []
    page.on("request", lambda each: _note_post(each, sent))
    dialog = press(page, "New channel…", "New channel")
    expect(dialog).to_contain_text("leave it empty to use the GitHub App")
    dialog.get_by_label("Name", exact=True).fill("GitHub")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    assert sent == [{"kind": "github", "name": "GitHub"}]
    dialog.get_by_role("textbox", name="Name of the secret").fill(SLACK["secret"])
    expect(dialog.locator("pre")).to_contain_text("--name slipway/tell/all/team ")


def test_a_kind_that_the_page_does_not_know_has_a_form(cloud: Cloud, open_page: Opener) -> None:
    page = open_page("/channels")
    kind = {
        "kind": "pigeon",
        "receives": "a letter",
        "needs": "the name of a loft",
        "field": "target",
        "example": "loft-1",
        "command": "aws pigeons create-loft --name loft-1",
        "without": None,
        "takes_events": True,
    }
    answer = {"items": [kind], "events": ["pigeon.lost"], "usual_events": ["pigeon.lost"]}
    page.route("**/v1/channels/kinds", lambda route: route.fulfill(json=answer))
    sent: list[Any] = []
    page.on("request", lambda each: _note_post(each, sent))
    dialog = press(page, "New channel…", "New channel")
    expect(dialog).to_contain_text("gets a letter")
    dialog.get_by_label("Name", exact=True).fill("Birds")
    dialog.get_by_role("textbox", name="Target").fill("")  # only the API knows whether it is needed
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Kind must be one of github")
    assert sent == [{"kind": "pigeon", "name": "Birds"}]


def _note_post(request: Request, sent: list[Any]) -> None:
    if request.method == "POST":
        sent.append(request.post_data_json)


def test_an_edit_sends_only_what_a_person_may_have_changed(cloud: Cloud, open_page: Opener) -> None:
    number = add(cloud, events=["build.failed"], branches=["main"])
    page = open_page("/channels")
    dialog = press(page, "Edit the channel Team", "Edit Team")
    expect(dialog.get_by_label("Name of the secret")).to_have_value(SLACK["secret"])
    expect(dialog.get_by_label("Kind")).to_have_count(0)
    dialog.get_by_label("Name", exact=True).fill("Other team")
    dialog.get_by_label("The usual ones").check()
    dialog.get_by_label("Branches").fill("")
    with page.expect_request(lambda each: each.method == "PATCH") as waited:
        dialog.get_by_role("button", name="Save").click()
    assert waited.value.post_data_json == {"name": "Other team", "events": [], "branches": []}
    expect(page.get_by_text("The channel Other team is changed.")).to_be_visible()
    changed = shown(cloud, number)
    assert (changed["name"], changed["events"], changed["branches"]) == ("Other team", [], [])
    assert changed["secret"] == SLACK["secret"]


def test_a_channel_is_deleted_after_a_question(cloud: Cloud, open_page: Opener) -> None:
    number = add(cloud)
    page = open_page("/channels")
    dialog = press(page, "Delete the channel Team", "Delete the channel “Team”?")
    expect(dialog).to_contain_text("slipway/tell/all/team stays in AWS")
    dialog.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("The channel Team is deleted.")).to_be_visible()
    assert cloud.api.get(f"/v1/channels/{number}").status == 404


def test_a_service_shows_the_channels_that_are_told_of_it(cloud: Cloud, open_page: Opener) -> None:
    cloud.add_service("neighbour", branch="develop")
    other = cloud.api.post("/v1/projects", {"name": "other"}).body["id"]
    add(cloud)
    add(cloud, name="Own project", project_id=cloud.project, secret=_own(cloud, "x"))
    add(cloud, name="Neighbour", service_id=2, secret=_own(cloud, "x"))
    add(cloud, name="Other", project_id=other, secret=f"secretsmanager:slipway/tell/{other}/x")
    page = open_page(f"/services/{cloud.service_id}/settings")
    told = page.get_by_role("region", name="Channels that are told")
    expect(told.locator("dt")).to_have_text(["Own project", "Team"])


def test_only_an_admin_for_all_projects_sees_channels(cloud: Cloud, open_page: Opener) -> None:
    number = add(cloud)
    switched_off(cloud, number)
    tokens = {
        "viewer": create_token("viewer", Role.VIEWER),
        "deployer": create_token("deployer", Role.DEPLOYER),
        "restricted": create_token("restricted", Role.ADMIN, project_id=cloud.project),
    }
    for token in tokens.values():
        page = open_page(f"/services/{cloud.service_id}/settings", token=token.secret)
        asked: list[str] = []
        page.on("request", partial(_note_address, asked))
        refresh(page)
        expect(page.get_by_text("Automation and limits")).to_be_visible()
        page.wait_for_load_state("networkidle")
        expect(page.get_by_text("Channels that are told")).to_have_count(0)
        expect(page.get_by_text("is off")).to_have_count(0)
        assert [each for each in asked if "/channels" in each] == []
        page.get_by_role("link", name="Channels", exact=True).click()
        expect(page.get_by_text("Your token may not see this")).to_be_visible()
        expect(page.get_by_role("button", name="New channel…")).to_have_count(0)


def _note_address(asked: list[str], request: Request) -> None:
    asked.append(request.url)
