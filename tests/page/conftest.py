"""A browser for all tests of a run, and pages of the dashboard of an embedded cloud."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.page.serving import ARGUMENTS, browser_path
from tests.support.embedded import Cloud
from tests.support.fixtures import api, aws, client, cloud, project
from tests.support.served import served

__all__ = ["api", "aws", "browser", "client", "cloud", "open_page", "project"]

# The machine may be busy. No test waits for this long if the page works.
expect.set_options(timeout=20_000)

WIDE = {"width": 1280, "height": 800}
Opener = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    path = browser_path()
    if path is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(cloud: Cloud, browser: Browser) -> Iterator[Opener]:
    """Opens the dashboard at a fragment, signed in with the cloud's token or another one.

    At the end the test fails if a script failed, or if the browser refused something by the CSP.
    """
    contexts: list[Any] = []
    problems: list[str] = []
    with served(cloud.app) as url:

        def opener(fragment: str = "", *, token: str | None = "", **options: Any) -> Page:
            context = browser.new_context(
                **{"viewport": WIDE, "reduced_motion": "reduce", **options}
            )
            contexts.append(context)
            page = context.new_page()
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda message: _note(problems, message.text))
            page.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
            given = cloud.api.token if token == "" else token
            if given is not None:
                page.add_init_script(
                    "if (!sessionStorage.getItem('slipway.token') && !window.name) {"
                    f"sessionStorage.setItem('slipway.token', '{given}'); window.name = 'signed'}}"
                )
            page.goto(f"{url}#{fragment}" if fragment else url)
            return page

        yield opener
        for context in contexts:
            context.close()
    assert problems == []


def _note(problems: list[str], text: str) -> None:
    if "Content Security Policy" in text:
        problems.append(text)


def refresh(page: Page) -> None:
    """Make the page look now, as it does when its window is focused."""
    page.evaluate("dispatchEvent(new Event('focus'))")
