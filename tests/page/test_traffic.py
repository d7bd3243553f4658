"""A rollout that shifts traffic: its stages and weights, a person's answers, and the settings."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from tests.page.conftest import Opener, refresh
from tests.page.screenshots import PHONE
from tests.page.test_sure_actions import PRESS_AGAIN, find_answers, lose_answers
from tests.support.embedded import Cloud
from tests.support.shifts import approve, begin_shift, look_after, shift_traffic

pytestmark = pytest.mark.long

CANARY = {"type": "CANARY", "percent": 10, "step_minutes": 5, "bake_minutes": 3}
HOUR = 3600


def begin_canary(cloud: Cloud, **settings: Any) -> int:
    """A canary that awaits approval of its first step; the number of its deployment."""
    return begin_shift(cloud, strategy=CANARY, **{"approval": True, **settings})


def reach_second_step(cloud: Cloud) -> None:
    """Approve the first step of deployment 2. Its second step awaits approval then."""
    approve(cloud, 2)
    look_after(cloud, 6 * 60)


def card(page: Page) -> Locator:
    return page.get_by_role("region", name="Traffic")


def stages(page: Page) -> list[str]:
    """Each stage with the name of its icon."""
    found = card(page).locator(".stages li")
    expect(found.first).to_be_visible()
    return [
        f"{each.get_by_role('img').get_attribute('aria-label')}: "
        f"{each.locator('.stage-name').inner_text().strip()}"
        for each in found.all()
    ]


def stage(page: Page, name: str, state: str) -> Locator:
    """A stage that has this state."""
    return card(page).locator(".stages li", has_text=name).get_by_role("img", name=state)


def weights(page: Page, own: int, other: int) -> Locator:
    words = f"Production traffic: {own} % to deployment 2, {other} % to deployment 1"
    return card(page).get_by_role("img", name=words)


def answers(cloud: Cloud) -> list[tuple[str, int, str, str | None]]:
    found = cloud.deployment(2)["approvals"]
    return [(each["action"], each["number"], each["steps"], each["reason"]) for each in found]


def grace(cloud: Cloud) -> str:
    """A token that did not ask for the deployment."""
    return create_token("grace", Role.DEPLOYER, project_id=cloud.project).secret


# --- what is shown -----------------------------------------------------------------------------


def test_a_canary_shows_its_stages_and_its_traffic_from_its_begin_to_its_end(
    cloud: Cloud, open_page: Opener
) -> None:
    begin_canary(cloud)
    page = open_page("/deployments/2")
    assert stages(page) == [
        "Succeeded: New tasks",
        "Succeeded: Test traffic",
        "Awaits approval: Approval",
        "To come: Production traffic",
        "To come: Bake time",
        "To come: Clean-up",
    ]
    expect(weights(page, 0, 100)).to_be_visible()
    expect(card(page)).to_contain_text("Awaits approval of step 1")
    expect(card(page)).to_contain_text(
        re.compile(r"Without an answer ECS takes it back in \d+ [hd]")
    )
    expect(page.locator(".head .pill").first).to_have_text("Awaits approval")
    expect(page).to_have_title(re.compile("awaits approval"))
    reach_second_step(cloud)
    refresh(page)
    expect(card(page)).to_contain_text("Awaits approval of step 2")
    expect(weights(page, 10, 90)).to_be_visible()
    approve(cloud, 2)
    look_after(cloud, 60)
    refresh(page)
    expect(weights(page, 100, 0)).to_be_visible()
    expect(stage(page, "Bake time", "Deploying")).to_be_visible()
    expect(card(page).get_by_role("button")).to_have_count(0)
    look_after(cloud, 10 * 60)
    refresh(page)
    expect(stage(page, "Clean-up", "Succeeded")).to_be_visible()
    expect(page.get_by_role("region", name="On ECS")).to_contain_text("canary")


def test_a_deployment_that_nobody_approves_shows_why_it_failed(
    cloud: Cloud, open_page: Opener
) -> None:
    begin_canary(cloud, approval_minutes=30)
    look_after(cloud, 40 * 60)
    look_after(cloud, 10 * 60)
    page = open_page("/deployments/2")
    expect(page.locator(".failure")).to_contain_text("nobody approved it within 30 minutes")
    expect(page.get_by_role("region", name="On ECS")).to_contain_text("canary")
    assert stages(page)[1:4] == [
        "Succeeded: Test traffic",
        "Failed: Approval",
        "To come: Production traffic",
    ]
    expect(card(page).get_by_role("button")).to_have_count(0)


def test_a_rejected_deployment_shows_where_its_traffic_was(cloud: Cloud, open_page: Opener) -> None:
    begin_canary(cloud)
    reach_second_step(cloud)
    answer = cloud.api.post("/v1/cicd/deployments/2/reject", {"reason": "Orders are missing"})
    assert answer.status == 202
    look_after(cloud, 60)
    page = open_page("/deployments/2")
    assert "Cancelled: Approval" in stages(page)
    expect(card(page)).to_contain_text("10 % to this release at its end")
    expect(card(page)).to_contain_text("Orders are missing")
    expect(card(page).locator(".weights")).to_have_count(0)


@pytest.mark.parametrize("place", ["/deployments/2", "/services/{service}"])
def test_the_page_asks_rarely_while_an_approval_is_awaited(
    cloud: Cloud, open_page: Opener, place: str
) -> None:
    begin_canary(cloud)
    page = open_page(token=None)
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Services", exact=True)).to_be_visible()
    page.goto(f"{page.url.partition('#')[0]}#{place.format(service=cloud.service_id)}")
    expect(page.get_by_text("Awaits approval").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    for _ in range(3):  # what is read first does not know yet that an approval is awaited
        page.clock.run_for(2000)
        page.wait_for_load_state("networkidle")
    asked.clear()
    for _ in range(8):
        page.clock.run_for(1000)
        page.wait_for_load_state("networkidle")
    assert len(asked) == len(set(asked)), asked


def test_a_plan_says_who_must_approve_it(cloud: Cloud, open_page: Opener) -> None:
    begin_canary(cloud, approval_minutes=90)
    page = open_page(f"/services/{cloud.service_id}")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name=re.compile("Build 1 ")).check()
    expect(dialog).to_contain_text(
        "A person must approve it before it gets 10 %, 100 % of production traffic. ECS waits "
        "90 min for each approval, and then takes the rollout back."
    )


def test_without_an_approval_none_is_shown(cloud: Cloud, open_page: Opener) -> None:
    begin_shift(cloud, strategy={"type": "BLUE_GREEN", "bake_minutes": 60})
    page = open_page("/deployments/2")
    assert stages(page) == [
        "Succeeded: New tasks",
        "Succeeded: Test traffic",
        "Succeeded: Production traffic",
        "Deploying: Bake time",
        "To come: Clean-up",
    ]
    expect(card(page)).to_contain_text("blue/green")
    expect(card(page).get_by_role("button")).to_have_count(0)


def test_a_rolling_update_has_no_traffic_to_show(cloud: Cloud, open_page: Opener) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    page = open_page("/deployments/2")
    expect(page.get_by_role("region", name="On ECS")).to_contain_text("hello")
    expect(card(page)).to_have_count(0)


def test_the_hook_of_an_owner_has_no_buttons(cloud: Cloud, open_page: Opener) -> None:
    hook = {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}
    begin_shift(cloud, hooks=[hook], strategy={"type": "BLUE_GREEN", "bake_minutes": 60})
    page = open_page("/deployments/2")
    assert "Awaits a hook: New tasks" in stages(page)
    expect(card(page)).to_contain_text("must answer it on ECS. Slipway cannot")
    expect(card(page).get_by_role("button")).to_have_count(0)


def test_lists_lead_to_what_awaits_approval(cloud: Cloud, open_page: Opener) -> None:
    begin_canary(cloud)
    page = open_page()
    attention = page.get_by_role("region", name="Needs attention")
    expect(attention).to_contain_text("Deployment 2 awaits approval")
    services = page.get_by_role("region", name="All services")
    expect(services.get_by_role("link", name="Awaits approval")).to_be_visible()
    expect(page.get_by_role("region", name="Under way")).to_contain_text("Awaits approval")
    attention.get_by_role("link", name="Look and answer").click()
    expect(page.get_by_role("heading", level=1, name="Deployment 2")).to_be_visible()
    page.goto(f"{page.url.partition('#')[0]}#/services/{cloud.service_id}")
    expect(page.locator(".timeline")).to_contain_text("Awaits approval")
    page.get_by_role("region", name="Under way").get_by_role("link", name="Look and answer").click()
    expect(page.get_by_role("heading", level=1, name="Deployment 2")).to_be_visible()


@pytest.mark.parametrize(("step_minutes", "waits"), [(5, "8 min"), (117, "2 h")])
def test_the_plan_of_a_deployment_names_the_strategy_and_its_waits(
    cloud: Cloud, open_page: Opener, step_minutes: int, waits: str
) -> None:
    shift_traffic(cloud, strategy={**CANARY, "step_minutes": step_minutes})
    page = open_page(f"/services/{cloud.service_id}")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("label", has_text="Build 1").click()
    words = f"ECS moves to it with the strategy canary, and waits at least {waits}."
    expect(dialog).to_contain_text(words)


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opens", "confirms", "effect", "steps"),
    [
        ("Approve…", "Approve deployment 2", "moves the next part of production traffic", "next"),
        (
            "Approve all steps…",
            "Approve all steps of deployment 2",
            "step by step, and asks nobody again",
            "all",
        ),
    ],
)
def test_an_approval_names_the_release_and_is_kept_with_its_reason(
    cloud: Cloud, open_page: Opener, opens: str, confirms: str, effect: str, steps: str
) -> None:
    begin_canary(cloud)
    page = open_page("/deployments/2", token=grace(cloud))
    page.get_by_role("button", name=opens, exact=True).click()
    dialog = page.get_by_role("dialog", name=f"{confirms} of hello?")
    for words in ("Say hello", "0 % of production traffic", "Codertocat", "canary", effect):
        expect(dialog).to_contain_text(words)
    dialog.get_by_label("Reason").fill("The figures are good")
    dialog.get_by_role("button", name=confirms, exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".notices")).to_contain_text("Deployment 2 is approved.")
    assert answers(cloud) == [("approve", 1, steps, "The figures are good")]
    expect(card(page)).to_contain_text(
        re.compile(r"Approved( all steps)? at step 1 by grace.*“The figures are good”")
    )
    expect(card(page).get_by_role("button")).to_have_count(0)


def test_a_rejection_ends_the_deployment(cloud: Cloud, open_page: Opener) -> None:
    begin_canary(cloud)
    page = open_page("/deployments/2", token=grace(cloud))
    page.get_by_role("button", name="Reject…").click()
    dialog = page.get_by_role("dialog", name="Reject deployment 2 of hello?")
    expect(dialog).to_contain_text("ECS returns to the release before")
    dialog.get_by_label("Reason").fill("Too slow")
    dialog.get_by_role("button", name="Reject deployment 2").click()
    expect(page.locator(".notices")).to_contain_text("Deployment 2 is rejected.")
    assert cloud.deployment(2)["status"] == "cancelled"
    assert answers(cloud) == [("reject", 1, "next", "Too slow")]
    expect(page.locator(".banner")).to_contain_text("Rejected by token:grace: Too slow")
    expect(card(page)).to_contain_text("Rejected at step 1 by grace")


@pytest.mark.parametrize(
    ("opens", "confirms", "answer"),
    [
        ("Approve all steps…", "Approve all steps of deployment 2", ("approve", 2, "all", None)),
        ("Reject…", "Reject deployment 2", ("reject", 2, "next", None)),
    ],
)
def test_an_answer_is_confirmed_again_if_another_step_awaits_it_meanwhile(
    cloud: Cloud, open_page: Opener, opens: str, confirms: str, answer: tuple[str, int, str, None]
) -> None:
    begin_canary(cloud)
    page = open_page("/deployments/2", token=grace(cloud))
    page.get_by_role("button", name=opens).click()
    dialog = page.get_by_role("dialog")
    reach_second_step(cloud)
    dialog.get_by_role("button", name=confirms, exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Another step awaits approval now")
    expect(dialog.locator(".facts")).to_contain_text("Step2")
    expect(dialog.locator(".facts")).to_contain_text("10 % of production traffic")
    assert len(answers(cloud)) == 1
    dialog.get_by_role("button", name=confirms, exact=True).click()
    expect(dialog).to_have_count(0)
    assert answers(cloud)[1:] == [answer]


def test_an_answer_that_comes_too_late_says_so(cloud: Cloud, open_page: Opener) -> None:
    begin_canary(cloud)
    page = open_page("/deployments/2", token=grace(cloud))
    page.get_by_role("button", name="Approve…", exact=True).click()
    dialog = page.get_by_role("dialog")
    cloud.advance(25 * HOUR)
    dialog.get_by_role("button", name="Approve deployment 2").click()
    expect(dialog.get_by_role("alert")).to_contain_text("does not await an approval any more")
    assert answers(cloud) == []


def test_an_answer_without_an_answer_is_not_given_twice(cloud: Cloud, open_page: Opener) -> None:
    begin_canary(cloud)
    page = open_page("/deployments/2", token=grace(cloud))
    lose_answers(page, "**/approve")
    page.get_by_role("button", name="Approve…", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Approve deployment 2").click()
    expect(dialog.get_by_role("alert")).to_contain_text(PRESS_AGAIN)
    find_answers(page)
    dialog.get_by_role("button", name="Approve deployment 2").click()
    expect(page.locator(".notices")).to_contain_text("Deployment 2 was approved already.")
    assert answers(cloud) == [("approve", 1, "next", None)]


def test_who_asked_for_a_deployment_may_reject_it_but_not_approve_it(
    cloud: Cloud, open_page: Opener
) -> None:
    own = create_token("ada", Role.DEPLOYER)
    shift_traffic(cloud, strategy=CANARY, approval=True)
    image = cloud.build(1)["image_tag"]
    path = f"/v1/cicd/services/{cloud.service_id}/deploy"
    authorization = {"Authorization": f"Bearer {own.secret}"}
    assert cloud.api.post(path, {"image_tag": image}, headers=authorization).status == 202
    cloud.settle()
    cloud.finish_rollout()
    look_after(cloud, 60)
    page = open_page("/deployments/2", token=own.secret)
    expect(card(page)).to_contain_text("Your token asked for this deployment: another token must")
    expect(card(page).get_by_role("button")).to_have_text(["Reject…"])
    cloud.change_service(approve_own=True)
    refresh(page)
    expect(card(page).get_by_role("button")).to_have_count(3)


def test_a_token_that_only_reads_sees_no_buttons(cloud: Cloud, open_page: Opener) -> None:
    begin_canary(cloud)
    page = open_page("/deployments/2", token=create_token("eye", Role.VIEWER).secret)
    expect(card(page)).to_contain_text("Awaits approval of step 1")
    expect(card(page).get_by_role("button")).to_have_count(0)


def test_an_approval_needs_only_the_keyboard_and_fits_a_phone(
    cloud: Cloud, open_page: Opener
) -> None:
    begin_canary(cloud)
    page = open_page("/deployments/2", token=grace(cloud), viewport=PHONE)
    expect(card(page)).to_be_visible()
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.get_by_role("button", name="Approve…", exact=True).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").focus()
    page.keyboard.type("By hand")
    problems = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [each["id"] for each in problems] == []
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    assert answers(cloud) == [("approve", 1, "next", "By hand")]


# --- settings ----------------------------------------------------------------------------------


def test_an_admin_changes_the_strategy_and_the_approval(cloud: Cloud, open_page: Opener) -> None:
    page = open_page(f"/services/{cloud.service_id}/settings")
    rollout = page.get_by_role("region", name="Rollout")
    expect(rollout).to_contain_text("as the ECS service has it")
    expect(rollout).to_contain_text("not needed")
    rollout.get_by_role("button", name="Change the strategy and the approval").click()
    dialog = page.get_by_role("dialog", name="Rollout of hello")
    dialog.get_by_label("Strategy").select_option("LINEAR")
    dialog.get_by_label("Percent of each step").fill("12.5")
    dialog.get_by_label("Minutes between steps").fill("0")
    dialog.get_by_label("Minutes of bake time").fill("120")
    dialog.get_by_label("Await approval before production traffic").check()
    dialog.get_by_label("Minutes for the approval").fill("90")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(rollout).to_contain_text(
        "linear, 12.5 % in each step, 0 min between steps, bake time 2 h"
    )
    expect(rollout).to_contain_text("needed within 90 min")
    expect(rollout).to_contain_text("not the token that asked")
    service = cloud.service()
    strategy = {"type": "LINEAR", "percent": 12.5, "step_minutes": 0, "bake_minutes": 120}
    assert service["strategy"] == strategy
    assert (service["approval"], service["approval_minutes"]) == (True, 90)


def test_what_another_admin_changes_meanwhile_stays(cloud: Cloud, open_page: Opener) -> None:
    cloud.change_service(strategy={"type": "BLUE_GREEN", "bake_minutes": 5})
    page = open_page(f"/services/{cloud.service_id}/settings")
    page.get_by_role("button", name="Change the strategy and the approval").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Minutes of bake time")).to_have_value("5")
    cloud.change_service(strategy={"type": "ROLLING"})
    dialog.get_by_label("Await approval before production traffic").check()
    dialog.get_by_label("The token that asked for a deployment may approve it").check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    service = cloud.service()
    assert service["strategy"]["type"] == "ROLLING"
    assert (service["approval"], service["approve_own"]) == (True, True)


def test_a_setting_that_slipway_refuses_is_marked(cloud: Cloud, open_page: Opener) -> None:
    page = open_page(f"/services/{cloud.service_id}/settings")
    page.get_by_role("button", name="Change the strategy and the approval").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Strategy").select_option("LINEAR")
    part = dialog.get_by_label("Percent of each step")
    part.fill("2")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("multiple of 0.1 from 3.0")
    expect(part).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_label("Minutes of bake time")).not_to_have_attribute(
        "aria-invalid", "true"
    )
    dialog.get_by_label("Strategy").select_option("As the ECS service has it")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    assert cloud.service()["strategy"] is None


def test_only_an_admin_may_change_how_releases_are_rolled_out(
    cloud: Cloud, open_page: Opener
) -> None:
    page = open_page(f"/services/{cloud.service_id}/settings", token=grace(cloud))
    rollout = page.get_by_role("region", name="Rollout")
    expect(rollout).to_contain_text("as the ECS service has it")
    expect(rollout.get_by_role("button")).to_have_count(0)
