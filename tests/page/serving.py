"""Finds a Chromium, and how to start it."""

import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-gpu")


def browser_path() -> str | None:
    """The path of this machine's Chromium; None if it has none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)
