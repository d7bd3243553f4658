"""`make screenshots`: every view of the dashboard in both themes and at phone width.

Writes build/screenshots/<view>-<theme>.png, and <view>-phone.png, of a played history.
"""

import argparse
import json
import sys
from pathlib import Path

import pytest
from moto import mock_aws
from playwright.sync_api import Browser, Page, sync_playwright

import tests.support.fixtures  # noqa: F401  # first: it sets the product's environment
from tests.page.played import Played, play
from tests.page.serving import ARGUMENTS, browser_path
from tests.support.embedded import Cloud
from tests.support.served import served

OUT = Path("build/screenshots")
WIDE = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}


def views(played: Played) -> dict[str, str]:
    """The fragment of each view."""
    services, builds, deployments = played.services, played.builds, played.deployments
    return {
        "home": "/",
        "service": f"/services/{services['web']}",
        "service-settings": f"/services/{services['web']}/settings",
        "service-config": f"/services/{services['web']}/config",
        "service-access": f"/services/{services['web']}/access",
        "service-unhealthy": f"/services/{services['search']}",
        "build-failed": f"/builds/{builds['failed']}",
        "build-running": f"/builds/{builds['running']}",
        "build-good": f"/builds/{builds['good']}",
        "build-queued": f"/builds/{builds['queued']}",
        "deployment-running": f"/deployments/{deployments['rolling']}",
        "deployment-canary": f"/deployments/{deployments['canary']}",
        "service-canary-settings": f"/services/{services['payments']}/settings",
        "deployment-failed": f"/deployments/{deployments['failed']}",
        "deployment-good": f"/deployments/{deployments['web']}",
        "deliveries": "/deliveries",
        "channels": "/channels",
        "audit": "/audit",
        "tokens": "/tokens",
        "metrics": "/metrics",
        "not-found": "/services/9999",
    }


def _expired(page: Page) -> None:
    problem = json.dumps({"title": "Unauthorized", "status": 401, "code": "unauthorized"})
    page.route("**/v1/**", lambda route: route.fulfill(status=401, body=problem))
    page.evaluate("dispatchEvent(new Event('focus'))")


def _offline(page: Page) -> None:
    page.context.set_offline(True)


def _failing(page: Page) -> None:
    detail = "AWS cannot serve the request now; try again"
    problem = json.dumps({"title": "Service Unavailable", "status": 503, "detail": detail})
    page.route("**/v1/webhooks/**", lambda route: route.fulfill(status=503, body=problem))
    page.goto(f"{page.url.partition('#')[0]}#/deliveries")


def _empty(page: Page) -> None:
    body = json.dumps({"items": [], "next_cursor": None})
    page.route("**/v1/services?*", lambda route: route.fulfill(body=body))
    page.reload()


STATES = {"expired": _expired, "offline": _offline, "failing": _failing, "empty": _empty}


CHANGES, CHANGE_ROLLOUT = "What changes", "Change the strategy and the approval"
# A view, the button that opens it, and a text that it has when it is complete.
DIALOGS_OF_CHANNELS = (
    ("dialog-channel-new", "New channel…", "run this, and delete the file"),
    ("dialog-channel-edit", "Edit the channel On call", "service.unhealthy"),
    ("dialog-channel-test", "Test the channel Shop", "If it exists:"),
    ("dialog-channel-good", "Test the channel On call", "has taken a test message"),
    ("dialog-channel-delete", "Delete the channel Shop", "stays in AWS"),
)


def opened(browser: Browser, url: str, token: str | None, theme: str, size: dict[str, int]) -> Page:
    """A page in a new context; signed in if there is a token."""
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()
    if token is not None:
        page.add_init_script(f"sessionStorage.setItem('slipway.token', '{token}')")
    page.goto(url)
    return page


def shoot(browser: Browser, url: str, played: Played, only: str) -> None:
    """Write all pictures whose name contains `only`."""
    token = played.cloud.api.token
    looks = [("light", WIDE, "light"), ("dark", WIDE, "dark"), ("light", PHONE, "phone")]
    for theme, size, name in looks:
        page = opened(browser, url, token, theme, size)
        page.on("console", lambda message: print("console:", message.text, file=sys.stderr))
        page.on("pageerror", lambda error: print("error:", error, file=sys.stderr))
        for view, fragment in views(played).items():
            if only in f"{view}-{name}":
                page.goto(f"{url}#{fragment}")
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(350)
                page.screenshot(path=OUT / f"{view}-{name}.png", full_page=True)
        canary = f"/deployments/{played.deployments['canary']}"
        settings = f"/services/{played.services['payments']}/settings"
        for view, fragment, button, wanted in (
            ("dialog-rollback", f"/services/{played.services['web']}", "Roll back…", CHANGES),
            ("dialog-deploy", f"/services/{played.services['web']}", "Deploy…", CHANGES),
            ("dialog-approve", canary, "Approve…", "for the audit trail"),
            ("dialog-reject", canary, "Reject…", "for the audit trail"),
            ("dialog-rollout", settings, CHANGE_ROLLOUT, "Percent of the first step"),
        ):
            if only in f"{view}-{name}":
                page.goto(f"{url}#{fragment}")
                page.get_by_role("button", name=button, exact=True).first.click()
                if view == "dialog-deploy":
                    page.locator(".picks label").nth(1).click()
                page.get_by_text(wanted).wait_for()
                page.wait_for_timeout(200)
                page.screenshot(path=OUT / f"{view}-{name}.png")
                page.keyboard.press("Escape")
        _shoot_channels(page, url, played, only, name)
        page.context.close()
        for state, spoil in STATES.items():
            if only in f"state-{state}-{name}":
                page = opened(browser, url, token, theme, size)
                page.get_by_role("heading", name="Services", exact=True).wait_for()
                spoil(page)
                page.wait_for_timeout(600)
                page.screenshot(path=OUT / f"state-{state}-{name}.png")
                page.context.close()
        if only in f"sign-in-{name}":
            page = opened(browser, url, None, theme, size)
            page.get_by_role("button", name="Sign in").wait_for()
            page.screenshot(path=OUT / f"sign-in-{name}.png")
            page.context.close()


def _shoot_channels(page: Page, url: str, played: Played, only: str, name: str) -> None:
    for view, button, wanted in DIALOGS_OF_CHANNELS:
        if only in f"{view}-{name}":
            page.goto(f"{url}#/channels")
            page.get_by_role("button", name=button).click()
            if "test" in view or "good" in view:
                page.wait_for_timeout(500)
                played.cloud.advance(5)
                played.cloud.settle()
            page.get_by_text(wanted).first.wait_for()
            page.wait_for_timeout(200)
            page.screenshot(path=OUT / f"{view}-{name}.png")
            page.keyboard.press("Escape")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="part of the names of the pictures")
    options = parser.parse_args()
    path = browser_path()
    if path is None:
        print("There is no Chromium. Debian: apt-get install chromium", file=sys.stderr)
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        mock_aws(),
        sync_playwright() as playwright,
    ):
        played = play(Cloud(monkeypatch))
        with served(played.cloud.app) as url:
            browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
            shoot(browser, url, played, options.only)
            browser.close()
    print(f"The pictures are in {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
