"""What the page shows of GitHub: checks that are waited for, pull requests, lost pushes."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from infra.local.github.server import GitHub
from tests.page.conftest import Opener, refresh
from tests.support.embedded import MINUTE, REPOSITORY, Cloud, remove_image, sha
from tests.support.github.connected import TELLS, add_github_channel, connected

HOSTILE = '<img src=x onerror="window.hacked=1">'


@pytest.fixture
def github(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """GitHub with the commits 1 to 3 on master, and a channel that may read them."""
    github = GitHub(clock=lambda: cloud._now)
    github.add_repository(REPOSITORY, default_branch="master")
    for number in (1, 2, 3):
        github.push(REPOSITORY, "master", sha(number))
    with connected(github, monkeypatch):
        add_github_channel(cloud, github, {**TELLS, "contents": "read", "checks": "read"})
        yield github


def built(cloud: Cloud, number: int) -> int:
    """Push commit `number` and build it; return the number of its deployment."""
    build = int(cloud.push(sha(number)).body["builds"][0]["build_id"])
    cloud.settle()
    cloud.finish_build(build)
    return int(cloud.build(build)["deployment_id"])


def test_a_wait_for_checks_is_shown_until_they_have_passed(
    cloud: Cloud, github: GitHub, open_page: Opener
) -> None:
    cloud.change_service(require_checks=["lint", HOSTILE], checks_minutes=30)
    github.add_check_run(REPOSITORY, sha(1), "lint", None)
    number = built(cloud, 1)
    page = open_page("/")
    words = f"Waits for the checks lint, {HOSTILE}. Began just now, deadline in 30 min."
    expect(page.get_by_role("region", name="Queue")).to_contain_text(words)
    expect(page.locator(".services tbody tr")).to_contain_text("Waits for checks")
    page.get_by_role("link", name="hello").first.click()
    under_way = page.get_by_role("region", name="Under way")
    expect(under_way).to_contain_text(f"Deployment {number}")
    expect(under_way).not_to_contain_text("Next:")
    expect(under_way).to_contain_text(words)
    expect(page.locator(".event", has_text=f"Deployment {number}").first).to_contain_text(words)
    page.get_by_role("link", name="Settings").click()
    limits = page.get_by_role("region", name="Automation and limits")
    expect(limits).to_contain_text(f"Checks that must passlint, {HOSTILE}")
    expect(limits).to_contain_text("checks 30 min")
    expect(limits).to_contain_text("Pull requestsare not built")
    page.goto(f"{page.url.partition('#')[0]}#/deployments/{number}")
    checks = page.get_by_role("region", name="Checks of the commit")
    expect(checks).to_contain_text("Run nowlint")
    expect(checks).to_contain_text(f"Not on GitHub yet{HOSTILE}")
    expect(checks).to_contain_text("Deadlinein 30 min")
    expect(page.locator(".stages")).to_contain_text("Checksdeadline in 30 min")
    assert page.evaluate("window.hacked") is None
    for name in ("lint", HOSTILE):
        github.add_check_run(REPOSITORY, sha(1), name, "success")
    cloud.tick()
    cloud.settle()
    refresh(page)
    expect(page.locator(".head .status").first).to_have_text("Deploying")
    expect(checks).to_have_count(0)


def test_a_github_that_does_not_answer_is_named(
    cloud: Cloud, github: GitHub, open_page: Opener
) -> None:
    cloud.change_service(require_checks="all")
    github.fail(9, 502, match="/commits/")
    number = built(cloud, 1)
    page = open_page(f"/deployments/{number}")
    checks = page.get_by_role("region", name="Checks of the commit")
    expect(checks).to_contain_text("Must passall")
    trouble = cloud.deployment(number)["waiting_for_checks"]["trouble"]
    assert trouble
    expect(checks).to_contain_text("The checks cannot be read")
    expect(checks).to_contain_text(trouble[1:])


def test_a_failed_check_is_a_stage_that_has_failed(
    cloud: Cloud, github: GitHub, open_page: Opener
) -> None:
    cloud.change_service(require_checks=["lint"])
    github.add_check_run(REPOSITORY, sha(1), "lint", "failure")
    number = built(cloud, 1)
    page = open_page(f"/deployments/{number}")
    expect(page.locator(".failure")).to_contain_text("the check lint of the commit has failed")
    stages = page.locator(".stages li")
    expect(stages.nth(1)).to_contain_text("Checks")
    expect(stages.nth(1).get_by_role("img", name="Failed")).to_be_visible()
    expect(stages.nth(2)).to_have_class("todo")


def test_a_pull_request_leads_to_its_page_on_github(cloud: Cloud, open_page: Opener) -> None:
    secrets = {"npm": "secretsmanager:slipway/build/1/npm"}
    cloud.change_service(build_pull_requests=True, secrets=secrets)
    cloud.ask_for_build()
    cloud.ask_for_build()
    cloud.pull("opened", sha(1), pull_request__title=HOSTILE)
    cloud.settle()
    page = open_page("/")
    url = f"https://github.com/{REPOSITORY}/pull/2"
    queue = page.get_by_role("region", name="Queue")
    expect(queue).to_contain_text(f"pull request 2: {HOSTILE}")
    link = page.get_by_role("link", name="pull request 2")
    expect(link).to_have_attribute("href", url)
    page.get_by_role("link", name="hello").first.click()
    under_way = page.get_by_role("region", name="Under way")
    expect(under_way).to_contain_text("Build 3 of pull request 2")
    expect(under_way).to_contain_text(HOSTILE)
    event = page.locator(".event", has_text="Build 3").first
    expect(event).to_contain_text(f"pull request 2 of octocat: {HOSTILE}")
    expect(event).to_contain_text("built without secrets")
    expect(event.get_by_role("link", name="pull request 2")).to_have_attribute("href", url)
    page.goto(f"{page.url.partition('#')[0]}#/builds/3")
    result = page.locator(".result")
    expect(result.get_by_role("link", name="pull request 2")).to_have_attribute("href", url)
    page.goto(f"{page.url.partition('#')[0]}#/deliveries")
    link = page.get_by_role("link", name="pull request 2")
    expect(link).to_have_attribute("href", url.lower())
    page.goto(f"{page.url.partition('#')[0]}#/services/{cloud.service_id}/settings")
    limits = page.get_by_role("region", name="Automation and limits")
    expect(limits).to_contain_text("Pull requestsare built, and never deployed")
    expect(limits).to_contain_text("Checks that must passnone")
    assert page.evaluate("window.hacked") is None


def test_a_lost_push_says_when_it_was_found(
    cloud: Cloud, github: GitHub, open_page: Opener
) -> None:
    for _ in range(6):  # the first look only notes the head
        cloud.tick()
        cloud.settle()
    github.push(REPOSITORY, "master", sha(4))
    for _ in range(10):
        cloud.tick()
        cloud.settle()
    (record,) = cloud.api.get("/v1/webhooks/github/deliveries").body["items"]
    minutes = record["found_after_seconds"] // MINUTE
    assert minutes > 0
    page = open_page("/deliveries")
    expect(page.locator("tbody tr")).to_contain_text(f"found {minutes} min after the push")


def test_a_service_says_why_the_release_before_cannot_be_restored(
    cloud: Cloud, open_page: Opener
) -> None:
    first = cloud.release(1)
    cloud.release(2)
    page = open_page(f"/services/{cloud.service_id}")
    expect(page.get_by_role("button", name="Roll back…", exact=True)).to_be_visible()
    title = page.get_by_text("The release before cannot be restored")
    expect(title).to_have_count(0)
    remove_image("hello", cloud.deployment(first)["image_digest"])
    cloud.advance(6 * 60 * MINUTE)
    cloud.tick()
    cloud.settle()
    refresh(page)
    expect(title).to_be_visible()
    trouble = "mage of deployment 1 is gone from hello"
    expect(page.get_by_text(f"The i{trouble}", exact=True)).to_be_visible()
    page.get_by_role("link", name="Deployment 2").first.click()
    release = page.get_by_role("region", name="Release")
    expect(release).to_contain_text(f"Deployment 1, but it cannot be restored: the i{trouble}")


def test_home_asks_for_nothing_more_while_a_deployment_waits_for_checks(
    cloud: Cloud, github: GitHub, open_page: Opener
) -> None:
    cloud.change_service(require_checks=["lint"])
    built(cloud, 1)
    page = open_page(token=None)
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url.partition("/v1/")[2]))
    page.get_by_label("Token").fill(cloud.api.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Queue")).to_contain_text("Waits for the check lint")
    page.wait_for_load_state("networkidle")
    paths = {each.partition("?")[0] for each in asked if each}
    assert paths == {"whoami", "health", "services", "cicd/metrics", "cicd/queue"}
