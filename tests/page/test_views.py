"""Every view of a played history: accessible in both themes, and no wider than a phone."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from moto import mock_aws
from playwright.sync_api import Browser, Page, expect

from tests.page.played import Played, play
from tests.page.screenshots import CHANGE_ROLLOUT, PHONE, WIDE, opened, views
from tests.support.embedded import Cloud
from tests.support.served import served

pytestmark = pytest.mark.long

# WCAG 2.2 AA, and what axe calls best practice. The dark theme changes only colours.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}


@pytest.fixture(scope="module")
def history(browser: Browser) -> Iterator[tuple[Played, str]]:
    """A played history, and the address of its dashboard. The tests only read."""
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        played = play(Cloud(monkeypatch))
        with served(played.cloud.app) as url:
            yield played, url


def _settled(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    expect(page.locator("main h1, .state-title").first).to_be_visible()
    expect(page.locator("main .state.loading")).to_have_count(0)


def _violations(page: Page, rules: Any) -> list[str]:
    found = (
        Axe()
        .run(page, options={"runOnly": rules, "resultTypes": ["violations"]})
        .response["violations"]
    )
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize(
    ("theme", "rules"), [("light", TAGS), ("dark", COLOURS)], ids=["light", "dark"]
)
def test_axe_finds_nothing_in_any_view(
    history: tuple[Played, str], browser: Browser, theme: str, rules: Any
) -> None:
    played, url = history
    page = opened(browser, url, played.cloud.api.token, theme, WIDE)
    found = {}
    for name, fragment in views(played).items():
        page.goto(f"{url}#{fragment}")
        _settled(page)
        found[name] = _violations(page, rules)
    page.goto(f"{url}#/services/{played.services['web']}")
    page.get_by_role("button", name="Roll back…", exact=True).click()
    expect(page.get_by_text("What changes")).to_be_visible()
    found["dialog"] = _violations(page, rules)
    canary = f"/deployments/{played.deployments['canary']}"
    settings = f"/services/{played.services['payments']}/settings"
    for fragment, button, wanted in (
        (canary, "Approve…", "moves the next part of production traffic"),
        (canary, "Reject…", "ECS returns to the release before"),
        (settings, CHANGE_ROLLOUT, "Percent of the first step"),
    ):
        page.goto(f"{url}#{fragment}")
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_role("dialog").get_by_text(wanted)).to_be_visible()
        found[button] = _violations(page, rules)
        page.keyboard.press("Escape")
    for button, wanted in (
        ("New channel…", "run this, and delete the file"),
        ("Edit the channel On call", "service.unhealthy"),
    ):
        page.goto(f"{url}#/channels")
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("dialog").get_by_text(wanted)).to_be_visible()
        found[button] = _violations(page, rules)
        page.keyboard.press("Escape")
    page.context.close()
    page = opened(browser, url, None, theme, WIDE)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    found["sign-in"] = _violations(page, rules)
    page.context.close()
    assert [f"{name}: {each}" for name, listed in found.items() for each in listed] == []


def test_no_view_is_wider_than_a_phone_or_has_small_targets(
    history: tuple[Played, str], browser: Browser
) -> None:
    played, url = history
    page = opened(browser, url, played.cloud.api.token, "light", PHONE)
    wide, small = [], []
    for name, fragment in views(played).items():
        page.goto(f"{url}#{fragment}")
        _settled(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(name)
        heights = page.evaluate(
            "[...document.querySelectorAll('main button.button:not(.quiet), .nav a')]"
            ".map(each => [each.textContent, each.getBoundingClientRect().height])"
        )
        small += [(name, text, height) for text, height in heights if 0 < height < 44]
    page.context.close()
    assert (wide, small) == ([], [])
